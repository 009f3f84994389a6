//! Mail programs of the command line: curl, swaks, msmtp, mbsync and fetchmail.

use std::fs;

use tokio::process::Command;

use crate::client;
use crate::desk::{Desk, MESSAGE};
use crate::{PASSWORD, USER};

/// curl's ways of logging in: by its own choice, and by each mechanism.
const MECHANISMS: &[&[&str]] = &[
    &[],
    &["--login-options", "AUTH=PLAIN"],
    &["--login-options", "AUTH=LOGIN"],
    &["--sasl-ir", "--login-options", "AUTH=PLAIN"],
];

#[tokio::test]
async fn curl_sends_and_reads() {
    let Some(desk) = Desk::set(&["curl"]).await else {
        return;
    };
    for options in MECHANISMS {
        desk.curl_sends(desk.proxy.smtp(), options).await;
    }
    desk.curl_sends(desk.secure_smtp, &["--ssl-reqd"]).await;
    desk.arrived(MECHANISMS.len() + 1).await;

    let imap = |port: u16| format!("imap://localhost:{port}/INBOX;MAILINDEX=1");
    let pop = |port: u16| format!("pop3://localhost:{port}/1");
    for options in MECHANISMS {
        curl_reads(&desk, &imap(desk.proxy.imap()), options).await;
        curl_reads(&desk, &pop(desk.proxy.pop()), options).await;
    }
    curl_reads(&desk, &imap(desk.secure_imap), &["--ssl-reqd"]).await;
    curl_reads(&desk, &pop(desk.secure_pop), &["--ssl-reqd"]).await;

    let wrong = format!("{USER}:wrong");
    for url in [imap(desk.proxy.imap()), pop(desk.proxy.pop())] {
        let said = client::fail("curl", &mut desk.curl(&url, &["--user", &wrong])).await;
        assert!(said.contains("(67)"), "not a refused login: {said}");
    }
}

async fn curl_reads(desk: &Desk, url: &str, options: &[&str]) {
    let text = client::succeed(
        &format!("curl {url} {options:?}"),
        &mut desk.curl(url, options),
    )
    .await;
    let unchanged = text.replace("\r\n", "\n").ends_with(MESSAGE);
    assert!(unchanged, "{url} {options:?}: the message changed: {text}");
}

#[tokio::test]
async fn swaks_sends() {
    let Some(desk) = Desk::set(&["swaks"]).await else {
        return;
    };
    // Swaks adds the last line end itself.
    let message = desk.stage.folder().join("message-for-swaks");
    fs::write(&message, MESSAGE.trim_end()).unwrap();
    let ca = desk.stage.ca.root.display().to_string();
    let secure = ["--tls", "--tls-verify", "--tls-ca-path", &ca];
    for (port, mechanism, tls) in [
        (desk.proxy.smtp(), "PLAIN", [].as_slice()),
        (desk.proxy.smtp(), "LOGIN", &[]),
        (desk.secure_smtp, "PLAIN", &secure),
    ] {
        let mut swaks = Command::new("swaks");
        swaks
            .args([
                "--server",
                &format!("localhost:{port}"),
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
            .args(tls)
            .arg("--data")
            .arg(format!("@{}", message.display()));
        let said = client::succeed("swaks", &mut swaks).await;
        assert!(said.contains("235"), "{said}");
    }
    desk.arrived(3).await;
}

#[tokio::test]
async fn msmtp_sends() {
    let Some(desk) = Desk::set(&["msmtp"]).await else {
        return;
    };
    let plain = format!("port {}\ntls off", desk.proxy.smtp());
    let ca = desk.stage.ca.root.display();
    let secure = format!(
        "port {}\ntls on\ntls_starttls on\ntls_trust_file {ca}",
        desk.secure_smtp
    );
    // Left to itself (`on`), msmtp sends no password without TLS.
    for (mechanism, connection) in [("plain", &plain), ("login", &plain), ("on", &secure)] {
        let configuration = desk.configure(
            "msmtprc",
            &format!(
                "account default\nhost localhost\n{connection}\nfrom {USER}\nuser {USER}\nauth {mechanism}\n\
                 passwordeval cat {}\n",
                desk.password.display(),
            ),
        );
        let mut msmtp = Command::new("msmtp");
        msmtp.arg("--file").arg(configuration).arg(USER);
        client::feed("msmtp", &mut msmtp, &desk.message).await;
    }
    desk.arrived(3).await;
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
    // With `sslproto` and without `ssl`, fetchmail insists on STLS or STARTTLS.
    let secure = format!(
        "sslproto 'tls1.2+' sslcertfile '{}' sslcertck",
        desk.stage.ca.root.display()
    );
    let secure = secure.as_str();
    for (protocol, port, tls) in [
        ("POP3", desk.proxy.pop(), "sslproto ''"),
        ("IMAP", desk.proxy.imap(), "sslproto ''"),
        ("POP3", desk.secure_pop, secure),
        ("IMAP", desk.secure_imap, secure),
    ] {
        let fetched = desk.stage.folder().join(format!("fetched-{port}"));
        // Between single quotes fetchmail wants backslashes doubled.
        let quoted = PASSWORD.replace('\\', "\\\\");
        let configuration = desk.configure(
            "fetchmailrc",
            &format!(
                "set no syslog\npoll localhost protocol {protocol} service {port}\n\
                 user \"{USER}\" password '{quoted}' keep fetchall {tls}\n\
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
