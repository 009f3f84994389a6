//! Issuers compared: browsers' answers, ID tokens, and what the table knows.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::id_token::{self, Expected};
use super::super::issuer::{describes, is_same, known_to};
use super::super::{Question, SignedIn, named_in_access_token, prove_answer};
use super::account;
use crate::secret::AccessToken;

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const OTHER: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn entra(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

#[test]
fn issuers_are_the_same_text_or_any_tenants_id() {
    for (expected, said) in [
        ("https://idp.example", "https://idp.example"),
        ("https://idp.example/", "https://idp.example"),
        ("https://idp.example/a", "https://idp.example/a/"),
        (&entra("{tenantid}"), &*entra(TENANT)),
        (&entra(TENANT), &entra(TENANT)),
    ] {
        assert!(is_same(expected, said), "{expected} {said}");
    }
    for (expected, said) in [
        ("https://idp.example", "https://idp.example.evil.example"),
        ("https://idp.example", "http://idp.example"),
        ("https://idp.example/a", "https://idp.example/A"),
        ("https://idp.example", ""),
        (&entra("{tenantid}"), &*entra("common")),
        (&entra("{tenantid}"), &entra("{tenantid}")),
        (&entra("{tenantid}"), &entra(&format!("{TENANT}/x"))),
        (&entra("{tenantid}"), "https://evil.example/v2.0"),
        (&entra(TENANT), &entra(OTHER)),
    ] {
        assert!(!is_same(expected, said), "{expected} {said}");
    }
}

#[test]
fn a_document_describes_its_own_issuer_alone() {
    for (said, configured) in [
        ("https://idp.example", "https://idp.example/"),
        (&*entra("{tenantid}"), &*entra("common")),
        (&entra("{tenantid}"), &entra("organizations")),
        (&entra(OTHER), &entra("consumers")),
        (&entra(TENANT), &entra("contoso.com")),
        (
            "http://127.0.0.1:1/{tenantid}/v2.0",
            "http://127.0.0.1:1/common/v2.0",
        ),
    ] {
        assert!(describes(said, configured), "{said} {configured}");
    }
    for (said, configured) in [
        ("https://evil.example", "https://idp.example"),
        ("https://idp.example/b", "https://idp.example/a"),
        ("https://idp.example", "https://idp.example/a"),
        (&*entra("{tenantid}"), "https://evil.example/common/v2.0"),
        (&entra("fabrikam.com"), &entra("contoso.com")),
        (
            &format!("https://idp.example/{TENANT}"),
            "https://idp.example/common",
        ),
    ] {
        assert!(!describes(said, configured), "{said} {configured}");
    }
}

fn asked_of(issuer: Option<&str>, is_sent: bool) -> Question {
    Question {
        issuer: issuer.map(str::to_owned),
        issuer_is_sent: is_sent,
        ..Question::default()
    }
}

#[test]
fn answers_from_elsewhere_are_refused_and_both_are_named() {
    let good = Some("https://idp.example");
    let evil = Some("https://evil.example");
    assert!(prove_answer(&asked_of(good, false), good).is_ok());
    assert!(prove_answer(&asked_of(good, true), good).is_ok());
    // Some send it without a promise, some promise nothing and send nothing.
    assert!(prove_answer(&asked_of(good, false), None).is_ok());
    // Nothing is known: nothing is compared.
    assert!(prove_answer(&asked_of(None, false), evil).is_ok());
    for is_sent in [false, true] {
        let why = prove_answer(&asked_of(good, is_sent), evil).unwrap_err();
        for issuer in ["https://idp.example", "https://evil.example"] {
            assert!(why.as_str().contains(issuer), "{why}");
        }
    }
    let why = prove_answer(&asked_of(good, true), None).unwrap_err();
    assert!(
        why.as_str().contains("does not say who sent it") && why.as_str().contains("idp.example"),
        "{why}"
    );
    // Entra's shared tenants: any tenant at this step.
    let shared = entra("{tenantid}");
    assert!(prove_answer(&asked_of(Some(&shared), true), Some(&entra(TENANT))).is_ok());
    assert!(prove_answer(&asked_of(Some(&shared), true), Some(&entra("common"))).is_err());
}

#[test]
fn the_table_knows_issuers_of_its_own_endpoints() {
    let known = |permission_url: Option<&str>, token_url: &str, issuer: Option<&str>| {
        let mut account = account(token_url);
        account.permission_url = permission_url.map(str::to_owned);
        account.issuer = issuer.map(str::to_owned);
        known_to(&account)
    };
    let entra_at = |tenant: &str, what: &str| {
        format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{what}")
    };
    let table = [
        (
            Some("https://accounts.google.com/o/oauth2/auth".to_owned()),
            "https://oauth2.googleapis.com/token".to_owned(),
            Some("https://accounts.google.com".to_owned()),
        ),
        (
            Some(entra_at("common", "authorize?prompt=login")),
            entra_at("common", "token"),
            Some(entra("{tenantid}")),
        ),
        (
            Some(entra_at(TENANT, "devicecode")),
            entra_at(TENANT, "token"),
            Some(entra(TENANT)),
        ),
        // Version 1 of the endpoints has another issuer.
        (
            Some("https://login.microsoftonline.com/common/oauth2/authorize".to_owned()),
            "https://login.microsoftonline.com/common/oauth2/token".to_owned(),
            None,
        ),
        // One endpoint here, one there: nobody can say.
        (
            Some("https://idp.example/authorize".to_owned()),
            "https://oauth2.googleapis.com/token".to_owned(),
            None,
        ),
        (None, "https://idp.example/token".to_owned(), None),
    ];
    for (permission_url, token_url, issuer) in table {
        assert_eq!(
            known(permission_url.as_deref(), &token_url, None),
            issuer,
            "{permission_url:?}"
        );
    }
    let said = |issuer: &str| known(None, "https://idp.example/token", Some(issuer));
    assert_eq!(
        said("https://idp.example/").as_deref(),
        Some("https://idp.example")
    );
    assert_eq!(said(&entra("contoso.com")), Some(entra("{tenantid}")));
    assert_eq!(said(&entra(TENANT)), Some(entra(TENANT)));
    // Stricter than what the addresses say, and inherited beside somebody else's addresses.
    let token = entra_at("common", "token");
    assert_eq!(
        known(None, &token, Some(&entra(TENANT))),
        Some(entra(TENANT))
    );
    let google = "https://oauth2.googleapis.com/token";
    assert_eq!(
        known(None, google, Some(&entra("common"))).as_deref(),
        Some("https://accounts.google.com")
    );
}

/// A JWT that nobody signed.
fn jwt(payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg":"RS256"})), part(payload))
}

fn expected<'a>(issuer: Option<&'a str>, answered_by: Option<&'a str>) -> Expected<'a> {
    Expected {
        client_id: "the-app",
        issuer,
        answered_by,
    }
}

#[test]
fn id_tokens_say_who_signed_in() {
    let anybody = expected(None, None);
    let names = |payload: Value| {
        let claims = id_token::read(&jwt(&payload)).unwrap();
        id_token::prove(&claims, &anybody).unwrap()
    };
    let entra_payload = json!({
        "iss": entra(TENANT), "aud": "the-app", "tid": TENANT, "name": "Jörg",
        "preferred_username": "jörg@contoso.com", "upn": "J@contoso.com",
        "email": "jörg@contoso.com", "unique_name": "live.com#joerg@outlook.com",
    });
    assert_eq!(
        names(entra_payload),
        Some(SignedIn {
            name: "jörg@contoso.com".into(),
            names: vec![
                "jörg@contoso.com".into(),
                "J@contoso.com".into(),
                "joerg@outlook.com".into()
            ],
            issuer: Some(entra(TENANT)),
            tenant: Some(TENANT.into()),
        })
    );
    let name = |payload| names(payload).map(|signed_in| signed_in.name);
    assert_eq!(
        name(json!({"preferred_username": "jdoe", "email": "j@example.org"})).as_deref(),
        Some("j@example.org")
    );
    for nobody in [
        json!({}),
        json!({"sub": "1", "preferred_username": "jdoe"}),
        json!({"email": "a@b.example", "email_verified": false}),
        json!({"email": 7, "upn": ["a@b"], "preferred_username": null}),
        json!({"email": "a b@c.example", "upn": "@c", "preferred_username": "a@", "unique_name": "a@b@c"}),
        json!({"email": "a@b\r\nX: y"}),
        json!({"email": format!("{}@b.example", "a".repeat(300))}),
    ] {
        assert_eq!(name(nobody.clone()), None, "{nobody}");
    }
}

#[test]
fn broken_id_tokens_say_nothing_and_break_nothing() {
    let payload = json!({"email": "a@b.example"}).to_string();
    let good = [
        format!("e30.{}.s", URL_SAFE_NO_PAD.encode(&payload)),
        format!("e30.{}.", URL_SAFE.encode(&payload)),
    ];
    for token in &good {
        assert!(id_token::read(token).is_some(), "{token}");
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for bad in [
        String::new(),
        "a".into(),
        "a.b".into(),
        "a.!!.c".into(),
        "a.e30.c.d.e".into(),
        format!("a.{}.c", URL_SAFE_NO_PAD.encode("[1]")),
        format!("a.{}.c", URL_SAFE_NO_PAD.encode(&deep)),
        format!("a.{}.c", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
        format!("a.{}.c", "A".repeat(17_000)),
    ] {
        assert_eq!(id_token::read(&bad), None);
    }
}

#[test]
fn id_tokens_of_others_or_for_others_are_refused() {
    let prove = |payload: Value, expected: &Expected<'_>| {
        id_token::prove(&id_token::read(&jwt(&payload)).unwrap(), expected)
    };
    let shared = entra("{tenantid}");
    let theirs = entra(TENANT);
    let good = json!({"iss": theirs, "aud": ["x", "the-app"], "tid": TENANT, "upn": "a@b.example"});
    assert!(
        prove(good.clone(), &expected(Some(&shared), Some(&theirs)))
            .unwrap()
            .is_some()
    );
    // The answer named another tenant than the token.
    let other = entra(OTHER);
    let why = prove(good, &expected(Some(&shared), Some(&other))).unwrap_err();
    assert!(
        why.as_str().contains(TENANT) && why.as_str().contains(OTHER),
        "{why}"
    );
    // The token does not agree with itself.
    let torn = json!({"iss": theirs, "aud": "the-app", "tid": OTHER, "upn": "a@b.example"});
    assert!(prove(torn, &expected(Some(&shared), None)).is_err());
    let google = json!({"iss": "accounts.google.com", "aud": "the-app", "email": "a@b.example"});
    let issuer = Some("https://accounts.google.com");
    assert!(
        prove(google.clone(), &expected(issuer, issuer))
            .unwrap()
            .is_some()
    );
    let why = prove(google, &expected(Some("https://idp.example"), None)).unwrap_err();
    assert!(why.as_str().contains("`issuer`"), "{why}");
    let for_others =
        json!({"iss": "https://idp.example", "aud": "another", "email": "a@b.example"});
    let why = prove(
        for_others.clone(),
        &expected(Some("https://idp.example"), None),
    )
    .unwrap_err();
    assert!(why.as_str().contains("`another`"), "{why}");
    // Nothing is known, nothing is compared; and one that says nothing about itself is not believed.
    assert!(prove(for_others, &expected(None, None)).unwrap().is_some());
    for mute in [
        json!({"aud": "the-app", "email": "a@b.example"}),
        json!({"iss": "https://idp.example", "email": "a@b.example"}),
    ] {
        let said = prove(mute, &expected(Some("https://idp.example"), None));
        assert_eq!(said, Ok(None));
    }
}

#[test]
fn access_tokens_of_exchange_name_their_user() {
    let named = |text: &str| named_in_access_token(&AccessToken::parse(text).unwrap());
    let delegated = jwt(
        &json!({"aud": "https://outlook.office.com", "upn": "me@contoso.com",
        "unique_name": "me@contoso.com", "scp": "SMTP.Send"}),
    );
    assert_eq!(named(&delegated).unwrap().name, "me@contoso.com");
    let app_only =
        jwt(&json!({"aud": "https://outlook.office.com", "roles": ["IMAP.AccessAsApp"]}));
    assert_eq!(named(&app_only), None);
    assert_eq!(named("ya29.opaque-token"), None);
    assert_eq!(named("EwBIA8l6BAAU"), None);
}
