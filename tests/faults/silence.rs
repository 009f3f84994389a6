//! Peers that accept and then say nothing, or read nothing.

use std::sync::Arc;
use std::time::Duration;

use super::dialogue::converse;
use super::machine::{Machine, OTHER};
use super::support::client::{Client, mail};
use super::{PASSWORD, USER};

/// How many wait for somebody who says nothing; one account may have 100 connections.
const CROWD: usize = 90;

#[tokio::test]
async fn servers_that_accept_and_say_nothing_keep_nobody_else_waiting() {
    let machine = Machine::start().await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let world = &machine.provider.world;
    world.turn(|knobs| knobs.mute = true);
    let at = machine.at("POP-0");
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| tokio::spawn(async move { converse("POP-0", at, USER).await }))
        .collect();
    machine
        .until("dialled", |machine| machine.provider.world.open() > CROWD)
        .await;
    world.turn(|knobs| knobs.mute = false);
    machine.assert_serves().await;
    bystander.assert_well().await;
    for one in crowd {
        let heard = one.await.unwrap();
        assert!(heard.is_later(), "{heard:?}\n{}", machine.log());
    }
    machine
        .until("said why", |machine| machine.says("took too long") >= CROWD)
        .await;
    machine.assert_serves().await;
}

#[tokio::test]
async fn a_token_endpoint_that_says_nothing_keeps_its_own_account_waiting_only() {
    let machine = Machine::start().await;
    let world = &machine.provider.world;
    world.turn(|knobs| knobs.token_delay = Duration::from_secs(3600));
    let at = machine.at("SMTP-0");
    let crowd: Vec<_> = (0..CROWD / 2)
        .map(|_| tokio::spawn(async move { converse("SMTP-0", at, OTHER).await }))
        .collect();
    machine
        .until("asked", |machine| {
            !machine.provider.world.register.requests().is_empty()
        })
        .await;
    world.turn(|knobs| knobs.token_delay = Duration::ZERO);
    machine.assert_serves().await;
    for one in crowd {
        let heard = one.await.unwrap();
        assert!(heard.is_later(), "{heard:?}\n{}", machine.log());
    }
    let heard = machine.converse("SMTP-0", OTHER).await;
    assert!(
        heard.is_in() && heard.goodbye,
        "{heard:?}\n{}",
        machine.log()
    );
}

#[tokio::test]
async fn clients_that_read_nothing_take_neither_memory_nor_time_of_others() {
    let machine = Machine::start().await;
    let big = Arc::new(mail("never read", 20_000_000));
    let mailboxes = &machine.provider.world.mailboxes;
    mailboxes.put(USER, "INBOX", big, Vec::new());
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let before = machine.status("VmRSS");
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut client = Client::plain(machine.at("IMAP-0")).await;
        client.line().await;
        client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        client.imap("SELECT INBOX").await;
        client.say("b FETCH 1 BODY.PEEK[]").await;
        deaf.push(client);
    }
    for _ in 0..5 {
        machine.assert_serves().await;
        bystander.assert_well().await;
    }
    let more = machine.status("VmRSS").saturating_sub(before);
    // Two buffers of 64 KiB each, TLS, and what the allocator rounds up to.
    assert!(more < 20 * 512, "{more} KiB more for 20 clients");
    drop(deaf);
    machine
        .until("let the deaf go", |machine| {
            machine.provider.world.open() == 1
        })
        .await;
    machine.assert_serves().await;
}
