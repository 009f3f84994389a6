//! A provider's no in words: its error code first, then its own description, and, as marks that are never cut, the ids by
//! which its support finds the case. What to do about it is the catalogue's (`providers::catalogue`).
//!
//! As bent by Microsoft (`error_codes`, ids beside the description or in it) and Google (`error` as an object). Pure
//! functions; what a no means for the tokens held is for `verdict`.

use serde_json::{Map, Value};

use super::quiet::Quiet;
use super::verdict::{self, Verdict};
use crate::providers::catalogue::{self, Entry};
use crate::said::Said;

/// How much of an error code is repeated, in characters.
const MAX_CODE: usize = 100;

/// How much of an error description or an error page is repeated, in characters.
pub(super) const MAX_EXCERPT: usize = 500;

/// How much of an id is repeated, in characters; those known are GUIDs of 36.
const MAX_ID: usize = 40;

/// The ids of a case: their names in an answer, and how Entra's descriptions write them.
const IDS: [(&str, &str); 2] = [
    ("trace_id", "Trace ID:"),
    ("correlation_id", "Correlation ID:"),
];

/// A reason in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Reason {
    /// What is said.
    pub(super) text: String,
    /// What is never cut of it.
    pub(super) marks: String,
    /// What the catalogue knows about it.
    pub(super) entry: Option<&'static Entry>,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

impl Reason {
    /// Makes it harmless.
    pub(super) fn said(&self) -> Said {
        Said::with_marks(&self.text, &self.marks).explained(self.entry)
    }
}

/// An error answer, read.
pub(super) struct Refused {
    /// What it means.
    pub(super) verdict: Verdict,
    /// What it says.
    pub(super) reason: Reason,
}

/// Words what a browser brings back instead of a code (RFC 6749 section 4.1.2.1).
pub fn of_browser(error: &str, description: &str) -> Said {
    word(
        error,
        description,
        None,
        |_| String::new(),
        &Quiet::default(),
    )
    .reason
    .said()
}

/// Reads RFC 6749 section 5.2's error; nothing where the answer is none.
pub(super) fn read(object: &Map<String, Value>, quiet: &Quiet) -> Option<Refused> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    };
    let (error, description) = match object.get("error")? {
        Value::String(error) if !error.trim().is_empty() => (
            error.trim().to_owned(),
            text(object.get("error_description")),
        ),
        Value::Object(inner) => {
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
        // Whatever is meant by these, it is no good answer.
        Value::Array(_) | Value::Bool(true) => {
            ("error".to_owned(), text(object.get("error_description")))
        }
        Value::Number(number) if number.as_f64() != Some(0.0) => (
            format!("error {number}"),
            text(object.get("error_description")),
        ),
        _ => return None,
    };
    let code = || {
        let first = object.get("error_codes")?.as_array()?.first()?;
        u32::try_from(first.as_u64()?).ok()
    };
    let id = |key: &str| text(object.get(key));
    Some(word(&error, &description, code(), id, quiet))
}

/// Puts the words together.
fn word(
    error: &str,
    description: &str,
    code: Option<u32>,
    id: impl Fn(&str) -> String,
    quiet: &Quiet,
) -> Refused {
    let code = catalogue::entra_code(description).or(code);

    // Microsoft ends its descriptions with ids and a time stamp, which would push the rest out of sight.
    let short = description
        .split(IDS[0].1)
        .next()
        .unwrap_or_default()
        .trim();
    let mut text = cut(&quiet.hush(error), MAX_CODE);
    // A code far behind in the description would be cut away, and one that stands nowhere is not seen at all.
    let named = code.map(|code| format!("AADSTS{code}"));
    if let Some(named) = named.filter(|named| !short.starts_with(named.as_str())) {
        text.push_str(&format!(": {named}"));
    }
    if !short.is_empty() {
        text.push_str(": ");
        text.push_str(&cut(&quiet.hush(short), MAX_EXCERPT));
    }
    let ids: Vec<String> = IDS
        .iter()
        .filter_map(|(key, label)| {
            let beside = id(key);
            let id = if beside.is_empty() {
                let (_, behind) = description.split_once(label)?;
                behind.split_whitespace().next()?.to_owned()
            } else {
                beside
            };
            Some(format!("{key} {}", cut(&quiet.hush(&id), MAX_ID)))
        })
        .collect();
    let marks = if ids.is_empty() {
        String::new()
    } else {
        format!("({})", ids.join(", "))
    };
    Refused {
        verdict: verdict::of_error(error, code),
        reason: Reason {
            text,
            marks,
            entry: catalogue::token_error(error, code, description),
        },
    }
}

/// Cuts a text at `most` characters, showing that it was cut.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}
