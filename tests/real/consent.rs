//! A person consents once in the browser; after that, tokens are renewed without them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::browser;
use crate::client;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{self, Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

#[tokio::test]
async fn the_waiting_login_goes_through_when_the_person_consents() {
    let Some(stage) = Stage::set("consent", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.person(USER, ports::free())).await;
    let page = first_login(&proxy).await;
    assert!(page.contains("succeeded"), "{page}");
    let grants = stage.oidc.grants();
    assert_eq!(grants.len(), 1, "{grants:?}");
    assert_eq!(grants[0]["grant"], "authorization_code");
    assert_eq!(grants[0]["verifier"], true, "PKCE is used");

    proxy.kept_secrets(&stage);

    // The consent outlives the program, sealed with the mail password.
    proxy.stop();
    let sealed = std::fs::read_to_string(proxy::store(&stage)).unwrap();
    for secret in stage.oidc.secrets() {
        assert!(
            !sealed.contains(&secret),
            "the store holds a secret in the clear"
        );
    }
    let proxy = Proxy::start_again(&stage, &services).await;
    login(&proxy).await;
    let codes = stage.oidc.granted("authorization_code");
    assert_eq!(codes, 1, "nobody had to consent a second time");
}

#[tokio::test]
async fn rotated_refresh_tokens_are_kept_through_many_renewals_and_restarts() {
    // Used twice, a rotated refresh token would cost the person their consent.
    let manners = Manners {
        access_seconds: 5,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("consent", &["python3"], manners).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let accounts = stage.oidc.person(USER, ports::free());
    let mut proxy = Proxy::start(&stage, &services, &accounts).await;
    first_login(&proxy).await;
    for round in 1..=3 {
        let before = stage.oidc.granted("refresh_token");
        // Twenty at once, when the access token has just run out.
        let crowd =
            json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap(), "count": 20 });
        until_renewed(&stage, &proxy, before).await;
        client::python("crowd.py", &crowd).await;
        proxy.stop();
        proxy = Proxy::start_again(&stage, &services).await;
        login(&proxy).await;
        assert!(
            stage.oidc.granted("refresh_token") > before,
            "round {round}: no renewal"
        );
    }
    assert_eq!(stage.oidc.granted("authorization_code"), 1);
    proxy.kept_secrets(&stage);
}

#[tokio::test]
async fn a_bare_oauth2_server_is_known_by_its_endpoints_alone() {
    let manners = Manners {
        plain: true,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("consent", &["python3"], manners).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.person(USER, ports::free())).await;
    let page = first_login(&proxy).await;
    assert!(page.contains("succeeded"), "{page}");
    assert_eq!(
        stage.oidc.grants()[0]["idToken"],
        false,
        "this server gives no ID token"
    );
    login(&proxy).await;
}

#[tokio::test]
async fn who_declines_is_told_and_the_login_ends() {
    let Some(stage) = Stage::set("consent", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.person(USER, ports::free())).await;
    let settings = json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap() });
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        browser::decline_and_return(&sign_in).await
    };
    let (_, page) = tokio::join!(client::python_fails("login.py", &settings), person);
    assert!(page.contains("failed"), "{page}");
    assert!(stage.oidc.grants().is_empty());
}

/// Logs in while the person consents; returns the page they saw in the end.
async fn first_login(proxy: &Proxy) -> String {
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        browser::consent_and_return(&sign_in, USER).await
    };
    let ((), page) = tokio::join!(login(proxy), person);
    page
}

async fn login(proxy: &Proxy) {
    client::python(
        "login.py",
        &json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap() }),
    )
    .await;
}

/// Logs in until the program has renewed the token once more, ahead of a login or in one.
async fn until_renewed(stage: &Stage, proxy: &Proxy, before: usize) {
    let begun = Instant::now();
    while stage.oidc.granted("refresh_token") == before {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the token was never renewed"
        );
        login(proxy).await;
    }
}
