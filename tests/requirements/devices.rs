//! Hostile device endpoints: R-17.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json as value};

use crate::endpoint::{Endpoint, json};
use crate::support::client::Client;
use crate::support::daemon::{Plan, Proxy};
use crate::support::logs::Logs;
use crate::support::provider::{CLIENT_ID, Provider, SCOPE};

const USER: &str = "person@example.com";

/// What opens the account once it is approved.
const DEVICE_CODE: &str = "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS";

/// Starts a proxy whose account asks this endpoint for codes and polls there.
fn asking(provider: &Provider, endpoint: &Endpoint) -> Proxy {
    let account = format!(
        "[{USER}]\npermission_url = http://{at}/devicecode\ntoken_url = http://{at}/token\noauth2_flow = device\n\
         oauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\n",
        at = endpoint.at
    );
    Plan::for_provider(provider).section(&account).start()
}

async fn log_in(proxy: &Proxy) -> Client {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} secret")).await;
    client
}

fn good() -> Value {
    value!({
        "device_code": DEVICE_CODE, "user_code": "WDJB-MJHT", "verification_uri": "https://example.com/device",
        "expires_in": 600, "interval": 0,
    })
}

#[tokio::test]
async fn r17_nobody_is_sent_astray() {
    let provider = Provider::start().await;
    let table: Vec<(&str, Value)> = vec![
        ("verification_uri", "http://evil.example/d".into()),
        ("verification_uri", "javascript:alert(1)".into()),
        ("verification_uri", "file:///etc/passwd".into()),
        ("verification_uri", "data:text/html,x".into()),
        ("verification_uri", "//evil.example/".into()),
        (
            "verification_uri",
            "https://bank.example@evil.example/".into(),
        ),
        ("verification_uri", "https://a.example/\u{1b}[2J".into()),
        (
            "verification_uri",
            "https://a.example/\r\nINFO forged".into(),
        ),
        ("verification_uri", "https://".into()),
        ("verification_uri", 7.into()),
        (
            "verification_uri",
            format!("https://a.example/{}", "x".repeat(3_000)).into(),
        ),
        ("user_code", "A\r\nINFO forged".into()),
        ("user_code", "\u{1b}[31mA".into()),
        ("user_code", "A".repeat(100).into()),
        ("user_code", Value::Null),
        ("device_code", Value::Null),
        ("device_code", value!({"a": 1})),
        ("expires_in", 0.into()),
    ];
    for (key, said) in table {
        let mut body = good();
        body[key] = said;
        let logs = Logs::catch();
        let endpoint = Endpoint::says(json("200 OK", &body.to_string())).await;
        let proxy = asking(&provider, &endpoint);
        let heard = log_in(&proxy).await.until_tagged("x").await.pop().unwrap();
        assert!(heard.starts_with("NO [UNAVAILABLE]"), "{body}: {heard}");
        assert!(!logs.hold("Please visit"), "{body}: {}", logs.text());
        for line in logs.text().lines() {
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
            assert!(!line.starts_with("INFO forged"), "{line}");
        }
        assert_eq!(endpoint.heard().len(), 1, "{body}");
    }
}

#[tokio::test]
async fn r17_the_short_way_is_shown_only_where_it_leads_to_the_same_host() {
    let provider = Provider::start().await;
    for (complete, shown) in [
        ("https://evil.example/d?c=WDJB-MJHT", false),
        ("https://example.com:8443/device?c=WDJB-MJHT", false),
        ("http://example.com/device?c=WDJB-MJHT", false),
        ("javascript:alert(1)", false),
        ("https://example.com/device?c=WDJB-MJHT", true),
    ] {
        let mut body = good();
        body["verification_uri_complete"] = complete.into();
        let endpoint = Endpoint::says(json("200 OK", &body.to_string())).await;
        let logs = Logs::catch();
        let proxy = asking(&provider, &endpoint);
        let _client = log_in(&proxy).await;
        proxy.asked().await;
        assert_eq!(logs.hold(complete), shown, "{}", logs.text());
        assert!(logs.hold("https://example.com/device"), "{}", logs.text());
        assert!(!logs.hold(DEVICE_CODE), "{}", logs.text());
    }
}

#[tokio::test]
async fn r17_polls_are_five_seconds_apart_and_five_more_after_each_slow_down() {
    let provider = Provider::start().await;
    let code = json("200 OK", &good().to_string());
    let slower = json("400 Bad Request", r#"{"error":"slow_down","interval":0}"#);
    let endpoint = Endpoint::start(
        None,
        Arc::new(move |request: &str| {
            if request.contains("/devicecode") {
                code.clone()
            } else {
                slower.clone()
            }
        }),
    )
    .await;
    let proxy = asking(&provider, &endpoint);
    let _client = log_in(&proxy).await;
    let enough = async {
        while endpoint.heard().len() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), enough)
        .await
        .unwrap();
    let times = endpoint.times();
    let apart: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The clock of the polls has a resolution of a millisecond.
    assert!(apart[0] >= Duration::from_millis(4_900), "{apart:?}");
    assert!(apart[1] >= Duration::from_millis(9_900), "{apart:?}");
}
