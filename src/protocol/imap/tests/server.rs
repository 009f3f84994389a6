//! What servers say, and what is made of it.

use std::fs;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::*;
use crate::protocol::MAX_REPLY_LINES;
use crate::protocol::transcript::{Remote, WIDTHS};
use crate::secret::AccessToken;
use crate::wire::tls::{Demands, LocalTls, Trust};

/// `user=u@x`, the token `tok` and XOAUTH2's separators, in base64.
const XOAUTH2: &str = "dXNlcj11QHgBYXV0aD1CZWFyZXIgdG9rAQE=";

async fn opened(script: &str) -> Result<Opened, Refusal> {
    let mut last = None;
    for width in WIDTHS {
        let (remote, wire) = Remote::pair(width);
        let server = remote.spawn(script, "S: ", "C: ");
        let opened = Imap::new().open(wire.pretend_secured(), None, None).await;
        drop(server.await.unwrap());
        last = Some(opened);
    }
    last.unwrap()
}

fn login(tag: &str) -> Login {
    Login {
        user: "u@x".into(),
        password: "pw".into(),
        tag: tag.into(),
        verb: "LOGIN",
    }
}

/// Plays a login at a server that offers `mechanisms`; gives the outcome and what stays unread.
async fn logged_in(
    script: &str,
    mechanisms: &[&str],
    initial_response: bool,
) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let token = AccessToken::parse("tok").unwrap();
    let identity = Identity {
        user: "u@x",
        token: &token,
        host: "h",
        port: 993,
    };
    let mut last = None;
    for width in WIDTHS {
        let (remote, wire) = Remote::pair(width);
        let server = remote.spawn(script, "S: ", "C: ");
        let mut opened = Opened {
            server: wire.pretend_secured(),
            abilities: Arc::new(Abilities {
                mechanisms: mechanisms.iter().map(ToString::to_string).collect(),
                initial_response,
                ..Abilities::default()
            }),
        };
        let outcome = Imap::new()
            .authenticate(&mut opened, identity, &login("A1"))
            .await;
        if outcome.is_ok() {
            // What the server says next is still on its way through a narrow pipe.
            let (mut io, mut left) = opened.server.into_parts();
            let hang_up = async { drop(server.await.unwrap()) };
            let (read, ()) = tokio::join!(io.read_to_end(&mut left), hang_up);
            read.unwrap();
            last = Some(outcome.map(|Welcome(welcome)| (welcome, left)));
        } else {
            drop(server.await.unwrap());
            last = Some(outcome.map(|Welcome(welcome)| (welcome, Vec::new())));
        }
    }
    last.unwrap()
}

#[tokio::test(start_paused = true)]
async fn capabilities_come_with_the_greeting_or_by_asking() {
    let opened_one = opened(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 IDLE LOGINDISABLED] Dovecot ready.",
    )
    .await
    .unwrap();
    assert_eq!(opened_one.abilities.offer.0, ["IDLE"]);
    assert_eq!(opened_one.abilities.mechanisms, ["XOAUTH2"]);
    assert!(opened_one.abilities.initial_response);
    let opened_one = opened(
        "S: * OK The Microsoft Exchange IMAP4 service is ready. [TQBSADEAUAAy==]
         C: emailproxy CAPABILITY
         S: * ID (\"name\" {4}
         S: * NO \"x\")
         S: * CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=oauthbearer UIDPLUS STARTTLS
         S: emailproxy OK CAPABILITY completed.",
    )
    .await
    .unwrap();
    assert_eq!(opened_one.abilities.offer.0, ["IMAP4", "UIDPLUS"]);
    assert_eq!(opened_one.abilities.mechanisms, ["PLAIN", "OAUTHBEARER"]);
    assert!(!opened_one.abilities.initial_response);
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_not_ready_are_left() {
    let refusal = opened("S: * PREAUTH welcome back").await.unwrap_err();
    assert!(matches!(refusal, Refusal::ServerMisbehaved { .. }));
    assert!(refusal.to_string().contains("PREAUTH"));
    let refusal = opened("S: * BYE too many of you").await.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::ServerBusy { said, .. } if said.as_str() == "too many of you")
    );
    for greeting in [
        "S: +OK POP3 ready",
        "S: 220 smtp.example.org",
        "S: HTTP/1.1 400",
    ] {
        let refusal = opened(greeting).await.unwrap_err();
        assert!(refusal.to_string().contains("server_port"), "{refusal}");
    }
    let busy = opened(
        "S: * OK hi
         C: emailproxy CAPABILITY
         S: emailproxy BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds",
    )
    .await
    .unwrap_err();
    assert!(matches!(busy, Refusal::ServerBusy { .. }));
    let gone = opened("S: * OK hi\nC: emailproxy CAPABILITY\nS: * BYE no")
        .await
        .unwrap_err();
    assert!(matches!(gone, Refusal::ServerBusy { .. }));
    let strange = opened("S: * OK hi\nC: emailproxy CAPABILITY\nS: other OK done")
        .await
        .unwrap_err();
    assert!(matches!(strange, Refusal::ServerMisbehaved { .. }));
    let hung_up = opened("S: * OK hi\nC: emailproxy CAPABILITY")
        .await
        .unwrap_err();
    assert!(matches!(hung_up, Refusal::ServerUnavailable { .. }));
}

#[tokio::test(start_paused = true)]
async fn endless_servers_are_left() {
    let lines = "S: * OK still here\n".repeat(MAX_REPLY_LINES);
    let refusal = opened(&format!("S: * OK hi\nC: emailproxy CAPABILITY\n{lines}"))
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::ServerMisbehaved { .. }),
        "{refusal}"
    );
    let refusal = opened("S: * OK hi\nC: emailproxy CAPABILITY\nS: * X {9000}")
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::ServerMisbehaved { .. }),
        "{refusal}"
    );
    let (mut remote, wire) = Remote::pair(16);
    let slow = tokio::spawn(async move {
        remote.say(b"* OK hi\r\n").await;
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            remote.say(b"* OK wait\r\n").await;
        }
    });
    let begun = Instant::now();
    let refusal = Imap::new().open(wire, None, None).await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::ServerUnavailable { .. }),
        "{refusal}"
    );
    assert!(begun.elapsed() <= Duration::from_secs(60));
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn one_line_logs_in_where_the_server_takes_it() {
    let script = format!(
        "C: A1 AUTHENTICATE XOAUTH2 {XOAUTH2}
         S: * CAPABILITY IMAP4rev1 IDLE
         S: * X ({{6}}
         S: A1 NO)
         S: A1 OK AUTHENTICATE completed.
         S: * 3 EXISTS"
    );
    let (welcome, left) = logged_in(&script, &["XOAUTH2"], true).await.unwrap();
    assert_eq!(
        String::from_utf8(welcome).unwrap(),
        "* CAPABILITY IMAP4rev1 IDLE\r\n* X ({6}\r\nA1 NO)\r\nA1 OK AUTHENTICATE completed.\r\n"
    );
    assert_eq!(left, b"* 3 EXISTS\r\n");
}

#[tokio::test(start_paused = true)]
async fn two_steps_log_in_where_it_does_not() {
    let script = format!(
        "C: A1 AUTHENTICATE XOAUTH2
         S: +\u{20}
         C: {XOAUTH2}
         S: A1 OK [CAPABILITY IMAP4rev1] Logged in"
    );
    let (welcome, _) = logged_in(&script, &[], false).await.unwrap();
    assert_eq!(welcome, b"A1 OK [CAPABILITY IMAP4rev1] Logged in\r\n");
    let script = "C: A1 AUTHENTICATE OAUTHBEARER
         S: +
         C: bixhPXVAeCwBaG9zdD1oAXBvcnQ9OTkzAWF1dGg9QmVhcmVyIHRvawEB
         S: A1 OK done";
    assert!(logged_in(script, &["OAUTHBEARER"], false).await.is_ok());
}

const CHALLENGE: &str = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

#[tokio::test(start_paused = true)]
async fn error_challenges_are_answered_and_explained() {
    let script = format!(
        "C: A1 AUTHENTICATE XOAUTH2 {XOAUTH2}
         S: + {CHALLENGE}
         C:\u{20}
         S: A1 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
    );
    let refusal = logged_in(&script, &["XOAUTH2"], true).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "test:1 refused the login: [AUTHENTICATIONFAILED] Invalid credentials (Failure) (status 400, scope https://mail.google.com/)"
    );
    assert!(matches!(refusal, Refusal::ServerRefused { .. }));
    let script = format!(
        "C: A1 AUTHENTICATE OAUTHBEARER
         S: +\u{20}
         C: bixhPXVAeCwBaG9zdD1oAXBvcnQ9OTkzAWF1dGg9QmVhcmVyIHRvawEB
         S: + {CHALLENGE}
         C: AQ==
         S: A1 NO no"
    );
    let refusal = logged_in(&script, &["OAUTHBEARER"], false)
        .await
        .unwrap_err();
    assert!(refusal.to_string().contains("status 400"), "{refusal}");
    let script = format!(
        "C: A1 AUTHENTICATE XOAUTH2 {XOAUTH2}
         S: + {CHALLENGE}
         C:\u{20}
         S: + {CHALLENGE}"
    );
    let refusal = logged_in(&script, &["XOAUTH2"], true).await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::ServerMisbehaved { .. }),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_no_is_told_from_a_not_now() {
    for (answer, busy) in [
        ("A1 NO AUTHENTICATE failed.", false),
        ("A1 NO [AUTHENTICATIONFAILED] no", false),
        ("A1 BAD AUTHENTICATE Command syntax error.", false),
        ("A1 NO [UNAVAILABLE] later", true),
        ("A1 NO [INUSE] later", true),
        ("A1 NO [LIMIT] later", true),
        (
            "A1 NO [ALERT] Too many simultaneous connections. (Failure)",
            true,
        ),
        (
            "A1 BAD Request is throttled. Suggested Backoff Time: 8 milliseconds",
            true,
        ),
        ("* BYE Connection closed. 14", true),
    ] {
        let script = format!("C: A1 AUTHENTICATE XOAUTH2 {XOAUTH2}\nS: {answer}");
        let refusal = logged_in(&script, &["XOAUTH2"], true).await.unwrap_err();
        assert_eq!(
            matches!(refusal, Refusal::ServerBusy { .. }),
            busy,
            "{answer}"
        );
        assert_eq!(
            matches!(refusal, Refusal::ServerRefused { .. }),
            !busy,
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn echoed_secrets_are_not_repeated() {
    let script = format!(
        "C: A1 AUTHENTICATE XOAUTH2 {XOAUTH2}\nS: A1 BAD unknown command A1 AUTHENTICATE XOAUTH2 {XOAUTH2}"
    );
    let refusal = logged_in(&script, &["XOAUTH2"], true).await.unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains("Bearer"));
    assert!(
        !format!("{refusal} {refusal:?}").contains(XOAUTH2),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_token_leaves_without_tls() {
    let token = AccessToken::parse("tok").unwrap();
    let (remote, wire) = Remote::pair(1024);
    let mut opened = Opened {
        server: wire,
        abilities: Arc::new(Abilities {
            mechanisms: Vec::new(),
            initial_response: true,
            ..Abilities::default()
        }),
    };
    let identity = Identity {
        user: "u",
        token: &token,
        host: "h",
        port: 1,
    };
    let refusal = Imap::new()
        .authenticate(&mut opened, identity, &login("A1"))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Misconfigured(_)), "{refusal}");
    drop(opened);
    assert_eq!(remote.rest().await, "");
}

/// A certificate for `localhost` and who believes in it.
fn certificate() -> (tempfile::TempDir, LocalTls, Trust) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let (cert, key) = (place.path().join("cert"), place.path().join("key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = LocalTls::read(&cert, &key, Demands::default()).unwrap();
    let trust = Trust::new(Some(&cert)).unwrap();
    (place, tls, trust)
}

#[tokio::test]
async fn starttls_comes_before_anything_else() {
    let (_place, tls, trust) = certificate();
    // Both sides of TLS may speak at once, for which narrower pipes have no room.
    for width in [4096, 64 * 1024] {
        let (mut remote, wire) = Remote::pair(width);
        let tls = tls.clone();
        let server = tokio::spawn(async move {
            remote
                .play(
                    "S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=INJECTED] hi
                     C: emailproxy STARTTLS
                     S: * OK still here
                     S: emailproxy OK go",
                    "S: ",
                    "C: ",
                )
                .await;
            let inside = Wire::new(remote.into_io(), "client").accept_tls(&tls);
            let (io, _) = inside.await.unwrap().into_parts();
            let mut remote = Remote::over(io);
            remote
                .play(
                    "C: emailproxy CAPABILITY
                     S: * CAPABILITY IMAP4rev1 AUTH=XOAUTH2
                     S: emailproxy OK done
                     C: emailproxy LOGOUT
                     S: * BYE bye
                     S: emailproxy OK bye",
                    "S: ",
                    "C: ",
                )
                .await;
        });
        let how = StartTls {
            trust: &trust,
            host: "localhost",
        };
        let opened = Imap::new().open(wire, Some(how), None).await.unwrap();
        assert!(opened.server.is_secured());
        assert_eq!(opened.abilities.mechanisms, ["XOAUTH2"]);
        Imap::leave(opened.server).await;
        server.await.unwrap();
    }
}

#[tokio::test]
async fn starttls_cannot_be_talked_away() {
    let (_place, _tls, trust) = certificate();
    for (script, words) in [
        (
            "S: * OK hi\nC: emailproxy STARTTLS\nS: emailproxy BAD unknown",
            "refused STARTTLS",
        ),
        (
            "S: * OK hi\nC: emailproxy STARTTLS\nS: * BYE no",
            "refused STARTTLS",
        ),
        ("S: * PREAUTH hi", "PREAUTH"),
    ] {
        let (remote, wire) = Remote::pair(1024);
        let server = remote.spawn(script, "S: ", "C: ");
        let how = StartTls {
            trust: &trust,
            host: "localhost",
        };
        let refusal = Imap::new().open(wire, Some(how), None).await.unwrap_err();
        assert!(refusal.to_string().contains(words), "{refusal}");
        drop(server.await.unwrap());
    }
    // Whoever speaks behind the go-ahead has injected it.
    let (mut remote, wire) = Remote::pair(1024);
    remote
        .say(b"* OK hi\r\nemailproxy OK go\r\n* CAPABILITY IMAP4rev1\r\n")
        .await;
    let how = StartTls {
        trust: &trust,
        host: "localhost",
    };
    let refusal = Imap::new().open(wire, Some(how), None).await.unwrap_err();
    assert!(
        refusal.to_string().contains("plain text behind"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn leaving_does_not_wait_long() {
    let (remote, wire) = Remote::pair(1024);
    let begun = Instant::now();
    Imap::leave(wire).await;
    assert!(begun.elapsed() <= Duration::from_secs(5));
    assert_eq!(remote.rest().await, "emailproxy LOGOUT\r\n");
}
