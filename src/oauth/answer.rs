//! Judges an endpoint's answer: status, headers and body in, a JSON object or a strict RFC 6749 answer or an [`Error`]
//! out.
//!
//! Real endpoints bend the RFC: `expires_in` as text, no `token_type`, JSON called `text/plain`, HTML error pages. What
//! is meant clearly is straightened here, so that the parser behind sees only what section 5.1 allows. Pure functions;
//! knows nothing of connections.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2::basic::BasicTokenResponse;
use oauth2::http::HeaderValue;
use oauth2::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use oauth2::{HttpResponse, TokenResponse as _};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::quiet::Quiet;
use super::reason::{self, Reason};
use super::verdict::{self, Sign, Verdict};
use super::{Error, Tokens};
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

/// How much is repeated of names in an answer, its type of token, encoding and time to wait, in characters.
const MAX_KEY: usize = 40;

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
    fn error(&self, verdict: Option<Verdict>, reason: impl Into<Reason>) -> Error {
        let said = reason.into().said();
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
    let bad = |sign: Sign, reason: Reason| Err(asked.error(verdict::of(sign), reason));
    let header = |name| {
        let value = answer.headers().get(name)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some(Said::new(asked.quiet.hush(&text)))
    };

    if let Some(encoding) = header(CONTENT_ENCODING)
        && !encoding.as_str().eq_ignore_ascii_case("identity")
    {
        let why = format!(
            "the answer is encoded as {}, which was not asked for",
            reason::cut(encoding.as_str(), MAX_KEY)
        );
        return bad(Sign::Encoded, why.into());
    }
    if status.is_redirection() {
        let target = header(LOCATION).unwrap_or_default();
        let why = format!(
            "HTTP {}: redirected to `{}`, and requests from here follow no redirect; check `{}`",
            status.as_u16(),
            target.short(),
            asked.key
        );
        return bad(Sign::Redirected, why.into());
    }
    let object = read_object(answer.body());
    let error = object.as_ref().and_then(|object| {
        let mut quiet = asked.quiet.clone();
        quiet.learn_answer(object);
        reason::read(object, &quiet)
    });
    // Whoever polls is told by words to go on, whatever status they come with.
    match error.as_ref().map(|error| error.verdict) {
        Some(Verdict::Pending) if asked.polling => return Err(Error::Pending),
        Some(Verdict::Slower) if asked.polling => return Err(Error::SlowDown),
        _ => {}
    }
    if status.is_server_error() || status.as_u16() == 429 {
        let mut reason = match error {
            Some(error) => error.reason,
            None => excerpt(answer.body(), object.as_ref(), asked).into(),
        };
        let wait = header(RETRY_AFTER);
        let told = wait.as_ref().map(|wait| {
            let wait = reason::cut(wait.as_str(), MAX_KEY);
            format!(" (retry after {wait})")
        });
        reason.text = format!(
            "HTTP {}: {}{}",
            status.as_u16(),
            reason.text,
            told.unwrap_or_default()
        );
        // A date instead of seconds is not understood; asking less often by itself is enough then.
        let seconds = wait.and_then(|wait| wait.as_str().trim().parse().ok());
        if let Some(wait) = seconds.map(Duration::from_secs) {
            let said = reason.said();
            return Err(Error::Throttled { said, wait });
        }
        let sign = if status.is_server_error() {
            Sign::ServerTrouble
        } else {
            Sign::TooMany
        };
        return bad(sign, reason);
    }
    if let Some(error) = error {
        return Err(asked.error(Some(error.verdict), error.reason));
    }
    match object {
        Some(object) if status.is_success() => Ok(object),
        object => {
            let said = excerpt(answer.body(), object.as_ref(), asked);
            let why = format!("HTTP {} without a JSON answer: {said}", status.as_u16());
            bad(Sign::NoJson, why.into())
        }
    }
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

/// Reads a JSON object, whatever the answer calls its type. One that says a thing twice, differently, says nothing (RFC
/// 6749 section 3.2).
pub(super) fn read_object(body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if nests_too_deep(body) {
        return None;
    }
    let Once(object) = serde_json::from_slice(body).ok()?;
    Some(object)
}

/// An object in which no key has two values.
struct Once(Map<String, Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;

        impl<'de> Visitor<'de> for Reads {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once, A::Error> {
                let mut object = Map::new();
                while let Some((key, value)) = entries.next_entry::<String, Value>()? {
                    if object.get(&key).is_some_and(|before| *before != value) {
                        return Err(A::Error::custom("a key with two values"));
                    }
                    object.insert(key, value);
                }
                Ok(Once(object))
            }
        }

        deserializer.deserialize_map(Reads)
    }
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
    let mut quiet = asked.quiet.clone();
    quiet.learn_answer(object);
    let text = |key: &str| {
        let value = object.get(key).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    let Some(access) = text("access_token") else {
        let why = format!(
            "the answer holds no access_token but [{}]; check `{}`",
            keys(object, &quiet),
            asked.key
        );
        return Err(asked.error(verdict::of(Sign::NoToken), why));
    };
    match object.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind))
            if kind.is_empty() || kind.trim().eq_ignore_ascii_case("bearer") => {}
        Some(other) => {
            let kind = reason::cut(&quiet.hush(&other.to_string()), MAX_KEY);
            let why = format!(
                "the endpoint gave a token of type {kind}; mail servers take Bearer tokens only"
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
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Ok(answer)
}

/// Lists what an answer holds.
pub(super) fn keys(object: &Map<String, Value>, quiet: &Quiet) -> String {
    let keys: Vec<String> = object
        .keys()
        .take(10)
        .map(|key| reason::cut(&quiet.hush(key), MAX_KEY))
        .collect();
    keys.join(", ")
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
    let seconds = seconds.filter(|s| s.is_finite()).unwrap_or(usual);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=2,592,000 just before"
    )]
    let whole = seconds.clamp(0.0, LONGEST_LIFETIME) as u64;
    whole
}

/// Returns a bounded piece of a body that is no good answer: a page's title, or its text without tags. What may hold a
/// token, half an answer for instance, is not repeated.
fn excerpt(body: &[u8], object: Option<&Map<String, Value>>, asked: &Asked) -> String {
    let begin = body.trim_ascii_start().first();
    let broken = object.is_none() && matches!(begin, Some(b'{' | b'['));
    let lower = body.to_ascii_lowercase();
    if broken || memchr::memmem::find(&lower, b"_token").is_some() {
        return "an answer that cannot be read, and is not shown as it may hold a token".to_owned();
    }
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
    reason::cut(&words.join(" "), reason::MAX_EXCERPT)
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
