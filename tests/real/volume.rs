//! Large messages, and many clients at once.

use serde_json::json;

use crate::client;
use crate::oidc::Manners;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// Bytes of a large message.
const LARGE: usize = 25 * 1024 * 1024;

#[tokio::test]
async fn twenty_five_megabytes_come_back_unchanged() {
    let Some(stage) = Stage::set("volume", &["python3"], Manners::default()).await else {
        return;
    };
    for smtp in [
        Service::smtp(stage.dovecot.submissions),
        Service::smtp(stage.postfix.submission).starttls(),
    ] {
        let services = [
            Service::imap(stage.dovecot.imaps),
            Service::pop(stage.dovecot.pops),
            smtp,
        ];
        let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
        let settings = json!({
            "user": USER,
            "password": PASSWORD,
            "ca": stage.ca.root,
            "smtp": proxy.smtp(),
            "imap": proxy.imap(),
            "pop": proxy.pop(),
            "size": LARGE,
            "append": LARGE,
        });
        client::python("round_trip.py", &settings).await;
    }
}

#[tokio::test]
async fn fifty_clients_at_once_share_one_token() {
    let Some(stage) = Stage::set("volume", &["python3"], Manners::default()).await else {
        return;
    };
    let services = [Service::imap(stage.dovecot.imaps)];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    let settings = json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap(), "count": 50 });
    client::python("crowd.py", &settings).await;
    assert_eq!(stage.oidc.granted("client_credentials"), 1);
}
