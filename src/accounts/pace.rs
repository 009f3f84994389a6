//! When an account's tokens are asked for although nobody waits, and when not to ask at all.
//!
//! Decides only; asking is for `ahead` and `login`.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use super::access::MARGIN;
use super::clock::{self, TOLERANCE};
use super::token::State;
use crate::config::{AccountSettings, Config, GrantKind, Protocol};
use crate::providers;
use crate::said::Said;

/// The least time between two requests that nobody waits for.
pub(super) const REST: Duration = Duration::from_secs(30);

/// The longest time between two of them while they fail, and the longest that a provider may ask for.
pub(super) const LONG_REST: Duration = Duration::from_secs(15 * 60);

/// How long an account counts as in use behind its last login.
pub(super) const IN_USE: Duration = Duration::from_secs(7 * 86_400);

/// How long refresh tokens live unused where the provider is not known to say.
const IDLE: Duration = Duration::from_secs(30 * 86_400);

/// What was asked when, and when to ask again.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the background may ask next.
    next: Instant,
    /// How often asking failed in a row.
    failures: u32,
    /// Until when the provider wants to be left in peace, and its words.
    closed: Option<(Instant, Said)>,
    /// Spreads accounts that would ask all at once: 0 to 255, thrown anew for each token.
    dice: u8,
    /// The last login, or the start for what was in use before it and is open without one.
    used: Option<Instant>,
    /// Whether nothing was asked for since such a start.
    starting: bool,
}

impl Pace {
    /// Begins rested.
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now(),
            failures: 0,
            closed: None,
            dice: clock::dice(),
            used: None,
            starting: false,
        }
    }

    /// Notes a login; returns whether the account was not in use before it.
    pub(super) fn used(&mut self) -> bool {
        let before = self.is_used();
        self.used = Some(Instant::now());
        !before
    }

    /// Notes that an account which was in use before the start is open without a login.
    pub(super) fn starts_in_use(&mut self) {
        self.used = Some(Instant::now());
        self.starting = true;
    }

    /// Returns whether the account is in use.
    pub(super) fn is_used(&self) -> bool {
        self.used.is_some_and(|at| at.elapsed() < IN_USE)
    }

    /// Notes that the provider is asked now: the background's next time is 30 s away at least, longer after each failure.
    pub(super) fn begins(&mut self) {
        self.starting = false;
        let pause = REST.saturating_mul(1 << self.failures.min(8));
        self.next = self.next.max(Instant::now() + pause.min(LONG_REST));
    }

    /// Notes that a token came.
    pub(super) fn succeeded(&mut self) {
        self.next = Instant::now() + REST;
        self.failures = 0;
        self.closed = None;
        self.dice = clock::dice();
    }

    /// Notes that none came; `wait` is how long the provider wants to be left in peace, where it says so.
    pub(super) fn failed(&mut self, wait: Option<Duration>, said: &Said) {
        self.failures = self.failures.saturating_add(1);
        if let Some(wait) = wait {
            let until = Instant::now() + wait.min(LONG_REST);
            self.next = self.next.max(until);
            self.closed = Some((until, said.clone()));
        }
    }

    /// Returns why the provider must not be asked at this moment, even for a login.
    pub(super) fn closed(&self) -> Option<&Said> {
        let (until, said) = self.closed.as_ref()?;
        (*until > Instant::now()).then_some(said)
    }

    /// Returns whether asking failed so lately that a login with a living token need not ask again.
    pub(super) fn rests(&self) -> bool {
        self.failures > 0 && self.next > Instant::now()
    }

    /// Returns a part of `most` that is this account's own for this token.
    fn spread(&self, most: Duration) -> Duration {
        most * u32::from(self.dice) / 255
    }
}

impl State {
    /// Returns when a token should be asked for although nobody waits for it, if it can be.
    pub(super) fn renewal_due(&self, password_as_secret: bool) -> Option<Instant> {
        let able = self.refresh.is_some()
            || match self.settings.grant {
                GrantKind::ClientCredentials
                | GrantKind::ServiceAccount
                | GrantKind::ManagedIdentity => true,
                GrantKind::AuthorizationCode | GrantKind::Device | GrantKind::Password => false,
            };
        // A secret that only the login brings cannot be used without one.
        if !able
            || self.flight.is_some()
            || !self.is_unlocked()
            || self.password_is_secret(password_as_secret)
        {
            return None;
        }
        let due = [self.ahead_due(), self.keep_alive_due()];
        let first = due.into_iter().flatten().min()?;
        Some(first.max(self.pace.next))
    }

    /// Returns when an access token in use should be renewed: before its margin, and not all at the same moment.
    fn ahead_due(&self) -> Option<Instant> {
        if !self.pace.is_used() {
            return None;
        }
        let Some(access) = &self.access else {
            // It ended while the proxy was away: the first login is to find a new one.
            return self.pace.starting.then(Instant::now);
        };
        let margin = access.margin(self.least_margin);
        let early = margin + self.pace.spread(margin / 4);
        Some(Instant::now() + access.left().saturating_sub(early))
    }

    /// Returns when a refresh token that nobody uses should be used, so that it does not die of that.
    ///
    /// That is after a third of its idle life. One of which nobody knows when it was used last is due as soon as there is no
    /// access token that must have come with it.
    fn keep_alive_due(&self) -> Option<Instant> {
        self.refresh.as_ref()?;
        let third = idle_life(&self.settings) / 3;
        let wait = third.saturating_sub(self.pace.spread(third / 8));
        let left = self
            .refreshed_at
            .and_then(unused_for)
            .map(|unused| wait.saturating_sub(unused))
            .or_else(|| Some(self.access.as_ref()?.left()))
            .unwrap_or_default();
        Some(Instant::now() + left)
    }
}

/// Returns how long ago a Unix time was; nothing where this machine's clock or the one that told it was wrong.
pub(super) fn unused_for(at: u64) -> Option<Duration> {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(at))?;
    match clock::now().duration_since(at) {
        Ok(ago) => Some(ago),
        Err(ahead) => (ahead.duration() <= TOLERANCE).then_some(Duration::ZERO),
    }
}

/// Returns how long a refresh token of the account lives unused.
pub(super) fn idle_life(settings: &AccountSettings) -> Duration {
    let issuer = settings.issuer.as_deref().unwrap_or_default();
    providers::by_endpoint(&settings.token_url)
        .or_else(|| providers::by_endpoint(issuer))
        .and_then(|provider| provider.idle_days)
        .map_or(IDLE, |days| Duration::from_secs(u64::from(days) * 86_400))
}

/// Returns how long before their end the account's servers refuse tokens, as far as they are known for that.
pub(super) fn least_margin(config: &Config, settings: &AccountSettings) -> Duration {
    let own = [
        (Protocol::Imap, &settings.imap_server),
        (Protocol::Pop, &settings.pop_server),
        (Protocol::Smtp, &settings.smtp_server),
    ];
    own.into_iter()
        .flat_map(|(protocol, own)| {
            let services = config.services.iter();
            let services = services.filter(move |service| service.protocol == protocol);
            services
                .map(|service| &service.server)
                .filter(move |_| own.is_none())
                .chain(own)
        })
        .filter_map(|server| providers::by_server(&server.host)?.least_margin)
        .max()
        .unwrap_or(MARGIN)
}
