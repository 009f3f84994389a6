//! Who signed in: a shared mailbox's delegate is named, asked about, and then used where the server wants them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use program::Program;
use serde_json::json;
use support::client::plain_response;
use support::daemon::{Plan, free_port, person, redirected, visit};
use support::logs::Logs;
use support::provider::Provider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

#[path = "support/program.rs"]
mod program;
mod support;

const SHARED: &str = "shared@example.com";
const DELEGATE: &str = "delegate@example.com";
const PASSWORD: &str = "any-password-you-like";

/// A provider where the delegate is signed in already and may open the shared mailbox.
async fn exchange() -> Provider {
    let provider = Provider::start().await;
    provider.world.turn(|knobs| {
        knobs.signs_in = Some(DELEGATE.to_owned());
        knobs.openid.claims = Some(json!({"preferred_username": DELEGATE}));
        knobs.delegates = vec![(SHARED, DELEGATE)];
    });
    provider
}

/// Has only the owner of the shared mailbox sign in from now on.
fn sign_the_delegate_out(provider: &Provider) {
    provider.world.turn(|knobs| {
        knobs.signs_in = None;
        knobs.openid.claims = Some(json!({"preferred_username": SHARED}));
    });
}

/// Presses a button of the page that a browser was sent back to.
async fn press(back: &str, page: &str, answer: &str) -> String {
    let (_, rest) = page
        .split_once(r#"name="confirm" value=""#)
        .unwrap_or_else(|| panic!("no question on the page: {page}"));
    let confirm = rest.split('"').next().unwrap();
    // What the form's action `?` comes to.
    let mut to = url::Url::parse(back).unwrap();
    let origin = to.origin().ascii_serialization();
    to.set_query(Some(""));
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = [("confirm", confirm), ("answer", answer)];
    let sent = browser
        .post(to)
        .header("Origin", origin)
        .header("Sec-Fetch-Site", "same-origin")
        .form(&form)
        .send()
        .await
        .unwrap();
    sent.text().await.unwrap()
}

#[tokio::test]
async fn a_delegate_is_stored_after_a_yes_on_the_page() {
    let logs = Logs::catch();
    let provider = exchange().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, SHARED, free_port())
        .start();
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {SHARED} {PASSWORD}")).await;
    let back = redirected(&proxy.asked().await).await;
    let page = visit(&back).await;
    assert!(
        page.contains(SHARED) && page.contains(DELEGATE) && page.contains("Nothing is stored"),
        "{page}"
    );
    assert!(
        logs.hold(&format!("{DELEGATE} signed in for account {SHARED}")),
        "{}",
        logs.text()
    );
    let rests = fs::read_to_string(proxy.store()).unwrap();
    assert!(!rests.contains(SHARED), "{rests}");
    let page = press(&back, &page, "yes").await;
    assert!(page.contains("Sign-in succeeded"), "{page}");
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.visits()[0]["login_hint"], SHARED);

    let proxy = proxy.restart().await;
    let said = proxy
        .imap()
        .await
        .imap(&format!("LOGIN {SHARED} {PASSWORD}"))
        .await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn after_a_no_the_page_leads_to_another_sign_in() {
    let provider = exchange().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, SHARED, free_port())
        .start();
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {SHARED} {PASSWORD}")).await;
    let back = redirected(&proxy.asked().await).await;
    let page = visit(&back).await;
    sign_the_delegate_out(&provider);
    let page = press(&back, &page, "no").await;
    assert!(page.contains("Nothing was stored"), "{page}");
    let (_, rest) = page.split_once("<a href=\"").unwrap();
    let link = rest.split('"').next().unwrap().replace("&#38;", "&");
    let page = visit(&link).await;
    assert!(page.contains("Sign-in succeeded"), "{page}");
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.visits().len(), 2);
}

#[tokio::test]
async fn what_the_file_expects_is_not_asked_about() {
    let provider = exchange().await;
    let section = format!(
        "{}sign_in_as = {DELEGATE}\n",
        person(&provider, SHARED, free_port())
    );
    let proxy = Plan::for_provider(&provider).section(&section).start();
    let person = proxy.say_yes();
    let said = proxy
        .imap()
        .await
        .imap(&format!("LOGIN {SHARED} {PASSWORD}"))
        .await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert!(person.await.unwrap().contains("Sign-in succeeded"));
    assert_eq!(provider.world.register.visits()[0]["login_hint"], DELEGATE);
}

/// A SOCKS5 proxy that leads Exchange's names to the pretend provider's servers.
async fn disguise(provider: &Provider) -> SocketAddr {
    let places: HashMap<&str, SocketAddr> = HashMap::from([
        ("outlook.office365.com", provider.imap),
        ("smtp.office365.com", provider.smtp),
    ]);
    let places = Arc::new(places);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(lead(client, Arc::clone(&places)));
        }
    });
    at
}

async fn lead(mut client: TcpStream, places: Arc<HashMap<&str, SocketAddr>>) {
    let mut methods = vec![0; 2];
    client.read_exact(&mut methods).await.unwrap();
    methods.resize(usize::from(methods[1]), 0);
    client.read_exact(&mut methods).await.unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 5];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..4], [5, 1, 0, 3], "a name is wanted");
    let mut name = vec![0; usize::from(request[4]) + 2];
    client.read_exact(&mut name).await.unwrap();
    let name = String::from_utf8(name[..name.len() - 2].to_vec()).unwrap();
    let mut server = TcpStream::connect(places[name.as_str()]).await.unwrap();
    client
        .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])
        .await
        .unwrap();
    // Either side may hang up first.
    drop(copy_bidirectional(&mut client, &mut server).await);
}

#[tokio::test]
async fn one_consent_opens_the_shared_mailbox_and_sends_as_the_delegate() {
    let provider = exchange().await;
    let section = format!(
        "{}sign_in_as = {DELEGATE}\n",
        person(&provider, SHARED, free_port())
    );
    let mut plan = Plan::bare(&provider.world.authority)
        .option(&format!("proxy = socks5://{}", disguise(&provider).await))
        .section(&section);
    for (name, host) in [
        ("IMAP-0", "outlook.office365.com"),
        ("SMTP-0", "smtp.office365.com"),
    ] {
        plan = plan.section(&format!(
            "[{name}]\nlocal_address = 127.0.0.1\nserver_address = {host}\nserver_port = 993"
        ));
    }
    let proxy = plan.start();
    let person = proxy.say_yes();
    let said = proxy
        .imap()
        .await
        .imap(&format!("LOGIN {SHARED} {PASSWORD}"))
        .await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    person.await.unwrap();
    // The pretend Exchange takes the delegate alone here: a token of theirs with another name is refused.
    let mut smtp = proxy.smtp().await;
    let response = plain_response(SHARED, PASSWORD);
    let said = smtp.smtp(&format!("AUTH PLAIN {response}")).await;
    assert!(said[0].starts_with("235"), "{said:?}");
    assert_eq!(provider.world.register.visits().len(), 1);
}

#[tokio::test]
async fn under_another_servers_name_the_account_keeps_its_own() {
    let provider = exchange().await;
    let section = format!(
        "{}sign_in_as = {DELEGATE}\n",
        person(&provider, SHARED, free_port())
    );
    for (smtp_user, taken) in [("", false), (DELEGATE, true)] {
        let section = format!("{section}smtp_user = {smtp_user}\n");
        let proxy = Plan::for_provider(&provider).section(&section).start();
        let person = proxy.say_yes();
        let said = proxy
            .imap()
            .await
            .imap(&format!("LOGIN {SHARED} {PASSWORD}"))
            .await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
        person.await.unwrap();
        let mut smtp = proxy.smtp().await;
        let response = plain_response(SHARED, PASSWORD);
        let said = smtp.smtp(&format!("AUTH PLAIN {response}")).await;
        assert_eq!(said[0].starts_with("235"), taken, "{said:?}");
        proxy.daemon.stop().await;
    }
}

/// Writes a configuration for the program, with a place for its control socket.
fn written(plan: Plan) -> (Plan, PathBuf, String) {
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    fs::create_dir_all(home.join("run")).unwrap();
    fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    (plan, home, file.display().to_string())
}

#[tokio::test]
async fn the_terminal_asks_through_the_running_proxy() {
    let provider = exchange().await;
    let plan = Plan::for_provider(&provider).person(&provider, SHARED, free_port());
    let (_plan, home, file) = written(plan);
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let command = ["authorize", SHARED, "--config-file", &file];

    let mut person = Program::start(&home, &command);
    let url = person.says(&format!("account {SHARED}: ")).await;
    person.paste(&format!("{}\n", redirected(&url).await)).await;
    person.says(&format!("Use {DELEGATE} for {SHARED}?")).await;
    assert!(
        person.text().contains(&format!("sign_in_as = {DELEGATE}")),
        "{}",
        person.text()
    );
    person.paste("perhaps\nn\n").await;
    // A new address comes; whoever leaves it open is asked again by the next command.
    let mut again = String::new();
    while again.is_empty() {
        let text = person.text();
        let mut urls = text
            .lines()
            .filter_map(|line| line.split_once("authenticate account "));
        urls.next();
        if let Some((_, rest)) = urls.next() {
            rest.split_once(": ").unwrap().1.clone_into(&mut again);
        }
        tokio::task::yield_now().await;
    }
    assert_ne!(again, url);
    let page = visit(&again).await;
    assert!(page.contains("Nothing is stored"), "{page}");
    drop(person);
    let mut person = Program::start(&home, &command);
    person.says(&format!("Use {DELEGATE} for {SHARED}?")).await;
    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert!(
        status
            .printed
            .contains("waiting for a yes to who signed in"),
        "{}",
        status.printed
    );
    person.paste("y\n").await;
    let done = person.end().await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    assert!(done.printed.contains("is authorised"), "{}", done.printed);
}

#[tokio::test]
async fn the_terminal_asks_where_no_proxy_runs() {
    let provider = exchange().await;
    let plan = Plan::for_provider(&provider).person(&provider, SHARED, free_port());
    let (_plan, home, file) = written(plan);
    let mut person = Program::start(&home, &["authorize", SHARED, "--config-file", &file]);
    person.paste(&format!("{PASSWORD}\n")).await;
    let url = person.says(&format!("account {SHARED}: ")).await;
    person.paste(&format!("{}\n", redirected(&url).await)).await;
    person.says(&format!("Use {DELEGATE} for {SHARED}?")).await;
    person.paste("y\n").await;
    let done = person.end().await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
}

#[tokio::test]
async fn the_proxys_own_terminal_asks_after_a_paste() {
    let provider = exchange().await;
    let plan = Plan::for_provider(&provider).person(&provider, SHARED, free_port());
    let (_plan, home, file) = written(plan);
    let mut proxy = Program::start(&home, &["run", "--external-auth", "--config-file", &file]);
    let imap = proxy.listens("IMAP").await;
    let mut client = support::client::Client::plain(imap).await;
    client.line().await;
    client.say(&format!("x LOGIN {SHARED} {PASSWORD}")).await;
    let url = proxy
        .says(&format!("authenticate account {SHARED}: "))
        .await;
    proxy.paste(&format!("{}\n", redirected(&url).await)).await;
    proxy.says(&format!("Use {DELEGATE} for {SHARED}?")).await;
    proxy.paste("y\n").await;
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}
