//! The program itself on a machine that lacks something: started from outside, looked at from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, geteuid, getrlimit, prlimit};
use tokio::process::Command;
use tokio::time::Instant;

use super::dialogue::{Heard, converse};
use super::program::Program;
use super::support::client::{Client, PATIENCE};
use super::support::daemon::Plan;
use super::support::provider::Provider;
use super::{PASSWORD, USER};

/// An account that nobody has logged in to when a test begins.
pub(crate) const OTHER: &str = "other@example.com";

/// The program with everything it needs.
pub(crate) struct Machine {
    pub(crate) provider: Provider,
    pub(crate) program: Program,
    pub(crate) home: PathBuf,
    pub(crate) config: String,
    pub(crate) at: [(&'static str, SocketAddr); 3],
    _plan: Plan,
}

impl Machine {
    /// Starts the program with two accounts and a service a protocol.
    pub(crate) async fn start() -> Self {
        Self::start_as(&[], &[], |plan, _| plan).await
    }

    /// Starts it by way of another program, with more arguments and a plan that `draw` completes.
    pub(crate) async fn start_as(
        under: &[&str],
        more: &[&str],
        draw: impl FnOnce(Plan, &Provider) -> Plan,
    ) -> Self {
        let provider = Provider::start().await;
        let plan = Plan::for_provider(&provider)
            .app(&provider, USER)
            .app(&provider, OTHER);
        let plan = draw(plan, &provider);
        Self::of(provider, plan, under, more).await
    }

    /// Starts it with this plan.
    pub(crate) async fn of(provider: Provider, plan: Plan, under: &[&str], more: &[&str]) -> Self {
        let (home, config) = written(&plan);
        let mut arguments = vec!["--config-file", &config];
        arguments.extend(more);
        let mut program = Program::launch(Program::command(&home, under, &arguments));
        let at = listening(&mut program).await;
        Self {
            provider,
            program,
            home,
            config,
            at,
            _plan: plan,
        }
    }

    /// Returns where a service listens.
    pub(crate) fn at(&self, section: &str) -> SocketAddr {
        self.at.iter().find(|(name, _)| *name == section).unwrap().1
    }

    /// Has a mail client talk from greeting to goodbye.
    pub(crate) async fn converse(&self, section: &str, user: &str) -> Heard {
        converse(section, self.at(section), user).await
    }

    /// Fails unless every protocol's login works from greeting to goodbye.
    pub(crate) async fn assert_serves(&self) {
        for (section, at) in self.at {
            let heard = converse(section, at, USER).await;
            assert!(
                heard.is_in() && heard.goodbye,
                "{section}: {heard:?}\n{}",
                self.log()
            );
        }
    }

    /// Logs somebody in by IMAP who stays.
    pub(crate) async fn bystander(&self) -> Bystander {
        let mut client = Client::plain(self.at("IMAP-0")).await;
        client.line().await;
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
        Bystander(client)
    }

    /// Runs a command that asks the running proxy.
    pub(crate) async fn ask(&self, command: &str) -> super::program::Ended {
        Program::done(&self.home, &[command, "--config-file", &self.config], "").await
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.program.text()
    }

    /// Returns how often the log says something.
    pub(crate) fn says(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Waits until the log says something: its lines come a moment after what they tell of.
    pub(crate) async fn tells(&self, words: &str) {
        self.until(&format!("said {words:?}"), |machine| {
            machine.says(words) > 0
        })
        .await;
    }

    /// Waits until something is so; fails with the log when it does not come about.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "never {what}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns the numbers of the descriptors that the program has open.
    pub(crate) fn descriptors(&self) -> Vec<u64> {
        let folder = std::fs::read_dir(self.proc().join("fd")).unwrap();
        let mut open: Vec<u64> = folder
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        open.sort_unstable();
        open
    }

    /// Waits until no more descriptors are open than at some time before.
    pub(crate) async fn gives_back(&self, before: usize) {
        self.until("gave its descriptors back", |machine| {
            machine.descriptors().len() <= before
        })
        .await;
    }

    /// Returns a figure of `/proc/PID/status`, such as `VmRSS` in KiB or `Threads`.
    pub(crate) fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc().join("status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Fails if the program computes for more than half of the next half second: it should be waiting.
    pub(crate) async fn assert_idle(&self) {
        let before = self.ticks();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let spent = self.ticks() - before;
        // A tick is a hundredth of a second.
        assert!(
            spent < 25,
            "it computed for {spent} of 50 ticks:\n{}",
            self.log()
        );
    }

    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.proc().join("stat")).unwrap();
        let behind_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        // utime and stime are fields 14 and 15 of the line; the third comes first here (proc_pid_stat(5)).
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.program.id().to_string())
    }

    /// Sets a soft limit of the running program, and returns what it was. The hard one stays.
    pub(crate) fn limit(&self, resource: Resource, to: Option<u64>) -> Option<u64> {
        let id = Pid::from_raw(i32::try_from(self.program.id()).unwrap());
        let maximum = getrlimit(resource).maximum;
        let limit = Rlimit {
            current: to,
            maximum,
        };
        prlimit(id, resource, limit).unwrap().current
    }
}

/// Somebody who is logged in and does not care what happens to others.
pub(crate) struct Bystander(Client);

impl Bystander {
    /// Fails unless the session goes on.
    pub(crate) async fn assert_well(&mut self) {
        let said = self.0.imap("NOOP").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    }
}

/// Writes the plan and makes the directory for the control socket; returns its directory and the file.
pub(crate) fn written(plan: &Plan) -> (PathBuf, String) {
    use std::os::unix::fs::DirBuilderExt as _;
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    let mut run = std::fs::DirBuilder::new();
    run.mode(0o700)
        .recursive(true)
        .create(home.join("run"))
        .unwrap();
    (home, file.display().to_string())
}

/// Waits until the three services listen and the proxy has learned what their servers offer.
pub(crate) async fn listening(program: &mut Program) -> [(&'static str, SocketAddr); 3] {
    let at = [
        ("IMAP-0", program.listens("IMAP").await),
        ("POP-0", program.listens("POP").await),
        ("SMTP-0", program.listens("SMTP").await),
    ];
    program.says("Initialised emailproxy").await;
    at
}

/// Returns whether this test may go on that needs root; says so where not. CI is root.
pub(crate) fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {test} needs root");
        assert!(
            std::env::var_os("CI").is_none(),
            "{test} must not be skipped in CI"
        );
    }
    root
}

/// Runs a system command that must succeed.
pub(crate) async fn run(command: &str, arguments: &[&str]) {
    let done = Command::new(command)
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert!(
        done.status.success(),
        "{command} {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
