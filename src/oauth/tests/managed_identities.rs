//! Azure managed identities: what is asked of the machine's own service, and what its answers mean.

use super::super::{Error, Grant, Tokens};
use super::{Does, Pretend, account, client, json};
use crate::config::{AccountSettings, GrantKind};

fn machine(token_url: &str) -> AccountSettings {
    AccountSettings {
        grant: GrantKind::ManagedIdentity,
        client_id: String::new(),
        client_secret: None,
        scope: "https://outlook.office365.com/.default".into(),
        ..account(token_url)
    }
}

async fn ask(endpoint: &Pretend, account: &AccountSettings) -> Result<Tokens, Error> {
    // A proxy that nobody would reach: it must not be asked for the way.
    let proxy = Pretend::start(vec![Does::Drops]).await;
    let client = client(Some(&format!("http://{}", proxy.address)));
    let asked = client.ask(account, None, &Grant::ManagedIdentity).await;
    assert!(proxy.heard().is_empty());
    assert!(endpoint.heard().len() <= 1, "one request is enough");
    asked
}

#[tokio::test]
async fn the_machine_is_asked_as_azure_wants_it() {
    // As Azure answers: numbers are texts.
    let endpoint = Pretend::start(vec![json(
        "200 OK",
        r#"{"access_token":"eyJ0.x.y","client_id":"c","expires_in":"86399","expires_on":"1764000000","ext_expires_in":"86399","not_before":"1763900000","resource":"https://outlook.office365.com","token_type":"Bearer"}"#,
    )])
    .await;
    let mut account = machine(&endpoint.url());
    account.client_id = "11-22".into();
    let tokens = ask(&endpoint, &account).await.unwrap();
    assert_eq!(tokens.access.reveal(), "eyJ0.x.y");
    assert_eq!(tokens.lifetime.as_secs(), 86_399);
    let heard = endpoint.heard().concat();
    assert!(
        heard.starts_with(
            "GET /token?api-version=2018-02-01&resource=https%3A%2F%2Foutlook.office365.com&client_id=11-22 HTTP/1.1\r\n"
        ),
        "{heard}"
    );
    assert!(
        heard.to_lowercase().contains("\r\nmetadata: true\r\n"),
        "{heard}"
    );
    assert!(!heard.contains("client_secret"), "{heard}");
}

#[tokio::test]
async fn a_time_stands_in_for_a_lifetime() {
    let until = std::time::SystemTime::now() + std::time::Duration::from_secs(7_000);
    let until = until
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let endpoint = Pretend::start(vec![json(
        "200 OK",
        &format!(r#"{{"access_token":"a","expires_on":"{until}","token_type":"Bearer"}}"#),
    )])
    .await;
    let tokens = ask(&endpoint, &machine(&endpoint.url())).await.unwrap();
    let left = tokens.lifetime.as_secs();
    assert!((6_900..=7_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_machine_that_is_busy_is_asked_again_later_and_one_that_says_no_is_not() {
    for (status, body, words) in [
        ("410 Gone", "", "not ready just now"),
        ("404 Not Found", "<html>no</html>", "not ready just now"),
        (
            "429 Too Many Requests",
            r#"{"error":"throttled"}"#,
            "HTTP 429",
        ),
        (
            "500 Oops",
            r#"{"error":"unknown","error_description":"Failed to retrieve token"}"#,
            "HTTP 500",
        ),
        ("200 OK", "<html>a portal</html>", "without a JSON answer"),
        ("302 Found", "", "no redirect"),
    ] {
        let endpoint = Pretend::start(vec![json(status, body)]).await;
        let asked = ask(&endpoint, &machine(&endpoint.url())).await;
        let Err(Error::Unavailable(why)) = asked else {
            panic!("{status}: {asked:?}");
        };
        assert!(why.as_str().contains(words), "{words:?} is not in {why}");
    }
    let endpoint = Pretend::start(vec![json(
        "400 Bad Request",
        r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
    )])
    .await;
    let asked = ask(&endpoint, &machine(&endpoint.url())).await;
    assert!(
        matches!(&asked, Err(Error::Denied(why)) if why.as_str().contains("Identity not found")),
        "{asked:?}"
    );
    let giant = Pretend::start(vec![json("200 OK", &"x".repeat(70_000))]).await;
    let asked = ask(&giant, &machine(&giant.url())).await;
    assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
}

#[tokio::test]
async fn where_nobody_answers_it_is_said_who_would() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let account = machine(&format!("http://{gone}/"));
    let asked = client(None)
        .ask(&account, None, &Grant::ManagedIdentity)
        .await;
    assert!(
        matches!(&asked, Err(Error::Unavailable(why)) if why.as_str().contains("machines in Azure")),
        "{asked:?}"
    );
}
