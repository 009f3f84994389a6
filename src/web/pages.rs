//! The pages a browser is shown: small, without anything from elsewhere, readable in light and dark.
//!
//! The template escapes all that is put in; knows no requests.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The only style there is. Its digest is in the content security policy, so nothing else can style the page.
const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem;border-left:.4rem solid;padding-left:.8rem}\
h1.good{border-color:#2a9d4a}h1.bad{border-color:#d1352b}\
p{overflow-wrap:anywhere}small{opacity:.65}";

/// What the browser may do with a page: show it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(digest)
    )
});

/// A page: a headline and a few lines below it.
#[derive(Template)]
#[template(
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ headline }} - emailproxy</title><style>{{ style|safe }}</style></head>
<body><h1 class="{% if good %}good{% else %}bad{% endif %}">{{ headline }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}<small>emailproxy</small></body></html>
"#,
    ext = "html"
)]
struct Page<'p> {
    headline: &'p str,
    good: bool,
    lines: &'p [String],
    style: &'static str,
}

/// Makes the answer that shows a page. Success and failure are told by the status too.
pub(super) fn page(status: StatusCode, headline: &str, lines: &[String]) -> Response<Body> {
    let page = Page {
        headline,
        good: status.is_success(),
        lines,
        style: STYLE,
    };
    // A page of texts can always be rendered; the headline alone would still say it.
    let html = page.render().unwrap_or_else(|_| headline.to_owned());
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}
