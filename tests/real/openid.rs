//! An account of which nothing is known but its issuer: the discovery document, `iss` in the answer, ID tokens and
//! device codes of an `OpenID` provider that others wrote.

use serde_json::json;

use crate::browser;
use crate::client;
use crate::log::until;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

#[tokio::test]
async fn a_person_signs_in_where_the_issuer_says() {
    let Some(stage) = Stage::set("openid", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let accounts = stage.oidc.person_by_issuer(USER, ports::free());
    let proxy = Proxy::start(&stage, &services, &accounts).await;
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        let back = browser::consent(&sign_in, USER).await;
        // This server says who it is, as its document promises.
        let issuer = query(&back, "iss");
        assert_eq!(issuer, Some(stage.oidc.issuer()));
        visit(back).await
    };
    let ((), page) = tokio::join!(login(&proxy), person);
    assert!(page.contains("succeeded"), "{page}");
    let grants = stage.oidc.grants();
    assert_eq!(grants.len(), 1, "{grants:?}");
    assert_eq!(grants[0]["idToken"], true);
    assert_eq!(grants[0]["verifier"], true);
    proxy.kept_secrets(&stage);
}

#[tokio::test]
async fn answers_that_name_another_issuer_or_none_are_not_used() {
    let Some(stage) = Stage::set("openid", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let accounts = stage.oidc.person_by_issuer(USER, ports::free());
    let proxy = Proxy::start(&stage, &services, &accounts).await;
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        let back = browser::consent(&sign_in, USER).await;
        for (other, words) in [
            (Some("https://evil.example"), "https://evil.example"),
            (None, "does not say who sent it"),
        ] {
            let mut wrong = back.clone();
            let kept = back.query_pairs().filter(|(key, _)| key != "iss");
            wrong
                .query_pairs_mut()
                .clear()
                .extend_pairs(kept)
                .extend_pairs(other.map(|other| ("iss", other)));
            let page = visit(wrong).await;
            assert!(page.contains("failed") && page.contains(words), "{page}");
        }
        assert!(stage.oidc.grants().is_empty(), "a code was used");
        // They took nothing: the login still waits, and the true answer is good.
        visit(back).await
    };
    let ((), page) = tokio::join!(login(&proxy), person);
    assert!(page.contains("succeeded"), "{page}");
}

#[tokio::test]
async fn a_device_code_is_approved_in_a_browser_elsewhere() {
    let Some(stage) = Stage::set("openid", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.device(USER)).await;
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        // One poll comes before anybody has approved it.
        until("a poll", || {
            let grants = stage.oidc.grants();
            let mut errors = grants.iter().map(|event| &event["error"]);
            errors
                .any(|error| error == "authorization_pending")
                .then_some(())
        })
        .await;
        browser::approve(&sign_in, USER).await
    };
    let ((), page) = tokio::join!(login(&proxy), person);
    assert!(page.contains("Success"), "{page}");
    let grants = stage.oidc.grants();
    let last = grants.last().unwrap();
    assert_eq!(
        last["grant"],
        "urn:ietf:params:oauth:grant-type:device_code"
    );
    assert_eq!(last["status"], 200, "{grants:?}");
    assert_eq!(last["client"], "device-program");
    proxy.kept_secrets(&stage);
}

fn query(url: &reqwest::Url, wanted: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key == wanted)?;
    Some(found.1.into_owned())
}

async fn visit(url: reqwest::Url) -> String {
    let answer = reqwest::get(url).await.expect("the program listens");
    answer.text().await.unwrap()
}

async fn login(proxy: &Proxy) {
    let settings = json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap() });
    client::python("login.py", &settings).await;
}
