//! What a browser is told, and what disturbs nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Desk, consent, get, visit};

#[tokio::test]
async fn a_return_is_taken_whole_and_decoded_once() {
    let mut desk = Desk::open(vec![consent("u@example.org", "http://localhost")], |c| c);
    let at = desk.address().await;
    let page = get(
        at,
        "/?code=4%2F0A%2Bb%2520c+d&state=for-u%40example.org&scope=imap%20smtp&iss=https%3A%2F%2Fidp.example",
    )
    .await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(
        page.contains("<h1 class=\"good\">Sign-in succeeded</h1>"),
        "{page}"
    );
    assert!(
        page.contains("The account u@example.org is authorised."),
        "{page}"
    );
    let lower = page.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-frame-options: deny",
        "form-action 'none'",
        "connection: close",
    ] {
        assert!(lower.contains(header), "{header}: {page}");
    }
    assert!(!lower.contains("access-control"), "{page}");
    let answers = desk.answers.lock().unwrap();
    let answer = &answers[0];
    assert_eq!(answer.code.as_ref().unwrap().reveal(), "4/0A+b%20c d");
    assert_eq!(answer.issuer.as_deref(), Some("https://idp.example"));
    assert!(answer.error.is_none());
}

/// Every answer has these headers, whatever it says, and none that tells more.
fn has_all_headers(page: &str) {
    let (head, _) = page.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-frame-options: deny",
        "connection: close",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    for header in ["access-control", "server:", "set-cookie", "location"] {
        assert!(!head.contains(header), "{header}: {head}");
    }
}

#[tokio::test]
async fn r15_a_state_counts_only_where_its_redirect_address_is() {
    let consents = vec![
        consent("u", "http://localhost/u"),
        consent("v", "http://localhost/v"),
    ];
    let mut desk = Desk::open(consents, |c| c);
    let at = desk.address().await;
    get(at, "/v?code=c&state=for-u").await;
    get(at, "/u?code=c&state=for-u").await;
    let answers = desk.answers.lock().unwrap();
    let came_to: Vec<_> = answers
        .iter()
        .map(|answer| answer.came_to.clone().unwrap())
        .collect();
    assert_eq!(came_to, [["v"], ["u"]], "who keeps the accounts decides");
}

#[tokio::test]
async fn a_refusal_is_shown_and_cannot_break_the_page() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| c);
    let at = desk.address().await;
    let page = get(
        at,
        "/?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0A&state=no-%3Cb%3E",
    )
    .await;
    assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
    assert!(page.contains("Sign-in failed"), "{page}");
    assert!(page.contains("failed because: "), "{page}");
    assert!(page.contains("alert(1)"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
}

#[tokio::test]
async fn r16_what_is_no_return_is_refused_and_disturbs_nothing() {
    let mut desk = Desk::open(
        vec![consent("u", "https://mail.example/oauth/back/")],
        |c| c,
    );
    let at = desk.address().await;
    let good = "/oauth/back/?code=c&state=for-u";
    let port = at.port();
    // (request, status, words on the page)
    let table = [
        (
            "GET /favicon.ico HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "Nothing here",
        ),
        (
            "GET /oauth/back/more?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            "GET /oauth/back/ HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "`state`",
        ),
        (
            "GET /oauth/back/?code=c HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "`state`",
        ),
        (
            "GET /oauth/back/?state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "neither",
        ),
        (
            "GET /oauth/back/?state=for-u&code= HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "neither",
        ),
        (
            "GET /oauth/back/?code=c&state=for-u&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "twice",
        ),
        (
            "GET /oauth/back/?code=c&state=for-u&c%6fde=d HTTP/1.1\nHost: localhost".to_owned(),
            "400",
            "twice",
        ),
        (
            format!("GET {good} HTTP/1.1\nHost: evil.example"),
            "403",
            "Host header",
        ),
        (
            format!("GET {good} HTTP/1.1\nHost: localhost.evil.example"),
            "403",
            "",
        ),
        (format!("GET {good} HTTP/1.1\nHost: 10.9.8.7"), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: a@localhost"), "403", ""),
        (format!("GET {good} HTTP/1.1\nX: y"), "400", ""),
        (
            format!("GET {good} HTTP/1.1\nHost: localhost\nHost: localhost"),
            "400",
            "",
        ),
        (format!("GET {good} HTTP/1.1\nHost: localhost:1"), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: localhost."), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: 127.0.0.2"), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: 127.1"), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: 0x7f000001"), "403", ""),
        (format!("GET {good} HTTP/1.1\nHost: 0.0.0.0"), "403", ""),
        (
            format!("GET {good} HTTP/1.1\nHost: localhost:{port}@evil.example"),
            "403",
            "",
        ),
        (
            format!("GET http://localhost:1{good} HTTP/1.1\nHost: localhost"),
            "403",
            "",
        ),
        (
            format!("GET http://localhost@localhost{good} HTTP/1.1\nHost: localhost"),
            "403",
            "",
        ),
        (
            "GET /oauth/back?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            "GET //oauth/back/?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            "GET /oauth/./back/?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            "GET /oauth%2fback/?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            "GET /oauth/BACK/?code=c&state=for-u HTTP/1.1\nHost: localhost".to_owned(),
            "404",
            "",
        ),
        (
            format!(
                "OPTIONS {good} HTTP/1.1\nHost: localhost\nOrigin: https://evil.example\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Private-Network: true"
            ),
            "405",
            "",
        ),
        (
            format!("CONNECT localhost:{port} HTTP/1.1\nHost: localhost:{port}"),
            "404",
            "",
        ),
        (format!("TRACE {good} HTTP/1.1\nHost: localhost"), "405", ""),
        (format!("GET {good}"), "400", ""),
        (format!("GET {good} HTTP/2.0\nHost: localhost"), "505", ""),
        (
            format!("GET {good} HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n0\n"),
            "400",
            "",
        ),
        (
            format!(
                "GET {good}&{} HTTP/1.1\nHost: localhost",
                (0..200)
                    .map(|n| format!("p{n}=1&"))
                    .collect::<Vec<_>>()
                    .concat()
            ),
            "400",
            "more parameters",
        ),
        (
            format!("GET http://evil.example{good} HTTP/1.1\nHost: localhost"),
            "403",
            "",
        ),
        (
            format!("POST {good} HTTP/1.1\nHost: localhost\nContent-Length: 0"),
            "415",
            "no answer to a question",
        ),
        (
            format!("PUT {good} HTTP/1.1\nHost: localhost\nContent-Length: 0"),
            "405",
            "GET and POST",
        ),
        (format!("HEAD {good} HTTP/1.1\nHost: localhost"), "405", ""),
        (
            format!(
                "GET {good} HTTP/1.1\nHost: localhost\nX: {}",
                "x".repeat(17_000)
            ),
            "431",
            "",
        ),
        (
            format!("GET /{} HTTP/1.1\nHost: localhost", "x".repeat(17_000)),
            "431",
            "",
        ),
        ("EHLO localhost".to_owned(), "400", ""),
    ];
    for (request, status, words) in table {
        let page = visit(at, &request).await;
        let short: String = request.chars().take(80).collect();
        assert!(
            page.starts_with(&format!("HTTP/1.1 {status} ")),
            "{short}: {page}"
        );
        assert!(page.contains(words), "{short}: {page}");
        has_all_headers(&page);
        assert!(desk.states().is_empty(), "{short}");
    }
    // And then the real one, by each name it may have: behind a reverse proxy with the port of the redirect address.
    let names = [
        "mail.example".to_owned(),
        "MAIL.example:443".to_owned(),
        format!("LOCALHOST:{port}"),
        "127.0.0.1".to_owned(),
        format!("[::1]:{port}"),
    ];
    for host in &names {
        let page = visit(at, &format!("GET {good} HTTP/1.1\nHost: {host}")).await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{host}: {page}");
        has_all_headers(&page);
        let absolute = format!("GET http://{host}{good} HTTP/1.1\nHost: {host}");
        let page = visit(at, &absolute).await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{host}: {page}");
    }
    assert_eq!(desk.states().len(), 2 * names.len());
}

#[tokio::test]
async fn a_forged_state_is_told_what_to_do() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| c);
    let at = desk.address().await;
    let page = get(at, "/?code=c&state=forged").await;
    assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
    assert!(
        page.contains("used already, is too old") && page.contains("newest address"),
        "{page}"
    );
    let page = get(at, "/?code=c&state=for-u").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
}

#[tokio::test]
async fn the_page_comes_after_the_outcome_and_a_closed_browser_stops_nothing() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| c);
    let at = desk.address().await;
    desk.gate.forget_permits(1_000);
    let waiting = tokio::spawn(async move { get(at, "/?code=c&state=for-u").await });
    // Another browser comes back and goes away before it is told anything.
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream
        .write_all(b"GET /?code=d&state=for-v HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    desk.begun.wait_for(|count| *count == 2).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);

    // Requests that do not finish anything are answered meanwhile.
    assert!(get(at, "/favicon.ico").await.starts_with("HTTP/1.1 404 "));
    assert!(!waiting.is_finished() && desk.states().is_empty());
    desk.gate.add_permits(2);
    assert!(waiting.await.unwrap().contains("Sign-in succeeded"));
    let both = desk.ended.wait_for(|count| *count == 2);
    timeout(Duration::from_secs(10), both)
        .await
        .expect("the closed browser stopped the redemption")
        .unwrap();
    assert!(desk.states().contains(&"for-v".to_owned()));
}
