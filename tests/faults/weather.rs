//! Lines that are slow, crumble, or change a byte inside TLS.

use std::time::Duration;

use super::chaos::{End, Relay, Way, Weather};
use super::dialogue::converse;
use super::dice::Dice;
use super::machine::Machine;
use super::support::daemon::Plan;
use super::support::provider::Provider;
use super::{SECTIONS, USER};

/// Starts the program with a relay before each mail server, and one before each of its own ports.
async fn between_relays() -> (Machine, Vec<(&'static str, Relay, Relay)>) {
    let provider = Provider::start().await;
    let mut plan = Plan::bare(&provider.world.authority).app(&provider, USER);
    let mut behind = Vec::new();
    for (section, server) in SECTIONS
        .into_iter()
        .zip([provider.imap, provider.pop, provider.smtp])
    {
        let relay = Relay::to(server, None).await;
        plan = plan.service(section, relay.address, "");
        behind.push((section, relay));
    }
    let machine = Machine::of(provider, plan, &[], &[]).await;
    machine.assert_serves().await;
    let mut relays = Vec::new();
    for (section, relay) in behind {
        relays.push((section, Relay::to(machine.at(section), None).await, relay));
    }
    (machine, relays)
}

fn thrown(dice: &mut Dice) -> Way {
    Way {
        at: None,
        crumbs: dice.below(2) == 0,
        delay: Duration::from_millis(dice.below(8) as u64),
        width: (dice.below(3) == 0).then(|| 64 + dice.below(400)),
    }
}

#[tokio::test]
async fn slow_narrow_and_crumbling_lines_change_nothing_that_is_said() {
    let mut dice = Dice::thrown();
    let (machine, relays) = between_relays().await;
    for _ in 0..4 {
        let mut talking = Vec::new();
        for (section, near, far) in &relays {
            for relay in [near, far] {
                let (up, down) = (thrown(&mut dice), thrown(&mut dice));
                relay.turn(Weather { up, down });
            }
            let (section, at) = (*section, near.address);
            talking.push((section, tokio::spawn(converse(section, at, USER))));
        }
        for (section, one) in talking {
            let heard = one.await.unwrap();
            assert!(
                heard.is_in() && heard.goodbye,
                "{section}: {heard:?}\n{}",
                machine.log()
            );
        }
    }
    // The token was asked for once, and nobody thought a slow line a refusal.
    assert_eq!(machine.provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn a_byte_changed_inside_the_handshake_is_noticed_and_no_token_shown() {
    let mut dice = Dice::thrown();
    let (machine, relays) = between_relays().await;
    let mut waiting = Vec::new();
    for (section, near, far) in &relays {
        for turn in 0..6 {
            // The first 200 bytes of the client's and 1,000 of the server's words belong to the handshake.
            far.turn(if turn % 2 == 0 {
                Weather::up(dice.below(200), End::Corrupt)
            } else {
                Weather::down(dice.below(1_000), End::Corrupt)
            });
            let (accepted, at, section) = (far.accepted(), near.address, *section);
            waiting.push((
                section,
                turn,
                tokio::spawn(async move { converse(section, at, USER).await }),
            ));
            machine
                .until("dialled", |_| far.accepted() > accepted)
                .await;
        }
        far.turn(Weather::default());
    }
    for (section, turn, one) in waiting {
        let heard = one.await.unwrap();
        assert!(
            heard.is_later(),
            "{section} {turn}: {heard:?}\n{}",
            machine.log()
        );
    }
    machine.assert_serves().await;
    assert_eq!(machine.provider.world.register.requests().len(), 1);
}
