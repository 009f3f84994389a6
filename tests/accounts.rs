//! Accounts from the outside: real HTTP to a pretend provider, real key derivation, a real store file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emailproxy::accounts::{Accounts, Caller, Outcome, Reach, Setup};
use emailproxy::config::Config;
use emailproxy::oauth::Endpoint;
use emailproxy::refusal::{NotAdmitted, Refusal};
use emailproxy::secret::Password;
use support::daemon::{app, person};
use support::provider::{Fault, Provider};
use tempfile::TempDir;

const APP: &str = "app@example.com";
const PERSON: &str = "person@example.com";

fn open(home: &Path, provider: &Provider) -> Arc<Accounts> {
    let text = format!(
        "[IMAP-0]\nserver_address = 127.0.0.1\nserver_port = 993\n\n{}\n{}",
        app(provider, APP),
        person(provider, PERSON, 8825)
    );
    let config = Config::parse(&home.join("emailproxy.ini"), text.as_bytes()).unwrap();
    let tls = (*provider.world.authority.client()).clone();
    let endpoint = Endpoint::new(tls, None)
        .unwrap()
        .within(Duration::from_secs(2));
    let setup = Setup {
        store: home.join("tokens.json").into(),
        reach: Reach::default(),
        external_auth: true,
    };
    Accounts::open(Arc::new(config), endpoint, setup).unwrap()
}

async fn log_in(accounts: &Arc<Accounts>, user: &str, password: &str) -> Result<String, Refusal> {
    let admitted = accounts
        .token(user, &Password::from(password), &Caller::OWNER)
        .await?;
    Ok(admitted.token.reveal().to_owned())
}

/// Does what a person does: visits the address, says yes, and pastes where the browser ended up.
async fn consent(accounts: &Arc<Accounts>) -> Outcome {
    let mut pending = accounts.pending();
    let url = pending.wait_for(|list| !list.is_empty()).await.unwrap()[0]
        .url
        .clone();
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let page = browser.get(url).send().await.unwrap();
    let end = page.headers()["location"].to_str().unwrap();
    accounts.finish_pasted(end).await.unwrap()
}

/// Logs in as the person who has to consent first.
async fn authorise(accounts: &Arc<Accounts>) -> String {
    let (login, outcome) = tokio::join!(log_in(accounts, PERSON, "pw"), consent(accounts));
    let account = PERSON.to_owned();
    assert_eq!(outcome, Outcome::Authorised { account });
    login.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_first_logins_make_one_token_request() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    provider
        .world
        .turn(|knobs| knobs.token_delay = Duration::from_millis(300));
    let accounts = open(home.path(), &provider);
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move { log_in(&accounts, APP, "pw").await })
        })
        .collect();
    let mut tokens = Vec::new();
    for login in logins {
        tokens.push(login.await.unwrap().unwrap());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(provider.world.register.count("client_credentials"), 1);
    assert!(provider.world.register.opens(&tokens[0], APP));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proven_password_is_admitted_in_no_time_while_strangers_guess() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    let accounts = open(home.path(), &provider);
    log_in(&accounts, APP, "pw").await.unwrap();
    let guesses: Vec<_> = (0..16)
        .map(|n| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move { log_in(&accounts, APP, &format!("guess {n}")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let begin = Instant::now();
    for _ in 0..100 {
        log_in(&accounts, APP, "pw").await.unwrap();
    }
    // One slow check alone takes longer than this on most machines; a hundred of them always do.
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    for guess in guesses {
        guess.abort();
    }
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_disk_at_a_login_is_enough_to_go_on_from() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    provider.world.turn(|knobs| {
        knobs.rotate = true;
        knobs.lifetime = Some(1);
    });
    let mut accounts = open(home.path(), &provider);
    let mut last = authorise(&accounts).await;
    let mut homes = vec![home];
    for round in 0..4 {
        // The machine dies here: what goes on is a copy of the file as it was, in another process' place.
        let copy = TempDir::new().unwrap();
        let here = homes.last().unwrap().path();
        std::fs::copy(here.join("tokens.json"), copy.path().join("tokens.json")).unwrap();
        accounts = open(copy.path(), &provider);
        homes.push(copy);
        let wrong = log_in(&accounts, PERSON, "pW").await.unwrap_err();
        assert_eq!(wrong, Refusal::NotAdmitted(NotAdmitted::WrongPassword));
        let mut token = last.clone();
        while token == last {
            tokio::time::sleep(Duration::from_millis(50)).await;
            token = log_in(&accounts, PERSON, "pw").await.unwrap();
        }
        assert!(
            provider.world.register.opens(&token, PERSON),
            "round {round}"
        );
        last = token;
    }
    assert_eq!(provider.world.register.count("authorization_code"), 1);
    assert!(provider.world.register.count("refresh_token") >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_in_trouble_costs_no_token() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let accounts = open(home.path(), &provider);
    authorise(&accounts).await;
    for fault in [
        Fault::html(200),
        Fault::html(502),
        Fault::json(500, "server_error", "ours"),
        Fault::json(503, "temporarily_unavailable", "later"),
        Fault::json(400, "invalid_request", "what?"),
        Fault::json(401, "invalid_client", "the secret has expired"),
    ] {
        provider
            .world
            .turn(|knobs| knobs.token_faults.push_back(fault.clone()));
        let refusal = log_in(&accounts, PERSON, "pw").await.unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::TokenUnavailable(_) | Refusal::TokenRefused(_)
            ),
            "{fault:?}: {refusal:?}"
        );
        // The next login gets through with the refresh token that was there all along.
        provider.world.turn(|knobs| knobs.token_faults.clear());
        log_in(&accounts, PERSON, "pw").await.unwrap();
    }
    provider
        .world
        .turn(|knobs| knobs.token_delay = Duration::from_secs(60));
    let begin = Instant::now();
    let refusal = log_in(&accounts, PERSON, "pw").await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::TokenUnavailable(_)),
        "{refusal:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
    provider.vanish();
    let refusal = log_in(&accounts, PERSON, "pw").await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::TokenUnavailable(_)),
        "{refusal:?}"
    );
    assert_eq!(provider.world.register.count("authorization_code"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_account_is_asked_for_consent_again() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let accounts = open(home.path(), &provider);
    authorise(&accounts).await;
    provider.world.register.revoke();
    authorise(&accounts).await;
    assert_eq!(provider.world.register.count("authorization_code"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_readable_rests_on_disk() {
    let home = TempDir::new().unwrap();
    let provider = Provider::start().await;
    let accounts = open(home.path(), &provider);
    let token = authorise(&accounts).await;
    let text = std::fs::read_to_string(home.path().join("tokens.json")).unwrap();
    let requests = provider.world.register.requests();
    let code = &requests[0]["code"];
    for secret in [token.as_str(), code, "pw\""] {
        assert!(!text.contains(secret));
    }
    let store: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(store["version"], 1);
    let wrap = &store["accounts"][PERSON]["wraps"][0];
    assert_eq!(wrap["by"], "password");
    assert_eq!(wrap["memory_kib"], 65_536);
}
