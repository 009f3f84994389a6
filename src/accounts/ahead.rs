//! What happens while nobody waits: tokens renewed ahead of time, consents that lapse, a disk that is tried again.
//!
//! One task for all accounts; it begins no consent and shows itself to nobody.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Accounts;
use super::flight::landed;
use super::lock::Pass;
use super::token::Account;
use crate::oauth::Grant;

/// The longest sleep: after a suspended night the clock on the wall is looked at again soon.
const LONGEST: Duration = Duration::from_secs(60);

/// The shortest sleep between two rounds.
const SHORTEST: Duration = Duration::from_secs(1);

/// How soon a failing disk is tried again.
const DISK: Duration = Duration::from_secs(30);

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
    async fn look_after(self: &Arc<Self>) -> Duration {
        self.consents.sweep();
        let mut pause = LONGEST;
        if self.store.is_behind() {
            match self.write_down().await {
                Ok(()) => tracing::info!("the store is written again; nothing was lost"),
                Err(why) => {
                    tracing::debug!("{why}; trying again in {} s", DISK.as_secs());
                    pause = DISK;
                }
            }
        }
        for account in self.everybody() {
            if let Some(due) = self.renew_if_due(&account) {
                pause = pause.min(due.saturating_duration_since(Instant::now()));
            }
        }
        pause.max(SHORTEST)
    }

    /// Renews an account's token if it is time; returns when it will be otherwise.
    fn renew_if_due(self: &Arc<Self>, account: &Arc<Account>) -> Option<Instant> {
        let world = self.world();
        let allowed = world
            .config
            .options
            .use_login_password_as_client_credentials_secret;
        let mut guard = account.state();
        let state = &mut *guard;
        let spread = account
            .name
            .bytes()
            .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let due = state.renewal_due(spread, allowed)?;
        if due > Instant::now() {
            return Some(due);
        }
        state.renewal_begins();
        let secret = state.application_secret(None).ok()?;
        let grant = match &state.refresh {
            Some(refresh) => Grant::Refresh(refresh.clone()),
            None => Grant::ClientCredentials,
        };
        let flight = self.fly(account, state, secret, grant, Pass::PROVEN);
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            landed(flight).await;
            if let Some(this) = this.upgrade() {
                this.wake.notify_one();
            }
        });
        None
    }
}

/// Looks after the accounts as long as there are any.
async fn tender(accounts: Weak<Accounts>, wake: Arc<Notify>) {
    loop {
        let pause = match accounts.upgrade() {
            Some(accounts) if !accounts.is_closing() => accounts.look_after().await,
            _ => return,
        };
        tokio::time::timeout(pause, wake.notified()).await.ok();
    }
}
