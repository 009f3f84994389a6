//! Which files a proxy reads and writes: from its configuration, its command line and its environment to paths.
//!
//! The directory is allowed rather than the file, because editors, renewals and our own store put a new file in the old
//! one's place. Where the directory is many programs' (`/etc`, a home) it is the file alone, as it is at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::system;
use crate::accounts::Place;
use crate::config::Config;

/// How many links are followed from one to the next, as the kernel does (`path_resolution(7)`).
const LINKS: usize = 40;

/// What a proxy is started with, as far as files are concerned.
#[derive(Debug)]
pub(in crate::commands) struct Needs<'a> {
    /// The configuration.
    pub(in crate::commands) config: &'a Config,
    /// Where tokens are kept; of a file where it really is.
    pub(in crate::commands) store: &'a Place,
    /// The log file.
    pub(in crate::commands) log: Option<&'a Path>,
    /// The control socket.
    pub(in crate::commands) socket: Option<&'a Path>,
}

/// What may be read and written: real paths, each with all that is beneath it.
#[derive(Debug, Default)]
pub(in crate::commands) struct Paths {
    /// What is read.
    pub(super) read: BTreeSet<PathBuf>,
    /// What is read and written.
    pub(super) write: BTreeSet<PathBuf>,
    /// Files that are allowed without their directories, and which file each was.
    pub(super) alone: BTreeMap<PathBuf, (u64, u64)>,
    /// Whether sockets with a name that is no path are needed.
    pub(super) abstract_sockets: bool,
    home: Option<PathBuf>,
}

impl Paths {
    /// Collects them. What is to be written but is not there yet, and cannot be made later, is made now.
    pub(super) fn of(needs: &Needs<'_>) -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let mut paths = Self {
            home: variable("HOME").and_then(|home| fs::canonicalize(home).ok()),
            ..Self::default()
        };
        paths.system(&variable);
        let config = needs.config;
        paths.read(&config.path);
        for file in config.files() {
            if file.key == "store_key" && !file.path.exists() {
                paths.write(&file.path);
            } else {
                paths.read(&file.path);
            }
        }
        if config.options.encrypt_client_secret_on_first_use {
            paths.write(&config.path);
        }
        if let Place::File(file) = needs.store {
            if let Some(leases) = needs.store.leases().filter(|_| paths.is_alone(file)) {
                // A place that cannot be made serves one process only, as ever.
                drop(DirBuilder::new().mode(0o700).create(&leases));
                paths.write.extend(fs::canonicalize(leases));
                // A cache of the predecessor is kept beside the store, which is not possible later. Whatever stands in the
                // way of that is told when the store is opened for use.
                drop(needs.store.take_over());
            }
            paths.make_and_write(file);
        }
        for file in needs.store.reads() {
            paths.read(&file);
        }
        if let Some(log) = needs.log {
            paths.make_and_write(log);
        }
        if let Some(folder) = needs.socket.and_then(Path::parent) {
            paths.write.extend(fs::canonicalize(folder));
        }
        paths
    }

    /// Adds what is the system's.
    fn system(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) {
        for file in system::READ {
            self.read(Path::new(file));
        }
        for folder in system::READ_ALL {
            self.read.extend(fs::canonicalize(folder));
        }
        self.read.extend(system::etc_of_resolvers());
        self.write.insert(PathBuf::from("/dev/null"));
        if let Some(file) = variable("SSL_CERT_FILE") {
            self.read(Path::new(&file));
        }
        for name in ["SSL_CERT_DIR", "CREDENTIALS_DIRECTORY"] {
            if let Some(folders) = variable(name) {
                let folders = env::split_paths(&folders).flat_map(fs::canonicalize);
                self.read.extend(folders);
            }
        }
        let begins = |name, start: &str| {
            variable(name).is_some_and(|value| value.to_string_lossy().contains(start))
        };
        self.abstract_sockets =
            begins("NOTIFY_SOCKET", "@") || begins("DBUS_SESSION_BUS_ADDRESS", "abstract=");
    }

    /// Allows a file to be read, and whatever is put in its place.
    fn read(&mut self, file: &Path) {
        let added = self.around(file);
        self.read.extend(added);
    }

    /// Allows a file to be written and replaced.
    fn write(&mut self, file: &Path) {
        let added = self.around(file);
        self.write.extend(added);
    }

    /// Allows a file to be written; where it is allowed alone it must be there.
    fn make_and_write(&mut self, file: &Path) {
        if self.is_alone(file) {
            let mut options = OpenOptions::new();
            // If this fails, whoever wants to write there will say so.
            drop(options.append(true).create(true).mode(0o600).open(file));
        }
        self.write(file);
    }

    /// Returns whether a file lies in a directory of many programs.
    pub(in crate::commands) fn is_alone(&self, file: &Path) -> bool {
        let last = steps(file).pop();
        let folder = last.as_deref().and_then(folder);
        folder.is_some_and(|folder| system::is_shared(&folder, self.home.as_deref()))
    }

    /// Lists the directories of a file and of the links that lead to it, or the file itself where they are shared.
    fn around(&mut self, file: &Path) -> Vec<PathBuf> {
        let mut around = Vec::new();
        for step in steps(file) {
            let Some(folder) = folder(&step) else {
                continue;
            };
            if !system::is_shared(&folder, self.home.as_deref()) {
                around.push(folder);
            } else if let Some((real, identity)) = real_file(&step) {
                // The last step alone is no link; what it leads to is allowed by its own step.
                if fs::symlink_metadata(&step).is_ok_and(|about| !about.is_symlink()) {
                    self.alone.insert(real.clone(), identity);
                    around.push(real);
                }
            }
        }
        around
    }

    /// Returns why a file could not be read, if so.
    pub(super) fn refuses(&self, file: &Path) -> Option<&'static str> {
        let last = steps(file).pop()?;
        let real = folder(&last)?.join(last.file_name()?);
        let mut allowed = self.read.iter().chain(&self.write);
        if allowed.any(|path| real != *path && real.starts_with(path)) {
            return None;
        }
        if let Some(known) = self.alone.get(&real) {
            let replaced = real_file(&real).is_some_and(|(_, identity)| identity != *known);
            return replaced
                .then_some("was replaced since the start, in a directory of many programs");
        }
        Some("lies outside of the directories known at the start")
    }
}

/// Follows the links of a file's last name: the file as named, each link's target, the file itself at the end.
fn steps(file: &Path) -> Vec<PathBuf> {
    let whole = env::current_dir().map_or_else(|_| file.to_owned(), |here| here.join(file));
    let mut steps = vec![whole];
    while let Some(last) = steps.last().filter(|_| steps.len() <= LINKS) {
        let Ok(target) = fs::read_link(last) else {
            break;
        };
        let next = last.parent().unwrap_or(Path::new("/")).join(target);
        steps.push(next);
    }
    steps
}

/// Returns the directory a name is in, links resolved.
fn folder(file: &Path) -> Option<PathBuf> {
    fs::canonicalize(file.parent()?).ok()
}

/// Returns a file's path without links, and what tells it from the one that takes its place.
fn real_file(file: &Path) -> Option<(PathBuf, (u64, u64))> {
    let real = fs::canonicalize(file).ok()?;
    let about = fs::metadata(&real).ok()?;
    Some((real, (about.dev(), about.ino())))
}
