//! `early_dial`: the server is connected to as soon as a client that is known begins to log in, and not for anybody else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::time::Duration;

use support::client::{Client, PATIENCE, plain_response};
use support::daemon::{Plan, Proxy, free_port};
use support::provider::{Provider, Shape, Step};
use tokio::time::{sleep, timeout};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";

async fn ready(shape: Shape, option: &str) -> (Provider, Proxy) {
    let provider = Provider::build(shape).await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.option(option).start();
    (provider, proxy)
}

/// Logs in by POP and out again, so that this address is known there.
async fn become_known(provider: &Provider, proxy: &Proxy) {
    let mut client = begun(proxy).await;
    let said = client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}");
    client.ask("QUIT").await;
    client.rest().await;
    until(|| provider.world.open() == 0).await;
}

/// Begins a POP login.
async fn begun(proxy: &Proxy) -> Client {
    let mut client = proxy.pop().await;
    let said = client.ask(&format!("USER {USER}")).await;
    assert!(said.starts_with("+OK"), "{said}");
    client
}

/// Begins a POP login, leaves, and returns how many connections the server took for it in all: when the proxy has ended,
/// none can come any more.
async fn dialled_for_a_beginning(provider: &Provider, proxy: Proxy) -> usize {
    let before = provider.world.accepted("POP");
    let mut client = begun(&proxy).await;
    client.ask("QUIT").await;
    client.rest().await;
    proxy.daemon.stop().await;
    provider.world.accepted("POP") - before
}

/// Waits until something holds; the test's patience ends it.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it never holds");
}

#[tokio::test]
async fn a_known_client_finds_the_server_connected_when_its_password_is_complete() {
    for starttls in [false, true] {
        let (provider, proxy) = ready(Shape { starttls }, "early_dial = True").await;
        become_known(&provider, &proxy).await;
        let heard = provider.world.journal.heard("POP").len();
        let before = provider.world.accepted("POP");
        let mut client = begun(&proxy).await;
        until(|| provider.world.accepted("POP") == before + 1).await;
        assert_eq!(
            provider.world.journal.heard("POP").len(),
            heard,
            "something was said before the password was proven"
        );
        let said = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(said.starts_with("+OK"), "{said}");
        assert!(client.ask("STAT").await.starts_with("+OK"));
        assert_eq!(provider.world.accepted("POP"), before + 1);
        assert!(!provider.world.journal.holds(PASSWORD));
    }
}

#[tokio::test]
async fn each_protocol_knows_where_a_login_begins() {
    let (provider, proxy) = ready(Shape::default(), "early_dial = True").await;
    let mut imap = proxy.imap().await;
    let said = imap.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    let before = provider.world.accepted("IMAP");
    let mut imap = proxy.imap().await;
    assert!(imap.ask("a LOGIN {16}").await.starts_with('+'));
    until(|| provider.world.accepted("IMAP") == before + 1).await;
    imap.say(&format!("{USER} {PASSWORD}")).await;
    let said = imap.until_tagged("a").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.accepted("IMAP"), before + 1);

    let mut smtp = proxy.smtp().await;
    let response = plain_response(USER, PASSWORD);
    let said = smtp.ask(&format!("AUTH PLAIN {response}")).await;
    assert!(said.starts_with("235"), "{said}");
    let before = provider.world.accepted("SMTP");
    let mut smtp = proxy.smtp().await;
    assert!(smtp.ask("AUTH PLAIN").await.starts_with("334"));
    until(|| provider.world.accepted("SMTP") == before + 1).await;
    let said = smtp.ask(&response).await;
    assert!(said.starts_with("235"), "{said}");
    assert_eq!(provider.world.accepted("SMTP"), before + 1);
}

#[tokio::test]
async fn nobody_dials_for_a_stranger() {
    let (provider, proxy) = ready(Shape::default(), "early_dial = True").await;
    // Known at another service is not known at this one.
    let mut imap = proxy.imap().await;
    let said = imap.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    drop(imap);
    drop(proxy.pop().await);
    assert_eq!(dialled_for_a_beginning(&provider, proxy).await, 0);
}

#[tokio::test]
async fn nothing_is_dialled_early_unless_the_file_says_so() {
    let (provider, proxy) = ready(Shape::default(), "").await;
    become_known(&provider, &proxy).await;
    assert_eq!(dialled_for_a_beginning(&provider, proxy).await, 0);
}

#[tokio::test]
async fn a_wrong_password_ends_the_early_connection_and_makes_a_stranger_of_the_client() {
    let (provider, proxy) = ready(Shape::default(), "early_dial = True").await;
    become_known(&provider, &proxy).await;
    let before = provider.world.accepted("POP");
    let mut client = begun(&proxy).await;
    until(|| provider.world.accepted("POP") == before + 1).await;
    let said = client.ask("PASS wrong").await;
    assert!(said.starts_with("-ERR"), "{said}");
    until(|| provider.world.open() == 0).await;
    assert_eq!(provider.world.journal.heard("POP").last().unwrap(), "QUIT");
    drop(client);
    assert_eq!(dialled_for_a_beginning(&provider, proxy).await, 0);
}

#[tokio::test]
async fn the_early_connection_ends_with_its_session() {
    let (provider, proxy) = ready(Shape::default(), "early_dial = True").await;
    become_known(&provider, &proxy).await;
    let before = provider.world.accepted("POP");
    let client = begun(&proxy).await;
    until(|| provider.world.accepted("POP") == before + 1).await;
    drop(client);
    until(|| provider.world.open() == 0).await;
    assert_eq!(dialled_for_a_beginning(&provider, proxy).await, 0);
}

#[tokio::test]
async fn an_early_connection_that_broke_costs_no_login() {
    let (provider, proxy) = ready(Shape::default(), "early_dial = True").await;
    become_known(&provider, &proxy).await;
    let before = provider.world.accepted("POP");
    provider
        .world
        .turn(|knobs| knobs.hang_up_at = Some(Step::Greeting));
    let mut client = begun(&proxy).await;
    until(|| provider.world.accepted("POP") == before + 1).await;
    until(|| provider.world.open() == 0).await;
    provider.world.turn(|knobs| knobs.hang_up_at = None);
    let said = client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}");
    assert_eq!(provider.world.accepted("POP"), before + 2);
}

#[tokio::test]
async fn a_login_that_has_to_begin_tls_first_begins_nothing() {
    let provider = Provider::start().await;
    let tls = provider.world.authority.client();
    let plan = Plan::for_provider(&provider).option("early_dial = True");
    let proxy = plan.app(&provider, USER).local_tls(true).start();
    let mut client = proxy.pop().await;
    assert!(client.ask("STLS").await.starts_with("+OK"));
    let mut client = client.begin_tls(tls).await;
    client.ask(&format!("USER {USER}")).await;
    let said = client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}");
    let before = provider.world.accepted("POP");
    let mut client = proxy.pop().await;
    let said = client.ask(&format!("USER {USER}")).await;
    assert!(said.starts_with("-ERR"), "{said}");
    client.ask("QUIT").await;
    proxy.daemon.stop().await;
    assert_eq!(provider.world.accepted("POP"), before);
}

#[tokio::test]
async fn nothing_is_dialled_early_while_consent_is_pending() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).option("early_dial = True");
    let plan = plan.app(&provider, USER);
    let proxy = plan
        .person(&provider, "person@example.com", free_port())
        .start();
    become_known(&provider, &proxy).await;
    let mut waits = proxy.imap().await;
    waits.say("a LOGIN person@example.com secret").await;
    proxy.asked().await;
    assert_eq!(dialled_for_a_beginning(&provider, proxy).await, 0);
}
