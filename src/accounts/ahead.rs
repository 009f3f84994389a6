//! What happens while nobody waits: tokens renewed ahead of time, consents that lapse, a disk that is tried again.
//!
//! One task for all accounts; it begins no consent and shows itself to nobody.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::Accounts;
use super::access::Access;
use super::flight::landed;
use super::lock::Pass;
use super::token::Account;
use crate::providers::catalogue::{Diagnosis, own};

/// The longest sleep: after a suspended night the clock on the wall is looked at again soon.
const LONGEST: Duration = Duration::from_secs(60);

/// The shortest sleep between two rounds.
const SHORTEST: Duration = Duration::from_secs(1);

/// How many requests that nobody waits for may be under way at once, over all accounts.
pub(super) const AT_ONCE: usize = 8;

/// The least time between two rounds, whoever asks for one. With [`AT_ONCE`] it bounds what a provider hears from us when
/// everything is due at once, as it is after a suspended night: 10,000 accounts take five minutes, half their margin.
const ROUND: Duration = Duration::from_millis(250);

/// How often the store is looked into for what others wrote.
const NEWS: Duration = Duration::from_secs(15);

/// How soon a store that cannot be written is tried again, at first and at last.
const DISK: Duration = Duration::from_secs(1);
const LATE_DISK: Duration = Duration::from_secs(30);

/// What the background remembers from round to round.
#[derive(Default)]
struct Rounds {
    /// When the store was last looked into.
    news: Option<Instant>,
    /// When a failing store is tried again, and after how long then.
    disk: Option<(Instant, Duration)>,
}

impl Accounts {
    /// Lets the background look at what changed, and starts it the first time.
    pub(super) fn tend(self: &Arc<Self>) {
        self.wake.notify_one();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.tended.swap(true, Ordering::AcqRel) {
            runtime.spawn(tender(Arc::downgrade(self), Arc::clone(&self.wake)));
        }
    }

    /// Does what is due and returns how long nothing else will be.
    async fn look_after(self: &Arc<Self>, rounds: &mut Rounds) -> Duration {
        self.consents.sweep(|consent| {
            let why = "nobody signed in while the address was good; log in again, or ask for a new one by `emailproxy authorize`";
            let known = consent.settings.known();
            self.note_failure(consent, Diagnosis::of(why, &own::SIGN_IN_LAPSED, &known));
        });
        self.warn_of_idle();
        let mut pause = LONGEST;
        if self.store.is_shared() {
            if rounds.news.is_none_or(|at| at.elapsed() >= NEWS) {
                rounds.news = Some(Instant::now());
                if let Err(why) = self.take_news().await {
                    tracing::debug!("{why}; looking again in {} s", NEWS.as_secs());
                }
            }
            pause = NEWS;
        }
        if let Some(again) = self.catch_up(rounds).await {
            pause = pause.min(again);
        }
        let mut due = Vec::new();
        for account in self.everybody() {
            let time = self.due(&account);
            // Looked at only now: what is due at once is due a moment after any time taken before.
            let now = Instant::now();
            match time {
                Some((at, left)) if at <= now => due.push((left, account)),
                Some((at, _)) => pause = pause.min(at - now),
                None => {}
            }
        }
        // Those first whose tokens end first.
        due.sort_by_key(|(left, _)| *left);
        for (_, account) in due {
            let Ok(permit) = Arc::clone(&self.background).try_acquire_owned() else {
                // Whoever lands next wakes us.
                break;
            };
            self.renew_ahead(&account, permit);
        }
        pause.max(SHORTEST)
    }

    /// Writes what a failing store did not take; returns how soon to try again, if it still fails.
    async fn catch_up(self: &Arc<Self>, rounds: &mut Rounds) -> Option<Duration> {
        if !self.store.is_behind() {
            rounds.disk = None;
            self.give_back_leases().await;
            return None;
        }
        let now = Instant::now();
        if let Some((at, _)) = rounds.disk
            && at > now
        {
            return Some(at - now);
        }
        let failed = self.store.is_failing();
        match self.write_down().await {
            Ok(()) => {
                if failed {
                    tracing::info!("the store is written again; nothing was lost");
                }
                rounds.disk = None;
                self.give_back_leases().await;
                None
            }
            Err(why) => {
                let wait = rounds.disk.map_or(DISK, |(_, last)| last * 2);
                let wait = wait.min(LATE_DISK);
                tracing::debug!("{why}; trying again in {} s", wait.as_secs());
                rounds.disk = Some((Instant::now() + wait, wait));
                Some(wait)
            }
        }
    }

    /// Gives back the leases that were kept until the store was written.
    async fn give_back_leases(&self) {
        for account in self.everybody() {
            let lease = account.state().lease.take();
            if let Some(lease) = lease {
                self.turn_ends(lease).await;
            }
        }
    }

    /// Returns when an account's token should be asked for although nobody waits, and how long the one held is good.
    fn due(&self, account: &Account) -> Option<(Instant, Duration)> {
        let world = self.world();
        let options = &world.config.options;
        let state = account.state();
        let at = state.renewal_due(options.use_login_password_as_client_credentials_secret)?;
        let left = state.access.as_ref().map(Access::left);
        Some((at, left.unwrap_or_default()))
    }

    /// Asks for a token that nobody waits for.
    fn renew_ahead(self: &Arc<Self>, account: &Arc<Account>, permit: OwnedSemaphorePermit) {
        let flight = {
            let mut state = account.state();
            let grant = state.way(None).ok().flatten();
            let secret = state.application_secret(None);
            let (Some(grant), Ok(secret)) = (grant, secret) else {
                state.pace.begins();
                return;
            };
            self.fly(account, &mut state, secret, grant, Pass::PROVEN)
        };
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            landed(flight).await;
            drop(permit);
            if let Some(this) = this.upgrade() {
                this.wake.notify_one();
            }
        });
    }
}

/// Looks after the accounts as long as there are any.
async fn tender(accounts: Weak<Accounts>, wake: Arc<Notify>) {
    let mut rounds = Rounds::default();
    loop {
        let pause = match accounts.upgrade() {
            Some(accounts) if !accounts.is_closing() => accounts.look_after(&mut rounds).await,
            _ => return,
        };
        tokio::time::timeout(pause, wake.notified()).await.ok();
        tokio::time::sleep(ROUND).await;
    }
}
