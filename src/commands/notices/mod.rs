//! Tells a person, by a command of theirs, that an account needs them: a sign-in is waited for.
//!
//! The proxy itself starts no program. A small process of its own, begun before the sandbox and told the command once, does
//! it (`spawner`); it hears values only, and never a token. One notice at a time, and one an account and day.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::accounts::Pending;
use crate::said::Said;

mod spawner;

pub(super) use spawner::serve;

/// The hidden command under which this program is the spawner.
pub(super) const COMMAND: &str = "spawn-notices";

/// How long an account that somebody was told of is not spoken of again.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The most notices a day, over all accounts: behind `[@]` strangers may make up names.
const MOST: usize = 1_000;

/// The longest line between the two processes, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// The variables of our own environment that the command sees too: where it is and who for, not what is in them.
const KEPT: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Notice {
    account: String,
    kind: Kind,
    url: String,
    code: Option<String>,
}

/// What is asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// To sign in at an address.
    Consent,
    /// To type a code in at an address.
    Device,
}

/// The process that runs the command.
#[derive(Debug)]
pub(super) struct Spawner {
    child: Child,
}

impl Spawner {
    /// Starts it and tells it the command. To be done before the sandbox.
    pub(super) fn start(command: &[String]) -> anyhow::Result<Self> {
        let fail = "could not start the process that runs notify_command";
        let program = std::env::current_exe().context(fail)?;
        let kept = KEPT
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(program)
            .arg(COMMAND)
            .env_clear()
            .envs(kept)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context(fail)?;
        let stdin = child.stdin.as_mut().ok_or_else(|| anyhow!(fail))?;
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        io::Write::write_all(stdin, &line).context(fail)?;
        Ok(Self { child })
    }

    /// Has somebody told of each account that begins to need a person, as long as there are accounts.
    pub(super) async fn tell(mut self, pending: watch::Receiver<Vec<Pending>>) {
        if let Err(error) = self.attend(pending).await {
            warn!("notify_command is not run any more: {error}; restart emailproxy to begin again");
        }
    }

    async fn attend(&mut self, mut pending: watch::Receiver<Vec<Pending>>) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let to = OwnedFd::from(self.child.stdin.take().ok_or_else(gone)?);
        let from = OwnedFd::from(self.child.stdout.take().ok_or_else(gone)?);
        let mut to = pipe::Sender::from_owned_fd(to)?;
        let mut from = BufReader::new(pipe::Receiver::from_owned_fd(from)?);
        let mut told = Told::default();
        loop {
            let now = pending.borrow_and_update().clone();
            for one in &now {
                if !told.is_due(&one.account, Instant::now()) {
                    continue;
                }
                let notice = Notice::of(one);
                let mut line = serde_json::to_vec(&notice)?;
                line.push(b'\n');
                to.write_all(&line).await?;
                let mut line = Vec::new();
                let mut limited = (&mut from).take(MAX_LINE as u64);
                if limited.read_until(b'\n', &mut line).await? == 0 {
                    return Err(gone());
                }
                let outcome: Option<String> = serde_json::from_slice(&line)?;
                match outcome {
                    None => info!("notify_command was run for account {}", notice.account),
                    Some(why) => warn!(
                        "notify_command for account {} failed: {}",
                        notice.account,
                        Said::new(why)
                    ),
                }
            }
            if pending.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Notice {
    fn of(pending: &Pending) -> Self {
        let said = |text: &str| Said::new(text).to_string();
        let code = pending.code.as_ref();
        Self {
            account: said(&pending.account),
            kind: if code.is_some() {
                Kind::Device
            } else {
                Kind::Consent
            },
            // Ours, and too long to be cut: a part of it leads nowhere.
            url: code.map_or_else(|| pending.url.clone(), |code| said(&code.url)),
            code: code.map(|code| said(&code.code)),
        }
    }
}

/// Of whom somebody was told, and when.
#[derive(Debug, Default)]
struct Told(HashMap<String, Instant>);

impl Told {
    /// Returns whether somebody is to be told of an account now, and takes it that they are.
    fn is_due(&mut self, account: &str, now: Instant) -> bool {
        if self.0.contains_key(account) || self.0.len() >= MOST {
            self.0
                .retain(|_, at| now.saturating_duration_since(*at) < DAY);
        }
        if self.0.contains_key(account) || self.0.len() >= MOST {
            return false;
        }
        self.0.insert(account.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_spoken_of_once_a_day() {
        let mut told = Told::default();
        let now = Instant::now();
        assert!(told.is_due("a@e", now));
        assert!(!told.is_due("a@e", now + DAY / 2));
        assert!(told.is_due("b@e", now + DAY / 2));
        assert!(told.is_due("a@e", now + DAY));
        assert!(!told.is_due("b@e", now + DAY));
        for n in 0..MOST {
            told.is_due(&format!("{n}@e"), now + DAY);
        }
        assert!(!told.is_due("one@more", now + DAY));
        assert!(told.is_due("one@more", now + DAY * 3));
        assert!(told.0.len() <= MOST);
    }
}
