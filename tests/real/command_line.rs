//! Mail programs of the command line, and Postfix as the relay of somebody's network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tokio::process::Command;

use crate::client;
use crate::oidc::Manners;
use crate::postfix::Postfix;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// A message as a local program has it, with line feeds alone.
const MESSAGE: &str = "\
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
struct Desk {
    // Dropped before the servers it talks to.
    proxy: Proxy,
    stage: Stage,
    message: PathBuf,
    password: PathBuf,
}

impl Desk {
    async fn set(programs: &[&str]) -> Option<Self> {
        let stage = Stage::set("command_line", programs, Manners::default()).await?;
        let services = [
            Service::imap(stage.dovecot.imaps),
            Service::pop(stage.dovecot.pops),
            Service::smtp(stage.postfix.submission).starttls(),
        ];
        let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
        let message = stage.folder().join("message");
        fs::write(&message, MESSAGE).unwrap();
        let password = stage.folder().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        Some(Self {
            proxy,
            stage,
            message,
            password,
        })
    }

    /// Writes a client's own configuration, readable by its owner alone as such clients demand.
    fn configure(&self, name: &str, text: &str) -> PathBuf {
        let path = self.stage.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Waits until so many messages have arrived, and checks that each ends with [`MESSAGE`].
    async fn arrived(&self, count: usize) {
        for text in self.stage.dovecot.mailbox(USER, count).await {
            assert!(
                text.replace("\r\n", "\n").ends_with(MESSAGE),
                "the message changed: {text}"
            );
        }
    }

    /// Sends [`MESSAGE`] with curl, for the clients that only read.
    async fn mail(&self) {
        self.curl_sends("").await;
    }

    async fn curl_sends(&self, mechanism: &str) {
        let mut command = curl(&format!(
            "smtp://localhost:{}/desk.example.com",
            self.proxy.smtp()
        ));
        command
            .args([
                "--mail-from",
                USER,
                "--mail-rcpt",
                USER,
                "--crlf",
                "--upload-file",
            ])
            .arg(&self.message);
        if !mechanism.is_empty() {
            command.args(["--login-options", &format!("AUTH={mechanism}")]);
        }
        client::succeed("curl smtp", &mut command).await;
    }
}

/// Returns a curl that logs in.
fn curl(url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--user",
        &format!("{USER}:{PASSWORD}"),
        url,
    ]);
    curl
}

#[tokio::test]
async fn curl_sends_and_reads() {
    let Some(desk) = Desk::set(&["curl"]).await else {
        return;
    };
    desk.curl_sends("").await;
    desk.curl_sends("PLAIN").await;
    desk.curl_sends("LOGIN").await;
    desk.arrived(3).await;
    for (url, option) in [
        (
            format!("imap://localhost:{}/INBOX;MAILINDEX=1", desk.proxy.imap()),
            "",
        ),
        (
            format!("imap://localhost:{}/INBOX;MAILINDEX=1", desk.proxy.imap()),
            "AUTH=PLAIN",
        ),
        (
            format!("imap://localhost:{}/INBOX;MAILINDEX=1", desk.proxy.imap()),
            "AUTH=LOGIN",
        ),
        (format!("pop3://localhost:{}/1", desk.proxy.pop()), ""),
        (
            format!("pop3://localhost:{}/1", desk.proxy.pop()),
            "AUTH=PLAIN",
        ),
        (
            format!("pop3://localhost:{}/1", desk.proxy.pop()),
            "AUTH=LOGIN",
        ),
    ] {
        let mut command = curl(&url);
        if !option.is_empty() {
            command.args(["--login-options", option]);
        }
        let text = client::succeed(&format!("curl {url} {option}"), &mut command).await;
        assert!(
            text.replace("\r\n", "\n").ends_with(MESSAGE),
            "{url} {option}: the message changed: {text}"
        );
    }
    let mut command = curl(&format!("imap://localhost:{}/INBOX", desk.proxy.imap()));
    command.args(["--user", &format!("{USER}:wrong")]);
    client::fail("curl with a wrong password", &mut command).await;
}

#[tokio::test]
async fn swaks_sends() {
    let Some(desk) = Desk::set(&["swaks"]).await else {
        return;
    };
    // Swaks adds the last line end itself.
    let message = desk.stage.folder().join("message-for-swaks");
    fs::write(&message, MESSAGE.trim_end()).unwrap();
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut swaks = Command::new("swaks");
        swaks
            .args([
                "--server",
                &format!("localhost:{}", desk.proxy.smtp()),
                "--auth",
                mechanism,
            ])
            .args([
                "--auth-user",
                USER,
                "--auth-password",
                PASSWORD,
                "--from",
                USER,
                "--to",
                USER,
            ])
            .arg("--data")
            .arg(format!("@{}", message.display()));
        let said = client::succeed("swaks", &mut swaks).await;
        assert!(said.contains("235"), "{said}");
    }
    desk.arrived(2).await;
}

#[tokio::test]
async fn msmtp_sends() {
    let Some(desk) = Desk::set(&["msmtp"]).await else {
        return;
    };
    for mechanism in ["plain", "login"] {
        let configuration = desk.configure(
            "msmtprc",
            &format!(
                "account default\nhost localhost\nport {}\nfrom {USER}\nuser {USER}\nauth {mechanism}\ntls off\n\
                 passwordeval cat {}\n",
                desk.proxy.smtp(),
                desk.password.display(),
            ),
        );
        let mut msmtp = Command::new("msmtp");
        msmtp.arg("--file").arg(configuration).arg(USER);
        client::feed("msmtp", &mut msmtp, &desk.message).await;
    }
    desk.arrived(2).await;
}

#[tokio::test]
async fn mbsync_brings_down_and_up() {
    let Some(desk) = Desk::set(&["mbsync"]).await else {
        return;
    };
    desk.mail().await;
    desk.arrived(1).await;
    let local = desk.stage.folder().join("mbsync");
    for part in ["INBOX/cur", "INBOX/new", "INBOX/tmp"] {
        fs::create_dir_all(local.join(part)).unwrap();
    }
    fs::write(local.join("INBOX/new/1.up.localhost"), MESSAGE).unwrap();
    let configuration = desk.configure(
        "mbsyncrc",
        &format!(
            "IMAPAccount office\nHost localhost\nPort {}\nUser {USER}\nPassCmd \"cat {}\"\nSSLType None\n\
             AuthMechs LOGIN\n\n\
             IMAPStore far\nAccount office\n\n\
             MaildirStore near\nPath {local}/\nInbox {local}/INBOX\n\n\
             Channel inbox\nFar :far:\nNear :near:\nSyncState *\n",
            desk.proxy.imap(),
            desk.password.display(),
            local = local.display(),
        ),
    );
    let mut mbsync = Command::new("mbsync");
    mbsync.arg("--config").arg(configuration).arg("--all");
    client::succeed("mbsync", &mut mbsync).await;
    // Down: the mail that was sent. Up: the one that lay in the local folder.
    let mut local_mail = 0;
    for part in ["INBOX/new", "INBOX/cur"] {
        for entry in fs::read_dir(local.join(part)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(
                text.ends_with("hello\n.\n..two dots\nQUIT\n"),
                "the message changed: {text}"
            );
            local_mail += 1;
        }
    }
    assert_eq!(local_mail, 2);
    for text in desk.stage.dovecot.mailbox(USER, 2).await {
        let text = text.replace("\r\n", "\n");
        assert!(
            text.ends_with("hello\n.\n..two dots\nQUIT\n"),
            "the message changed: {text}"
        );
    }
}

#[tokio::test]
async fn fetchmail_fetches() {
    let Some(desk) = Desk::set(&["fetchmail"]).await else {
        return;
    };
    desk.mail().await;
    desk.arrived(1).await;
    for (protocol, port) in [("POP3", desk.proxy.pop()), ("IMAP", desk.proxy.imap())] {
        let fetched = desk.stage.folder().join(format!("fetched-{protocol}"));
        // Between single quotes fetchmail wants backslashes doubled.
        let quoted = PASSWORD.replace('\\', "\\\\");
        let configuration = desk.configure(
            "fetchmailrc",
            &format!(
                "set no syslog\npoll localhost protocol {protocol} service {port}\n\
                 user \"{USER}\" password '{quoted}' keep fetchall sslproto ''\n\
                 mda \"cat >> {}\"\n",
                fetched.display(),
            ),
        );
        let mut fetchmail = Command::new("fetchmail");
        fetchmail
            .arg("--fetchmailrc")
            .arg(configuration)
            .arg("--verbose")
            .env("FETCHMAILHOME", desk.stage.folder());
        client::succeed("fetchmail", &mut fetchmail).await;
        let text = fs::read_to_string(&fetched).unwrap().replace("\r\n", "\n");
        assert!(
            text.contains("hello\n.\n..two dots\nQUIT\n"),
            "{protocol}: the message changed: {text}"
        );
    }
}

#[tokio::test]
async fn postfix_relays_through_the_program() {
    let Some(desk) = Desk::set(&["sendmail"]).await else {
        return;
    };
    let relay =
        Postfix::smarthost_client(desk.stage.folder(), desk.proxy.smtp(), USER, PASSWORD).await;
    for _ in 0..3 {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail
            .arg("-C")
            .arg(relay.configuration())
            .args(["-i", "-f", USER, USER]);
        client::feed("sendmail", &mut sendmail, &desk.message).await;
    }
    desk.arrived(3).await;
    let log = relay.log().text();
    assert_eq!(log.matches("status=sent").count(), 3, "{log}");
}
