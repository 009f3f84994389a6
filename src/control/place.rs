//! Where the control socket of a configuration file is.
//!
//! The name is derived from the file's path, so that commands find the right one of several proxies.

use std::env;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

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

/// Returns this process's user id, where the system tells it.
pub(super) fn own_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self")
        .map(|found| found.uid())
        .ok()
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
}
