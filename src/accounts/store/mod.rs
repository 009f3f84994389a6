//! Where sealed tokens rest: what is in memory of a store, and what is still to be written there.
//!
//! Sees sealed values only; it can open none of them. Of two writers to one record it lets the first win and reports the
//! other's record: who is right is decided where tokens are understood.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::locked;
use super::vault::Wrap;
use backend::{All, Backend, Change, Swapped};
pub(super) use backend::{Kept, Lease};
#[cfg(fuzzing)]
pub(super) use file::fuzzing;
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
#[cfg(test)]
#[cfg(all(
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
mod reads;
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
    /// What the store was last known to hold.
    basis: Basis,
    /// Counts the changes since the process began.
    changes: u64,
    /// The change that the store has.
    written: u64,
}

/// What a writer knew of a record: enough to tell afterwards who changed what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Basis {
    /// The record's serial.
    pub(super) serial: u64,
    /// Its wraps.
    pub(super) wraps: Vec<Wrap>,
}

/// Somebody else wrote a record that we were about to write.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// The account.
    pub(super) account: String,
    /// What both started from.
    pub(super) basis: Basis,
    /// What they wrote; [`Store::replace`] takes it over.
    pub(super) theirs: Kept,
}

/// How often a conflict is settled before the write is given up for now.
const ROUNDS: usize = 8;

/// From how many changed records on everything is read at once.
const MANY: usize = 32;

/// Writes that take less time than this may follow each other at once.
const QUICK: Duration = Duration::from_millis(50);

/// The longest pause between two slow writes.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The store of one process.
#[derive(Debug)]
pub(super) struct Store {
    backend: Arc<dyn Backend>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// How many writes have begun.
    begun: AtomicU64,
    /// Whether the last write failed.
    fails: AtomicBool,
    /// Held while writing.
    writing: tokio::sync::Mutex<LastWrite>,
}

/// How the last write went.
#[derive(Debug)]
struct LastWrite {
    /// Which one it was.
    number: u64,
    came_to: Result<(), String>,
    ended: Instant,
    took: Duration,
}

impl Store {
    /// Opens the store at `place`.
    pub(super) fn open(place: &Place, reach: &Reach) -> Result<Self, String> {
        let (backend, all) = place.open(reach)?;
        Ok(Self::with(backend, all))
    }

    /// Opens a store in a file that cannot be replaced.
    #[cfg(test)]
    pub(super) fn fixed(path: &std::path::Path) -> Result<Self, String> {
        let (file, all) = file::FileStore::open(path)?;
        file.fix();
        Ok(Self::with(Arc::new(file), all))
    }

    /// Keeps records in `backend`, which holds `all` at this moment.
    pub(super) fn with(backend: Arc<dyn Backend>, all: All) -> Self {
        let entries = all
            .into_iter()
            .map(|(account, kept)| (account, entry(kept)));
        Self {
            backend,
            entries: Mutex::new(entries.collect()),
            begun: AtomicU64::new(0),
            fails: AtomicBool::new(false),
            writing: tokio::sync::Mutex::new(LastWrite {
                number: 0,
                came_to: Ok(()),
                ended: Instant::now(),
                took: Duration::ZERO,
            }),
        }
    }

    /// Names the store for messages, without secrets.
    pub(super) fn name(&self) -> String {
        self.backend.name()
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

    /// Reads what rests for `account` in the store now; [`Self::learn`] takes it over.
    pub(super) async fn fetch(&self, account: &str) -> Result<Option<Kept>, String> {
        self.backend.fetch(account).await
    }

    /// Reads whatever others wrote since; [`Self::learn`] takes it over.
    pub(super) async fn news(&self) -> Result<Vec<(String, Option<Kept>)>, String> {
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
        if stale.len() > MANY {
            let mut all = self.backend.load().await?;
            let news = stale.into_iter().map(|account| {
                let kept = all.remove(&account);
                (account, kept)
            });
            return Ok(news.collect());
        }
        let mut news = Vec::new();
        for account in stale {
            let kept = self.backend.fetch(&account).await?;
            news.push((account, kept));
        }
        Ok(news)
    }

    /// Takes over what the store says of an account; returns whether that changed what is in memory.
    ///
    /// What waits here to be written stays; it will meet the other's record when it is written. A record that the store
    /// has lost (a Redis that comes back empty, or with an older copy: revisions only grow) is written again.
    pub(super) fn learn(&self, account: &str, kept: Option<Kept>) -> bool {
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
                if kept.revision < known.revision {
                    known.revision = kept.revision;
                    known.changes += 1;
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

    /// Takes over what somebody else wrote first, in place of ours.
    pub(super) fn replace(&self, account: &str, theirs: Kept) {
        locked(&self.entries).insert(account.to_owned(), entry(theirs));
    }

    /// Puts a record on the shelf; [`Self::flush`] brings it into the store.
    pub(super) fn put(&self, account: &str, record: Record) {
        let mut entries = locked(&self.entries);
        let entry = entries.entry(account.to_owned()).or_default();
        entry.record = record;
        entry.changes += 1;
    }

    /// Brings everything that was put before into the store. Goes on even if nobody waits for it any more; whoever waits
    /// for the same write shares it.
    ///
    /// Where somebody else wrote first, `settle` decides: it takes theirs over, and puts what is still to be written.
    pub(super) async fn flush(
        self: &Arc<Self>,
        settle: impl Fn(Conflict) + Send + 'static,
    ) -> Result<(), String> {
        let store = Arc::clone(self);
        let begun = self.begun.load(Ordering::SeqCst);
        let writing = tokio::spawn(async move { store.write(begun, settle).await });
        writing
            .await
            .map_err(|_| "writing the store broke off".to_owned())?
    }

    async fn write(&self, begun: u64, settle: impl Fn(Conflict)) -> Result<(), String> {
        let mut last = self.writing.lock().await;
        if last.number > begun {
            // A write that began behind our change has taken it along.
            return last.came_to.clone();
        }
        if !self.is_behind() {
            return Ok(());
        }
        // A large file takes long to write: while changes come thick and fast they go together, and the disk gets a rest.
        if last.took > QUICK {
            let pause = (last.took * 4).min(LONGEST_PAUSE);
            tokio::time::sleep_until(last.ended + pause).await;
        }
        last.number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let from = Instant::now();
        last.came_to = Err("the store keeps changing under our hands".into());
        for _ in 0..ROUNDS {
            match self.write_once().await {
                Ok(None) => {
                    last.came_to = Ok(());
                    break;
                }
                Ok(Some(conflicts)) => conflicts.into_iter().for_each(&settle),
                Err(why) => {
                    last.came_to = Err(why);
                    break;
                }
            }
        }
        self.fails.store(last.came_to.is_err(), Ordering::Relaxed);
        last.ended = Instant::now();
        last.took = last.ended - from;
        last.came_to.clone()
    }

    /// Writes what is on the shelf; returns what is still to be settled and written then, if anything is.
    async fn write_once(&self) -> Result<Option<Vec<Conflict>>, String> {
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
            return Ok(None);
        }
        let swapped = self.backend.swap(changes.clone()).await?;
        let (mut again, mut conflicts) = (false, Vec::new());
        let mut entries = locked(&self.entries);
        for ((change, count), swapped) in changes.into_iter().zip(counts).zip(swapped) {
            let known = entries.entry(change.account.clone()).or_default();
            match swapped {
                Swapped::Done(revision) => {
                    known.revision = revision;
                    known.written = count;
                    known.basis = Basis::of(&change.record);
                }
                // The store lost it: ours is what there is.
                Swapped::Conflict(None) => {
                    known.revision = 0;
                    again = true;
                }
                // The store came back with an older copy: ours is newer.
                Swapped::Conflict(Some(theirs)) if theirs.revision < known.revision => {
                    known.revision = theirs.revision;
                    again = true;
                }
                Swapped::Conflict(Some(theirs)) => conflicts.push(Conflict {
                    account: change.account,
                    basis: known.basis.clone(),
                    theirs,
                }),
            }
        }
        Ok((again || !conflicts.is_empty()).then_some(conflicts))
    }

    /// Returns whether something on the shelf is not yet known to be in the store.
    pub(super) fn is_behind(&self) -> bool {
        let entries = locked(&self.entries);
        entries.values().any(|entry| entry.changes != entry.written)
    }

    /// Returns whether something of `account` is not yet in the store although the store can be written to.
    pub(super) fn owes(&self, account: &str) -> bool {
        let entries = locked(&self.entries);
        let entry = entries.get(account);
        entry.is_some_and(|entry| entry.changes != entry.written) && !self.is_failing()
    }

    /// Returns whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
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

impl Basis {
    fn of(record: &Record) -> Self {
        Self {
            serial: record.serial,
            wraps: record.wraps.clone(),
        }
    }
}

/// Notes a record as it is in the store.
fn entry(kept: Kept) -> Entry {
    Entry {
        basis: Basis::of(&kept.record),
        record: kept.record,
        revision: kept.revision,
        changes: 0,
        written: 0,
    }
}
