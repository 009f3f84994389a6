//! The page that asks whether somebody else's sign-in is meant, and what takes its answer.

use std::net::SocketAddr;

use super::{Desk, consent, get, visit};

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a form as the page does, with these further header lines.
async fn post(address: SocketAddr, form: &str, headers: &str) -> String {
    let request = format!(
        "POST /? HTTP/1.1\nHost: localhost:{}\nContent-Type: {FORM}\nContent-Length: {}{headers}\n\n{form}",
        address.port(),
        form.len()
    );
    visit(address, &request).await
}

#[tokio::test]
async fn the_page_names_the_difference_and_its_buttons_come_back() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| c);
    let at = desk.address().await;
    let page = get(at, "/?code=c&state=else-u%40example.org").await;
    assert!(page.starts_with("HTTP/1.1 409 "), "{page}");
    let lower = page.to_ascii_lowercase();
    for header in [
        "form-action 'self'",
        // With `no-referrer` the form would come back with the origin `null`.
        "referrer-policy: same-origin",
        "cache-control: no-store",
        "frame-ancestors 'none'",
    ] {
        assert!(lower.contains(header), "{header}: {page}");
    }
    assert!(
        !page.contains("<me>") && !page.contains("<script"),
        "{page}"
    );
    for words in [
        r#"<form method="post" action="?""#,
        r#"<input type="hidden" name="confirm" value="once">"#,
        r#"<button name="answer" value="yes">Yes, use &#60;me&#62;@example.org for u@example.org</button>"#,
        r#"<button name="answer" value="no">No, sign in again</button>"#,
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(desk.confirmed.lock().unwrap().is_empty());

    let origin = format!(
        "\nOrigin: http://localhost:{}\nSec-Fetch-Site: same-origin",
        at.port()
    );
    let page = post(at, "confirm=once&answer=yes", &origin).await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("Sign-in succeeded"), "{page}");
    let page = post(at, "confirm=once&answer=no", &origin).await;
    assert!(page.contains("Nothing was stored"), "{page}");
    assert!(
        page.contains(r#"<a href="https://idp.example/authorize?login_hint=u" rel="noreferrer">"#),
        "{page}"
    );
    let page = post(at, "confirm=forged&answer=yes", "").await;
    assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
    assert_eq!(
        *desk.confirmed.lock().unwrap(),
        [
            ("once".to_owned(), true),
            ("once".to_owned(), false),
            ("forged".to_owned(), true)
        ]
    );
}

#[tokio::test]
async fn no_other_page_can_answer() {
    let consents = vec![consent("u", "https://mail.example/back")];
    let mut desk = Desk::open(consents, |c| c);
    let at = desk.address().await;
    let good = "confirm=once&answer=yes";
    for headers in [
        "\nOrigin: null".to_owned(),
        "\nOrigin: https://evil.example".to_owned(),
        "\nOrigin: https://mail.example.evil.example".to_owned(),
        "\nOrigin: http://localhost:1".to_owned(),
        format!(
            "\nOrigin: http://localhost:{}\nSec-Fetch-Site: cross-site",
            at.port()
        ),
        format!(
            "\nOrigin: http://localhost:{}\nSec-Fetch-Site: same-site",
            at.port()
        ),
        format!(
            "\nOrigin: http://localhost:{}\nOrigin: https://evil.example",
            at.port()
        ),
        "\nSec-Fetch-Site: none".to_owned(),
    ] {
        let page = post(at, good, &headers).await;
        assert!(page.starts_with("HTTP/1.1 403 "), "{headers}: {page}");
    }
    let big = format!("confirm={}&answer=yes", "x".repeat(21_000));
    for (form, status) in [
        ("confirm=once", "400"),
        ("confirm=once&answer=yes&answer=no", "400"),
        (big.as_str(), "413"),
    ] {
        let page = post(at, form, "").await;
        assert!(page.starts_with(&format!("HTTP/1.1 {status} ")), "{page}");
    }
    for request in [
        format!(
            "POST / HTTP/1.1\nHost: localhost\nContent-Length: {}\n\n{good}",
            good.len()
        ),
        format!(
            "POST / HTTP/1.1\nHost: localhost\nContent-Type: text/plain\nContent-Length: {}\n\n{good}",
            good.len()
        ),
    ] {
        let page = visit(at, &request).await;
        assert!(page.starts_with("HTTP/1.1 415 "), "{page}");
    }
    let page = visit(
        at,
        &format!("POST / HTTP/1.1\nHost: evil.example\nContent-Type: {FORM}\nContent-Length: {}\n\n{good}", good.len()),
    )
    .await;
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    assert!(desk.confirmed.lock().unwrap().is_empty());
    // Behind a reverse proxy that changes the Host header the browser's own name counts.
    let page = post(
        at,
        good,
        "\nOrigin: https://mail.example\nSec-Fetch-Site: same-origin",
    )
    .await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
}
