//! Many at once: one keeps the others neither waiting nor from an end.

use std::sync::Arc;

use super::support::client::{Client, mail, plain_response};
use super::support::provider::Manner;
use super::{PASSWORD, SECTIONS, USER, call, log_in, ready, until, went_well};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_at_once_make_one_token_request() {
    let (provider, proxy) = ready().await;
    let proxy = Arc::new(proxy);
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(mail("for many", 2_000)), Vec::new());
    let mut crowd = tokio::task::JoinSet::new();
    for turn in 0..50 {
        let proxy = Arc::clone(&proxy);
        crowd.spawn(async move {
            let section = SECTIONS[turn % 3];
            let (mut client, said) = log_in(&proxy, section).await;
            assert!(went_well(&said), "{section}: {said}");
            match section {
                "IMAP-0" => {
                    client.imap("SELECT INBOX").await;
                    assert_eq!(client.imap_body(1).await, mail("for many", 2_000));
                }
                "POP-0" => assert_eq!(client.pop_body(1).await, mail("for many", 2_000)),
                _ => {
                    let said = client
                        .send_mail(USER, &["crowd@example.com"], &mail("crowd", 5_000))
                        .await;
                    assert!(said.starts_with("250"), "{said}");
                }
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(provider.world.register.requests().len(), 1);
    assert_eq!(provider.world.mailboxes.sent().len(), 16);
}

#[tokio::test]
async fn a_silent_server_keeps_nobody_else_waiting() {
    let (provider, proxy) = ready().await;
    let (first, said) = log_in(&proxy, "SMTP-0").await;
    assert!(went_well(&said), "{said}");
    drop(first);
    until(|| provider.world.open() == 0).await;
    provider.world.turn(|knobs| knobs.manner = Manner::Silent);
    let mut waiting = call(&proxy, "SMTP-0").await;
    let response = plain_response(USER, PASSWORD);
    waiting.say(&format!("AUTH PLAIN {response}")).await;
    until(|| provider.world.journal.holds("silence")).await;
    provider.world.turn(|knobs| knobs.manner = Manner::Honest);
    for section in SECTIONS {
        let (_other, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
    // Who gives up waiting takes the server's connection along.
    drop(waiting);
    until(|| provider.world.open() == 0).await;
}

#[tokio::test]
async fn going_down_says_goodbye_before_login_and_lets_sessions_finish() {
    let (_provider, proxy) = ready().await;
    let mut idle = Vec::new();
    for (section, goodbye) in [("IMAP-0", "* BYE"), ("POP-0", ""), ("SMTP-0", "421 ")] {
        let mut client = Client::plain(proxy.at(section)).await;
        client.line().await;
        idle.push((client, goodbye));
    }
    let (mut busy, said) = log_in(&proxy, "IMAP-0").await;
    assert!(went_well(&said), "{said}");
    let stopping = tokio::spawn(proxy.daemon.stop());
    for (client, goodbye) in &mut idle {
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(
            rest.starts_with(*goodbye),
            "{rest:?} instead of {goodbye:?}"
        );
    }
    // What is under way may end by itself.
    let said = busy.imap("LOGOUT").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    stopping.await.unwrap();
}
