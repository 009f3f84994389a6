//! Every dialogue cut at every byte: the client hears a proper end or a visible cut, nobody else notices, nothing is lost.
//!
//! A sample of the bytes unless `EMAILPROXY_FAULTS=all`.

use std::net::SocketAddr;

use super::chaos::{End, Relay, Weather};
use super::dialogue::converse;
use super::dice::Dice;
use super::machine::{Machine, is_root};
use super::support::daemon::{Plan, app};
use super::support::provider::{Provider, Shape};
use super::{SECTIONS, USER};

/// How many positions of each conversation are a sample.
const SOME: usize = 10;

/// How many where each costs a new account, whose password is proven slowly.
const FEW: usize = 3;

/// Starts the program with a relay before each mail server, which cuts inside TLS unless that begins by STARTTLS.
async fn behind_relays(starttls: bool) -> (Machine, Vec<(&'static str, Relay)>) {
    let provider = Provider::build(Shape { starttls }).await;
    let authority = &provider.world.authority;
    let mut plan = Plan::bare(authority).app(&provider, USER);
    let mut relays = Vec::new();
    for (section, server) in SECTIONS
        .into_iter()
        .zip([provider.imap, provider.pop, provider.smtp])
    {
        let relay = Relay::to(server, (!starttls).then_some(authority)).await;
        let more = format!("server_starttls = {starttls}");
        plan = plan.service(section, relay.address, &more);
        relays.push((section, relay));
    }
    let machine = Machine::of(provider, plan, &[], &[]).await;
    machine.assert_serves().await;
    (machine, relays)
}

#[tokio::test]
async fn a_server_cut_before_or_within_its_starttls_costs_one_login() {
    let mut dice = Dice::thrown();
    let (machine, relays) = behind_relays(true).await;
    for (section, relay) in &relays {
        // Plain words are some 50 bytes up and 200 down; then comes the handshake.
        let ups = dice.positions(300, SOME / 2);
        let downs = dice.positions(1_500, SOME);
        let ups = ups.into_iter().map(|at| Weather::up(at, End::Fin));
        let downs = downs.into_iter().map(|at| Weather::down(at, End::Fin));
        for weather in ups.chain(downs) {
            relay.turn(weather);
            let heard = machine.converse(section, USER).await;
            assert!(
                heard.is_later(),
                "{section} {weather:?}: {heard:?}\n{}",
                machine.log()
            );
        }
        relay.turn(Weather::default());
        let heard = machine.converse(section, USER).await;
        assert!(heard.is_in() && heard.goodbye, "{section}: {heard:?}");
    }
    assert_eq!(machine.provider.world.register.requests().len(), 1);
    assert!(
        !machine
            .provider
            .world
            .journal
            .holds("plain text behind STARTTLS")
    );
}

#[tokio::test]
async fn a_server_cut_at_any_byte_costs_one_login_and_says_so() {
    if !is_root("looking at another process's descriptors") {
        return;
    }
    let mut dice = Dice::thrown();
    let (machine, relays) = behind_relays(false).await;
    let mut bystander = machine.bystander().await;
    let asked = machine.provider.world.register.requests().len();
    let before = machine.descriptors().len();
    for (section, relay) in &relays {
        machine.converse(section, USER).await;
        let (up, down) = relay.carried();
        assert!(up > 50 && down > 50, "{section}: {up} {down}");
        for end in [End::Fin, End::Reset] {
            let ups = dice
                .positions(up, SOME)
                .into_iter()
                .map(|at| Weather::up(at, end));
            let downs = dice
                .positions(down, SOME)
                .into_iter()
                .map(|at| Weather::down(at, end));
            for weather in ups.chain(downs) {
                relay.turn(weather);
                let heard = machine.converse(section, USER).await;
                assert!(
                    heard.is_in() || heard.is_later(),
                    "{section} {weather:?}: {heard:?}\n{}",
                    machine.log()
                );
                relay.turn(Weather::default());
                let heard = machine.converse(section, USER).await;
                assert!(
                    heard.is_in() && heard.goodbye,
                    "{section} behind {weather:?}: {heard:?}"
                );
            }
        }
        bystander.assert_well().await;
    }
    let asked_since = machine.provider.world.register.requests().len() - asked;
    assert_eq!(asked_since, 0, "the token was good all the time");
    machine.gives_back(before).await;
    assert_eq!(machine.says("broke down"), 0, "{}", machine.log());
}

#[tokio::test]
async fn a_client_cut_at_any_byte_leaves_nothing_behind() {
    if !is_root("looking at another process's descriptors") {
        return;
    }
    let mut dice = Dice::thrown();
    // A session behind its login ends a second after its client, and the next cut does not wait for that.
    let machine = Machine::start_as(&[], &[], |plan, _| {
        plan.option("max_connections = 5000\nmax_connections_per_account = 5000")
    })
    .await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let asked = machine.provider.world.register.requests().len();
    let before = machine.descriptors().len();
    for section in SECTIONS {
        let relay = Relay::to(machine.at(section), None).await;
        converse(section, relay.address, USER).await;
        let (up, down) = relay.carried();
        assert!(up > 20 && down > 50, "{section}: {up} {down}");
        for end in [End::Fin, End::Reset] {
            let ups = dice
                .positions(up, SOME)
                .into_iter()
                .map(|at| Weather::up(at, end));
            let downs = dice
                .positions(down, SOME)
                .into_iter()
                .map(|at| Weather::down(at, end));
            for weather in ups.chain(downs) {
                relay.turn(weather);
                converse(section, relay.address, USER).await;
            }
        }
        let heard = machine.converse(section, USER).await;
        assert!(
            heard.is_in() && heard.goodbye,
            "{section}: {heard:?}\n{}",
            machine.log()
        );
        bystander.assert_well().await;
    }
    assert_eq!(machine.provider.world.register.requests().len(), asked);
    machine.gives_back(before).await;
    machine
        .until("let its servers go", |machine| {
            machine.provider.world.open() == 1
        })
        .await;
    assert_eq!(machine.says("broke down"), 0, "{}", machine.log());
}

#[tokio::test]
async fn a_token_endpoint_cut_at_any_byte_is_a_passing_trouble() {
    let mut dice = Dice::thrown();
    let provider = Provider::start().await;
    let relay = Relay::to(provider.oauth, None).await;
    let account = app(&provider, "@example.com")
        .replace(&provider.oauth.to_string(), &relay.address.to_string());
    let plan = Plan::for_provider(&provider)
        .option("allow_catch_all_accounts = True")
        .section(&account);
    let machine = Machine::of(provider, plan, &[], &[]).await;
    let heard = machine.converse("POP-0", "first@example.com").await;
    assert!(heard.is_in(), "{heard:?}\n{}", machine.log());
    let (up, down) = relay.carried();
    let ups = dice
        .positions(up, FEW)
        .into_iter()
        .map(|at| Weather::up(at, End::Fin));
    let downs = dice
        .positions(down, FEW)
        .into_iter()
        .map(|at| Weather::down(at, End::Reset));
    for (turn, weather) in ups.chain(downs).enumerate() {
        let section = SECTIONS[turn % 3];
        let user = format!("u{turn}@example.com");
        relay.turn(weather);
        let heard = machine.converse(section, &user).await;
        assert!(
            heard.is_in() || heard.is_later(),
            "{section} {weather:?}: {heard:?}\n{}",
            machine.log()
        );
        relay.turn(Weather::default());
        let heard = machine.converse(section, &user).await;
        assert!(
            heard.is_in() && heard.goodbye,
            "{section} behind {weather:?}: {heard:?}"
        );
    }
}

#[tokio::test]
async fn a_direction_that_ends_alone_ends_the_conversation_in_time() {
    let mut dice = Dice::thrown();
    let (machine, relays) = behind_relays(false).await;
    let mut bystander = machine.bystander().await;
    let (mut waiting, mut kept) = (Vec::new(), Vec::new());
    for (section, far) in &relays {
        let near = Relay::to(machine.at(section), None).await;
        let fair = converse(section, near.address, USER).await;
        assert!(fair.is_in() && fair.goodbye, "{section}: {fair:?}");
        for relay in [&near, far] {
            let (up, down) = relay.carried();
            for weather in [
                Weather::up(dice.below(up), End::HalfClose),
                Weather::up(dice.below(up), End::HalfClose),
                Weather::down(dice.below(down), End::HalfClose),
                Weather::down(dice.below(down), End::HalfClose),
            ] {
                relay.turn(weather);
                let accepted = far.accepted();
                let one = spawned(section, near.address);
                // The weather is that of the connection to come; a client that says nothing more gets no server.
                machine
                    .until("dialled or ended", |_| {
                        far.accepted() > accepted || one.is_finished()
                    })
                    .await;
                relay.turn(Weather::default());
                waiting.push((*section, std::ptr::eq(relay, far), weather, one));
            }
        }
        kept.push(near);
    }
    for (section, is_server, weather, one) in waiting {
        let heard = one.await.unwrap();
        assert!(
            !is_server || heard.is_in() || heard.is_later(),
            "{section} {weather:?}: {heard:?}\n{}",
            machine.log()
        );
    }
    machine.assert_serves().await;
    bystander.assert_well().await;
    machine
        .until("let its servers go", |machine| {
            machine.provider.world.open() == 1
        })
        .await;
}

#[tokio::test]
async fn who_falls_silent_in_the_middle_is_waited_for_no_longer_than_its_deadline() {
    let (machine, relays) = behind_relays(false).await;
    let mut bystander = machine.bystander().await;
    let mut waiting = Vec::new();
    for (section, relay) in &relays {
        let at = machine.at(section);
        let downs = [0, 1, 15].map(|at| Weather::down(at, End::Stall));
        let ups = [0, 1, 20].map(|at| Weather::up(at, End::Stall));
        for weather in downs.into_iter().chain(ups) {
            relay.turn(weather);
            let accepted = relay.accepted();
            waiting.push((section, weather, spawned(section, at)));
            // The weather is that of the connection to come.
            machine
                .until("dialled", |_| relay.accepted() > accepted)
                .await;
        }
        relay.turn(Weather::default());
    }
    machine.assert_serves().await;
    bystander.assert_well().await;
    let stalled = clients_in_mid_line(&machine).await;
    for (section, weather, one) in waiting {
        let heard = one.await.unwrap();
        assert!(
            heard.is_later(),
            "{section} {weather:?}: {heard:?}\n{}",
            machine.log()
        );
    }
    for one in stalled {
        let heard = one.await.unwrap();
        assert!(
            heard.login.is_none() && !heard.lines.is_empty(),
            "{heard:?}"
        );
    }
    machine.assert_serves().await;
}

/// Has clients of each protocol fall silent within a line.
async fn clients_in_mid_line(
    machine: &Machine,
) -> Vec<tokio::task::JoinHandle<super::dialogue::Heard>> {
    let mut stalled = Vec::new();
    for section in SECTIONS {
        let relay = Relay::to(machine.at(section), None).await;
        relay.turn(Weather::up(3, End::Stall));
        stalled.push(tokio::spawn(async move {
            let heard = converse(section, relay.address, USER).await;
            drop(relay);
            heard
        }));
    }
    stalled
}

fn spawned(
    section: &'static str,
    at: SocketAddr,
) -> tokio::task::JoinHandle<super::dialogue::Heard> {
    tokio::spawn(async move { converse(section, at, USER).await })
}
