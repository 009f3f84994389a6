//! The file in which sealed tokens rest: one JSON text, 0600, replaced whole or not at all, by one process at a time.
//!
//! Sees sealed values only; it can open none of them. What it cannot read it never overwrites. Where the file cannot be
//! replaced (a mount of its own, a closed directory) a new document is written beside the old one inside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::backend::{All, Backend, Change, Doing, Kept, Lease, Swapped};
use super::{Record, import};
use crate::accounts::locked;
use crate::config::ownership;
use disk::Look;
pub(super) use disk::{beside, private, resolve};
use text::{Held, Row};

mod disk;
#[cfg(fuzzing)]
pub(in crate::accounts) mod fuzzing;
mod lease;
#[cfg(test)]
mod tests;
mod text;

/// How people call it.
const WHAT: &str = "the store";

/// What to do about a file that makes no sense.
pub(super) const LEFT_ALONE: &str = "it is left as it is; bring back a good copy, or move it away to begin anew (every account then needs a new sign-in)";

/// Returns the directory of a store's leases.
pub(super) fn leases(store: &Path) -> PathBuf {
    beside(store, ".leases")
}

/// The store in a file.
#[derive(Debug)]
pub(super) struct FileStore {
    path: PathBuf,
    known: Mutex<Known>,
}

/// What this process knows of the file.
#[derive(Debug, Default)]
struct Known {
    held: Held,
    /// What the file looked like when it held that.
    look: Option<Look>,
    /// The highest number of any writing that was seen.
    highest: u64,
    /// Whether it cannot be replaced, so that documents are written into it.
    fixed: bool,
}

impl FileStore {
    /// Opens the store at `path`; a cache file of the predecessor is imported.
    ///
    /// What we wrote must be its owner's alone: where others may have read or changed it, that is for a person to know.
    /// A file that was somebody else's before, or is empty, is closed to others.
    pub(super) fn open(path: &Path) -> Result<(Arc<Self>, All), String> {
        ownership::judge_way(WHAT, path)?;
        let path = resolve(path)?;
        let mut file = disk::lock(&path).map_err(|error| {
            format!(
                "could not open the store {}: {error}; it must be writable, or name another place with --cache-store",
                path.display()
            )
        })?;
        let path = resolve(&path)?;
        let store = Arc::new(Self {
            path,
            known: Mutex::default(),
        });
        let about = file.metadata().map_err(|error| store.unreadable(&error))?;
        ownership::judge_owner(WHAT, &store.path, &about)?;
        if store.leases().symlink_metadata().is_ok() {
            ownership::judge_folder(lease::WHAT, &store.leases())?;
        }
        if !store.take_over(&mut file)? {
            store.renew(&mut file)?;
            if locked(&store.known).held.sequence > 0 {
                ownership::judge_file(WHAT, &store.path, &about)?;
            }
        }
        disk::tighten(&store.path).map_err(|error| {
            format!(
                "the store {0} is open to other users and could not be closed: {error}; close it with `chmod 600 {0}`, or name another place with --cache-store",
                store.path.display()
            )
        })?;
        let all = locked(&store.known).held.all();
        Ok((store, all))
    }

    /// Imports a cache file of the predecessor; returns whether that is what is there.
    fn take_over(&self, file: &mut File) -> Result<bool, String> {
        let bytes = disk::read(file).map_err(|error| self.unreadable(&error))?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) if import::looks_like_ini(text) && !text::is_documented(&bytes) => text,
            _ => return Ok(false),
        };
        let accounts = import::read(&self.path, text)?;
        let kept = import::keep(&self.path)?;
        let count = accounts.len();
        let row = |(name, record): (String, Record)| {
            let record = Arc::new(record);
            (
                name,
                Row {
                    record,
                    revision: 1,
                },
            )
        };
        let next = Held {
            rows: accounts.into_iter().map(row).collect(),
            sequence: 1,
            place: 0..bytes.len() as u64,
        };
        self.write(file, next)?;
        tracing::info!(
            "imported the cached tokens of {count} accounts from {}; the old file is kept as {}",
            self.path.display(),
            kept.display()
        );
        Ok(true)
    }

    /// Reads the file unless nobody has written it since it was last read or written.
    fn renew(&self, file: &mut File) -> Result<(), String> {
        let about = file.metadata().map_err(|error| self.unreadable(&error))?;
        let look = Look::of(&about);
        if self.is_known(&look, |head| disk::begins(file, head)) {
            return Ok(());
        }
        let bytes = disk::read(file).map_err(|error| self.unreadable(&error))?;
        let held = text::parse(&self.path, &bytes)?;
        let mut known = locked(&self.known);
        known.highest = known.highest.max(held.sequence);
        known.held = held;
        known.look = Some(look);
        Ok(())
    }

    /// Returns whether what looks so is what we know. `begins` reads how the file begins.
    fn is_known(&self, look: &Look, begins: impl FnOnce(&str) -> bool) -> bool {
        let (settled, fixed, head) = {
            let known = locked(&self.known);
            if known.look.as_ref() != Some(look) {
                return false;
            }
            let head = text::head(known.held.sequence);
            (look.is_settled(), known.fixed, head)
        };
        // What was written twice within a moment may look the same, but the number in front has grown.
        settled || (!fixed && begins(&head))
    }

    /// Reads the file if somebody else wrote it. What cannot be read leaves what is known: that is good for a while.
    async fn catch_up(self: &Arc<Self>) {
        let begins = |head: &str| {
            let file = File::open(&self.path);
            file.is_ok_and(|mut file| disk::begins(&mut file, head))
        };
        if Look::at(&self.path).is_ok_and(|look| self.is_known(&look, begins)) {
            return;
        }
        let this = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let mut file = disk::lock(&this.path).map_err(|error| this.unreadable(&error))?;
            this.renew(&mut file)
        });
        match reading.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::debug!("{why}; going on with what is known of it"),
            Err(_) => tracing::debug!("reading the store broke off"),
        }
    }

    /// Writes the changes that nobody else was first with.
    fn change(&self, changes: Vec<Change>) -> Result<Vec<Swapped>, String> {
        let mut file = disk::lock(&self.path).map_err(|error| self.unwritable(&error))?;
        self.renew(&mut file)?;
        let mut next = locked(&self.known).held.clone();
        // Numbers go on even where the file was lost or an old one put in its place, so that nobody takes a new revision for one they know.
        next.sequence = locked(&self.known).highest.max(1) + 1;
        let mut swapped = Vec::new();
        for change in changes {
            let now = next.rows.get(&change.account);
            if now.map_or(0, |row| row.revision) != change.expected {
                swapped.push(Swapped::Conflict(now.map(Row::kept)));
                continue;
            }
            let row = Row {
                record: Arc::new(change.record),
                revision: next.sequence,
            };
            next.rows.insert(change.account, row);
            swapped.push(Swapped::Done(next.sequence));
        }
        if swapped.iter().any(|one| matches!(one, Swapped::Done(_))) {
            self.write(&mut file, next)?;
        }
        Ok(swapped)
    }

    /// Writes the whole store.
    fn write(&self, file: &mut File, mut next: Held) -> Result<(), String> {
        let fixed = locked(&self.known).fixed;
        let mut look = None;
        if !fixed {
            match disk::replace(&self.path, &text::render(&next.rows, next.sequence)?) {
                Ok(new) => look = Some(new),
                Err(error) if disk::is_in_the_way(&error) => tracing::debug!(
                    "the store {} cannot be replaced ({error}); writing into it",
                    self.path.display()
                ),
                Err(error) => return Err(self.unwritable(&error)),
            }
        }
        let fixed = look.is_none();
        let look = match look {
            Some(look) => {
                next.place = 0..0;
                look
            }
            None => {
                let text = text::render_line(&next.rows, next.sequence)?;
                let added = disk::add(file, &next.place, &text);
                next.place = added.map_err(|error| self.unwritable(&error))?;
                let about = file.metadata().map_err(|error| self.unwritable(&error))?;
                Look::of(&about)
            }
        };
        *locked(&self.known) = Known {
            highest: next.sequence,
            held: next,
            look: Some(look),
            fixed,
        };
        Ok(())
    }

    /// Writes into the file from now on, as if it could not be replaced.
    #[cfg(test)]
    pub(super) fn fix(&self) {
        locked(&self.known).fixed = true;
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("could not read the store {}: {error}", self.path.display())
    }

    fn unwritable(&self, error: &io::Error) -> String {
        format!("could not write the store {}: {error}", self.path.display())
    }

    fn leases(&self) -> PathBuf {
        leases(&self.path)
    }
}

impl Backend for Arc<FileStore> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Always: `authorize` runs beside a proxy. What that costs is told in docs/ARCHITECTURE.md.
    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(async {
            self.catch_up().await;
            Ok(locked(&self.known).held.all())
        })
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(async move {
            self.catch_up().await;
            let known = locked(&self.known);
            Ok(known.held.rows.get(account).map(Row::kept))
        })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(async {
            self.catch_up().await;
            let known = locked(&self.known);
            let rows = known.held.rows.iter();
            Ok(rows
                .map(|(name, row)| (name.clone(), row.revision))
                .collect())
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        let this = Self::clone(self);
        Box::pin(async move {
            let writing = tokio::task::spawn_blocking(move || this.change(changes));
            writing
                .await
                .map_err(|_| "writing the store broke off".to_owned())?
        })
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        let (folder, name) = (self.leases(), account.to_owned());
        Box::pin(async move {
            let taking = tokio::task::spawn_blocking(move || lease::take(&folder, &name));
            let taken = match taking.await {
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(taken)) => taken,
                // A disk in trouble keeps nobody from a token: what it costs is that two processes may ask at once.
                Ok(Err(error)) => {
                    tracing::debug!("could not take a lease beside {}: {error}", self.name());
                    None
                }
                Err(_) => None,
            };
            Ok(Some(Lease {
                account: account.to_owned(),
                holder: String::new(),
                lock: taken,
            }))
        })
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        let folder = self.leases();
        Box::pin(async move {
            if let Some(file) = lease.lock {
                let giving = move || lease::give_back(&folder, &lease.account, file);
                tokio::task::spawn_blocking(giving).await.ok();
            }
            Ok(())
        })
    }
}
