//! Judges an endpoint's answer: status, headers and body in, a JSON object or a strict RFC 6749 answer or an [`Error`]
//! out.
//!
//! Real endpoints bend the RFC: `expires_in` as text, no `token_type`, JSON called `text/plain`, HTML error pages. What
//! is meant clearly is straightened here, so that the parser behind sees only what section 5.1 allows. Pure functions;
//! knows nothing of connections.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2::basic::BasicTokenResponse;
use oauth2::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use oauth2::{HttpResponse, TokenResponse as _};
use serde_json::{Map, Value};

use super::quiet::Quiet;
use super::verdict::{self, Sign, Verdict};
use super::{Error, Tokens, catalogue};
use crate::said::Said;
use crate::secret::{AccessToken, Secret};

/// How long a token is good where the endpoint does not say, in seconds.
const USUAL_LIFETIME: f64 = 3_600.0;

/// No token is believed to be good for longer, in seconds: 30 days.
const LONGEST_LIFETIME: f64 = 2_592_000.0;

/// The longest refresh token taken, in bytes (RFC 6749 appendix A.17 allows printable ASCII and names no length).
const MAX_REFRESH: usize = 16 * 1024;

/// How deep an answer's JSON may nest.
const MAX_DEPTH: usize = 16;

/// How much of an error description or an error page is repeated, in characters.
const MAX_EXCERPT: usize = 500;

/// What must be known of the question to judge the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// The key of the file that leads to whom was asked.
    pub(super) key: &'static str,
    /// Whether something was handed in that can die: a code or a refresh token.
    pub(super) mortal: bool,
    /// Whether a device code was polled with.
    pub(super) polling: bool,
    /// What must not be repeated.
    pub(super) quiet: Quiet,
}

impl Asked {
    /// Turns a verdict into an error. Where nothing was handed in that can die, nothing dies.
    fn error(&self, verdict: Option<Verdict>, text: String) -> Error {
        let said = Said::new(text);
        match verdict {
            Some(Verdict::Dead) if self.mortal => Error::GrantDead(said),
            Some(Verdict::Dead | Verdict::Denied) | None => Error::Denied(said),
            Some(Verdict::Later | Verdict::Pending | Verdict::Slower) => Error::Unavailable(said),
        }
    }
}

/// Takes the JSON object out of a good answer, or says why there is none.
pub(super) fn object(answer: &HttpResponse, asked: &Asked) -> Result<Map<String, Value>, Error> {
    let status = answer.status();
    let bad = |sign: Sign, text: String| Err(asked.error(verdict::of(sign), text));
    let header = |name| answer.headers().get(name).map(|v| Said::new(v.as_bytes()));

    if let Some(encoding) = header(CONTENT_ENCODING)
        && !encoding.as_str().eq_ignore_ascii_case("identity")
    {
        let why = format!(
            "the answer is encoded as {}, which was not asked for",
            encoding.short()
        );
        return bad(Sign::Encoded, why);
    }
    if status.is_redirection() {
        let target = header(LOCATION).unwrap_or_default();
        let why = format!(
            "HTTP {}: redirected to `{}`, and requests from here follow no redirect; check `{}`",
            status.as_u16(),
            asked.quiet.hush(&target.short()),
            asked.key
        );
        return bad(Sign::Redirected, why);
    }
    let object = read_object(answer.body());
    let error = object.as_ref().and_then(|object| refusal(object, asked));
    // Whoever polls is told by words to go on, whatever status they come with.
    match error.as_ref().map(|error| error.verdict) {
        Some(Verdict::Pending) if asked.polling => return Err(Error::Pending),
        Some(Verdict::Slower) if asked.polling => return Err(Error::SlowDown),
        _ => {}
    }
    if status.is_server_error() || status.as_u16() == 429 {
        let said = match error {
            Some(error) => error.text,
            None => excerpt(answer.body(), asked),
        };
        let wait = header(RETRY_AFTER);
        let told = wait
            .as_ref()
            .map(|wait| format!(" (retry after {})", wait.short()));
        let text = format!(
            "HTTP {}: {said}{}",
            status.as_u16(),
            told.unwrap_or_default()
        );
        // A date instead of seconds is not understood; asking less often by itself is enough then.
        let seconds = wait.and_then(|wait| wait.as_str().trim().parse().ok());
        if let Some(wait) = seconds.map(Duration::from_secs) {
            let said = Said::new(text);
            return Err(Error::Throttled { said, wait });
        }
        let sign = if status.is_server_error() {
            Sign::ServerTrouble
        } else {
            Sign::TooMany
        };
        return bad(sign, text);
    }
    if let Some(error) = error {
        return Err(asked.error(Some(error.verdict), error.text));
    }
    object.filter(|_| status.is_success()).ok_or_else(|| {
        let said = excerpt(answer.body(), asked);
        let why = format!("HTTP {} without a JSON answer: {said}", status.as_u16());
        asked.error(verdict::of(Sign::NoJson), why)
    })
}

/// Turns a token endpoint's answer into one that follows RFC 6749 section 5.1, or says why it is none.
pub(super) fn straighten(answer: &HttpResponse, asked: &Asked) -> Result<HttpResponse, Error> {
    strict(&object(answer, asked)?, asked)
}

/// Takes the tokens out of a strict answer.
pub(super) fn tokens(answer: &BasicTokenResponse) -> Result<Tokens, Error> {
    let access = AccessToken::parse(answer.access_token().secret())
        .map_err(|why| Error::Denied(Said::from(why)))?;
    Ok(Tokens {
        access,
        lifetime: answer.expires_in().unwrap_or(Duration::ZERO),
        refresh: answer
            .refresh_token()
            .map(|token| Secret::from(token.secret().as_str())),
        signed_in: None,
    })
}

/// Reads a JSON object, whatever the answer calls its type.
pub(super) fn read_object(body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if nests_too_deep(body) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// Counts brackets outside strings, before the parser sees them.
fn nests_too_deep(body: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Turns a token endpoint's good answer into one that follows RFC 6749 section 5.1 to the letter.
pub(super) fn strict(object: &Map<String, Value>, asked: &Asked) -> Result<HttpResponse, Error> {
    let text = |key: &str| {
        let value = object.get(key).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    let Some(access) = text("access_token") else {
        let keys: Vec<&str> = object.keys().map(String::as_str).take(10).collect();
        let why = format!(
            "the answer holds no access_token but [{}]; check `{}`",
            keys.join(", "),
            asked.key
        );
        return Err(asked.error(verdict::of(Sign::NoToken), why));
    };
    match object.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind))
            if kind.is_empty() || kind.trim().eq_ignore_ascii_case("bearer") => {}
        Some(other) => {
            let why = format!(
                "the endpoint gave a token of type {other}; mail servers take Bearer tokens only"
            );
            return Err(asked.error(verdict::of(Sign::OddType), why));
        }
    }
    let mut clean = Map::new();
    clean.insert("access_token".into(), access.into());
    clean.insert("token_type".into(), "bearer".into());
    clean.insert("expires_in".into(), lifetime(object).into());
    if let Some(refresh) = text("refresh_token") {
        let printable = refresh.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !printable || refresh.len() > MAX_REFRESH {
            let why = "the endpoint gave a refresh token that is longer than 16 KiB or holds more than printable ASCII";
            return Err(asked.error(verdict::of(Sign::OddToken), why.to_owned()));
        }
        clean.insert("refresh_token".into(), refresh.into());
    }
    let mut answer = HttpResponse::new(Value::Object(clean).to_string().into_bytes());
    let json = oauth2::http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Ok(answer)
}

/// Reads how long a token is good, in seconds: `expires_in`, or `expires_on` (Unix time) where an endpoint of Azure sends
/// that alone.
fn lifetime(object: &Map<String, Value>) -> u64 {
    let left = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(number(object.get("expires_on"))? - now.as_secs_f64())
    };
    whole_seconds(
        number(object.get("expires_in")).or_else(left),
        USUAL_LIFETIME,
    )
}

/// Reads seconds: 0 to 30 days, `usual` where there are none.
pub(super) fn seconds(value: Option<&Value>, usual: f64) -> u64 {
    whole_seconds(number(value), usual)
}

/// Reads a number or a text of one.
fn number(value: Option<&Value>) -> Option<f64> {
    match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        _ => None,
    }
}

fn whole_seconds(seconds: Option<f64>, usual: f64) -> u64 {
    let seconds = seconds.filter(|s| !s.is_nan()).unwrap_or(usual);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=2,592,000 just before"
    )]
    let whole = seconds.clamp(0.0, LONGEST_LIFETIME) as u64;
    whole
}

/// An error answer, read.
struct Refused {
    verdict: Verdict,
    text: String,
}

/// Reads RFC 6749 section 5.2's error, as bent by Microsoft (`error_codes`, ids) and Google (`error` as an object).
fn refusal(object: &Map<String, Value>, asked: &Asked) -> Option<Refused> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    };
    let (error, description) = match object.get("error") {
        Some(Value::String(error)) if !error.trim().is_empty() => (
            error.trim().to_owned(),
            text(object.get("error_description")),
        ),
        Some(Value::Object(inner)) => {
            let word = ["status", "code", "type"]
                .iter()
                .find_map(|key| match inner.get(*key) {
                    Some(Value::String(word)) => Some(word.clone()),
                    _ => None,
                });
            (
                word.unwrap_or_else(|| "error".to_owned()),
                text(inner.get("message")),
            )
        }
        _ => return None,
    };
    let code = entra_code(&description).or_else(|| {
        let first = object.get("error_codes")?.as_array()?.first()?;
        u32::try_from(first.as_u64()?).ok()
    });
    let verdict = verdict::of_error(&error, code);
    let advice = code
        .and_then(catalogue::entra_advice)
        .or_else(|| catalogue::advice(&error, &description));

    // Microsoft ends its descriptions with ids and a time stamp, which would push the advice out of sight.
    let short = description
        .split("Trace ID:")
        .next()
        .unwrap_or_default()
        .trim();
    let mut said = asked.quiet.hush(&cut(&error, 100));
    if !short.is_empty() {
        said.push_str(": ");
        said.push_str(&cut(&asked.quiet.hush(short), MAX_EXCERPT));
    } else if let Some(code) = code {
        said.push_str(&format!(": AADSTS{code}"));
    }
    if let Some(advice) = advice {
        said.truncate(said.trim_end_matches('.').len());
        said.push_str("; ");
        said.push_str(advice);
    }
    let ids: Vec<String> = ["trace_id", "correlation_id"]
        .iter()
        .filter_map(|key| {
            let id = text(object.get(*key));
            (!id.is_empty()).then(|| format!("{key} {}", cut(&id, 64)))
        })
        .collect();
    if !ids.is_empty() {
        said.push_str(&format!(" ({})", ids.join(", ")));
    }
    Some(Refused {
        verdict,
        text: said,
    })
}

/// Finds the number of an `AADSTSnnn` in a description.
fn entra_code(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns a bounded piece of a body that is no JSON: a page's title, or its text without tags.
fn excerpt(body: &[u8], asked: &Asked) -> String {
    let text = asked.quiet.hush(&String::from_utf8_lossy(body));
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let from = at + "<title>".len();
        let to = from + lower.get(from..)?.find('<')?;
        text.get(from..to)
    });
    let plain = match title {
        Some(title) if !title.trim().is_empty() => title.to_owned(),
        _ => without_tags(&text),
    };
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() {
        return "an empty answer".to_owned();
    }
    cut(&words.join(" "), MAX_EXCERPT)
}

/// Drops what stands between angle brackets.
fn without_tags(text: &str) -> String {
    let mut inside = false;
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '<' => {
                inside = true;
                plain.push(' ');
            }
            '>' if inside => inside = false,
            _ if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Cuts a text at `most` characters, showing that it was cut.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}
