//! POP3 from end to end: a client with user and password, the proxy, a server that believes only tokens.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use support::client::{Client, mail, oauthbearer_response, plain_response, xoauth2_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::{Manner, Provider, Shape};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "a pass word";

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

#[tokio::test]
async fn every_way_to_log_in_reaches_the_maildrop() {
    let (provider, proxy) = ready().await;
    let letter = mail("for POP", 4_000);
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(letter.clone()), Vec::new());
    let inline = plain_response(USER, PASSWORD);
    let (user64, password64) = (
        BASE64_STANDARD.encode(USER),
        BASE64_STANDARD.encode(PASSWORD),
    );
    // What the client says; every line but the last is answered by a prompt or +OK.
    let ways: Vec<Vec<String>> = vec![
        vec![format!("USER {USER}"), format!("PASS {PASSWORD}")],
        vec![format!("user {USER}"), format!("pass {PASSWORD}")],
        vec![format!("AUTH PLAIN {inline}")],
        vec!["AUTH PLAIN".into(), inline.clone()],
        vec!["auth plain".into(), inline.clone()],
        vec!["AUTH LOGIN".into(), user64.clone(), password64.clone()],
        vec![format!("AUTH LOGIN {user64}"), password64.clone()],
        vec![format!("AUTH XOAUTH2 {}", xoauth2_response(USER, PASSWORD))],
        vec!["AUTH XOAUTH2".into(), xoauth2_response(USER, PASSWORD)],
        vec![
            "AUTH OAUTHBEARER".into(),
            oauthbearer_response(USER, PASSWORD),
        ],
    ];
    for crumbs in [false, true] {
        for way in &ways {
            let mut client = proxy.pop().await;
            let mut answer = String::new();
            for (turn, line) in way.iter().enumerate() {
                assert!(turn == 0 || answer.starts_with('+'), "{way:?}: {answer}");
                let line = format!("{line}\r\n");
                if crumbs {
                    client.crumble(line).await;
                } else {
                    client.send(line).await;
                }
                answer = client.line().await;
            }
            assert!(answer.starts_with("+OK"), "{way:?}: {answer}");
            let said = client.ask("STAT").await;
            assert_eq!(said, format!("+OK 1 {}", letter.len()), "{way:?}");
            assert_eq!(client.pop_body(1).await, letter);
            assert!(client.ask("QUIT").await.starts_with("+OK"));
            assert_eq!(client.rest().await, b"");
        }
    }
    assert_eq!(provider.world.register.count("client_credentials"), 1);
    assert!(
        !provider.world.journal.holds(PASSWORD),
        "the local password reached the provider"
    );
}

#[tokio::test]
async fn what_is_offered_is_what_the_server_offers() {
    for starttls in [false, true] {
        let provider = Provider::build(Shape { starttls }).await;
        provider.world.turn(|knobs| {
            knobs.pop_offer = vec![
                "TOP",
                "UIDL",
                "EXPIRE 0",
                "X-ODD one two",
                "UTF8 USER",
                "LANG",
            ];
        });
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let mut client = proxy.pop().await;
        let said = client.pop_list("CAPA").await;
        let offered: BTreeSet<&str> = said[1..].iter().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = [
            "TOP",
            "UIDL",
            "EXPIRE 0",
            "X-ODD one two",
            "USER",
            "SASL PLAIN LOGIN",
        ]
        .into();
        let own: BTreeSet<&str> = ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"].into();
        assert!(wanted.is_subset(&offered), "{offered:?}");
        let more: Vec<_> = offered
            .difference(&wanted)
            .filter(|line| !own.contains(*line))
            .collect();
        assert!(more.is_empty(), "offered without cause: {more:?}");
    }
}

#[tokio::test]
async fn the_dialogue_before_login_is_that_of_rfc_1939() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.pop().await;
    assert!(client.ask("PASS early").await.starts_with("-ERR"));
    assert!(client.ask("STAT").await.starts_with("-ERR"));
    assert!(client.ask("NOOP").await.starts_with("+OK"));
    let said = client.pop_list("AUTH").await;
    assert_eq!(said[1..], ["PLAIN", "LOGIN"], "{said:?}");
    assert_eq!(client.ask("AUTH PLAIN").await, "+ ");
    assert!(client.ask("*").await.starts_with("-ERR"));
    assert!(client.ask("AUTH CRAM-MD5").await.starts_with("-ERR"));
    assert!(client.ask("AUTH PLAIN !!!").await.starts_with("-ERR"));
    // A second USER replaces the first.
    assert!(
        client
            .ask("USER nobody@example.org")
            .await
            .starts_with("+OK")
    );
    assert!(client.ask(&format!("USER {USER}")).await.starts_with("+OK"));
    assert!(
        client
            .ask(&format!("PASS {PASSWORD}"))
            .await
            .starts_with("+OK")
    );
    assert_eq!(provider.world.register.count("client_credentials"), 1);
    // QUIT behind USER is a QUIT.
    let mut client = proxy.pop().await;
    assert!(client.ask(&format!("USER {USER}")).await.starts_with("+OK"));
    assert!(client.ask("QUIT").await.starts_with("+OK"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn commands_behind_the_login_are_held_and_relayed() {
    let (_provider, proxy) = ready().await;
    for crumbs in [false, true] {
        let mut client = proxy.pop().await;
        let all = format!("USER {USER}\r\nPASS {PASSWORD}\r\nSTAT\r\nNOOP\r\nQUIT\r\n");
        if crumbs {
            client.crumble(all).await;
        } else {
            client.send(all).await;
        }
        let all = String::from_utf8(client.rest().await).unwrap();
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[2], "+OK 0 0");
        assert!(
            lines.iter().all(|line| line.starts_with("+OK")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn each_refusal_becomes_a_reply_and_the_connection_stays() {
    let (provider, proxy) = ready().await;
    for (manner, begin, shown, reason) in [
        (
            Manner::Challenge,
            "-ERR [AUTH] ",
            "Invalid credentials",
            "401",
        ),
        (
            Manner::Curt,
            "-ERR [SYS/PERM] ",
            "unknown user name",
            "unknown user name or bad password",
        ),
        (
            Manner::Throttled,
            "-ERR [SYS/TEMP] ",
            "too many sessions",
            "too many sessions",
        ),
    ] {
        let logs = Logs::catch();
        provider.world.turn(|knobs| knobs.manner = manner);
        let mut client = proxy.pop().await;
        client.ask(&format!("USER {USER}")).await;
        let said = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(said.starts_with(begin), "{manner:?}: {said}");
        assert!(said.contains(shown), "{manner:?}: {said}");
        assert!(logs.hold(reason), "{}", logs.text());
        provider.world.turn(|knobs| knobs.manner = Manner::Honest);
        client.ask(&format!("USER {USER}")).await;
        let said = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(said.starts_with("+OK"), "{manner:?}: {said}");
    }
    let mut client = proxy.pop().await;
    client.ask(&format!("USER {USER}")).await;
    let wrong = client.ask("PASS wrong").await;
    assert!(wrong.starts_with("-ERR [AUTH] "), "{wrong}");
    client.ask(&format!("USER {USER}")).await;
    let said = client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}");
}

#[tokio::test]
async fn local_tls_is_met_from_the_first_byte_or_by_stls() {
    for starttls in [false, true] {
        let provider = Provider::start().await;
        let tls = provider.world.authority.client();
        let proxy = Plan::for_provider(&provider)
            .app(&provider, USER)
            .local_tls(starttls)
            .start();
        let mut client = Client::plain(proxy.at("POP-0")).await;
        if starttls {
            client.line().await;
            let said = client.pop_list("CAPA").await;
            assert!(said.contains(&"STLS".to_owned()), "{said:?}");
            let said = client.ask(&format!("USER {USER}")).await;
            assert!(said.starts_with("-ERR"), "{said}");
            assert!(client.ask("STLS").await.starts_with("+OK"));
            client = client.begin_tls(tls).await;
            let said = client.pop_list("CAPA").await;
            assert!(!said.contains(&"STLS".to_owned()), "{said:?}");
        } else {
            client = client.begin_tls(tls).await;
            client.line().await;
        }
        client.ask(&format!("USER {USER}")).await;
        let said = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(said.starts_with("+OK"), "{said}");
        assert_eq!(client.ask("STAT").await, "+OK 0 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_megabytes_come_back_unchanged() {
    let (provider, proxy) = ready().await;
    let letter = mail("big", 25_000_000);
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(letter.clone()), Vec::new());
    let mut client = proxy.pop().await;
    client.ask(&format!("USER {USER}")).await;
    client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(client.pop_body(1).await == letter, "changed on its way");
}
