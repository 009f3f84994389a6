//! Google service accounts: the key's file or text, the assertion, and what can be wrong with them.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::{Error, Grant, Tokens};
use super::keys::{Files, KEY, OTHER, pkcs1, verified};
use super::{Pretend, account, client, json as answer};
use crate::config::{AccountSettings, GrantKind};
use crate::secret::Secret;

const GOOD: &str = r#"{"access_token":"ya29.c.x","expires_in":3599,"token_type":"Bearer"}"#;

fn key() -> Value {
    json!({
        "type": "service_account",
        "private_key_id": "k-1",
        "private_key": KEY.serialize_pem(),
        "client_email": "proxy@project.iam.gserviceaccount.example",
        "client_id": "1234",
        "token_uri": "http://localhost:1/unused",
    })
}

fn service(token_url: &str, client_id: &str, secret: &str) -> AccountSettings {
    AccountSettings {
        grant: GrantKind::ServiceAccount,
        client_id: client_id.into(),
        client_secret: Some(Secret::from(secret)),
        ..account(token_url)
    }
}

async fn ask(account: &AccountSettings) -> Result<Tokens, Error> {
    client(None)
        .ask(account, None, &Grant::ServiceAccount)
        .await
}

/// Takes the assertion out of a request that holds it and the grant's name alone.
fn assertion(request: &str) -> String {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let mut form: Vec<_> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    form.sort();
    assert_eq!(form.len(), 2, "{form:?}");
    assert_eq!(form[1].0, "grant_type");
    assert_eq!(form[1].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form[0].0, "assertion");
    form[0].1.clone()
}

#[tokio::test]
async fn the_key_signs_in_the_accounts_name() {
    let endpoint = Pretend::start(vec![answer("200 OK", GOOD)]).await;
    let text = key().to_string();
    let mut account = service(&endpoint.url(), "key", &text);
    let tokens = ask(&account).await.unwrap();
    assert_eq!(tokens.access.reveal(), "ya29.c.x");
    assert!(tokens.refresh.is_none());
    let (header, claims) = verified(&assertion(&endpoint.heard()[0]), &KEY, Algorithm::RS256);
    assert_eq!(header, json!({"typ": "JWT", "alg": "RS256", "kid": "k-1"}));
    let issued = claims["iat"].as_u64().unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "proxy@project.iam.gserviceaccount.example",
            "sub": "u@example.org",
            "scope": "imap smtp",
            "aud": endpoint.url(),
            "iat": issued,
            "exp": issued + 3600,
        })
    );
    // An alias or a shared mailbox is asked for in its owner's name; an opened secret goes before the file's.
    account.sign_in_as = Some("owner@example.org".into());
    account.client_secret = None;
    let opened = Secret::from(text.as_str());
    let client = client(None);
    let asked = client.ask(&account, Some(&opened), &Grant::ServiceAccount);
    asked.await.unwrap();
    let (_, claims) = verified(&assertion(&endpoint.heard()[1]), &KEY, Algorithm::RS256);
    assert_eq!(claims["sub"], "owner@example.org");
}

#[tokio::test]
async fn a_key_file_is_read_each_time_and_names_the_endpoint_where_the_account_does_not() {
    let files = Files::new();
    let endpoint = Pretend::start(vec![answer("200 OK", GOOD)]).await;
    let mut key = key();
    key["token_uri"] = endpoint.url().into();
    let path = files.write("key.json", key.to_string());
    let account = service("", "file", path.to_str().unwrap());
    ask(&account).await.unwrap();
    key["private_key"] = pkcs1(&OTHER).into();
    key["private_key_id"] = "k-2".into();
    files.write("key.json", format!("\n{key:#}\n"));
    ask(&account).await.unwrap();
    let heard = endpoint.heard();
    let (_, claims) = verified(&assertion(&heard[0]), &KEY, Algorithm::RS256);
    assert_eq!(claims["aud"], endpoint.url());
    let (header, _) = verified(&assertion(&heard[1]), &OTHER, Algorithm::RS256);
    assert_eq!(header["kid"], "k-2");
}

#[tokio::test]
async fn keys_that_cannot_sign_are_told_apart_and_never_shown() {
    let endpoint = Pretend::start(vec![answer("200 OK", GOOD)]).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut key = key();
        change(&mut key);
        key.to_string()
    };
    let without = |name: &'static str| {
        with(&move |key| {
            key.as_object_mut().unwrap().remove(name);
        })
    };
    let table = [
        (String::new(), "has no client_secret"),
        ("hunter2 is no JSON".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        (without("private_key"), "it has no private_key"),
        (without("client_email"), "it has no client_email"),
        (without("type"), "client secret file"),
        (
            with(&|key| key["type"] = "authorized_user".into()),
            "of the type authorized_user",
        ),
        (
            with(&|key| key["private_key"] = "hunter2".into()),
            "no private key in PEM form",
        ),
        (
            with(&|key| key["private_key"] = 7.into()),
            "it has no private_key",
        ),
    ];
    for (text, words) in table {
        let asked = ask(&service(&endpoint.url(), "key", &text)).await;
        let Err(Error::Misconfigured(why)) = asked else {
            panic!("{asked:?}");
        };
        assert!(why.contains(words), "{words:?} is not in {why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    for (id, secret, words) in [
        (
            "file",
            "/nowhere/key.json",
            "/nowhere/key.json: it could not be read",
        ),
        ("1234.apps.example", "x", "must be `file`"),
    ] {
        let asked = ask(&service(&endpoint.url(), id, secret)).await;
        assert!(
            matches!(&asked, Err(Error::Misconfigured(why)) if why.contains(words)),
            "{asked:?}"
        );
    }
    // A key does not lead secrets away from https either.
    let asked = ask(&service("http://example.org/", "key", &key().to_string())).await;
    assert!(matches!(asked, Err(Error::Misconfigured(_))), "{asked:?}");
    assert!(endpoint.heard().is_empty());
}

#[tokio::test]
async fn a_scope_that_nobody_delegated_is_told_with_what_to_do() {
    let endpoint = Pretend::start(vec![answer(
        "401 Unauthorized",
        r#"{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}"#,
    )])
    .await;
    let asked = ask(&service(&endpoint.url(), "key", &key().to_string())).await;
    let Err(Error::Denied(why)) = asked else {
        panic!("{asked:?}");
    };
    assert!(why.to_string().contains("domain-wide delegation"), "{why}");
}
