//! Accounts that name nothing but an issuer: what is asked where, what is believed, how long it is kept.

use std::time::Duration;

use serde_json::{Value, json as value};
use tokio::time::{advance, pause, resume};

use super::super::{Endpoint, Error, Grant, Tokens};
use super::{Does, Pretend, account, client, json};
use crate::config::{AccountSettings, GrantKind};
use crate::secret::Secret;

/// A document of a pretend issuer at `HERE`, changed by `change`.
fn document(change: impl FnOnce(&mut Value)) -> Does {
    let mut document = value!({
        "issuer": "HERE",
        "authorization_endpoint": "HERE/authorize",
        "token_endpoint": "HERE/token",
        "device_authorization_endpoint": "HERE/device",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": true,
        "jwks_uri": "HERE/jwks",
    });
    change(&mut document);
    Does::Tells(document.to_string())
}

fn plain() -> Does {
    document(|_| {})
}

fn tokens() -> Does {
    json("200 OK", r#"{"access_token":"a"}"#)
}

fn not_found() -> Does {
    json("404 Not Found", "")
}

/// An account that names an issuer and no endpoint.
fn at(pretend: &Pretend, path: &str) -> AccountSettings {
    let mut account = account("");
    account.issuer = Some(format!("http://{}{path}", pretend.address));
    account
}

fn refresh() -> Grant {
    Grant::Refresh(Secret::from("0.refresh"))
}

async fn renew(client: &Endpoint, account: &AccountSettings) -> Result<Tokens, Error> {
    client.ask(account, None, &refresh()).await
}

/// Changes a good document.
type Change = fn(&mut Value);

/// The request lines that were heard.
fn lines(pretend: &Pretend) -> Vec<String> {
    let heard = pretend.heard();
    let lines = heard.iter().filter_map(|request| request.lines().next());
    lines.map(|line| line.replace(" HTTP/1.1", "")).collect()
}

#[tokio::test]
async fn an_issuer_is_enough_for_question_and_tokens() {
    let pretend = Pretend::start(vec![plain(), tokens()]).await;
    let here = format!("http://{}", pretend.address);
    let (client, account) = (client(None), at(&pretend, "/"));
    let question = client.question(&account, None).await.unwrap();
    assert!(
        question
            .url
            .starts_with(&format!("{here}/authorize?client_id=the%20app&")),
        "{}",
        question.url
    );
    assert_eq!(question.issuer.as_deref(), Some(&*here));
    assert!(question.issuer_is_sent && question.verifier.is_some());
    // A clone knows what the other learned.
    renew(&client.clone(), &account).await.unwrap();
    assert_eq!(
        lines(&pretend),
        ["GET /.well-known/openid-configuration", "POST /token"]
    );
    let asked = pretend.heard().remove(0).to_lowercase();
    for header in ["accept: application/json", "accept-encoding: identity"] {
        assert!(asked.contains(header), "{asked}");
    }
    assert!(pretend.heard()[1].contains("client_secret=s3%26cret"));
}

#[tokio::test]
async fn the_document_is_looked_for_in_three_places() {
    let realm = document(|document| document["issuer"] = "HERE/realms/mail".into());
    let html = Does::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<p>Hello</p>   ".to_vec());
    let pretend = Pretend::start(vec![not_found(), html, realm, tokens()]).await;
    renew(&client(None), &at(&pretend, "/realms/mail"))
        .await
        .unwrap();
    assert_eq!(
        lines(&pretend),
        [
            "GET /realms/mail/.well-known/openid-configuration",
            "GET /.well-known/oauth-authorization-server/realms/mail",
            "GET /realms/mail/.well-known/oauth-authorization-server",
            "POST /token"
        ]
    );

    let pretend = Pretend::start(vec![not_found()]).await;
    let Err(Error::Unavailable(why)) = renew(&client(None), &at(&pretend, "")).await else {
        panic!("endpoints were found where there are none");
    };
    for words in ["`issuer`", "HTTP 404", "`permission_url` and `token_url`"] {
        assert!(why.as_str().contains(words), "{words} is not in {why}");
    }
    assert_eq!(lines(&pretend).len(), 2);
}

#[tokio::test]
async fn what_the_file_says_itself_stands() {
    let pretend = Pretend::start(vec![plain()]).await;
    let endpoint = Pretend::start(vec![tokens()]).await;
    let (client, mut account) = (client(None), at(&pretend, ""));
    account.token_url = endpoint.url();
    renew(&client, &account).await.unwrap();
    assert!(pretend.heard().is_empty(), "nothing was left open");
    account.permission_url = Some("https://idp.example/authorize".into());
    let question = client.question(&account, None).await.unwrap();
    assert!(question.url.starts_with("https://idp.example/authorize?"));
    assert!(pretend.heard().is_empty(), "nothing was left open");
    assert_eq!(question.issuer, account.issuer);
    account.permission_url = None;
    let question = client.question(&account, None).await.unwrap();
    assert!(question.url.starts_with("http://127.0.0.1"));
    renew(&client, &account).await.unwrap();
    assert_eq!(endpoint.heard().len(), 2, "the file's own token endpoint");
}

#[tokio::test]
async fn the_issuers_ways_are_followed() {
    // (change, the secret in the form, PKCE)
    let table: [(Change, bool, bool); 5] = [
        (
            |d| {
                d["token_endpoint_auth_methods_supported"] =
                    value!(["client_secret_basic", "private_key_jwt"]);
            },
            false,
            true,
        ),
        // RFC 8414: what is not said is `client_secret_basic`.
        (
            |d| {
                d.as_object_mut()
                    .unwrap()
                    .remove("token_endpoint_auth_methods_supported");
            },
            false,
            true,
        ),
        (
            |d| d["token_endpoint_auth_methods_supported"] = value!(["none"]),
            true,
            true,
        ),
        (
            |d| d["code_challenge_methods_supported"] = value!(["plain"]),
            true,
            true,
        ),
        (
            |d| {
                d.as_object_mut()
                    .unwrap()
                    .remove("code_challenge_methods_supported");
            },
            true,
            true,
        ),
    ];
    for (change, in_form, pkce) in table {
        let pretend = Pretend::start(vec![document(change), tokens()]).await;
        let (client, mut account) = (client(None), at(&pretend, ""));
        let question = client.question(&account, None).await.unwrap();
        assert_eq!(question.verifier.is_some(), pkce);
        renew(&client, &account).await.unwrap();
        let sent = pretend.heard().remove(1);
        assert_eq!(sent.contains("client_secret="), in_form, "{sent}");
        assert_eq!(sent.contains("authorization: Basic "), !in_form, "{sent}");
        account.pkce = Some(true);
        let question = client.question(&account, None).await.unwrap();
        assert!(question.verifier.is_some(), "the file says so");
    }
}

#[tokio::test]
async fn a_device_endpoint_is_found_too_or_its_lack_is_said() {
    let code = json(
        "200 OK",
        r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device"}"#,
    );
    let pretend = Pretend::start(vec![plain(), code]).await;
    let (found, mut account) = (client(None), at(&pretend, ""));
    account.grant = GrantKind::Device;
    let question = found.question(&account, None).await.unwrap();
    assert_eq!(question.device.unwrap().user_code, "AB-CD");
    assert_eq!(lines(&pretend)[1], "POST /device");

    let without = document(|d| d["device_authorization_endpoint"] = Value::Null);
    let pretend = Pretend::start(vec![without]).await;
    let mut account = at(&pretend, "");
    account.grant = GrantKind::Device;
    let asked = client(None).question(&account, None).await;
    assert!(
        matches!(&asked, Err(Error::Misconfigured(why)) if why.contains("authorization_code")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn hostile_documents_cost_one_bounded_request_and_give_the_reason() {
    let says = |text: &str| Does::Says(text.as_bytes().to_vec());
    let with = |key: &'static str, said: Value| document(move |d| d[key] = said);
    let giant = format!(
        "HTTP/1.1 200 OK\r\n\r\n{{\"issuer\":\"{}",
        "a".repeat(70_000)
    );
    let deep = format!(
        "{{\"issuer\":\"HERE\",\"x\":{}1{}}}",
        "[".repeat(100),
        "]".repeat(100)
    );
    let table = [
        (says(&giant), "longer than 65536 bytes"),
        (Does::Stalls(Vec::new()), "no answer within 0.5 s"),
        (
            Does::Stalls(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"iss".to_vec()),
            "no answer within 0.5 s",
        ),
        (
            says("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"issuer\":\"x\"}"),
            "broke off",
        ),
        (Does::Drops, "dropped before an answer"),
        (
            says(
                "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
            ),
            "redirected to `https://evil.example/`",
        ),
        (
            says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
            "encoded as gzip",
        ),
        (says("220 mail.example ESMTP\r\n"), "check `issuer`"),
        (json("503 Busy", "{}"), "HTTP 503"),
        (json("200 OK", "[]"), "without a JSON answer"),
        (Does::Tells(deep), "without a JSON answer"),
        (json("200 OK", "{}"), "names no issuer"),
        (with("issuer", value!(7)), "names no issuer"),
        (
            with("issuer", value!("https://evil.example")),
            "the issuer `https://evil.example`",
        ),
        (with("issuer", value!("HERE/other")), "/other`; write that"),
        (
            with("token_endpoint", value!("javascript:alert(1)")),
            "token_endpoint `javascript:alert(1)` does not begin",
        ),
        (
            with("authorization_endpoint", value!("http://evil.example/a")),
            "authorization_endpoint `http://evil.example/a` does not begin",
        ),
        (
            with(
                "authorization_endpoint",
                value!("https://a.example/\u{7}\r\nX: y"),
            ),
            "is no web address",
        ),
        (
            with(
                "device_authorization_endpoint",
                value!(["https://a.example"]),
            ),
            "device_authorization_endpoint is no text",
        ),
        (
            with(
                "token_endpoint",
                value!("https://idp.example@evil.example/t"),
            ),
            "holds a user name",
        ),
        (
            with(
                "token_endpoint",
                value!(format!("https://a.example/{}", "a".repeat(3_000))),
            ),
            "is no web address",
        ),
        (with("token_endpoint", Value::Null), "write `token_url`"),
    ];
    for (does, words) in table {
        let pretend = Pretend::start(vec![does.clone()]).await;
        let client = client(None).within(Duration::from_millis(500));
        let asked = renew(&client, &at(&pretend, "")).await;
        let why = match asked {
            Err(Error::Unavailable(why)) => why.as_str().to_owned(),
            Err(Error::Misconfigured(why)) => why,
            other => panic!("{does:?}: {other:?}"),
        };
        assert!(why.contains(words), "{words:?} is not in {why:?}");
        assert!(
            why.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{why}"
        );
        assert!(
            lines(&pretend)
                .iter()
                .all(|line| line.starts_with("GET /.well-known/"))
        );
    }
}

#[tokio::test]
async fn a_document_is_good_for_a_day_and_serves_for_a_week() {
    let busy = || json("503 Busy", "");
    let script = vec![
        plain(),
        tokens(),
        tokens(),
        busy(),
        tokens(),
        busy(),
        tokens(),
        busy(),
    ];
    let pretend = Pretend::start(script).await;
    let (client, account) = (client(None), at(&pretend, ""));
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let get = "GET /.well-known/openid-configuration";
    renew(&client, &account).await.unwrap();
    later(Duration::from_secs(24 * 60 * 60 - 60)).await;
    renew(&client, &account).await.unwrap();
    assert_eq!(lines(&pretend), [get, "POST /token", "POST /token"]);
    later(Duration::from_secs(120)).await;
    // A new one is asked for, and the old one serves.
    renew(&client, &account).await.unwrap();
    assert_eq!(lines(&pretend)[3..], [get, "POST /token"]);
    later(days(5)).await;
    renew(&client, &account).await.unwrap();
    assert_eq!(lines(&pretend)[5..], [get, "POST /token"]);
    later(days(1)).await;
    let asked = renew(&client, &account).await;
    assert!(
        matches!(&asked, Err(Error::Unavailable(why)) if why.as_str().contains("HTTP 503")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_issuer_in_trouble_is_not_hammered() {
    let script = vec![json("503 Busy", ""), plain(), tokens()];
    let pretend = Pretend::start(script).await;
    let (client, account) = (client(None), at(&pretend, ""));
    for _ in 0..3 {
        let asked = renew(&client, &account).await;
        assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    }
    assert_eq!(lines(&pretend).len(), 1);
    later(Duration::from_secs(11)).await;
    renew(&client, &account).await.unwrap();
    assert_eq!(lines(&pretend).len(), 3);
}

#[tokio::test]
async fn all_who_wait_share_one_request() {
    let pretend = Pretend::start(vec![plain(), tokens()]).await;
    let (client, account) = (client(None), at(&pretend, ""));
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, account) = (client.clone(), account.clone());
        crowd.spawn(async move { renew(&client, &account).await });
    }
    while let Some(renewed) = crowd.join_next().await {
        renewed.unwrap().unwrap();
    }
    let lines = lines(&pretend);
    assert_eq!(lines.len(), 21);
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("GET")).count(),
        1
    );
}

/// Lets time pass while nothing is on its way.
async fn later(time: Duration) {
    pause();
    advance(time).await;
    resume();
}
