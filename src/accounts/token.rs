//! One account's state: its lock, its tokens, and the one request that may be in flight for it.
//!
//! Decides what is valid and what comes next; asks nobody and writes no file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::locked;
use super::proof::Mark;
use super::store::Record;
use super::vault::{DataKey, Wrap};
use crate::config::{AccountSettings, GrantKind};
use crate::oauth;
use crate::refusal::Refusal;
use crate::secret::{AccessToken, Password, Secret};

/// How long before its end a token is renewed, at most.
const MARGIN: Duration = Duration::from_secs(600);

/// The life of a token whose issuer did not say, and of tokens taken over from the predecessor.
const USUAL_LIFE: Duration = Duration::from_secs(3_600);

/// The least time between two requests that nobody waits for.
const REST: Duration = Duration::from_secs(30);

/// The longest time between two of them while they fail.
const LONG_REST: Duration = Duration::from_secs(15 * 60);

/// How many proven, refuted or running checks are remembered for one account.
const MARKS: usize = 16;

/// One account.
pub(super) struct Account {
    /// The user name as clients send it.
    pub(super) name: String,
    state: Mutex<State>,
}

/// What is known of an account at this moment.
pub(super) struct State {
    /// Its settings.
    pub(super) settings: Arc<AccountSettings>,
    /// What its tokens are for.
    pub(super) purpose: Purpose,
    /// Who may use it.
    pub(super) lock: Lock,
    /// The access token held.
    pub(super) access: Option<Access>,
    /// The refresh token held.
    pub(super) refresh: Option<Secret<String>>,
    /// The application's secret, opened, and the ciphertext it came from.
    pub(super) client_secret: Option<(String, Secret<String>)>,
    /// Whether tokens are held that rest nowhere yet, because no password has come to seal them.
    pub(super) loose: bool,
    /// The request in flight.
    pub(super) flight: Option<watch::Receiver<Option<Landed>>>,
    /// What went wrong last, if nothing has gone right since.
    pub(super) last_error: Option<String>,
    /// Whether a login went through in this process.
    pub(super) used: bool,
    /// Whether a token was obtained from the provider in this process.
    pub(super) served: bool,
    /// Whether moving the plain client secret to its encrypted form was tried.
    pub(super) moved_secret: bool,
    /// When a token was last dropped because a server refused it.
    pub(super) dropped: Option<Instant>,
    /// When the background may ask next, and how often it failed in a row.
    pub(super) rest: (Instant, u32),
    proven: Vec<Mark>,
    refuted: VecDeque<Mark>,
    checks: Vec<(Mark, Arc<OnceCell<Verdict>>)>,
}

/// Who may use an account.
pub(super) enum Lock {
    /// Nobody has proven a password in this process.
    Shut,
    /// A first password is chosen; it counts once a token was obtained.
    Claimed(Claim),
    /// A password was proven: the data key is at hand.
    Open {
        /// The key.
        key: DataKey,
        /// Its wraps.
        wraps: Vec<Wrap>,
    },
}

/// A first password, ready to seal.
pub(super) struct Claim {
    mark: Mark,
    key: DataKey,
    wrap: Wrap,
    /// Cloned by every login that waits with this password.
    held: Arc<()>,
}

/// What a check of a password came to.
#[derive(Clone)]
pub(super) enum Verdict {
    /// Go on, holding this.
    Pass(Pass),
    /// It is the wrong one.
    Wrong,
    /// It cannot be checked.
    Refused(Refusal),
    /// The account changed meanwhile: look again.
    Again,
}

/// The right to use an account; for a first password it keeps others from choosing theirs.
#[derive(Clone)]
pub(super) struct Pass {
    #[expect(
        dead_code,
        reason = "its count tells whether anybody waits with a first password"
    )]
    held: Option<Arc<()>>,
}

impl Pass {
    /// The pass of a password that is proven already: nothing to hold.
    pub(super) const PROVEN: Self = Self { held: None };
}

/// What a first look at a password says.
pub(super) enum Look {
    /// Known to be right.
    Right(Pass),
    /// Known to be wrong, or another first password is waiting.
    Wrong,
    /// To be checked; everybody with this password shares the check.
    Check(Arc<OnceCell<Verdict>>),
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

/// An access token and its time.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: AccessToken,
    /// Its end by the clock on the wall, which a suspended machine does not stop.
    expires: SystemTime,
    /// Its end by the machine's own clock, which nobody sets back.
    ends: Instant,
    life: Duration,
}

/// An access token as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    token: String,
    expires: u64,
    life: u64,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

/// What tokens are for: they go nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Provider, application, scope and grant.
    pub(super) provider: String,
    /// The mail servers named by the account.
    pub(super) servers: String,
}

impl Purpose {
    /// Digests the settings that decide.
    pub(super) fn of(settings: &AccountSettings) -> Self {
        let server =
            |upstream: &Option<crate::config::Upstream>| upstream.as_ref().map(ToString::to_string);
        Self {
            provider: digest(&[
                Some(settings.grant.as_str()),
                Some(&settings.token_url),
                settings.permission_url.as_deref(),
                Some(&settings.client_id),
                Some(&settings.scope),
                settings.resource.as_deref(),
            ]),
            servers: digest(&[
                server(&settings.imap_server).as_deref(),
                server(&settings.pop_server).as_deref(),
                server(&settings.smtp_server).as_deref(),
            ]),
        }
    }
}

/// Digests a list of texts so that no two lists share one.
pub(super) fn digest(parts: &[Option<&str>]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let length = part.map_or(u64::MAX, |text| text.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default().as_bytes());
    }
    STANDARD_NO_PAD.encode(context.finish())
}

impl Access {
    /// Notes a token that is good for `life` from now.
    pub(super) fn new(token: AccessToken, life: Duration) -> Self {
        // A life beyond ten years is a mistake of the issuer, not a reason to overflow.
        let life = life.min(Duration::from_secs(10 * 365 * 86_400));
        Self {
            token,
            expires: SystemTime::now() + life,
            ends: Instant::now() + life,
            life,
        }
    }

    /// Notes a token that ends at a Unix time.
    pub(super) fn until(token: AccessToken, expires: u64, life: Duration) -> Option<Self> {
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(expires))?;
        let left = expires.duration_since(SystemTime::now()).ok()?.min(life);
        Some(Self {
            token,
            expires,
            ends: Instant::now() + left,
            life,
        })
    }

    /// Notes a token taken over from the predecessor.
    pub(super) fn taken_over(token: AccessToken, expires: i64) -> Option<Self> {
        Self::until(token, u64::try_from(expires).ok()?, USUAL_LIFE)
    }

    /// Returns how long it is still good.
    pub(super) fn left(&self) -> Duration {
        let wall = self.expires.duration_since(SystemTime::now());
        let own = self.ends.saturating_duration_since(Instant::now());
        own.min(wall.unwrap_or_default())
    }

    /// Returns how long before its end it should be renewed.
    pub(super) fn margin(&self) -> Duration {
        MARGIN.min(self.life / 2)
    }

    /// Returns whether it need not be renewed yet.
    fn is_fresh(&self) -> bool {
        self.left() > self.margin()
    }

    fn to_sealed(&self) -> Option<Vec<u8>> {
        let expires = self.expires.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let sealed = Sealed {
            token: self.token.reveal().to_owned(),
            expires,
            life: self.life.as_secs(),
        };
        serde_json::to_vec(&sealed).ok()
    }

    fn from_sealed(plain: &Secret<Vec<u8>>) -> Option<Self> {
        let sealed: Sealed = serde_json::from_slice(plain.reveal()).ok()?;
        let token = AccessToken::parse(&sealed.token).ok()?;
        Self::until(token, sealed.expires, Duration::from_secs(sealed.life))
    }
}

impl Account {
    /// Makes an account nobody has used yet.
    pub(super) fn new(name: &str, settings: AccountSettings) -> Self {
        Self {
            name: name.to_owned(),
            state: Mutex::new(State {
                purpose: Purpose::of(&settings),
                settings: Arc::new(settings),
                lock: Lock::Shut,
                access: None,
                refresh: None,
                client_secret: None,
                loose: false,
                flight: None,
                last_error: None,
                used: false,
                served: false,
                moved_secret: false,
                dropped: None,
                rest: (Instant::now(), 0),
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
    /// Judges a password as far as it can be done at once; names the shared check otherwise.
    pub(super) fn look(&mut self, mark: Mark) -> Result<Look, Refusal> {
        if self.proven.iter().any(|known| known.same(&mark)) {
            return Ok(Look::Right(Pass::PROVEN));
        }
        if let Lock::Claimed(claim) = &self.lock {
            if claim.mark.same(&mark) {
                let held = Some(Arc::clone(&claim.held));
                return Ok(Look::Right(Pass { held }));
            }
            if Arc::strong_count(&claim.held) > 1 {
                return Ok(Look::Wrong);
            }
        }
        if self.refuted.iter().any(|known| known.same(&mark)) {
            return Ok(Look::Wrong);
        }
        if let Some((_, check)) = self.checks.iter().find(|(known, _)| known.same(&mark)) {
            return Ok(Look::Check(Arc::clone(check)));
        }
        // Checks whose logins all hung up are of no use to anybody.
        self.checks
            .retain(|(_, check)| Arc::strong_count(check) > 1);
        if self.checks.len() >= MARKS {
            return Err(Refusal::Busy);
        }
        let check = Arc::new(OnceCell::new());
        self.checks.push((mark, Arc::clone(&check)));
        Ok(Look::Check(check))
    }

    /// Ends a check.
    pub(super) fn checked(&mut self, check: &Arc<OnceCell<Verdict>>) {
        self.checks.retain(|(_, known)| !Arc::ptr_eq(known, check));
    }

    /// Remembers that a password is wrong, so that asking again costs nothing.
    pub(super) fn refute(&mut self, mark: Mark) {
        if self.refuted.len() >= MARKS {
            self.refuted.pop_front();
        }
        self.refuted.push_back(mark);
    }

    /// Notes a first password, unless another one came first.
    pub(super) fn claim(&mut self, mark: Mark, key: DataKey, wrap: Wrap) -> Option<Pass> {
        let free = match &self.lock {
            Lock::Shut => true,
            Lock::Claimed(other) => Arc::strong_count(&other.held) == 1,
            Lock::Open { .. } => false,
        };
        if !free {
            return None;
        }
        let held = Arc::new(());
        self.refuted.clear();
        self.lock = Lock::Claimed(Claim {
            mark,
            key,
            wrap,
            held: Arc::clone(&held),
        });
        Some(Pass { held: Some(held) })
    }

    /// Lets a proven password in, with the key it opened.
    pub(super) fn unlock(&mut self, mark: Mark, key: DataKey, wraps: Vec<Wrap>) {
        self.lock = Lock::Open { key, wraps };
        self.remember(mark);
    }

    /// Remembers a proven password.
    fn remember(&mut self, mark: Mark) {
        self.refuted.retain(|known| !known.same(&mark));
        if self.proven.len() >= MARKS {
            self.proven.remove(0);
        }
        self.proven.push(mark);
    }

    /// Forgets every proof, so that the next login is checked slowly.
    pub(super) fn forget_proofs(&mut self) {
        self.proven.clear();
        self.refuted.clear();
    }

    /// Makes a waiting first password the account's own: a token was obtained.
    pub(super) fn settle_claim(&mut self) {
        if let Lock::Claimed(claim) = &self.lock {
            let (mark, key, wrap) = (claim.mark, claim.key.clone(), claim.wrap.clone());
            self.unlock(mark, key, vec![wrap]);
        }
    }

    /// Returns a token that need not be renewed yet.
    pub(super) fn fresh(&self) -> Option<AccessToken> {
        let access = self.access.as_ref().filter(|access| access.is_fresh())?;
        Some(access.token.clone())
    }

    /// Returns a token that is still good at all.
    pub(super) fn alive(&self) -> Option<AccessToken> {
        let access = self
            .access
            .as_ref()
            .filter(|access| !access.left().is_zero())?;
        Some(access.token.clone())
    }

    /// Takes over a token endpoint's answer. An answer without a refresh token leaves the old one in force.
    pub(super) fn take_in(&mut self, tokens: &oauth::Tokens) {
        self.access = Some(Access::new(tokens.access.clone(), tokens.lifetime));
        if tokens.refresh.is_some() {
            self.refresh.clone_from(&tokens.refresh);
        }
        self.last_error = None;
        self.served = true;
        self.rest = (Instant::now() + REST, 0);
    }

    /// Returns whether forgetting the account would lose something.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.used || self.loose || self.flight.is_some()
    }

    /// Drops all tokens from memory.
    pub(super) fn drop_tokens(&mut self) {
        self.access = None;
        self.refresh = None;
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
            self.access = open("access_token").as_ref().and_then(Access::from_sealed);
        }
        self.refresh = open("refresh_token")
            .and_then(|plain| String::from_utf8(plain.reveal().clone()).ok())
            .map(Secret::new);
        false
    }

    /// Seals what is held; nothing while no key is at hand.
    pub(super) fn to_record(&self, name: &str) -> Option<Result<Record, &'static str>> {
        let Lock::Open { key, wraps } = &self.lock else {
            return None;
        };
        let mut record = Record {
            wraps: wraps.clone(),
            provider: self.purpose.provider.clone(),
            servers: self.purpose.servers.clone(),
            ..Record::default()
        };
        let mut put = |field: &str, plain: &[u8]| -> Result<(), &'static str> {
            let sealed = key.seal(name, field, plain)?;
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
            if let Some((source, secret)) = &self.client_secret
                && let Ok(pair) = serde_json::to_vec(&(source, secret.reveal()))
            {
                put("client_secret", zeroize::Zeroizing::new(pair).as_slice())?;
            }
            Ok(())
        })();
        Some(filled.map(|()| record))
    }

    /// Returns when the token should be renewed although nobody waits for it, if it can be.
    ///
    /// `spread` (0 to 255) keeps accounts from asking all at once.
    pub(super) fn renewal_due(&self, spread: u8, password_as_secret: bool) -> Option<Instant> {
        let able = match &self.refresh {
            Some(_) => true,
            None => self.settings.grant == GrantKind::ClientCredentials,
        };
        if !able || !self.used || self.flight.is_some() || !matches!(self.lock, Lock::Open { .. }) {
            return None;
        }
        // A secret that only the login brings cannot be used without one.
        if self.password_is_secret(password_as_secret) {
            return None;
        }
        let access = self.access.as_ref()?;
        let margin = access.margin();
        let early = (margin / 10).min(Duration::from_secs(60)) * u32::from(spread) / 255;
        let due = Instant::now() + access.left().saturating_sub(margin + early);
        Some(due.max(self.rest.0))
    }

    /// Notes that the background asks now: the next time is 30 s away at least, longer after each failure.
    pub(super) fn renewal_begins(&mut self) {
        let failures = self.rest.1;
        let pause = REST.saturating_mul(1 << failures.min(8)).min(LONG_REST);
        self.rest = (Instant::now() + pause, failures.saturating_add(1));
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
