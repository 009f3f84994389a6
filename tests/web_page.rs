//! The page from end to end: who is let in, what it shows, and signing in from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "this is a test"
)]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use emailproxy::accounts::Standing;
use emailproxy::control::Recent;
use support::browser::{Browser, header, raw, value};
use support::client::Client;
use support::daemon::{Plan, Proxy, free_port, redirected, visit};
use support::logs::Logs;
use support::provider::{CLIENT_ID, Provider, SCOPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const USER: &str = "person@example.com";
const PASSWORD: &str = "secret";

/// Whose answers everybody may read, and whose only the owner.
const EVERY_HEADER: [&str; 6] = [
    "content-security-policy: default-src 'none';",
    "frame-ancestors 'none'",
    "x-content-type-options: nosniff",
    "cache-control: no-store",
    "x-frame-options: DENY",
    "connection: close",
];

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .page()
        .start();
    (provider, proxy)
}

async fn log_in(proxy: &Proxy) -> Client {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    client
}

async fn welcomed(mut client: Client) {
    let said = client.until_tagged("x").await.pop().unwrap();
    assert!(said.starts_with("OK"), "{said}");
}

fn at(proxy: &Proxy) -> SocketAddr {
    let link = url::Url::parse(&proxy.daemon.page.as_ref().unwrap().link()).unwrap();
    link.socket_addrs(|| None).unwrap()[0]
}

/// Returns where the page sends the browser that is to sign in.
fn provider_of(page: &str) -> String {
    let rest = page.split_once("content=\"0;url=").expect(page).1;
    let url = rest.split_once('"').unwrap().0;
    url.replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test]
async fn r16_without_a_session_nothing_is_told() {
    let (_provider, proxy) = ready().await;
    let at = at(&proxy);
    for target in [
        "/",
        "/part",
        "/events",
        "/sign-in?account=person%40example.com",
        "/metrics",
        "/page.css",
        "/page.js",
        "/icon.svg",
        "/code.svg?account=x",
        "/open",
        "/open?key=",
        "/open?key=guessed",
        "/nothing",
    ] {
        for more in [
            "",
            "Cookie: emailproxy=x\n",
            &format!("Cookie: emailproxy-{}=guessed\n", at.port()),
        ] {
            let answer = raw(at, &format!("GET {target} HTTP/1.1\nHost: {at}\n{more}\n")).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
            assert!(!answer.contains("example.com"), "{target}: {answer}");
            for expected in EVERY_HEADER {
                assert!(answer.contains(expected), "{target}: {expected}: {answer}");
            }
        }
    }
    for (target, words) in [
        ("/healthz", "ok\n"),
        ("/readyz", "every account waits for a person\n"),
    ] {
        let answer = raw(at, &format!("GET {target} HTTP/1.1\nHost: {at}\n\n")).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{words}")), "{answer}");
        for expected in EVERY_HEADER {
            assert!(answer.contains(expected), "{target}: {expected}: {answer}");
        }
    }
    // A return that belongs to no sign-in is told so.
    let answer = raw(
        at,
        &format!("GET /?state=forged&code=x HTTP/1.1\nHost: {at}\n\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Led here from another site, browsers hold the cookie back; the next step begins here.
    let answer = raw(
        at,
        &format!("GET / HTTP/1.1\nHost: {at}\nSec-Fetch-Site: cross-site\n\n"),
    )
    .await;
    assert!(answer.contains("content=\"0;url=./\""), "{answer}");
}

#[tokio::test]
async fn r16_a_link_opens_the_page_once_and_the_cookie_is_kept_from_others() {
    let (_provider, proxy) = ready().await;
    let page = proxy.daemon.page.as_ref().unwrap();
    let first = page.link();
    let browser = Browser::open(&proxy).await;
    assert_ne!(page.link(), first, "the next link is another one");
    let at = browser.at;
    let target = &first[first.find("/open").unwrap()..];
    let again = raw(at, &format!("GET {target} HTTP/1.1\nHost: {at}\n\n")).await;
    assert!(again.starts_with("HTTP/1.1 403 ") && header(&again, "set-cookie").is_none());

    let next = page.link();
    let target = &next[next.find("/open").unwrap()..];
    let answer = raw(at, &format!("GET {target} HTTP/1.1\nHost: {at}\n\n")).await;
    let cookie = header(&answer, "set-cookie").unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert_eq!(header(&answer, "location").as_deref(), Some("./"));

    let shown = browser.get("/").await;
    assert!(
        shown.starts_with("HTTP/1.1 200 ") && shown.contains(USER),
        "{shown}"
    );
    for expected in EVERY_HEADER {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(
        !shown.contains("<style") && !shown.contains("style="),
        "{shown}"
    );
    for target in ["/page.css", "/page.js", "/icon.svg", "/part", "/metrics"] {
        let answer = browser.get(target).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
    }
    // Under another name nothing is there, whatever it brings.
    for host in ["evil.example", "localhost.evil.example", "127.0.0.2", ""] {
        let cookie = &browser.cookie;
        let answer = raw(
            at,
            &format!("GET / HTTP/1.1\nHost: {host}\nCookie: {cookie}\n\n"),
        )
        .await;
        assert!(
            !answer.starts_with("HTTP/1.1 2") && !answer.contains(USER),
            "{host}: {answer}"
        );
    }
    let left = browser.post("/leave", &[]).await;
    assert!(left.starts_with("HTTP/1.1 303 "), "{left}");
    assert!(browser.get("/").await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn r16_no_form_is_taken_but_our_own_and_once() {
    let (_provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    let own = format!("Origin: http://{}\n", browser.at);
    let form = |value: &str| format!("value={value}&account=person%40example.com");
    let value = value(&browser.get("/").await);
    for path in ["/sign-in", "/answer", "/paste", "/leave"] {
        for (form, headers) in [
            (form(&value), String::new()),
            (form(&value), "Origin: null\n".to_owned()),
            (form(&value), "Origin: https://evil.example\n".to_owned()),
            (form(&value), format!("Origin: https://{}\n", browser.at)),
            (form(&value), format!("{own}{own}")),
            (form(&value), format!("{own}Sec-Fetch-Site: cross-site\n")),
            (form(""), own.clone()),
            (form("guessed"), own.clone()),
            ("account=person%40example.com".to_owned(), own.clone()),
            (format!("{}&value={value}", form(&value)), own.clone()),
            (format!("{}&more=1", form(&value)), own.clone()),
        ] {
            let answer = browser.send(path, &form, &headers).await;
            assert!(
                answer.starts_with("HTTP/1.1 403 "),
                "{path} {form} {headers}: {answer}"
            );
        }
    }
    assert!(proxy.daemon.accounts.pending().borrow().is_empty());
    let answer = browser.send("/sign-in", &form(&value), &own).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let again = browser.send("/sign-in", &form(&value), &own).await;
    assert!(again.starts_with("HTTP/1.1 403 "), "{again}");
}

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
    provider
        .world
        .turn(|knobs| knobs.signs_in = Some("<i>other</i>@example.com".into()));
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
    assert!(shown.contains("other") && !shown.contains("<i>"), "{shown}");
    let confirm = shown.split_once("name=\"confirm\" value=\"").unwrap().1;
    let confirm = confirm.split_once('"').unwrap().0;
    let again = browser
        .post("/answer", &[("confirm", confirm), ("answer", "no")])
        .await;
    assert!(again.contains("Nothing was stored"), "{again}");
    provider.world.turn(|knobs| knobs.signs_in = None);
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
    timeout(support::client::PATIENCE, pending.wait_for(Vec::is_empty))
        .await
        .unwrap()
        .unwrap();
    welcomed(log_in(&proxy).await).await;
    let shown = browser.get(&format!("/{there}")).await;
    assert!(shown.contains("Signed in"), "{shown}");
}

#[tokio::test]
async fn hostile_names_are_shown_harmlessly() {
    let provider = Provider::start().await;
    let name = "<script>alert(1)</script>\"'&x@example.com";
    let proxy = Plan::for_provider(&provider)
        .person(&provider, name, free_port())
        .page()
        .start();
    let browser = Browser::open(&proxy).await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("account", name)
        .finish();
    for target in ["/".to_owned(), format!("/sign-in?{query}")] {
        let shown = browser.get(&target).await;
        assert!(
            shown.contains("script") && !shown.contains("<script>"),
            "{shown}"
        );
    }
    let going = browser.post("/sign-in", &[("account", name)]).await;
    assert!(!going.contains("<script>"), "{going}");
    assert!(provider_of(&going).starts_with("http"), "{going}");
    let missing = browser.get("/sign-in?account=%3Cb%3Enobody").await;
    assert!(
        missing.starts_with("HTTP/1.1 404 ") && !missing.contains("<b>"),
        "{missing}"
    );
    let refused = browser.post("/sign-in", &[("account", "<b>nobody")]).await;
    assert!(
        refused.starts_with("HTTP/1.1 409 ") && !refused.contains("<b>"),
        "{refused}"
    );
    let long = "x".repeat(21_000);
    let refused = browser
        .post("/paste", &[("account", USER), ("address", &long)])
        .await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    for pasted in ["", "<b>x", "http://localhost/?code=c&state=forged"] {
        let refused = browser
            .post("/paste", &[("account", USER), ("address", pasted)])
            .await;
        assert!(
            !refused.contains("<b>x") && !refused.contains("succeeded"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_happens_is_told_to_few_pages_as_it_happens() {
    let (_provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        let (at, cookie) = (browser.at, &browser.cookie);
        let request = format!("GET /events HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        until(&mut stream, "retry: 3000").await;
        open.push(stream);
    }
    let ninth = browser.get("/events").await;
    assert!(ninth.starts_with("HTTP/1.1 503 "), "{ninth}");
    let client = log_in(&proxy).await;
    for stream in &mut open {
        until(stream, "event: change\ndata: \n\n").await;
    }
    drop((client, open.pop()));
    // Its seat is free once its end was noticed.
    let again = async {
        loop {
            let mut stream = TcpStream::connect(browser.at).await.unwrap();
            let (at, cookie) = (browser.at, &browser.cookie);
            let request = format!("GET /events HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            if &status == b"HTTP/1.1 200" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(support::client::PATIENCE, again)
        .await
        .expect("no seat becomes free");
    // A page that listens does not hold up the end.
    timeout(support::client::PATIENCE, proxy.daemon.stop())
        .await
        .unwrap();
}

/// Reads until these words came.
async fn until(stream: &mut TcpStream, words: &str) {
    let mut heard = Vec::new();
    let reading = async {
        let mut some = [0; 1024];
        while !String::from_utf8_lossy(&heard).contains(words) {
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&some[..count]);
        }
    };
    timeout(support::client::PATIENCE, reading)
        .await
        .expect(words);
}

#[tokio::test]
async fn metrics_are_told_where_the_file_allows_it_and_pass_promtool() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .page()
        .option("metrics_from = 127.0.0.0/8")
        .start();
    welcomed(log_in(&proxy).await).await;
    let mut client = proxy.imap().await;
    client.imap(&format!("LOGIN {USER} wrong")).await;
    drop(client);
    let at = at(&proxy);
    let get = |more: &str| format!("GET /metrics HTTP/1.1\nHost: {at}\n{more}\n");
    let answer = raw(at, &get("")).await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    for line in [
        r#"emailproxy_logins_total{protocol="imap",outcome="success"} 1"#,
        r#"emailproxy_logins_total{protocol="imap",outcome="wrong_password"} 1"#,
        r#"emailproxy_token_requests_total{outcome="success"} 1"#,
        "emailproxy_token_wait_seconds_count 1",
        r#"emailproxy_account_usable{account="person@example.com"} 1"#,
    ] {
        assert!(answer.lines().any(|one| one == line), "{line}: {answer}");
    }
    // What came through a reverse proxy has that one's address.
    for header in [
        "X-Forwarded-For: 192.0.2.1\n",
        "Forwarded: for=192.0.2.1\n",
        "Via: 1.1 x\n",
    ] {
        let answer = raw(at, &get(header)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{header}: {answer}");
    }
    let ready = raw(at, &format!("GET /readyz HTTP/1.1\nHost: {at}\n\n")).await;
    assert!(ready.ends_with("\r\n\r\nready\n"), "{ready}");
    promtool(answer.split_once("\r\n\r\n").unwrap().1);
}

/// Has Prometheus' own tool judge metrics, where it is installed.
fn promtool(text: &str) {
    use std::io::Write as _;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "promtool is not installed"
        );
        eprintln!("skipped: promtool is not installed");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn behind_a_reverse_proxy_all_accounts_share_the_address_of_the_page() {
    let provider = Provider::start().await;
    let shared = "https://vault.example/email-oauth2-proxy-authorize/";
    let own = |user: &str| {
        let port = free_port();
        let section = support::daemon::person(&provider, user, port);
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
    let at = SocketAddr::from(([127, 0, 0, 1], port_of(&proxy)));
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
        let page = timeout(support::client::PATIENCE, arrived).await.unwrap();
        assert!(page.contains("succeeded") && page.contains(user), "{page}");
    }
}

fn port_of(proxy: &Proxy) -> u16 {
    let addresses = proxy.daemon.page.as_ref().unwrap().address();
    addresses.port()
}

#[tokio::test]
async fn a_taken_usual_address_stops_nothing_and_a_named_one_does() {
    let provider = Provider::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plan = Plan::for_provider(&provider).app(&provider, USER).page();
    let path = plan.write();
    let text = std::fs::read_to_string(&path).unwrap();
    let at = taken.local_addr().unwrap();
    std::fs::write(&path, text.replace("127.0.0.1:0", &at.to_string())).unwrap();
    let mut config = emailproxy::config::Config::read(&path).unwrap();
    let launch = |config: &emailproxy::config::Config| emailproxy::commands::run::Launch {
        config: config.clone(),
        store: path.with_file_name("tokens.json").into(),
        external_auth: false,
        drain: std::time::Duration::from_millis(1),
        recent: Recent::default(),
    };
    let refused = emailproxy::commands::run::Daemon::start(launch(&config)).unwrap_err();
    assert!(refused.to_string().contains(&at.to_string()), "{refused:#}");
    config.options.web.is_named = false;
    let logs = Logs::catch();
    let daemon = emailproxy::commands::run::Daemon::start(launch(&config)).unwrap();
    assert!(daemon.page.is_none());
    assert!(logs.hold("there is no page"), "{}", logs.text());
    daemon.stop().await;
}

#[test]
fn a_page_that_others_can_reach_needs_a_password() {
    let parse = |options: &str| {
        let text = format!(
            "[IMAP-0]\nserver_address = imap.example.org\nserver_port = 993\n[emailproxy]\n{options}"
        );
        emailproxy::config::Config::parse(std::path::Path::new("x.ini"), text.as_bytes())
    };
    let refused = parse("web = 0.0.0.0:8825\n").unwrap_err();
    assert!(refused[0].text.contains("web_password"), "{refused:?}");
    let refused = parse("web = 0.0.0.0:8825\nweb_password = hunter2hunt\n").unwrap_err();
    assert!(refused[0].text.contains("12 to 1024") && !refused[0].text.contains("hunter2"));
    assert!(parse("web = 0.0.0.0:8825\nweb_password = correct horse battery\n").is_ok());
    assert_eq!(parse("web = off\n").unwrap().options.web.listen, None);
}
