//! Programs that log in at the servers themselves, with the token that `emailproxy token` prints.

use std::fs;

use serde_json::json;
use tokio::process::Command;

use crate::client;
use crate::desk::{Desk, MESSAGE};
use crate::proxy::configuration;
use crate::{PASSWORD, USER};

/// Returns the command that prints the account's token.
fn token(desk: &Desk) -> String {
    format!(
        "{} token {USER} --config-file {}",
        env!("CARGO_BIN_EXE_emailproxy"),
        configuration(&desk.stage).display()
    )
}

#[tokio::test]
async fn msmtp_sends_with_a_token_of_its_own() {
    let Some(desk) = Desk::set(&["msmtp"]).await else {
        return;
    };
    // A login opens the account.
    desk.mail().await;
    desk.arrived(1).await;
    let ca = desk.stage.ca.root.display();
    for (mechanism, tls, port) in [
        ("xoauth2", "tls_starttls on", desk.stage.postfix.submission),
        (
            "oauthbearer",
            "tls_starttls off",
            desk.stage.dovecot.submissions,
        ),
    ] {
        let configuration = desk.configure(
            "msmtprc",
            &format!(
                "account default\nhost localhost\nport {port}\ntls on\n{tls}\ntls_trust_file {ca}\nfrom {USER}\n\
                 user {USER}\nauth {mechanism}\npasswordeval {}\n",
                token(&desk)
            ),
        );
        let mut msmtp = Command::new("msmtp");
        msmtp.arg("--file").arg(configuration).arg(USER);
        client::feed(&format!("msmtp {mechanism}"), &mut msmtp, &desk.message).await;
    }
    desk.arrived(3).await;
    assert_eq!(
        desk.stage.oidc.granted("client_credentials"),
        1,
        "one token serves all"
    );
}

#[tokio::test]
async fn mbsync_reads_with_a_token_of_its_own() {
    let Some(desk) = Desk::set(&["mbsync", "sasl-xoauth2"]).await else {
        return;
    };
    desk.mail().await;
    desk.arrived(1).await;
    let local = desk.stage.folder().join("mbsync");
    fs::create_dir_all(&local).unwrap();
    let configuration = desk.configure(
        "mbsyncrc",
        &format!(
            "IMAPAccount office\nHost localhost\nPort {}\nUser {USER}\nPassCmd \"{}\"\nSSLType IMAPS\n\
             CertificateFile {}\nAuthMechs XOAUTH2\n\n\
             IMAPStore far\nAccount office\n\n\
             MaildirStore near\nPath {local}/\nInbox {local}/INBOX\n\n\
             Channel inbox\nFar :far:\nNear :near:\nCreate Near\nSyncState *\n",
            desk.stage.dovecot.imaps,
            token(&desk),
            desk.stage.ca.root.display(),
            local = local.display(),
        ),
    );
    let mut mbsync = Command::new("mbsync");
    mbsync.arg("--config").arg(configuration).arg("--all");
    client::succeed("mbsync", &mut mbsync).await;
    let mut got = 0;
    for entry in fs::read_dir(local.join("INBOX/new")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        // mbsync adds a line to the header.
        let (_, body) = MESSAGE.split_once("\n\n").unwrap();
        assert!(text.ends_with(body), "the message changed: {text}");
        got += 1;
    }
    assert_eq!(got, 1);
}

#[tokio::test]
async fn programs_that_know_only_tokens_come_in_with_the_mail_password() {
    let Some(desk) = Desk::set(&["python3"]).await else {
        return;
    };
    let settings = json!({
        "user": USER,
        "password": PASSWORD,
        "imap": desk.proxy.imap(),
        "smtp": desk.proxy.smtp(),
    });
    client::python("bearer.py", &settings).await;
    desk.proxy.kept_secrets(&desk.stage);
}
