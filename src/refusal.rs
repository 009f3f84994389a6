//! Why a login cannot go through, whose fault it is, and whether trying again helps.
//!
//! Decided in one place, worded by each protocol in its own exhaustive table. `Display` is the full reason for the log;
//! [`Refusal::to_client`] is the one line a mail client may see.

use crate::providers::catalogue::{self, Class, Diagnosis, Known, Meaning, own};
use crate::said::Said;

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The mail client, or the person who set it up.
    Client,
    /// The OAuth2 provider or its mail server.
    Provider,
    /// This proxy, its configuration or its machine.
    Us,
}

/// What may help against a mail server's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A new token, if the refused one is old enough that it may have been good once.
    NewTokenForOld,
    /// A new token in any case: the server says that this one ends too soon.
    NewToken,
    /// No token: something else is in the way.
    NoToken,
}

impl Remedy {
    /// Returns whether a new token may help.
    pub fn is_token(self) -> bool {
        self != Self::NoToken
    }
}

/// What Exchange's High Volume Email says to tokens that have little left (learn.microsoft.com, High Volume Email).
const ENDS_TOO_SOON: [&str; 3] = ["5.5.127", "5.7.142", "5.7.143"];

/// Enhanced codes that no new token helps against: submission switched off or blocked by a policy (5.7.139), basic
/// authentication (5.7.30), a malformed login (5.5.121 to 126) or missing permission (5.7.144, 5.7.240) at Microsoft; a
/// password or a web browser wanted at Google (5.7.9, 5.7.14).
const NOT_THE_TOKEN: [&str; 12] = [
    "5.7.139", "5.7.30", "5.5.121", "5.5.122", "5.5.123", "5.5.124", "5.5.125", "5.5.126",
    "5.7.144", "5.7.240", "5.7.9", "5.7.14",
];

/// Words, in lower case, of refusals without such a code that no new token helps against: limits, a mailbox whose protocol
/// is switched off, an account that has to visit a web page.
const NOT_THE_TOKEN_IN_WORDS: [&str; 8] = [
    "throttl",
    "too many",
    "limit exceeded",
    "rate limit",
    "web browser",
    "noadrecipient",
    "disabled",
    "application-specific password",
];

/// Why a login was not admitted. Only the log tells these apart: a stranger learns nothing from the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// No section of the configuration fits the user name.
    #[error("{}", own::UNKNOWN_ACCOUNT)]
    UnknownAccount,
    /// The password does not open the account.
    #[error("{}", own::WRONG_PASSWORD)]
    WrongPassword,
    /// A section fits but lacks needed values.
    #[error("{cause}: {0}", cause = own::INCOMPLETE.cause)]
    Incomplete(String),
}

/// Why a login cannot go through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client sent an empty password.
    #[error("{}", own::NO_PASSWORD)]
    NoPassword,
    /// Unknown account, wrong password or incomplete entry.
    #[error("{0}")]
    NotAdmitted(NotAdmitted),
    /// Nobody gave consent while the client waited.
    #[error(
        "nobody authorised the account within {waited} s; {}",
        own::CONSENT_TIMED_OUT.remedy
    )]
    ConsentTimedOut {
        /// How long the client waited, in seconds.
        waited: u64,
    },
    /// The provider or the person said no to the consent.
    #[error("the authorisation failed: {0}")]
    ConsentRefused(Said),
    /// The token endpoint gave a definite no: configuration or policy must change.
    #[error("the token endpoint refused: {0}")]
    TokenRefused(Said),
    /// The token endpoint could not be reached or did not make sense just now.
    #[error("the token endpoint is not available: {0}")]
    TokenUnavailable(Said),
    /// The mail server refused the token for good.
    #[error("{server} refused the login: {said}")]
    ServerRefused {
        /// The server, as host:port.
        server: String,
        /// Its own words.
        said: Said,
    },
    /// The mail server refused for now.
    #[error("{server} cannot log in just now: {said}")]
    ServerBusy {
        /// The server, as host:port.
        server: String,
        /// Its own words.
        said: Said,
    },
    /// The mail server could not be reached.
    #[error("could not connect to {server}: {why}")]
    ServerUnavailable {
        /// The server, as host:port.
        server: String,
        /// What went wrong, and where it helps what to do.
        why: Said,
    },
    /// The mail server broke the protocol.
    #[error("{server} does not speak as expected: {why}")]
    ServerMisbehaved {
        /// The server, as host:port.
        server: String,
        /// What it did.
        why: Said,
    },
    /// Our own configuration or storage stands in the way.
    #[error("{0}")]
    Misconfigured(String),
    /// A limit of this proxy or of its machine is reached; which one.
    #[error("{0}")]
    Busy(&'static str),
    /// The proxy is going down.
    #[error("emailproxy is shutting down")]
    ShuttingDown,
}

impl Refusal {
    /// Returns whose move it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoPassword
            | Self::NotAdmitted(NotAdmitted::UnknownAccount | NotAdmitted::WrongPassword) => {
                Fault::Client
            }
            Self::ConsentTimedOut { .. } | Self::ConsentRefused(_) => Fault::Client,
            Self::TokenRefused(_)
            | Self::TokenUnavailable(_)
            | Self::ServerRefused { .. }
            | Self::ServerBusy { .. }
            | Self::ServerUnavailable { .. }
            | Self::ServerMisbehaved { .. } => Fault::Provider,
            Self::NotAdmitted(NotAdmitted::Incomplete(_))
            | Self::Misconfigured(_)
            | Self::Busy(_)
            | Self::ShuttingDown => Fault::Us,
        }
    }

    /// Returns whether the same login may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::ConsentTimedOut { .. }
            | Self::TokenUnavailable(_)
            | Self::ServerBusy { .. }
            | Self::ServerUnavailable { .. }
            | Self::ServerMisbehaved { .. }
            | Self::Busy(_)
            | Self::ShuttingDown => true,
            Self::NoPassword
            | Self::NotAdmitted(_)
            | Self::ConsentRefused(_)
            | Self::TokenRefused(_)
            | Self::ServerRefused { .. }
            | Self::Misconfigured(_) => false,
        }
    }

    /// Returns whether a mail server said so itself, in words that made sense.
    pub fn is_spoken(&self) -> bool {
        matches!(self, Self::ServerRefused { .. } | Self::ServerBusy { .. })
    }

    /// Returns what may help against a mail server's definite no, as far as its words tell.
    pub fn remedy(&self) -> Remedy {
        let Self::ServerRefused { said, .. } = self else {
            return Remedy::NoToken;
        };
        let text = said.as_str().to_ascii_lowercase();
        let says = |known: &[&str]| {
            let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
            words.any(|code| known.contains(&code))
        };
        if says(&ENDS_TOO_SOON) || text.contains("token will expire soon") {
            return Remedy::NewToken;
        }
        let mut words = NOT_THE_TOKEN_IN_WORDS.iter();
        if says(&NOT_THE_TOKEN) || words.any(|words| text.contains(words)) {
            return Remedy::NoToken;
        }
        Remedy::NewTokenForOld
    }

    /// Explains a mail server's refusal by the catalogue, and fills in what is known of the case in any refusal. What the
    /// catalogue knows to pass is told to the client as passing, even where the server did not say so; never the other way
    /// round.
    #[must_use]
    pub fn explained(self, known: &Known) -> Self {
        let known = match &self {
            Self::ServerRefused { server, .. } | Self::ServerBusy { server, .. } => Known {
                server: server.rsplit_once(':').map(|(host, _)| host.to_owned()),
                ..known.clone()
            },
            _ => known.clone(),
        };
        let by_server = |said: Said| {
            let entry = catalogue::server_refusal(said.as_str(), known.by);
            said.explained(entry).for_case(&known)
        };
        match self {
            Self::ServerRefused { server, said } => {
                let said = by_server(said);
                if said.advice().is_some_and(catalogue::Advice::is_temporary) {
                    Self::ServerBusy { server, said }
                } else {
                    Self::ServerRefused { server, said }
                }
            }
            Self::ServerBusy { server, said } => Self::ServerBusy {
                server,
                said: by_server(said),
            },
            Self::ConsentRefused(said) => Self::ConsentRefused(said.for_case(&known)),
            Self::TokenRefused(said) => Self::TokenRefused(said.for_case(&known)),
            Self::TokenUnavailable(said) => Self::TokenUnavailable(said.for_case(&known)),
            other => other,
        }
    }

    /// Returns whether another password could help against a mail server's no, as far as anybody knows: if not, a client
    /// should not ask its user for one.
    pub fn is_about_setup(&self) -> bool {
        let advice = self.said().and_then(Said::advice);
        advice.is_some_and(|advice| {
            matches!(
                advice.class(),
                Class::FixConfiguration | Class::AskAdministrator
            )
        })
    }

    /// Returns what the catalogue says about it in general.
    pub fn meaning(&self) -> &'static Meaning {
        match self {
            Self::NoPassword => &own::NO_PASSWORD,
            Self::NotAdmitted(NotAdmitted::UnknownAccount) => &own::UNKNOWN_ACCOUNT,
            Self::NotAdmitted(NotAdmitted::WrongPassword) => &own::WRONG_PASSWORD,
            Self::NotAdmitted(NotAdmitted::Incomplete(_)) => &own::INCOMPLETE,
            Self::ConsentTimedOut { .. } => &own::CONSENT_TIMED_OUT,
            Self::ConsentRefused(_) => &own::CONSENT_REFUSED,
            Self::TokenRefused(_) => &own::TOKEN_REFUSED,
            Self::TokenUnavailable(_) => &own::TOKEN_UNAVAILABLE,
            Self::ServerRefused { .. } => &own::SERVER_REFUSED,
            Self::ServerBusy { .. } => &own::SERVER_BUSY,
            Self::ServerUnavailable { .. } => &own::SERVER_UNAVAILABLE,
            Self::ServerMisbehaved { .. } => &own::SERVER_MISBEHAVED,
            Self::Misconfigured(_) => &own::MISCONFIGURED,
            Self::Busy(_) => &own::BUSY,
            Self::ShuttingDown => &own::SHUTTING_DOWN,
        }
    }

    /// Returns the refusal in a sentence without advice, and the advice that belongs to it.
    pub fn diagnosis(&self, known: &Known) -> Diagnosis {
        let whole = self.to_string();
        let Some(advice) = self.said().and_then(Said::advice) else {
            return Diagnosis::of(whole, self.meaning(), known);
        };
        let tail = self.said().map(Said::tail).unwrap_or_default();
        let words = whole.strip_suffix(&tail).unwrap_or(&whole);
        let marks = self.said().map(Said::marks).unwrap_or_default();
        Diagnosis {
            words: format!("{words}{marks}"),
            class: advice.class(),
            cause: advice.cause(),
            remedy: advice.remedy(),
        }
    }

    /// Returns the provider's own words, where it was the provider who refused.
    fn said(&self) -> Option<&Said> {
        match self {
            Self::ConsentRefused(said)
            | Self::TokenRefused(said)
            | Self::TokenUnavailable(said)
            | Self::ServerRefused { said, .. }
            | Self::ServerBusy { said, .. } => Some(said),
            _ => None,
        }
    }

    /// Returns the one line a mail client may be shown, without line end.
    pub fn to_client(&self, user: &str) -> String {
        let user = Said::new(user).short();
        match self {
            Self::NoPassword => {
                format!("emailproxy: Login failed - no password provided for account {user}")
            }
            Self::NotAdmitted(_) => {
                format!(
                    "emailproxy: Login failed - the user name or password for account {user} is incorrect"
                )
            }
            other => {
                let whole = other.to_string();
                let reason = match other.said() {
                    Some(said) => {
                        let behind = said.to_string();
                        said.short_behind(whole.strip_suffix(&behind).unwrap_or_default())
                    }
                    None => Said::new(whole).short(),
                };
                format!("emailproxy: Login failed for account {user}: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_tell_unknown_accounts_from_wrong_passwords() {
        let replies: Vec<String> = [
            NotAdmitted::UnknownAccount,
            NotAdmitted::WrongPassword,
            NotAdmitted::Incomplete("no token_url".into()),
        ]
        .into_iter()
        .map(|why| Refusal::NotAdmitted(why).to_client("u@example.org"))
        .collect();
        assert!(
            replies.windows(2).all(|pair| pair[0] == pair[1]),
            "{replies:?}"
        );
    }

    #[test]
    fn a_new_token_is_a_remedy_only_where_the_words_leave_room_for_it() {
        for (said, remedy) in [
            ("AUTHENTICATE failed.", Remedy::NewTokenForOld),
            (
                "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
                Remedy::NewTokenForOld,
            ),
            (
                "5.7.3 Authentication unsuccessful [AM0PR01.eurprd.prod.outlook.com]",
                Remedy::NewTokenForOld,
            ),
            (
                "5.7.8 Username and Password not accepted. BadCredentials",
                Remedy::NewTokenForOld,
            ),
            (
                "Authentication failure: unknown user name or bad password.",
                Remedy::NewTokenForOld,
            ),
            ("", Remedy::NewTokenForOld),
            (
                "5.5.127 Invalid XOAUTH2 auth data - Token will expire soon",
                Remedy::NewToken,
            ),
            ("5.7.142 Token will expire soon", Remedy::NewToken),
            ("5.7.143 Expired token", Remedy::NewToken),
            (
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                Remedy::NoToken,
            ),
            (
                "5.7.144 XOAUTH2 authentication failed. Invalid API permission",
                Remedy::NoToken,
            ),
            ("5.5.124 Invalid XOAUTH2 auth data", Remedy::NoToken),
            (
                "5.7.9 Application-specific password required",
                Remedy::NoToken,
            ),
            ("5.7.14 Please log in via your web browser", Remedy::NoToken),
            (
                "[ALERT] Please log in via your web browser",
                Remedy::NoToken,
            ),
            (
                "[ALERT] Too many simultaneous connections. (Failure)",
                Remedy::NoToken,
            ),
            (
                "Request is throttled. Suggested Backoff Time: 89117 milliseconds",
                Remedy::NoToken,
            ),
        ] {
            let server = "mail.example:993".to_owned();
            let said = Said::from(said);
            let refused = Refusal::ServerRefused {
                server: server.clone(),
                said: said.clone(),
            };
            assert_eq!(refused.remedy(), remedy, "{said}");
            let busy = Refusal::ServerBusy { server, said };
            assert_eq!(busy.remedy(), Remedy::NoToken);
        }
        assert_eq!(Refusal::Busy("").remedy(), Remedy::NoToken);
    }

    #[test]
    fn ids_of_a_case_reach_the_client_however_long_the_words_are() {
        let said = Said::with_marks("a".repeat(5_000), "(correlation_id 9a8b)");
        let refused = Refusal::TokenRefused(said);
        let reply = refused.to_client("u@example.org");
        assert!(reply.ends_with("... (correlation_id 9a8b)"), "{reply}");
        let reason = reply.split_once("u@example.org: ").unwrap().1;
        assert_eq!(reason.len(), 200 + " (correlation_id 9a8b)".len());
    }

    #[test]
    fn user_names_cannot_break_out_of_the_reply() {
        let reply = Refusal::NoPassword.to_client("a\r\nb OK");
        assert!(!reply.contains(['\r', '\n']), "{reply:?}");
    }
}
