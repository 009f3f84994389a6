//! What hostile token endpoints say: R-12 and R-13.

use std::sync::Arc;

use crate::endpoint::{
    Endpoint, PASSWORD, Speech, TOKEN, USER, app, asking, assert_hides, http, json, log_in,
};
use crate::support::daemon::{Plan, free_port, visit};
use crate::support::logs::Logs;
use crate::support::provider::{Fault, Provider};

#[tokio::test]
async fn r12_only_a_bearer_token_fit_for_a_login_is_used() {
    let provider = Provider::start().await;
    let long = "a".repeat(16_385);
    let token = |value: &str| format!(r#"{{"access_token":{value},"token_type":"Bearer"}}"#);
    let table = [
        token(r#""""#),
        token(r#"" ""#),
        token(r#""ya29 a""#),
        token(r#""ya29.a\r\nx OK""#),
        token(r#""ya29.a\u0001\u0001auth=Bearer b""#),
        token(r#""tök""#),
        token(r#""a\u0000""#),
        token(r#""ya29,a""#),
        token(&format!("\"{long}\"")),
        token("7"),
        token("null"),
        token("true"),
        token(r#"{"a":"b"}"#),
        token(r#"["ya29.a"]"#),
        r#"{"token_type":"Bearer"}"#.to_owned(),
        format!(r#"{{"access_token":"{TOKEN}","token_type":"mac"}}"#),
        format!(r#"{{"access_token":"{TOKEN}","token_type":"{TOKEN}"}}"#),
        format!(r#"{{"access_token":"{TOKEN}","token_type":["Bearer"]}}"#),
        format!(r#"{{"access_token":"{TOKEN}","refresh_token":"a\u0001b"}}"#),
        format!(r#"{{"access_token":"{TOKEN}","error":"invalid_grant"}}"#),
        format!(r#"{{"access_token":"{TOKEN}","error":["no"]}}"#),
        format!(r#"{{"access_token":"{TOKEN}","access_token":"another.token"}}"#),
        format!(r#"{{"{TOKEN}":1,"error":{{"message":"{TOKEN}"}},"access_token":"{TOKEN}"}}"#),
    ];
    for body in table {
        let logs = Logs::catch();
        let endpoint = Endpoint::says(json("200 OK", &body)).await;
        let proxy = asking(&provider, &endpoint.url());
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO ["), "{body:.80}: {said}");
        assert_hides(&said, TOKEN, &body);
        assert_hides(&logs.text(), TOKEN, &body);
        assert_eq!(endpoint.heard().len(), 1, "{body:.80}");
        assert!(!provider.world.journal.holds("AUTHENTICATE"), "{body:.80}");
    }
}

#[tokio::test]
async fn r13_a_providers_words_come_cut_in_one_harmless_line_with_code_and_id() {
    let provider = Provider::start().await;
    let id = "7f1d0c9e-0000-4000-8000-000000000001";
    let words = format!(
        "\u{1b}[31mA\r\na1 OK done\r\n<script>alert(1)</script>\u{0}\u{7}\u{202e}é{}",
        "d".repeat(20_000)
    );
    for status in [400, 401, 403, 200, 429, 500] {
        let body = serde_json::json!({
            "error": "invalid_client", "error_description": words, "correlation_id": id,
            "trace_id": "x".repeat(5_000),
        });
        let fault = Fault {
            status,
            content_type: "application/json",
            body: body.to_string(),
        };
        provider
            .world
            .turn(|knobs| knobs.token_faults.extend([fault.clone()]));
        let logs = Logs::catch();
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO ["), "{said}");
        for there in ["invalid_client", id] {
            assert!(said.contains(there), "{status}: {said}");
            assert!(logs.hold(there), "{status}: {}", logs.text());
        }
        assert!(said.bytes().all(|b| (0x20..0x7f).contains(&b)), "{said:?}");
        let reason = said.split_once(&format!("{USER}: ")).unwrap().1;
        let theirs = reason.split_once(" (trace_id ").unwrap().0;
        assert_eq!(theirs.len(), 200, "{theirs}");
        for line in logs.text().lines() {
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
            assert!(line.len() < 1_300, "{line}");
        }
        assert!(!logs.text().contains("\na1 OK"), "{}", logs.text());
    }
    // On a page it is text too.
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .start();
    let fault = Fault::json(400, "invalid_client", &words);
    provider
        .world
        .turn(|knobs| knobs.token_faults.extend([fault]));
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} \"{PASSWORD}\"")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(page.contains("invalid_client"), "{page}");
    assert!(
        !page.contains("<script") && !page.contains('\u{1b}'),
        "{page}"
    );
    assert!(page.len() < 4_000, "{}", page.len());
}

#[tokio::test]
async fn r13_nothing_that_was_sent_comes_back_in_any_wrapping() {
    let provider = Provider::start().await;
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    let plain = |request: &str| {
        let form = url::form_urlencoded::parse(request.as_bytes()).into_owned();
        form.map(|(key, value)| format!("{key} is {value}, "))
            .collect::<Vec<_>>()
            .concat()
    };
    let speeches: Vec<Speech> = vec![
        Arc::new(move |request| {
            let said =
                serde_json::json!({"error": "invalid_request", "error_description": body(request)});
            json("400 Bad Request", &said.to_string())
        }),
        Arc::new(move |request| {
            let said = plain(&body(request));
            let said = serde_json::json!({"error": said, "error_description": said, "trace_id": said, "correlation_id": said});
            json("401 Unauthorized", &said.to_string())
        }),
        Arc::new(move |request| {
            http(
                "400 Bad Request",
                "Content-Type: text/html\r\n",
                &format!("<title>{}</title>", plain(&body(request))),
            )
        }),
        Arc::new(move |request| http("500 Oops", "", &body(request))),
        Arc::new(move |request| {
            let to = format!(
                "Location: https://evil.example/{}?{}\r\n",
                "x".repeat(150),
                body(request)
            );
            http("302 Found", &to, "")
        }),
        Arc::new(move |request| {
            let said = plain(&body(request));
            json(
                "200 OK",
                &serde_json::json!({"access_token": "a", "token_type": said}).to_string(),
            )
        }),
        Arc::new(move |request| {
            json(
                "200 OK",
                &serde_json::json!({plain(&body(request)): 1}).to_string(),
            )
        }),
        Arc::new(move |request| {
            let said = serde_json::json!({"error": "invalid_request", "error_description": format!("{}{}", "y".repeat(430), body(request))});
            json("400 Bad Request", &said.to_string())
        }),
        Arc::new(move |request| {
            http(
                "503 Busy",
                &format!("Retry-After: {}\r\n", body(request)),
                "",
            )
        }),
        Arc::new(move |request| {
            http(
                "200 OK",
                &format!("Content-Encoding: {}\r\n", body(request)),
                "",
            )
        }),
    ];
    for (turn, speech) in speeches.into_iter().enumerate() {
        let endpoint = Endpoint::start(None, speech).await;
        let port = free_port();
        // In an application's name, and in a person's.
        let account = |user: &str| {
            crate::support::daemon::person(&provider, user, port)
                .replace(&provider.token_url(), &endpoint.url())
        };
        let logs = Logs::catch();
        let proxy = Plan::for_provider(&provider)
            .section(&app(USER, &endpoint.url()))
            .section(&account("person@example.com"))
            .start();
        let mut shown = log_in(&proxy, USER).await;
        let mut client = proxy.imap().await;
        client.say("x LOGIN person@example.com secret").await;
        shown.push_str(&visit(&proxy.asked().await).await);
        shown.push_str(&client.until_tagged("x").await.concat());
        shown.push_str(&logs.text());
        let requests = endpoint.heard();
        assert_eq!(requests.len(), 2, "{turn}");
        for request in &requests {
            let (_, form) = request.split_once("\r\n\r\n").unwrap();
            for (key, value) in url::form_urlencoded::parse(form.as_bytes()) {
                if ["client_secret", "code", "code_verifier"].contains(&&*key) {
                    assert_hides(&shown, &value, &format!("{turn} {key}"));
                }
            }
        }
    }
}

#[tokio::test]
async fn r13_half_an_answer_shows_no_token() {
    let provider = Provider::start().await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for answer in [
        json(
            "200 OK",
            &format!(r#"{{"access_token":"{TOKEN}","expires_in":NaN}}"#),
        ),
        json(
            "200 OK",
            &format!(r#"{{"access_token":"{TOKEN}","expires_in":1e400}}"#),
        ),
        json(
            "200 OK",
            &format!(r#"{{"access_token":"{TOKEN}","x":{deep}}}"#),
        ),
        json("200 OK", &format!(r#"{{"access_token":"{TOKEN}""#)),
        json("200 OK", &format!(r#"[{{"access_token":"{TOKEN}"}}]"#)),
        json(
            "400 Bad Request",
            &format!(r#"{{"access_token":"{TOKEN}"}}"#),
        ),
        json("500 Oops", &format!(r#"{{"access_token":"{TOKEN}"}}"#)),
        http(
            "200 OK",
            "",
            &format!("access_token={TOKEN}&token_type=bearer"),
        ),
        http(
            "302 Found",
            "Location: /\r\n",
            &format!(r#"{{"access_token":"{TOKEN}"}}"#),
        ),
        http(
            "200 OK",
            "Content-Encoding: br\r\n",
            &format!(r#"{{"access_token":"{TOKEN}"}}"#),
        ),
    ] {
        let logs = Logs::catch();
        let endpoint = Endpoint::says(&answer).await;
        let proxy = asking(&provider, &endpoint.url());
        let said = log_in(&proxy, USER).await;
        let what = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        assert!(said.starts_with("NO ["), "{what}: {said}");
        assert_hides(&format!("{said}{}", logs.text()), TOKEN, &what);
    }
}
