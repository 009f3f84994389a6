//! Answers of real and odd endpoints, and how each is judged.

use std::time::Duration;

use oauth2::HttpResponse;

use super::super::answer::{Asked, straighten, tokens};
use super::super::quiet::Quiet;
use super::super::{Error, Tokens};

fn asked() -> Asked {
    Asked {
        key: "token_url",
        mortal: true,
        polling: false,
        quiet: Quiet::of_form(b"client_id=app&client_secret=s3cr3t&refresh_token=1//0gAbC"),
    }
}

fn judge_as(status: u16, kind: &str, body: &[u8], asked: &Asked) -> Result<Tokens, Error> {
    let mut answer = HttpResponse::new(body.to_vec());
    *answer.status_mut() = status.try_into().unwrap();
    answer
        .headers_mut()
        .insert("content-type", kind.try_into().unwrap());
    let strict = straighten(&answer, asked)?;
    assert_eq!(strict.status(), 200);
    // What the `oauth2` crate does with it.
    tokens(&serde_json::from_slice(strict.body()).unwrap())
}

pub(super) fn judge(status: u16, body: &str) -> Result<Tokens, Error> {
    judge_as(status, "application/json", body.as_bytes(), &asked())
}

#[test]
fn r12_good_answers_of_real_endpoints_are_understood() {
    // (what, status, content type, body, access, seconds, refresh)
    let table = [
        (
            "Entra v2",
            200,
            "application/json; charset=utf-8",
            r#"{"token_type":"Bearer","scope":"https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send","expires_in":4799,"ext_expires_in":4799,"access_token":"eyJ0eXAi.eyJhdWQi.c2ln-_","refresh_token":"0.AXoA_b","id_token":"e.y.J"}"#,
            "eyJ0eXAi.eyJhdWQi.c2ln-_",
            4799,
            Some("0.AXoA_b"),
        ),
        (
            "Entra v1",
            200,
            "application/json",
            r#"{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","expires_on":"1790000000","not_before":"1789996400","resource":"https://outlook.office365.com","access_token":"ey.J.1"}"#,
            "ey.J.1",
            3599,
            None,
        ),
        (
            "Google",
            200,
            "application/json; charset=utf-8",
            "{\n  \"access_token\": \"ya29.a0Af_H-6\",\n  \"expires_in\": 3599,\n  \"refresh_token\": \"1//0gAbC\",\n  \"scope\": \"https://mail.google.com/\",\n  \"token_type\": \"Bearer\"\n}",
            "ya29.a0Af_H-6",
            3599,
            Some("1//0gAbC"),
        ),
        (
            "scope as a list, lower case type, float",
            200,
            "application/json",
            r#"{"access_token":"a","token_type":"bearer","scope":["imap","smtp"],"expires_in":1800.7}"#,
            "a",
            1800,
            None,
        ),
        (
            "as little as possible, as text",
            200,
            "text/plain",
            r#"{"access_token":"a"}"#,
            "a",
            3600,
            None,
        ),
        (
            "created, nulls, empty refresh token",
            201,
            "text/html",
            r#"{"access_token":"a","token_type":null,"expires_in":null,"refresh_token":"","error":null}"#,
            "a",
            3600,
            None,
        ),
        (
            "byte order mark",
            200,
            "application/json",
            "\u{feff}{\"access_token\":\"a\",\"token_type\":\"BEARER\"}",
            "a",
            3600,
            None,
        ),
        (
            "never ends",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":"99999999999999999999"}"#,
            "a",
            2_592_000,
            None,
        ),
        (
            "already over",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":-5}"#,
            "a",
            0,
            None,
        ),
        (
            "no number",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":"an hour"}"#,
            "a",
            3600,
            None,
        ),
        (
            "without end",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":"1e400"}"#,
            "a",
            3600,
            None,
        ),
        (
            "not a number",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":"NaN"}"#,
            "a",
            3600,
            None,
        ),
        (
            "wrong types beside",
            200,
            "application/json",
            r#"{"access_token":"a","expires_in":[1],"refresh_token":{"x":1}}"#,
            "a",
            3600,
            None,
        ),
    ];
    for (what, status, kind, body, access, seconds, refresh) in table {
        let tokens = judge_as(status, kind, body.as_bytes(), &asked())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(tokens.access.reveal(), access, "{what}");
        assert_eq!(tokens.lifetime, Duration::from_secs(seconds), "{what}");
        assert_eq!(
            tokens
                .refresh
                .map(|refresh| refresh.reveal().clone())
                .as_deref(),
            refresh,
            "{what}"
        );
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Dead,
    Denied,
    Unavailable,
}

fn verdict(result: Result<Tokens, Error>) -> (Verdict, String) {
    let error = result.unwrap_err();
    let verdict = match &error {
        Error::GrantDead(_) => Verdict::Dead,
        Error::Denied(_) => Verdict::Denied,
        Error::Unavailable(_) => Verdict::Unavailable,
        other => panic!("{other}"),
    };
    (verdict, error.to_string())
}

#[test]
fn refusals_are_told_apart_and_say_what_to_do() {
    // (status, body, verdict, words that must be in the message)
    let table: &[(u16, &str, Verdict, &[&str])] = &[
        (
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity. The token was issued on 2026-01-01T00:00:00Z and was inactive for 90.00:00:00.\r\nTrace ID: 7f1d0c9e-0000-4000-8000-000000000001\r\nCorrelation ID: 9a8b\r\nTimestamp: 2026-11-22 10:00:00Z","error_codes":[700082],"timestamp":"2026-11-22 10:00:00Z","trace_id":"7f1d0c9e-0000-4000-8000-000000000001","correlation_id":"9a8b","error_uri":"https://login.microsoftonline.com/error?code=700082"}"#,
            Verdict::Dead,
            &[
                "invalid_grant: AADSTS700082: The refresh token has expired",
                "; the refresh token was not used for too long (Entra ends it after 90 days); sign in again: emailproxy authorize ",
                " (trace_id 7f1d0c9e-",
                "correlation_id 9a8b)",
            ],
        ),
        (
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app 'x'.\r\nTrace ID: 1","error_codes":[7000215]}"#,
            Verdict::Denied,
            &["AADSTS7000215", "secret's Value, not its ID"],
        ),
        (
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired."}"#,
            Verdict::Denied,
            &["AADSTS7000222", "make a new one"],
        ),
        (
            400,
            r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application with identifier 'x' was not found in the directory 'y'."}"#,
            Verdict::Denied,
            &["AADSTS700016", "check client_id"],
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"AADSTS90002: Tenant 'nowhere' not found."}"#,
            Verdict::Denied,
            &["AADSTS90002", "check the tenant"],
        ),
        (
            400,
            r#"{"error":"invalid_client","error_description":"AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}"#,
            Verdict::Denied,
            &["Allow public client flows"],
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS65001: The user or administrator has not consented to use the application."}"#,
            Verdict::Dead,
            &["accept them"],
        ),
        // A policy stands in the way; the refresh token is good again once it is lifted.
        (
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS53003: Access has been blocked by Conditional Access policies.","error_codes":[53003],"suberror":"message_only"}"#,
            Verdict::Denied,
            &["Conditional Access"],
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_codes":[530032]}"#,
            Verdict::Denied,
            &["AADSTS530032"],
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS70012: A server error occurred while authenticating an MSA."}"#,
            Verdict::Unavailable,
            &["AADSTS70012"],
        ),
        (
            400,
            r#"{"error":"interaction_required","error_description":"AADSTS50076: Due to a configuration change made by your administrator ...","claims":"{}"}"#,
            Verdict::Dead,
            &["second factor"],
        ),
        (
            400,
            "{\n  \"error\": \"invalid_grant\",\n  \"error_description\": \"Token has been expired or revoked.\"\n}",
            Verdict::Dead,
            &[
                "Token has been expired or revoked; ",
                "; sign in again",
                "7 days",
            ],
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Bad Request"}"#,
            Verdict::Dead,
            &["invalid_grant: Bad Request"],
        ),
        (
            401,
            r#"{"error":"invalid_client","error_description":"The OAuth client was not found."}"#,
            Verdict::Denied,
            &["check client_id"],
        ),
        (
            400,
            r#"{"error":"login_required"}"#,
            Verdict::Dead,
            &["login_required"],
        ),
        (
            400,
            r#"{"error":"consent_required"}"#,
            Verdict::Dead,
            &["consent_required"],
        ),
        (
            403,
            r#"{"error":"access_denied"}"#,
            Verdict::Denied,
            &["access_denied"],
        ),
        (
            400,
            r#"{"error":"unsupported_grant_type"}"#,
            Verdict::Denied,
            &["oauth2_flow"],
        ),
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            Verdict::Denied,
            &["oauth2_scope"],
        ),
        // Said with 200, as some do.
        (
            200,
            r#"{"error":"invalid_grant"}"#,
            Verdict::Dead,
            &["invalid_grant"],
        ),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            Verdict::Unavailable,
            &["temporarily_unavailable"],
        ),
        (
            400,
            r#"{"error":"slow_down"}"#,
            Verdict::Unavailable,
            &["slow_down"],
        ),
        // A server in trouble kills no refresh token, whatever it says.
        (
            500,
            r#"{"error":"invalid_grant"}"#,
            Verdict::Unavailable,
            &["HTTP 500", "invalid_grant"],
        ),
        (
            429,
            r#"{"error":"invalid_request"}"#,
            Verdict::Unavailable,
            &["HTTP 429"],
        ),
        // Google's other shape.
        (
            403,
            r#"{"error":{"code":403,"message":"Caller lacks permission","status":"PERMISSION_DENIED"}}"#,
            Verdict::Denied,
            &["PERMISSION_DENIED: Caller lacks permission"],
        ),
        // No error code, no verdict.
        (400, "", Verdict::Unavailable, &["HTTP 400", "empty answer"]),
        (
            400,
            r#"{"message":"no"}"#,
            Verdict::Unavailable,
            &["HTTP 400"],
        ),
        (400, r#"["error"]"#, Verdict::Unavailable, &["HTTP 400"]),
        (
            502,
            "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>",
            Verdict::Unavailable,
            &["HTTP 502: 502 Bad Gateway"],
        ),
        (
            200,
            "<!DOCTYPE html><p>Welcome to <b>Hotel</b> Wi-Fi",
            Verdict::Unavailable,
            &["Welcome to Hotel Wi-Fi"],
        ),
        (
            200,
            r#"{"token":"a","user":"b"}"#,
            Verdict::Unavailable,
            &["no access_token but [token, user]"],
        ),
        (
            200,
            r#"{"access_token":7}"#,
            Verdict::Unavailable,
            &["no access_token"],
        ),
        // Tokens that no mail server takes, or that would break out of the SASL message.
        (
            200,
            r#"{"access_token":"a","token_type":"mac"}"#,
            Verdict::Denied,
            &["mac", "Bearer"],
        ),
        (
            200,
            r#"{"access_token":"a\u0001auth=Bearer b"}"#,
            Verdict::Denied,
            &["characters"],
        ),
    ];
    for (status, body, expected, words) in table {
        let (verdict, message) = verdict(judge(*status, body));
        assert_eq!(verdict, *expected, "{body}: {message}");
        for word in *words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }
}

#[test]
fn nothing_can_die_where_nothing_stored_was_handed_in() {
    let unasked = Asked::default();
    let body = br#"{"error":"invalid_grant","error_description":"AADSTS50126: Error validating credentials due to invalid username or password."}"#;
    let (verdict, _) = verdict(judge_as(400, "application/json", body, &unasked));
    assert_eq!(verdict, Verdict::Denied);
}

#[test]
fn echoed_secrets_are_not_repeated() {
    for body in [
        r#"{"error":"invalid_grant","error_description":"token 1//0gAbC with s3cr3t"}"#,
        "<title>bad form</title><pre>client_secret=s3cr3t&refresh_token=1%2F%2F0gAbC</pre>",
        "cannot parse client_secret=s3cr3t&refresh_token=1%2F%2F0gAbC",
    ] {
        let (_, message) = verdict(judge(400, body));
        assert!(
            !message.contains("s3cr3t") && !message.contains("0gAbC"),
            "{message}"
        );
    }
}

#[test]
fn messages_are_bounded_single_printable_lines() {
    let body = format!(
        "{{\"error\":\"{}\",\"error_description\":\"a\\r\\n\\u001b[31m{}\"}}",
        "e".repeat(5_000),
        "d".repeat(50_000)
    );
    let (_, message) = verdict(judge(400, &body));
    assert!(message.len() <= 1_000, "{}", message.len());
    assert!(
        message.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{message}"
    );
    let (_, message) = verdict(judge(502, &"<p>x".repeat(20_000)));
    assert!(
        message.len() <= 1_000 && !message.contains('<'),
        "{message}"
    );
}

#[test]
fn json_bombs_are_not_unpacked() {
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    assert_eq!(verdict(judge(200, &deep)).0, Verdict::Unavailable);
    let nested = |depth: usize| {
        format!(
            "{{\"access_token\":\"a\",\"x\":{}1{}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(judge(200, &nested(15)).is_ok());
    assert!(judge(200, &nested(16)).is_err());
    // Brackets inside strings do not nest.
    assert!(
        judge(
            200,
            &format!(r#"{{"access_token":"a","x":"\"{}"}}"#, "[".repeat(99))
        )
        .is_ok()
    );
}

#[test]
fn compressed_answers_and_redirects_are_refused() {
    let mut answer = HttpResponse::new(br#"{"access_token":"a"}"#.to_vec());
    answer
        .headers_mut()
        .insert("content-encoding", "gzip".try_into().unwrap());
    assert!(matches!(
        straighten(&answer, &asked()),
        Err(Error::Unavailable(_))
    ));
    answer
        .headers_mut()
        .insert("content-encoding", "Identity".try_into().unwrap());
    assert!(straighten(&answer, &asked()).is_ok());
}
