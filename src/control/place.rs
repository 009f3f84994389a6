//! Where the control socket of a configuration file is.
//!
//! The name is derived from the file's path, so that commands find the right one of several proxies.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::process::geteuid;

use crate::config::ownership;

/// Returns the places where the socket may be, the preferred one first.
///
/// A service manager's runtime directory, the user's, and a directory of one's own under the system's for temporary files.
pub fn candidates(config: &Path) -> Vec<PathBuf> {
    let whole = config.canonicalize().unwrap_or_else(|_| config.to_owned());
    let hash = digest(&SHA256, whole.as_os_str().as_encoded_bytes());
    let mut name = String::new();
    for byte in hash.as_ref().iter().take(8) {
        name.push_str(&format!("{byte:02x}"));
    }
    name.push_str(".sock");
    let mut places = Vec::new();
    if let Some(given) = env::var_os("RUNTIME_DIRECTORY").filter(|given| !given.is_empty()) {
        places.push(PathBuf::from(given).join(&name));
    }
    places.push(Path::new("/run/emailproxy").join(&name));
    if let Some(given) = env::var_os("XDG_RUNTIME_DIR").filter(|given| !given.is_empty()) {
        places.push(PathBuf::from(given).join("emailproxy").join(&name));
    }
    let user = env::var("USER")
        .or_else(|_| env::var("LOGNAME"))
        .unwrap_or_else(|_| "nobody".to_owned());
    let user: String = user
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect();
    places.push(
        env::temp_dir()
            .join(format!("emailproxy-{user}"))
            .join(&name),
    );
    places
}

/// Refuses a directory in which somebody else could put a socket in the place of ours. Nothing is said to what listens
/// there: passwords and tokens go through it.
pub(super) fn judge(folder: &Path) -> io::Result<()> {
    let no = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if let Err(why) = ownership::judge_way("the control socket", folder) {
        return no(why);
    }
    let (at, about) = (folder.display(), fs::symlink_metadata(folder)?);
    if !about.is_dir() {
        return no(format!("{at} is no directory; remove it"));
    }
    let (uid, own) = (about.uid(), geteuid().as_raw());
    // Root looks after a service that runs as somebody else, whose directory nobody else can have made.
    let made = || {
        let above = folder.parent().and_then(|above| fs::metadata(above).ok());
        above.is_some_and(|above| above.mode() & 0o002 == 0)
    };
    if uid != own && uid != 0 && (own != 0 || !made()) {
        return no(format!(
            "{at} belongs to user id {uid}, who could listen there in this proxy's place; remove it"
        ));
    }
    if about.mode() & 0o022 != 0 {
        return no(format!(
            "others may write to {at} (mode {:04o}); close it with `chmod go-w {at}`",
            about.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configuration_file_has_a_socket_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.ini"), dir.path().join("two.ini"));
        assert_ne!(candidates(&one), candidates(&two));
        assert_eq!(candidates(&one), candidates(&one));
        assert!(
            candidates(&one)
                .iter()
                .all(|place| place.as_os_str().len() < 104),
            "longer paths cannot be bound"
        );
    }

    #[test]
    fn r22_a_directory_that_others_could_fill_is_no_place() {
        use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("emailproxy-u");
        fs::create_dir(&folder).unwrap();
        for (mode, good) in [(0o700, true), (0o755, true), (0o770, false), (0o777, false)] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            let judged = judge(&folder);
            assert_eq!(judged.is_ok(), good, "{mode:o}");
            if let Err(why) = judged {
                assert!(why.to_string().contains("`chmod go-w "), "{why}");
            }
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let link = home.path().join("link");
        symlink(&folder, &link).unwrap();
        judge(&link).unwrap_err();
        if chown(&folder, Some(65_534), None).is_ok() {
            judge(&folder).unwrap();
            fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1777)).unwrap();
            let why = judge(&folder).unwrap_err();
            assert!(why.to_string().contains("user id 65534"), "{why}");
        }
    }
}
