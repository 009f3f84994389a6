//! Limits of connections and networks: who comes too much is told so in the words of the protocol, and who comes from
//! elsewhere is not heard.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy};
use support::provider::Provider;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct horse";

async fn ready(options: &str) -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.option(options).start();
    (provider, proxy)
}

#[tokio::test]
async fn r25_one_too_many_is_turned_away_until_somebody_leaves() {
    let (_provider, proxy) = ready("max_connections = 2").await;
    let mut first = Client::plain(proxy.at("IMAP-0")).await;
    first.line().await;
    let mut second = Client::plain(proxy.at("SMTP-0")).await;
    second.line().await;
    for (section, word) in [
        ("IMAP-0", "* BYE"),
        ("POP-0", "-ERR [SYS/TEMP]"),
        ("SMTP-0", "421 4.7.0"),
    ] {
        let mut third = Client::plain(proxy.at(section)).await;
        let heard = String::from_utf8(third.rest().await).unwrap();
        assert!(
            heard.starts_with(word) && heard.contains("too many connections"),
            "{section}: {heard}"
        );
    }
    second.say("QUIT").await;
    second.rest().await;
    // The seat is free once the session has ended, which its client may hear of a moment earlier.
    loop {
        let mut third = Client::plain(proxy.at("POP-0")).await;
        if third.line().await.starts_with("+OK") {
            break;
        }
    }
    assert!(first.ask("a NOOP").await.starts_with("a OK"));
}

#[tokio::test]
async fn r25_one_account_cannot_take_all_seats() {
    let (_provider, proxy) = ready("max_connections_per_account = 1").await;
    let mut first = Client::plain(proxy.at("IMAP-0")).await;
    first.line().await;
    first.imap(&format!("LOGIN {USER} \"{PASSWORD}\"")).await;
    let mut second = Client::plain(proxy.at("SMTP-0")).await;
    second.line().await;
    second.smtp("EHLO c").await;
    let login = format!("AUTH PLAIN {}", plain_response(USER, PASSWORD));
    let refused = second.smtp(&login).await;
    assert!(refused[0].starts_with("454 4.7.0"), "{refused:?}");
    first.imap("LOGOUT").await;
    drop(first);
    // As above: the seat is free once the session has ended.
    loop {
        let mut third = Client::plain(proxy.at("SMTP-0")).await;
        third.line().await;
        third.smtp("EHLO c").await;
        let answer = third.smtp(&login).await;
        if answer[0].starts_with("235") {
            break;
        }
        assert!(answer[0].starts_with("454"), "{answer:?}");
    }
}

#[tokio::test]
async fn clients_from_elsewhere_are_not_heard() {
    let provider = Provider::start().await;
    let (there, here) = (provider.imap, provider.pop);
    let account = support::daemon::app(&provider, USER) + "\nallow_from = 10.0.0.0/8\n";
    let proxy = Plan::bare(&provider.world.authority)
        .service("IMAP-0", there, "allow_from = 10.0.0.0/8 fd00::/8")
        .service("POP-0", here, "allow_from = 127.0.0.0/8")
        .section(&account)
        .app(&provider, "other@example.com")
        .start();
    let mut client = Client::plain(proxy.at("IMAP-0")).await;
    assert!(client.rest().await.is_empty());
    let mut client = Client::plain(proxy.at("POP-0")).await;
    client.line().await;
    for (user, answer) in [(USER, "-ERR [AUTH]"), ("other@example.com", "+OK")] {
        client.ask(&format!("USER {user}")).await;
        let heard = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(heard.starts_with(answer), "{user}: {heard}");
    }
}
