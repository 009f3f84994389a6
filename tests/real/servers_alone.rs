//! The servers without the program: they accept OAuth2 tokens and nothing else.
//!
//! A test of the other modules would prove little if this one failed.

use serde_json::{Value, json};

use crate::browser;
use crate::client;
use crate::oidc::Manners;
use crate::stage::Stage;

#[tokio::test]
async fn real_servers_accept_the_application_s_token_only() {
    let Some(stage) = Stage::set("servers_alone", &["python3"], Manners::default()).await else {
        return;
    };
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "application"),
        ("client_secret", "application-secret"),
        ("scope", "mail.imap mail.pop mail.smtp mail.anybody"),
    ];
    let token = token(&stage, &form).await["access_token"].clone();
    speak(&stage, &token, true).await;
}

#[tokio::test]
async fn real_servers_accept_a_person_s_token_only() {
    let manners = Manners {
        token_length: 1_300,
        ..Manners::default()
    };
    let Some(stage) = Stage::set("servers_alone", &["python3"], manners).await else {
        return;
    };
    let sign_in = format!(
        "{}?client_id=public-program&redirect_uri=http%3A%2F%2Flocalhost%3A1&response_type=code&state=s\
         &scope=openid%20mail.imap&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
        stage.oidc.url("auth")
    );
    let back = browser::consent(&sign_in, "ann@example.com").await;
    let code = back
        .query_pairs()
        .find(|(key, _)| key == "code")
        .expect("a code comes back")
        .1;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "public-program"),
        ("redirect_uri", "http://localhost:1"),
        // The example of RFC 7636 appendix B.
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        ("code", &code),
    ];
    let answer = token(&stage, &form).await;
    assert!(
        answer["refresh_token"].is_string(),
        "no refresh token: {answer}"
    );
    let token = answer["access_token"].clone();
    assert_eq!(token.as_str().map(str::len), Some(1_300));
    speak(&stage, &token, false).await;
}

async fn token(stage: &Stage, form: &[(&str, &str)]) -> Value {
    let request = reqwest::Client::new()
        .post(stage.oidc.url("token"))
        .form(form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(answer["access_token"].is_string(), "no token: {answer}");
    answer
}

async fn speak(stage: &Stage, token: &Value, opens_any_mailbox: bool) {
    let settings = json!({
        "user": "ann@example.com",
        "other": "bob@example.com",
        "opens_any_mailbox": opens_any_mailbox,
        "token": token,
        "ca": stage.ca.root,
        "imaps": stage.dovecot.imaps,
        "pops": stage.dovecot.pops,
        "dovecot_submission": stage.dovecot.submission,
        "postfix_submission": stage.postfix.submission,
    });
    client::python("direct.py", &settings).await;
}
