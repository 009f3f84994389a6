//! The accounts as `status` shows them. Opens nothing and changes nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::idle::days_left;
use super::token::{Account, State};
use super::{AccountState, Accounts, predecessor};
use crate::config::{AccountError, GrantKind};

/// The state of an account whose data key nobody has brought yet.
const LOCKED: &str = "locked until the next login";

impl Accounts {
    /// Lists the accounts for `status`: those of the configuration, and those that were used through a catch-all.
    pub fn snapshot(&self) -> Vec<AccountState> {
        let config = Arc::clone(&self.world().config);
        let mut names: BTreeSet<String> = config.account_sections().into_iter().collect();
        names.retain(|name| !name.starts_with('@'));
        names.extend(self.store.names());
        names.extend(self.everybody().iter().map(|account| account.name.clone()));
        let mut list = Vec::new();
        for name in names {
            let account = match self.known(&name) {
                Some(account) => account,
                None => match config.account(&name) {
                    Ok(settings) => Arc::new(Account::new(&name, settings)),
                    // The store may know accounts that the configuration no longer has.
                    Err(AccountError::Unknown) => continue,
                    Err(AccountError::Incomplete(why)) => {
                        list.push(AccountState {
                            account: name,
                            grant: String::new(),
                            passwords: 0,
                            unattended: false,
                            state: "incomplete".into(),
                            expires_in: None,
                            url: None,
                            code: None,
                            last_error: Some(why),
                        });
                        continue;
                    }
                },
            };
            list.push(self.describe(&account));
        }
        list
    }

    fn describe(&self, account: &Account) -> AccountState {
        let state = account.state();
        let consent = self.consents.of(&account.name, &state.purpose);
        let challenge = consent
            .as_ref()
            .and_then(|consent| consent.challenge.clone());
        let asked = consent.map(|consent| consent.shown());
        let words = match &asked {
            Some(asked) if asked.doubt.is_some() => Cow::from("waiting for a yes to who signed in"),
            Some(_) => match challenge {
                Some(challenge) => Cow::from(format!(
                    "waiting for consent to a new password that {} sent",
                    challenge.from
                )),
                None => Cow::from("waiting for consent"),
            },
            None => self.words(account, &state),
        };
        let left = state.access.as_ref().map(|access| access.left().as_secs());
        AccountState {
            account: account.name.clone(),
            grant: state.settings.grant.as_str().to_owned(),
            passwords: self.password_count(account, state.wraps()),
            unattended: self.opens_by_store(account, state.wraps()),
            state: words.into_owned(),
            expires_in: left.filter(|left| *left > 0),
            code: asked
                .as_ref()
                .and_then(|asked| Some(asked.code.as_ref()?.code.clone())),
            url: asked.map(|asked| asked.url),
            last_error: state.last_error.clone(),
        }
    }

    fn words(&self, account: &Account, state: &State) -> Cow<'static, str> {
        let record = self.store.record(&account.name);
        let used = record.and_then(|record| record.refreshed_at);
        let days = used.and_then(|at| days_left(&state.settings, at));
        match (self.plain_words(account, state), days) {
            (LOCKED, Some(days)) => Cow::from(format!(
                "{LOCKED}; without one its sign-in ends in about {days} days, unused"
            )),
            (words, _) => Cow::from(words),
        }
    }

    fn plain_words(&self, account: &Account, state: &State) -> &'static str {
        if state.loose && !state.is_unlocked() {
            return "authorised, not yet sealed: waiting for the next login";
        }
        if state.refresh.is_some() || state.alive().is_some() {
            return "authorised";
        }
        let needs_consent = matches!(
            state.settings.grant,
            GrantKind::AuthorizationCode | GrantKind::Device
        );
        if !state.is_unlocked() {
            let record = self.store.record(&account.name).unwrap_or_default();
            let cached = predecessor::overlay(&state.settings.cached, record.predecessor.as_ref());
            if !record.wraps.is_empty() || predecessor::holds_anything(&cached) {
                return LOCKED;
            }
            if !needs_consent {
                return "waiting for the first login";
            }
        }
        if needs_consent {
            "needs consent"
        } else {
            "needs a token: the next login asks for one"
        }
    }
}
