//! For tests: servers that take their time before a login, in each protocol and against a clock that stands.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::imap::Imap;
use super::pop::Pop;
use super::smtp::Smtp;
use super::transcript::Remote;
use super::{Dialogue, Identity, Login, SERVER_TIME};
use crate::refusal::Refusal;
use crate::secret::AccessToken;

/// `user=u@x`, the token `tok` and XOAUTH2's separators, in base64.
const XOAUTH2: &str = "dXNlcj11QHgBYXV0aD1CZWFyZXIgdG9rAQE=";

/// Plays a script and goes on by saying `drops` every 9 s; returns what became of the login, and when.
async fn outlasted<D: Dialogue>(script: &str, drops: &'static str) -> (Refusal, Duration) {
    let (mut remote, wire) = Remote::pair(64 * 1024);
    let script = script.to_owned();
    let server = tokio::spawn(async move {
        remote.play(&script, "S: ", "C: ").await;
        loop {
            sleep(Duration::from_secs(9)).await;
            remote.say(drops.as_bytes()).await;
        }
    });
    let token = AccessToken::parse("tok").unwrap();
    let identity = Identity {
        user: "u@x",
        token: &token,
        host: "h",
        port: 1,
    };
    let login = Login {
        user: "u@x".into(),
        password: "pw".into(),
        tag: "x".into(),
        verb: "LOGIN",
    };
    let begun = Instant::now();
    let dialogue = D::new();
    let refusal = match dialogue.open(wire.pretend_secured(), None, None).await {
        Err(refusal) => refusal,
        Ok(mut opened) => {
            let done = dialogue.authenticate(&mut opened, identity, &login).await;
            done.unwrap_err()
        }
    };
    let took = begun.elapsed();
    server.abort();
    (refusal, took)
}

async fn each_step_of<D: Dialogue>(steps: &[&str], line: &'static str) {
    for end in 0..=steps.len() {
        let script = steps.get(..end).unwrap().join("\n");
        for drops in ["", "x", line] {
            if end == 0 && drops.starts_with("* OK") {
                // That is a greeting.
                continue;
            }
            let (refusal, took) = outlasted::<D>(&script, drops).await;
            let words = format!("{} {drops:?} behind {script}: {refusal}", D::NAME);
            assert!(refusal.is_temporary(), "{words}");
            assert_eq!(took, SERVER_TIME, "{words}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r09_a_server_has_ten_seconds_for_each_of_its_replies() {
    let token = format!("C: {XOAUTH2}");
    each_step_of::<Imap>(
        &[
            "S: * OK hi\nC: emailproxy CAPABILITY",
            "S: * CAPABILITY AUTH=XOAUTH2\nS: emailproxy OK\nC: x AUTHENTICATE XOAUTH2",
            &format!("S: +\n{token}"),
            "S: + e30=\nC: ",
        ],
        "* OK more\r\n",
    )
    .await;
    each_step_of::<Pop>(
        &[
            "S: +OK hi\nC: CAPA",
            "S: +OK\nS: SASL XOAUTH2\nS: .\nC: AUTH XOAUTH2",
            &format!("S: +\n{token}"),
            "S: + e30=\nC: ",
        ],
        "",
    )
    .await;
    each_step_of::<Smtp>(
        &[
            "S: 220 hi\nC: EHLO [127.0.0.1]",
            "S: 250-me\nS: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2",
            &format!("S: 334 \n{token}"),
            "S: 334 e30=\nC: ",
        ],
        "220-more\r\n",
    )
    .await;
}
