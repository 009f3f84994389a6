//! A server process that lives as long as its value.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::installed;
use crate::log::Log;

/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends the server; when a test fails its last lines are shown.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    /// Everything the process printed.
    pub(crate) printed: Log,
}

impl Daemon {
    /// Starts `command` with both outputs going to `printed`. It also ends when this process ends.
    pub(crate) fn start(name: &'static str, command: &Command, printed: &Path) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(printed)
            .unwrap();
        let mut tied = installed::command("setpriv");
        tied.args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            // Postfix ends its daemons by signalling its own process group.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tied.env(key, value),
                None => tied.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            tied.current_dir(folder);
        }
        let child = tied
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
        Self {
            name,
            child,
            printed: Log::at(printed),
        }
    }

    /// Sends a signal, named as `kill` names it.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", signal, &pid])
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok(), "could not run kill");
    }

    /// Returns the process' number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server and all it has started at once, with no time for a last word.
    pub(crate) fn kill(&mut self) {
        // It leads a group of its own, see `start`.
        let group = format!("-{}", self.child.id());
        let status = Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "could not kill {}",
            self.name
        );
        self.child.wait().unwrap();
    }

    /// Waits for the process to end and returns whether it left with success.
    fn ended(&mut self) -> Option<bool> {
        self.child
            .try_wait()
            .unwrap()
            .map(|status| status.success())
    }

    /// Asks the server to end and waits; returns whether it left with success, `None` if it had to be killed.
    pub(crate) fn stop(&mut self) -> Option<bool> {
        if let Some(success) = self.ended() {
            return Some(success);
        }
        self.signal("TERM");
        let begun = Instant::now();
        while begun.elapsed() < GOODBYE {
            if let Some(success) = self.ended() {
                return Some(success);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
        None
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.printed.tail());
        }
    }
}
