//! The login by token: both mechanisms, error challenges, and the providers' own words.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::{CRUMBS, Player};
use crate::protocol::smtp::{Smtp, upstream};
use crate::protocol::{Abilities, Dialogue as _, Identity, Login, Opened};
use crate::refusal::Refusal;
use crate::secret::AccessToken;
use crate::wire::Wire;

const PEER: &str = "mail.example:587";

/// Logs in at a server that plays `script`.
async fn login(script: &str, mechanisms: &[&str], crumb: usize) -> Result<String, Refusal> {
    let (mut player, ours) = Player::new(crumb);
    let script = script.to_owned();
    let server = tokio::spawn(async move {
        player.play(&script, "S: ", "C: ").await;
        player
    });
    let welcome = log_in(ours, mechanisms).await;
    drop(server.await.unwrap());
    welcome
}

async fn log_in(ours: DuplexStream, mechanisms: &[&str]) -> Result<String, Refusal> {
    log_in_with(ours, mechanisms, "token").await
}

async fn log_in_with(
    ours: DuplexStream,
    mechanisms: &[&str],
    token: &str,
) -> Result<String, Refusal> {
    let mut opened = Opened {
        server: Wire::new(ours, PEER).pretend_secured(),
        abilities: Arc::new(Abilities {
            mechanisms: mechanisms.iter().map(ToString::to_string).collect(),
            initial_response: false,
            ..Abilities::default()
        }),
    };
    let token = AccessToken::parse(token).unwrap();
    let identity = Identity {
        user: "u@example.org",
        token: &token,
        host: "mail.example",
        port: 587,
    };
    let login = Login {
        user: "local".into(),
        password: "secret".into(),
        tag: String::new(),
        verb: "AUTH",
    };
    let welcome = Smtp::new()
        .authenticate(&mut opened, identity, &login)
        .await?;
    Ok(String::from_utf8(welcome.0).unwrap())
}

async fn both(script: &str, mechanisms: &[&str]) -> Result<String, Refusal> {
    let whole = login(script, mechanisms, CRUMBS[1]).await;
    let crumbs = login(script, mechanisms, CRUMBS[0]).await;
    assert_eq!(whole, crumbs);
    whole
}

// The messages say: user=u@example.org ^A auth=Bearer token ^A ^A, and
// n,a=u@example.org, ^A host=mail.example ^A port=587 ^A auth=Bearer token ^A ^A.
const XOAUTH2: &str = "
    C: AUTH XOAUTH2
    S: 334 
    C: dXNlcj11QGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHRva2VuAQE=\n";
const OAUTHBEARER: &str = "
    C: AUTH OAUTHBEARER
    S: 334
    C: bixhPXVAZXhhbXBsZS5vcmcsAWhvc3Q9bWFpbC5leGFtcGxlAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHRva2VuAQE=\n";

async fn answered(rest: &str) -> Result<String, Refusal> {
    both(&format!("{XOAUTH2}{rest}"), &["LOGIN", "XOAUTH2"]).await
}

#[tokio::test]
async fn the_login_takes_two_steps_and_the_servers_words_come_back_verbatim() {
    assert_eq!(
        answered("S: 235 2.7.0 Authentication successful")
            .await
            .unwrap(),
        "235 2.7.0 Authentication successful\r\n"
    );
    assert_eq!(
        answered("S: 235-2.7.0 Accepted\nS: 235  2.7.0 at last")
            .await
            .unwrap(),
        "235-2.7.0 Accepted\r\n235  2.7.0 at last\r\n"
    );
    let script = format!("{OAUTHBEARER}S: 235 2.7.0 ok");
    assert_eq!(
        both(&script, &["PLAIN", "OAUTHBEARER"]).await.unwrap(),
        "235 2.7.0 ok\r\n"
    );
    // Where neither is offered, or both, XOAUTH2 it is.
    for mechanisms in [&[][..], &["OAUTHBEARER", "XOAUTH2"]] {
        let script = format!("{XOAUTH2}S: 235 2.7.0 ok");
        both(&script, mechanisms).await.unwrap();
    }
}

#[tokio::test]
async fn an_error_challenge_is_answered_once_and_both_texts_are_kept() {
    // {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
    let challenge = "S: 334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
    let end = "
        S: 535-5.7.8 Username and Password not accepted. For more information, go to
        S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials id - gsmtp";
    let refusal = answered(&format!("{challenge}\nC: \n{end}"))
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::ServerRefused { .. }),
        "{refusal:?}"
    );
    assert_eq!(
        refusal.to_string(),
        "mail.example:587 refused the login: 535 5.7.8 Username and Password not accepted. For more information, \
         go to https://support.google.com/mail/?p=BadCredentials id - gsmtp (status 400, scope https://mail.google.com/)"
    );
    let script = format!("{OAUTHBEARER}{challenge}\nC: AQ==\n{end}");
    let refusal = both(&script, &["OAUTHBEARER"]).await.unwrap_err();
    assert!(refusal.to_string().contains("status 400"), "{refusal}");
    for after in ["S: 334 ", "S: 235 2.7.0 welcome anyway", "S: 250 ok"] {
        let refusal = answered(&format!("{challenge}\nC: \n{after}"))
            .await
            .unwrap_err();
        assert!(
            matches!(refusal, Refusal::ServerMisbehaved { .. }),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn providers_keep_their_own_words() {
    for (said, is_temporary) in [
        (
            "535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2024-06-27T17:00:33.123Z 08D]",
            false,
        ),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [x]",
            false,
        ),
        (
            "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.",
            false,
        ),
        ("501 5.5.124 Invalid XOAUTH2 auth data", false),
        (
            "550 5.7.30 Basic authentication is not supported for Client Submission.",
            false,
        ),
        ("555 5.5.2 Syntax error, command line too long", false),
        (
            "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=x]",
            true,
        ),
        (
            "430 4.2.0 STOREDRV; mailbox logon failure; Cannot open mailbox.",
            true,
        ),
        ("421 4.4.2 Connection dropped", true),
    ] {
        let refusal = answered(&format!("S: {said}")).await.unwrap_err();
        assert_eq!(refusal.is_temporary(), is_temporary, "{said}");
        assert!(refusal.to_string().ends_with(said), "{refusal}");
    }
}

#[tokio::test]
async fn the_token_is_sent_only_to_a_server_that_asks_for_it() {
    for (said, is_temporary) in [
        ("504 5.7.4 Unrecognized authentication type", false),
        ("500 5.5.2 Line too long", false),
        ("454 4.7.0 not now", true),
        ("235 2.7.0 welcome", true),
        ("250 ok", true),
        ("* OK", true),
    ] {
        // The script would fail at any line behind AUTH.
        let (mut player, ours) = Player::new(4096);
        let server = tokio::spawn(async move {
            player
                .play(&format!("C: AUTH XOAUTH2\nS: {said}"), "S: ", "C: ")
                .await;
            player.rest().await
        });
        let refusal = log_in(ours, &["XOAUTH2"]).await.unwrap_err();
        assert_eq!(server.await.unwrap(), "", "{said}");
        assert_eq!(refusal.is_temporary(), is_temporary, "{refusal}");
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_token_is_not_quoted_with_it() {
    let token = "ya29.secret-secret-secret-secret";
    let (mut player, ours) = Player::new(4096);
    let server = tokio::spawn(async move {
        let script = format!(
            "C: AUTH XOAUTH2
            S: 334 
            C: dXNlcj11QGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHlhMjkuc2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0AQE=
            S: 535 5.7.8 no such token: {token}"
        );
        player.play(&script, "S: ", "C: ").await;
        player
    });
    let refusal = log_in_with(ours, &["XOAUTH2"], token).await.unwrap_err();
    drop(server.await.unwrap());
    assert!(
        refusal
            .to_string()
            .ends_with("535 5.7.8 no such token: ***"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn leaving_is_polite_but_brief() {
    let (mut player, ours) = Player::new(4096);
    let server = tokio::spawn(async move {
        player.play("C: QUIT\nS: 221 bye", "S: ", "C: ").await;
        player.rest().await
    });
    Smtp::leave(Wire::new(ours, PEER)).await;
    assert_eq!(server.await.unwrap(), "");
    // Nobody listens here: even the QUIT does not fit the pipe.
    let (_player, ours) = Player::new(1);
    let begun = tokio::time::Instant::now();
    Smtp::leave(Wire::new(ours, PEER)).await;
    assert!(begun.elapsed().as_secs() <= 2);
}

#[tokio::test]
async fn no_token_is_sent_without_tls() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut opened = Opened {
        server: Wire::new(ours, PEER),
        abilities: Arc::new(Abilities {
            mechanisms: vec!["XOAUTH2".into()],
            initial_response: false,
            ..Abilities::default()
        }),
    };
    let token = AccessToken::parse("secret").unwrap();
    let identity = Identity {
        user: "u@example.org",
        token: &token,
        host: "mail.example.org",
        port: 587,
    };
    let refusal = upstream::authenticate(&mut opened, identity)
        .await
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Misconfigured(_)));
    drop(opened);
    let mut sent = Vec::new();
    theirs.read_to_end(&mut sent).await.unwrap();
    assert!(sent.is_empty());
}
