//! What clients say, and what they hear.

use super::*;
use crate::protocol::transcript::{Dice, Remote, WIDTHS};
use crate::protocol::{MAX_COMMANDS, MAX_LINE, MAX_NONSENSE};
use crate::refusal::NotAdmitted;
use crate::said::Said;

fn offer() -> Offer {
    Offer(["TOP", "EXPIRE 0"].map(str::to_owned).to_vec())
}

/// Plays a script in all widths and returns what came of the last.
async fn played(script: &str, starttls: bool) -> Heard {
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls,
        onlooker: None,
    };
    let mut last = None;
    for width in WIDTHS {
        let (remote, mut wire) = Remote::pair(width);
        let client = remote.spawn(script, "C: ", "S: ");
        let heard = Pop::new().hear(&mut wire, &local).await.unwrap();
        let client = client.await.unwrap();
        assert_eq!(
            wire.waiting(),
            b"",
            "the dialogue left something of {script}"
        );
        drop(wire);
        assert_eq!(client.rest().await, "", "the client hears more in {script}");
        last = Some(heard);
    }
    last.unwrap()
}

async fn login(script: &str, user: &str, password: &[u8]) -> Login {
    match played(script, false).await {
        Heard::Login(login) => {
            assert_eq!(login.user, user);
            assert_eq!(login.password.reveal(), password);
            login
        }
        other => panic!("{other:?} instead of a login in {script}"),
    }
}

#[tokio::test(start_paused = true)]
async fn user_and_pass_log_in() {
    let found = login(
        "C: USER u@x\nS: +OK now the password\nC: PASS  p w ",
        "u@x",
        b" p w ",
    )
    .await;
    assert_eq!(found.verb, "PASS");
    login("C: user u\nS: +OK now the password\nC: pass", "u", b"").await;
    login(
        "C: USER u\nS: +OK now the password\nC: USER v\nS: +OK now the password\nC: PASS x",
        "v",
        b"x",
    )
    .await;
    login(
        "C: USER u\nS: +OK now the password\nC: NOOP\nS: +OK\nC: PASS x",
        "u",
        b"x",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn auth_works_inline_and_prompted() {
    for script in [
        "C: AUTH PLAIN AHVAeABwdw==",
        "C: auth plain AHVAeABwdw",
        "C: AUTH PLAIN\nS: + \nC: AHVAeABwdw==",
        "C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: dUB4\nS: + UGFzc3dvcmQ6\nC: cHc=",
        "C: AUTH LOGIN dUB4\nS: + UGFzc3dvcmQ6\nC: cHc=",
        "C: AUTH XOAUTH2 dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: AUTH XOAUTH2\nS: + \nC: dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: auth xoauth2 =\nS: + \nC: dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: AUTH OAUTHBEARER bixhPXVAeCwBaG9zdD1oAXBvcnQ9MQFhdXRoPUJlYXJlciBwdwEB",
        "C: AUTH\nS: +OK mechanisms follow\nS: PLAIN\nS: LOGIN\nS: .\nC: AUTH PLAIN AHVAeABwdw==",
    ] {
        let found = login(script, "u@x", b"pw").await;
        assert_eq!(found.verb, "AUTH");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_refused_and_the_client_may_try_again() {
    login(
        "C: PASS x
         S: -ERR USER comes first
         C: USER
         S: -ERR [AUTH] emailproxy: Login failed - the user name is empty
         C: USER x pass y
         S: -ERR [AUTH] emailproxy: Login failed - the user name holds a blank or a control character
         C: PASS y
         S: -ERR USER comes first
         C: AUTH PLAIN
         S: +\u{20}
         C: *
         S: -ERR AUTH cancelled
         C: AUTH LOGIN
         S: + VXNlcm5hbWU6
         C: *
         S: -ERR AUTH cancelled
         C: AUTH PLAIN =
         S: -ERR [AUTH] emailproxy: Login failed - a PLAIN message has two NUL bytes: before and behind the user name
         C: AUTH PLAIN AABwdw==
         S: -ERR [AUTH] emailproxy: Login failed - the user name is empty
         C: AUTH XOAUTH2 dXNlcj11QHgB
         S: -ERR [AUTH] emailproxy: Login failed - the message has no `auth=Bearer` with the mail password
         C: AUTH SCRAM-SHA-1
         S: -ERR log in with user name and password (USER and PASS, or AUTH PLAIN or LOGIN); emailproxy fetches the token itself
         C: APOP u 0123456789abcdef
         S: -ERR APOP is not offered here; set the client to a normal password
         C: STAT
         S: -ERR log in first
         C: STLS
         S: -ERR STLS is not offered here
         C: a1 LOGIN u p
         S: -ERR this is no command; log in first
         C:\u{20}
         S: -ERR this is no command; log in first
         C: USER u
         S: +OK now the password
         C: AUTH PLAIN
         S: +\u{20}
         C: *
         S: -ERR AUTH cancelled
         C: PASS w
         S: -ERR USER comes first
         C: USER u
         S: +OK now the password
         C: PASS pw",
        "u",
        b"pw",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn harmless_commands_are_answered_here() {
    let heard = played(
        "C: capa
         S: +OK capability list follows
         S: TOP
         S: EXPIRE 0
         S: USER
         S: SASL PLAIN LOGIN
         S: .
         C: NOOP
         S: +OK
         C: USER u
         S: +OK now the password
         C: QUIT
         S: +OK emailproxy says goodbye",
        false,
    )
    .await;
    assert!(matches!(heard, Heard::Left));
}

#[tokio::test(start_paused = true)]
async fn nothing_private_is_heard_before_tls() {
    let heard = played(
        "C: CAPA
         S: +OK capability list follows
         S: TOP
         S: EXPIRE 0
         S: STLS
         S: .
         C: USER u
         S: -ERR begin TLS with STLS first; set the client to STARTTLS
         C: PASS p
         S: -ERR begin TLS with STLS first; set the client to STARTTLS
         C: AUTH PLAIN
         S: -ERR begin TLS with STLS first; set the client to STARTTLS
         C: AUTH
         S: -ERR begin TLS with STLS first; set the client to STARTTLS
         C: STLS
         S: +OK begin TLS now",
        true,
    )
    .await;
    assert!(matches!(heard, Heard::StartTls));
    let (mut remote, wire) = Remote::pair(1024);
    let mut wire = wire.pretend_secured();
    remote.say(b"STLS\r\nQUIT\r\n").await;
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    Pop::new().hear(&mut wire, &local).await.unwrap();
    drop(wire);
    assert_eq!(
        remote.rest().await,
        "-ERR TLS is in force already\r\n+OK emailproxy says goodbye\r\n"
    );
}

/// Sends bytes to a new dialogue; gives what came of it, what was left unread, and what the client heard.
async fn sent(bytes: &[u8], starttls: bool) -> (Result<Heard, Lost>, Vec<u8>, String) {
    let (mut remote, mut wire) = Remote::pair(1024 * 1024);
    remote.say(bytes).await;
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls,
        onlooker: None,
    };
    let heard = Pop::new().hear(&mut wire, &local).await;
    let left = wire.waiting().to_vec();
    drop(wire);
    (heard, left, remote.rest().await)
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_login_or_stls_is_not_touched() {
    for (bytes, starttls, rest) in [
        (
            &b"USER u\nPASS p\xe4\nSTAT\nLI"[..],
            false,
            &b"STAT\nLI"[..],
        ),
        (b"AUTH PLAIN AHUAcHc=\r\nSTAT\r\n", false, b"STAT\r\n"),
        (b"STLS\r\nUSER u\r\n", true, b"USER u\r\n"),
    ] {
        let (heard, left, _) = sent(bytes, starttls).await;
        assert!(matches!(heard, Ok(Heard::Login(_) | Heard::StartTls)));
        assert_eq!(left, rest);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_hold() {
    let line = format!("PASS {}\r\n", "x".repeat(MAX_LINE));
    let (heard, ..) = sent(line.as_bytes(), false).await;
    assert!(matches!(heard, Err(Lost::TooLong(_))), "{heard:?}");
    let long = format!("USER u\r\nPASS {}\r\nQUIT\r\n", "x".repeat(1025));
    let (heard, _, text) = sent(long.as_bytes(), false).await;
    assert!(matches!(heard, Ok(Heard::Left)), "{heard:?}");
    assert!(text.contains("longer than 1,024 bytes"), "{text}");
    let (heard, _, text) = sent("what\r\n".repeat(MAX_NONSENSE).as_bytes(), false).await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");
    assert_eq!(text.lines().count(), MAX_NONSENSE + 1);
    let (heard, _, text) = sent("NOOP\r\n".repeat(MAX_COMMANDS).as_bytes(), false).await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");
    assert!(text.ends_with("-ERR too many commands without a login\r\n"));
}

#[tokio::test(start_paused = true)]
async fn the_name_before_stls_is_forgotten() {
    let offer = offer();
    let mut local = Local {
        offer: &offer,
        starttls: true,
        onlooker: None,
    };
    let mut dialogue = Pop {
        user: Some("injected".into()),
        nonsense: 0,
    };
    let (mut remote, mut wire) = Remote::pair(1024);
    remote.say(b"STLS\r\n").await;
    let heard = dialogue.hear(&mut wire, &local).await.unwrap();
    assert!(matches!(heard, Heard::StartTls));
    local.starttls = false;
    remote.say(b"PASS x\r\nQUIT\r\n").await;
    let heard = dialogue.hear(&mut wire, &local).await.unwrap();
    assert!(matches!(heard, Heard::Left));
    drop(wire);
    assert!(remote.rest().await.contains("-ERR USER comes first"));
}

async fn told(refusal: Option<&Refusal>, farewell: Option<Farewell>) -> String {
    let (remote, mut wire) = Remote::pair(1024);
    let login = Login {
        user: "u@x".into(),
        password: "pw".into(),
        tag: String::new(),
        verb: "PASS",
    };
    let mut dialogue = Pop::new();
    if let Some(refusal) = refusal {
        dialogue.refuse(&mut wire, &login, refusal).await.unwrap();
    }
    if let Some(farewell) = farewell {
        Pop::farewell(&mut wire, farewell).await.unwrap();
    }
    drop(wire);
    remote.rest().await
}

#[tokio::test(start_paused = true)]
async fn refusals_carry_a_code_and_the_reason() {
    assert_eq!(
        told(Some(&Refusal::NoPassword), None).await,
        "-ERR [AUTH] emailproxy: Login failed - no password provided for account u@x\r\n"
    );
    for why in [
        NotAdmitted::UnknownAccount,
        NotAdmitted::WrongPassword,
        NotAdmitted::Incomplete("token_url".into()),
    ] {
        assert_eq!(
            told(Some(&Refusal::NotAdmitted(why)), None).await,
            "-ERR [AUTH] emailproxy: Login failed - the user name or password for account u@x is incorrect\r\n"
        );
    }
    let said = || Said::from("no");
    let server = || "pop.example.org:995".to_owned();
    for refusal in [
        Refusal::NoPassword,
        Refusal::ConsentTimedOut { waited: 600 },
        Refusal::ConsentRefused(said()),
        Refusal::TokenRefused(said()),
        Refusal::TokenUnavailable(said()),
        Refusal::ServerRefused {
            server: server(),
            said: said(),
        },
        Refusal::ServerBusy {
            server: server(),
            said: said(),
        },
        Refusal::ServerUnavailable {
            server: server(),
            why: said(),
        },
        Refusal::ServerMisbehaved {
            server: server(),
            why: said(),
        },
        Refusal::Misconfigured("no".into()),
        Refusal::Busy("too many logins at once"),
        Refusal::ShuttingDown,
    ] {
        let text = told(Some(&refusal), None).await;
        assert!(
            text.starts_with("-ERR [") && text.ends_with("\r\n"),
            "{text}"
        );
        let says_so = text.starts_with("-ERR [SYS/TEMP] ");
        assert_eq!(says_so, refusal.is_temporary(), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn greetings_and_farewells_are_pops() {
    let (remote, mut wire) = Remote::pair(1);
    let client = tokio::spawn(remote.rest());
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    Pop::new().greet(&mut wire, &local).await.unwrap();
    drop(wire);
    assert_eq!(client.await.unwrap(), "+OK emailproxy ready\r\n");
    assert_eq!(
        told(None, Some(Farewell::ShuttingDown)).await,
        "+OK Server signing off\r\n"
    );
    for why in [
        Farewell::Busy,
        Farewell::Silent,
        Farewell::TooManyLogins,
        Farewell::TooLong,
        Farewell::WantsTls,
        Farewell::Http,
        Farewell::ProxyHeader,
    ] {
        let text = told(None, Some(why)).await;
        assert!(
            text.starts_with("-ERR ") && text.ends_with("\r\n"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_do_not_show() {
    let heard = played("C: USER u\nS: +OK now the password\nC: PASS hunter2", false).await;
    assert!(!format!("{heard:?}").contains("hunter2"), "{heard:?}");
}

/// Scraps from which lines are made: the more they look like POP3, the deeper they get.
const SCRAPS: &[&[u8]] = &[
    b"USER u\r\nPASS p",
    b"USER ",
    b"PASS ",
    b"AUTH ",
    b"AUTH PLAIN ",
    b"AUTH LOGIN",
    b"AUTH PLAIN AHUAcHc=",
    b"CAPA",
    b"STLS",
    b"NOOP",
    b"QUIT",
    b"APOP ",
    b"+OK",
    b"-ERR",
    b"+ ",
    b"[AUTH] ",
    b" ",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\t",
    b"\xff\xfb\x1f",
    b"\x08",
    b"\xc3\xa4",
    b"*",
    b"=",
    b"AHUAcHc=",
    b"dQ==",
    b"u",
    b".",
    b"..",
];

#[tokio::test(start_paused = true)]
async fn no_stream_breaks_the_conversation() {
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    let mut dice = Dice::new(0xbad_c0de, SCRAPS);
    let mut logins = 0;
    for _ in 0..1_000 {
        let (mut remote, mut wire) = Remote::pair(1024 * 1024);
        for _ in 0..MAX_COMMANDS {
            let mut line = dice.line();
            drop(format!(
                "{:?}{:?}",
                command::parse(&line),
                command::reply(&line)
            ));
            line.extend_from_slice(b"\r\n");
            remote.say(&line).await;
        }
        let mut dialogue = Pop::new();
        while let Ok(Heard::Login(login)) = dialogue.hear(&mut wire, &local).await {
            assert!(login.user.bytes().all(|byte| byte > b' ' && byte != 0x7f));
            logins += 1;
        }
        drop(wire);
        for line in remote.rest().await.split_inclusive('\n') {
            assert!(
                line.ends_with("\r\n") && !line.trim_end().contains('\r'),
                "{line:?}"
            );
        }
    }
    assert!(logins > 100, "the corpus is too shallow: {logins}");
}
