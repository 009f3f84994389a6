//! Assertions that prove an application: signed with a certificate's key, or found in a file.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use rcgen::KeyPair;

use super::super::assertion::{Notices, Signer, of, seconds_since_1970};
use super::super::{Endpoint, Error, Grant};
use super::keys::{Files, KEY, OTHER, certificate, pkcs1, verified};
use super::{Pretend, account, client, json};
use crate::config::{AccountSettings, AssertionAlgorithm, Certificate};
use crate::secret::Secret;

const GOOD: &str = r#"{"access_token":"ya29.x"}"#;

/// Asks as the account and returns the form that was sent.
async fn sent(
    client: &Endpoint,
    grant: &Grant,
    shape: impl FnOnce(&mut AccountSettings),
) -> (HashMap<String, String>, String) {
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let mut account = account(&endpoint.url());
    shape(&mut account);
    client.ask(&account, None, grant).await.unwrap();
    let request = endpoint.heard().concat();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let form = url::form_urlencoded::parse(body.as_bytes());
    (form.into_owned().collect(), endpoint.url())
}

/// Asks as the account, which must be refused without a request, and returns the reason.
async fn refused(shape: impl FnOnce(&mut AccountSettings)) -> String {
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let mut account = account(&endpoint.url());
    shape(&mut account);
    let asked = client(None)
        .ask(&account, None, &Grant::ClientCredentials)
        .await;
    let Err(Error::Misconfigured(why)) = asked else {
        panic!("{asked:?}");
    };
    assert!(endpoint.heard().is_empty());
    why
}

fn every_grant() -> [Grant; 4] {
    [
        Grant::ClientCredentials,
        Grant::Refresh(Secret::from("0.refresh")),
        Grant::Password(Secret::from("pass")),
        Grant::Code {
            code: Secret::from("code"),
            redirect_uri: None,
            verifier: None,
            issuer: None,
        },
    ]
}

#[tokio::test]
async fn every_grant_is_proven_by_the_certificate_where_there_is_one() {
    let files = Files::new();
    let pair = files.usual();
    let mut ids = Vec::new();
    for grant in every_grant() {
        let (form, url) = sent(&client(None), &grant, |account| {
            account.assertion_certificate = Some(pair.clone());
        })
        .await;
        assert_eq!(form["client_id"], "the app");
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert!(!form.contains_key("client_secret"), "one proof is enough");
        let (header, claims) = verified(&form["client_assertion"], &KEY, Algorithm::PS256);
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["typ"], "JWT");
        assert!(header.get("x5t").is_none(), "{header}");
        assert_eq!(claims["aud"], url);
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&"the app".into(), &"the app".into())
        );
        let number = |key: &str| claims[key].as_u64().unwrap();
        assert_eq!(number("nbf"), number("iat"));
        assert_eq!(number("exp"), number("iat") + 300);
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "every assertion has an id of its own");
}

#[tokio::test]
async fn the_certificate_is_named_by_its_thumbprints() {
    let files = Files::new();
    let (pem, der) = certificate(&KEY, -1, 365);
    let (other, _) = certificate(&OTHER, -1, 365);
    // One file for both, the chain's other certificates behind the application's own.
    let all = files.write("all.pem", format!("{}{pem}{other}", pkcs1(&KEY)));
    for (algorithm, signed) in [
        (AssertionAlgorithm::Ps256, Algorithm::PS256),
        (AssertionAlgorithm::Rs256, Algorithm::RS256),
    ] {
        let (form, _) = sent(&client(None), &Grant::ClientCredentials, |account| {
            account.assertion_algorithm = algorithm;
            account.assertion_certificate = Some(Certificate {
                certificate: all.clone(),
                key: all.clone(),
            });
        })
        .await;
        let (header, _) = verified(&form["client_assertion"], &KEY, signed);
        let sha256 = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
        assert_eq!(
            (header["x5t#S256"].as_str(), sha256.len()),
            (Some(sha256.as_str()), 43)
        );
        let sha1 = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der));
        let older = (algorithm == AssertionAlgorithm::Rs256).then_some(sha1.as_str());
        assert_eq!(header["x5t"].as_str(), older);
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_from_then_on() {
    let files = Files::new();
    let pair = files.usual();
    let client = client(None);
    let shape = |account: &mut AccountSettings| account.assertion_certificate = Some(pair.clone());
    let (form, _) = sent(&client, &Grant::ClientCredentials, shape).await;
    verified(&form["client_assertion"], &KEY, Algorithm::PS256);
    files.write("app.pem", certificate(&OTHER, -1, 365).0);
    files.write("app.key", OTHER.serialize_pem());
    let (form, _) = sent(&client, &Grant::ClientCredentials, shape).await;
    verified(&form["client_assertion"], &OTHER, Algorithm::PS256);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_half_done_is_waited_for() {
    let files = Files::new();
    let pair = files.usual();
    std::fs::write(&pair.key, OTHER.serialize_pem()).unwrap();
    let mut account = account("https://idp.example/token");
    account.assertion_certificate = Some(pair.clone());
    let notices = Notices::default();
    let renewal = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        std::fs::write(&pair.certificate, certificate(&OTHER, -1, 365).0).unwrap();
    };
    let (proof, ()) = tokio::join!(of(&account, &notices), renewal);
    verified(proof.unwrap().unwrap().reveal(), &OTHER, Algorithm::PS256);
}

#[tokio::test]
async fn a_certificate_is_warned_about_for_its_last_thirty_days_and_once_a_day() {
    let files = Files::new();
    let mut pair = files.usual();
    pair.certificate = files.write("app.pem", certificate(&KEY, -1, 40).0);
    let signer = Signer::read(&pair).await.unwrap();
    let in_days = |days: u64| signer.judge_time(&pair, seconds_since_1970() + days * 86_400 + 60);
    assert_eq!(in_days(9), Ok(None));
    let told = in_days(10).unwrap().unwrap();
    assert!(told.contains("app.pem expires in 29 days, on "), "{told}");
    assert!(told.contains("no restart"), "{told}");
    let told = in_days(39).unwrap().unwrap();
    assert!(told.contains("expires within a day, on "), "{told}");
    assert!(in_days(40).unwrap_err().contains("expired on "));

    let notices = Notices::default();
    assert!(notices.is_due("one"));
    assert!(!notices.is_due("one"));
    assert!(notices.is_due("two"));
}

#[tokio::test]
async fn certificates_and_keys_that_cannot_prove_anything_are_told_apart() {
    let files = Files::new();
    files.usual();
    let elliptic = KeyPair::generate().unwrap();
    let with = |certificate: &str, key: &str| Certificate {
        certificate: files.path(certificate),
        key: files.path(key),
    };
    files.write("other.key", OTHER.serialize_pem());
    files.write("ec.pem", certificate(&elliptic, -1, 9).0);
    files.write("ec.key", elliptic.serialize_pem());
    files.write("expired.pem", certificate(&KEY, -9, -1).0);
    files.write("early.pem", certificate(&KEY, 2, 9).0);
    files.write("words.pem", "no certificate");
    files.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    files.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    files.write("giant.key", vec![b'x'; 300_000]);
    for (pair, words) in [
        (with("gone.pem", "app.key"), "jwt_certificate_path"),
        (with("app.pem", "gone.key"), "jwt_key_path"),
        (with("app.pem", ""), "it is not a file"),
        (with("app.pem", "giant.key"), "longer than 262144 bytes"),
        (
            with("app.pem", "other.key"),
            "does not belong to the certificate",
        ),
        (with("ec.pem", "ec.key"), "elliptic curves are not accepted"),
        (
            with("app.pem", "ec.key"),
            "elliptic curves are not accepted",
        ),
        (with("app.pem", "locked.key"), "openssl pkey"),
        (with("app.pem", "app.pem"), "no private key in PEM form"),
        (with("words.pem", "app.key"), "no certificate in PEM form"),
        (with("broken.pem", "app.key"), "cannot be read"),
        (with("expired.pem", "app.key"), "expired on"),
        (with("early.pem", "app.key"), "this machine's clock"),
    ] {
        let why = refused(|account| account.assertion_certificate = Some(pair.clone())).await;
        assert!(why.starts_with("[u@example.org] "), "{why}");
        assert!(why.contains(words), "{words:?} is not in {why}");
        assert!(!why.contains("BEGIN"), "{why}");
    }
}

#[tokio::test]
async fn a_files_assertion_is_read_each_time_and_goes_before_all_else() {
    let files = Files::new();
    let token = |claims: &str| {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(claims))
    };
    let (first, second) = (token("{}"), token(r#"{"n":2}"#));
    let path = files.write("token", format!(" {first}\r\n"));
    let client = client(None);
    let pair = files.usual();
    let shape = |account: &mut AccountSettings| {
        account.assertion_file = Some(path.clone());
        account.assertion_certificate = Some(pair.clone());
    };
    for grant in every_grant() {
        let (form, _) = sent(&client, &grant, shape).await;
        assert_eq!(form["client_assertion"], first);
        assert!(!form.contains_key("client_secret"));
    }
    files.write("token", &second);
    let (form, _) = sent(&client, &Grant::ClientCredentials, shape).await;
    assert_eq!(form["client_assertion"], second);

    let long = vec![b'a'; 16 * 1024 + 1];
    let table: [(&[u8], &str); 7] = [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"a secret", "no signed token"),
        (b"YQ.YQ.YQ", "no signed token"),
        (
            first.rsplit_once('.').unwrap().0.as_bytes(),
            "no signed token",
        ),
        (b"\xff\xfe", "it is empty"),
        (&long, "longer than 16384 bytes"),
    ];
    for (content, words) in table {
        files.write("token", content);
        let why = refused(shape).await;
        assert!(
            why.contains("client_assertion_file") && why.contains("token"),
            "{why}"
        );
        assert!(why.contains(words), "{words:?} is not in {why}");
        assert!(!why.contains("a secret"), "{why}");
    }
    std::fs::remove_file(&path).unwrap();
    let why = refused(shape).await;
    assert!(why.contains("could not be read"), "{why}");
}

#[tokio::test]
async fn an_echoed_assertion_is_not_repeated() {
    let files = Files::new();
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let mut account = account(&endpoint.url());
    let token = format!("{}.e30.c2ln", BASE64_URL_SAFE_NO_PAD.encode("{}"));
    account.assertion_file = Some(files.write("token", &token));
    let echo = format!(r#"{{"error":"invalid_client","error_description":"got {token}!"}}"#);
    let endpoint = Pretend::start(vec![json("401 Unauthorized", &echo)]).await;
    account.token_url = endpoint.url();
    let asked = client(None)
        .ask(&account, None, &Grant::ClientCredentials)
        .await;
    let Err(Error::Denied(why)) = asked else {
        panic!("{asked:?}");
    };
    assert!(why.as_str().contains("got ***!"), "{why}");
}
