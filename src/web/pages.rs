//! The pages a browser is shown: small, without anything from elsewhere, readable in light and dark.
//!
//! The template escapes all that is put in; knows no requests.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Response, StatusCode, header};

/// The only style there is. Its digest is in the content security policy, so nothing else can style the page.
const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem;border-left:.4rem solid;padding-left:.8rem}\
h1.good{border-color:#2a9d4a}h1.bad{border-color:#d1352b}\
p{overflow-wrap:anywhere}small{opacity:.65}\
button{font:inherit;padding:.4rem 1rem;margin:.3rem 0;max-width:100%;overflow-wrap:anywhere}";

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

/// A page: a headline and a few lines below it, two buttons where it asks back, a link where it leads on.
#[derive(Template)]
#[template(
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ headline }} - emailproxy</title><style>{{ style|safe }}</style></head>
<body><h1 class="{% if good %}good{% else %}bad{% endif %}">{{ headline }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}{% if let Some(choice) = choice %}<form method="post" action="?" autocomplete="off">
<input type="hidden" name="confirm" value="{{ choice.confirm }}">
<p><button name="answer" value="yes">{{ choice.yes }}</button></p>
<p><button name="answer" value="no">{{ choice.no }}</button></p></form>
{% endif %}{% if let Some(link) = link %}<p><a href="{{ link }}" rel="noreferrer">Sign in again</a></p>
{% endif %}<small>emailproxy</small></body></html>
"#,
    ext = "html"
)]
struct Page<'p> {
    headline: &'p str,
    good: bool,
    lines: &'p [String],
    choice: Option<&'p Choice>,
    link: Option<&'p str>,
    style: &'static str,
}

/// Makes the answer that shows a page. Success and failure are told by the status too.
pub(super) fn page(status: StatusCode, headline: &str, lines: &[String]) -> Response<String> {
    Page::plain(status, headline, lines).answer(status)
}

/// Makes the answer that shows a page with a link to where to sign in again.
pub(super) fn page_with_link(
    status: StatusCode,
    headline: &str,
    lines: &[String],
    link: &str,
) -> Response<String> {
    let page = Page {
        link: Some(link),
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

impl<'p> Page<'p> {
    fn plain(status: StatusCode, headline: &'p str, lines: &'p [String]) -> Self {
        Self {
            headline,
            good: status.is_success(),
            lines,
            choice: None,
            link: None,
            style: STYLE,
        }
    }

    fn answer(&self, status: StatusCode) -> Response<String> {
        // A page of texts can always be rendered; the headline alone would still say it.
        let html = self.render().unwrap_or_else(|_| self.headline.to_owned());
        let mut response = Response::new(html);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // Without any referrer browsers also withhold the form's origin, which is looked at when it comes back.
        let (policy, referrer) = match self.choice {
            Some(_) => (POLICY_WITH_FORM.as_str(), "same-origin"),
            None => (POLICY.as_str(), "no-referrer"),
        };
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, referrer),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
