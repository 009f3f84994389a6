//! The program itself, run as a person would run it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::daemon::Daemon;
use crate::log::{Log, until, until_listening};
use crate::ports;
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// One listening service of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    protocol: &'static str,
    port: u16,
    lines: String,
}

impl Service {
    /// IMAP in front of this upstream port, which speaks TLS from the first byte.
    pub(crate) fn imap(upstream: u16) -> Self {
        Self::new("IMAP", upstream)
    }

    /// POP in front of this upstream port, which speaks TLS from the first byte.
    pub(crate) fn pop(upstream: u16) -> Self {
        Self::new("POP", upstream)
    }

    /// SMTP in front of this upstream port, which speaks TLS from the first byte.
    pub(crate) fn smtp(upstream: u16) -> Self {
        Self::new("SMTP", upstream)
    }

    fn new(protocol: &'static str, upstream: u16) -> Self {
        Self {
            protocol,
            port: ports::free(),
            lines: format!(
                "server_address = localhost\nserver_port = {upstream}\nlocal_address = 127.0.0.1\n"
            ),
        }
    }

    /// The same in front of the same upstream, on another local port.
    pub(crate) fn again(mut self) -> Self {
        self.port = ports::free();
        self
    }

    /// Returns the local port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The upstream begins TLS by STARTTLS or STLS.
    pub(crate) fn starttls(mut self) -> Self {
        self.lines.push_str("server_starttls = True\n");
        self
    }

    /// Local clients begin with TLS.
    pub(crate) fn local_tls(mut self, stage: &Stage) -> Self {
        self.lines.push_str(&format!(
            "local_certificate_path = {}\nlocal_key_path = {}\n",
            stage.ca.certificate.display(),
            stage.ca.key.display()
        ));
        self
    }

    /// Its clients come through a load balancer with this address.
    pub(crate) fn behind(mut self, balancer: &str) -> Self {
        self.lines
            .push_str(&format!("proxy_protocol_from = {balancer}\n"));
        self
    }

    /// Local clients begin TLS by STARTTLS or STLS.
    pub(crate) fn local_starttls(self, stage: &Stage) -> Self {
        let mut service = self.local_tls(stage);
        service.lines.push_str("local_starttls = True\n");
        service
    }
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Proxy {
    daemon: Daemon,
    services: Vec<(&'static str, u16)>,
}

impl Proxy {
    /// Writes a configuration and starts the program on it; returns when all services listen.
    pub(crate) async fn start(stage: &Stage, services: &[Service], accounts: &str) -> Self {
        write(stage, "", services, accounts);
        Self::start_again(stage, services).await
    }

    /// Does the same with these lines in `[emailproxy]`, and logs no more than usual.
    pub(crate) async fn start_quietly(
        stage: &Stage,
        options: &str,
        services: &[Service],
        accounts: &str,
    ) -> Self {
        write(stage, options, services, accounts);
        Self::launch(stage, services, &[]).await
    }

    /// Starts the program on the configuration and the token store of an earlier start.
    pub(crate) async fn start_again(stage: &Stage, services: &[Service]) -> Self {
        Self::launch(stage, services, &["--debug"]).await
    }

    async fn launch(stage: &Stage, services: &[Service], arguments: &[&str]) -> Self {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_emailproxy"));
        command
            .args(["run", "--no-gui"])
            .args(arguments)
            .arg("--config-file")
            .arg(configuration(stage))
            .arg("--cache-store")
            .arg(store(stage));
        for variable in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(variable);
        }
        let earlier = Log::at(&printed(stage)).text().len();
        let daemon = Daemon::start("emailproxy", &command, &printed(stage));
        for service in services {
            let starting = format!(
                "Starting {} server at 127.0.0.1:{}",
                service.protocol, service.port
            );
            until(&starting, || {
                daemon.printed.text()[earlier..]
                    .contains(&starting)
                    .then_some(())
            })
            .await;
        }
        let services: Vec<_> = services
            .iter()
            .map(|service| (service.protocol, service.port))
            .collect();
        let ports: Vec<u16> = services.iter().map(|(_, port)| *port).collect();
        until_listening("emailproxy", &ports).await;
        Self { daemon, services }
    }

    /// Returns the port of the only IMAP service.
    pub(crate) fn imap(&self) -> u16 {
        self.port("IMAP")
    }

    /// Returns the port of the only POP service.
    pub(crate) fn pop(&self) -> u16 {
        self.port("POP")
    }

    /// Returns the port of the only SMTP service.
    pub(crate) fn smtp(&self) -> u16 {
        self.port("SMTP")
    }

    fn port(&self, protocol: &str) -> u16 {
        let found = self.services.iter().find(|(name, _)| *name == protocol);
        found.expect("the test configured that service").1
    }

    /// Returns the process' number.
    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Returns what the program wrote.
    pub(crate) fn printed(&self) -> &Log {
        &self.daemon.printed
    }

    /// Waits for the address that the program asks the account's owner to visit.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        let words = format!("Please visit the following URL to authenticate account {user}: ");
        let find = |line: &str| Some(line.split_once(&words)?.1.trim().to_owned());
        self.daemon.printed.find("the sign-in address", find).await
    }

    /// Checks that the debug log tells who logged in, and no password, token or other secret in any coding.
    pub(crate) fn kept_secrets(&self, stage: &Stage) {
        let log = self.daemon.printed.text();
        assert!(log.contains(USER), "the log does not name the account");
        let mut secrets = stage.oidc.secrets();
        assert!(!secrets.is_empty(), "no token was ever asked for");
        secrets.push(PASSWORD.to_owned());
        for secret in secrets {
            let coded = STANDARD.encode(&secret);
            let as_plain = STANDARD.encode(format!("\0{USER}\0{secret}"));
            let debugged = format!("{secret:?}").trim_matches('"').to_owned();
            for shape in [&secret, &debugged, &coded, &as_plain] {
                assert!(
                    !log.contains(shape.as_str()),
                    "a secret is in the log: {shape}"
                );
            }
        }
    }

    /// Ends the program as a service manager does; it must leave with success.
    pub(crate) fn stop(mut self) {
        assert_eq!(
            self.daemon.stop(),
            Some(true),
            "the program did not end well on SIGTERM"
        );
    }
}

/// Writes a configuration.
fn write(stage: &Stage, options: &str, services: &[Service], accounts: &str) {
    let root = stage.ca.root.display();
    // Programs of other tests run at the same time, and only one of them can have the page's usual address.
    let web = if options.contains("web =") {
        ""
    } else {
        "web = off\n"
    };
    let mut text = format!("[emailproxy]\nca_file = {root}\n{web}{options}\n");
    for service in services {
        text.push_str(&format!(
            "[{}-{}]\n{}\n",
            service.protocol, service.port, service.lines
        ));
    }
    text.push_str(accounts);
    fs::write(configuration(stage), text).unwrap();
}

/// Returns the configuration's path.
pub(crate) fn configuration(stage: &Stage) -> PathBuf {
    stage.folder().join("emailproxy.ini")
}

/// Returns the token store's path.
pub(crate) fn store(stage: &Stage) -> PathBuf {
    stage.folder().join("tokens")
}

fn printed(stage: &Stage) -> PathBuf {
    Path::new(stage.folder()).join("emailproxy.log")
}
