//! Other programs that stand between a mail program and its provider, started with the same task: relays that begin TLS
//! and leave the login to the mail program, and the predecessor, which does the whole job.
//!
//! Who is not installed is left out.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::{self, Meter, Process};
use crate::proxy::account;
use crate::stage::Stage;
use crate::upstream::Places;

/// How long a peer may take to listen.
const START_TIME: Duration = Duration::from_secs(30);

/// Where Debian puts nginx' module for streams.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Who may stand between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// nginx, its stream module.
    Nginx,
    /// `HAProxy` in TCP mode.
    Haproxy,
    /// stunnel as a client.
    Stunnel,
    /// The predecessor, from a virtual environment that `PREDECESSOR` names.
    Predecessor,
}

/// A peer, running.
pub(crate) struct Peer {
    process: Process,
    /// Who it is.
    pub(crate) kind: Kind,
    /// Where it hears IMAP, POP and SMTP.
    pub(crate) at: [SocketAddr; 3],
    /// How long it took to listen.
    pub(crate) started: Duration,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Nginx, Self::Haproxy, Self::Stunnel, Self::Predecessor];

    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Stunnel => "stunnel",
            Self::Predecessor => "predecessor",
        }
    }

    /// Returns its program, where it is installed.
    fn program(self) -> Option<PathBuf> {
        let path = match self {
            Self::Nginx => "/usr/sbin/nginx".into(),
            Self::Haproxy => "/usr/sbin/haproxy".into(),
            Self::Stunnel => "/usr/bin/stunnel4".into(),
            Self::Predecessor => {
                PathBuf::from(std::env::var_os("PREDECESSOR")?).join("bin/emailproxy")
            }
        };
        path.exists().then_some(path)
    }

    /// Starts it, where it is installed.
    pub(crate) async fn start(self, stage: &Stage) -> anyhow::Result<Option<Peer>> {
        let Some(program) = self.program() else {
            return Ok(None);
        };
        let name = self.name();
        let home = stage.home().join(name);
        std::fs::create_dir_all(&home)?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let authority = stage.home().join("ca.pem");
        let file = home.join("configuration");
        std::fs::write(
            &file,
            self.configure(&home, ports, stage.provider, &authority),
        )?;
        let mut command = Command::new(program);
        match self {
            Self::Nginx => command.arg("-p").arg(&home).arg("-c").arg(&file),
            Self::Haproxy => command.arg("-db").arg("-f").arg(&file),
            Self::Stunnel => command.arg(&file),
            Self::Predecessor => command
                .args(["--no-gui", "--config-file"])
                .arg(&file)
                .arg("--cache-store")
                .arg(home.join("cache"))
                .env("SSL_CERT_FILE", &authority),
        };
        let log = File::create(home.join("log"))?;
        command
            .current_dir(&home)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log));
        let begun = Instant::now();
        let mut process = Process::start(&mut command)?;
        let at = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for at in at {
            while TcpStream::connect(at).await.is_err() {
                if process.child().try_wait()?.is_some() || begun.elapsed() > START_TIME {
                    let said = std::fs::read_to_string(home.join("log"))?;
                    bail!("{name} did not start:\n{said}");
                }
                process::breathe();
            }
        }
        Ok(Some(Peer {
            process,
            kind: self,
            at,
            started: begun.elapsed(),
        }))
    }

    fn configure(self, home: &Path, ports: [u16; 3], provider: Places, authority: &Path) -> String {
        let (home, authority) = (home.display(), authority.display());
        let head = match self {
            Self::Nginx => format!(
                "load_module {NGINX_STREAM};\ndaemon off;\nworker_processes auto;\npid {home}/pid;\n\
                 error_log {home}/errors warn;\nevents {{ worker_connections 20000; }}\nstream {{\n\
                 proxy_buffer_size 64k;\nproxy_timeout 1d;\nproxy_ssl on;\nproxy_ssl_verify on;\n\
                 proxy_ssl_trusted_certificate {authority};\nproxy_ssl_name localhost;\nproxy_ssl_server_name on;\n\
                 proxy_ssl_protocols TLSv1.2 TLSv1.3;\nproxy_ssl_session_reuse on;\n"
            ),
            Self::Haproxy => "global\nmaxconn 9900\ntune.bufsize 65536\ndefaults\nmode tcp\n\
                              timeout connect 10s\ntimeout client 1d\ntimeout server 1d\n"
                .to_owned(),
            Self::Stunnel => format!(
                "foreground = yes\npid =\ndebug = err\nclient = yes\nTIMEOUTidle = 86400\nverifyChain = yes\n\
                 checkHost = localhost\nCAfile = {authority}\n"
            ),
            Self::Predecessor => String::from("[emailproxy]\n"),
        };
        let mut text = head;
        let servers = [provider.imap, provider.pop, provider.smtp];
        for ((name, port), to) in ["IMAP", "POP", "SMTP"].iter().zip(ports).zip(servers) {
            let to_port = to.port();
            text.push_str(&match self {
                Self::Nginx => format!(
                    "server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass {to}; }}\n"
                ),
                Self::Haproxy => format!(
                    "listen {name}\nbind 127.0.0.1:{port} backlog 4096\nserver it {to} ssl verify required \
                     ca-file {authority} sni str(localhost) verifyhost localhost\n"
                ),
                Self::Stunnel => {
                    format!("[{name}]\naccept = 127.0.0.1:{port}\nconnect = {to}\n")
                }
                Self::Predecessor => format!(
                    "[{name}-{port}]\nlocal_address = 127.0.0.1\nserver_address = localhost\nserver_port = {to_port}\n"
                ),
            });
        }
        match self {
            Self::Nginx => text.push_str("}\n"),
            Self::Predecessor => text.push_str(&format!(
                "[{}]\ntoken_url = http://{}/token\noauth2_flow = client_credentials\noauth2_scope = mail\n\
                 client_id = load\nclient_secret = load\n",
                account(0),
                provider.token
            )),
            Self::Haproxy | Self::Stunnel => {}
        }
        text
    }
}

impl Peer {
    /// Returns what it costs.
    pub(crate) fn meter(&self) -> Meter {
        self.process.meter()
    }

    /// Ends it.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.process.end().await
    }
}

/// Finds a port where nobody listens, outside the range that the system gives out by itself.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let mut dice = [0; 2];
        aws_lc_rs::rand::fill(&mut dice)
            .ok()
            .context("no random numbers")?;
        let port = 12_000 + u16::from_be_bytes(dice) % 18_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
