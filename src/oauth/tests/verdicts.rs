//! The table of `verdict`, row by row, against what endpoints really do.

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

use std::time::Duration;

use super::super::verdict::{self, Sign, TABLE, Verdict};
use super::super::{Error, Grant};
use super::{Does, Pretend, account, client, json};
use crate::secret::Secret;

fn refresh() -> Grant {
    Grant::Refresh(Secret::from("0.refresh/+"))
}

/// Every sign that is a number in the reference of what Entra says, with the word it was seen with.
const ENTRA: &[(&str, &[u32])] = &[
    (
        "invalid_grant",
        &[
            50053, 50055, 50056, 50057, 50126, 50085, 50089, 50132, 50133, 50173, 54005, 65001,
            70000, 70008, 700082, 700084, 70043, 700005,
        ],
    ),
    (
        "interaction_required",
        &[50072, 50074, 50076, 50078, 50079, 50158, 50097, 700020],
    ),
    ("invalid_scope", &[28002, 70011, 700022, 700023]),
    ("invalid_resource", &[50001, 500011, 650052, 650057]),
    (
        "invalid_client",
        &[
            50012, 700027, 700030, 700024, 70002, 7000215, 7000222, 7000218, 700025, 7000229,
            700229, 700213,
        ],
    ),
    (
        "unauthorized_client",
        &[
            70001, 700011, 700016, 7000112, 65002, 50194, 9001023, 9002332,
        ],
    ),
    (
        "invalid_request",
        &[
            90002, 9002313, 900144, 901002, 90124, 90130, 90038, 50011, 50058, 50059,
        ],
    ),
    (
        "access_denied",
        &[
            16000, 50020, 500208, 51004, 50034, 50105, 50131, 53003, 53000, 53001, 530032, 53011,
            530035, 65004, 650056, 90094, 90095,
        ],
    ),
    (
        "temporarily_unavailable",
        &[
            50134, 50196, 70012, 50033, 90006, 90012, 90024, 90033, 90090, 90055,
        ],
    ),
    ("authorization_pending", &[70016]),
    ("bad_verification_code", &[70018]),
    ("expired_token", &[70019]),
];

#[test]
fn every_code_of_the_reference_has_a_verdict() {
    for (word, codes) in ENTRA {
        for code in *codes {
            assert!(verdict::of(Sign::Code(*code)).is_some(), "AADSTS{code}");
            // A code never kills where its word alone would not, but for the words of a policy or an outage.
            let alone = verdict::of_error(word, None);
            let both = verdict::of_error(word, Some(*code));
            assert!(
                both != Verdict::Dead || alone == Verdict::Dead,
                "AADSTS{code} with {word}: {both:?} instead of {alone:?}"
            );
        }
    }
}

#[test]
fn the_catalogue_tells_of_each_code_what_the_verdict_does() {
    use crate::providers::catalogue::{Class, Sign as Seen, all};
    for entry in all() {
        let Seen::Entra { error, code } = entry.sign else {
            continue;
        };
        let verdict = verdict::of_error(error, Some(code));
        let passes = !matches!(verdict, Verdict::Dead | Verdict::Denied);
        assert_eq!(entry.means.temporary, passes, "{entry:?}");
        let asks = entry.means.class == Class::ReAuthorise;
        assert!(verdict != Verdict::Dead || asks, "{entry:?}");
    }
    // And it knows each code that has a verdict.
    for sign in TABLE.iter().flat_map(|(_, signs)| *signs) {
        if let Sign::Code(code) = sign {
            let mut known = all().map(|entry| entry.sign);
            assert!(
                known.any(|seen| matches!(seen, Seen::Entra { code: known, .. } if known == *code)),
                "AADSTS{code}"
            );
        }
    }
}

#[test]
fn no_sign_has_two_verdicts() {
    let mut seen = Vec::new();
    for sign in TABLE.iter().flat_map(|(_, signs)| *signs) {
        assert!(!seen.contains(sign), "{sign:?}");
        seen.push(*sign);
    }
    for (_, codes) in ENTRA {
        for code in *codes {
            assert!(seen.contains(&Sign::Code(*code)));
        }
    }
}

/// What an endpoint does to give a sign; nothing where it takes no endpoint at all.
fn gives(sign: Sign) -> Option<Does> {
    let says = |text: &str| Some(Does::Says(text.as_bytes().to_vec()));
    match sign {
        Sign::Word(word) => Some(json(
            "400 Bad Request",
            &format!(r#"{{"error":"{word}","error_description":"as it pleases"}}"#),
        )),
        // The worst word beside it: `invalid_grant` comes with policies and outages too.
        Sign::Code(code) => Some(json(
            "400 Bad Request",
            &format!(
                r#"{{"error":"invalid_grant","error_description":"AADSTS{code}: As it pleases.\r\nTrace ID: 7f1d\r\nCorrelation ID: 9a8b\r\nTimestamp: 2026-11-22 10:00:00Z","error_codes":[{code}],"timestamp":"2026-11-22 10:00:00Z","trace_id":"7f1d","correlation_id":"9a8b","error_uri":"https://login.microsoftonline.com/error?code={code}"}}"#
            ),
        )),
        Sign::ServerTrouble => Some(json("503 Busy", r#"{"error":"invalid_grant"}"#)),
        Sign::TooMany => Some(json("429 Too Many", r#"{"error":"invalid_grant"}"#)),
        Sign::Redirected => says(
            "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n",
        ),
        Sign::Encoded => says(
            "HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n{\"error\":\"invalid_grant\"}",
        ),
        Sign::NoJson => says(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 44\r\n\r\n<html><title>Welcome to our Wi-Fi</title></p>",
        ),
        Sign::NoToken => Some(json("200 OK", r#"{"token":"a"}"#)),
        Sign::OddType => Some(json("200 OK", r#"{"access_token":"a","token_type":"mac"}"#)),
        Sign::OddToken => Some(json("200 OK", r#"{"access_token":"a\u0001b"}"#)),
        Sign::TooLong => says(&format!(
            "HTTP/1.1 200 OK\r\n\r\n{{\"access_token\":\"{}",
            "a".repeat(70_000)
        )),
        Sign::BrokeOff => {
            says("HTTP/1.1 400 No\r\nContent-Length: 500\r\n\r\n{\"error\":\"invalid_grant\"}")
        }
        Sign::NotHttp => says("220 mail.example ESMTP\r\n"),
        // The second is asked by https, which it does not speak.
        Sign::Dropped | Sign::NoTls => Some(Does::Drops),
        Sign::Silent => Some(Does::Stalls(Vec::new())),
        Sign::NoName | Sign::NoConnection => None,
    }
}

#[tokio::test]
async fn each_sign_means_what_the_table_says() {
    for (verdict, signs) in TABLE {
        for sign in *signs {
            let endpoint = match gives(*sign) {
                Some(does) => Some(Pretend::start(vec![does]).await),
                None => None,
            };
            let url = match (&endpoint, sign) {
                (Some(endpoint), Sign::NoTls) => endpoint.url().replace("http:", "https:"),
                (Some(endpoint), _) => endpoint.url(),
                // RFC 6761 section 6.4: there never is such a name.
                (None, Sign::NoName) => "https://token.invalid/".to_owned(),
                (None, _) => {
                    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0))
                        .await
                        .unwrap();
                    format!("http://{}/", closed.local_addr().unwrap())
                }
            };
            let within = match sign {
                Sign::Silent => Duration::from_millis(200),
                _ => Duration::from_secs(10),
            };
            let asked = client(None)
                .within(within)
                .ask(&account(&url), None, &refresh())
                .await;
            let error = asked.expect_err(&format!("{sign:?}"));
            let meant = match error {
                Error::GrantDead(_) => Verdict::Dead,
                Error::Denied(_) => Verdict::Denied,
                Error::Unavailable(_) | Error::Throttled { .. } => Verdict::Later,
                other => panic!("{sign:?}: {other}"),
            };
            let expected = match verdict {
                // Who does not poll for a device code is not told to go on.
                Verdict::Pending | Verdict::Slower => Verdict::Later,
                other => *other,
            };
            assert_eq!(meant, expected, "{sign:?}: {error}");
            let tries = match (sign, &endpoint) {
                (Sign::Dropped, _) => 2,
                (Sign::NoTls, _) | (_, None) => continue,
                _ => 1,
            };
            assert_eq!(endpoint.unwrap().heard().len(), tries, "{sign:?}");
        }
    }
}

#[tokio::test]
async fn where_nothing_can_die_nothing_does() {
    for word in ["invalid_grant", "interaction_required"] {
        let body = format!(r#"{{"error":"{word}"}}"#);
        let endpoint = Pretend::start(vec![json("400 Bad Request", &body)]).await;
        let grant = Grant::ClientCredentials;
        let asked = client(None)
            .ask(&account(&endpoint.url()), None, &grant)
            .await;
        assert!(matches!(asked, Err(Error::Denied(_))), "{asked:?}");
    }
}

#[tokio::test]
async fn an_endpoint_says_how_long_it_wants_to_be_left_in_peace() {
    for (head, wait) in [
        ("429 Too Many\r\nRetry-After: 120", Some(120)),
        ("503 Busy\r\nRetry-After:  7 ", Some(7)),
        (
            "503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT",
            None,
        ),
        ("503 Busy\r\nRetry-After: -1", None),
        ("503 Busy", None),
    ] {
        let endpoint = Pretend::start(vec![json(head, r#"{"error":"x"}"#)]).await;
        let asked = client(None)
            .ask(&account(&endpoint.url()), None, &refresh())
            .await;
        match (asked.unwrap_err(), wait) {
            (Error::Throttled { wait, .. }, Some(seconds)) => {
                assert_eq!(wait, Duration::from_secs(seconds), "{head}");
            }
            (Error::Unavailable(_), None) => {}
            (other, _) => panic!("{head}: {other:?}"),
        }
    }
}
