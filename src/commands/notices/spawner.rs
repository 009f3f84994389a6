//! The process that runs the notice command, outside of the proxy's sandbox: this program started anew.
//!
//! It hears the command once and then only values, which become variables of that command's environment; it runs nothing
//! else. It ends with the proxy, whose end it sees at its standard input.

use std::io;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _,
};
use tokio::io::{BufReader, sink};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Kind, MAX_LINE, Notice};

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of the command's complaints is told, in bytes.
const COMPLAINT: u64 = 500;

/// Runs notices until the proxy ends.
pub(in crate::commands) fn serve() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(attend())?;
    // A read of standard input cannot be called off.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn attend() -> io::Result<()> {
    let mut from = BufReader::new(tokio::io::stdin());
    let mut to = tokio::io::stdout();
    let Some(command) = hear::<Vec<String>>(&mut from).await? else {
        return Ok(());
    };
    while let Some(notice) = hear::<Notice>(&mut from).await? {
        let outcome = tokio::select! {
            outcome = run(&command, &notice) => outcome,
            // The proxy says nothing before it has its answer: it is gone, and the command goes with it.
            _ = from.fill_buf() => return Ok(()),
        };
        let mut line = serde_json::to_vec(&outcome.err())?;
        line.push(b'\n');
        to.write_all(&line).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Hears one line; `None` once the proxy is gone.
async fn hear<T: serde::de::DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let mut limited = from.take(MAX_LINE as u64);
    if limited.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Runs the command once. The error says how it failed.
async fn run(command: &[String], notice: &Notice) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Err("it names no program".to_owned());
    };
    let kind = match notice.kind {
        Kind::Consent => "consent",
        Kind::Device => "device",
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("EMAILPROXY_ACCOUNT", &notice.account)
        .env("EMAILPROXY_KIND", kind)
        .env("EMAILPROXY_URL", &notice.url)
        .env(
            "EMAILPROXY_CODE",
            notice.code.as_deref().unwrap_or_default(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // What it starts itself ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    let stderr = child.stderr.take();
    let group = Group::of(&child);
    let ended = timeout(PATIENCE, async {
        tokio::join!(child.wait(), complaint(stderr))
    });
    let (status, complaint) = ended
        .await
        .map_err(|_| format!("it took longer than {} s and was ended", PATIENCE.as_secs()))?;
    drop(group);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{status}; it said: {complaint}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads what the command complains of, to its end, and returns the beginning.
async fn complaint(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(mut stderr) = stderr {
        // What cannot be read is not told.
        drop((&mut stderr).take(COMPLAINT).read_to_end(&mut text).await);
        drop(tokio::io::copy(&mut stderr, &mut sink()).await);
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// The command and all that it started: ended when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Usually nobody is left.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}
