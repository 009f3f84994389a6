//! What is sent for each grant, and what comes of endpoints that misbehave.

use std::time::Duration;

use url::form_urlencoded;

use super::super::{Error, Grant};
use super::{Does, Pretend, account, client, json};
use crate::config::Certificate;
use crate::secret::Secret;

const GOOD: &str = r#"{"access_token":"ya29.x","expires_in":"1800","refresh_token":"new"}"#;

fn refresh() -> Grant {
    Grant::Refresh(Secret::from("0.refresh/+"))
}

fn code() -> Grant {
    Grant::Code {
        code: Secret::from("the/code"),
        redirect_uri: Some("http://localhost:8825".into()),
        verifier: Some(Secret::from("the-verifier")),
        issuer: None,
    }
}

/// The form that a grant sends, and the head of its request.
async fn sent(
    grant: &Grant,
    shape: impl FnOnce(&mut crate::config::AccountSettings),
) -> (String, Vec<(String, String)>) {
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let mut account = account(&endpoint.url());
    shape(&mut account);
    let tokens = client(None).ask(&account, None, grant).await.unwrap();
    assert_eq!(tokens.access.reveal(), "ya29.x");
    assert_eq!(tokens.lifetime, Duration::from_secs(1800));
    assert_eq!(tokens.refresh.unwrap().reveal(), "new");
    let request = endpoint.heard().concat();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut form: Vec<_> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    form.sort();
    (head.to_owned(), form)
}

fn pairs(form: &[(&str, &str)]) -> Vec<(String, String)> {
    form.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[tokio::test]
async fn every_grant_sends_its_form_and_nothing_more() {
    let (head, form) = sent(&code(), |_| {}).await;
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    for line in [
        "accept-encoding: identity",
        "content-type: application/x-www-form-urlencoded",
        concat!("user-agent: emailproxy/", env!("CARGO_PKG_VERSION")),
        "accept: application/json",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("authorization:"), "{head}");
    assert_eq!(
        form,
        pairs(&[
            ("client_id", "the app"),
            ("client_secret", "s3&cret"),
            ("code", "the/code"),
            ("code_verifier", "the-verifier"),
            ("grant_type", "authorization_code"),
            ("redirect_uri", "http://localhost:8825"),
        ])
    );

    let (_, form) = sent(&refresh(), |account| account.client_secret = None).await;
    assert_eq!(
        form,
        pairs(&[
            ("client_id", "the app"),
            ("grant_type", "refresh_token"),
            ("refresh_token", "0.refresh/+"),
        ])
    );

    let (_, form) = sent(&Grant::ClientCredentials, |_| {}).await;
    assert_eq!(
        form,
        pairs(&[
            ("client_id", "the app"),
            ("client_secret", "s3&cret"),
            ("grant_type", "client_credentials"),
            ("scope", "imap smtp"),
        ])
    );

    let password = Grant::Password(Secret::from("pä&ss"));
    let (_, form) = sent(&password, |account| {
        account.scope.clear();
        account.resource = Some("https://outlook.office365.com".into());
    })
    .await;
    assert_eq!(
        form,
        pairs(&[
            ("client_id", "the app"),
            ("client_secret", "s3&cret"),
            ("grant_type", "password"),
            ("password", "pä&ss"),
            ("resource", "https://outlook.office365.com"),
            ("username", "u@example.org"),
        ])
    );
}

#[tokio::test]
async fn the_secret_handed_in_goes_before_the_files_own() {
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let secret = Secret::from("decrypted");
    client(None)
        .ask(&account(&endpoint.url()), Some(&secret), &refresh())
        .await
        .unwrap();
    let heard = endpoint.heard().concat();
    assert!(heard.contains("client_secret=decrypted"), "{heard}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_said_and_nothing_is_sent() {
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let mut account = account(&endpoint.url());
    account.client_secret = None;
    let asked = client(None)
        .ask(&account, None, &Grant::ClientCredentials)
        .await;
    assert!(
        matches!(&asked, Err(Error::Misconfigured(why)) if why.contains("client_secret")),
        "{asked:?}"
    );
    account.assertion_certificate = Some(Certificate {
        certificate: "a.pem".into(),
        key: "b.pem".into(),
    });
    let asked = client(None).ask(&account, None, &refresh()).await;
    assert!(
        matches!(&asked, Err(Error::Misconfigured(why)) if why.contains("certificate")),
        "{asked:?}"
    );
    assert!(endpoint.heard().is_empty());
}

#[tokio::test]
async fn a_dropped_connection_is_tried_once_more_but_never_with_a_code() {
    let endpoint = Pretend::start(vec![Does::Drops, json("200 OK", GOOD)]).await;
    let asked = client(None)
        .ask(&account(&endpoint.url()), None, &refresh())
        .await;
    assert!(asked.is_ok(), "{asked:?}");
    assert_eq!(endpoint.heard().len(), 2);

    let endpoint = Pretend::start(vec![Does::Drops]).await;
    let asked = client(None)
        .ask(&account(&endpoint.url()), None, &refresh())
        .await;
    assert!(
        matches!(&asked, Err(Error::Unavailable(why)) if why.as_str().contains("dropped")),
        "{asked:?}"
    );
    assert_eq!(endpoint.heard().len(), 2);

    let endpoint = Pretend::start(vec![Does::Drops]).await;
    let asked = client(None)
        .ask(&account(&endpoint.url()), None, &code())
        .await;
    assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    assert_eq!(endpoint.heard().len(), 1);
}

#[tokio::test]
async fn endpoints_that_misbehave_are_unavailable_and_nothing_worse() {
    let says = |text: &str| Does::Says(text.as_bytes().to_vec());
    let giant = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{{\"access_token\":\"{}",
        "a".repeat(70_000)
    );
    let endless_head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1_000_000));
    let table = [
        (Does::Stalls(Vec::new()), "no answer within 0.3 s"),
        (
            Does::Stalls(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"acc".to_vec()),
            "no answer within 0.3 s",
        ),
        (says(&giant), "longer than 65536 bytes"),
        (
            says("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":\"abc\"}"),
            "broke off",
        ),
        (
            says(
                "HTTP/1.1 302 Found\r\nLocation: https://evil.example/t\r\nContent-Length: 0\r\n\r\n",
            ),
            "redirected to `https://evil.example/t`",
        ),
        (
            says(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            ),
            "follow no redirect",
        ),
        (
            says(
                "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 48\r\n\r\n<html><title>Bad Gateway</title><p>nginx</html>\n",
            ),
            "HTTP 502: Bad Gateway",
        ),
        (
            says("HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"),
            "(retry after 120)",
        ),
        (says(&endless_head), ""),
        (says("220 mail.example ESMTP\r\n"), ""),
        (says("\u{0}\u{1}\u{2}"), ""),
    ];
    for (does, words) in table {
        let endpoint = Pretend::start(vec![does.clone()]).await;
        let client = client(None).within(Duration::from_millis(300));
        let asked = client
            .ask(&account(&endpoint.url()), None, &refresh())
            .await;
        let Err(Error::Unavailable(why) | Error::Throttled { said: why, .. }) = &asked else {
            panic!("{does:?}: {asked:?}");
        };
        assert!(why.as_str().contains(words), "{words:?} is not in {why}");
        assert!(!why.as_str().contains("0.refresh"), "{why}");
    }
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let account = account(&format!("http://{gone}/"));
    let asked = client(None).ask(&account, None, &refresh()).await;
    let Err(Error::Unavailable(why)) = asked else {
        panic!("{asked:?}");
    };
    assert!(why.as_str().starts_with(&format!("{gone}: ")), "{why}");
}

#[tokio::test]
async fn definite_noes_come_through_whole() {
    let endpoint = Pretend::start(vec![json(
        "400 Bad Request",
        r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
    )])
    .await;
    // The question may be put from any task.
    let account = account(&endpoint.url());
    let asked = tokio::spawn(async move { client(None).ask(&account, None, &refresh()).await });
    let Err(Error::GrantDead(why)) = asked.await.unwrap() else {
        panic!("a dead grant was not recognised");
    };
    assert!(why.to_string().contains("sign in again"), "{why}");
}
