//! Keeps what was sent to a token endpoint out of what is repeated of its answer: some error pages echo the request.
//!
//! Does not know what the values open.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::secret::Secret;

/// The fields of a token request that anybody may see.
const OPEN: [&str; 7] = [
    "client_assertion_type",
    "client_id",
    "grant_type",
    "redirect_uri",
    "resource",
    "scope",
    "username",
];

/// Shorter values are not looked for: they would blot out ordinary words.
const SHORTEST: usize = 4;

/// So many bytes in a row of a secret value are a piece of it: fewer are of little use, and may be anybody's words.
const PIECE: usize = 12;

/// The secret values of one request, in every shape in which an answer may repeat them.
#[derive(Clone, Debug, Default)]
pub(super) struct Quiet(Vec<Secret<String>>);

impl Quiet {
    /// Learns the secret values from a request's form.
    pub(super) fn of_form(form: &[u8]) -> Self {
        let mut quiet = Self::default();
        for (key, value) in form_urlencoded::parse(form) {
            if !OPEN.contains(&key.as_ref()) {
                quiet.learn(&value);
            }
        }
        quiet
    }

    /// Learns the tokens that an answer brings: some repeat them in their error's words.
    pub(super) fn learn_answer(&mut self, object: &Map<String, Value>) {
        for key in ["access_token", "refresh_token", "id_token", "device_code"] {
            if let Some(Value::String(value)) = object.get(key) {
                self.learn(value);
            }
        }
    }

    /// Learns a value that went over in another way.
    pub(super) fn learn(&mut self, value: &str) {
        if value.len() < SHORTEST {
            return;
        }
        let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let html = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        let quoted = Value::from(value).to_string();
        let quoted = quoted.trim_matches('"').to_owned();
        let mut hex = String::with_capacity(2 * value.len());
        for byte in value.bytes() {
            hex.push_str(&format!("{byte:02x}"));
        }
        for shape in [
            encoded.replace('+', "%20"),
            encoded,
            html,
            quoted,
            hex,
            value.to_owned(),
        ] {
            self.0.push(Secret::new(shape));
        }
        // Longest first, so that no value is left half covered by another that is part of it.
        self.0
            .sort_by_key(|shape| std::cmp::Reverse(shape.reveal().len()));
        self.0.dedup_by(|a, b| a == b);
    }

    /// Returns the text with every secret value, and every piece of one that is long enough to be of use, replaced by
    /// `***`.
    pub(super) fn hush(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let text = self.without_pieces(text);
        let fit = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| fit(c) != fit(first)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            rest = behind;
            out.push_str(if self.is_wrapped_in(run) { "***" } else { run });
        }
        out
    }

    /// Blots out what the text shares with a secret value: the whole of it, or [`PIECE`] bytes in a row at least, as
    /// whoever repeats the request may cut it anywhere. Letters in either case are the same, for the sake of `%2F` and
    /// `%2f`.
    fn without_pieces(&self, text: &str) -> String {
        let bytes = Secret::new(text.to_ascii_lowercase().into_bytes());
        let shapes: Vec<Secret<Vec<u8>>> = self
            .0
            .iter()
            .map(|shape| Secret::new(shape.reveal().to_ascii_lowercase().into_bytes()))
            .collect();
        let (long, short): (Vec<_>, Vec<_>) = shapes
            .iter()
            .map(|shape| shape.reveal().as_slice())
            .partition(|shape| shape.len() >= PIECE);
        let pieces: HashSet<&[u8]> = long.iter().flat_map(|shape| shape.windows(PIECE)).collect();
        let mut blotted = vec![false; bytes.reveal().len()];
        let mut blot = |at: usize, length: usize| {
            blotted
                .iter_mut()
                .skip(at)
                .take(length)
                .for_each(|one| *one = true);
        };
        for (at, window) in bytes.reveal().windows(PIECE).enumerate() {
            if pieces.contains(window) {
                blot(at, PIECE);
            }
        }
        for shape in short {
            for at in memchr::memmem::find_iter(bytes.reveal(), shape) {
                blot(at, shape.len());
            }
        }
        let mut out = String::with_capacity(text.len());
        let mut inside = false;
        for (at, c) in text.char_indices() {
            let hidden = blotted.get(at).copied().unwrap_or(false);
            match (hidden, inside) {
                (false, _) => out.push(c),
                (true, false) => out.push_str("***"),
                (true, true) => {}
            }
            inside = hidden;
        }
        out
    }

    /// Returns whether a word is base64 around a secret value.
    fn is_wrapped_in(&self, word: &str) -> bool {
        let word = word.trim_end_matches('=');
        let decoded = BASE64_STANDARD_NO_PAD
            .decode(word)
            .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(word));
        decoded.is_ok_and(|wrapped| {
            let wrapped = String::from_utf8_lossy(&wrapped);
            self.0
                .iter()
                .any(|shape| wrapped.contains(shape.reveal().as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_request_shows_no_secret_in_any_shape() {
        let form =
            b"client_id=app&client_secret=s%26cr+t%2F1&code=0.AXoA&grant_type=authorization_code";
        let quiet = Quiet::of_form(form);
        let page = "client_id=app s&cr t/1 s&amp;cr t/1 s%26cr+t%2F1 s%26cr%20t%2F1 0.AXoA";
        assert_eq!(quiet.hush(page), "client_id=app *** *** *** *** ***");
        let wrapped = BASE64_STANDARD_NO_PAD.encode("grant_type=x&client_secret=s%26cr+t%2F1");
        assert_eq!(quiet.hush(&format!("sent {wrapped}==;")), "sent ***;");
        assert_eq!(
            quiet.hush("see https://a.example/b"),
            "see https://a.example/b"
        );
        assert!(!format!("{quiet:?}").contains("AXoA"));
    }

    #[test]
    fn pieces_of_a_secret_are_hushed_wherever_they_are_cut() {
        let secret = "0.AXoA/9xQ-7TzzL2mWq4vB8yN1cR5tK";
        let quiet = Quiet::of_form(
            form_urlencoded::Serializer::new(String::new())
                .append_pair("refresh_token", secret)
                .finish()
                .as_bytes(),
        );
        for cut in 12..secret.len() {
            let (front, _) = secret.split_at(cut);
            let (_, back) = secret.split_at(secret.len() - cut);
            for piece in [front, back] {
                assert_eq!(quiet.hush(&format!("<{piece}>")), "<***>", "{piece}");
            }
        }
        let hex: Vec<String> = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        let hex = hex.concat();
        let mixed = secret.replace('/', "%2f");
        assert_eq!(quiet.hush(&format!("{hex} {mixed}")), "*** ***");
        assert_eq!(quiet.hush("grün 0.AXoA bleibt"), "grün 0.AXoA bleibt");
    }
}
