//! One account's state: its lock, its tokens, and the one request that may be in flight for it.
//!
//! Decides what is valid and what comes next; asks nobody and writes no file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::access::{Access, MARGIN};
use super::lock::{Claim, Lock, Proof, Verdict};
use super::pace::Pace;
use super::proof::Mark;
use super::purpose::Purpose;
use super::renew::Spurned;
use super::store::{Lease, Record};
use super::{clock, locked};
use crate::config::{AccountSettings, GrantKind};
use crate::oauth::{self, Grant, SignedIn};
use crate::providers::catalogue::Diagnosis;
use crate::refusal::Refusal;
use crate::secret::{AccessToken, Password, Secret};

/// One account.
pub(super) struct Account {
    /// The user name as clients send it.
    pub(super) name: String,
    /// Held while a question for consent is made.
    pub(super) asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What is known of an account at this moment.
pub(super) struct State {
    /// Its settings.
    pub(super) settings: Arc<AccountSettings>,
    /// What its tokens are for.
    pub(super) purpose: Purpose,
    /// Whether its data key is at hand.
    pub(super) lock: Lock,
    /// The password that waits for its token.
    pub(super) claim: Option<Claim>,
    /// The access token held.
    pub(super) access: Option<Access>,
    /// The refresh token held.
    pub(super) refresh: Option<Secret<String>>,
    /// When the refresh token was last used or came, in seconds since 1970, where that is known.
    pub(super) refreshed_at: Option<u64>,
    /// How long before their end its servers refuse tokens, as far as they are known for that.
    pub(super) least_margin: Duration,
    /// Counts the changes of the tokens, over all processes.
    pub(super) serial: u64,
    /// How often another process took something away that let logins in.
    pub(super) overruled: u64,
    /// The right to ask for tokens, kept while the newest ones are not yet in the store.
    pub(super) lease: Option<Lease>,
    /// Who signed in for these tokens, where that is known.
    pub(super) signed_in: Option<SignedIn>,
    /// The application's secret, opened, and the ciphertext it came from.
    pub(super) client_secret: Option<(String, Secret<String>)>,
    /// Whether tokens are held that rest nowhere yet, because no password has come to seal them.
    pub(super) loose: bool,
    /// Whether something was put on the shelf that nobody has tried to write yet.
    pub(super) unwritten: bool,
    /// The request in flight.
    pub(super) flight: Option<watch::Receiver<Option<Landed>>>,
    /// What went wrong last, if nothing has gone right since.
    pub(super) last_error: Option<Diagnosis>,
    /// What a mail server refused last, and which, if it has let nobody in since.
    pub(super) refused: Option<(String, Diagnosis)>,
    /// When a login last got a token, in seconds since 1970.
    pub(super) last_login: Option<u64>,
    /// Whether a token was obtained from the provider in this process.
    pub(super) served: bool,
    /// Whether moving the plain client secret to its encrypted form was tried.
    pub(super) moved_secret: bool,
    /// The last token that a server refused.
    pub(super) spurned: Option<Spurned>,
    /// When the provider was last asked about a new password.
    pub(super) challenged: Option<Instant>,
    /// When to ask and when not to.
    pub(super) pace: Pace,
    /// Passwords that were proven.
    pub(super) proven: Vec<Proof>,
    /// Marks of passwords that were refuted lately.
    pub(super) refuted: VecDeque<Mark>,
    /// Slow checks under way.
    pub(super) checks: Vec<(Mark, Arc<OnceCell<Verdict>>)>,
}

/// How a token request ended, for everybody who waited for it.
#[derive(Clone, Debug)]
pub(super) enum Landed {
    /// With a token.
    Token(AccessToken),
    /// Without one, but another way is left.
    Anew,
    /// With a no.
    Refused(Refusal),
}

impl Account {
    /// Makes an account nobody has used yet.
    pub(super) fn new(name: &str, settings: AccountSettings) -> Self {
        Self {
            name: name.to_owned(),
            asking: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                purpose: Purpose::of(&settings),
                settings: Arc::new(settings),
                lock: Lock::Shut,
                claim: None,
                access: None,
                refresh: None,
                refreshed_at: None,
                least_margin: MARGIN,
                serial: 0,
                overruled: 0,
                lease: None,
                signed_in: None,
                client_secret: None,
                loose: false,
                unwritten: false,
                flight: None,
                last_error: None,
                last_login: None,
                refused: None,
                served: false,
                moved_secret: false,
                spurned: None,
                challenged: None,
                pace: Pace::new(),
                proven: Vec::new(),
                refuted: VecDeque::new(),
                checks: Vec::new(),
            }),
        }
    }

    /// Looks at the state, or changes it. Never held across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    /// Returns a token that need not be renewed yet.
    pub(super) fn fresh(&self) -> Option<AccessToken> {
        let margin = self.margin()?;
        self.alive_for(margin)
    }

    /// Returns a token that is still good at all.
    pub(super) fn alive(&self) -> Option<AccessToken> {
        self.alive_for(Duration::ZERO)
    }

    /// Returns a token that is good for longer than this.
    pub(super) fn alive_for(&self, time: Duration) -> Option<AccessToken> {
        let access = self.access.as_ref().filter(|access| access.left() > time)?;
        Some(access.token.clone())
    }

    /// Returns how long before its end the token held should be renewed.
    fn margin(&self) -> Option<Duration> {
        let access = self.access.as_ref()?;
        Some(access.margin(self.least_margin))
    }

    /// Takes over a token endpoint's answer. An answer without a refresh token leaves the old one in force.
    pub(super) fn take_in(&mut self, tokens: &oauth::Tokens) {
        self.access = Some(Access::new(tokens.access.clone(), tokens.lifetime));
        self.inherit(&tokens.access);
        if tokens.refresh.is_some() {
            self.refresh.clone_from(&tokens.refresh);
        }
        self.refreshed_at = self.refresh.as_ref().map(|_| clock::unix());
        if tokens.signed_in.is_some() {
            self.signed_in.clone_from(&tokens.signed_in);
        }
        self.serial += 1;
        self.last_error = None;
        self.served = true;
        self.pace.succeeded();
    }

    /// Returns whether forgetting the account would lose something.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.pace.is_used()
            || self.loose
            || self.lease.is_some()
            || self.flight.is_some()
            || self.claim.is_some()
    }

    /// Drops all tokens from memory.
    pub(super) fn drop_tokens(&mut self) {
        self.access = None;
        self.refresh = None;
        self.refreshed_at = None;
        self.signed_in = None;
        self.loose = false;
    }

    /// Opens a record's tokens with the key at hand, as far as they are for what the account is for now.
    ///
    /// Returns whether tokens were left behind because they are for something else.
    pub(super) fn open_record(&mut self, name: &str, record: &Record) -> bool {
        let Lock::Open { key, .. } = &self.lock else {
            return false;
        };
        let open = |field: &str| key.open(name, field, record.sealed.get(field)?);
        if let Some(plain) = open("client_secret")
            && let Ok(pair) = serde_json::from_slice::<(String, String)>(plain.reveal())
        {
            self.client_secret = Some((pair.0, Secret::new(pair.1)));
        }
        if record.provider != self.purpose.provider {
            return !record.sealed.is_empty();
        }
        if record.servers == self.purpose.servers {
            let access = open("access_token").as_ref().and_then(Access::from_sealed);
            self.access = access.filter(|access| !self.is_spurned(&access.token));
        }
        self.signed_in =
            open("signed_in").and_then(|plain| serde_json::from_slice(plain.reveal()).ok());
        self.refresh = open("refresh_token")
            .and_then(|plain| String::from_utf8(plain.reveal().clone()).ok())
            .map(Secret::new);
        self.refreshed_at = record.refreshed_at;
        false
    }

    /// Seals what is held; nothing while no key is at hand.
    ///
    /// What did not change since `before` keeps its bytes, so that a store can tell what is new.
    pub(super) fn to_record(
        &self,
        name: &str,
        before: Option<&Record>,
    ) -> Option<Result<Record, &'static str>> {
        let Lock::Open { key, wraps } = &self.lock else {
            return None;
        };
        let mut record = Record {
            wraps: wraps.clone(),
            provider: self.purpose.provider.clone(),
            servers: self.purpose.servers.clone(),
            serial: self.serial,
            refreshed_at: self.refreshed_at.filter(|_| self.refresh.is_some()),
            ..Record::default()
        };
        let mut put = |field: &str, plain: &[u8]| -> Result<(), &'static str> {
            let same = before
                .and_then(|before| before.sealed.get(field))
                .filter(|sealed| {
                    let opened = key.open(name, field, sealed);
                    opened.is_some_and(|opened| opened.reveal() == plain)
                });
            let sealed = match same {
                Some(sealed) => sealed.clone(),
                None => key.seal(name, field, plain)?,
            };
            record.sealed.insert(field.to_owned(), sealed);
            Ok(())
        };
        let filled = (|| {
            if let Some(access) = self.access.as_ref().and_then(Access::to_sealed) {
                put("access_token", zeroize::Zeroizing::new(access).as_slice())?;
            }
            if let Some(refresh) = &self.refresh {
                put("refresh_token", refresh.reveal().as_bytes())?;
            }
            if let Some(signed_in) = &self.signed_in
                && let Ok(plain) = serde_json::to_vec(signed_in)
            {
                put("signed_in", &plain)?;
            }
            if let Some((source, secret)) = &self.client_secret
                && let Ok(pair) = serde_json::to_vec(&(source, secret.reveal()))
            {
                put("client_secret", zeroize::Zeroizing::new(pair).as_slice())?;
            }
            Ok(())
        })();
        Some(filled.map(|()| record))
    }

    /// Returns how a token can be had without asking a person anything; `password` is the login's, where there is one.
    pub(super) fn way(&self, password: Option<&Password>) -> Result<Option<Grant>, Refusal> {
        Ok(match (&self.refresh, self.settings.grant, password) {
            (Some(refresh), _, _) => Some(Grant::Refresh(refresh.clone())),
            (None, GrantKind::ClientCredentials, _) => Some(Grant::ClientCredentials),
            (None, GrantKind::ServiceAccount, _) => Some(Grant::ServiceAccount),
            (None, GrantKind::ManagedIdentity, _) => Some(Grant::ManagedIdentity),
            (None, GrantKind::Password, Some(password)) => {
                Some(Grant::Password(as_text(password)?))
            }
            (None, GrantKind::Password, None)
            | (None, GrantKind::AuthorizationCode | GrantKind::Device, _) => None,
        })
    }

    /// Chooses the application's secret for a request.
    ///
    /// `login` is the password that takes its place where the options say so; `Ok(None)` where none is needed.
    pub(super) fn application_secret(
        &self,
        login: Option<&Password>,
    ) -> Result<Option<Secret<String>>, Refusal> {
        let settings = &self.settings;
        if settings.client_secret.is_some() {
            return Ok(settings.client_secret.clone());
        }
        match (
            &self.client_secret,
            &settings.cached.client_secret_encrypted,
        ) {
            // No source: it came with an imported cache file, whose values win.
            (Some((from, secret)), _) if from.is_empty() => Ok(Some(secret.clone())),
            (Some((from, secret)), Some(source)) if from == source => Ok(Some(secret.clone())),
            (_, Some(stored)) if stored.starts_with(super::secrets::STORED) => {
                Err(Refusal::Misconfigured(format!(
                    "the client_secret_encrypted of account {} is not opened by the store key: store_key is another or none, or the application or its token endpoint has changed; enter client_secret anew",
                    crate::said::Said::new(&settings.name)
                )))
            }
            (_, Some(_)) => Err(Refusal::Misconfigured(format!(
                "the client_secret_encrypted of account {} is not (yet) opened by its password; log in with a mail client first, or enter client_secret anew",
                crate::said::Said::new(&settings.name)
            ))),
            (_, None) => login.map(as_text).transpose(),
        }
    }

    /// Returns whether the login password takes the place of the application's secret.
    pub(super) fn password_is_secret(&self, allowed: bool) -> bool {
        let settings = &self.settings;
        allowed
            && settings.grant == GrantKind::ClientCredentials
            && settings.client_secret.is_none()
            && settings.cached.client_secret_encrypted.is_none()
            && self
                .client_secret
                .as_ref()
                .is_none_or(|(from, _)| !from.is_empty())
            && settings.assertion_certificate.is_none()
            && settings.assertion_file.is_none()
    }
}

/// Returns a password as the text that OAuth2 forms need.
pub(super) fn as_text(password: &Password) -> Result<Secret<String>, Refusal> {
    match std::str::from_utf8(password.reveal()) {
        Ok(text) => Ok(Secret::from(text)),
        Err(_) => Err(Refusal::Misconfigured(
            "the password is not UTF-8, so it cannot be handed to the token endpoint".into(),
        )),
    }
}
