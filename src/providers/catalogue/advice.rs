//! An entry of the catalogue for one case: its words with what is known of the case filled in.
//!
//! What is filled in may come from a stranger and be pasted into a shell by whoever reads it, so that anything but plain
//! names stays out.

use std::fmt;

use super::{By, Class, Entry, Meaning};

/// What is known of a case. What is not stays a readable `<...>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// The account: the mailbox's address.
    pub account: Option<String>,
    /// The application's id.
    pub client_id: Option<String>,
    /// The Entra tenant, where one is named rather than `common` and its like.
    pub tenant: Option<String>,
    /// The mail server's host.
    pub server: Option<String>,
    /// Whose token it is about.
    pub by: By,
}

/// What an error means and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Advice {
    means: &'static Meaning,
    known: Known,
}

impl Advice {
    /// Takes an entry's words.
    pub fn of(entry: &'static Entry) -> Self {
        Self {
            means: entry.means,
            known: Known::default(),
        }
    }

    /// Fills in what is known.
    #[must_use]
    pub fn for_case(self, known: &Known) -> Self {
        Self {
            known: known.clone(),
            ..self
        }
    }

    /// Returns whose move it is.
    pub fn class(&self) -> Class {
        self.means.class
    }

    /// Returns whether the same login may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        self.means.temporary
    }

    /// Returns why, in one sentence.
    pub fn cause(&self) -> String {
        fill(self.means.cause, &self.known)
    }

    /// Returns what to do.
    pub fn remedy(&self) -> String {
        fill(self.means.remedy, &self.known)
    }
}

/// Cause and remedy, as they stand behind the provider's own words.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.remedy())
    }
}

/// Cause and remedy with nothing filled in.
impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = Known::default();
        let (cause, remedy) = (fill(self.cause, &nothing), fill(self.remedy, &nothing));
        write!(f, "{cause}; {remedy}")
    }
}

/// Fills a text's placeholders.
pub fn fill(text: &str, known: &Known) -> String {
    let mut text = text.to_owned();
    for (name, value, unknown) in [
        ("{account}", &known.account, "<account>"),
        ("{client_id}", &known.client_id, "<client id>"),
        ("{tenant}", &known.tenant, "<tenant id>"),
        ("{server}", &known.server, "<server>"),
    ] {
        if text.contains(name) {
            let value = value.as_deref().filter(|value| is_plain(value));
            text = text.replace(name, value.unwrap_or(unknown));
        }
    }
    text
}

/// Returns whether a value is a name that means nothing to any shell.
fn is_plain(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    let begins = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && value.len() <= 100 && value.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in_and_nothing_else() {
        let known = Known {
            account: Some("a.b+c@example.org".into()),
            client_id: Some("x; rm -rf /".into()),
            ..Known::default()
        };
        let text = fill("{account} {client_id} {tenant} {server} {x}", &known);
        assert_eq!(
            text,
            "a.b+c@example.org <client id> <tenant id> <server> {x}"
        );
        for odd in [
            "",
            "-Force",
            "$(x)",
            "a b",
            "a'b",
            "a`b",
            "a\nb",
            "{client_id}",
            "é",
        ] {
            assert!(!is_plain(odd), "{odd:?}");
        }
        assert!(!is_plain(&"a".repeat(101)));
    }
}
