//! What the command-line clients sit at: the servers, the program in front of them, and a message to send.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tokio::process::Command;

use crate::client;
use crate::oidc::Manners;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// A message as a local program has it, with line feeds alone.
pub(crate) const MESSAGE: &str = "\
From: ann@example.com
To: ann@example.com
Subject: from the command line
Message-ID: <1@example.com>
Date: Mon, 24 Nov 2025 10:00:00 +0000

hello
.
..two dots
QUIT
";

/// The servers, the program in front of them, and files for the clients.
pub(crate) struct Desk {
    // Dropped before the servers it talks to.
    pub(crate) proxy: Proxy,
    pub(crate) stage: Stage,
    /// A file with [`MESSAGE`].
    pub(crate) message: PathBuf,
    /// A file with the mail password, for the clients that want it so.
    pub(crate) password: PathBuf,
    /// IMAP with STARTTLS towards the client.
    pub(crate) secure_imap: u16,
    /// POP with STLS towards the client.
    pub(crate) secure_pop: u16,
    /// SMTP with STARTTLS towards the client.
    pub(crate) secure_smtp: u16,
}

impl Desk {
    /// Starts everything, if it and the `programs` of the test are installed.
    pub(crate) async fn set(programs: &[&str]) -> Option<Self> {
        let stage = Stage::set("command_line", programs, Manners::default()).await?;
        let services = [
            Service::imap(stage.dovecot.imaps),
            Service::pop(stage.dovecot.pops),
            Service::smtp(stage.postfix.submission).starttls(),
        ];
        let secure = services
            .clone()
            .map(|service| service.again().local_starttls(&stage));
        let all = [services.as_slice(), secure.as_slice()].concat();
        let proxy = Proxy::start(&stage, &all, &stage.oidc.application(USER)).await;
        let [secure_imap, secure_pop, secure_smtp] = secure.map(|service| service.port());
        let message = stage.folder().join("message");
        fs::write(&message, MESSAGE).unwrap();
        let password = stage.folder().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        Some(Self {
            proxy,
            stage,
            message,
            password,
            secure_imap,
            secure_pop,
            secure_smtp,
        })
    }

    /// Writes a client's own configuration, readable by its owner alone as such clients demand.
    pub(crate) fn configure(&self, name: &str, text: &str) -> PathBuf {
        let path = self.stage.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Waits until so many messages have arrived, and checks that each ends with [`MESSAGE`].
    pub(crate) async fn arrived(&self, count: usize) {
        for text in self.stage.dovecot.mailbox(USER, count).await {
            assert!(
                text.replace("\r\n", "\n").ends_with(MESSAGE),
                "the message changed: {text}"
            );
        }
    }

    /// Sends [`MESSAGE`] with curl, for the clients that only read.
    pub(crate) async fn mail(&self) {
        self.curl_sends(self.proxy.smtp(), &[]).await;
    }

    /// Sends [`MESSAGE`] with curl to an SMTP port.
    pub(crate) async fn curl_sends(&self, port: u16, options: &[&str]) {
        let mut command = self.curl(
            &format!("smtp://localhost:{port}/desk.example.com"),
            options,
        );
        command.args([
            "--mail-from",
            USER,
            "--mail-rcpt",
            USER,
            "--crlf",
            "--upload-file",
        ]);
        command.arg(&self.message);
        client::succeed(&format!("curl smtp {options:?}"), &mut command).await;
    }

    /// Returns a curl that logs in.
    pub(crate) fn curl(&self, url: &str, options: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--user",
            &format!("{USER}:{PASSWORD}"),
        ]);
        curl.arg("--cacert")
            .arg(&self.stage.ca.root)
            .args(options)
            .arg(url);
        curl
    }
}
