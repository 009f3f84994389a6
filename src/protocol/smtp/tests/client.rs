//! The client's side: what it may say before login and what it hears.

use super::{CRUMBS, Player};
use crate::protocol::smtp::{Smtp, verdict};
use crate::protocol::{
    Dialogue as _, Farewell, Heard, Local, Login, MAX_AUTH_LINE, MAX_COMMANDS, MAX_NONSENSE, Offer,
};
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;
use crate::wire::{Lost, Wire};

fn offer() -> Offer {
    Offer(vec!["SIZE 1000".into(), "PIPELINING".into()])
}

/// Hears one client to its end, refusing every login by `refusal`; returns what it wanted, and the dialogue.
async fn serve(mut client: Wire, starttls: bool, refusal: Refusal) -> (Vec<String>, Smtp, Wire) {
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls,
        onlooker: None,
    };
    let mut smtp = Smtp::new();
    let mut story = Vec::new();
    if let Err(lost) = smtp.greet(&mut client, &local).await {
        story.push(lost.to_string());
        return (story, smtp, client);
    }
    loop {
        let ended = match smtp.hear(&mut client, &local).await {
            Ok(Heard::Login(login)) => {
                story.push(format!(
                    "{} {}:{}",
                    login.verb,
                    login.user,
                    String::from_utf8_lossy(login.password.reveal())
                ));
                match smtp.refuse(&mut client, &login, &refusal).await {
                    Ok(()) => continue,
                    Err(lost) => lost.to_string(),
                }
            }
            Ok(Heard::StartTls) => "STARTTLS".into(),
            Ok(Heard::Left) => "left".into(),
            Ok(Heard::ShownOut(why)) => format!("shown out: {why}"),
            Err(lost) => lost.to_string(),
        };
        story.push(ended);
        return (story, smtp, client);
    }
}

/// Plays a transcript that begins behind the greeting; returns the dialogue's story of it, once for all crumbs.
async fn story(script: &str, starttls: bool) -> Vec<String> {
    let mut stories = Vec::new();
    for crumb in CRUMBS {
        let (mut player, ours) = Player::new(crumb);
        let server = tokio::spawn(serve(
            Wire::new(ours, "client"),
            starttls,
            Refusal::NotAdmitted(NotAdmitted::WrongPassword),
        ));
        player
            .play("S: 220 emailproxy ESMTP ready", "C: ", "S: ")
            .await;
        player.play(script, "C: ", "S: ").await;
        let hang_up = tokio::spawn(player.rest());
        let (story, _, wire) = server.await.unwrap();
        drop(wire);
        assert_eq!(hang_up.await.unwrap(), "", "more was said than expected");
        stories.push(story);
    }
    assert_eq!(stories[0], stories[1]);
    stories.remove(0)
}

const INCORRECT: &str = "S: 535 5.7.8 Authentication credentials invalid. emailproxy: Login failed - the user name or password for account u@example.org is incorrect";

#[tokio::test(start_paused = true)]
async fn ehlo_offers_what_the_upstream_offers_and_our_auth() {
    let script = "
        C: EHLO client.example
        S: 250-emailproxy greets client.example
        S: 250-SIZE 1000
        S: 250-PIPELINING
        S: 250 AUTH PLAIN LOGIN
        C: helo again
        S: 250 emailproxy
        C: EHLO caf\u{e9} \u{1}
        S: 250-emailproxy greets [127.0.0.1]
        S: 250-SIZE 1000
        S: 250-PIPELINING
        S: 250 AUTH PLAIN LOGIN
        C: EHLO
        S: 501 5.5.4 EHLO and HELO need the client's name
        C: quit
        S: 221 2.0.0 Goodbye";
    assert_eq!(story(script, false).await, ["left"]);
}

#[tokio::test(start_paused = true)]
async fn before_login_everything_is_answered_here() {
    let script = "
        C: NOOP
        C: RSET
        C: HELP me
        C: VRFY postmaster
        C: EXPN list
        C: STARTTLS
        C: XCLIENT NAME=x
        C: DATA now
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 214 2.0.0 This is emailproxy: log in with AUTH PLAIN or AUTH LOGIN, then the mail server answers
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 502 5.5.1 STARTTLS is not offered on this port
        S: 500 5.5.2 Command not recognized; this port speaks SMTP
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        C: QUIT
        S: 221 2.0.0 Goodbye";
    assert_eq!(story(script, false).await, ["left"]);
}

#[tokio::test(start_paused = true)]
async fn auth_is_understood_in_every_form() {
    // AHVAZXhhbXBsZS5vcmcAc2VjcmV0 is NUL u@example.org NUL secret.
    for login in [
        "C: AUTH PLAIN AHVAZXhhbXBsZS5vcmcAc2VjcmV0",
        "C: auth  plain  AHVAZXhhbXBsZS5vcmcAc2VjcmV0  ",
        "C: AUTH PLAIN\nS: 334 \nC: AHVAZXhhbXBsZS5vcmcAc2VjcmV0",
        "C: Auth Plain \nS: 334 \nC: AHVAZXhhbXBsZS5vcmcAc2VjcmV0 ",
        "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dUBleGFtcGxlLm9yZw==\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0",
        "C: AUTH login dUBleGFtcGxlLm9yZw== \nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0",
        "C: AUTH LOGIN\nC: dUBleGFtcGxlLm9yZw==\nC: c2VjcmV0\nS: 334 VXNlcm5hbWU6\nS: 334 UGFzc3dvcmQ6",
        "C: AUTH XOAUTH2 dXNlcj11QGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHNlY3JldAEB",
        "C: auth xoauth2\nS: 334 \nC: dXNlcj11QGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHNlY3JldAEB",
        "C: AUTH XOAUTH2 =\nS: 334 \nC: dXNlcj11QGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHNlY3JldAEB",
        "C: AUTH OAUTHBEARER bixhPXVAZXhhbXBsZS5vcmcsAWhvc3Q9aAFwb3J0PTI1AWF1dGg9QmVhcmVyIHNlY3JldAEB",
        "C: AUTH OAUTHBEARER\nS: 334 \nC: bixhPXVAZXhhbXBsZS5vcmcsAWhvc3Q9aAFwb3J0PTI1AWF1dGg9QmVhcmVyIHNlY3JldAEB",
    ] {
        // HELO only, or no name at all, is enough: printers know no better.
        for begin in ["C: HELO printer\nS: 250 emailproxy", ""] {
            let script = format!("{begin}\n{login}\n{INCORRECT}\nC: QUIT\nS: 221 2.0.0 Goodbye");
            assert_eq!(
                story(&script, false).await,
                ["AUTH u@example.org:secret", "left"],
                "{login}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_password_is_a_login_for_the_session_to_refuse() {
    let script = format!(
        "C: AUTH PLAIN AHVAZXhhbXBsZS5vcmcA
        {INCORRECT}
        C: AUTH LOGIN dUBleGFtcGxlLm9yZw==
        S: 334 UGFzc3dvcmQ6
        C: 
        {INCORRECT}"
    );
    assert_eq!(
        story(&script, false).await,
        [
            "AUTH u@example.org:",
            "AUTH u@example.org:",
            "the peer hung up"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_read_leaves_the_connection_usable() {
    let script = "
        C: AUTH PLAIN
        S: 334 
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: AUTH LOGIN dUBleGFtcGxlLm9yZw==
        S: 334 UGFzc3dvcmQ6
        C: * 
        S: 501 5.7.0 Authentication cancelled
        C: AUTH PLAIN ***
        S: 501 5.5.2 Cannot decode this response: this is not base64
        C: AUTH PLAIN =
        S: 501 5.5.2 Cannot decode this response: a PLAIN message has two NUL bytes: before and behind the user name
        C: AUTH PLAIN dQ==
        S: 501 5.5.2 Cannot decode this response: a PLAIN message has two NUL bytes: before and behind the user name
        C: AUTH PLAIN AABzZWNyZXQ=
        S: 501 5.5.2 Cannot decode this response: the user name is empty
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: user@example.org
        S: 501 5.5.2 Cannot decode this response: this is not base64
        C: AUTH
        S: 501 5.5.4 Syntax error in the words behind the command
        C: AUTH CRAM-MD5
        S: 504 5.5.4 Unrecognized authentication type; set the mail client to user name and normal password (AUTH PLAIN or LOGIN)
        C: AUTH XOAUTH2 dXNlcj11QHgB
        S: 501 5.5.2 Cannot decode this response: the message has no `auth=Bearer` with the mail password
        C: AUTH OAUTHBEARER =
        S: 334 
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: QUIT
        S: 221 2.0.0 Goodbye";
    assert_eq!(story(script, false).await, ["left"]);
}

#[tokio::test(start_paused = true)]
async fn mail_without_login_is_refused_with_what_to_change() {
    let script = "
        C: EHLO zabbix
        C: MAIL FROM:<a@example.org>
        C: RCPT TO:<b@example.org>
        C: DATA
        C: BDAT 20 LAST
        C: QUIT
        C: AUTH PLAIN =
        C: NOOP
        S: 250-emailproxy greets zabbix
        S: 250-SIZE 1000
        S: 250-PIPELINING
        S: 250 AUTH PLAIN LOGIN
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client
        S: 250 2.0.0 OK";
    // The chunk of 20 bytes is `QUIT`, `AUTH PLAIN =` and their line ends; were it read as commands, we should leave.
    assert_eq!(story(script, false).await, ["the peer hung up"]);
    let script = "
        C: BDAT 70000 LAST
        S: 530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client";
    let story = story(script, false).await;
    assert!(
        story[0].starts_with("shown out: sent a message"),
        "{story:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_offered_before_tls_where_tls_is_wanted() {
    let script = "
        C: EHLO client
        S: 250-emailproxy greets client
        S: 250-SIZE 1000
        S: 250-PIPELINING
        S: 250 STARTTLS
        C: AUTH PLAIN AHVAZXhhbXBsZS5vcmcAc2VjcmV0
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: AUTH LOGIN
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: MAIL FROM:<a@example.org>
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: starttls
        S: 220 2.0.0 Ready to start TLS";
    assert_eq!(story(script, true).await, ["STARTTLS"]);
}

#[tokio::test]
async fn starttls_forgets_the_name_and_leaves_early_bytes_for_the_wire_to_refuse() {
    let (mut player, ours) = Player::new(4096);
    let server = tokio::spawn(serve(
        Wire::new(ours, "client"),
        true,
        Refusal::Busy("too many logins at once"),
    ));
    let script = "
        S: 220 emailproxy ESMTP ready
        C: EHLO client
        C: STARTTLS
        C: MAIL FROM:<injected@example.org>
        S: 250-emailproxy greets client
        S: 250-SIZE 1000
        S: 250-PIPELINING
        S: 250 STARTTLS
        S: 220 2.0.0 Ready to start TLS";
    player.play(script, "C: ", "S: ").await;
    let (story, smtp, wire) = server.await.unwrap();
    assert_eq!(story, ["STARTTLS"]);
    assert_eq!(smtp.name, None);
    assert_eq!(wire.waiting(), b"MAIL FROM:<injected@example.org>\r\n");
}

#[tokio::test]
async fn what_is_pipelined_behind_auth_stays_untouched() {
    let (mut player, ours) = Player::new(4096);
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    let mut client = Wire::new(ours, "client");
    let mut smtp = Smtp::new();
    let script = "
        C: EHLO client
        C: AUTH PLAIN AHVAZXhhbXBsZS5vcmcAc2VjcmV0
        C: MAIL FROM:<a@example.org>
        C: RCPT TO:<b@example.org>";
    player.play(script, "C: ", "S: ").await;
    assert!(matches!(
        smtp.hear(&mut client, &local).await,
        Ok(Heard::Login(_))
    ));
    assert_eq!(
        client.waiting(),
        b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
    );
    assert_eq!(smtp.name.as_deref(), Some("client"));
}

#[tokio::test(start_paused = true)]
async fn odd_visitors_are_answered_and_shown_out() {
    let telnet = "
        C: EHLX\u{8}O client
        S: 500 5.5.2 The line holds control bytes; a telnet client must not negotiate or edit lines
        C: a1 LOGIN user secret
        S: 500 5.5.2 Command not recognized; this port speaks SMTP
        C: user me pass secret
        S: 500 5.5.2 Command not recognized; this port speaks SMTP
        C: QUIT
        S: 221 2.0.0 Goodbye";
    assert_eq!(story(telnet, false).await, ["left"]);
    let wrong = "C: a1 CAPABILITY\nS: 500 5.5.2 Command not recognized; this port speaks SMTP\n";
    let nonsense = wrong.repeat(MAX_NONSENSE - 1)
        + "C: a1 CAPABILITY\nS: 421 4.7.0 Too many errors; this port speaks SMTP";
    assert!(story(&nonsense, false).await[0].contains("no SMTP"));
    let idle = "C: NOOP\nS: 250 2.0.0 OK\n".repeat(MAX_COMMANDS)
        + "S: 421 4.7.0 Too many commands without a login";
    assert!(story(&idle, false).await[0].contains("too many commands"));
}

#[tokio::test(start_paused = true)]
async fn lines_past_their_limit_end_the_conversation() {
    let login = "A".repeat(MAX_AUTH_LINE - 2);
    let command = format!("NOOP {}", "x".repeat(9_000));
    for script in [
        format!("C: AUTH PLAIN {login}\nS: 500 5.5.6 Line too long"),
        format!("C: AUTH PLAIN\nS: 334 \nC: {login}AAAA\nS: 500 5.5.6 Line too long"),
        format!("C: {command}\nS: 500 5.5.6 Line too long"),
        format!("C: {}\nS: 500 5.5.6 Line too long", "x".repeat(9_000)),
    ] {
        let story = story(&script, false).await;
        assert!(story[0].contains("longer than any"), "{story:?}");
    }
    // The longest line that is allowed is read and found to be no login.
    let script = format!(
        "C: AUTH PLAIN\nS: 334 \nC: {login}AA\nS: 501 5.5.2 Cannot decode this response: a PLAIN message has two NUL bytes: before and behind the user name"
    );
    assert_eq!(story(&script, false).await, ["the peer hung up"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_given_up() {
    let (_player, ours) = Player::new(64);
    let (story, ..) = serve(
        Wire::new(ours, "client"),
        false,
        Refusal::Busy("too many logins at once"),
    )
    .await;
    assert_eq!(story, [Lost::TimedOut.to_string()]);
}

#[tokio::test]
async fn every_refusal_has_its_words_and_says_whether_to_try_again() {
    let said = || Said::new("because");
    let server = || "mail.example:587".to_owned();
    let refusals = [
        Refusal::NoPassword,
        Refusal::NotAdmitted(NotAdmitted::UnknownAccount),
        Refusal::NotAdmitted(NotAdmitted::WrongPassword),
        Refusal::NotAdmitted(NotAdmitted::Incomplete("x".into())),
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
        Refusal::Misconfigured("x".into()),
        Refusal::Busy("too many logins at once"),
        Refusal::ShuttingDown,
    ];
    let login = Login {
        user: "u@example.org\r\n235 2.7.0 Accepted".into(),
        password: "secret".into(),
        tag: String::new(),
        verb: "AUTH",
    };
    for refusal in refusals {
        let expected = if refusal.is_temporary() {
            "454 4.7.0 "
        } else {
            "535 5.7.8 "
        };
        assert!(verdict(&refusal).starts_with(expected), "{refusal:?}");
        let (player, ours) = Player::new(4096);
        let mut client = Wire::new(ours, "client");
        Smtp::new()
            .refuse(&mut client, &login, &refusal)
            .await
            .unwrap();
        drop(client);
        let reply = player.rest().await;
        assert!(reply.starts_with(expected), "{reply}");
        assert!(reply.len() <= 512, "RFC 5321 section 4.5.3.1.5: {reply}");
        assert_eq!(reply.lines().count(), 1, "{reply}");
        assert!(reply.contains("emailproxy: Login failed"), "{reply}");
    }
}

#[tokio::test]
async fn goodbyes_carry_a_code_of_their_own() {
    for (why, code) in [
        (Farewell::ShuttingDown, "421 4.3.2 "),
        (Farewell::Busy, "421 4.7.0 "),
        (Farewell::Silent, "421 4.4.2 "),
        (Farewell::TooManyLogins, "421 4.7.0 "),
        (Farewell::TooLong, "500 5.5.6 "),
        (Farewell::WantsTls, "421 4.7.0 "),
        (Farewell::Http, "421 4.7.0 "),
        (Farewell::ProxyHeader, "421 4.7.0 "),
    ] {
        let (player, ours) = Player::new(4096);
        let mut client = Wire::new(ours, "client");
        Smtp::farewell(&mut client, why).await.unwrap();
        drop(client);
        let said = player.rest().await;
        assert!(said.starts_with(code) && said.ends_with("\r\n"), "{said}");
    }
}
