//! What other processes wrote to the store: their tokens and passwords taken over, and two writers brought together.
//!
//! Tokens: whoever renewed them under the lease wrote them, and one who only changed passwords keeps them. Where both
//! changed them the store's win: a refresh token that another process holds is one that it will use. Passwords: what
//! either added is there, what either took away is gone.

use std::sync::Arc;

use super::Accounts;
use super::lock::Lock;
use super::store::{Conflict, Record};
use super::token::{Account, State};
use super::vault::Wrap;
use crate::said::Said;

impl Accounts {
    /// Looks in the store for what others wrote for an account, and takes it over.
    pub(super) async fn look(&self, account: &Account) -> Result<(), String> {
        let kept = self.store.fetch(&account.name).await?;
        self.learn(account, kept);
        Ok(())
    }

    /// Looks in the store for whatever others wrote, and takes it over.
    pub(super) async fn take_news(&self) -> Result<(), String> {
        for (name, kept) in self.store.news().await? {
            let known = match self.known(&name) {
                Some(account) => Some(account),
                // An account that the store key opens is tended from now on, without a login.
                None => {
                    self.store.learn(&name, kept.clone());
                    if self.opens_unattended(&name) {
                        self.account(&name).ok()
                    } else {
                        None
                    }
                }
            };
            if let Some(account) = known {
                self.learn(&account, kept);
            }
        }
        Ok(())
    }

    /// Takes over what the store holds of an account. Nobody sees the one changed and the other not.
    fn learn(&self, account: &Account, kept: Option<super::store::Kept>) {
        let mut guard = account.state();
        let state = &mut *guard;
        if self.store.learn(&account.name, kept)
            && let Some(record) = self.store.record(&account.name)
        {
            self.adopt(account, state, &record);
        }
    }

    /// Takes over another process' record.
    fn adopt(&self, account: &Account, state: &mut State, record: &Record) {
        if !state.adopt(record) {
            tracing::info!(
                "account {} has other passwords since another process wrote it; its next login is checked anew",
                Said::new(&account.name)
            );
        }
        self.unlock_by_store(account, state);
    }

    /// Brings our record and theirs together.
    pub(super) fn settle(&self, conflict: Conflict) {
        let Conflict {
            account: name,
            basis,
            theirs,
        } = conflict;
        let Some(account) = self.known(&name) else {
            // Nobody here holds its tokens any more.
            self.store.replace(&name, theirs);
            return;
        };
        let mut guard = account.state();
        let state = &mut *guard;
        let record = theirs.record.clone();
        let ours = self.store.record(&name).unwrap_or_default();
        self.store.replace(&name, theirs);
        if !state.opens(&record) {
            self.adopt(&account, state, &record);
            // Passwords can be taken away without the data key.
            let wraps = merge(&basis.wraps, &ours.wraps, &record.wraps);
            if !state.is_unlocked() && wraps.len() < record.wraps.len() {
                let left = Record { wraps, ..record };
                let nobody = left.wraps.is_empty();
                self.store
                    .put(&name, if nobody { Record::default() } else { left });
            }
            return;
        }
        let wraps = merge(&basis.wraps, state.wraps(), &record.wraps);
        let newer_there = record.serial > basis.serial;
        let newer_here = state.serial != basis.serial;
        // A sign-in that they know nothing of is worth more than their knowing of none.
        let theirs_win = newer_there && (record.holds_refresh_token() || state.refresh.is_none());
        tracing::debug!(
            "another process wrote account {} before us; tokens: {}",
            Said::new(&name),
            if newer_here && !theirs_win {
                "ours"
            } else {
                "theirs"
            }
        );
        let ours = newer_here && !theirs_win;
        if ours {
            state.serial = state.serial.max(record.serial + 1);
        } else {
            state.adopt(&record);
        }
        let put = ours || wraps != record.wraps;
        state.rewrap(wraps);
        if put {
            self.shelve(&account, state);
        }
    }

    /// Returns whether the store key may open an account.
    fn opens_unattended(&self, name: &str) -> bool {
        let record = self.store.record(name).unwrap_or_default();
        self.store_key.is_some() && record.wraps.iter().any(Wrap::is_by_store)
    }
}

impl State {
    /// Returns whether a record is closed with the data key at hand.
    fn opens(&self, record: &Record) -> bool {
        let Lock::Open { key, wraps } = &self.lock else {
            return false;
        };
        // A wrap that both have wraps one key; where there is none, a field tells.
        let shared = wraps
            .iter()
            .any(|ours| record.wraps.iter().any(|theirs| theirs.is(ours)));
        shared
            || record
                .sealed
                .iter()
                .any(|(field, sealed)| key.open(&self.settings.name, field, sealed).is_some())
    }

    /// Takes over another process' record. Passwords that it no longer knows open nothing any more.
    ///
    /// Returns false where it is closed with another data key: then the account is locked until somebody opens that, and
    /// tokens held here stay only if the record has none. Where nobody's password is left its tokens are gone on purpose.
    pub(super) fn adopt(&mut self, record: &Record) -> bool {
        // Another process has taken another first password.
        let taken = record.wraps.iter().any(Wrap::is_by_password);
        if taken && self.is_claimed() {
            self.claim = None;
            self.overruled += 1;
        }
        if !self.is_unlocked() {
            self.refuted.clear();
            return true;
        }
        if !self.opens(record) {
            self.lock = Lock::Shut;
            self.forget_proofs();
            self.overruled += 1;
            if record.holds_tokens() || record.wraps.is_empty() {
                self.drop_tokens();
            } else {
                self.loose = self.access.is_some() || self.refresh.is_some();
            }
            self.serial = record.serial;
            return false;
        }
        self.rewrap(record.wraps.clone());
        if record.serial != self.serial {
            // Tokens for something else are not ours, and ours go on.
            if record.provider == self.purpose.provider {
                self.drop_tokens();
                self.last_error = None;
            }
            let name = Arc::clone(&self.settings);
            self.open_record(&name.name, record);
            self.serial = record.serial;
        }
        true
    }

    /// Notes which passwords open the data key at hand.
    fn rewrap(&mut self, now: Vec<Wrap>) {
        if let Lock::Open { wraps, .. } = &mut self.lock
            && *wraps != now
        {
            if wraps.iter().any(|old| !now.iter().any(|new| new.is(old))) {
                self.overruled += 1;
            }
            *wraps = now;
            // What was wrong may be right now. What was right is looked up among the wraps at each login.
            self.refuted.clear();
        }
    }
}

/// Brings two changes of one list of wraps together.
fn merge(basis: &[Wrap], ours: &[Wrap], theirs: &[Wrap]) -> Vec<Wrap> {
    let has = |list: &[Wrap], wrap: &Wrap| list.iter().any(|other| other.is(wrap));
    let stay = theirs
        .iter()
        .filter(|wrap| has(ours, wrap) || !has(basis, wrap));
    let come = ours
        .iter()
        .filter(|wrap| !has(basis, wrap) && !has(theirs, wrap));
    stay.chain(come).cloned().collect()
}
