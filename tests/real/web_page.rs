//! The page in a real browser, with a real provider and mail server behind it.

use std::process::Command;

use serde_json::json;

use crate::browser;
use crate::chromium::Chromium;
use crate::client;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{self, Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

const PROGRAMS: [&str; 3] = ["python3", "chromium", "chromedriver"];

async fn ready(accounts: impl Fn(&Stage, u16) -> String) -> Option<(Stage, Proxy, Chromium)> {
    let stage = Stage::set("the page", &PROGRAMS, Manners::default()).await?;
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::smtp(stage.postfix.submissions),
    ];
    let page = ports::free();
    let web = format!("web = 127.0.0.1:{page}\n");
    let accounts = accounts(&stage, page);
    let proxy = Proxy::start_quietly(&stage, &web, &services, &accounts).await;
    let chromium = Chromium::start(stage.folder()).await;
    chromium.visit(&link(&stage)).await;
    chromium.sees("Accounts").await;
    Some((stage, proxy, chromium))
}

/// Asks the program for the way to the page, as its owner does.
fn link(stage: &Stage) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emailproxy"));
    command.args(["web", "--print", "--config-file"]);
    let done = command.arg(proxy::configuration(stage)).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said.trim().to_owned()
}

async fn login(proxy: &Proxy) {
    let settings = json!({ "user": USER, "password": PASSWORD, "imap": proxy.imap() });
    client::python("login.py", &settings).await;
}

/// Signs in at the provider's own pages.
async fn at_the_provider(chromium: &Chromium, user: &str) {
    chromium.fill("input[name=login]", user).await;
    chromium.fill("input[name=password]", "x").await;
    chromium.press("button[type=submit]").await;
    chromium
        .press("button[type=submit][autofocus], button[type=submit]")
        .await;
}

#[tokio::test]
async fn signing_in_from_the_button_lets_a_mail_program_in() {
    let own = |stage: &Stage, _| {
        let second = stage.oidc.person("bob@example.com", ports::free());
        let third = stage.oidc.application("service@example.com");
        stage.oidc.person(USER, ports::free()) + &second + &third
    };
    let Some((stage, proxy, chromium)) = ready(own).await else {
        return;
    };
    for (name, width, height, dark) in [
        ("accounts-light", 1_100, 820, false),
        ("accounts-dark", 1_100, 820, true),
        ("accounts-narrow", 400, 900, false),
    ] {
        chromium.shape(width, height, dark).await;
        chromium.picture(name).await;
    }
    chromium.shape(1_100, 820, false).await;
    let row = format!(
        "a.button[href='sign-in?account={}']",
        USER.replace('@', "%40")
    );
    chromium.press(&row).await;
    chromium
        .sees("Password that the mail program uses here")
        .await;
    chromium.picture("sign-in-light").await;
    chromium.fill("#password", PASSWORD).await;
    chromium.press("main form button").await;
    chromium.sees("Sign-in").await;
    // The page is loaded anew in between, and the sign-in goes on from there.
    chromium.visit(&link(&stage)).await;
    chromium.sees("Continue sign-in").await;
    chromium.press(&row).await;
    chromium.sees("Sign in at your provider").await;
    chromium.picture("continue-light").await;
    chromium.press("a.button").await;
    at_the_provider(&chromium, USER).await;
    chromium.sees("Sign-in succeeded").await;
    chromium.picture("succeeded-light").await;
    chromium.press("main a").await;
    chromium.sees("Signed in").await;
    // Nothing of it was refused by the page's own policy.
    let log = chromium
        .script("return document.querySelectorAll('#log div').length")
        .await;
    assert!(log.as_u64().unwrap() > 0);
    chromium.sees("live").await;
    login(&proxy).await;
    // The log goes on by itself.
    chromium.sees("Successfully authenticated").await;
    chromium.visit(&link(&stage)).await;
    chromium.sees("Last login").await;
    chromium.picture("signed-in-light").await;
    chromium.shape(1_100, 820, true).await;
    chromium.picture("signed-in-dark").await;
    assert_eq!(stage.oidc.granted("authorization_code"), 1);
    proxy.kept_secrets(&stage);
    chromium.close().await;
}

#[tokio::test]
async fn a_denial_is_shown_with_a_way_on_and_an_old_address_too() {
    // The browser comes back to the page's own address.
    let own = |stage: &Stage, page| stage.oidc.person(USER, page);
    let Some((stage, proxy, chromium)) = ready(own).await else {
        return;
    };
    let begin = async || {
        chromium.visit(&link(&stage)).await;
        chromium.press("a.button[href^='sign-in']").await;
        chromium.fill("#password", PASSWORD).await;
        chromium.press("main form button").await;
        chromium.sees("Sign-in").await;
    };
    begin().await;
    // The provider's page has a link that cancels.
    chromium.press("a[href*='abort']").await;
    chromium.sees("Sign-in failed").await;
    chromium.picture("denied-light").await;
    let old = chromium.script("return location.href").await;
    chromium.visit(old.as_str().unwrap()).await;
    chromium.sees("This sign-in is not known").await;
    chromium.picture("old-light").await;
    chromium.press("main a").await;
    chromium.visit(&link(&stage)).await;
    chromium.sees("Last error").await;
    chromium.picture("failing-light").await;
    begin().await;
    at_the_provider(&chromium, USER).await;
    chromium.sees("Sign-in succeeded").await;
    login(&proxy).await;
    chromium.close().await;
}

#[tokio::test]
async fn a_device_code_is_approved_and_the_page_notices() {
    let own = |stage: &Stage, _| stage.oidc.device(USER);
    let Some((_stage, proxy, chromium)) = ready(own).await else {
        return;
    };
    chromium.press("a.button[href^='sign-in']").await;
    chromium.fill("#password", PASSWORD).await;
    chromium.press("main form button").await;
    chromium.sees("Type this code in").await;
    chromium.sees("Good for").await;
    chromium.picture("device-light").await;
    chromium.shape(400, 900, true).await;
    chromium.picture("device-narrow-dark").await;
    let to = chromium
        .script("return document.querySelector('a.button').href")
        .await;
    let page = browser::approve(to.as_str().unwrap(), USER).await;
    assert!(page.contains("Success"), "{page}");
    // Without anybody's doing.
    chromium.sees("Signed in").await;
    login(&proxy).await;
    chromium.close().await;
}

#[tokio::test]
async fn the_wrong_person_is_asked_about_and_may_sign_in_again() {
    let own = |stage: &Stage, page| {
        let section = stage.oidc.person_by_issuer(USER, page);
        section.replace("= openid ", "= openid email ")
    };
    let Some((_stage, proxy, chromium)) = ready(own).await else {
        return;
    };
    chromium.press("a.button[href^='sign-in']").await;
    chromium.fill("#password", PASSWORD).await;
    chromium.press("main form button").await;
    at_the_provider(&chromium, "bob@example.com").await;
    chromium.sees("Somebody else signed in").await;
    chromium.picture("somebody-else-light").await;
    chromium.press("button[value=yes]").await;
    chromium.sees("Sign-in succeeded").await;
    chromium.press("main a").await;
    chromium.sees("Signed in").await;
    proxy.stop();
    chromium.close().await;
}
