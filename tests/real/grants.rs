//! Grants that need no person, at an OAuth2 server that others wrote.

use serde_json::json;

use crate::client;
use crate::oidc::Manners;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

#[tokio::test]
async fn an_application_proves_itself_by_its_certificate() {
    for algorithm in ["PS256", "RS256"] {
        let manners = Manners {
            certified: Some(algorithm),
            ..Manners::default()
        };
        let Some(stage) = Stage::set("grants", &["python3"], manners).await else {
            return;
        };
        let accounts = stage.oidc.certified_application(USER);
        let proxy = Proxy::start(&stage, &services(&stage), &accounts).await;
        round_trip(&stage, &proxy, PASSWORD).await;
        assert_eq!(stage.oidc.granted("client_credentials"), 1, "{algorithm}");
        let grant = &stage.oidc.grants()[0];
        assert_eq!(grant["client"], "certified-application");
        assert_eq!(
            (&grant["assertion"], &grant["basic"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(
            proxy
                .printed()
                .text()
                .matches("application.pem expires in")
                .count(),
            1
        );
        proxy.kept_secrets(&stage);
    }
}

#[tokio::test]
async fn a_secret_is_shown_in_the_header_where_the_issuer_takes_nothing_else() {
    let manners = Manners {
        basic_only: true,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("grants", &["python3"], manners).await else {
        return;
    };
    let accounts = stage.oidc.application_by_issuer(USER);
    let proxy = Proxy::start(&stage, &services(&stage), &accounts).await;
    round_trip(&stage, &proxy, PASSWORD).await;
    assert_eq!(stage.oidc.granted("client_credentials"), 1);
    let grant = &stage.oidc.grants()[0];
    assert_eq!(grant["client"], "basic application");
    assert_eq!(grant["basic"], true);
    proxy.kept_secrets(&stage);
}

#[tokio::test]
async fn a_users_own_password_is_handed_in() {
    let Some(stage) = Stage::set("grants", &["python3"], Manners::default()).await else {
        return;
    };
    let accounts = stage.oidc.password_program(USER);
    let proxy = Proxy::start(&stage, &services(&stage), &accounts).await;
    let wrong = json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap() });
    let told = client::python_fails("login.py", &wrong).await;
    assert!(told.contains("grant request is invalid"), "{told}");
    round_trip(&stage, &proxy, "the user's own + at the provider %").await;
    let grants = stage.oidc.grants();
    let statuses: Vec<_> = grants.iter().map(|grant| &grant["status"]).collect();
    assert_eq!(statuses, [400, 200], "{grants:?}");
    proxy.kept_secrets(&stage);
}

fn services(stage: &Stage) -> [Service; 3] {
    [
        Service::imap(stage.dovecot.imaps),
        Service::pop(stage.dovecot.pops),
        Service::smtp(stage.dovecot.submissions),
    ]
}

/// Sends a mail and reads it back by both protocols.
async fn round_trip(stage: &Stage, proxy: &Proxy, password: &str) {
    let settings = json!({
        "user": USER,
        "password": password,
        "ca": stage.ca.root,
        "smtp": proxy.smtp(),
        "imap": proxy.imap(),
        "pop": proxy.pop(),
    });
    client::python("round_trip.py", &settings).await;
}
