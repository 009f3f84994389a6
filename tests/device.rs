//! Device codes from end to end: a login waits while somebody approves its code elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use emailproxy::accounts::Pending;
use support::client::Client;
use support::daemon::{Plan, Proxy, visit};
use support::logs::Logs;
use support::provider::{CLIENT_ID, Provider, SCOPE};

const USER: &str = "person@example.com";

/// The name of the grant (RFC 8628 section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Starts a proxy whose one account signs in by device code, at the address that `place` words.
async fn ready(place: impl Fn(&Provider) -> String) -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let account = format!(
        "[{USER}]\n{}oauth2_flow = device\noauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\n",
        place(&provider)
    );
    let proxy = Plan::for_provider(&provider).section(&account).start();
    (provider, proxy)
}

fn by_issuer(provider: &Provider) -> String {
    format!("issuer = {}\n", provider.issuer())
}

async fn log_in(proxy: &Proxy) -> Client {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    client
}

#[tokio::test]
async fn a_login_waits_until_its_code_is_approved() {
    // Found at the issuer, or where the predecessor's files have it.
    let by_address = |provider: &Provider| {
        format!(
            "permission_url = http://{}/devicecode\ntoken_url = {}\n",
            provider.oauth,
            provider.token_url()
        )
    };
    for by_file in [false, true] {
        let logs = Logs::catch();
        let (provider, proxy) = if by_file {
            ready(by_address).await
        } else {
            ready(by_issuer).await
        };
        // Polls are five seconds apart at least.
        if !by_file {
            let errors = vec!["authorization_pending"];
            provider
                .world
                .turn(|knobs| knobs.openid.poll_errors = errors);
        }
        let mut client = log_in(&proxy).await;
        let url = proxy.asked().await;
        let (place, code) = url.split_once("?user_code=").unwrap();
        assert!(
            logs.hold(&format!("Visit {place} and use code {code}")),
            "{}",
            logs.text()
        );
        let page = visit(&url).await;
        assert!(page.contains("thank you"), "{page}");
        let said = client.until_tagged("x").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");

        let requests = provider.world.register.requests();
        assert_eq!(requests.len(), 2 - usize::from(by_file), "{requests:?}");
        for request in &requests {
            assert_eq!(request["grant_type"], GRANT);
            assert!(
                !logs.hold(&request["device_code"]),
                "a secret is in the log"
            );
        }
        assert_eq!(provider.world.devices.documents(), usize::from(!by_file));

        // The tokens are kept like all others.
        let proxy = proxy.restart().await;
        let said = log_in(&proxy).await.until_tagged("x").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    }
}

#[tokio::test]
async fn a_code_that_is_declined_ends_the_login_in_words() {
    let (provider, proxy) = ready(by_issuer).await;
    provider.world.turn(|knobs| knobs.openid.declines = true);
    let mut client = log_in(&proxy).await;
    visit(&proxy.asked().await).await;
    let said = client.until_tagged("x").await.pop().unwrap();
    assert!(
        said.starts_with("NO ") && said.contains("said no"),
        "{said}"
    );
}

#[tokio::test]
async fn a_code_that_ran_out_is_followed_by_another_while_a_login_waits() {
    let (provider, proxy) = ready(by_issuer).await;
    let mut client = log_in(&proxy).await;
    let first = proxy.asked().await;
    provider
        .world
        .turn(|knobs| knobs.openid.poll_errors = vec!["expired_token"]);
    let mut pending = proxy.daemon.accounts.pending();
    let second = {
        let another = |asked: &Vec<Pending>| asked.iter().any(|asked| asked.url != first);
        pending.wait_for(another).await.unwrap()[0].url.clone()
    };
    visit(&second).await;
    let said = client.until_tagged("x").await.pop().unwrap();
    assert!(said.starts_with("OK"), "{said}");
}
