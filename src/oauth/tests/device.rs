//! The device grant's protocol: what is asked, which answers are understood, what comes of a poll.

use std::time::Duration;

use serde_json::{Value, json as value};
use url::form_urlencoded;

use super::super::{Error, Grant, Question, Tokens};
use super::{Does, Pretend, account, client, json};
use crate::config::{AccountSettings, GrantKind};
use crate::secret::Secret;

/// An account that asks for device codes at this address.
fn device(url: &str) -> AccountSettings {
    let mut account = account(url);
    account.grant = GrantKind::Device;
    account.permission_url = Some(url.replace("/token", "/devicecode"));
    account
}

/// Changes a good answer.
type Change = fn(&mut Value);

async fn asked(body: &Value) -> Result<Question, Error> {
    let pretend = Pretend::start(vec![json("200 OK", &body.to_string())]).await;
    client(None).question(&device(&pretend.url()), None).await
}

#[tokio::test]
async fn a_code_is_asked_for_by_post() {
    let body = value!({
        "device_code": "GmRhmhcxhwAzkoEqiMEg", "user_code": "WDJB-MJHT",
        "verification_uri": "https://example.com/device",
        "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
        "expires_in": 900, "interval": 5, "message": "To sign in, use a web browser",
    });
    let pretend = Pretend::start(vec![json("200 OK", &body.to_string())]).await;
    let account = device(&pretend.url());
    let question = client(None).question(&account, None).await.unwrap();
    let request = pretend.heard().concat();
    let (head, form) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /devicecode HTTP/1.1\r\n"), "{head}");
    let mut form: Vec<_> = form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect();
    form.sort();
    let pairs = [
        ("client_id", "the app"),
        ("client_secret", "s3&cret"),
        ("scope", "imap smtp"),
    ];
    assert_eq!(form, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));

    assert_eq!(
        question.url,
        "https://example.com/device?user_code=WDJB-MJHT"
    );
    assert_eq!(question.state.len(), 43);
    let code = question.device.unwrap();
    assert_eq!(code.code.reveal(), "GmRhmhcxhwAzkoEqiMEg");
    assert_eq!(code.user_code, "WDJB-MJHT");
    assert_eq!(code.verification_url, "https://example.com/device");
    assert_eq!(code.good_for, Duration::from_secs(900));
    assert_eq!(code.interval, Duration::from_secs(5));
}

#[tokio::test]
async fn odd_answers_are_understood_within_bounds() {
    let whole = |change: fn(&mut Value)| {
        let mut body = value!({"device_code": "d", "user_code": "U", "verification_uri": "https://e.example/d"});
        change(&mut body);
        body
    };
    // (change, seconds good, milliseconds between polls, where to go)
    let plain = "https://e.example/d";
    let table: [(Change, u64, u64, &str); 11] = [
        (|_| {}, 600, 5_000, plain),
        (
            |b| {
                b["expires_in"] = "899".into();
                b["interval"] = "7".into();
            },
            899,
            7_000,
            plain,
        ),
        (
            |b| {
                b["expires_in"] = 86_400.into();
                b["interval"] = 3_600.into();
            },
            1_800,
            60_000,
            plain,
        ),
        // Wherever the endpoint is.
        (|b| b["interval"] = 0.into(), 600, 5_000, plain),
        (|b| b["interval"] = (-1).into(), 600, 5_000, plain),
        (|b| b["interval"] = "soon".into(), 600, 5_000, plain),
        (
            |b| b["expires_in"] = 315_360_000.into(),
            1_800,
            5_000,
            plain,
        ),
        // Google's and other older endpoints.
        (
            |b| {
                b["verification_uri"] = Value::Null;
                b["verification_url"] = "https://g.example/device".into();
            },
            600,
            5_000,
            "https://g.example/device",
        ),
        (
            |b| b["verification_uri_complete"] = "https://evil.example/d?c=U".into(),
            600,
            5_000,
            plain,
        ),
        (
            |b| b["verification_uri_complete"] = "javascript:alert(1)".into(),
            600,
            5_000,
            plain,
        ),
        (
            |b| b["verification_uri"] = "http://localhost:3000/device".into(),
            600,
            5_000,
            "http://localhost:3000/device",
        ),
    ];
    for (change, seconds, interval, url) in table {
        let body = whole(change);
        let question = asked(&body)
            .await
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        let code = question.device.unwrap();
        assert_eq!(code.good_for, Duration::from_secs(seconds), "{body}");
        assert_eq!(code.interval, Duration::from_millis(interval), "{body}");
        assert_eq!(question.url, url, "{body}");
    }
}

#[tokio::test]
async fn answers_that_lead_people_astray_are_refused_in_words() {
    let good =
        value!({"device_code": "d", "user_code": "U", "verification_uri": "https://e.example/d"});
    let table = [
        ("device_code", Value::Null, "holds no device_code but ["),
        ("user_code", value!(7), "holds no user_code"),
        ("expires_in", value!(0), "time is over already"),
        ("expires_in", value!(-600), "time is over already"),
        ("user_code", value!("A\r\nB"), "nobody could type"),
        ("user_code", value!("A".repeat(65)), "nobody could type"),
        ("verification_uri", Value::Null, "holds no verification_uri"),
        (
            "verification_uri",
            value!("http://evil.example/d"),
            "`http://evil.example/d`, which does not begin with https://",
        ),
        (
            "verification_uri",
            value!("javascript:alert(1)"),
            "https://",
        ),
        (
            "verification_uri",
            value!("https://a@evil.example/"),
            "https://",
        ),
        (
            "verification_uri",
            value!("https://a.example/\u{1b}[2J"),
            "https://",
        ),
    ];
    for (key, said, words) in table {
        let mut body = good.clone();
        body[key] = said;
        let Err(Error::Unavailable(why)) = asked(&body).await else {
            panic!("{body} was believed");
        };
        assert!(why.as_str().contains(words), "{words:?} is not in {why}");
        assert!(why.as_str().contains("`permission_url`"), "{why}");
    }
}

#[tokio::test]
async fn a_no_to_the_request_for_a_code_is_passed_on() {
    let no = r#"{"error":"invalid_client","error_description":"AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}"#;
    let pretend = Pretend::start(vec![json("401 Unauthorized", no)]).await;
    let asked = client(None).question(&device(&pretend.url()), None).await;
    assert!(
        matches!(&asked, Err(Error::Denied(why)) if why.to_string().contains("Allow public client flows")),
        "{asked:?}"
    );
    let mut account = device("http://idp.example/token");
    let asked = client(None).question(&account, None).await;
    assert!(
        matches!(&asked, Err(Error::Misconfigured(why)) if why.contains("`permission_url` begins with http://")),
        "{asked:?}"
    );
    account.permission_url = None;
    let asked = client(None).question(&account, None).await;
    assert!(matches!(&asked, Err(Error::Misconfigured(_))), "{asked:?}");
}

async fn polled(does: Does) -> (Result<Tokens, Error>, Pretend) {
    let pretend = Pretend::start(vec![does]).await;
    let code = Grant::Device(Secret::from("the-device-code"));
    let polled = client(None)
        .within(Duration::from_millis(500))
        .ask(&device(&pretend.url()), None, &code)
        .await;
    (polled, pretend)
}

#[tokio::test]
async fn a_poll_says_whether_to_go_on() {
    let no = |status: &str, word: &str| json(status, &value!({"error": word}).to_string());
    // Entra's, Google's and the RFC's ways to say it.
    let entra = r#"{"error":"authorization_pending","error_description":"AADSTS70016: OAuth 2.0 device flow error. Authorization is pending. Continue polling.\r\nTrace ID: 1","error_codes":[70016]}"#;
    for pending in [
        json("400 Bad Request", entra),
        no("428 Precondition Required", "authorization_pending"),
        no("503 Busy", "authorization_pending"),
    ] {
        let (polled, _) = polled(pending).await;
        assert!(matches!(polled, Err(Error::Pending)), "{polled:?}");
    }
    for slower in [
        no("400 Bad Request", "slow_down"),
        no("403 Forbidden", "slow_down"),
        no("429 Too Many Requests", "slow_down"),
    ] {
        let (polled, _) = polled(slower).await;
        assert!(matches!(polled, Err(Error::SlowDown)), "{polled:?}");
    }
    for (word, advice) in [
        ("access_denied", "said no"),
        ("authorization_declined", "said no"),
    ] {
        let (polled, _) = polled(no("400 Bad Request", word)).await;
        assert!(
            matches!(&polled, Err(Error::Denied(why)) if why.to_string().contains(advice)),
            "{polled:?}"
        );
    }
    for (word, advice) in [
        ("expired_token", "in time"),
        ("bad_verification_code", "ask for a new one"),
        ("invalid_grant", "invalid_grant"),
    ] {
        let (polled, _) = polled(no("400 Bad Request", word)).await;
        assert!(
            matches!(&polled, Err(Error::GrantDead(why)) if why.to_string().contains(advice)),
            "{polled:?}"
        );
    }
    for trouble in [
        Does::Drops,
        Does::Stalls(Vec::new()),
        json("502 Bad Gateway", "<html>"),
    ] {
        let (polled, pretend) = polled(trouble).await;
        assert!(matches!(polled, Err(Error::Unavailable(_))), "{polled:?}");
        assert_eq!(pretend.heard().len(), 1, "the caller polls again");
    }
}

#[tokio::test]
async fn an_approved_code_brings_tokens() {
    let good = r#"{"access_token":"a","refresh_token":"r","expires_in":3600}"#;
    let (polled, pretend) = polled(json("200 OK", good)).await;
    let tokens = polled.unwrap();
    assert_eq!(tokens.access.reveal(), "a");
    assert_eq!(tokens.refresh.unwrap().reveal(), "r");
    let request = pretend.heard().concat();
    let (head, form) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token "), "{head}");
    let mut form: Vec<_> = form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect();
    form.sort();
    let pairs = [
        ("client_id", "the app"),
        ("client_secret", "s3&cret"),
        ("device_code", "the-device-code"),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
    ];
    assert_eq!(form, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn words_of_polling_mean_nothing_to_other_grants() {
    for word in ["authorization_pending", "slow_down"] {
        let no = json("400 Bad Request", &value!({"error": word}).to_string());
        let pretend = Pretend::start(vec![no]).await;
        let asked = client(None)
            .ask(
                &device(&pretend.url()),
                None,
                &Grant::Refresh(Secret::from("0.r")),
            )
            .await;
        assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    }
}
