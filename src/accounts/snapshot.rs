//! The accounts as `status` and the page show them. Opens nothing and changes nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::access::Access;
use super::idle::days_left;
use super::token::{Account, State};
use super::{Accounts, predecessor};
use crate::config::{AccountError, GrantKind};
use crate::providers::catalogue::{Class, own};

/// The state of an account whose data key nobody has brought yet.
const LOCKED: &str = "locked until the next login";

/// How an account stands, in one of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has what it needs to let mail programs in.
    #[default]
    Ready,
    /// It has tokens that only its next login opens.
    Locked,
    /// Its tokens are in memory only, until its next login seals them.
    Unsealed,
    /// A person is asked to sign in at this moment.
    Waiting,
    /// A person has to sign in.
    NeedsSignIn,
    /// Its section lacks what it needs.
    Incomplete,
}

impl Standing {
    /// Returns whether mail programs get in without a person.
    pub fn is_usable(self) -> bool {
        match self {
            Self::Ready | Self::Locked | Self::Unsealed => true,
            Self::Waiting | Self::NeedsSignIn | Self::Incomplete => false,
        }
    }
}

/// One account as `status` and the page show it. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The account's name.
    pub account: String,
    /// The grant's name.
    pub grant: String,
    /// How many local passwords it has.
    #[serde(default)]
    pub passwords: usize,
    /// Whether its tokens can be renewed from a start on, before anybody logs in.
    #[serde(default)]
    pub unattended: bool,
    /// How it stands.
    #[serde(default)]
    pub standing: Standing,
    /// `needs consent`, `waiting for consent`, `authorised`, `locked until the next login`, ...
    pub state: String,
    /// Until the access token expires, where one is held.
    pub expires_in: Option<u64>,
    /// Since the access token came, where one is held.
    #[serde(default)]
    pub token_age: Option<u64>,
    /// Until the token is renewed with nobody waiting for it, where it will be.
    #[serde(default)]
    pub renews_in: Option<u64>,
    /// When a login last got a token, since 1970, where one did in this process.
    #[serde(default)]
    pub last_login: Option<u64>,
    /// How many of its connections are open.
    #[serde(default)]
    pub connections: usize,
    /// Whether only a local password makes the tokens of a sign-in last.
    #[serde(default)]
    pub wants_password: bool,
    /// The sign-in address, while consent is waited for.
    pub url: Option<String>,
    /// What to type in there, in the device grant.
    #[serde(default)]
    pub code: Option<String>,
    /// Until that ends.
    #[serde(default)]
    pub code_ends_in: Option<u64>,
    /// Who signed in although it is another name, while a yes to that is waited for.
    #[serde(default)]
    pub signed_in: Option<String>,
    /// The last failure, if it was the last thing that happened.
    pub last_error: Option<String>,
    /// Whose move it is then.
    #[serde(default)]
    pub class: Option<Class>,
    /// Why it failed.
    #[serde(default)]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub remedy: Option<String>,
}

impl AccountState {
    /// Returns whether a person signs in for it.
    pub fn is_signed_in_by_person(&self) -> bool {
        let by_person = [GrantKind::AuthorizationCode, GrantKind::Device];
        by_person.iter().any(|grant| grant.as_str() == self.grant)
    }
}

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
                            standing: Standing::Incomplete,
                            state: "incomplete".into(),
                            last_error: Some(format!("{}: {why}", own::INCOMPLETE.cause)),
                            class: Some(own::INCOMPLETE.class),
                            cause: Some(own::INCOMPLETE.cause.to_owned()),
                            remedy: Some(own::INCOMPLETE.remedy.to_owned()),
                            ..AccountState::default()
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
        let (standing, words) = match &asked {
            Some(asked) if asked.doubt.is_some() => (
                Standing::Waiting,
                Cow::from("waiting for a yes to who signed in"),
            ),
            Some(_) => (
                Standing::Waiting,
                match challenge {
                    Some(challenge) => Cow::from(format!(
                        "waiting for consent to a new password that {} sent",
                        challenge.from
                    )),
                    None => Cow::from("waiting for consent"),
                },
            ),
            None => self.words(account, &state),
        };
        let now = Instant::now();
        let options = &self.world().config.options;
        let renewal = state.renewal_due(options.use_login_password_as_client_credentials_secret);
        let server = || state.refused.as_ref().map(|(_, why)| why);
        let why = state.last_error.as_ref().or_else(server);
        let left = state.access.as_ref().map(|access| access.left().as_secs());
        let left = left.filter(|left| *left > 0);
        let code = asked.as_ref().and_then(|asked| asked.code.as_ref());
        AccountState {
            account: account.name.clone(),
            grant: state.settings.grant.as_str().to_owned(),
            passwords: self.password_count(account, state.wraps()),
            unattended: self.opens_by_store(account, state.wraps()),
            standing,
            state: words.into_owned(),
            expires_in: left,
            token_age: left.and(state.access.as_ref().map(|at| Access::age(at).as_secs())),
            renews_in: renewal.map(|at| at.saturating_duration_since(now).as_secs()),
            last_login: state.last_login,
            connections: 0,
            wants_password: !state.is_unlocked() && self.store_key.is_none(),
            code: code.map(|code| code.code.clone()),
            code_ends_in: code.map(|code| code.until.saturating_duration_since(now).as_secs()),
            signed_in: asked
                .as_ref()
                .and_then(|asked| Some(asked.doubt.as_ref()?.signed_in.to_string())),
            url: asked.map(|asked| asked.url),
            last_error: why.map(|why| why.words.clone()),
            class: why.map(|why| why.class),
            cause: why.map(|why| why.cause.clone()),
            remedy: why.map(|why| why.remedy.clone()),
        }
    }

    fn words(&self, account: &Account, state: &State) -> (Standing, Cow<'static, str>) {
        let record = self.store.record(&account.name);
        let used = record.and_then(|record| record.refreshed_at);
        let days = used.and_then(|at| days_left(&state.settings, at));
        match (self.plain_words(account, state), days) {
            ((standing, LOCKED), Some(days)) => (
                standing,
                Cow::from(format!(
                    "{LOCKED}; without one its sign-in ends in about {days} days, unused"
                )),
            ),
            ((standing, words), _) => (standing, Cow::from(words)),
        }
    }

    fn plain_words(&self, account: &Account, state: &State) -> (Standing, &'static str) {
        if state.loose && !state.is_unlocked() {
            return (
                Standing::Unsealed,
                "authorised, not yet sealed: waiting for the next login",
            );
        }
        if state.refresh.is_some() || state.alive().is_some() {
            return (Standing::Ready, "authorised");
        }
        let needs_consent = matches!(
            state.settings.grant,
            GrantKind::AuthorizationCode | GrantKind::Device
        );
        if !state.is_unlocked() {
            let record = self.store.record(&account.name).unwrap_or_default();
            let cached = predecessor::overlay(&state.settings.cached, record.predecessor.as_ref());
            if !record.wraps.is_empty() || predecessor::holds_anything(&cached) {
                return (Standing::Locked, LOCKED);
            }
            if !needs_consent {
                return (Standing::Ready, "waiting for the first login");
            }
        }
        if needs_consent {
            (Standing::NeedsSignIn, "needs consent")
        } else {
            (
                Standing::Ready,
                "needs a token: the next login asks for one",
            )
        }
    }
}
