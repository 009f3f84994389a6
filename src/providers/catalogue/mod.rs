//! The error catalogue: what providers and their mail servers say, what it means and what a person can do about it.
//!
//! Data and pure functions. It only explains: whether a token is dropped, a login waits or a request is made again is
//! decided elsewhere (`oauth::verdict`, `refusal::Refusal`) and never by a text.

mod advice;
mod diagnosis;
mod entra;
mod exchange;
mod handbook;
mod mailboxes;
pub mod own;
mod token;

pub use advice::{Advice, Known, fill};
pub use diagnosis::Diagnosis;
pub use handbook::handbook;

/// Whose move it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Class {
    /// A person has to sign in again.
    #[serde(rename = "re-authorise")]
    ReAuthorise,
    /// The configuration file or the application's registration has to change.
    #[serde(rename = "fix configuration")]
    FixConfiguration,
    /// Somebody with rights over the tenant or mailbox has to change something.
    #[serde(rename = "ask administrator")]
    AskAdministrator,
    /// Nobody: it passes.
    #[serde(rename = "retry later")]
    RetryLater,
    /// Whoever set up the mail program: the password between it and emailproxy is another.
    #[serde(rename = "local password")]
    LocalPassword,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::ReAuthorise,
        Self::FixConfiguration,
        Self::AskAdministrator,
        Self::RetryLater,
        Self::LocalPassword,
    ];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReAuthorise => "re-authorise",
            Self::FixConfiguration => "fix configuration",
            Self::AskAdministrator => "ask administrator",
            Self::RetryLater => "retry later",
            Self::LocalPassword => "local password",
        }
    }
}

/// What an error means. Several errors may mean the same. The texts may hold `{account}`, `{client_id}`, `{tenant}` and
/// `{server}`, which [`Advice`] fills.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Meaning {
    /// Whose move it is.
    pub class: Class,
    /// Whether the same login may succeed later without anybody changing anything.
    pub temporary: bool,
    /// Why, in one sentence without its full stop.
    pub cause: &'static str,
    /// What to do, likewise. What matters most comes first, because mail programs show the beginning only.
    pub remedy: &'static str,
}

/// How an error is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// An AADSTS code of Microsoft Entra beside an `error` word: it is the finer of the two.
    Entra {
        /// The word it was seen with.
        error: &'static str,
        /// Its number.
        code: u32,
    },
    /// A token or authorization endpoint's `error` (RFC 6749 sections 4.1.2.1 and 5.2), of whoever it is.
    Word {
        /// The word, exactly: Yahoo writes its own in capitals.
        error: &'static str,
        /// What the description holds too, in lower case; empty where it does not matter.
        says: &'static str,
    },
    /// A mail server's refusal.
    Server {
        /// What it holds, all of it, in lower case.
        says: &'static [&'static str],
        /// For whose tokens it means that.
        by: By,
    },
    /// Our own; the variants of `refusal::Refusal` lead there.
    Own,
}

/// Whose token a mail server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum By {
    /// It does not matter.
    #[default]
    Anybody,
    /// An application's own, which stands for no person.
    Application,
    /// One that a person signed in for.
    Person,
}

/// One error: how it is recognised, what it really says, what it means.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// How it is recognised.
    pub sign: Sign,
    /// What it says, as it was seen. The tests feed it to a login.
    pub said: &'static str,
    /// What it means.
    pub means: &'static Meaning,
}

/// A chapter of the catalogue: errors of one origin.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// The errors. Of several that fit, the first counts.
    pub entries: &'static [Entry],
}

/// The whole catalogue.
pub const CHAPTERS: &[Chapter] = &[
    own::CHAPTER,
    entra::SIGN_IN,
    entra::POLICY,
    entra::APPLICATION,
    entra::TENANT,
    entra::SERVICE,
    token::GOOGLE,
    token::YAHOO,
    token::OTHERS,
    token::STANDARD,
    exchange::SUBMISSION,
    exchange::BEHIND_LOGIN,
    exchange::MAILBOX,
    exchange::HIGH_VOLUME,
    mailboxes::GOOGLE,
    mailboxes::OTHERS,
];

/// Returns every entry.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    CHAPTERS.iter().flat_map(|chapter| chapter.entries)
}

/// Explains an error of a token endpoint (RFC 6749 section 5.2): the AADSTS code beside the word where it is known, else
/// the word and what its description holds.
pub fn token_error(error: &str, code: Option<u32>, description: &str) -> Option<&'static Entry> {
    let is = |entry: &&Entry| matches!(entry.sign, Sign::Entra { code: known, .. } if Some(known) == code);
    let by_code = code.and_then(|_| all().find(is));
    by_code.or_else(|| by_word(error, description))
}

/// Explains what an authorization endpoint sent a browser back with (RFC 6749 section 4.1.2.1).
pub fn authorization_error(error: &str, description: &str) -> Option<&'static Entry> {
    token_error(error, entra_code(description), description)
}

/// Explains a mail server's refusal of a token; `by` says whose token it was.
pub fn server_refusal(text: &str, by: By) -> Option<&'static Entry> {
    let text = text.to_ascii_lowercase();
    all().find(|entry| match entry.sign {
        Sign::Server { says, by: whose } => {
            (whose == By::Anybody || whose == by) && says.iter().all(|words| holds(&text, words))
        }
        _ => false,
    })
}

/// Finds the number of an `AADSTSnnn` in a description.
pub fn entra_code(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn by_word(error: &str, description: &str) -> Option<&'static Entry> {
    let description = description.to_ascii_lowercase();
    all().find(|entry| match entry.sign {
        Sign::Word { error: known, says } => known == error && holds(&description, says),
        _ => false,
    })
}

/// Returns whether a text holds these words, an enhanced code (RFC 3463) only as a whole: `5.7.3` is not in `5.7.30`.
fn holds(text: &str, words: &str) -> bool {
    let is_code = words.starts_with(|c: char| c.is_ascii_digit())
        && words.ends_with(|c: char| c.is_ascii_digit());
    if !is_code {
        return text.contains(words);
    }
    let mut parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    parts.any(|part| part == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_what_it_says() {
        for entry in all() {
            let found = match entry.sign {
                Sign::Entra { error, code } => {
                    assert_eq!(entra_code(entry.said), Some(code), "{entry:?}");
                    token_error(error, Some(code), entry.said)
                }
                Sign::Word { error, .. } => token_error(error, None, entry.said),
                Sign::Server { by, .. } => server_refusal(entry.said, by),
                Sign::Own => continue,
            };
            assert_eq!(found, Some(entry));
        }
    }

    #[test]
    fn the_word_decides_where_no_code_is_known() {
        let unknown = token_error("invalid_client", Some(1), "AADSTS1: x").unwrap();
        assert!(matches!(
            unknown.sign,
            Sign::Word {
                error: "invalid_client",
                ..
            }
        ));
        assert!(token_error("never_heard_of", None, "x").is_none());
        let by_code = token_error("invalid_grant", Some(53_003), "AADSTS53003: x").unwrap();
        assert_eq!(by_code.means.class, Class::AskAdministrator);
        assert_eq!(
            authorization_error("access_denied", "AADSTS53003: x"),
            Some(by_code)
        );
    }

    #[test]
    fn enhanced_codes_are_compared_as_a_whole() {
        assert!(holds("535 5.7.3 no", "5.7.3"));
        assert!(!holds("550 5.7.30 no", "5.7.3"));
        assert!(server_refusal("it is raining", By::Person).is_none());
    }

    #[test]
    fn what_is_said_reads_well() {
        for entry in all() {
            for text in [entry.means.cause, entry.means.remedy] {
                assert!(
                    !text.is_empty() && !text.ends_with('.') && text.is_ascii(),
                    "{text}"
                );
                assert!(text.len() <= 420, "{} bytes: {text}", text.len());
                assert!(!text.contains(['\n', '"', '|']), "{text}");
            }
            assert!(!entry.said.is_empty(), "{entry:?}");
            let passes = entry.means.class == Class::RetryLater;
            assert!(!passes || entry.means.temporary, "{entry:?}");
        }
    }
}
