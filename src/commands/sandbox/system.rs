//! What of the system's own files every proxy reads, and which directories are so many programs' that none of them is
//! opened as a whole.
//!
//! Knows no configuration.

use std::path::{Path, PathBuf};

/// What is read as it is needed: name resolution with its libraries, which are loaded at the first look-up, and the
/// certificate roots, which a reload reads again.
pub(super) const READ: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/mdns.allow",
    "/etc/mdns4.allow",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/run/NetworkManager/resolv.conf",
    "/run/resolvconf/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    // Roots, in the places of the distributions.
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Directories that are read, with all that is in them.
pub(super) const READ_ALL: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ssl/certs",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/etc/security/certificates",
    "/opt/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
    // Names that other daemons know.
    "/run/nscd",
    "/var/lib/libvirt/dnsmasq",
    "/var/lib/sss/mc",
    // How many processors there are, and how much of them and of the memory is ours.
    "/proc/self",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/urandom",
];

/// Directories in which many programs keep their things.
const SHARED: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/dev/shm",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/run/lock",
    "/run/user",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/home",
    "/var/lib",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/spool",
    "/var/tmp",
];

/// Directories in a person's home that many programs share.
const SHARED_AT_HOME: &[&str] = &[
    ".cache",
    ".config",
    ".local",
    ".local/share",
    ".local/state",
];

/// Returns whether a directory is not only ours. `home` is where `HOME` is: a person's is shared, a service's is its own.
pub(super) fn is_shared(folder: &Path, home: Option<&Path>) -> bool {
    let is = |name: &&str| folder == Path::new(name);
    let is_home = |home: &Path| {
        let persons = [".ssh", ".gnupg", ".config"];
        folder == home && persons.iter().any(|name| home.join(name).is_dir())
    };
    let in_home = |home: &Path| SHARED_AT_HOME.iter().any(|name| folder == home.join(name));
    let of_persons = |parent: &Path| {
        ["/home", "/var/home", "/run/user"]
            .iter()
            .any(|of| parent == Path::new(of))
    };
    SHARED.iter().any(is)
        || folder.parent().is_some_and(of_persons)
        || home.is_some_and(|home| is_home(home) || in_home(home))
}

/// Returns `/etc` where the file with the name servers is likely to be replaced there by another one.
///
/// The system's library reads it again when it changes, but Landlock knows files, not names. To keep a machine that changes
/// its network on line all of `/etc` is opened then, unless we are root and could read more of it than anybody else.
pub(super) fn etc_of_resolvers() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::symlink_metadata("/etc/resolv.conf").ok()?;
    let etc = std::fs::metadata("/etc").ok()?;
    let is_root = rustix::process::geteuid().is_root();
    // A mount of its own, as in a container, is not replaced.
    (about.is_file() && about.dev() == etc.dev() && !is_root).then(|| PathBuf::from("/etc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_many_programs_are_known() {
        let home = Path::new("/nowhere/alice");
        for (folder, shared) in [
            ("/etc", true),
            ("/etc/emailproxy", false),
            ("/home/alice", true),
            ("/home/alice/mail", false),
            ("/run/user/1000", true),
            ("/nowhere/alice/.config", true),
            ("/nowhere/alice/.config/emailproxy", false),
            // A service's home is its own.
            ("/nowhere/alice", false),
            ("/config", false),
        ] {
            assert_eq!(is_shared(Path::new(folder), Some(home)), shared, "{folder}");
        }
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        assert!(is_shared(home.path(), Some(home.path())));
    }
}
