//! A token's life from end to end: ended by the provider before its time, near its end, and after a night of sleep.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::time::Duration;

use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy, free_port};
use support::provider::{Fault, Manner, Provider};

const USER: &str = "person@example.com";
const PASSWORD: &str = "secret";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

/// Logs in at a service and returns its last word, without a tag.
async fn log_in(proxy: &Proxy, section: &str) -> String {
    match section {
        "IMAP-0" => {
            let said = proxy
                .imap()
                .await
                .imap(&format!("LOGIN {USER} {PASSWORD}"))
                .await;
            said.last().unwrap().clone()
        }
        "POP-0" => {
            let mut client = proxy.pop().await;
            client.ask(&format!("USER {USER}")).await;
            client.ask(&format!("PASS {PASSWORD}")).await
        }
        _ => {
            let mut client: Client = proxy.smtp().await;
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

/// Gives consent once, so that the proxy holds tokens.
async fn authorised() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .start();
    let person = proxy.say_yes();
    let said = log_in(&proxy, "IMAP-0").await;
    assert!(went_well(&said), "{said}");
    person.await.unwrap();
    (provider, proxy)
}

/// Lets the proxy's clock go on at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_ended_before_its_time_is_replaced_before_the_client_hears_of_it() {
    let (provider, proxy) = authorised().await;
    let register = &provider.world.register;
    for (count, section) in SECTIONS.into_iter().enumerate() {
        pass(Duration::from_secs(90)).await;
        register.end_access();
        let said = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
        assert_eq!(register.count("refresh_token"), count + 1);
        // It is held from now on.
        let said = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
        assert_eq!(register.count("refresh_token"), count + 1);
    }
    assert_eq!(register.visits().len(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_gets_one_more_and_its_words_are_told() {
    for section in SECTIONS {
        let (provider, proxy) = authorised().await;
        provider
            .world
            .turn(|knobs| knobs.manner = Manner::Challenge);
        pass(Duration::from_secs(90)).await;
        let said = log_in(&proxy, section).await;
        assert!(!went_well(&said), "{section}: {said}");
        assert!(said.contains("refused the login"), "{section}: {said}");
        let said = log_in(&proxy, section).await;
        assert!(!went_well(&said), "{section}: {said}");
        assert_eq!(provider.world.register.count("refresh_token"), 1);
    }
}

#[tokio::test]
async fn a_token_ended_while_the_endpoint_is_in_trouble_is_a_passing_trouble() {
    let (provider, proxy) = authorised().await;
    for section in SECTIONS {
        pass(Duration::from_secs(90)).await;
        provider.world.register.end_access();
        provider.world.turn(|knobs| {
            knobs.token_faults.push_back(Fault::html(502));
        });
        let said = log_in(&proxy, section).await;
        let temporary = ["NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "];
        assert!(
            temporary.iter().any(|begin| said.starts_with(begin)),
            "{said}"
        );
        let said = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}
