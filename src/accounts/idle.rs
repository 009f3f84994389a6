//! Sign-ins that end because nobody uses them, while nobody can: their accounts are locked.
//!
//! An account whose data key is at hand is kept alive by the background (`pace`). Without it the only help is a person's.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::{idle_life, unused_for};
use super::{Accounts, locked};
use crate::config::AccountSettings;
use crate::said::Said;

/// How often it is looked for them.
const OFTEN: Duration = Duration::from_secs(60 * 60);

/// What was last looked at and said.
#[derive(Debug, Default)]
pub(super) struct Idle {
    looked: Option<Instant>,
    /// The accounts warned of, with the time of the last use that was told.
    told: std::collections::HashMap<String, u64>,
}

impl Accounts {
    /// Warns of locked accounts whose sign-ins end soon, once each.
    pub(super) fn warn_of_idle(&self) {
        let mut idle = locked(&self.idle);
        if idle.looked.is_some_and(|at| at.elapsed() < OFTEN) {
            return;
        }
        idle.looked = Some(Instant::now());
        for (name, at) in self.store.refreshed() {
            if self
                .known(&name)
                .is_some_and(|account| account.state().is_unlocked())
            {
                continue;
            }
            let settings = self.world().config.account(&name).ok();
            let Some(days) = settings.and_then(|settings| days_left(&settings, at)) else {
                continue;
            };
            if idle.told.insert(name.clone(), at) == Some(at) {
                continue;
            }
            let user = Said::new(&name);
            tracing::warn!(
                "the sign-in of account {user} ends in about {days} days, because nobody uses it; a login with its mail password renews it, and with a store key (`store_key`) no login would be needed"
            );
        }
    }
}

/// Returns in how many days a sign-in ends unused, where that is soon: two thirds of its idle life are over.
///
/// `at` is when it was last used, in seconds since 1970.
pub(super) fn days_left(settings: &AccountSettings, at: u64) -> Option<u64> {
    let life = idle_life(settings);
    let unused = unused_for(at)?;
    (unused >= life * 2 / 3).then(|| life.saturating_sub(unused).as_secs() / 86_400)
}
