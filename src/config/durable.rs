//! Writing a file so that after a crash it is either the old or the new one, never half of one.
//!
//! Knows nothing of what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who may read the file afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whoever could before; a new file is its owner's alone.
    Keep,
    /// As `Keep`, but a file that everybody could read becomes its owner's alone.
    Private,
}

/// Writes a file as a whole: beside it first, then renamed into its place. Symbolic links are followed. Where the file
/// cannot be replaced (it is mounted by itself, or its folder is read-only) it is overwritten in place.
pub fn write(path: &Path, content: &[u8], mode: Mode) -> Result<(), String> {
    let shown = path.display();
    let target = target(path)
        .map_err(|error| format!("could not write {shown}: its link leads nowhere ({error})"))?;
    let written = match replace(&target, content, mode) {
        Err(error) if target.exists() && is_in_the_way(&error) => overwrite(&target, content, mode),
        other => other,
    };
    written.map_err(|error| format!("could not write {shown}: {error}"))
}

/// Follows links to the file that is really meant.
fn target(path: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return fs::canonicalize(path);
    }
    Ok(path.to_owned())
}

/// Returns whether replacing failed for a reason that leaves overwriting.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Writes beside the file and renames.
fn replace(target: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::other("this names no file"))?;
    let draft = folder.join(format!(".{}.{}.new", name.display(), std::process::id()));
    let written = draft_and_rename(&draft, target, folder, content, mode);
    if written.is_err() {
        // What is left of the draft must not outlive the attempt; the first error is the one that counts.
        drop(fs::remove_file(&draft));
    }
    written
}

fn draft_and_rename(
    draft: &Path,
    target: &Path,
    folder: &Path,
    content: &[u8],
    mode: Mode,
) -> io::Result<()> {
    // A draft of a process that died under the same number is in nobody's use.
    drop(fs::remove_file(draft));
    let mut file = new_private(draft)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(target) {
        resemble(&file, &old, mode)?;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(draft, target)?;
    sync_folder(folder)
}

/// Writes over a file's own bytes. If that fails half-way the old content is put back as well as can be.
fn overwrite(target: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    let old = fs::read(target)?;
    let put = |content: &[u8]| -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(target)?;
        file.write_all(content)?;
        file.set_len(content.len() as u64)?;
        file.sync_all()
    };
    if let Err(error) = put(content) {
        put(&old)?;
        return Err(error);
    }
    tighten(target, mode)
}

#[cfg(unix)]
fn new_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)
}

#[cfg(not(unix))]
fn new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Gives the draft the owner and mode of the file it replaces.
#[cfg(unix)]
fn resemble(draft: &File, old: &fs::Metadata, mode: Mode) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = draft.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(draft, Some(old.uid()), Some(old.gid()))?;
    }
    draft.set_permissions(permitted(old, mode))
}

#[cfg(not(unix))]
fn resemble(_draft: &File, _old: &fs::Metadata, _mode: Mode) -> io::Result<()> {
    Ok(())
}

/// Returns the permissions a file has afterwards.
#[cfg(unix)]
fn permitted(old: &fs::Metadata, mode: Mode) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    let bits = old.permissions().mode() & 0o777;
    let exposed = bits & 0o007 != 0;
    fs::Permissions::from_mode(if mode == Mode::Private && exposed {
        0o600
    } else {
        bits
    })
}

#[cfg(unix)]
fn tighten(target: &Path, mode: Mode) -> io::Result<()> {
    let old = fs::metadata(target)?;
    let permitted = permitted(&old, mode);
    if permitted == old.permissions() {
        return Ok(());
    }
    // By the open file: the running proxy may change the mode of no file by its path.
    File::open(target)?.set_permissions(permitted)
}

#[cfg(not(unix))]
fn tighten(_target: &Path, _mode: Mode) -> io::Result<()> {
    Ok(())
}

/// Makes a rename last.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_files_are_private_and_old_ones_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ini");
        write(&path, b"one", Mode::Keep).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        for (before, mode, after) in [
            (0o640, Mode::Private, 0o640),
            (0o644, Mode::Keep, 0o644),
            (0o644, Mode::Private, 0o600),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            write(&path, b"two", mode).unwrap();
            assert_eq!(mode_of(&path), after, "{before:o} {mode:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_followed_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.ini");
        let link = folder.path().join("link.ini");
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, b"new", Mode::Keep).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        fs::remove_file(&real).unwrap();
        assert!(write(&link, b"new", Mode::Keep).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ini");
        fs::write(&path, "a longer content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        overwrite(&path, b"short", Mode::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(mode_of(&path), 0o600);
        assert!(is_in_the_way(&io::Error::from_raw_os_error(16)));
        assert!(is_in_the_way(&io::Error::from_raw_os_error(18)));
    }

    #[test]
    fn a_failed_attempt_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ini");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"x", Mode::Keep).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
