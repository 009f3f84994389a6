//! SMTP from end to end: a client with user and password, the proxy, a server that believes only tokens.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this is a test"
)]

mod support;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use support::client::{Client, mail, oauthbearer_response, plain_response, xoauth2_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::{Manner, Provider, Shape};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

async fn log_in(client: &mut Client) {
    let response = plain_response(USER, PASSWORD);
    let said = client.ask(&format!("AUTH PLAIN {response}")).await;
    assert!(said.starts_with("235"), "{said}");
}

#[tokio::test]
async fn every_way_to_log_in_sends_mail_unchanged() {
    let (provider, proxy) = ready().await;
    let letter = mail("for SMTP", 4_000);
    let inline = plain_response(USER, PASSWORD);
    let (user, password) = (
        BASE64_STANDARD.encode(USER),
        BASE64_STANDARD.encode(PASSWORD),
    );
    // What the client says; every line but the last is answered by a prompt.
    let ways: Vec<Vec<String>> = vec![
        vec![format!("AUTH PLAIN {inline}")],
        vec![format!("auth plain {inline}  ")],
        vec!["AUTH PLAIN".into(), inline.clone()],
        vec!["AuTh PlAiN ".into(), inline.clone()],
        vec!["AUTH LOGIN".into(), user.clone(), password.clone()],
        vec!["AUTH login ".into(), user.clone(), password.clone()],
        vec![format!("AUTH LOGIN {user}"), password.clone()],
        vec![format!("AUTH XOAUTH2 {}", xoauth2_response(USER, PASSWORD))],
        vec!["AUTH XOAUTH2".into(), xoauth2_response(USER, PASSWORD)],
        vec![
            "AUTH OAUTHBEARER".into(),
            oauthbearer_response(USER, PASSWORD),
        ],
    ];
    for crumbs in [false, true] {
        for way in &ways {
            let mut client = proxy.smtp().await;
            let mut answer = String::new();
            for (turn, line) in way.iter().enumerate() {
                assert!(turn == 0 || answer.starts_with("334 "), "{way:?}: {answer}");
                let line = format!("{line}\r\n");
                if crumbs {
                    client.crumble(line).await;
                } else {
                    client.send(line).await;
                }
                answer = client.line().await;
            }
            assert!(answer.starts_with("235"), "{way:?}: {answer}");
            let said = client.send_mail(USER, &[USER], &letter).await;
            assert!(said.starts_with("250"), "{said}");
            assert!(client.ask("QUIT").await.starts_with("221"));
            assert_eq!(client.rest().await, b"");
        }
    }
    let sent = provider.world.mailboxes.sent();
    assert_eq!(sent.len(), 2 * ways.len());
    for envelope in sent {
        assert_eq!(*envelope.content, letter);
        assert_eq!(
            (envelope.user.as_str(), envelope.from.as_str()),
            (USER, USER)
        );
        assert_eq!(
            envelope.helo, "client.example.org",
            "the client's name did not go upstream"
        );
    }
    assert_eq!(provider.world.register.count("client_credentials"), 1);
    assert!(
        !provider.world.journal.holds(&inline),
        "the local password reached the provider"
    );
}

#[tokio::test]
async fn two_mails_in_one_connection_and_one_in_chunks() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.smtp().await;
    log_in(&mut client).await;
    let (first, second, third) = (
        mail("first", 900),
        mail("second", 70_000),
        mail("third", 500),
    );
    client.send_mail(USER, &[USER], &first).await;
    client
        .send_mail(USER, &["a@example.com", "b@example.com"], &second)
        .await;
    client.smtp("MAIL FROM:<demo@example.com>").await;
    client.smtp("RCPT TO:<demo@example.com>").await;
    client.send("BDAT 100\r\n").await;
    client.send(&third[..100]).await;
    assert!(client.line().await.starts_with("250"));
    client
        .send(format!("BDAT {} LAST\r\n", third.len() - 100))
        .await;
    client.send(&third[100..]).await;
    assert!(client.line().await.starts_with("250"));
    let sent = provider.world.mailboxes.sent();
    let contents: Vec<&Vec<u8>> = sent.iter().map(|envelope| &*envelope.content).collect();
    assert_eq!(contents, [&first, &second, &third]);
    assert_eq!(sent[1].to, ["a@example.com", "b@example.com"]);
    assert_eq!(
        provider.world.accepted("SMTP"),
        2,
        "one to learn, one to send"
    );
}

#[tokio::test]
async fn before_login_the_proxy_answers_and_the_server_hears_nothing() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.smtp().await;
    let heard = provider.world.journal.heard("SMTP").len();
    for (line, code) in [
        ("NOOP", "250"),
        ("RSET", "250"),
        ("HELP", "214"),
        ("VRFY postmaster", "530"),
        ("MAIL FROM:<demo@example.com>", "530"),
        ("RCPT TO:<demo@example.com>", "530"),
        ("DATA", "530"),
        ("STARTTLS", "50"),
        ("XYZZY", "500"),
        ("AUTH CRAM-MD5", "504"),
        ("AUTH PLAIN !!!", "501"),
        ("HELO again.example.org", "250"),
        ("EHLO again.example.org", "250"),
    ] {
        let said = client.smtp(line).await;
        assert!(said[0].starts_with(code), "{line}: {said:?}");
    }
    for mechanism in ["PLAIN", "LOGIN"] {
        let said = client.ask(&format!("AUTH {mechanism}")).await;
        assert!(said.starts_with("334"), "{said}");
        let said = client.ask("*").await;
        assert!(said.starts_with("501"), "{said}");
    }
    assert!(client.ask("QUIT").await.starts_with("221"));
    assert_eq!(client.rest().await, b"");
    assert_eq!(
        provider.world.journal.heard("SMTP").len(),
        heard,
        "something of the client reached the server"
    );
}

#[tokio::test]
async fn what_is_offered_is_what_the_server_offers() {
    for starttls in [false, true] {
        let provider = Provider::build(Shape { starttls }).await;
        provider.world.turn(|knobs| {
            knobs.smtp_offer = vec![
                "SIZE 157286400",
                "PIPELINING",
                "DSN",
                "XCLIENT NAME ADDR",
                "X-ODD one",
                "AUTH=XOAUTH2",
            ];
        });
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let mut client = Client::plain(proxy.at("SMTP-0")).await;
        client.line().await;
        let said = client.smtp("EHLO client.example.org").await;
        let offered: BTreeSet<&str> = said[1..].iter().map(|line| &line[4..]).collect();
        let wanted: BTreeSet<&str> = [
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "X-ODD one",
            "AUTH PLAIN LOGIN",
        ]
        .into();
        assert!(wanted.is_subset(&offered), "{offered:?}");
        let more: Vec<_> = offered
            .difference(&wanted)
            .filter(|line| **line != "ENHANCEDSTATUSCODES")
            .collect();
        assert!(more.is_empty(), "offered without cause: {more:?}");
    }
}

#[tokio::test]
async fn a_pipelined_session_is_held_and_relayed() {
    let (provider, proxy) = ready().await;
    let letter = mail("pipelined", 700);
    let stuffed = String::from_utf8(letter.clone())
        .unwrap()
        .replace("\r\n.", "\r\n..");
    for crumbs in [false, true] {
        let mut client = Client::plain(proxy.at("SMTP-0")).await;
        client.line().await;
        let all = format!(
            "EHLO client.example.org\r\nAUTH PLAIN {}\r\nMAIL FROM:<{USER}>\r\nRCPT TO:<{USER}>\r\n\
             DATA\r\n{stuffed}.\r\nQUIT\r\n",
            plain_response(USER, PASSWORD)
        );
        if crumbs {
            client.crumble(all).await;
        } else {
            client.send(all).await;
        }
        let mut codes = Vec::new();
        for _ in 0..7 {
            codes.push(client.smtp_reply().await[0][..3].to_owned());
        }
        assert_eq!(codes, ["250", "235", "250", "250", "354", "250", "221"]);
        assert_eq!(client.rest().await, b"");
    }
    let sent = provider.world.mailboxes.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|envelope| *envelope.content == letter));
}

#[tokio::test]
async fn each_refusal_becomes_a_reply_and_the_connection_stays() {
    let (provider, proxy) = ready().await;
    let response = plain_response(USER, PASSWORD);
    for (manner, begin, shown, reason) in [
        (
            Manner::Challenge,
            "535 5.7.8 ",
            "Username and Password",
            "401",
        ),
        (
            Manner::Curt,
            "535 5.7.8 ",
            "5.7.139 Authentication unsuccessful",
            "SmtpClientAuthentication is disabled",
        ),
        (
            Manner::Throttled,
            "454 4.7.0 ",
            "432 4.3.2 Concurrent",
            "Concurrent connections limit",
        ),
    ] {
        let logs = Logs::catch();
        provider.world.turn(|knobs| knobs.manner = manner);
        let mut client = proxy.smtp().await;
        let said = client.smtp(&format!("AUTH PLAIN {response}")).await;
        assert!(said[0].starts_with(begin), "{manner:?}: {said:?}");
        assert!(said[0].contains(shown), "{manner:?}: {said:?}");
        assert!(logs.hold(reason), "{}", logs.text());
        provider.world.turn(|knobs| knobs.manner = Manner::Honest);
        log_in(&mut client).await;
    }
    let mut client = proxy.smtp().await;
    let wrong = plain_response(USER, "wrong");
    let said = client.ask(&format!("AUTH PLAIN {wrong}")).await;
    assert!(said.starts_with("535 5.7.8 "), "{said}");
    let empty = plain_response(USER, "");
    let said = client.ask(&format!("AUTH PLAIN {empty}")).await;
    assert!(said.starts_with("535 5.7.8 "), "{said}");
    assert!(said.contains("no password provided"), "{said}");
    log_in(&mut client).await;
    let said = client
        .send_mail(USER, &[USER], &mail("after all", 200))
        .await;
    assert!(said.starts_with("250"), "{said}");
}

#[tokio::test]
async fn local_tls_is_met_from_the_first_byte_or_by_starttls() {
    for starttls in [false, true] {
        let provider = Provider::start().await;
        let tls = provider.world.authority.client();
        let proxy = Plan::for_provider(&provider)
            .app(&provider, USER)
            .local_tls(starttls)
            .start();
        let mut client = Client::plain(proxy.at("SMTP-0")).await;
        if starttls {
            client.line().await;
            let said = client.smtp("EHLO client.example.org").await;
            assert!(
                said.iter().any(|line| line.ends_with("STARTTLS")),
                "{said:?}"
            );
            let response = plain_response(USER, PASSWORD);
            let said = client.ask(&format!("AUTH PLAIN {response}")).await;
            assert!(said.starts_with("530") || said.starts_with("538"), "{said}");
            assert!(client.ask("STARTTLS").await.starts_with("220"));
            client = client.begin_tls(tls).await;
        } else {
            client = client.begin_tls(tls).await;
            client.line().await;
        }
        let said = client.smtp("EHLO client.example.org").await;
        assert!(
            !said.iter().any(|line| line.ends_with("STARTTLS")),
            "{said:?}"
        );
        log_in(&mut client).await;
        let said = client.send_mail(USER, &[USER], &mail("inside", 200)).await;
        assert!(said.starts_with("250"), "{said}");
    }
}

#[tokio::test]
async fn plain_text_behind_starttls_is_never_obeyed() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .local_tls(true)
        .start();
    let mut client = Client::plain(proxy.at("SMTP-0")).await;
    client.line().await;
    client.smtp("EHLO client.example.org").await;
    let response = plain_response(USER, PASSWORD);
    client
        .send(format!("STARTTLS\r\nAUTH PLAIN {response}\r\n"))
        .await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(!rest.contains("235"), "{rest}");
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_megabytes_go_out_unchanged() {
    let (provider, proxy) = ready().await;
    let letter = mail("big", 25_000_000);
    let mut client = proxy.smtp().await;
    log_in(&mut client).await;
    let said = client.send_mail(USER, &[USER], &letter).await;
    assert!(said.starts_with("250"), "{said}");
    assert!(*provider.world.mailboxes.sent()[0].content == letter);
}
