//! No descriptor left: clients took them all, or the limit is lower than anybody thought.

use rustix::process::Resource;

use super::machine::{Machine, OTHER, is_root};
use super::support::client::Client;
use super::{PASSWORD, USER};

/// Starts the program below others with so many descriptors.
const FEW: [&str; 3] = ["sh", "-c", "ulimit -n 160 && exec \"$0\" \"$@\""];

#[tokio::test]
async fn clients_that_take_every_seat_leave_the_rest_of_the_program_its_descriptors() {
    if !is_root("looking at another process's descriptors") {
        return;
    }
    let machine = Machine::start_as(&FEW, &[], |plan, _| plan).await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let before = machine.descriptors().len();
    machine.tells("leaves room for 48 connections").await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Client::plain(machine.at("POP-0")).await);
    }
    machine
        .until("turned somebody away", |machine| {
            machine.says("connections are taken") > 0
        })
        .await;
    bystander.assert_well().await;
    machine.assert_idle().await;
    // Commands, and what the log says.
    let status = machine.ask("status").await;
    assert_eq!(status.code, Some(0), "{}", status.printed);
    assert_eq!(
        machine.says("connections are taken"),
        1,
        "{}",
        machine.log()
    );
    // Those who have a seat can log in: dial, token request and store find room.
    let mut seated = crowd.remove(0);
    assert!(seated.line().await.starts_with("+OK"));
    seated.ask(&format!("USER {OTHER}")).await;
    let said = seated.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}\n{}", machine.log());
    drop((crowd, seated));
    machine.gives_back(before).await;
    machine.assert_serves().await;
    machine.gives_back(before).await;
    bystander.assert_well().await;
}

#[tokio::test]
async fn without_a_free_descriptor_sessions_go_on_and_everything_comes_back() {
    if !is_root("limiting another process") {
        return;
    }
    let machine = Machine::start().await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let mut waiting = Client::plain(machine.at("POP-0")).await;
    waiting.line().await;
    waiting.ask(&format!("USER {USER}")).await;
    let open = machine.descriptors();
    let free = (0..4096).find(|number| !open.contains(number)).unwrap();
    let limit = machine.limit(Resource::Nofile, Some(free));
    // Who comes now is not heard, and the log says why, once.
    let mut late = Client::plain(machine.at("SMTP-0")).await;
    machine
        .until("said why", |machine| machine.says("could not accept") > 0)
        .await;
    bystander.assert_well().await;
    machine.assert_idle().await;
    machine.tells("limit of open files").await;
    // Who was here already is told to try again.
    let said = waiting.ask(&format!("PASS {PASSWORD}")).await;
    assert!(
        said.starts_with("-ERR [SYS/TEMP]"),
        "{said}\n{}",
        machine.log()
    );
    machine.tells("Too many open files").await;
    bystander.assert_well().await;
    machine.limit(Resource::Nofile, limit);
    assert!(late.line().await.starts_with("220"));
    waiting.ask(&format!("USER {USER}")).await;
    let said = waiting.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "{said}\n{}", machine.log());
    machine.assert_serves().await;
    bystander.assert_well().await;
}
