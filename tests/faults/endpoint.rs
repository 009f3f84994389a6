//! The token endpoint in trouble: down, slow, odd, and a definite no.

use std::time::Duration;

use super::support::client::Client;
use super::support::daemon::Plan;
use super::support::logs::Logs;
use super::support::provider::{Fault, Provider};
use super::{SECTIONS, USER, is_temporary, log_in, log_in_again, ready, went_well};

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_a_passing_trouble() {
    let (provider, proxy) = ready().await;
    for section in SECTIONS {
        for fault in [
            Fault::html(502),
            Fault::html(200),
            Fault::json(500, "server_error", "something broke"),
            Fault::json(503, "temporarily_unavailable", "try later"),
        ] {
            provider.world.turn(|knobs| {
                knobs
                    .token_faults
                    .extend([fault.clone(), fault.clone(), fault.clone()]);
            });
            let logs = Logs::catch();
            let (_client, said) = log_in(&proxy, section).await;
            assert!(is_temporary(&said), "{section} {fault:?}: {said}");
            let status = fault.status.to_string();
            assert!(
                logs.hold(&status) || logs.hold("server_error") || fault.status == 200,
                "{}",
                logs.text()
            );
            provider.world.turn(|knobs| knobs.token_faults.clear());
        }
    }
    for section in SECTIONS {
        let (_client, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_definite_no_of_the_token_endpoint_names_its_reason() {
    for section in SECTIONS {
        let (provider, proxy) = ready().await;
        let fault = Fault::json(
            401,
            "invalid_client",
            "AADSTS7000222: The secret has expired",
        );
        provider.world.turn(|knobs| {
            knobs
                .token_faults
                .extend([fault.clone(), fault.clone(), fault]);
        });
        let (mut client, said) = log_in(&proxy, section).await;
        assert!(said.contains("AADSTS7000222"), "{section}: {said}");
        assert!(
            !is_temporary(&said) && !went_well(&said),
            "{section}: {said}"
        );
        provider.world.turn(|knobs| knobs.token_faults.clear());
        let said = log_in_again(&mut client, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_slow_token_endpoint_is_waited_for() {
    let (provider, proxy) = ready().await;
    provider
        .world
        .turn(|knobs| knobs.token_delay = Duration::from_millis(700));
    let (_client, said) = log_in(&proxy, "SMTP-0").await;
    assert!(went_well(&said), "{said}");
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_a_passing_trouble() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.start();
    // The mail servers are heard once, so that only the token endpoint is missed below.
    for section in SECTIONS {
        drop(Client::plain(proxy.at(section)).await.line().await);
    }
    provider.vanish();
    for section in SECTIONS {
        let (_client, said) = log_in(&proxy, section).await;
        assert!(is_temporary(&said), "{section}: {said}");
        assert!(said.contains("token endpoint"), "{section}: {said}");
    }
}
