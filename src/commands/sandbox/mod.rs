//! What a running proxy gives up of the system before its first thread: files it does not need, other programs, and
//! system calls it never makes.
//!
//! Both Landlock and seccomp bind threads and what these start, so that it must happen before there is a second one. What
//! the kernel cannot do is left out, and the log says so: mail goes on.

use std::path::Path;

use tracing::{debug, info, warn};

use crate::config::files::named_in;

mod calls;
mod files;
mod paths;
mod system;

pub(super) use paths::Needs;
use paths::Paths;

/// What was given up.
#[derive(Debug)]
pub(super) struct Sandbox {
    paths: Paths,
    /// How files are confined, in words, or why they are not.
    files: Result<String, String>,
    /// Whether system calls are refused, or why they are not.
    calls: Result<(), String>,
    wanted: bool,
}

impl Sandbox {
    /// Gives up what the proxy does not need, for good. Only while this thread is the only one.
    pub(super) fn enter(needs: &Needs<'_>) -> Self {
        if !needs.config.options.sandbox {
            let unwanted = || "it is not wanted".to_owned();
            return Self {
                paths: Paths::default(),
                files: Err(unwanted()),
                calls: Err(unwanted()),
                wanted: false,
            };
        }
        let paths = Paths::of(needs);
        let files = files::confine(&paths);
        let calls = calls::refuse();
        Self {
            paths,
            files,
            calls,
            wanted: true,
        }
    }

    /// Tells the log what is enforced.
    pub(super) fn tell(&self) {
        if !self.wanted {
            warn!(
                "sandbox = no: this process may read and write whatever its user may, and start programs"
            );
            return;
        }
        match (&self.files, &self.calls) {
            (Ok(files), Ok(())) => info!(
                "sandboxed: files of its own only ({files}), no other programs and no unusual system calls (seccomp)"
            ),
            (files, calls) => {
                if let Ok(files) = files {
                    info!("sandboxed: files of its own only ({files})");
                }
                if let Err(why) = files {
                    warn!(
                        "no Landlock ({why}): this process may read and write whatever its user may"
                    );
                }
                if let Ok(()) = calls {
                    info!("sandboxed: no other programs and no unusual system calls (seccomp)");
                }
                if let Err(why) = calls {
                    warn!("no seccomp ({why}): this process may start programs");
                }
            }
        }
        if self.files.is_err() {
            return;
        }
        for path in &self.paths.read {
            debug!("may read {}", path.display());
        }
        for path in &self.paths.write {
            debug!("may write {}", path.display());
        }
    }

    /// Returns whether a log file cannot be followed by another one, because its directory is many programs'.
    pub(super) fn is_alone(&self, file: &Path) -> bool {
        self.files.is_ok() && self.paths.is_alone(file)
    }

    /// Lists what the configuration file, as it is now, names outside of what is allowed; each with what to do.
    pub(super) fn outside(&self, config: &Path) -> Vec<String> {
        if self.files.is_err() {
            return Vec::new();
        }
        let restart = "restart emailproxy to use it (docs/SECURITY.md tells of the sandbox)";
        if let Some(why) = self.paths.refuses(config) {
            return vec![format!("{} {why}; {restart}", config.display())];
        }
        let mut outside = Vec::new();
        for file in named_in(config) {
            let Some(why) = self.paths.refuses(&file.path) else {
                continue;
            };
            // The other secrets of this name are not for the log.
            let what = if file.key == "client_secret" {
                "the key file of the service account".to_owned()
            } else {
                file.path.display().to_string()
            };
            let text = format!(
                "{}:{}: {}: {what} {why}; {restart}",
                config.display(),
                file.line,
                file.key
            );
            if !outside.contains(&text) {
                outside.push(text);
            }
        }
        outside
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
