//! Who is let in, and what harms nobody.

use emailproxy::commands::run::{Daemon, Launch};
use emailproxy::config::Config;
use emailproxy::control::Recent;

use crate::support::browser::{Browser, header, raw, value};
use crate::support::daemon::{Plan, free_port};
use crate::support::logs::Logs;
use crate::support::provider::Provider;
use crate::{EVERY_HEADER, USER, at, provider_of, ready};

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
async fn a_taken_usual_address_stops_nothing_and_a_named_one_does() {
    let provider = Provider::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plan = Plan::for_provider(&provider).app(&provider, USER).page();
    let path = plan.write();
    let text = std::fs::read_to_string(&path).unwrap();
    let at = taken.local_addr().unwrap();
    std::fs::write(&path, text.replace("127.0.0.1:0", &at.to_string())).unwrap();
    let mut config = Config::read(&path).unwrap();
    let launch = |config: &Config| Launch {
        config: config.clone(),
        store: path.with_file_name("tokens.json").into(),
        external_auth: false,
        drain: std::time::Duration::from_millis(1),
        recent: Recent::default(),
    };
    let refused = Daemon::start(launch(&config)).unwrap_err();
    assert!(refused.to_string().contains(&at.to_string()), "{refused:#}");
    config.options.web.is_named = false;
    let logs = Logs::catch();
    let daemon = Daemon::start(launch(&config)).unwrap();
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
        Config::parse(std::path::Path::new("x.ini"), text.as_bytes())
    };
    let refused = parse("web = 0.0.0.0:8825\n").unwrap_err();
    assert!(refused[0].text.contains("web_password"), "{refused:?}");
    let refused = parse("web = 0.0.0.0:8825\nweb_password = hunter2hunt\n").unwrap_err();
    assert!(refused[0].text.contains("12 to 1024") && !refused[0].text.contains("hunter2"));
    assert!(parse("web = 0.0.0.0:8825\nweb_password = correct horse battery\n").is_ok());
    assert_eq!(parse("web = off\n").unwrap().options.web.listen, None);
}
