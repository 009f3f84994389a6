//! What the store key is for: accounts that are open from start, before anybody has logged in.
//!
//! Knows neither where the key is kept nor what the tokens are used for. A record that the key does not open is left as
//! it is: its passwords still open it.

use super::keys::StoreKey;
use super::lock::Lock;
use super::pace::{IN_USE, unused_for};
use super::predecessor;
use super::store::{Place, Record, Store};
use super::token::{Account, State};
use super::vault::{DataKey, Wrap};
use super::{Accounts, Setup};
use crate::config::Config;
use crate::said::Said;

/// Gets the store key, where the configuration names one; `store` is open already.
pub(super) fn fetch(
    config: &Config,
    setup: &Setup,
    store: &Store,
) -> Result<Option<StoreKey>, String> {
    let Some(from) = &config.options.store_key else {
        return Ok(None);
    };
    // A store that is a service may hold what this key's predecessor closed, and other proxies have the key already.
    let may_make = matches!(setup.store, Place::File(_))
        && !store.names().iter().any(|name| {
            let record = store.record(name).unwrap_or_default();
            record.wraps.iter().any(Wrap::is_by_store)
        });
    StoreKey::fetch(from, may_make).map(Some)
}

impl Accounts {
    /// Opens what the store key opens, and says what it does not.
    pub(super) fn open_unattended(&self) {
        if self.store_key.is_none() {
            return;
        }
        let (mut open, mut shut) = (0_usize, Vec::new());
        for name in self.store.names() {
            let record = self.store.record(&name).unwrap_or_default();
            // What the configuration no longer has is nobody's account.
            if !record.wraps.iter().any(Wrap::is_by_store) {
                continue;
            }
            let Ok(account) = self.account(&name) else {
                continue;
            };
            let mut state = account.state();
            if state.is_unlocked() {
                open += 1;
                let ago = state.refreshed_at.and_then(unused_for);
                if state.access.is_some() || ago.is_some_and(|ago| ago < IN_USE) {
                    state.pace.starts_in_use();
                }
            } else {
                shut.push(Said::new(&name).to_string());
            }
        }
        if open > 0 {
            tracing::info!("the store key opened {open} accounts; they need no login first");
        }
        if !shut.is_empty() {
            tracing::warn!(
                "the store key is not the one that {} accounts were closed with; they stay locked until their next login, which closes them with this one: {}",
                shut.len(),
                shut.join(", ")
            );
        }
    }

    /// Opens an account with the store key, if that is to be had and fits. Does nothing to one that is open.
    pub(super) fn unlock_by_store(&self, account: &Account, state: &mut State) {
        if state.is_unlocked() {
            return;
        }
        let (Some(store_key), Some(record)) = (&self.store_key, self.store.record(&account.name))
        else {
            return;
        };
        let Some(key) = store_key.open(&account.name, &record.wraps) else {
            return;
        };
        state.lock = Lock::Open {
            key,
            wraps: record.wraps.clone(),
        };
        state.bring_in(&record);
    }

    /// Brings the store key's wrap up to date before a record is written; without a store key there is none.
    ///
    /// Tokens of an account that has no password yet get a data key of their own here.
    pub(super) fn wrap_by_store(&self, account: &Account, state: &mut State) {
        let user = Said::new(&account.name);
        if !state.is_unlocked() {
            let holds = state.access.is_some() || state.refresh.is_some();
            if self.store_key.is_none() || !holds || !self.is_new(&account.name, state) {
                return;
            }
            match DataKey::fresh() {
                Ok(key) => {
                    let wraps = Vec::new();
                    state.lock = Lock::Open { key, wraps };
                }
                Err(why) => tracing::error!("could not seal the tokens of account {user}: {why}"),
            }
        }
        let Lock::Open { key, wraps } = &mut state.lock else {
            return;
        };
        let Some(store_key) = &self.store_key else {
            let before = wraps.len();
            wraps.retain(|wrap| !wrap.is_by_store());
            if wraps.len() < before {
                tracing::info!(
                    "account {user} is no longer open to a store key: store_key is not set"
                );
            }
            return;
        };
        if store_key.open(&account.name, wraps).is_some() {
            return;
        }
        match store_key.wrap(&account.name, key) {
            Ok(wrap) => {
                wraps.retain(|wrap| !wrap.is_by_store());
                wraps.push(wrap);
                tracing::info!("account {user} is now open to the store key too");
            }
            Err(why) => tracing::error!("the store key cannot close account {user}: {why}"),
        }
    }

    /// Returns whether the store key opens the account: at the next start it needs no login.
    pub(super) fn opens_by_store(&self, account: &Account, wraps: &[Wrap]) -> bool {
        let key = self.store_key.as_ref();
        key.is_some_and(|key| key.open(&account.name, wraps).is_some())
    }

    /// Returns whether the next write would change who can open the account.
    pub(super) fn owes_store_wrap(&self, account: &Account, state: &State) -> bool {
        match &self.store_key {
            Some(_) => !self.opens_by_store(account, state.wraps()),
            None => state.wraps().iter().any(Wrap::is_by_store),
        }
    }

    /// Returns whether nothing rests for an account that somebody's password would have to open.
    pub(super) fn is_new(&self, name: &str, state: &State) -> bool {
        let record = self.store.record(name).unwrap_or_default();
        let cached = predecessor::overlay(&state.settings.cached, record.predecessor.as_ref());
        record.wraps.is_empty() && !predecessor::holds_anything(&cached)
    }

    /// Returns whether an account's first password is yet to come.
    pub(super) fn awaits_first_password(&self, name: &str, state: &State) -> bool {
        let record = self.store.record(name).unwrap_or_default();
        let cached = predecessor::overlay(&state.settings.cached, record.predecessor.as_ref());
        let taken = |wraps: &[Wrap]| wraps.iter().any(Wrap::is_by_password);
        !taken(&record.wraps) && !taken(state.wraps()) && !predecessor::holds_anything(&cached)
    }
}

impl State {
    /// Brings a record's tokens into use. Those of a consent given meanwhile are newer and stay.
    pub(super) fn bring_in(&mut self, record: &Record) {
        let newer = self
            .loose
            .then(|| (self.access.take(), self.refresh.take(), self.refreshed_at));
        let name = self.settings.name.clone();
        if self.open_record(&name, record) {
            tracing::warn!(
                "the stored tokens of account {} are for another provider, application or scope than configured now; they are not used",
                Said::new(&name)
            );
        }
        self.serial = record.serial;
        if let Some((access, refresh, refreshed_at)) = newer {
            self.serial += 1;
            self.access = access.or(self.access.take());
            if refresh.is_some() {
                self.refreshed_at = refreshed_at;
            }
            self.refresh = refresh.or(self.refresh.take());
        }
    }
}
