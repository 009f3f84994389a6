//! How an application proves itself: a secret in the form or in a header.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::asking::{Asking, Auth, Proof, read, take};
use super::super::post::Post;
use super::super::{Error, refresh};
use super::{Pretend, account, json};
use crate::secret::Secret;

const GOOD: &str = r#"{"access_token":"a"}"#;

fn post() -> Post {
    crate::wire::tls::choose_crypto();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Post::new(tls, None).unwrap()
}

fn asking(post: &Post, proof: Proof) -> Asking<'_> {
    Asking {
        post,
        whole: Duration::from_secs(10),
        proof,
        mortal: true,
        once: false,
        polling: false,
        key: "token_url",
        told: OnceLock::new(),
    }
}

#[tokio::test]
async fn a_secret_in_a_header_is_form_encoded_first_and_never_repeated() {
    let post = post();
    let secret = Proof::Secret(Secret::from("s:3&c r+t"), Auth::Basic);
    let asking = asking(&post, secret);
    let wanted = BASE64_STANDARD.encode("the+app:s%3A3%26c+r%2Bt");

    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let account = account(&endpoint.url());
    let application = asking.application(&account).unwrap();
    let asked = refresh::ask(&application, &asking, &Secret::from("0.refresh")).await;
    assert_eq!(take(asked).unwrap().access.reveal(), "a");
    let url = super::super::asking::token_url(&account.token_url).unwrap();
    let form = [("grant_type", "urn:x"), ("device_code", "d-code")];
    let asked = asking.hand_in(&url, Some("the app"), &form).await;
    assert_eq!(read(&asked.unwrap()).unwrap().access.reveal(), "a");
    for request in endpoint.heard() {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("authorization: Basic {wanted}")),
            "{head}"
        );
        assert!(!body.contains("client_"), "{body}");
    }

    let echo = format!(
        r#"{{"error":"invalid_client","error_description":"got Basic {wanted} as s:3&c r+t"}}"#
    );
    let endpoint = Pretend::start(vec![json("401 Unauthorized", &echo)]).await;
    let url = super::super::asking::token_url(&endpoint.url()).unwrap();
    let Err(Error::Denied(why)) = asking.hand_in(&url, Some("the app"), &form).await else {
        panic!("a no was not recognised");
    };
    assert!(why.as_str().contains("got Basic *** as ***"), "{why}");
}
