//! The local passwords of an account, as its owner sets, lists and removes them.
//!
//! Knows neither terminals nor sockets. A changed password leaves the tokens as they are, because it only wraps the key
//! that closes them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::store::Record;
use super::terms::{self, DEFAULT_NAME, Terms};
use super::token::Account;
use super::vault::{DataKey, MOST_PASSWORDS, Wrap};
use super::{Accounts, Caller};
use crate::config::{GrantKind, Protocol, value};
use crate::refusal::NotAdmitted;
use crate::said::Said;
use crate::secret::Password;

/// The longest password, in bytes: what fits into every way to log in.
const LONGEST: usize = 1_024;

/// The longest name of a password, in bytes.
const LONGEST_NAME: usize = 64;

/// One local password, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPassword {
    /// Its name; `default` for the unnamed one.
    pub name: String,
    /// The services it is good for, as section names or protocols; empty for all.
    pub services: Vec<String>,
    /// The networks it is good from; empty for all.
    pub from: Vec<String>,
    /// When it was set, in Unix seconds.
    pub created: Option<u64>,
}

/// The local passwords of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// Each of them.
    pub all: Vec<LocalPassword>,
    /// Whether setting one needs one that is good already.
    pub locked: bool,
}

/// A password that is to be set.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Its name; one that is there is replaced. None for the unnamed one.
    pub name: Option<String>,
    /// The services it is to be good for; empty for all.
    pub services: Vec<String>,
    /// The networks it is to be good from; empty for all.
    pub from: Vec<String>,
    /// The password.
    pub password: Password,
    /// One that is good already, where the account is locked.
    pub current: Option<Password>,
}

impl Accounts {
    /// Lists an account's passwords. The error is for a person.
    pub async fn passwords(self: &Arc<Self>, account: &str) -> Result<Passwords, String> {
        let account = self.account_of_owner(account).await?;
        let state = account.state();
        let known = self.known_wraps(&account, state.wraps());
        let by_password = known.iter().filter(|wrap| wrap.is_by_password());
        let all = by_password.map(|wrap| {
            let terms = wrap.terms();
            LocalPassword {
                name: terms.name().to_owned(),
                services: terms.services.clone(),
                from: terms.from.clone(),
                created: terms.created,
            }
        });
        Ok(Passwords {
            all: all.collect(),
            locked: !state.is_unlocked() && !self.is_new(&account.name, &state),
        })
    }

    /// Sets a password of an account and returns what came of it, in words, as is the error.
    pub async fn set_password(
        self: &Arc<Self>,
        account: &str,
        new: NewPassword,
    ) -> Result<String, String> {
        let account = self.account_of_owner(account).await?;
        let user = Said::new(&account.name);
        let terms = self.terms_of(&account, &new)?;
        let locked = {
            let state = account.state();
            !state.is_unlocked() && !self.is_new(&account.name, &state)
        };
        if locked {
            let Some(current) = &new.current else {
                return Err(format!(
                    "account {user} is locked: setting a password needs one that is good already, because only that opens its tokens"
                ));
            };
            let admitted = Box::pin(self.admit(&account, current, &Caller::OWNER)).await;
            admitted
                .map_err(|refusal| format!("the current password of account {user}: {refusal}"))?;
        }
        let derived = self.derived(&account, &new.password).await;
        let derived = derived.map_err(|refusal| refusal.to_string())?;
        let name = terms.name().to_owned();
        let replaced = {
            let mut guard = account.state();
            let state = &mut *guard;
            let (key, mut wraps) = match &state.lock {
                Lock::Open { key, wraps } => (key.clone(), wraps.clone()),
                Lock::Shut if self.is_new(&account.name, state) => (DataKey::fresh()?, Vec::new()),
                Lock::Shut => {
                    return Err(format!("account {user} has changed meanwhile; try again"));
                }
            };
            let before = wraps.len();
            wraps.retain(|wrap| !(wrap.is_by_password() && wrap.terms().name == terms.name));
            let replaced = wraps.len() < before;
            if wraps.iter().filter(|wrap| wrap.is_by_password()).count() >= MOST_PASSWORDS {
                return Err(format!(
                    "account {user} has {MOST_PASSWORDS} passwords, and that is the most; remove one first"
                ));
            }
            wraps.push(key.wrap(&account.name, &derived, terms)?);
            state.lock = Lock::Open { key, wraps };
            // Whoever waits with a password of their own has to prove this one now.
            state.claim = None;
            state.refuted.clear();
            self.shelve(&account, state);
            replaced
        };
        let what = if replaced { "changed" } else { "set" };
        tracing::info!(
            "the password `{}` of account {user} was {what}",
            Said::new(&name)
        );
        self.write_passwords().await?;
        Ok(format!(
            "the password `{name}` of account {} is {what}",
            account.name
        ))
    }

    /// Removes a password of an account and returns what came of it, in words, as is the error.
    ///
    /// The last one of an account that no store key opens goes only by `force`, and its tokens with it: nobody could
    /// open them any more.
    pub async fn remove_password(
        self: &Arc<Self>,
        account: &str,
        name: &str,
        force: bool,
    ) -> Result<String, String> {
        let account = self.account_of_owner(account).await?;
        let user = Said::new(&account.name);
        let mut outcome = format!(
            "the password `{name}` of account {} is removed; sessions that are open go on",
            account.name
        );
        {
            let mut guard = account.state();
            let state = &mut *guard;
            let known = self.known_wraps(&account, state.wraps());
            let (going, staying): (Vec<Wrap>, Vec<Wrap>) = known
                .into_iter()
                .partition(|wrap| wrap.is_by_password() && wrap.terms().name() == name);
            if going.is_empty() {
                let names = staying.iter().filter(|wrap| wrap.is_by_password());
                let names: Vec<&str> = names.map(|wrap| wrap.terms().name()).collect();
                return Err(format!(
                    "account {user} has no password `{}`; it has {}",
                    Said::new(name),
                    if names.is_empty() {
                        "none".to_owned()
                    } else {
                        names.join(", ")
                    }
                ));
            }
            let opens = |wrap: &Wrap| {
                let store_key = self.store_key.as_ref();
                wrap.is_by_password()
                    || store_key.is_some_and(|key| {
                        key.open(&account.name, std::slice::from_ref(wrap))
                            .is_some()
                    })
            };
            if !staying.iter().any(opens) {
                if !force {
                    return Err(format!(
                        "this is the last password of account {user}; without it nobody could open its tokens. Change it instead, or remove it and the tokens with --force"
                    ));
                }
                state.lock = Lock::Shut;
                state.drop_tokens();
                state.client_secret = None;
                self.store.put(&account.name, Record::default());
                outcome.push_str("; its tokens are forgotten");
            } else if let Lock::Open { wraps, .. } = &mut state.lock {
                wraps.clone_from(&staying);
                self.shelve(&account, state);
            } else if let Some(record) = self.store.record(&account.name) {
                let wraps = staying.clone();
                self.store.put(&account.name, Record { wraps, ..record });
            }
            if !staying.iter().any(Wrap::is_by_password) {
                outcome.push_str("; the next first login sets a new one");
            }
        }
        tracing::info!(
            "the password `{}` of account {user} was removed",
            Said::new(name)
        );
        self.write_passwords().await?;
        Ok(outcome)
    }

    /// Counts the local passwords of an account.
    pub(super) fn password_count(&self, account: &Account, at_hand: &[Wrap]) -> usize {
        let known = self.known_wraps(account, at_hand);
        known.iter().filter(|wrap| wrap.is_by_password()).count()
    }

    /// Returns the wraps at hand, or those that rest.
    fn known_wraps(&self, account: &Account, at_hand: &[Wrap]) -> Vec<Wrap> {
        if at_hand.is_empty() {
            self.store.record(&account.name).unwrap_or_default().wraps
        } else {
            at_hand.to_vec()
        }
    }

    /// Finds the account that its owner names, with what rests for it at this moment.
    async fn account_of_owner(self: &Arc<Self>, name: &str) -> Result<Arc<Account>, String> {
        let account = self.account(name).map_err(|why| match why {
            NotAdmitted::Incomplete(why) => format!("account {}: {why}", Said::new(name)),
            _ => format!(
                "there is no account {}; accounts are sections of the configuration file, see `emailproxy config`",
                Said::new(name)
            ),
        })?;
        self.look(&account).await?;
        self.unlock_by_store(&account, &mut account.state());
        Ok(account)
    }

    /// Brings changed passwords into the store.
    async fn write_passwords(self: &Arc<Self>) -> Result<(), String> {
        self.write_down().await.map_err(|why| {
            self.tend();
            format!("{why}; the change counts while this emailproxy runs and is written as soon as that works")
        })
    }

    /// Checks a new password and says what it is good for.
    fn terms_of(&self, account: &Account, new: &NewPassword) -> Result<Terms, String> {
        let user = Said::new(&account.name);
        let world = self.world();
        {
            let state = account.state();
            let allowed = world
                .config
                .options
                .use_login_password_as_client_credentials_secret;
            if state.settings.grant == GrantKind::Password || state.password_is_secret(allowed) {
                return Err(format!(
                    "the password of account {user} is its credential at the provider, so it can have no other here; log in with the new one"
                ));
            }
        }
        let password = new.password.reveal();
        if password.is_empty() || password.len() > LONGEST {
            return Err(format!("a password has 1 to {LONGEST} bytes"));
        }
        if password
            .iter()
            .any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
        {
            return Err(
                "a password cannot hold line ends or NUL: no mail program could send it".into(),
            );
        }
        let name = new.name.as_deref().filter(|name| *name != DEFAULT_NAME);
        if let Some(name) = name
            && (name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control))
        {
            return Err(format!(
                "the name of a password has 1 to {LONGEST_NAME} printable bytes"
            ));
        }
        let mut services = Vec::new();
        for asked in &new.services {
            let protocols = [Protocol::Imap, Protocol::Pop, Protocol::Smtp];
            let word = asked.to_ascii_uppercase();
            let known = &world.config.services;
            if protocols.iter().any(|protocol| protocol.word() == word) {
                services.push(word.to_ascii_lowercase());
            } else if known.iter().any(|service| service.section == word) {
                services.push(word);
            } else {
                let known: Vec<&str> = known.iter().map(|at| at.section.as_str()).collect();
                return Err(format!(
                    "there is no service {}; name imap, pop, smtp or one of {}",
                    Said::new(asked),
                    known.join(", ")
                ));
            }
        }
        let mut from = Vec::new();
        for text in &new.from {
            let networks = value::networks(text)?;
            from.extend(networks.iter().map(ToString::to_string));
        }
        Ok(Terms {
            name: name.map(str::to_owned),
            services,
            from,
            created: terms::now(),
        })
    }
}
