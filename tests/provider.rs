//! The pretend provider by itself: it believes no password and no token that it has not given out, and carries mail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use support::client::{Client, mail, plain_response};
use support::provider::{CLIENT_ID, CLIENT_SECRET, Provider, SCOPE, Shape};

const USER: &str = "demo@example.com";

fn xoauth2(token: &str) -> String {
    BASE64_STANDARD.encode(format!("user={USER}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

/// Fetches a token as an application does.
async fn token(provider: &Provider) -> String {
    let answer = reqwest::Client::new()
        .post(provider.token_url())
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
            ("scope", SCOPE),
        ])
        .send()
        .await
        .unwrap()
        .json::<serde_json::Value>()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_carries_mail_from_smtp_to_imap_and_pop() {
    let provider = Provider::start().await;
    let tls = provider.world.authority.client();
    let response = xoauth2(&token(&provider).await);
    let letter = mail("from hand to hand", 3_000);

    let mut smtp = Client::tls(provider.smtp, tls.clone()).await;
    smtp.line().await;
    smtp.smtp("EHLO test").await;
    assert_eq!(smtp.ask("AUTH XOAUTH2").await, "334 ");
    assert!(smtp.ask(&response).await.starts_with("235"));
    let said = smtp.send_mail(USER, &[USER], &letter).await;
    assert!(said.starts_with("250"), "{said}");

    let mut imap = Client::tls(provider.imap, tls.clone()).await;
    imap.line().await;
    imap.imap(&format!("AUTHENTICATE XOAUTH2 {response}")).await;
    imap.imap("SELECT INBOX").await;
    assert_eq!(imap.imap_body(1).await, letter);

    let mut pop = Client::tls(provider.pop, tls).await;
    pop.line().await;
    assert_eq!(pop.ask("AUTH XOAUTH2").await, "+ ");
    assert!(pop.ask(&response).await.starts_with("+OK"));
    assert_eq!(pop.pop_body(1).await, letter);
}

#[tokio::test]
async fn it_believes_no_password_and_no_foreign_token() {
    for starttls in [false, true] {
        let provider = Provider::build(Shape { starttls }).await;
        let tls = provider.world.authority.client();
        let forged = xoauth2("bm90LWEtdG9rZW4");

        let mut imap = Client::plain(provider.imap).await;
        if starttls {
            imap.line().await;
            let said = imap.imap(&format!("AUTHENTICATE XOAUTH2 {forged}")).await;
            assert!(said[0].starts_with("NO [PRIVACYREQUIRED]"), "{said:?}");
            imap.imap("STARTTLS").await;
            imap = imap.begin_tls(tls.clone()).await;
        } else {
            imap = imap.begin_tls(tls.clone()).await;
            imap.line().await;
        }
        let said = imap.imap("LOGIN demo@example.com secret").await;
        assert!(said[0].starts_with("NO"), "{said:?}");
        imap.say(&format!("x AUTHENTICATE XOAUTH2 {forged}")).await;
        assert!(imap.line().await.starts_with("+ ey"));
        assert!(
            imap.ask("")
                .await
                .starts_with("x NO [AUTHENTICATIONFAILED]")
        );
        assert!(imap.imap("SELECT INBOX").await[0].starts_with("BAD"));

        let mut smtp = Client::plain(provider.smtp).await;
        if starttls {
            smtp.line().await;
            smtp.smtp("EHLO test").await;
            assert!(smtp.ask("STARTTLS").await.starts_with("220"));
            smtp = smtp.begin_tls(tls.clone()).await;
        } else {
            smtp = smtp.begin_tls(tls.clone()).await;
            smtp.line().await;
        }
        smtp.smtp("EHLO test").await;
        let response = plain_response(USER, "secret");
        assert!(
            smtp.ask(&format!("AUTH PLAIN {response}"))
                .await
                .starts_with("504")
        );
        assert!(
            smtp.ask("MAIL FROM:<demo@example.com>")
                .await
                .starts_with("530")
        );
    }
}
