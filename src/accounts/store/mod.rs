//! Where sealed tokens rest: what is in memory of a store, and what is still to be written there.
//!
//! Sees sealed values only; it can open none of them. Of two writers to one record it lets the first win and reports the
//! other's record: who is right is decided where tokens are understood.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::locked;
use backend::{All, Backend, Change, Kept, Lease, Swapped};
pub use place::{Place, Reach};
pub(super) use record::Record;

#[cfg(any(feature = "redis", feature = "postgres", feature = "vault"))]
mod address;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod aws_http;
pub(super) mod backend;
#[cfg(any(
    feature = "redis",
    feature = "postgres",
    feature = "aws",
    feature = "vault"
))]
mod contact;
#[cfg(all(
    test,
    feature = "redis",
    feature = "postgres",
    feature = "aws",
    feature = "vault"
))]
mod contract;
mod file;
#[cfg(any(feature = "aws", feature = "vault"))]
mod http;
mod import;
#[cfg(any(feature = "redis", feature = "postgres"))]
mod line;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "vault")]
mod vault;
#[cfg(feature = "vault")]
mod vault_login;

/// One record in memory.
#[derive(Debug, Default)]
struct Entry {
    /// What is right now, written or not.
    record: Record,
    /// The revision it has or replaces in the store.
    revision: u64,
    /// Counts the changes since the process began.
    changes: u64,
    /// The change that the store has.
    written: u64,
}

/// Somebody else wrote a record that we were about to write. Theirs is in memory now, ours is not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conflict {
    /// The account.
    pub(super) account: String,
    /// What we wanted to write.
    pub(super) ours: Record,
}

/// The store of one process.
#[derive(Debug)]
pub(super) struct Store {
    backend: Arc<dyn Backend>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Held while writing.
    writing: tokio::sync::Mutex<()>,
}

impl Store {
    /// Opens the store at `place`.
    pub(super) fn open(place: &Place, reach: &Reach) -> Result<Self, String> {
        let (backend, all) = place.open(reach)?;
        Ok(Self::with(backend, all))
    }

    /// Keeps records in `backend`, which holds `all` at this moment.
    pub(super) fn with(backend: Arc<dyn Backend>, all: All) -> Self {
        let entries = all
            .into_iter()
            .map(|(account, kept)| (account, entry(kept)));
        Self {
            backend,
            entries: Mutex::new(entries.collect()),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Returns whether other processes may use the store.
    pub(super) fn is_shared(&self) -> bool {
        self.backend.is_shared()
    }

    /// Returns what is known to rest for `account`.
    pub(super) fn record(&self, account: &str) -> Option<Record> {
        let entries = locked(&self.entries);
        entries.get(account).map(|entry| entry.record.clone())
    }

    /// Lists the accounts that something is known to rest for.
    pub(super) fn names(&self) -> Vec<String> {
        locked(&self.entries).keys().cloned().collect()
    }

    /// Lists the accounts whose refresh tokens were last used at a known time, in seconds since 1970.
    pub(super) fn refreshed(&self) -> Vec<(String, u64)> {
        let entries = locked(&self.entries);
        let known = entries.iter().filter_map(|(name, entry)| {
            let at = entry.record.refreshed_at?;
            Some((name.clone(), at))
        });
        known.collect()
    }

    /// Looks in the store for what others wrote for `account`; returns whether that changed what is in memory.
    ///
    /// What waits here to be written stays; it will meet the other's record when it is written. A record that the store
    /// has lost (a Redis that comes back empty) is written again.
    pub(super) async fn look(&self, account: &str) -> Result<bool, String> {
        let kept = self.backend.fetch(account).await?;
        Ok(self.learn(account, kept))
    }

    /// Looks for whatever others wrote; returns the accounts it changed.
    pub(super) async fn news(&self) -> Result<Vec<String>, String> {
        let revisions = self.backend.revisions().await?;
        let stale: Vec<String> = {
            let entries = locked(&self.entries);
            let gone = entries
                .iter()
                .filter(|(name, entry)| entry.revision > 0 && !revisions.contains_key(*name));
            let changed = revisions
                .iter()
                .filter(|(name, revision)| {
                    entries
                        .get(*name)
                        .is_none_or(|entry| entry.revision != **revision)
                })
                .map(|(name, _)| name);
            gone.map(|(name, _)| name).chain(changed).cloned().collect()
        };
        let mut news = Vec::new();
        for account in stale {
            if self.look(&account).await? {
                news.push(account);
            }
        }
        Ok(news)
    }

    /// Takes over what the store says.
    fn learn(&self, account: &str, kept: Option<Kept>) -> bool {
        let mut entries = locked(&self.entries);
        match (entries.get_mut(account), kept) {
            (None, None) => false,
            (None, Some(kept)) => {
                entries.insert(account.to_owned(), entry(kept));
                true
            }
            (Some(known), Some(kept)) => {
                if kept.revision == known.revision || known.changes != known.written {
                    return false;
                }
                let changed = known.record != kept.record;
                *known = entry(kept);
                changed
            }
            (Some(known), None) => {
                if known.revision > 0 {
                    known.revision = 0;
                    known.changes += 1;
                }
                false
            }
        }
    }

    /// Puts a record on the shelf; [`Self::flush`] brings it into the store.
    pub(super) fn put(&self, account: &str, record: Record) {
        let mut entries = locked(&self.entries);
        let entry = entries.entry(account.to_owned()).or_default();
        entry.record = record;
        entry.changes += 1;
    }

    /// Brings everything that was put before into the store. Goes on even if nobody waits for it any more.
    ///
    /// Where somebody else wrote first, theirs is in memory afterwards and ours is returned.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<Vec<Conflict>, String> {
        let store = Arc::clone(self);
        let writing = tokio::spawn(async move { store.write().await });
        writing
            .await
            .map_err(|_| "writing the store broke off".to_owned())?
    }

    async fn write(&self) -> Result<Vec<Conflict>, String> {
        let _writing = self.writing.lock().await;
        let (changes, counts): (Vec<Change>, Vec<u64>) = {
            let entries = locked(&self.entries);
            let behind = entries
                .iter()
                .filter(|(_, entry)| entry.changes != entry.written);
            let change = |(account, entry): (&String, &Entry)| {
                let change = Change {
                    account: account.clone(),
                    expected: entry.revision,
                    record: entry.record.clone(),
                };
                (change, entry.changes)
            };
            behind.map(change).unzip()
        };
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let swapped = self.backend.swap(changes.clone()).await?;
        let mut conflicts = Vec::new();
        let mut entries = locked(&self.entries);
        for ((change, count), swapped) in changes.into_iter().zip(counts).zip(swapped) {
            let known = entries.entry(change.account.clone()).or_default();
            match swapped {
                Swapped::Done(revision) => {
                    known.revision = revision;
                    known.written = count;
                }
                // The store lost it: ours is what there is.
                Swapped::Conflict(None) => known.revision = 0,
                Swapped::Conflict(Some(theirs)) => {
                    let ours = std::mem::take(&mut known.record);
                    *known = entry(theirs);
                    conflicts.push(Conflict {
                        account: change.account,
                        ours,
                    });
                }
            }
        }
        Ok(conflicts)
    }

    /// Returns whether something on the shelf is not yet known to be in the store.
    pub(super) fn is_behind(&self) -> bool {
        let entries = locked(&self.entries);
        entries.values().any(|entry| entry.changes != entry.written)
    }

    /// Takes the lease of an account; nothing while somebody else has it.
    pub(super) async fn lease(&self, account: &str) -> Result<Option<Lease>, String> {
        self.backend.lease(account).await
    }

    /// Gives a lease back.
    pub(super) async fn release(&self, lease: Lease) -> Result<(), String> {
        self.backend.release(lease).await
    }
}

/// Notes a record as it is in the store.
fn entry(kept: Kept) -> Entry {
    Entry {
        record: kept.record,
        revision: kept.revision,
        changes: 0,
        written: 0,
    }
}
