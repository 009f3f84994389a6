//! Another process and what it costs: its processor time and memory, as the kernel counts them.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::process::{Child, Command};

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
    id: u32,
}

impl Process {
    /// Starts a command, its standard input held open.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        let id = child.id().ok_or_else(|| anyhow!("ended at once"))?;
        Ok(Self { child, id })
    }

    /// Gives access to its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns whose cost it is.
    pub(crate) fn meter(&self) -> Meter {
        Meter { id: self.id }
    }

    /// Ends it and waits until it is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// Reads what a process costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    id: u32,
}

impl Meter {
    /// Reads what this process costs.
    pub(crate) fn own() -> Self {
        Self {
            id: std::process::id(),
        }
    }

    /// Returns the processor time it used so far, user and system, in steps of 10 ms.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name may hold blanks; behind its bracket come the state and the numbers (proc_pid_stat(5)).
        let (_, numbers) = stat
            .rsplit_once(')')
            .context("/proc/PID/stat has no name")?;
        let mut fields = numbers.split_ascii_whitespace().skip(11);
        let mut ticks = || -> anyhow::Result<u64> {
            Ok(fields.next().context("/proc/PID/stat is short")?.parse()?)
        };
        Ok(Duration::from_millis((ticks()? + ticks()?) * 10))
    }

    /// Returns how much more that is than it was.
    pub(crate) fn cpu_since(self, before: Duration) -> anyhow::Result<Duration> {
        Ok(self.cpu()?.saturating_sub(before))
    }

    /// Returns the memory it has resident, in KiB.
    pub(crate) fn resident(self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
        Ok(number.context("/proc/PID/status has no VmRSS")?.parse()?)
    }
}

/// Raises this process' limit of open files as far as it goes.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    // Where that is refused, fewer connections will do.
    setrlimit(Resource::Nofile, all).ok();
}
