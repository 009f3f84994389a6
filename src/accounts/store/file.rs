//! The file in which sealed tokens rest: one JSON text, 0600, replaced whole or not at all, one process at a time.
//!
//! Sees sealed values only; it can open none of them. What it cannot read it never overwrites.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::backend::{All, Backend, Change, Doing, Kept, Lease, Swapped};
use super::{Record, import};
use crate::accounts::locked;

/// The most bytes a store may have: some 10,000 accounts with long tokens.
const MOST: u64 = 256 * 1024 * 1024;

/// The file's whole content.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    accounts: BTreeMap<String, Record>,
}

/// The store in a file.
#[derive(Debug)]
pub(super) struct FileStore {
    path: PathBuf,
    records: Mutex<All>,
    /// Held while writing.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Held, never read: it keeps other processes out.
    _lock: File,
}

impl FileStore {
    /// Opens the store at `path`, taking it for this process; a cache file of the predecessor is imported.
    pub(super) fn open(path: &Path) -> Result<(Self, All), String> {
        let path = resolve(path)?;
        let lock = take(&path)?;
        let mut accounts = BTreeMap::new();
        if let Some(text) = read(&path)? {
            if import::looks_like_ini(&text) {
                accounts = import::read(&path, &text)?;
                let kept = import::keep(&path)?;
                write(&path, &render(&accounts)?)?;
                tracing::info!(
                    "imported the cached tokens of {} accounts from {}; the old file is kept as {}",
                    accounts.len(),
                    path.display(),
                    kept.display()
                );
            } else {
                accounts = parse(&path, &text)?;
            }
        }
        let kept = |record| Kept {
            record,
            revision: 1,
        };
        let all: All = accounts
            .into_iter()
            .map(|(name, record)| (name, kept(record)))
            .collect();
        let store = Self {
            path,
            records: Mutex::new(all.clone()),
            writing: Arc::default(),
            _lock: lock,
        };
        Ok((store, all))
    }

    /// Writes the changes that nobody else was first with.
    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Swapped>, String> {
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let mut next = locked(&self.records).clone();
        let mut swapped = Vec::new();
        for change in changes {
            let now = next.get(&change.account);
            if now.map_or(0, |kept| kept.revision) != change.expected {
                swapped.push(Swapped::Conflict(now.cloned()));
                continue;
            }
            let revision = change.expected + 1;
            next.insert(
                change.account,
                Kept {
                    record: change.record,
                    revision,
                },
            );
            swapped.push(Swapped::Done(revision));
        }
        let accounts = next
            .iter()
            .map(|(name, kept)| (name.clone(), kept.record.clone()));
        let (path, text) = (self.path.clone(), render(&accounts.collect())?);
        tokio::task::spawn_blocking(move || {
            let done = write(&path, &text);
            drop(writing);
            done
        })
        .await
        .map_err(|_| "writing the store broke off".to_owned())??;
        *locked(&self.records) = next;
        Ok(swapped)
    }
}

impl Backend for FileStore {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(async { Ok(locked(&self.records).clone()) })
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(async move { Ok(locked(&self.records).get(account).cloned()) })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(async {
            let records = locked(&self.records);
            let revision = |(name, kept): (&String, &Kept)| (name.clone(), kept.revision);
            Ok(records.iter().map(revision).collect())
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        Box::pin(self.change(changes))
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            Ok(Some(Lease {
                account: account.to_owned(),
                holder: String::new(),
                lock: None,
            }))
        })
    }

    fn release(&self, _lease: Lease) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Follows links, so that the file behind one is replaced and not the link; makes a missing directory.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    if let Ok(real) = fs::canonicalize(path) {
        // Closing a directory to others would lock its owner out, and opening a pipe waits for ever.
        if !real.is_file() {
            return Err(format!(
                "the store {} is no file; name one with --cache-store",
                path.display()
            ));
        }
        return Ok(real);
    }
    let Some(name) = path.file_name() else {
        return Err(format!("the store path {} names no file", path.display()));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker.create(folder).map_err(|error| {
        let folder = folder.display();
        format!("could not make the store's directory {folder}: {error}; make it, or name another place with --cache-store")
    })?;
    let folder = fs::canonicalize(folder)
        .map_err(|error| format!("could not find the store's directory: {error}"))?;
    Ok(folder.join(name))
}

/// Takes the store for this process by a lock on a file beside it.
fn take(path: &Path) -> Result<File, String> {
    let beside = beside(path, ".lock");
    let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&beside)
        .map_err(|error| {
            format!(
                "could not open {}: {error}; the store's directory must be writable, or name another place with --cache-store",
                beside.display()
            )
        })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(format!(
            "the store {} is in use by another emailproxy; stop that one, or ask it with `emailproxy status`",
            path.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(format!("could not lock {}: {error}", beside.display()))
        }
    }
}

/// Reads the file; nothing where there is none yet or where it is empty.
fn read(path: &Path) -> Result<Option<String>, String> {
    let fail = |why: String| format!("could not read the store {}: {why}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    let about = file.metadata().map_err(|error| fail(error.to_string()))?;
    if about.len() > MOST {
        return Err(fail("it is larger than 256 MiB".into()));
    }
    tighten(path, &about);
    let mut bytes = Vec::new();
    (&mut file)
        .take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| fail(format!("it is not UTF-8 text; {LEFT_ALONE}")))?;
    Ok((!text.trim().is_empty()).then_some(text))
}

/// What to do about a file that makes no sense.
pub(super) const LEFT_ALONE: &str = "it is left as it is; bring back a good copy, or move it away to begin anew (every account then needs a new sign-in)";

fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, Record>, String> {
    /// The part that every version has.
    #[derive(Deserialize)]
    struct Any {
        version: u32,
    }
    let at = path.display();
    let broken =
        |error: serde_json::Error| format!("could not read the store {at}: {error}; {LEFT_ALONE}");
    let Any { version } = serde_json::from_str(text).map_err(broken)?;
    if version != 1 {
        return Err(format!(
            "could not read the store {at}: it has version {version} and this emailproxy knows version 1; use a newer emailproxy or another --cache-store"
        ));
    }
    let content: Content = serde_json::from_str(text).map_err(broken)?;
    Ok(content.accounts)
}

fn render(accounts: &BTreeMap<String, Record>) -> Result<String, String> {
    /// The same as `Content`, borrowed.
    #[derive(Serialize)]
    struct View<'a> {
        version: u32,
        accounts: &'a BTreeMap<String, Record>,
    }
    let view = View {
        version: 1,
        accounts,
    };
    serde_json::to_string_pretty(&view)
        .map(|text| text + "\n")
        .map_err(|error| format!("could not put the store into words: {error}"))
}

/// Replaces `path` by `text` so that after a crash the old or the new content is there, never a part.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    let fresh = beside(path, ".tmp");
    let fail = |what: &str, error: &std::io::Error| {
        let hint = if error.kind() == ErrorKind::ResourceBusy {
            "; where the file itself is a mount, mount its directory instead"
        } else {
            ""
        };
        format!(
            "could not write the store {}: {what}: {error}{hint}",
            path.display()
        )
    };
    // A piece left by a crash is in the way of create_new, which in turn keeps links out.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(fail("removing the left-over temporary file", &error));
        }
        _ => {}
    }
    let mut file = private(OpenOptions::new().write(true).create_new(true))
        .open(&fresh)
        .map_err(|error| fail("making a temporary file", &error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| fail("filling the temporary file", &error))?;
    drop(file);
    fs::rename(&fresh, path).map_err(|error| fail("putting it in place", &error))?;
    sync_folder(path).map_err(|error| fail("making the change last", &error))
}

/// Returns the path with `ending` behind its whole name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Lets only the owner read a file that is going to be made.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a rename last.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Takes a store away from other users' eyes.
#[cfg(unix)]
fn tighten(path: &Path, about: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if about.permissions().mode().trailing_zeros() >= 6 {
        return;
    }
    let at = path.display();
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!("the store {at} was open to other users; it is now closed (0600)"),
        Err(error) => {
            tracing::warn!(
                "the store {at} is open to other users and could not be closed: {error}"
            );
        }
    }
}

#[cfg(not(unix))]
fn tighten(_path: &Path, _about: &fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::store::{Place, Reach, Store};

    fn open(path: &Path) -> Result<Store, String> {
        Store::open(&Place::from(path), &Reach::default())
    }

    fn some(text: &str) -> Record {
        Record {
            provider: text.into(),
            ..Record::default()
        }
    }

    #[tokio::test]
    async fn what_was_flushed_is_there_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/er/tokens.json");
        let store = Arc::new(open(&path).unwrap());
        assert!(!store.is_behind());
        store.put("u@example.org", some("one"));
        store.put("u@example.org", some("two"));
        assert!(store.is_behind());
        store.flush(drop).await.unwrap();
        assert!(!store.is_behind());
        drop(store);
        let store = open(&path).unwrap();
        assert_eq!(store.record("u@example.org").unwrap().provider, "two");
        assert_eq!(store.names(), ["u@example.org"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(path.parent().unwrap()), 0o700);
        }
    }

    #[tokio::test]
    async fn pieces_left_by_a_crash_are_no_harm() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        let store = Arc::new(open(&path).unwrap());
        store.put("u", some("one"));
        store.flush(drop).await.unwrap();
        fs::write(beside(&path, ".tmp"), "{\"version\":1,\"acc").unwrap();
        drop(store);
        let store = Arc::new(open(&path).unwrap());
        assert_eq!(store.record("u").unwrap().provider, "one");
        store.put("u", some("two"));
        store.flush(drop).await.unwrap();
        assert!(!beside(&path, ".tmp").exists());
    }

    #[test]
    fn what_makes_no_sense_is_reported_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        for bad in [
            "{\"version\":1,\"accounts\":{\"u\":{\"wra",
            "{\"version\":2,\"accounts\":{}}",
            "{}",
            "[1]",
            "just words",
            "[IMAP-1993]\nserver_address = x\n",
        ] {
            fs::write(&path, bad).unwrap();
            let error = open(&path).unwrap_err();
            assert!(error.contains("tokens.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(open(&path).unwrap_err().contains("UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_and_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(&folder).unwrap_err().contains("is no file"));
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let other = open(Path::new("/dev/null")).unwrap_err();
        assert!(other.contains("is no file"), "{other}");
    }

    #[test]
    fn an_empty_file_is_a_store_yet_to_be_filled() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        fs::write(&path, "\n").unwrap();
        assert!(open(&path).unwrap().names().is_empty());
    }

    #[test]
    fn two_processes_do_not_share_a_store() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        let first = open(&path).unwrap();
        assert!(open(&path).unwrap_err().contains("in use"));
        drop(first);
        open(&path).unwrap();
    }

    #[tokio::test]
    async fn a_failing_disk_loses_nothing_and_is_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state/tokens.json");
        let store = Arc::new(open(&path).unwrap());
        store.put("u", some("one"));
        store.flush(drop).await.unwrap();
        // Not even root can make a file in a directory that is away.
        fs::rename(home.path().join("state"), home.path().join("away")).unwrap();
        store.put("u", some("two"));
        assert!(
            store
                .flush(drop)
                .await
                .unwrap_err()
                .contains("could not write")
        );
        assert!(store.is_behind());
        fs::rename(home.path().join("away"), home.path().join("state")).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("one"));
        store.flush(drop).await.unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("two"));
    }

    #[cfg(unix)]
    #[test]
    fn an_open_store_is_closed_and_a_link_stays_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("real.json");
        fs::write(&real, "{\"version\":1,\"accounts\":{}}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        let link = home.path().join("link.json");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (store, _) = FileStore::open(&link).unwrap();
        write(&store.path, "{}").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
