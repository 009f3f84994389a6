//! What every measure needs: a provider with certificates of its own in a directory that goes with it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::authority::Authority;
use crate::client::{Door, Key};
use crate::process::Process;
use crate::proxy::{PASSWORD, Proxy};
use crate::upstream::{self, Places};

/// The length of an access token, in bytes.
const TOKEN: usize = 1_500;

/// A provider, and where the proxy's files go.
pub(crate) struct Stage {
    home: TempDir,
    client: Arc<ClientConfig>,
    /// Where the provider listens.
    pub(crate) provider: Places,
    _process: Option<Process>,
}

impl Stage {
    /// Sets it up, with the provider as a process of its own.
    pub(crate) async fn set(latency: u64) -> anyhow::Result<Self> {
        let (home, authority, options) = files(latency)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("upstream")
            .arg("--certificate")
            .arg(&options.certificate)
            .arg("--key")
            .arg(&options.key)
            .args(["--latency", &latency.to_string()])
            .args(["--token", &TOKEN.to_string()])
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let out = process.child().stdout.take().context("no output")?;
        let line = BufReader::new(out).lines().next_line().await?;
        let line = line.context("the provider did not start")?;
        let mut places = line.split(' ').map(str::parse);
        let mut place = || anyhow::Ok(places.next().context("too few addresses")??);
        let provider = Places {
            imap: place()?,
            pop: place()?,
            smtp: place()?,
            token: place()?,
        };
        Ok(Self {
            home,
            client: authority.client(),
            provider,
            _process: Some(process),
        })
    }

    /// Sets it up with the provider in this process.
    #[allow(dead_code, reason = "the form of `tests/idle_load.rs`")]
    pub(crate) fn set_here() -> anyhow::Result<Self> {
        let (home, authority, options) = files(0)?;
        let provider = upstream::serve(&options)?;
        Ok(Self {
            home,
            client: authority.client(),
            provider,
            _process: None,
        })
    }

    /// Starts the proxy under test.
    pub(crate) fn proxy(&self, accounts: usize, connections: usize) -> anyhow::Result<Proxy> {
        self.proxy_in("", accounts, connections)
    }

    /// Starts one more beside it, whose files lie in a directory of this name.
    pub(crate) fn proxy_in(
        &self,
        name: &str,
        accounts: usize,
        connections: usize,
    ) -> anyhow::Result<Proxy> {
        let home = self.home.path().join(name);
        std::fs::create_dir_all(&home)?;
        let authority = self.home.path().join("ca.pem");
        Proxy::start(&home, &authority, self.provider, accounts, connections)
    }

    /// Returns where its files lie; `ca.pem` is the authority to believe.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the proxy's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log.txt")).unwrap_or_default()
    }

    /// Leads straight to one of the provider's servers, as a mail program with OAuth2 of its own goes.
    pub(crate) fn direct(&self, at: std::net::SocketAddr) -> Door {
        Door {
            at,
            tls: Some(Arc::clone(&self.client)),
            key: Key::Token("t".repeat(TOKEN)),
        }
    }

    /// Leads to something that relays to one of the provider's servers and does not log in.
    pub(crate) fn relayed(at: std::net::SocketAddr) -> Door {
        Door {
            at,
            tls: None,
            key: Key::Token("t".repeat(TOKEN)),
        }
    }

    /// Leads to one of the proxy's services.
    pub(crate) fn proxied(at: std::net::SocketAddr) -> Door {
        Door {
            at,
            tls: None,
            key: Key::Password(PASSWORD.to_owned()),
        }
    }
}

fn files(latency: u64) -> anyhow::Result<(TempDir, Authority, upstream::Options)> {
    let home = TempDir::new()?;
    let authority = Authority::found();
    let options = upstream::Options {
        certificate: home.path().join("server.pem"),
        key: home.path().join("server.key"),
        latency,
        token: TOKEN,
    };
    std::fs::write(home.path().join("ca.pem"), &authority.root)?;
    std::fs::write(&options.certificate, &authority.certificate)?;
    std::fs::write(&options.key, &authority.key)?;
    Ok((home, authority, options))
}
