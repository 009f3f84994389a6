//! Keeps what was sent to a token endpoint out of what is repeated of its answer: some error pages echo the request.
//!
//! Does not know what the values open.

use url::form_urlencoded;

use crate::secret::Secret;

/// The fields of a token request that anybody may see.
const OPEN: [&str; 6] = [
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
        let mut shapes: Vec<Secret<String>> = Vec::new();
        for (key, value) in form_urlencoded::parse(form) {
            if OPEN.contains(&key.as_ref()) || value.len() < SHORTEST {
                continue;
            }
            let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let html = value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;");
            for shape in [
                encoded.replace('+', "%20"),
                encoded,
                html,
                value.into_owned(),
            ] {
                shapes.push(Secret::new(shape));
            }
        }
        // Longest first, so that no value is left half covered by another that is part of it.
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.reveal().len()));
        Self(shapes)
    }

    /// Returns the text with every secret value replaced by `***`.
    pub(super) fn hush(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, shape| {
            text.replace(shape.reveal().as_str(), "***")
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
        assert!(!format!("{quiet:?}").contains("AXoA"));
    }
}
