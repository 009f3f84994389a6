//! What goes wrong in the world: servers and endpoints that are down, slow or odd, lines that break at any byte, strangers
//! at the door, crowds, and a machine that runs out of descriptors, memory, disk, names or a reader of its log.
//!
//! `EMAILPROXY_FAULTS=all` plays every byte position instead of a sample; `EMAILPROXY_SEED=N` plays that sample again. The
//! seed is printed by every test that throws dice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "this is a test"
)]

use std::time::Duration;

use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy};
use support::provider::Provider;
use tokio::time::Instant;

mod chaos;
mod clients;
mod crowds;
mod cuts;
mod dialogue;
mod dice;
mod endpoint;
#[path = "../support/program.rs"]
mod program;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod weather;

#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
mod floods;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod pipes;
#[cfg(target_os = "linux")]
mod silence;

/// The account.
const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

/// Logs in at a service and returns its last word, without a tag.
async fn log_in(proxy: &Proxy, section: &str) -> (Client, String) {
    let mut client = call(proxy, section).await;
    let said = log_in_again(&mut client, section).await;
    (client, said)
}

/// Connects to a service and hears its greeting.
async fn call(proxy: &Proxy, section: &str) -> Client {
    match section {
        "IMAP-0" => proxy.imap().await,
        "POP-0" => proxy.pop().await,
        _ => proxy.smtp().await,
    }
}

async fn log_in_again(client: &mut Client, section: &str) -> String {
    match section {
        "IMAP-0" => {
            let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
            said.last().unwrap().clone()
        }
        "POP-0" => {
            assert!(client.ask(&format!("USER {USER}")).await.starts_with("+OK"));
            client.ask(&format!("PASS {PASSWORD}")).await
        }
        _ => {
            let response = plain_response(USER, PASSWORD);
            let said = client.smtp(&format!("AUTH PLAIN {response}")).await;
            said.last().unwrap().clone()
        }
    }
}

fn went_well(said: &str) -> bool {
    ["OK", "+OK", "235"]
        .iter()
        .any(|begin| said.starts_with(begin))
}

/// Whether a reply tells the client that it is worth trying again.
fn is_temporary(said: &str) -> bool {
    ["NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "]
        .iter()
        .any(|begin| said.starts_with(begin))
}

/// Waits until something is so, without a fixed pause; fails when it does not come about.
async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + support::client::PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
