//! A login asks a server nothing that a client would not ask it, once it was reached.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy};
use support::provider::{Manner, Provider, Shape};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";

async fn log_in(proxy: &Proxy, protocol: &str) -> (Client, String) {
    match protocol {
        "IMAP" => {
            let mut client = proxy.imap().await;
            let mut said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
            let last = said.pop().unwrap();
            (client, last)
        }
        "POP" => {
            let mut client = proxy.pop().await;
            client.ask(&format!("USER {USER}")).await;
            let said = client.ask(&format!("PASS {PASSWORD}")).await;
            (client, said)
        }
        _ => {
            let mut client = proxy.smtp().await;
            let response = plain_response(USER, PASSWORD);
            let said = client.ask(&format!("AUTH PLAIN {response}")).await;
            (client, said)
        }
    }
}

/// Logs in and returns the verbs the server heard meanwhile, tags left out; the token is `...`.
async fn heard_for_a_login(provider: &Provider, proxy: &Proxy, protocol: &str) -> Vec<String> {
    let before = provider.world.journal.heard(protocol).len();
    let (_client, said) = log_in(proxy, protocol).await;
    let good = ["OK", "+OK", "235"].iter().any(|yes| said.starts_with(yes));
    assert!(good, "{said}");
    let heard = provider.world.journal.heard(protocol);
    let verb = |line: &String| {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let word = if protocol == "IMAP" {
            words.nth(1)
        } else {
            words.next()
        };
        word.filter(|word| word.len() < 20).unwrap_or("...".into())
    };
    heard[before..].iter().map(verb).collect()
}

#[tokio::test]
async fn a_login_says_no_more_to_the_server_than_a_client_would() {
    for starttls in [false, true] {
        let provider = Provider::build(Shape { starttls }).await;
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let secure: &[(&str, &[&str])] = &[
            ("IMAP", &["STARTTLS", "AUTHENTICATE"]),
            ("POP", &["STLS", "AUTH", "..."]),
            ("SMTP", &["EHLO", "STARTTLS", "EHLO", "AUTH", "..."]),
        ];
        let implicit: &[(&str, &[&str])] = &[
            ("IMAP", &["AUTHENTICATE"]),
            ("POP", &["AUTH", "..."]),
            ("SMTP", &["EHLO", "AUTH", "..."]),
        ];
        for (protocol, wanted) in if starttls { secure } else { implicit } {
            drop(log_in(&proxy, protocol).await);
            let heard = heard_for_a_login(&provider, &proxy, protocol).await;
            assert_eq!(heard, *wanted, "{protocol}, starttls {starttls}");
        }
    }
}

#[tokio::test]
async fn an_imap_server_whose_greeting_says_nothing_is_asked_once() {
    let provider = Provider::start().await;
    provider
        .world
        .turn(|knobs| knobs.imap_greets_with_capabilities = false);
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    drop(log_in(&proxy, "IMAP").await);
    let heard = heard_for_a_login(&provider, &proxy, "IMAP").await;
    assert_eq!(heard, ["AUTHENTICATE"]);
}

#[tokio::test]
async fn a_server_that_refused_a_login_is_asked_again_what_it_can_do() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    drop(log_in(&proxy, "POP").await);
    // From now on it wants another mechanism.
    provider
        .world
        .turn(|knobs| knobs.mechanisms = vec!["OAUTHBEARER"]);
    let (_, said) = log_in(&proxy, "POP").await;
    assert!(said.starts_with("-ERR"), "{said}");
    let heard = heard_for_a_login(&provider, &proxy, "POP").await;
    assert_eq!(heard, ["CAPA", "AUTH", "..."]);
    // One that refuses for another reason likewise.
    provider
        .world
        .turn(|knobs| knobs.manner = Manner::Throttled);
    let (_, said) = log_in(&proxy, "POP").await;
    assert!(said.starts_with("-ERR"), "{said}");
    provider.world.turn(|knobs| knobs.manner = Manner::Honest);
    let heard = heard_for_a_login(&provider, &proxy, "POP").await;
    assert_eq!(heard, ["CAPA", "AUTH", "..."]);
}
