//! Signing in from the page, by browser and by device code.

use emailproxy::accounts::Standing;
use serde_json::json;
use tokio::time::timeout;

use crate::support::browser::{Browser, header, raw};
use crate::support::client::PATIENCE;
use crate::support::daemon::{Plan, free_port, person, redirected, visit};
use crate::support::logs::Logs;
use crate::support::provider::{CLIENT_ID, Provider, SCOPE};
use crate::{PASSWORD, USER, at, log_in, provider_of, ready, welcomed};

#[tokio::test]
async fn signing_in_from_the_button_lets_a_mail_program_in() {
    let logs = Logs::catch();
    let (provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    let shown = browser.get("/sign-in?account=person%40example.com").await;
    assert!(shown.contains("name=\"password\""), "{shown}");
    let going = browser
        .post("/sign-in", &[("account", USER), ("password", PASSWORD)])
        .await;
    let page = visit(&provider_of(&going)).await;
    assert!(
        page.contains("Sign-in succeeded") && page.contains("To all accounts"),
        "{page}"
    );
    // Sealed with the password that was typed: it is the mail program's from now on.
    let mut stranger = proxy.imap().await;
    let said = stranger.imap(&format!("LOGIN {USER} other")).await;
    assert!(said[0].starts_with("NO [AUTHENTICATIONFAILED]"), "{said:?}");
    welcomed(log_in(&proxy).await).await;
    assert_eq!(provider.world.register.visits().len(), 1);
    let shown = browser.get("/").await;
    for words in ["Signed in", "Access token", "Last login just now", "well."] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let account = &proxy.daemon.office().overview().accounts[0];
    assert_eq!((account.standing, account.passwords), (Standing::Ready, 1));
    assert!(account.last_login.is_some() && !account.wants_password);
    assert!(!logs.hold(PASSWORD), "the password is in the log");

    // Wrong from now on: nothing is asked of anybody.
    let proxy = proxy.restart().await;
    let browser = Browser::open(&proxy).await;
    let refused = browser
        .post("/sign-in", &[("account", USER), ("password", "wrong")])
        .await;
    assert!(refused.starts_with("HTTP/1.1 409 "), "{refused}");
    assert!(refused.contains("That did not work"), "{refused}");
    assert!(proxy.daemon.accounts.pending().borrow().is_empty());
}

#[tokio::test]
async fn a_waiting_login_is_shown_first_and_goes_through_over_a_reload() {
    let (provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    let client = log_in(&proxy).await;
    let url = proxy.asked().await;
    let shown = browser.get("/").await;
    assert!(
        shown.contains("1 account needs you") && shown.contains("Continue sign-in"),
        "{shown}"
    );
    // Looked at again and again: it is the same sign-in.
    for _ in 0..2 {
        let shown = browser.get("/sign-in?account=person%40example.com").await;
        let same = shown.replace("&#38;", "&").replace("&amp;", "&");
        assert!(same.contains(&url), "{shown}");
    }
    let going = browser.post("/sign-in", &[("account", USER)]).await;
    assert_eq!(provider_of(&going), url);
    visit(&url).await;
    welcomed(client).await;
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn denials_and_old_sign_ins_are_told_with_what_to_do() {
    let (provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    provider.world.turn(|knobs| {
        knobs.consent_error = Some(("access_denied", "she said <b>no</b>\u{1b}[31m"));
    });
    let going = browser.post("/sign-in", &[("account", USER)]).await;
    let url = provider_of(&going);
    let page = visit(&url).await;
    assert!(
        page.contains("Sign-in failed") && page.contains("To all accounts"),
        "{page}"
    );
    let shown = browser.get("/").await;
    assert!(
        shown.contains("Last error") && shown.contains("Sign in"),
        "{shown}"
    );
    assert!(
        shown.contains("access_denied") || shown.contains("she said"),
        "{shown}"
    );
    assert!(
        !shown.contains("<b>no") && !shown.contains('\u{1b}'),
        "{shown}"
    );

    // Its address is used up; a new one is one button away.
    provider.world.turn(|knobs| knobs.consent_error = None);
    let at = browser.at;
    let state = url::Url::parse(&url).unwrap();
    let state = state
        .query_pairs()
        .find(|(key, _)| key == "state")
        .unwrap()
        .1
        .into_owned();
    let old = raw(
        at,
        &format!("GET /?code=c&state={state} HTTP/1.1\nHost: {at}\n\n"),
    )
    .await;
    assert!(
        old.contains("This sign-in is not known") && old.contains("To all accounts"),
        "{old}"
    );
    let going = browser.post("/sign-in", &[("account", USER)]).await;
    let page = visit(&provider_of(&going)).await;
    assert!(page.contains("Sign-in succeeded"), "{page}");
    let shown = browser.get("/").await;
    assert!(shown.contains("Signed in, not yet saved"), "{shown}");
    welcomed(log_in(&proxy).await).await;
}

#[tokio::test]
async fn the_wrong_person_is_named_and_the_page_asks() {
    let provider = Provider::start().await;
    let section = format!(
        "[{USER}]\nissuer = {}\noauth2_scope = openid {SCOPE}\nredirect_uri = http://localhost:{}\nclient_id = {CLIENT_ID}\n",
        provider.issuer(),
        free_port()
    );
    let other = "other&co@example.com";
    provider.world.turn(|knobs| {
        knobs.signs_in = Some(other.to_owned());
        knobs.openid.claims = Some(json!({ "preferred_username": other }));
    });
    let proxy = Plan::for_provider(&provider)
        .section(&section)
        .page()
        .start();
    let browser = Browser::open(&proxy).await;
    let going = browser.post("/sign-in", &[("account", USER)]).await;
    let page = visit(&provider_of(&going)).await;
    assert!(page.contains("Somebody else signed in"), "{page}");
    let shown = browser.get("/").await;
    assert!(shown.contains("Your answer is needed"), "{shown}");
    let shown = browser.get("/sign-in?account=person%40example.com").await;
    assert!(shown.contains("other&#38;co@example.com"), "{shown}");
    let confirm = shown.split_once("name=\"confirm\" value=\"").unwrap().1;
    let confirm = confirm.split_once('"').unwrap().0;
    let again = browser
        .post("/answer", &[("confirm", confirm), ("answer", "no")])
        .await;
    assert!(again.contains("Nothing was stored"), "{again}");
    provider.world.turn(|knobs| {
        knobs.signs_in = None;
        knobs.openid.claims = Some(json!({ "preferred_username": USER }));
    });
    let page = visit(&proxy.asked().await).await;
    assert!(page.contains("Sign-in succeeded"), "{page}");
}

#[tokio::test]
async fn a_device_code_is_shown_with_its_picture_until_it_is_approved() {
    let provider = Provider::start().await;
    let section = format!(
        "[{USER}]\nissuer = {}\noauth2_flow = device\noauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\n",
        provider.issuer()
    );
    let proxy = Plan::for_provider(&provider)
        .section(&section)
        .page()
        .start();
    let browser = Browser::open(&proxy).await;
    let going = browser
        .post("/sign-in", &[("account", USER), ("password", PASSWORD)])
        .await;
    let there = header(&going, "location").unwrap();
    assert_eq!(there, "sign-in?account=person%40example.com");
    let url = proxy.asked().await;
    let code = url.split_once("user_code=").unwrap().1;
    let shown = browser.get(&format!("/{there}")).await;
    for words in [
        code,
        "data-seconds=",
        "code.svg?account=person%40example.com",
        "Open the provider",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let picture = browser.get("/code.svg?account=person%40example.com").await;
    assert!(
        picture.contains("content-type: image/svg+xml") && picture.contains("<svg "),
        "{picture}"
    );
    let accounts = &proxy.daemon.accounts;
    let mut pending = accounts.pending();
    visit(&url).await;
    timeout(PATIENCE, pending.wait_for(Vec::is_empty))
        .await
        .unwrap()
        .unwrap();
    welcomed(log_in(&proxy).await).await;
    let shown = browser.get(&format!("/{there}")).await;
    assert!(shown.contains("Signed in"), "{shown}");
}

#[tokio::test]
async fn behind_a_reverse_proxy_all_accounts_share_the_address_of_the_page() {
    let provider = Provider::start().await;
    let shared = "https://vault.example/email-oauth2-proxy-authorize/";
    let own = |user: &str| {
        let port = free_port();
        let section = person(&provider, user, port);
        section.replace(&format!("http://localhost:{port}"), shared)
    };
    let other = "other@example.com";
    let proxy = Plan::for_provider(&provider)
        .section(&own(USER))
        .section(&own(other))
        .page()
        .option(&format!("base_url = {shared}"))
        .option("web_password = correct horse battery")
        .start();
    let link = proxy.daemon.page.as_ref().unwrap().link();
    assert!(link.starts_with(&format!("{shared}open?key=")), "{link}");
    let at = at(&proxy);
    let form = "password=correct+horse+battery";
    let open = |form: &str, origin: &str| {
        format!(
            "POST /open HTTP/1.1\nHost: vault.example\nOrigin: {origin}\nContent-Type: \
             application/x-www-form-urlencoded\nContent-Length: {}\n\n{form}",
            form.len()
        )
    };
    for (form, origin) in [
        (form, "https://evil.example"),
        ("password=wrong", "https://vault.example"),
        ("password=", "https://vault.example"),
    ] {
        let answer = raw(at, &open(form, origin)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let answer = raw(at, &open(form, "https://vault.example")).await;
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.contains("; Secure") && cookie.contains("Path=/email-oauth2-proxy-authorize/"));
    let cookie = cookie.split(';').next().unwrap();
    // Whether the reverse proxy leaves its prefix on or cuts it off.
    for path in ["/", "/email-oauth2-proxy-authorize/"] {
        let get = format!("GET {path} HTTP/1.1\nHost: vault.example\nCookie: {cookie}\n\n");
        let shown = raw(at, &get).await;
        assert!(shown.contains(USER) && shown.contains(other), "{shown}");
    }
    for (user, prefix) in [(USER, "/email-oauth2-proxy-authorize/"), (other, "/")] {
        let asked = proxy.daemon.accounts.begin(user).await.unwrap();
        let back = redirected(&asked.url).await;
        let query = back.strip_prefix(shared).unwrap();
        let get = format!("GET {prefix}{query} HTTP/1.1\nHost: vault.example\n\n");
        // The place is noted a moment after the sign-in began.
        let arrived = async {
            loop {
                let page = raw(at, &get).await;
                if !page.contains("not known") {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        let page = timeout(PATIENCE, arrived).await.unwrap();
        assert!(page.contains("succeeded") && page.contains(user), "{page}");
    }
}
