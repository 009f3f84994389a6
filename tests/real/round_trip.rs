//! A message goes out by SMTP and comes back by IMAP and POP, unchanged, with user and password alone.

use serde_json::{Value, json};

use crate::browser;
use crate::client;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// Returns what the Python clients need to know.
fn settings(stage: &Stage, proxy: &Proxy) -> Value {
    json!({
        "user": USER,
        "password": PASSWORD,
        "ca": stage.ca.root,
        "smtp": proxy.smtp(),
        "imap": proxy.imap(),
        "pop": proxy.pop(),
    })
}

#[tokio::test]
async fn through_dovecot_with_tls_from_the_first_byte() {
    let Some(stage) = Stage::set("round_trip", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::pop(stage.dovecot.pops),
        Service::smtp(stage.dovecot.submissions),
    ];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    let mut settings = settings(&stage, &proxy);
    settings["twice"] = json!(true);
    client::python("round_trip.py", &settings).await;
    assert_eq!(
        stage.oidc.granted("client_credentials"),
        1,
        "one token serves all logins"
    );
    proxy.stop();
}

#[tokio::test]
async fn through_dovecot_with_starttls_and_a_token_too_long_for_a_line() {
    // Dovecot's submission offers AUTH before STARTTLS, and takes no line above 1,024 bytes.
    let manners = Manners {
        token_length: 3_000,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("round_trip", &["python3"], manners).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imap).starttls(),
        Service::pop(stage.dovecot.pop).starttls(),
        Service::smtp(stage.dovecot.submission).starttls(),
    ];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    client::python("round_trip.py", &settings(&stage, &proxy)).await;
}

#[tokio::test]
async fn through_postfix_with_starttls() {
    // Postfix hides AUTH before STARTTLS, and takes no line above 2,048 bytes before login.
    let manners = Manners {
        token_length: 3_000,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("round_trip", &["python3"], manners).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::pop(stage.dovecot.pops),
        Service::smtp(stage.postfix.submission).starttls(),
    ];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    let mut settings = settings(&stage, &proxy);
    settings["twice"] = json!(true);
    client::python("round_trip.py", &settings).await;
}

#[tokio::test]
async fn with_tls_towards_the_local_client() {
    let Some(stage) = Stage::set("round_trip", &["python3"], Manners::default()).await else {
        return;
    };
    let (imaps, pops, submissions) = (
        stage.dovecot.imaps,
        stage.dovecot.pops,
        stage.postfix.submissions,
    );
    let plain = [
        Service::imap(imaps),
        Service::pop(pops),
        Service::smtp(submissions),
    ];
    let implicit = plain
        .clone()
        .map(|service| service.again().local_tls(&stage));
    let starttls = plain.map(|service| service.again().local_starttls(&stage));
    let services = [implicit.clone(), starttls.clone()].concat();
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    for (tls, [imap, pop, smtp]) in [("implicit", implicit), ("starttls", starttls)] {
        let mut settings = settings(&stage, &proxy);
        settings["tls"] = json!(tls);
        settings["imap"] = json!(imap.port());
        settings["pop"] = json!(pop.port());
        settings["smtp"] = json!(smtp.port());
        client::python("round_trip.py", &settings).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_connection_stays_usable() {
    let Some(stage) = Stage::set("round_trip", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::pop(stage.dovecot.pops),
        Service::smtp(stage.postfix.submission).starttls(),
    ];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    // The first login seals the token with its password; from then on no other will do.
    client::python("login.py", &settings(&stage, &proxy)).await;
    client::python("refused.py", &settings(&stage, &proxy)).await;
    proxy.kept_secrets(&stage);
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_a_refused_login() {
    let Some(stage) = Stage::set("round_trip", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::pop(stage.dovecot.pops),
        Service::smtp(stage.postfix.submission).starttls(),
    ];
    let accounts = stage.oidc.person(USER, ports::free());
    let proxy = Proxy::start(&stage, &services, &accounts).await;
    let settings = settings(&stage, &proxy);
    let client = client::python("server_refuses.py", &settings);
    // The sign-in succeeds, but as somebody else: the mailbox stays closed.
    let person = async {
        let sign_in = proxy.sign_in(USER).await;
        browser::consent_and_return(&sign_in, "bob@example.com").await;
    };
    tokio::join!(client, person);
}
