//! Accounts that name an issuer: from its discovery document to a login, and answers that come from somebody else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::path::Path;

use emailproxy::config::{Complaint, Config, GrantKind};
use serde_json::json;
use support::client::Client;
use support::daemon::{Plan, Proxy, free_port, visit};
use support::logs::Logs;
use support::provider::openid::TENANT;
use support::provider::{CLIENT_ID, Fault, OpenId, Provider, SCOPE};

const USER: &str = "person@example.com";

/// Starts a provider that behaves as told, and a proxy whose one account names nothing but the issuer.
async fn ready(openid: OpenId) -> (Provider, Proxy) {
    let provider = Provider::start().await;
    provider.world.turn(|knobs| knobs.openid = openid);
    let proxy = planned(&provider);
    (provider, proxy)
}

fn planned(provider: &Provider) -> Proxy {
    let account = format!(
        "[{USER}]\nissuer = {}\noauth2_scope = {SCOPE}\nredirect_uri = http://localhost:{}\nclient_id = {CLIENT_ID}\n",
        provider.issuer(),
        free_port()
    );
    Plan::for_provider(provider).section(&account).start()
}

/// Begins a login, gives consent, and returns the page and the login's tagged reply.
async fn signed_in(proxy: &Proxy) -> (String, String) {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    let page = visit(&proxy.asked().await).await;
    (page, reply(&mut client).await)
}

async fn reply(client: &mut Client) -> String {
    client.until_tagged("x").await.pop().unwrap()
}

async fn log_in(proxy: &Proxy) -> String {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    reply(&mut client).await
}

#[tokio::test]
async fn an_issuer_is_all_that_a_login_needs() {
    let (provider, proxy) = ready(OpenId {
        path: "/realms/mail",
        document: Some(json!({"authorization_response_iss_parameter_supported": true})),
        answers_as: Some("HERE/realms/mail".into()),
        claims: Some(json!({"preferred_username": USER})),
        ..OpenId::default()
    })
    .await;
    // Old from the start, so that a later login finds it too old.
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let (page, said) = signed_in(&proxy).await;
    assert!(page.contains("succeeded"), "{page}");
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(
        provider.world.register.visits()[0]["code_challenge_method"],
        "S256"
    );
    assert_eq!(provider.world.devices.documents(), 1, "it is kept");

    // After a restart a refresh needs the document again.
    let proxy = proxy.restart().await;
    let before = provider.world.register.count("refresh_token");
    provider.world.turn(|knobs| knobs.lifetime = Some(3600));
    let said = log_in(&proxy).await;
    assert!(said.starts_with("OK"), "{said}");
    let renewed = provider.world.register.count("refresh_token");
    assert_eq!(renewed, before + 1);
    assert_eq!(provider.world.devices.documents(), 2);
}

#[tokio::test]
async fn an_answer_of_somebody_else_takes_nothing() {
    let logs = Logs::catch();
    let (provider, proxy) = ready(OpenId {
        answers_as: Some("https://evil.example".into()),
        ..OpenId::default()
    })
    .await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(page.contains("failed"), "{page}");
    for issuer in ["https://evil.example", &provider.issuer()] {
        assert!(page.contains(issuer), "{issuer} is not on the page: {page}");
        assert!(logs.hold(issuer), "{issuer} is not in the log");
    }
    // An error of somebody else's is not believed either.
    provider
        .world
        .turn(|knobs| knobs.consent_error = Some(("access_denied", "ha ha")));
    let page = visit(&proxy.asked().await).await;
    assert!(
        page.contains("evil.example") && !page.contains("ha ha"),
        "{page}"
    );
    assert!(
        provider.world.register.requests().is_empty(),
        "the code was used"
    );

    // The login still waits for the one answer that fits.
    provider.world.turn(|knobs| {
        knobs.consent_error = None;
        knobs.openid.answers_as = Some("HERE".into());
    });
    visit(&proxy.asked().await).await;
    let said = reply(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
}

#[tokio::test]
async fn an_answer_without_the_promised_name_takes_nothing() {
    let (provider, proxy) = ready(OpenId {
        document: Some(json!({"authorization_response_iss_parameter_supported": true})),
        ..OpenId::default()
    })
    .await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(page.contains("does not say who sent it"), "{page}");
    assert!(
        provider.world.register.requests().is_empty(),
        "the code was used"
    );
    provider
        .world
        .turn(|knobs| knobs.openid.answers_as = Some("HERE".into()));
    visit(&proxy.asked().await).await;
    let said = reply(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
}

#[tokio::test]
async fn a_shared_tenants_issuer_stands_for_each_of_its_tenants() {
    let shared = |answers_as: &str, tenant: &str| OpenId {
        path: "/common/v2.0",
        answers_as: Some(format!("HERE/{answers_as}/v2.0")),
        claims: Some(json!({"preferred_username": USER, "tid": tenant})),
        ..OpenId::default()
    };
    let other = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let (_provider, proxy) = ready(shared(TENANT, TENANT)).await;
    let (page, said) = signed_in(&proxy).await;
    assert!(said.starts_with("OK"), "{said}");
    assert!(page.contains("succeeded"), "{page}");
    // Another tenant's answer with this one's token, and a token at odds with itself.
    for openid in [shared(other, TENANT), shared(TENANT, other)] {
        let (_provider, proxy) = ready(openid.clone()).await;
        let (page, said) = signed_in(&proxy).await;
        assert!(said.starts_with("NO "), "{openid:?}: {said}");
        assert!(page.contains("failed"), "{openid:?}: {page}");
    }
    // A name where an id should be: nothing is taken, and the login goes on waiting.
    let (provider, proxy) = ready(shared("common", TENANT)).await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(page.contains("failed"), "{page}");
    assert!(provider.world.register.requests().is_empty());
}

#[tokio::test]
async fn an_id_token_of_or_for_somebody_else_is_refused() {
    for (openid, word) in [
        (
            OpenId {
                claims: Some(json!({"email": USER})),
                signs_as: Some("https://evil.example".into()),
                ..OpenId::default()
            },
            "evil.example",
        ),
        (
            OpenId {
                claims: Some(json!({"email": USER, "aud": "another-app"})),
                ..OpenId::default()
            },
            "another-app",
        ),
    ] {
        let (_provider, proxy) = ready(openid).await;
        let (page, said) = signed_in(&proxy).await;
        assert!(page.contains("failed") && page.contains(word), "{page}");
        assert!(said.starts_with("NO "), "{said}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_used_is_told_to_the_client() {
    for (openid, words) in [
        (
            OpenId {
                fault: Some(Fault::html(404)),
                ..OpenId::default()
            },
            "`issuer`",
        ),
        (
            OpenId {
                document: Some(json!({"issuer": "https://evil.example"})),
                ..OpenId::default()
            },
            "https://evil.example",
        ),
    ] {
        let (provider, proxy) = ready(openid).await;
        let said = log_in(&proxy).await;
        assert!(
            said.starts_with("NO [") && said.contains("issuer"),
            "{said}"
        );
        let logs = proxy.daemon.accounts.pending();
        assert!(logs.borrow().is_empty(), "somebody was asked for consent");
        assert!(provider.world.register.visits().is_empty(), "{words}");
    }
}

fn complaints(account: &str) -> Vec<Complaint> {
    let text = format!("[IMAP-0]\nserver_address = a.example\nserver_port = 993\n{account}");
    Config::parse(Path::new("test.ini"), text.as_bytes()).expect_err("a complaint")
}

#[test]
fn an_issuer_that_cannot_be_one_is_complained_about_with_its_line() {
    for (issuer, words) in [
        ("http://idp.example", "must begin with https://"),
        ("idp.example", "is no web address"),
        ("https://idp.example/?tenant=1", "an address alone"),
        (
            "https://idp.example/a/.well-known/openid-configuration",
            "write the issuer alone: `https://idp.example/a`",
        ),
    ] {
        let said = complaints(&format!("[u@e.org]\nclient_id = id\nissuer = {issuer}\n"));
        let found = said.iter().find(|complaint| complaint.line == 6);
        let text = &found.unwrap_or_else(|| panic!("{issuer}: {said:?}")).text;
        assert!(
            text.starts_with("issuer: ") && text.contains(words),
            "{text}"
        );
    }
}

#[test]
fn an_issuer_takes_the_place_of_addresses() {
    let account = |more: &str| {
        let text = format!(
            "[IMAP-0]\nserver_address = a.example\nserver_port = 993\n\
             [u@e.org]\nclient_id = id\noauth2_scope = openid\nissuer = https://idp.example/a\n{more}"
        );
        let config = Config::parse(Path::new("test.ini"), text.as_bytes()).unwrap();
        config.account("u@e.org").unwrap()
    };
    let plain = account("");
    assert_eq!(plain.grant, GrantKind::AuthorizationCode);
    assert_eq!(plain.issuer.as_deref(), Some("https://idp.example/a"));
    assert_eq!((plain.permission_url, &*plain.token_url), (None, ""));
    assert_eq!(account("oauth2_flow = device\n").grant, GrantKind::Device);
    let app = account("oauth2_flow = client_credentials\nclient_secret = s\n");
    assert_eq!(app.grant, GrantKind::ClientCredentials);
}
