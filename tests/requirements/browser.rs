//! Web pages and browsers at the callback.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::daemon::{Plan, free_port, person, redirected, visit};
use crate::support::logs::Logs;
use crate::support::provider::Provider;
use crate::waiting::{Waiting, assert_headers, log_in};

#[tokio::test]
async fn r15_only_the_whole_answer_counts_and_it_counts_once() {
    let logs = Logs::catch();
    let waiting = Waiting::begin().await;
    let state = waiting.state();
    let swapped: String = state
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let almost = format!(
        "{}{}",
        &state[..42],
        if state.ends_with('A') { 'B' } else { 'A' }
    );
    let cases = [
        "code=stolen".to_owned(),
        "state=&code=stolen".to_owned(),
        "state=forged&code=stolen".to_owned(),
        format!("state={swapped}&code=stolen"),
        format!("state={almost}&code=stolen"),
        format!("state={state}A&code=stolen"),
        format!("state={}&code=stolen", &state[..42]),
        format!("state={state}%00&code=stolen"),
        format!("state=%20{state}&code=stolen"),
        format!("state={state}"),
        format!("state={state}&code="),
        format!("state={state}&state={state}&code=stolen"),
        format!("state=forged&state={state}&code=stolen"),
        format!("state={state}&code=stolen&code=other"),
        format!("state={state}&code=stolen&c%6Fde=other"),
        format!("state={state}&code=stolen&error=no&error=yes"),
        format!("STATE={state}&code=stolen"),
        format!("state[]={state}&code=stolen"),
        "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state=forged"
            .to_owned(),
        "error=access_denied".to_owned(),
    ];
    for query in &cases {
        let page = waiting
            .ask(&format!("GET /?{query} HTTP/1.1\nHost: localhost\n\n"))
            .await;
        assert!(page.starts_with("HTTP/1.1 400 "), "{query}: {page}");
        assert!(
            !page.contains("<script") && !page.contains("stolen"),
            "{page}"
        );
        assert_headers(&page);
    }
    // Neither in the fragment that a browser keeps to itself nor in a body is there an answer.
    let body = &waiting.query;
    let posted = format!(
        "POST / HTTP/1.1\nHost: localhost\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}\n\n{body}",
        body.len()
    );
    let page = waiting.ask(&posted).await;
    assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
    let (at, real) = (waiting.at, waiting.real());
    waiting.goes_through().await;
    assert!(!logs.hold("stolen"), "{}", logs.text());
    // Whether or not somebody still listens: it was good once.
    if let Ok(mut stream) = TcpStream::connect(at).await {
        drop(stream.write_all(real.as_bytes()).await);
        let mut page = String::new();
        drop(stream.read_to_string(&mut page).await);
        assert!(!page.contains("succeeded"), "{page}");
    }
}

#[tokio::test]
async fn r15_every_question_has_its_own_state_and_its_own_s256_challenge() {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let waiting = Waiting::begin().await;
        let (provider, page) = (&waiting.provider, waiting.ask(&waiting.real()).await);
        assert!(page.contains("succeeded"), "{page}");
        let asked = provider.world.register.visits().remove(0);
        let redeemed = provider.world.register.requests().remove(0);
        assert_eq!(asked["code_challenge_method"], "S256");
        let verifier = &redeemed["code_verifier"];
        let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
        assert_eq!(
            asked["code_challenge"],
            BASE64_URL_SAFE_NO_PAD.encode(digest)
        );
        // 256 bits are 43 characters of base64.
        assert!(
            verifier.len() >= 43 && asked["state"].len() >= 43,
            "{asked:?}"
        );
        for value in [verifier, &asked["state"]] {
            assert!(!seen.contains(value), "{value} again");
            seen.push(value.clone());
        }
        drop(waiting.proxy);
    }
}

#[tokio::test]
async fn r15_a_state_is_bound_to_its_account_and_redirect_address() {
    let logs = Logs::catch();
    let provider = Provider::start().await;
    let (one, other) = ("one@example.com", "other@example.com");
    let port = free_port();
    let own = |user: &str, path: &str| {
        let at = format!("http://localhost:{port}");
        person(&provider, user, port).replace(&at, &format!("{at}{path}"))
    };
    let proxy = Plan::for_provider(&provider)
        .section(&own(one, "/one"))
        .section(&own(other, "/other"))
        .start();
    let mut clients = Vec::new();
    for user in [one, other] {
        clients.push(log_in(&proxy, user).await);
    }
    let asked = {
        let mut pending = proxy.daemon.accounts.pending();
        let both = pending.wait_for(|asked| asked.len() == 2).await.unwrap();
        both.clone()
    };
    for asked in &asked {
        let back = redirected(&asked.url).await;
        // A provider, or a page, that brings one account's code to another's address.
        let astray = if back.contains("/one?") {
            back.replace("/one?", "/other?")
        } else {
            back.replace("/other?", "/one?")
        };
        let page = visit(&astray).await;
        // Unknown there, or nothing is there any more.
        let none = ["not known", "Nothing here"]
            .iter()
            .any(|no| page.contains(no));
        assert!(none, "{page}");
        assert!(
            logs.hold("another account's redirect address"),
            "{}",
            logs.text()
        );
        let page = visit(&back).await;
        assert!(
            page.contains("succeeded") && page.contains(&asked.account),
            "{page}"
        );
    }
    for client in &mut clients {
        let said = client.until_tagged("x").await.pop().unwrap();
        assert!(said.starts_with("OK"), "{said}");
    }
    assert_eq!(provider.world.register.requests().len(), 2);
}

#[tokio::test]
async fn r16_no_foreign_name_method_or_path_finishes_anything() {
    let waiting = Waiting::begin().await;
    let (port, query) = (waiting.at.port(), waiting.query.clone());
    let target = format!("/?{query}");
    let get = |host: &str| format!("GET {target} HTTP/1.1\nHost: {host}\n\n");
    let mut cases: Vec<String> = [
        "evil.example",
        &format!("evil.example:{port}"),
        &format!("localhost.evil.example:{port}"),
        &format!("localhost:{port}.evil.example"),
        &format!("evil.example@localhost:{port}"),
        &format!("localhost:{port}@evil.example"),
        &format!("localhost@127.0.0.1:{port}"),
        "localhost:1",
        "localhost:99999",
        "localhost:",
        "0.0.0.0",
        "127.0.0.2",
        "[::]",
        "192.168.1.1",
        "2130706433",
        "localhost, evil.example",
        "",
    ]
    .map(get)
    .to_vec();
    cases.push(format!("GET {target} HTTP/1.1\n\n"));
    cases.push(format!("GET {target} HTTP/1.0\n\n"));
    cases.push(format!(
        "GET {target} HTTP/1.1\nHost: localhost:{port}\nHost: evil.example\n\n"
    ));
    cases.push(format!(
        "GET http://evil.example{target} HTTP/1.1\nHost: localhost:{port}\n\n"
    ));
    cases.push(format!(
        "GET http://u@localhost:{port}{target} HTTP/1.1\nHost: localhost:{port}\n\n"
    ));
    for method in [
        "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW",
    ] {
        let more = "Origin: https://evil.example\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Private-Network: true";
        cases.push(format!(
            "{method} {target} HTTP/1.1\nHost: localhost:{port}\n{more}\n\n"
        ));
    }
    cases.push(format!(
        "CONNECT localhost:{port} HTTP/1.1\nHost: localhost:{port}\n\n"
    ));
    for path in [
        "//",
        "/./",
        "/%2f",
        "/x/..",
        "/index.html",
        "/callback",
        "/;/",
        "/\\",
        "*",
        "/%3f",
    ] {
        cases.push(format!(
            "GET {path}?{query} HTTP/1.1\nHost: localhost:{port}\n\n"
        ));
    }
    for body in ["", "confirm=x&answer=yes", &query] {
        for origin in [
            "https://evil.example",
            "null",
            &format!("http://localhost:{}", port - 1),
        ] {
            cases.push(format!(
                "POST {target} HTTP/1.1\nHost: localhost:{port}\nOrigin: {origin}\nSec-Fetch-Site: cross-site\n\
                 Content-Type: application/x-www-form-urlencoded\nContent-Length: {}\n\n{body}",
                body.len()
            ));
        }
    }
    for request in &cases {
        let page = waiting.ask(request).await;
        assert!(!page.contains("succeeded"), "{request}: {page}");
        assert!(!page.starts_with("HTTP/1.1 2"), "{request}: {page}");
        assert_headers(&page);
        assert!(
            waiting.provider.world.register.requests().is_empty(),
            "{request}"
        );
    }
    waiting.goes_through().await;
}

#[tokio::test]
async fn r16_what_is_no_plain_request_is_refused_at_once() {
    let waiting = Waiting::begin().await;
    let (port, query) = (waiting.at.port(), waiting.query.clone());
    let get = format!("GET /?{query} HTTP/1.1\nHost: localhost:{port}\n");
    let cases = [
        format!("GET /?{query}\n"),
        "PRI * HTTP/2.0\n\nSM\n\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".to_owned(),
        "EHLO evil.example\n".to_owned(),
        "a1 LOGIN u p\n".to_owned(),
        "USER u\n".to_owned(),
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n".to_owned(),
        "\u{0}\u{0}\u{0}\u{0}".to_owned(),
        format!("{get}Transfer-Encoding: chunked\nContent-Length: 5\n\n0\n\n"),
        format!("{get}Content-Length: 5\nContent-Length: 6\n\nhello"),
        format!("{get}Content-Length: nonsense\n\n"),
        format!("{get}X: {}\n\n", "y".repeat(17_000)),
        format!(
            "{get}{}\n",
            (0..500)
                .map(|n| format!("X-{n}: y\n"))
                .collect::<Vec<_>>()
                .concat()
        ),
        format!(
            "GET /?{}&{query} HTTP/1.1\nHost: localhost:{port}\n\n",
            "y".repeat(17_000)
        ),
        format!("{get} folded\n\n"),
        format!("{get}Bad Name: y\n\n"),
        format!("GET /?{query} HTTP/1.1\nHost : localhost\n\n"),
        format!("GET /?{query} HTTP/9.9\nHost: localhost\n\n"),
    ];
    for request in &cases {
        let page = waiting.ask(request).await;
        let status = page.get(9..10);
        assert!(matches!(status, Some("4" | "5")), "{request:.80}: {page}");
        assert_headers(&page);
        assert!(
            waiting.provider.world.register.requests().is_empty(),
            "{request:.80}"
        );
    }
    // What is pipelined behind the first request is not heard.
    let two = format!(
        "GET /favicon.ico HTTP/1.1\nHost: localhost:{port}\n\n{}",
        waiting.real()
    );
    let page = waiting.ask(&two).await;
    assert_eq!(page.matches("HTTP/1.1").count(), 1, "{page}");
    waiting.goes_through().await;
}

#[tokio::test]
async fn r16_slow_connections_keep_no_browser_waiting() {
    let waiting = Waiting::begin().await;
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(waiting.at).await.unwrap();
        let begun = [&b""[..], b"G", b"GET / HTTP/1.1\r\nX: y"][n % 3];
        drop(stream.write_all(begun).await);
        slow.push(stream);
    }
    waiting.goes_through().await;
    drop(slow);
}
