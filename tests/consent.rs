//! Consent and tokens from end to end: the browser, the callback, refreshes, restarts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use emailproxy::accounts::Outcome;
use support::client::Client;
use support::daemon::{Plan, Proxy, free_port, redirected, visit};
use support::logs::Logs;
use support::provider::{Fault, Provider};

const USER: &str = "person@example.com";
const PASSWORD: &str = "secret";

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .start();
    (provider, proxy)
}

/// Logs in by IMAP and returns the tagged reply.
async fn log_in(client: &mut Client) -> String {
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    said.last().unwrap().clone()
}

/// Gives consent once, so that the proxy holds tokens.
async fn authorised() -> (Provider, Proxy) {
    let (provider, proxy) = ready().await;
    let person = proxy.say_yes();
    let mut client = proxy.imap().await;
    let said = log_in(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
    person.await.unwrap();
    (provider, proxy)
}

#[tokio::test]
async fn a_login_waits_for_consent_and_goes_through() {
    let logs = Logs::catch();
    let (provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let url = proxy.asked().await;
    assert!(
        logs.hold(&format!(
            "Please visit the following URL to authenticate account {USER}: {url}"
        )),
        "{}",
        logs.text()
    );
    let page = visit(&url).await;
    assert!(page.contains("succeeded"), "{page}");
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");

    let visits = provider.world.register.visits();
    assert_eq!(visits.len(), 1);
    assert_eq!(visits[0]["login_hint"], USER);
    assert_eq!(visits[0]["code_challenge_method"], "S256");
    assert!(visits[0]["state"].len() >= 22, "{:?}", visits[0]);
    let requests = provider.world.register.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["grant_type"], "authorization_code");
    assert_eq!(requests[0]["redirect_uri"], visits[0]["redirect_uri"]);
    for secret in [
        &requests[0]["code"],
        &requests[0]["code_verifier"],
        PASSWORD,
    ] {
        assert!(!logs.hold(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn parallel_first_logins_share_one_consent() {
    let (provider, proxy) = ready().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.imap().await;
        client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
        clients.push(client);
    }
    let mut smtp = proxy.smtp().await;
    let response = support::client::plain_response(USER, PASSWORD);
    smtp.say(&format!("AUTH PLAIN {response}")).await;
    visit(&proxy.asked().await).await;
    for client in &mut clients {
        let said = client.until_tagged("x").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    }
    assert!(smtp.line().await.starts_with("235"));
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn a_refused_consent_is_told_to_person_and_client() {
    let (provider, proxy) = ready().await;
    provider.world.turn(|knobs| {
        knobs.consent_error = Some(("access_denied", "the user said <no> & left"));
    });
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(
        page.contains("failed") && page.contains("because"),
        "{page}"
    );
    assert!(
        page.contains("&lt;no&gt;") || page.contains("&#60;no&#62;"),
        "{page}"
    );
    let said = client.until_tagged("x").await;
    let said = said.last().unwrap();
    assert!(said.starts_with("NO ["), "{said}");
    assert!(said.contains("the user said <no>"), "{said}");
    assert_eq!(provider.world.register.requests().len(), 0);

    // The connection is still good, and so is a consent that is given now.
    provider.world.turn(|knobs| knobs.consent_error = None);
    let person = proxy.say_yes();
    let said = log_in(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
    person.await.unwrap();
}

#[tokio::test]
async fn a_code_that_cannot_be_redeemed_is_told_on_the_page() {
    let (provider, proxy) = ready().await;
    let fault = Fault::json(
        401,
        "invalid_client",
        "AADSTS7000215: Invalid client secret",
    );
    provider
        .world
        .turn(|knobs| knobs.token_faults.push_back(fault));
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let page = visit(&proxy.asked().await).await;
    assert!(
        page.contains("failed") && page.contains("because"),
        "{page}"
    );
    assert!(page.contains("AADSTS7000215"), "{page}");
    let said = client.until_tagged("x").await;
    let said = said.last().unwrap();
    assert!(
        said.starts_with("NO [") && said.contains("AADSTS7000215"),
        "{said}"
    );
}

#[tokio::test]
async fn a_consent_that_comes_late_is_kept_for_the_next_login() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let url = proxy.asked().await;
    drop(client);
    let page = visit(&url).await;
    assert!(page.contains("succeeded"), "{page}");
    let mut client = proxy.imap().await;
    let said = log_in(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn strange_visits_to_the_callback_change_nothing() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let url = proxy.asked().await;
    let back = redirected(&url).await;
    let base = url::Url::parse(&back).unwrap();
    for path in [
        "/favicon.ico",
        "/",
        "/?state=forged&code=stolen",
        "/?code=stolen",
    ] {
        let page = visit(base.join(path).unwrap().as_str()).await;
        assert!(!page.contains("succeeded"), "{path}: {page}");
    }
    assert_eq!(provider.world.register.requests().len(), 0);
    let page = visit(&back).await;
    assert!(page.contains("succeeded"), "{page}");
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn the_final_address_may_be_pasted() {
    let provider = Provider::start().await;
    let port = free_port();
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, port)
        .external_auth()
        .start();
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let back = redirected(&proxy.asked().await).await;
    assert!(
        TcpListener::bind(("127.0.0.1", port)).is_ok(),
        "somebody listens although nobody should"
    );
    let accounts = &proxy.daemon.accounts;
    let outcome = accounts.finish_pasted(&back).await;
    assert_eq!(
        outcome,
        Ok(Outcome::Authorised {
            account: USER.into()
        })
    );
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    let again = accounts.finish_pasted(&back).await;
    assert!(
        !matches!(again, Ok(Outcome::Authorised { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_taken_callback_port_stops_neither_start_nor_pasting() {
    let logs = Logs::catch();
    let provider = Provider::start().await;
    let port = free_port();
    let taken = [
        TcpListener::bind(("127.0.0.1", port)).ok(),
        TcpListener::bind(("::1", port)).ok(),
    ];
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, port)
        .start();
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let back = redirected(&proxy.asked().await).await;
    proxy.daemon.accounts.finish_pasted(&back).await.unwrap();
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert!(logs.hold(&port.to_string()), "{}", logs.text());
    drop(taken);
}

#[tokio::test]
async fn a_restart_needs_the_password_but_no_new_consent() {
    let (provider, proxy) = authorised().await;
    let proxy = proxy.restart().await;
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} wrong")).await;
    assert!(said[0].starts_with("NO [AUTHENTICATIONFAILED]"), "{said:?}");
    let said = log_in(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(provider.world.register.visits().len(), 1);
    assert_eq!(provider.world.register.count("refresh_token"), 0);

    let stored = support::daemon::read(&proxy.store());
    for form in provider.world.register.requests() {
        for (name, value) in form {
            if ["code", "code_verifier", "client_secret"].contains(&name.as_str()) {
                assert!(!stored.contains(&value), "{name} rests in plain text");
            }
        }
    }
    assert!(!stored.contains(PASSWORD));
    let mode = std::fs::metadata(proxy.store())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_for_all() {
    let (provider, proxy) = ready().await;
    // Old from the start, so that every later login finds it too old.
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let person = proxy.say_yes();
    let mut client = proxy.imap().await;
    let said = log_in(&mut client).await;
    assert!(said.starts_with("OK"), "{said}");
    person.await.unwrap();
    let proxy = proxy.restart().await;
    // Nobody knows the password yet, so nothing happens in the background.
    let before = provider.world.register.count("refresh_token");
    provider.world.turn(|knobs| knobs.lifetime = Some(3600));
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = proxy.imap().await;
        client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
        clients.push(client);
    }
    for mut client in clients {
        let said = client.until_tagged("x").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    }
    assert_eq!(provider.world.register.count("refresh_token"), before + 1);
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn a_refresh_that_fails_for_now_keeps_the_refresh_token() {
    let (provider, proxy) = ready().await;
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let person = proxy.say_yes();
    let mut client = proxy.imap().await;
    log_in(&mut client).await;
    person.await.unwrap();
    provider.world.register.end_access();
    for fault in [
        Fault::html(502),
        Fault::json(503, "temporarily_unavailable", "later"),
        Fault::json(
            400,
            "unauthorized_client",
            "AADSTS700016: not in this tenant",
        ),
    ] {
        // Enough of them for a request that is tried again.
        provider.world.turn(|knobs| {
            knobs.token_faults.extend(vec![fault.clone(); 6]);
        });
        let said = log_in(&mut proxy.imap().await).await;
        assert!(said.starts_with("NO ["), "{fault:?}: {said}");
        provider.world.turn(|knobs| knobs.token_faults.clear());
    }
    let said = log_in(&mut proxy.imap().await).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(
        provider.world.register.visits().len(),
        1,
        "consent was asked for again"
    );
}

#[tokio::test]
async fn a_dead_refresh_token_leads_to_a_new_consent() {
    let (provider, proxy) = ready().await;
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let person = proxy.say_yes();
    log_in(&mut proxy.imap().await).await;
    person.await.unwrap();
    provider.world.register.end_access();
    provider.world.register.revoke();
    let person = proxy.say_yes();
    // The access token that is held may still look good; then the server's refusal is the first sign.
    let mut said = log_in(&mut proxy.imap().await).await;
    if said.starts_with("NO [AUTHENTICATIONFAILED]") {
        said = log_in(&mut proxy.imap().await).await;
    }
    assert!(said.starts_with("OK"), "{said}");
    person.await.unwrap();
    assert_eq!(provider.world.register.visits().len(), 2);
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_not_handed_out_again() {
    let (provider, proxy) = authorised().await;
    // The provider ends the session although the token is not old.
    provider.world.register.end_access();
    let mut client = proxy.imap().await;
    let first = log_in(&mut client).await;
    let second = if first.starts_with("OK") {
        first
    } else {
        assert!(first.starts_with("NO [AUTHENTICATIONFAILED]"), "{first}");
        log_in(&mut client).await
    };
    assert!(second.starts_with("OK"), "{second}");
    assert_eq!(provider.world.register.count("refresh_token"), 1);
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn odd_but_usable_token_answers_are_taken() {
    for turn in 0..3 {
        let provider = Provider::start().await;
        provider.world.turn(|knobs| match turn {
            0 => knobs.lifetime_as_text = true,
            1 => knobs.lifetime = None,
            _ => {
                knobs.untyped = true;
                knobs.rotate = false;
                knobs.token_length = 3_000;
            }
        });
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let said = log_in(&mut proxy.imap().await).await;
        assert!(said.starts_with("OK"), "{turn}: {said}");
        let mut client = proxy.pop().await;
        client.ask(&format!("USER {USER}")).await;
        let said = client.ask(&format!("PASS {PASSWORD}")).await;
        assert!(said.starts_with("+OK"), "{turn}: {said}");
        assert_eq!(provider.world.register.requests().len(), 1);
    }
}

#[tokio::test]
async fn without_pkce_where_the_file_says_so() {
    let provider = Provider::start().await;
    let section = format!(
        "{}use_pkce = False\n",
        support::daemon::person(&provider, USER, free_port())
    );
    let proxy = Plan::for_provider(&provider).section(&section).start();
    let person = proxy.say_yes();
    let said = log_in(&mut proxy.imap().await).await;
    assert!(said.starts_with("OK"), "{said}");
    person.await.unwrap();
    assert!(!provider.world.register.visits()[0].contains_key("code_challenge"));
}

#[tokio::test]
async fn every_user_of_a_catch_all_section_consents_alone() {
    let provider = Provider::start().await;
    let section = support::daemon::person(&provider, "@example.com", free_port());
    let proxy = Plan::for_provider(&provider)
        .option("allow_catch_all_accounts = True")
        .section(&section)
        .start();
    for user in ["one@example.com", "two@example.com"] {
        let person = proxy.say_yes();
        let mut client = proxy.imap().await;
        let said = client.imap(&format!("LOGIN {user} pw-of-{user}")).await;
        assert!(said.last().unwrap().starts_with("OK"), "{user}: {said:?}");
        person.await.unwrap();
    }
    let hints: Vec<String> = provider
        .world
        .register
        .visits()
        .iter()
        .map(|visit| visit["login_hint"].clone())
        .collect();
    assert_eq!(hints, ["one@example.com", "two@example.com"]);
    let mut client = proxy.imap().await;
    let said = client
        .imap("LOGIN one@example.com pw-of-two@example.com")
        .await;
    assert!(said[0].starts_with("NO [AUTHENTICATIONFAILED]"), "{said:?}");
    let said = client.imap("LOGIN x@elsewhere.org pw").await;
    assert!(said[0].starts_with("NO [AUTHENTICATIONFAILED]"), "{said:?}");
}
