//! What clients say, and what they hear.

use super::*;
use crate::protocol::transcript::{Remote, WIDTHS};
use crate::protocol::{MAX_COMMANDS, MAX_LINE, MAX_NONSENSE};
use crate::refusal::NotAdmitted;
use crate::said::Said;

/// Plays a script in all widths and returns what came of the last: outcome, bytes left, what the client heard after.
async fn played(script: &str, starttls: bool) -> (Heard, Vec<u8>) {
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
        let heard = Imap::new().hear(&mut wire, &local).await.unwrap();
        let client = client.await.unwrap();
        let (io, left) = wire.into_parts();
        drop(io);
        assert_eq!(client.rest().await, "", "the client hears more in {script}");
        last = Some((heard, left));
    }
    last.unwrap()
}

async fn login(script: &str) -> Login {
    match played(script, false).await {
        (Heard::Login(login), left) => {
            assert!(left.is_empty(), "{left:?}");
            login
        }
        (other, _) => panic!("{other:?} instead of a login in {script}"),
    }
}

fn is(login: &Login, tag: &str, user: &str, password: &[u8]) {
    assert_eq!(login.tag, tag);
    assert_eq!(login.user, user);
    assert_eq!(login.password.reveal(), password);
}

#[tokio::test(start_paused = true)]
async fn the_greeting_says_what_can_be_done() {
    for (starttls, words) in [
        (
            false,
            "IMAP4rev1 IDLE UIDPLUS AUTH=PLAIN AUTH=LOGIN SASL-IR",
        ),
        (true, "IMAP4rev1 IDLE UIDPLUS STARTTLS LOGINDISABLED"),
    ] {
        let (remote, mut wire) = Remote::pair(1);
        let client = tokio::spawn(remote.rest());
        let offer = offer();
        let local = Local {
            offer: &offer,
            starttls,
            onlooker: None,
        };
        Imap::new().greet(&mut wire, &local).await.unwrap();
        drop(wire);
        assert_eq!(
            client.await.unwrap(),
            format!("* OK [CAPABILITY {words}] emailproxy ready\r\n")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn harmless_commands_are_answered_here() {
    let (heard, _) = played(
        "C: 1 capability
         S: * CAPABILITY IMAP4rev1 IDLE UIDPLUS AUTH=PLAIN AUTH=LOGIN SASL-IR
         S: 1 OK CAPABILITY completed
         C: 2.9 ID (\"name\" \"Mac OS X Mail\" \"version\" {2}
         S: + go ahead
         C: 16 \"os\" NIL)
         S: * ID (\"name\" \"emailproxy\")
         S: 2.9 OK ID completed
         C: 3 NOOP
         S: 3 OK NOOP completed
         C: 4 SELECT INBOX
         S: 4 BAD log in first
         C: 5 APPEND INBOX {1000}
         S: 5 BAD log in first
         C: 6 STARTTLS
         S: 6 BAD STARTTLS is not offered here
         C: 7 ENABLE {3+}
         C: x
         C:\u{20}
         S: 7 BAD log in first
         C: 8 LOGOUT
         S: * BYE emailproxy says goodbye
         S: 8 OK LOGOUT completed",
        false,
    )
    .await;
    assert!(matches!(heard, Heard::Left));
}

#[tokio::test(start_paused = true)]
async fn login_takes_every_form_of_string() {
    is(&login("C: A1 LOGIN u@x pw").await, "A1", "u@x", b"pw");
    is(
        &login("C: A.b-1 login \"u@x\" \"p w\\\\\\\"\"").await,
        "A.b-1",
        "u@x",
        b"p w\\\"",
    );
    is(
        &login("C: 1.85 LOGIN {3}\nS: + go ahead\nC: u@x {2}\nS: + go ahead\nC: pw").await,
        "1.85",
        "u@x",
        b"pw",
    );
    is(
        &login("C: a LOGIN {3+}\nC: u@x {2+}\nC: pw").await,
        "a",
        "u@x",
        b"pw",
    );
    is(
        &login("C: a LOGIN \"u@x\" {4}\nS: + go ahead\nC: p\\\"w").await,
        "a",
        "u@x",
        b"p\\\"w",
    );
    is(
        &login("C: a LOGIN {3+}\nC: u@x \"p w\"").await,
        "a",
        "u@x",
        b"p w",
    );
    is(&login("C: a LOGIN u@x \"\"").await, "a", "u@x", b"");
    is(&login("C: a LOGIN u@x {0+}\nC: ").await, "a", "u@x", b"");
}

#[tokio::test(start_paused = true)]
async fn authenticate_works_with_and_without_an_initial_response() {
    for script in [
        "C: a AUTHENTICATE PLAIN AHVAeABwdw==",
        "C: a authenticate plain AHVAeABwdw",
        "C: a AUTHENTICATE PLAIN\nS: + \nC: AHVAeABwdw==",
        "C: a AUTHENTICATE PLAIN\nS: + \nC: AHVAeABwdw== ",
        "C: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: dUB4\nS: + UGFzc3dvcmQ6\nC: cHc=",
        "C: a AUTHENTICATE LOGIN dUB4\nS: + UGFzc3dvcmQ6\nC: cHc=",
        "C: a AUTHENTICATE XOAUTH2 dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: a authenticate xoauth2\nS: + \nC: dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: a AUTHENTICATE XOAUTH2 =\nS: + \nC: dXNlcj11QHgBYXV0aD1CZWFyZXIgcHcBAQ==",
        "C: a AUTHENTICATE OAUTHBEARER bixhPXVAeCwBaG9zdD1oAXBvcnQ9MQFhdXRoPUJlYXJlciBwdwEB",
        "C: a AUTHENTICATE OAUTHBEARER\nS: + \nC: bixhPXVAeCwBaG9zdD1oAXBvcnQ9MQFhdXRoPUJlYXJlciBwdwEB",
    ] {
        let login = login(script).await;
        is(&login, "a", "u@x", b"pw");
        assert_eq!(login.verb, "AUTHENTICATE");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_refused_and_the_client_may_try_again() {
    let login = login(
        "C: a AUTHENTICATE PLAIN
         S: +\u{20}
         C: *
         S: a BAD AUTHENTICATE cancelled
         C: b AUTHENTICATE LOGIN
         S: + VXNlcm5hbWU6
         C: dUB4
         S: + UGFzc3dvcmQ6
         C: *
         S: b BAD AUTHENTICATE cancelled
         C: c AUTHENTICATE PLAIN =
         S: c BAD a PLAIN message has two NUL bytes: before and behind the user name
         C: d AUTHENTICATE PLAIN AABwdw==
         S: d NO [AUTHENTICATIONFAILED] emailproxy: Login failed - the user name is empty
         C: e AUTHENTICATE XOAUTH2 dXNlcj0=
         S: e NO [AUTHENTICATIONFAILED] emailproxy: Login failed - the user name is empty
         C: e AUTHENTICATE XOAUTH2
         S: +\u{20}
         C: *
         S: e BAD AUTHENTICATE cancelled
         C: e AUTHENTICATE GSSAPI
         S: e NO log in with user name and password (LOGIN, or AUTHENTICATE PLAIN or LOGIN); emailproxy fetches the token itself
         C: f AUTHENTICATE
         S: f BAD AUTHENTICATE takes a mechanism and perhaps an initial response
         C: g LOGIN u@x
         S: g BAD LOGIN takes a user name and a password; quote what holds blanks
         C: h LOGIN u@x \"pw
         S: h BAD the closing quote is missing
         C: i LOGIN u@x {2-}
         S: i BAD this is no literal; it should read {SIZE} or {SIZE+}
         C: j LOGIN {1025}
         S: j BAD literals before login are at most 1,024 bytes
         C: k LOGIN {99999999999999999999}
         S: k BAD literals before login are at most 1,024 bytes
         C: l LOGIN {2+}
         C: \u{1}b pw
         S: l NO [AUTHENTICATIONFAILED] emailproxy: Login failed - the user name holds a blank or a control character
         C: m
         S: m BAD this is no command; log in first
         C:\u{20}
         S: * BAD a command begins with a tag, such as A1
         C: + NOOP
         S: * BAD a command begins with a tag, such as A1
         C: n NOOP {3}
         S: n BAD no literal may stand here
         C: o LOGIN u@x pw",
    )
    .await;
    is(&login, "o", "u@x", b"pw");
}

#[tokio::test(start_paused = true)]
async fn nothing_private_is_heard_before_tls() {
    let (heard, _) = played(
        "C: a CAPABILITY
         S: * CAPABILITY IMAP4rev1 IDLE UIDPLUS STARTTLS LOGINDISABLED
         S: a OK CAPABILITY completed
         C: b LOGIN u pw
         S: b NO [PRIVACYREQUIRED] begin TLS with STARTTLS first; set the client to STARTTLS
         C: c LOGIN {3}
         S: c NO [PRIVACYREQUIRED] begin TLS with STARTTLS first; set the client to STARTTLS
         C: d AUTHENTICATE PLAIN
         S: d NO [PRIVACYREQUIRED] begin TLS with STARTTLS first; set the client to STARTTLS
         C: e STARTTLS
         S: e OK begin TLS now",
        true,
    )
    .await;
    assert!(matches!(heard, Heard::StartTls));
}

#[tokio::test(start_paused = true)]
async fn once_inside_tls_it_is_not_begun_again() {
    let (remote, wire) = Remote::pair(1);
    let mut wire = wire.pretend_secured();
    let client = remote.spawn(
        "C: a STARTTLS\nS: a BAD TLS is in force already\nC: b LOGOUT\nS: * BYE emailproxy says goodbye\nS: b OK LOGOUT completed",
        "C: ",
        "S: ",
    );
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    let heard = Imap::new().hear(&mut wire, &local).await.unwrap();
    assert!(matches!(heard, Heard::Left));
    client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_login_or_starttls_is_not_touched() {
    let offer = offer();
    for (sent, starttls, expected) in [
        (
            "a LOGIN u pw\r\nb SELECT INBOX\r\nc",
            false,
            "b SELECT INBOX\r\nc",
        ),
        (
            "a AUTHENTICATE PLAIN AHUAcHc=\r\nb LIST \"\" *\r\n",
            false,
            "b LIST \"\" *\r\n",
        ),
        ("a LOGIN u {2+}\r\npw\r\nb NOOP\r\n", false, "b NOOP\r\n"),
        ("a STARTTLS\r\nb LOGIN u p\r\n", true, "b LOGIN u p\r\n"),
    ] {
        let (mut remote, mut wire) = Remote::pair(64 * 1024);
        remote.say(sent.as_bytes()).await;
        let local = Local {
            offer: &offer,
            starttls,
            onlooker: None,
        };
        let heard = Imap::new().hear(&mut wire, &local).await.unwrap();
        assert!(matches!(heard, Heard::Login(_) | Heard::StartTls));
        assert_eq!(wire.waiting(), expected.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_are_passwords_too() {
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    for (sent, password) in [
        (&b"a LOGIN u \"p\xe4\"\n"[..], &b"p\xe4"[..]),
        (b"a LOGIN u p\xc3\xa4\n", b"p\xc3\xa4"),
        (b"a LOGIN u {2+}\np\xe4\n", b"p\xe4"),
    ] {
        let (mut remote, mut wire) = Remote::pair(1024);
        remote.say(sent).await;
        match Imap::new().hear(&mut wire, &local).await.unwrap() {
            Heard::Login(login) => is(&login, "a", "u", password),
            other => panic!("{other:?}"),
        }
    }
}

/// Sends bytes to a new dialogue and returns what came of it, and what the client heard.
async fn sent(bytes: &[u8]) -> (Result<Heard, Lost>, String) {
    let (mut remote, mut wire) = Remote::pair(1024 * 1024);
    remote.say(bytes).await;
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    let heard = Imap::new().hear(&mut wire, &local).await;
    drop(wire);
    (heard, remote.rest().await)
}

#[tokio::test(start_paused = true)]
async fn limits_hold() {
    let line = "x".repeat(MAX_LINE + 2);
    for whole in [
        format!("{line}\r\n"),
        line,
        format!("a LOGIN u {{1000+}}\r\n{}", "y".repeat(MAX_LINE)),
    ] {
        let (heard, _) = sent(whole.as_bytes()).await;
        assert!(matches!(heard, Err(Lost::TooLong(_))), "{heard:?}");
    }
    let (heard, text) = sent(b"a LOGIN u {1025+}\r\n").await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");
    assert_eq!(
        text,
        "a BAD a literal before login has at most 1,024 bytes\r\n* BYE a literal larger than 1,024 bytes before login\r\n"
    );
    let endless = "{1000+}\r\n".to_owned() + &("z".repeat(1000) + " {1000+}\r\n").repeat(9);
    let (heard, _) = sent(format!("a ID {endless}").as_bytes()).await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");

    let (heard, text) = sent("what is this\r\n".repeat(MAX_NONSENSE).as_bytes()).await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");
    assert_eq!(text.lines().count(), MAX_NONSENSE + 1);
    let (heard, text) = sent("a NOOP\r\n".repeat(MAX_COMMANDS).as_bytes()).await;
    assert!(matches!(heard, Ok(Heard::ShownOut(_))), "{heard:?}");
    assert!(text.ends_with("* BYE too many commands without a login\r\n"));
    let (heard, _) = sent("a NOOP\r\n".repeat(MAX_COMMANDS - 1).as_bytes()).await;
    assert!(matches!(heard, Err(Lost::TimedOut)), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_counted_over_several_logins() {
    let mut dialogue = Imap::new();
    let (mut remote, mut wire) = Remote::pair(1024 * 1024);
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    for _ in 1..MAX_NONSENSE {
        remote.say(b"what is this\r\na LOGIN u pw\r\n").await;
        let heard = dialogue.hear(&mut wire, &local).await.unwrap();
        assert!(matches!(heard, Heard::Login(_)), "{heard:?}");
    }
    remote.say(b"what is this\r\na LOGIN u pw\r\n").await;
    let heard = dialogue.hear(&mut wire, &local).await.unwrap();
    assert!(matches!(heard, Heard::ShownOut(_)), "{heard:?}");
}

async fn refused(refusal: &Refusal) -> String {
    let (remote, mut wire) = Remote::pair(1);
    let client = tokio::spawn(remote.rest());
    let login = Login {
        user: "u@x".into(),
        password: "pw".into(),
        tag: "A1".into(),
        verb: "LOGIN",
    };
    let mut dialogue = Imap::new();
    dialogue.refuse(&mut wire, &login, refusal).await.unwrap();
    drop(wire);
    client.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn refusals_carry_a_code_and_the_reason() {
    assert_eq!(
        refused(&Refusal::NoPassword).await,
        "A1 NO [AUTHENTICATIONFAILED] emailproxy: Login failed - no password provided for account u@x\r\n"
    );
    let strange = [
        NotAdmitted::UnknownAccount,
        NotAdmitted::WrongPassword,
        NotAdmitted::Incomplete("token_url".into()),
    ];
    for why in strange {
        assert_eq!(
            refused(&Refusal::NotAdmitted(why)).await,
            "A1 NO [AUTHENTICATIONFAILED] emailproxy: Login failed - the user name or password for account u@x is incorrect\r\n"
        );
    }
    let said = Said::new("AADSTS7000215: no\r\n* BYE x");
    let text = refused(&Refusal::TokenRefused(said)).await;
    assert!(text.starts_with("A1 NO [CONTACTADMIN] emailproxy: Login failed for account u@x: "));
    assert_eq!(text.lines().count(), 1, "{text}");
    for temporary in [
        Refusal::Busy("too many logins at once"),
        Refusal::ShuttingDown,
        Refusal::ConsentTimedOut { waited: 600 },
    ] {
        let text = refused(&temporary).await;
        assert!(
            text.starts_with("A1 NO [UNAVAILABLE] emailproxy: "),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn temporary_refusals_say_so() {
    let server = || "imap.example.org:993".to_owned();
    let said = || Said::from("no");
    for refusal in [
        Refusal::NoPassword,
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
    ] {
        let says_so = refused(&refusal).await.contains("[UNAVAILABLE]");
        assert_eq!(says_so, refusal.is_temporary(), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn farewells_are_untagged() {
    for why in [
        Farewell::ShuttingDown,
        Farewell::Busy,
        Farewell::Silent,
        Farewell::TooManyLogins,
        Farewell::TooLong,
        Farewell::WantsTls,
        Farewell::Http,
        Farewell::ProxyHeader,
    ] {
        let (remote, mut wire) = Remote::pair(1);
        let client = tokio::spawn(remote.rest());
        Imap::farewell(&mut wire, why).await.unwrap();
        drop(wire);
        let text = client.await.unwrap();
        assert!(
            text.starts_with("* BYE ") && text.ends_with("\r\n"),
            "{text}"
        );
        if why == Farewell::ShuttingDown {
            assert_eq!(text, "* BYE Server shutting down\r\n");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_do_not_show() {
    let heard = played("C: a LOGIN u hunter2", false).await.0;
    assert!(!format!("{heard:?}").contains("hunter2"), "{heard:?}");
}
