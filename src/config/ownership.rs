//! Whether a file is its owner's alone: its mode, whose it is, and what leads to it.
//!
//! What we wrote ourselves is refused where others may read or replace it. What others mount for us (systemd's
//! credentials, a container's secrets) has their modes, and is only warned about. Knows nothing of what is written.

#[cfg(not(unix))]
pub use no_modes::{is_mounted, is_open, judge_file, judge_folder, judge_owner, judge_way};
#[cfg(unix)]
pub use unix::{is_mounted, is_open, judge_file, judge_folder, judge_owner, judge_way};

#[cfg(unix)]
mod unix {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    use rustix::fs::{StatVfsMountFlags, statvfs};
    use rustix::process::geteuid;

    /// What anybody but the owner may do.
    const OTHERS: u32 = 0o077;

    /// What everybody may write.
    const EVERYBODY_WRITES: u32 = 0o002;

    /// In such a directory only its owner may remove a file.
    const STICKY: u32 = 0o1000;

    /// Returns whether anybody but the owner may do anything with a file.
    pub fn is_open(about: &Metadata) -> bool {
        about.mode() & OTHERS != 0
    }

    /// Refuses a file of ours that others may read or write. The error has the command that closes it.
    pub fn judge_file(what: &str, path: &Path, about: &Metadata) -> Result<(), String> {
        judge_owner(what, path, about)?;
        if !is_open(about) {
            return Ok(());
        }
        let (at, mode) = (path.display(), about.mode() & 0o7777);
        Err(format!(
            "{what} {at} is open to other users (mode {mode:04o}), who may have read or changed it; close it with `chmod 600 {at}`"
        ))
    }

    /// Refuses a directory of ours that others may enter or write to, and whatever stands in its place.
    pub fn judge_folder(what: &str, path: &Path) -> Result<(), String> {
        let at = path.display();
        let about = fs::symlink_metadata(path)
            .map_err(|error| format!("could not look at {what} {at}: {error}"))?;
        if !about.is_dir() {
            return Err(format!("{what} {at} is no directory; remove it"));
        }
        judge_owner(what, path, &about)?;
        if !is_open(&about) {
            return Ok(());
        }
        let mode = about.mode() & 0o7777;
        Err(format!(
            "{what} {at} is open to other users (mode {mode:04o}); close it with `chmod 700 {at}`"
        ))
    }

    /// Refuses what belongs to somebody else. Root may use what belongs to whom its directory belongs to: a service's
    /// state, looked after from a terminal.
    pub fn judge_owner(what: &str, path: &Path, about: &Metadata) -> Result<(), String> {
        let folder = path.parent().and_then(|folder| fs::metadata(folder).ok());
        if is_trusted(about.uid(), folder.as_ref()) {
            return Ok(());
        }
        let (at, uid, own) = (path.display(), about.uid(), geteuid().as_raw());
        Err(format!(
            "{what} {at} belongs to user id {uid}, who could change it at any time, while this program runs as {own}; `chown {own} {at}` if it is yours, else remove it or name another place"
        ))
    }

    /// Refuses a way to a file that somebody else may have laid: over a link of theirs, or into a directory in which
    /// everybody may replace everything.
    pub fn judge_way(what: &str, path: &Path) -> Result<(), String> {
        let whole = std::path::absolute(path)
            .map_err(|error| format!("could not find {what} {}: {error}", path.display()))?;
        let mut walked = PathBuf::new();
        let mut folder = None;
        for part in whole.components() {
            walked.push(part);
            // What is not there yet was laid by nobody.
            let Ok(about) = fs::symlink_metadata(&walked) else {
                break;
            };
            if about.is_symlink() && !is_trusted(about.uid(), folder.as_ref()) {
                return Err(format!(
                    "the link {} on the way to {what} belongs to user id {}, who could lead it elsewhere; remove it, or name another place",
                    walked.display(),
                    about.uid()
                ));
            }
            folder = fs::metadata(&walked).ok();
        }
        let real = fs::canonicalize(&whole).unwrap_or(whole);
        let Some(last) = real.parent() else {
            return Ok(());
        };
        let everybodys = fs::metadata(last)
            .is_ok_and(|about| about.mode() & (EVERYBODY_WRITES | STICKY) == EVERYBODY_WRITES);
        if everybodys {
            let at = last.display();
            return Err(format!(
                "everybody may replace {what} in the directory {at}; close that with `chmod o-w {at}`"
            ));
        }
        Ok(())
    }

    /// Returns whether somebody else put a file there for us to read: it is not ours, nobody may write it, or its file
    /// system is read-only.
    pub fn is_mounted(path: &Path, about: &Metadata) -> bool {
        let read_only =
            || statvfs(path).is_ok_and(|at| at.f_flag.contains(StatVfsMountFlags::RDONLY));
        about.uid() != geteuid().as_raw() || about.mode() & 0o222 == 0 || read_only()
    }

    /// Returns whether a user may lay something in our way: we, root, and for root also whose directory it is.
    fn is_trusted(uid: u32, folder: Option<&Metadata>) -> bool {
        let own = geteuid().as_raw();
        uid == own || uid == 0 || (own == 0 && folder.is_some_and(|folder| folder.uid() == uid))
    }
}

/// Where files have no such modes nothing can be said about them.
#[cfg(not(unix))]
mod no_modes {
    use std::fs::Metadata;
    use std::path::Path;

    /// Sees no one else.
    pub fn is_open(_about: &Metadata) -> bool {
        false
    }

    /// Finds no fault.
    pub fn judge_file(_what: &str, _path: &Path, _about: &Metadata) -> Result<(), String> {
        Ok(())
    }

    /// Finds no fault.
    pub fn judge_folder(_what: &str, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    /// Finds no fault.
    pub fn judge_owner(_what: &str, _path: &Path, _about: &Metadata) -> Result<(), String> {
        Ok(())
    }

    /// Finds no fault.
    pub fn judge_way(_what: &str, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    /// Does not know.
    pub fn is_mounted(_path: &Path, _about: &Metadata) -> bool {
        false
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
    use std::path::Path;

    use super::*;

    /// Somebody who has nothing.
    const NOBODY: u32 = 65_534;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Returns whether this test may play other users.
    fn is_root(path: &Path) -> bool {
        fs::metadata(path).unwrap().uid() == 0
    }

    #[test]
    fn r22_a_file_of_ours_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tokens.json");
        fs::write(&path, "x").unwrap();
        let judge = || judge_file("the store", &path, &fs::metadata(&path).unwrap());
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o644, false),
            (0o602, false),
            (0o666, false),
        ] {
            set_mode(&path, mode);
            let judged = judge();
            assert_eq!(judged.is_ok(), good, "{mode:o}");
            if let Err(why) = judged {
                let advice = format!("`chmod 600 {}`", path.display());
                assert!(why.contains(&advice), "{why}");
            }
        }
        set_mode(&path, 0o600);
        if !is_root(&path) {
            return;
        }
        chown(&path, Some(NOBODY), None).unwrap();
        let why = judge().unwrap_err();
        assert!(
            why.contains("user id 65534") && why.contains("chown 0"),
            "{why}"
        );
        // The state of a service that runs as somebody else.
        chown(home.path(), Some(NOBODY), None).unwrap();
        judge().unwrap();
    }

    #[test]
    fn r22_a_directory_of_ours_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("leases");
        judge_folder("it", &path).unwrap_err();
        fs::create_dir(&path).unwrap();
        for (mode, good) in [
            (0o700, true),
            (0o755, false),
            (0o770, false),
            (0o1777, false),
        ] {
            set_mode(&path, mode);
            assert_eq!(judge_folder("it", &path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o700);
        let link = home.path().join("link");
        symlink(&path, &link).unwrap();
        let why = judge_folder("it", &link).unwrap_err();
        assert!(why.contains("no directory"), "{why}");
        if is_root(&path) {
            chown(&path, Some(NOBODY), None).unwrap();
            judge_folder("it", &path).unwrap_err();
        }
    }

    #[test]
    fn r22_ways_that_others_may_lay_are_not_gone() {
        let home = tempfile::tempdir().unwrap();
        let (open, own) = (home.path().join("open"), home.path().join("own"));
        for folder in [&open, &own] {
            fs::create_dir(folder).unwrap();
        }
        set_mode(&own, 0o700);
        let there = own.join("tokens.json");
        fs::write(&there, "x").unwrap();
        judge_way("the store", &there).unwrap();
        judge_way("the store", &own.join("new/folder/tokens.json")).unwrap();

        set_mode(&open, 0o777);
        for path in [open.join("tokens.json"), open.join("../open/tokens.json")] {
            let why = judge_way("the store", &path).unwrap_err();
            assert!(why.contains("`chmod o-w "), "{why}");
        }
        set_mode(&open, 0o1777);
        judge_way("the store", &open.join("tokens.json")).unwrap();

        let (file, folder) = (open.join("file"), open.join("folder"));
        symlink(&there, &file).unwrap();
        symlink(&own, &folder).unwrap();
        for path in [file.clone(), folder.join("tokens.json")] {
            judge_way("the store", &path).unwrap();
        }
        if !is_root(&there) {
            return;
        }
        for link in [&file, &folder] {
            lchown(link, Some(NOBODY), None).unwrap();
        }
        for path in [file, folder.join("tokens.json"), folder.join("none")] {
            let why = judge_way("the store", &path).unwrap_err();
            assert!(why.contains("belongs to user id 65534"), "{why}");
        }
    }

    #[test]
    fn what_others_mount_is_known_by_its_owner_or_because_nobody_writes_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        fs::write(&path, "x").unwrap();
        for (mode, mounted) in [(0o444, true), (0o440, true), (0o644, false), (0o600, false)] {
            set_mode(&path, mode);
            let about = fs::metadata(&path).unwrap();
            assert_eq!(is_mounted(&path, &about), mounted, "{mode:o}");
        }
        assert!(is_mounted(
            Path::new("/proc/version"),
            &fs::metadata("/proc/version").unwrap()
        ));
        if is_root(&path) {
            chown(&path, Some(NOBODY), None).unwrap();
            assert!(is_mounted(&path, &fs::metadata(&path).unwrap()));
        }
    }
}
