//! The proxy under test: a configuration for the fake provider, and the program started with it.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::process::Command;

use crate::process::{self, Meter, Process};
use crate::upstream::Places;

/// Every account's local password.
pub(crate) const PASSWORD: &str = "correct horse";

/// How long the proxy may take to listen.
const START_TIME: Duration = Duration::from_secs(30);

/// A running proxy.
pub(crate) struct Proxy {
    process: Process,
    /// Where it hears IMAP.
    pub(crate) imap: SocketAddr,
    /// Where it hears POP.
    pub(crate) pop: SocketAddr,
    /// Where it hears SMTP.
    pub(crate) smtp: SocketAddr,
    /// How long it took from its start to the line that says it listens.
    pub(crate) started: Duration,
}

/// Returns the program under test: what `EMAILPROXY` names, or what was built beside this.
pub(crate) fn program() -> OsString {
    std::env::var_os("EMAILPROXY").unwrap_or_else(|| env!("CARGO_BIN_EXE_emailproxy").into())
}

/// Names an account.
pub(crate) fn account(number: usize) -> String {
    format!("user{number}@example.com")
}

impl Proxy {
    /// Starts the program with so many accounts and a limit of connections. Its files, the log among them, lie in `home`;
    /// it believes the authority in this file.
    pub(crate) fn start(
        home: &Path,
        authority: &Path,
        provider: Places,
        accounts: usize,
        connections: usize,
    ) -> anyhow::Result<Self> {
        let file = home.join("emailproxy.ini");
        let text = configuration(authority, provider, accounts, connections);
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let log = home.join("log.txt");
        let begun = Instant::now();
        let mut process = Process::start(
            Command::new(program())
                .current_dir(home)
                .args(["run", "--config-file", "emailproxy.ini"])
                .env("RUNTIME_DIRECTORY", home.join("run"))
                .env("HOME", home)
                .env("NO_PROXY", "127.0.0.1")
                .env_remove("STATE_DIRECTORY")
                .env_remove("JOURNAL_STREAM")
                .env_remove("CREDENTIALS_DIRECTORY")
                .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
                .stdout(Stdio::from(File::create(&log)?))
                .stderr(Stdio::from(File::options().append(true).open(&log)?)),
        )?;
        let said = loop {
            let said = std::fs::read_to_string(&log)?;
            if said.contains("Initialised emailproxy") {
                break said;
            }
            if process.child().try_wait()?.is_some() || begun.elapsed() > START_TIME {
                bail!("the proxy did not start:\n{said}");
            }
            process::breathe();
        };
        let started = begun.elapsed();
        let at = |protocol: &str| -> anyhow::Result<SocketAddr> {
            let words = format!("Starting {protocol} server at ");
            let (_, rest) = said
                .split_once(&words)
                .ok_or_else(|| anyhow!("no {protocol} server:\n{said}"))?;
            let at = rest.split(' ').next().unwrap_or_default();
            at.parse().with_context(|| format!("{at} is no address"))
        };
        Ok(Self {
            imap: at("IMAP")?,
            pop: at("POP")?,
            smtp: at("SMTP")?,
            process,
            started,
        })
    }

    /// Returns what it costs.
    pub(crate) fn meter(&self) -> Meter {
        self.process.meter()
    }

    /// Ends it.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.process.end().await
    }
}

fn configuration(
    authority: &Path,
    provider: Places,
    accounts: usize,
    connections: usize,
) -> String {
    let mut text = format!(
        "[emailproxy]\nca_file = {}\nmax_connections = {connections}\nmax_connections_per_account = {connections}\n",
        authority.display()
    );
    for (name, at) in [
        ("IMAP-0", provider.imap),
        ("POP-0", provider.pop),
        ("SMTP-0", provider.smtp),
    ] {
        text.push_str(&format!(
            "[{name}]\nlocal_address = 127.0.0.1\nserver_address = localhost\nserver_port = {}\n",
            at.port()
        ));
    }
    for number in 0..accounts {
        text.push_str(&format!(
            "[{}]\ntoken_url = http://{}/token\noauth2_flow = client_credentials\noauth2_scope = mail\n\
             client_id = load\nclient_secret = load\n",
            account(number),
            provider.token
        ));
    }
    text
}
