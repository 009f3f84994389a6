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

    /// Ends it and what it started, and waits until it is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let family = family(self.id)?;
        self.child.kill().await?;
        for member in family.iter().skip(1) {
            let id = rustix::process::Pid::from_raw(member.id.cast_signed());
            if let Some(id) = id {
                // It may have followed by itself.
                rustix::process::kill_process(id, rustix::process::Signal::KILL).ok();
            }
        }
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

    /// Returns the processor time that it and what it started used so far, user and system, in steps of 10 ms.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        let family = family(self.id)?;
        let ticks: u64 = family.iter().map(|member| member.ticks).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Returns how much more that is than it was.
    pub(crate) fn cpu_since(self, before: Duration) -> anyhow::Result<Duration> {
        Ok(self.cpu()?.saturating_sub(before))
    }

    /// Returns the memory that it and what it started have resident, in KiB. What several of them share counts for each.
    pub(crate) fn resident(self) -> anyhow::Result<u64> {
        let family = family(self.id)?;
        family.iter().map(|member| resident(member.id)).sum()
    }
}

/// A process as `/proc/PID/stat` shows it.
struct Member {
    id: u32,
    parent: u32,
    /// Its processor time, those of its threads that have ended among it.
    ticks: u64,
}

/// Returns a process and all that it started, and those that they started.
fn family(id: u32) -> anyhow::Result<Vec<Member>> {
    let first = member(id).with_context(|| format!("process {id} is gone"))?;
    let mut others: Vec<Member> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(member)
        .collect();
    let mut family = vec![first];
    let mut known = 0;
    while let Some(parent) = family.get(known).map(|member| member.id) {
        known += 1;
        let mut at = 0;
        while let Some(other) = others.get(at) {
            if other.parent == parent {
                family.push(others.swap_remove(at));
            } else {
                at += 1;
            }
        }
    }
    Ok(family)
}

/// Looks at a process, where there still is one.
fn member(id: u32) -> Option<Member> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may hold blanks; behind its bracket come the state and the numbers (proc_pid_stat(5)).
    let (_, numbers) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = numbers.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Member {
        id,
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
    })
}

fn resident(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    Ok(number.context("/proc/PID/status has no VmRSS")?.parse()?)
}

/// Waits a fifth of a millisecond for another process, shorter than the runtime's clock can.
pub(crate) fn breathe() {
    std::thread::sleep(Duration::from_micros(200));
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
