//! The program itself, started as a person or a service manager would start it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::client::PATIENCE;

/// The program, running.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    printed: Arc<Mutex<String>>,
    news: watch::Receiver<usize>,
}

/// How a run of the program ended.
pub(crate) struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed on both outputs.
    pub(crate) printed: String,
}

impl Program {
    /// Starts it with these arguments, its control socket and state under `home`.
    pub(crate) fn start(home: &Path, arguments: &[&str]) -> Self {
        Self::start_in(home, arguments, &[])
    }

    /// Starts it with these arguments and in this environment too.
    pub(crate) fn start_in(home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Self::command(home, &[], arguments);
        command.envs(environment.iter().copied());
        Self::launch(command)
    }

    /// Words a run of it, by another program where `under` begins with one: outputs are caught unless set otherwise.
    pub(crate) fn command(home: &Path, under: &[&str], arguments: &[&str]) -> Command {
        let mut words = under
            .iter()
            .copied()
            .chain([env!("CARGO_BIN_EXE_emailproxy")]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(arguments)
            .current_dir(home)
            .env("RUNTIME_DIRECTORY", home.join("run"));
        for variable in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(variable);
        }
        command
            .env_remove("STATE_DIRECTORY")
            .env_remove("JOURNAL_STREAM")
            .env_remove("CREDENTIALS_DIRECTORY")
            // Whoever runs the tests has a keyring of their own; it is none of ours.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a worded run.
    pub(crate) fn launch(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let (told, news) = watch::channel(0);
        let told = Arc::new(told);
        if let Some(out) = child.stdout.take() {
            collect(BufReader::new(out), Arc::clone(&printed), Arc::clone(&told));
        }
        if let Some(err) = child.stderr.take() {
            collect(BufReader::new(err), Arc::clone(&printed), told);
        }
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            printed,
            news,
        }
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the program has ended")
    }

    /// Runs it to its end with `input` on standard input.
    pub(crate) async fn done(home: &Path, arguments: &[&str], input: &str) -> Ended {
        let mut program = Self::start(home, arguments);
        program.paste(input).await;
        program.stdin = None;
        program.end().await
    }

    /// Returns what it printed so far.
    pub(crate) fn text(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Waits until it has printed `words`, and returns the rest of that line.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let waiting = async {
            loop {
                let found = self
                    .text()
                    .lines()
                    .find_map(|line| Some(line.split_once(words)?.1.to_owned()));
                if let Some(found) = found {
                    return found;
                }
                self.news
                    .changed()
                    .await
                    .expect("the program ended without saying so");
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("never said {words:?}:\n{}", self.text()))
    }

    /// Waits until a service listens and returns where.
    pub(crate) async fn listens(&mut self, protocol: &str) -> SocketAddr {
        let rest = self.says(&format!("Starting {protocol} server at ")).await;
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    /// Types text into its terminal.
    pub(crate) async fn paste(&mut self, text: &str) {
        // A program that ended already reads nothing.
        drop(
            self.stdin
                .as_mut()
                .unwrap()
                .write_all(text.as_bytes())
                .await,
        );
    }

    /// Sends it a signal by name.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Waits until it ends.
    pub(crate) async fn end(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .unwrap_or_else(|_| panic!("does not end:\n{}", self.text()))
            .unwrap();
        let waiting = async { while self.news.changed().await.is_ok() {} };
        timeout(PATIENCE, waiting)
            .await
            .expect("its output does not end");
        Ended {
            code: status.code(),
            printed: self.text(),
        }
    }
}

fn collect(
    mut output: impl tokio::io::AsyncBufRead + Unpin + Send + 'static,
    printed: Arc<Mutex<String>>,
    told: Arc<watch::Sender<usize>>,
) {
    tokio::spawn(async move {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
            printed
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
            told.send_modify(|count| *count += 1);
        }
    });
}
