//! The store's file on disk: locked for a moment, replaced whole or written over so that a crash leaves a whole document.
//!
//! Knows nothing of what is written.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::config::ownership;

/// How long another process may keep the file locked: it writes, and nothing else.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes a store may have: some 10,000 accounts with long tokens, several times over.
const MOST: u64 = 256 * 1024 * 1024;

/// How coarse file times may be: what changed twice within this looks as if it changed once.
const COARSE: Duration = Duration::from_secs(1);

/// What a file looked like when it was read or written: as long as it looks so, nobody has written it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    file: (u64, u64),
    len: u64,
    modified: Option<SystemTime>,
}

impl Look {
    /// Looks at what is at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// Looks at a file.
    pub(super) fn of(about: &Metadata) -> Self {
        Self {
            file: identity(about),
            len: about.len(),
            modified: about.modified().ok(),
        }
    }

    /// Returns whether the file is so long unchanged that any later change shows.
    pub(super) fn is_settled(&self) -> bool {
        let age = self.modified.and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age > COARSE)
    }
}

/// Opens the file, makes it where it is missing, and locks it until it is dropped.
///
/// The lock is on the store itself, so that it also holds where only that file is shared: a mount, a container. A process
/// that replaces the file leaves its lock on the old one; whoever waited for that begins again with the new one.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let give_up = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                private(options.create(true)).open(path)?
            }
            other => other?,
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => return Ok(file),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            // A file system that knows no locks serves one process, as it always did.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if Instant::now() > give_up {
            return Err(io::Error::other(format!(
                "another process has kept it locked for {} s",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Returns whether an open file is the one at `path`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    identity(&open) == identity(&there)
}

#[cfg(unix)]
fn identity(about: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (about.dev(), about.ino())
}

#[cfg(not(unix))]
fn identity(_about: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Returns whether a file begins so.
pub(super) fn begins(file: &mut File, head: &str) -> bool {
    let mut bytes = vec![0; head.len()];
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_exact(&mut bytes));
    read.is_ok() && bytes == head.as_bytes()
}

/// Reads the whole file.
pub(super) fn read(file: &mut File) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > MOST {
        return Err(io::Error::other("it is larger than 256 MiB"));
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces `path` by `text` so that after a crash the old or the new content is there, never a part. Returns what the new
/// file looks like.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<Look> {
    let fresh = beside(path, ".tmp");
    // A piece left by a crash is in the way of create_new, which in turn keeps links out.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let done = fill_and_rename(&fresh, path, text);
    if done.is_err() {
        // Where the disk is full, half a file would take the room of the next try.
        fs::remove_file(&fresh).ok();
    }
    done
}

fn fill_and_rename(fresh: &Path, path: &Path, text: &str) -> io::Result<Look> {
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(fresh)?;
    keep_owner(&file, path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let look = Look::of(&file.metadata()?);
    drop(file);
    fs::rename(fresh, path)?;
    sync_folder(path)?;
    Ok(look)
}

/// Leaves a store to whom it belonged: root looks after that of a service from a terminal.
#[cfg(unix)]
fn keep_owner(fresh: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let new = fresh.metadata()?;
    let old = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    let kept = fchown(fresh, Some(old.uid()), Some(old.gid()));
    // Of a group that is not ours nothing depends: it may do nothing with the file.
    if new.uid() == old.uid() { Ok(()) } else { kept }
}

#[cfg(not(unix))]
fn keep_owner(_fresh: &File, _path: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns whether a file could not be replaced for a reason that leaves writing into it: it is a mount of its own, or its
/// directory is closed to us.
pub(super) fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
    )
}

/// Writes a document into the file beside the one at `current`, which is never touched before the new one is safe.
///
/// In front of it, where there is room, and the file is cut behind the new one; else behind it, over what was never
/// finished there. Returns where the new one lies.
pub(super) fn add(file: &mut File, current: &Range<u64>, text: &str) -> io::Result<Range<u64>> {
    let front = text.len() as u64 <= current.start;
    // Each stands on a line of its own.
    let text = if front {
        text.to_owned()
    } else {
        format!("\n{text}")
    };
    let start = if front { 0 } else { current.end };
    let end = start + text.len() as u64;
    let written = (|| {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    if let Err(error) = written {
        if !front {
            // Half a document helps nobody, and its room is wanted.
            file.set_len(current.end).ok();
        }
        return Err(error);
    }
    // What lies behind is the old one or scrap. If this fails, the newest counts all the same.
    if file.set_len(end).and_then(|()| file.sync_all()).is_err() {
        tracing::debug!("could not cut the store's file; it is cut the next time");
    }
    let start = if front { start } else { start + 1 };
    Ok(start..end - 1)
}

/// Returns the path with `ending` behind its whole name.
pub(in crate::accounts::store) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Lets only the owner read a file that is going to be made.
pub(in crate::accounts::store) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a rename last.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Follows links, so that the file behind one is replaced and not the link; makes a missing directory.
pub(in crate::accounts::store) fn resolve(path: &Path) -> Result<PathBuf, String> {
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

/// Takes a file that was not ours before away from other users' eyes.
#[cfg(unix)]
pub(super) fn tighten(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if ownership::is_open(&fs::metadata(path)?) {
        // By the open file: the running proxy may change the mode of no file by its path.
        File::open(path)?.set_permissions(fs::Permissions::from_mode(0o600))?;
        tracing::warn!(
            "the store {} was open to other users; it is now closed (0600)",
            path.display()
        );
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn tighten(_path: &Path) -> io::Result<()> {
    Ok(())
}
