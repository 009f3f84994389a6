//! The small pages a browser is shown around a sign-in: without anything from elsewhere, readable in light and dark.
//!
//! The template escapes all that is put in; knows no requests. The page with the accounts is `page`'s.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Response, StatusCode, header};

/// The only style there is. Its digest is in the content security policy, so nothing else can style these pages.
const STYLE: &str = include_str!("pages.css");

/// What the browser may do with a page: show it.
static POLICY: LazyLock<String> = LazyLock::new(|| policy("'none'"));

/// The same for a page with a form: it goes back to where the page came from, and nowhere else.
static POLICY_WITH_FORM: LazyLock<String> = LazyLock::new(|| policy("'self'"));

fn policy(form_action: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'",
        STANDARD.encode(digest)
    )
}

/// What a page asks back.
#[derive(Default)]
pub(super) struct Choice {
    /// The one-time value that goes back with the answer.
    pub(super) confirm: String,
    /// What the button for a yes says.
    pub(super) yes: String,
    /// What the button for a no says.
    pub(super) no: String,
}

/// A page: a headline and a few lines below it, two buttons or a password where it asks back, a link where it leads on.
#[derive(Template)]
#[template(
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
{% if let Some(refresh) = refresh %}<meta http-equiv="refresh" content="0;url={{ refresh }}">
{% endif %}<title>{{ headline }} - emailproxy</title><style>{{ style|safe }}</style></head>
<body><main><h1 class="{% if good %}good{% else %}bad{% endif %}">{{ headline }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}{% if let Some(choice) = choice %}<form method="post" action="?" autocomplete="off">
<input type="hidden" name="confirm" value="{{ choice.confirm }}">
<p><button name="answer" value="yes">{{ choice.yes }}</button></p>
<p><button name="answer" value="no">{{ choice.no }}</button></p></form>
{% endif %}{% if password %}<form method="post" action="open">
<p><label for="password">The page's password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus></p>
<p><button>Open</button></p></form>
{% endif %}{% if let Some((link, words)) = link %}<p><a href="{{ link }}" rel="noreferrer">{{ words }}</a></p>
{% endif %}</main><footer>emailproxy</footer></body></html>
"#,
    ext = "html"
)]
struct Page<'p> {
    headline: &'p str,
    good: bool,
    lines: &'p [String],
    choice: Option<&'p Choice>,
    password: bool,
    refresh: Option<&'p str>,
    link: Option<(&'p str, &'p str)>,
    style: &'static str,
}

/// Makes the answer that shows a page. Success and failure are told by the status too.
pub(super) fn page(status: StatusCode, headline: &str, lines: &[String]) -> Response<String> {
    Page::plain(status, headline, lines).answer(status)
}

/// Makes the answer that shows a page with a link, an address and its words, where there is one.
pub(super) fn page_with_link(
    status: StatusCode,
    headline: &str,
    lines: &[String],
    link: Option<(&str, &str)>,
) -> Response<String> {
    let page = Page {
        link,
        ..Page::plain(status, headline, lines)
    };
    page.answer(status)
}

/// Makes the answer that shows a page with two buttons.
pub(super) fn page_with_choice(
    status: StatusCode,
    headline: &str,
    lines: &[String],
    choice: &Choice,
) -> Response<String> {
    let page = Page {
        choice: Some(choice),
        ..Page::plain(status, headline, lines)
    };
    page.answer(status)
}

/// Makes the answer that asks for the page's password.
pub(super) fn page_with_password(
    status: StatusCode,
    headline: &str,
    lines: &[String],
) -> Response<String> {
    let page = Page {
        password: true,
        ..Page::plain(status, headline, lines)
    };
    page.answer(status)
}

/// Makes the answer that sends a browser on by itself, as a redirect would do; but a form may lead to it.
pub(super) fn page_that_goes_on(headline: &str, lines: &[String], to: &str) -> Response<String> {
    let page = Page {
        refresh: Some(to),
        link: Some((to, "Go on")),
        ..Page::plain(StatusCode::OK, headline, lines)
    };
    page.answer(StatusCode::OK)
}

impl<'p> Page<'p> {
    fn plain(status: StatusCode, headline: &'p str, lines: &'p [String]) -> Self {
        Self {
            headline,
            good: status.is_success(),
            lines,
            choice: None,
            password: false,
            refresh: None,
            link: None,
            style: STYLE,
        }
    }

    fn answer(&self, status: StatusCode) -> Response<String> {
        // A page of texts can always be rendered; the headline alone would still say it.
        let html = self.render().unwrap_or_else(|_| self.headline.to_owned());
        let policy = match (self.choice, self.password) {
            (None, false) => Policy::Shows(POLICY.as_str()),
            _ => Policy::Asks(POLICY_WITH_FORM.as_str()),
        };
        with_headers(status, "text/html; charset=utf-8", policy, html)
    }
}

/// What a browser may do with an answer.
#[derive(Clone, Copy)]
pub(super) enum Policy {
    /// Show it, under this content security policy.
    Shows(&'static str),
    /// Send its forms back too. Without any referrer browsers also withhold the form's origin, which is looked at when it
    /// comes back.
    Asks(&'static str),
}

/// Puts the headers on that every answer has.
pub(super) fn with_headers<B>(
    status: StatusCode,
    kind: &'static str,
    policy: Policy,
    body: B,
) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let (policy, referrer) = match policy {
        Policy::Shows(policy) => (policy, "no-referrer"),
        Policy::Asks(policy) => (policy, "same-origin"),
    };
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, referrer),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
