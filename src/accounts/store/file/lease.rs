//! The right to ask for an account's tokens, as a locked file: the system gives it back when its holder dies.
//!
//! Knows neither accounts nor tokens.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::disk::{is_at, private};
use super::text;
use crate::config::ownership;

/// How people call the directory in which leases are.
pub(super) const WHAT: &str = "the directory of leases";

/// How often a file that was taken away while we opened it is opened anew.
const TRIES: usize = 100;

/// Takes a lease; nothing while somebody else has it. A directory of somebody else's is not used: files could stand in it
/// that are links to ours, or locked for ever.
pub(super) fn take(folder: &Path, account: &str) -> io::Result<Option<File>> {
    let path = place(folder, account);
    for _ in 0..TRIES {
        make(folder)?;
        ownership::judge_folder(WHAT, folder).map_err(io::Error::other)?;
        let opened =
            private(OpenOptions::new().write(true).create(true).truncate(false)).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            // Its last holder may have removed it between our opening and our locking: then it is nobody's lease.
            Ok(()) if is_at(&file, &path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Gives a lease back.
pub(super) fn give_back(folder: &Path, account: &str, file: File) {
    // While it is still locked. Where files cannot be told apart it stays, and the next holder finds it.
    if cfg!(unix) {
        fs::remove_file(place(folder, account)).ok();
    }
    drop(file);
}

fn place(folder: &Path, account: &str) -> PathBuf {
    let digest = digest(&SHA256, account.as_bytes());
    let name = digest.as_ref().split_at_checked(16).map(|(half, _)| half);
    folder.join(text::hexadecimal(name.unwrap_or_default()))
}

fn make(folder: &Path) -> io::Result<()> {
    let mut maker = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    match maker.create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_holder_at_a_time_whoever_comes_and_goes() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("tokens.json.leases");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Some(file) = take(&folder, "u@example.org").unwrap() else {
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        give_back(&folder, "u@example.org", file);
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn r22_a_directory_that_others_may_write_holds_no_leases() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let (folder, ours) = (home.path().join("leases"), home.path().join("ours"));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::symlink(&ours, place(&folder, "u")).unwrap();
        let error = take(&folder, "u").unwrap_err().to_string();
        assert!(error.contains("`chmod 700 "), "{error}");
        assert!(!ours.exists(), "a stranger's link was followed");
    }

    #[test]
    fn a_lease_that_was_dropped_can_be_taken_and_accounts_have_their_own() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("leases");
        let first = take(&folder, "u").unwrap().unwrap();
        assert!(take(&folder, "u").unwrap().is_none());
        let other = take(&folder, "v").unwrap().unwrap();
        drop(first);
        let again = take(&folder, "u").unwrap().unwrap();
        give_back(&folder, "u", again);
        give_back(&folder, "v", other);
        assert!(take(&folder, "u").unwrap().is_some());
    }
}
