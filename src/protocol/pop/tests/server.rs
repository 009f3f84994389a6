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
        let opened = Pop::new().open(wire.pretend_secured(), None, None).await;
        drop(server.await.unwrap());
        last = Some(opened);
    }
    last.unwrap()
}

fn login() -> Login {
    Login {
        user: "u@x".into(),
        password: "pw".into(),
        tag: String::new(),
        verb: "PASS",
    }
}

/// Plays a login; gives the outcome and what stays unread.
async fn logged_in(script: &str, mechanisms: &[&str]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
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
                initial_response: false,
                ..Abilities::default()
            }),
        };
        let outcome = Pop::new()
            .authenticate(&mut opened, identity, &login())
            .await;
        // What the server says next is still on its way through a narrow pipe.
        let (mut io, mut left) = opened.server.into_parts();
        let hang_up = async { drop(server.await.unwrap()) };
        let (read, ()) = tokio::join!(io.read_to_end(&mut left), hang_up);
        read.unwrap();
        last = Some(outcome.map(|Welcome(welcome)| (welcome, left)));
    }
    last.unwrap()
}

#[tokio::test(start_paused = true)]
async fn capabilities_are_asked_for() {
    let found = opened(
        "S: +OK The Microsoft Exchange POP3 service is ready. [TABP==]
         C: CAPA
         S: +OK
         S: TOP
         S: UIDL
         S: SASL PLAIN XOAUTH2
         S: USER
         S: .",
    )
    .await
    .unwrap();
    assert_eq!(found.abilities.offer.0, ["TOP", "UIDL"]);
    assert_eq!(found.abilities.mechanisms, ["PLAIN", "XOAUTH2"]);
    assert!(!found.abilities.initial_response);
    let old = opened("S: +OK hi\nC: CAPA\nS: -ERR what").await.unwrap();
    assert!(old.abilities.offer.0.is_empty() && old.abilities.mechanisms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_not_ready_are_left() {
    let busy = opened("S: -ERR come back later").await.unwrap_err();
    assert!(
        matches!(&busy, Refusal::ServerBusy { said, .. } if said.as_str() == "come back later")
    );
    for greeting in [
        "S: * OK IMAP ready",
        "S: 220 smtp",
        "S: + hm",
        "S: HTTP/1.1 400",
    ] {
        let refusal = opened(greeting).await.unwrap_err();
        assert!(refusal.to_string().contains("server_port"), "{refusal}");
    }
    let strange = opened("S: +OK hi\nC: CAPA\nS: what").await.unwrap_err();
    assert!(matches!(strange, Refusal::ServerMisbehaved { .. }));
    let gone = opened("S: +OK hi\nC: CAPA\nS: +OK\nS: TOP")
        .await
        .unwrap_err();
    assert!(matches!(gone, Refusal::ServerUnavailable { .. }));
    let lines = "S: X\n".repeat(MAX_REPLY_LINES + 1);
    let endless = opened(&format!("S: +OK hi\nC: CAPA\nS: +OK\n{lines}"))
        .await
        .unwrap_err();
    assert!(matches!(endless, Refusal::ServerMisbehaved { .. }));
}

#[tokio::test(start_paused = true)]
async fn logins_take_two_steps() {
    let script = format!(
        "C: AUTH XOAUTH2
         S: +\u{20}
         C: {XOAUTH2}
         S: +OK User successfully authenticated. [x]
         S: +OK 3 messages"
    );
    let (welcome, left) = logged_in(&script, &["XOAUTH2"]).await.unwrap();
    assert_eq!(welcome, b"+OK User successfully authenticated. [x]\r\n");
    assert_eq!(left, b"+OK 3 messages\r\n");
    let script = "C: AUTH OAUTHBEARER
         S: +
         C: bixhPXVAeCwBaG9zdD1oAXBvcnQ9OTkzAWF1dGg9QmVhcmVyIHRvawEB
         S: +OK";
    assert!(logged_in(script, &["OAUTHBEARER"]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn error_challenges_are_answered_and_explained() {
    let challenge = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
    let script = format!(
        "C: AUTH XOAUTH2
         S: +\u{20}
         C: {XOAUTH2}
         S: + {challenge}
         C:\u{20}
         S: -ERR [AUTH] Web login required"
    );
    let refusal = logged_in(&script, &[]).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "test:1 refused the login: [AUTH] Web login required (status 400, scope https://mail.google.com/)"
    );
    for never_ends in [
        format!("C: AUTH XOAUTH2\nS: +\nC: {XOAUTH2}\nS: + {challenge}\nC: \nS: + {challenge}"),
        format!("C: AUTH XOAUTH2\nS: +\nC: {XOAUTH2}\nS: + {challenge}\nC: \nS: +OK"),
        "C: AUTH XOAUTH2\nS: +OK".to_owned(),
        "C: AUTH XOAUTH2\nS: what".to_owned(),
    ] {
        let refusal = logged_in(&never_ends, &[]).await.unwrap_err();
        assert!(
            matches!(refusal, Refusal::ServerMisbehaved { .. }),
            "{refusal}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_is_told_from_a_not_now() {
    for (answer, busy) in [
        (
            "-ERR Authentication failure: unknown user name or bad password.",
            false,
        ),
        ("-ERR [AUTH] no", false),
        ("-ERR [SYS/PERM] no", false),
        ("-ERR [SYS/TEMP] later", true),
        ("-ERR [IN-USE] later", true),
        ("-ERR [LOGIN-DELAY] later", true),
    ] {
        for script in [
            format!("C: AUTH XOAUTH2\nS: +\nC: {XOAUTH2}\nS: {answer}"),
            format!("C: AUTH XOAUTH2\nS: {answer}"),
        ] {
            let refusal = logged_in(&script, &[]).await.unwrap_err();
            let (is_busy, is_final) = (
                matches!(refusal, Refusal::ServerBusy { .. }),
                matches!(refusal, Refusal::ServerRefused { .. }),
            );
            assert_eq!((is_busy, is_final), (busy, !busy), "{answer}");
        }
    }
    let echo = format!("C: AUTH XOAUTH2\nS: +\nC: {XOAUTH2}\nS: -ERR what is {XOAUTH2}");
    let refusal = logged_in(&echo, &[]).await.unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains(XOAUTH2));
}

#[tokio::test(start_paused = true)]
async fn no_token_leaves_without_tls() {
    let token = AccessToken::parse("tok").unwrap();
    let (remote, wire) = Remote::pair(1024);
    let mut opened = Opened {
        server: wire,
        abilities: Arc::new(Abilities {
            mechanisms: Vec::new(),
            initial_response: false,
            ..Abilities::default()
        }),
    };
    let identity = Identity {
        user: "u",
        token: &token,
        host: "h",
        port: 1,
    };
    let refusal = Pop::new()
        .authenticate(&mut opened, identity, &login())
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
async fn stls_comes_before_anything_else() {
    let (_place, tls, trust) = certificate();
    let (mut remote, wire) = Remote::pair(64 * 1024);
    let server = tokio::spawn(async move {
        remote
            .play("S: +OK hi\nC: STLS\nS: +OK go", "S: ", "C: ")
            .await;
        let inside = Wire::new(remote.into_io(), "client").accept_tls(&tls);
        let (io, _) = inside.await.unwrap().into_parts();
        Remote::over(io)
            .play(
                "C: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC: QUIT\nS: +OK bye",
                "S: ",
                "C: ",
            )
            .await;
    });
    let how = StartTls {
        trust: &trust,
        host: "localhost",
    };
    let opened = Pop::new().open(wire, Some(how), None).await.unwrap();
    assert!(opened.server.is_secured());
    assert_eq!(opened.abilities.mechanisms, ["XOAUTH2"]);
    Pop::leave(opened.server).await;
    server.await.unwrap();
    for (bytes, words) in [
        (
            &b"-ERR Command is not valid in this state.\r\n"[..],
            "refused STLS",
        ),
        (b"+OK go\r\n+OK injected\r\n", "plain text behind"),
    ] {
        let (mut remote, wire) = Remote::pair(1024);
        let server = tokio::spawn(async move {
            remote.play("S: +OK hi\nC: STLS", "S: ", "C: ").await;
            remote.say(bytes).await;
            remote
        });
        let refusal = Pop::new().open(wire, Some(how), None).await.unwrap_err();
        assert!(refusal.to_string().contains(words), "{refusal}");
        drop(server.await.unwrap());
    }
    let (mut remote, wire) = Remote::pair(1024);
    remote.say(b"+OK hi\r\n+OK go\r\n").await;
    let refusal = Pop::new().open(wire, Some(how), None).await.unwrap_err();
    assert!(
        refusal.to_string().contains("before it is asked"),
        "{refusal}"
    );
    assert_eq!(remote.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn leaving_does_not_wait_long() {
    let (remote, wire) = Remote::pair(1024);
    let begun = Instant::now();
    Pop::leave(wire).await;
    assert!(begun.elapsed() <= Duration::from_secs(5));
    assert_eq!(remote.rest().await, "QUIT\r\n");
}
