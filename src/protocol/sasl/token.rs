//! How a token is shown to a server (XOAUTH2, or OAUTHBEARER of RFC 7628), and what the server says to it.
//!
//! Pure, as the rest of the room; no word that leaves here repeats the token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use zeroize::Zeroizing;

use super::{Nonsense, unbase64};
use crate::protocol::Identity;
use crate::said::Said;
use crate::secret::AccessToken;

/// The shortest run of token characters that is compared with our secrets when a server speaks. In a word
/// of more than [`LONGEST_WORD`] bytes it takes twice as many.
const TELLING: usize = 16;

/// No word that a server says to people is longer; an echoed token is, in whatever encoding.
const LONGEST_WORD: usize = 100;

/// How a token is shown to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's and Microsoft's own, before there was a standard.
    Xoauth2,
    /// RFC 7628.
    Oauthbearer,
}

impl Mechanism {
    /// Chooses from what a server offers. Exchange hides or offers only XOAUTH2, so that is tried where neither is seen.
    pub fn choose<T: AsRef<str>>(offered: &[T]) -> Self {
        let offers = |name| {
            offered
                .iter()
                .any(|word| word.as_ref().eq_ignore_ascii_case(name))
        };
        if offers("OAUTHBEARER") && !offers("XOAUTH2") {
            Self::Oauthbearer
        } else {
            Self::Xoauth2
        }
    }

    /// Returns the name as it is said to the server.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xoauth2 => "XOAUTH2",
            Self::Oauthbearer => "OAUTHBEARER",
        }
    }

    /// Returns the line that answers an error challenge, whereupon the server says its definite no.
    pub fn concession(self) -> &'static str {
        match self {
            Self::Xoauth2 => "",
            // RFC 7628 section 3.2.3: a single 0x01.
            Self::Oauthbearer => "AQ==",
        }
    }

    /// Words the login. Refuses a user name that could break out of the message.
    pub fn message<'a>(self, identity: &Identity<'a>) -> Result<Message<'a>, Nonsense> {
        let name = identity.user;
        if name.is_empty() || name.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(Nonsense(
                "the user name for the mail server is empty or holds a control character",
            ));
        }
        let token = identity.token.reveal();
        // Room for all of it at once: growing would leave a copy of the token behind.
        let room = token.len() + 3 * name.len() + identity.host.len() + 64;
        let mut text = Zeroizing::new(String::with_capacity(room));
        match self {
            Self::Xoauth2 => {
                text.push_str("user=");
                text.push_str(name);
            }
            Self::Oauthbearer => {
                text.push_str("n,a=");
                for c in name.chars() {
                    // A saslname of RFC 5801 section 4.
                    match c {
                        ',' => text.push_str("=2C"),
                        '=' => text.push_str("=3D"),
                        _ => text.push(c),
                    }
                }
                text.push_str(",\u{1}host=");
                text.push_str(identity.host);
                text.push_str("\u{1}port=");
                text.push_str(&identity.port.to_string());
            }
        }
        text.push_str("\u{1}auth=Bearer ");
        text.push_str(token);
        text.push_str("\u{1}\u{1}");
        Ok(Message {
            base64: Zeroizing::new(STANDARD.encode(text.as_bytes())),
            token: identity.token,
        })
    }
}

/// A login message for a server. Prints as `***` and is wiped when dropped.
pub struct Message<'a> {
    base64: Zeroizing<String>,
    token: &'a AccessToken,
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Message<'_> {
    /// Returns the message in base64, for the one line that sends it.
    pub fn reveal(&self) -> &str {
        &self.base64
    }

    /// Takes down what the server says to it, without our own secrets if it echoes them.
    pub fn heard(&self, text: impl AsRef<[u8]>) -> Said {
        let said = Said::new(text);
        let fit = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let mut out = String::with_capacity(said.as_str().len());
        let mut rest = said.as_str();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| fit(c) != fit(first)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            rest = behind;
            let known = run.trim_end_matches('.');
            let ours = known.len() > LONGEST_WORD || self.is_ours(known);
            out.push_str(if ours { "***" } else { run });
        }
        Said::new(out)
    }

    /// Returns whether a server's words repeat our secrets.
    pub fn is_told_by(&self, text: &[u8]) -> bool {
        text.split(|&byte| !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)))
            .any(|run| self.is_ours(String::from_utf8_lossy(run).trim_end_matches('.')))
    }

    /// Returns whether a word gives our secrets away, as they are or wrapped in base64 once more, even where something was
    /// cut off or put around them.
    fn is_ours(&self, word: &str) -> bool {
        if word.len() < TELLING {
            return false;
        }
        self.repeats(word.as_bytes())
            || word
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/'))
                .any(|coded| self.is_wrapped_in(coded))
    }

    /// Returns whether bytes are a piece of a secret, or hold one.
    fn repeats(&self, bytes: &[u8]) -> bool {
        let secrets = [self.base64.as_bytes(), self.token.reveal().as_bytes()];
        secrets.iter().any(|secret| {
            let within = |piece| memmem::find(secret, piece).is_some();
            let piece = if bytes.len() > LONGEST_WORD {
                // A flood must not cost too much.
                bytes.chunks_exact(TELLING).any(within)
            } else {
                bytes.windows(TELLING).any(within)
            };
            piece || memmem::find(bytes, secret).is_some()
        })
    }

    /// Returns whether base64 holds a secret, wherever in it that begins.
    fn is_wrapped_in(&self, coded: &str) -> bool {
        (0..4).any(|skipped| {
            let coded = coded.get(skipped..).unwrap_or_default();
            let whole = coded.get(..coded.len() / 4 * 4).unwrap_or_default();
            unbase64(whole.as_bytes()).is_ok_and(|bytes| self.repeats(&bytes))
        })
    }

    /// Decodes an error challenge: RFC 7628 section 3.2.2 JSON in base64, or whatever the server sent instead.
    pub fn explain(&self, challenge: &[u8]) -> Said {
        let decoded = unbase64(challenge).unwrap_or_else(|_| Zeroizing::new(challenge.to_vec()));
        let fields = match serde_json::from_slice::<serde_json::Value>(&decoded) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ if std::str::from_utf8(&decoded).is_ok() => return self.heard(&*decoded),
            _ => return self.heard(challenge),
        };
        let told: Vec<String> = ["status", "error", "error_description", "scope"]
            .iter()
            .filter_map(|&key| match fields.get(key)? {
                serde_json::Value::String(text) if text.is_empty() => None,
                serde_json::Value::String(text) => Some(format!("{key} {text}")),
                serde_json::Value::Number(number) => Some(format!("{key} {number}")),
                _ => None,
            })
            .collect();
        if told.is_empty() {
            self.heard(&*decoded)
        } else {
            self.heard(told.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::sasl::plain;

    fn b64(bytes: &[u8]) -> Vec<u8> {
        STANDARD.encode(bytes).into_bytes()
    }

    fn worded(mechanism: Mechanism, user: &str) -> String {
        let token = AccessToken::parse("ya29.abc").unwrap();
        let identity = Identity {
            user,
            token: &token,
            host: "imap.example.org",
            port: 993,
        };
        let message = mechanism.message(&identity).unwrap();
        String::from_utf8(STANDARD.decode(message.reveal()).unwrap()).unwrap()
    }

    #[test]
    fn tokens_are_worded_as_the_mechanism_wants() {
        assert_eq!(
            worded(Mechanism::Xoauth2, "u@example.org"),
            "user=u@example.org\u{1}auth=Bearer ya29.abc\u{1}\u{1}"
        );
        assert_eq!(
            worded(Mechanism::Oauthbearer, "a=b,c@example.org"),
            "n,a=a=3Db=2Cc@example.org,\u{1}host=imap.example.org\u{1}port=993\u{1}auth=Bearer ya29.abc\u{1}\u{1}"
        );
    }

    #[test]
    fn user_names_cannot_break_out_of_the_message() {
        let token = AccessToken::parse("t").unwrap();
        for user in ["", "u\u{1}auth=Bearer x", "u\r\nx", "u\0"] {
            let identity = Identity {
                user,
                token: &token,
                host: "h",
                port: 1,
            };
            for mechanism in [Mechanism::Xoauth2, Mechanism::Oauthbearer] {
                assert!(mechanism.message(&identity).is_err(), "{user:?}");
            }
        }
    }

    #[test]
    fn the_server_decides_the_mechanism() {
        use Mechanism::{Oauthbearer, Xoauth2};
        assert_eq!(Mechanism::choose(&["PLAIN", "XOAUTH2"]), Xoauth2);
        assert_eq!(Mechanism::choose(&["OAUTHBEARER", "xoauth2"]), Xoauth2);
        assert_eq!(Mechanism::choose(&["PLAIN", "oauthbearer"]), Oauthbearer);
        assert_eq!(Mechanism::choose(&["PLAIN"]), Xoauth2);
        assert_eq!(Mechanism::choose::<String>(&[]), Xoauth2);
    }

    #[test]
    fn error_challenges_are_decoded() {
        let token = AccessToken::parse("ya29.a-rather-long-token").unwrap();
        let identity = Identity {
            user: "u",
            token: &token,
            host: "h",
            port: 1,
        };
        let message = Mechanism::Xoauth2.message(&identity).unwrap();
        let explain = |challenge: &[u8]| message.explain(challenge).as_str().to_owned();
        assert_eq!(
            explain(b"eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ=="),
            "status 400, scope https://mail.google.com/"
        );
        assert_eq!(explain(&b64(br#"{"status":401}"#)), "status 401");
        assert_eq!(explain(&b64(br#"{"x":1}"#)), r#"{"x":1}"#);
        assert_eq!(explain(&b64(b"[1]")), "[1]");
        assert_eq!(explain(&b64(b"no json\r\n")), "no json");
        assert_eq!(explain(b"Not base64 at all"), "Not base64 at all");
        assert_eq!(explain(&b64(b"\xff\xfe")), "//4=");
        assert_eq!(explain(b""), "");
        assert_eq!(Mechanism::Xoauth2.concession(), "");
        assert_eq!(Mechanism::Oauthbearer.concession(), "AQ==");
    }

    #[test]
    fn secrets_never_show() {
        let token = AccessToken::parse("ya29.a-rather-long-token").unwrap();
        let identity = Identity {
            user: "u@example.org",
            token: &token,
            host: "h",
            port: 1,
        };
        let message = Mechanism::Xoauth2.message(&identity).unwrap();
        assert_eq!(format!("{message:?}"), "***");
        let whole = format!("BAD unknown command {} [host]", message.reveal());
        assert_eq!(
            message.heard(whole).as_str(),
            "BAD unknown command *** [host]"
        );
        let part: String = message.reveal().chars().take(24).collect();
        assert_eq!(
            message.heard(format!("bad: {part}...")).as_str(),
            "bad: ***"
        );
        assert_eq!(
            message.heard("token 'ya29.a-rather-long-token'").as_str(),
            "token '***'"
        );
        for wrapped in [
            STANDARD.encode("token ya29.a-rather-long-token"),
            STANDARD.encode(format!(r#"{{"x":"{}"}}"#, message.reveal())),
            "7961".repeat(30),
            // Cut off and glued to something else.
            format!("xyz{}", STANDARD.encode("of ya29.a-rather-long-token")),
            "QQya29.a-rather-long-tokeQQ".into(),
            format!("ABCDE{}FG", message.reveal().get(3..40).unwrap()),
        ] {
            assert_eq!(message.heard(format!("no: {wrapped}")).as_str(), "no: ***");
        }
        assert_eq!(
            message
                .heard("see https://aka.ms/smtp_auth_disabled")
                .as_str(),
            "see https://aka.ms/smtp_auth_disabled"
        );
        let found = plain(b"AHUAc2VjcmV0").unwrap();
        assert!(!format!("{found:?}").contains("secret"));
    }
}
