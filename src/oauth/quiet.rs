//! Keeps what was sent to a token endpoint out of what is repeated of its answer: some error pages echo the request.
//!
//! Does not know what the values open.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
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
        for shape in [encoded.replace('+', "%20"), encoded, html, value.to_owned()] {
            self.0.push(Secret::new(shape));
        }
        // Longest first, so that no value is left half covered by another that is part of it.
        self.0
            .sort_by_key(|shape| std::cmp::Reverse(shape.reveal().len()));
    }

    /// Returns the text with every secret value replaced by `***`.
    pub(super) fn hush(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, shape| {
            text.replace(shape.reveal().as_str(), "***")
        });
        let fit = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
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

    /// Returns whether a word is base64 around a secret value.
    fn is_wrapped_in(&self, word: &str) -> bool {
        BASE64_STANDARD_NO_PAD
            .decode(word.trim_end_matches('='))
            .is_ok_and(|wrapped| {
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
}
