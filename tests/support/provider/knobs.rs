//! What the pretend provider can be told to do wrong, or differently.

use std::collections::VecDeque;
use std::time::Duration;

use super::OpenId;

/// Where a mail server hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Behind accept.
    Connect,
    /// Instead of its greeting.
    Greeting,
    /// Instead of saying what it offers.
    Offer,
    /// Instead of answering STARTTLS or STLS.
    StartTls,
    /// Instead of answering the login command.
    Login,
    /// Instead of judging the token.
    Token,
}

impl Step {
    /// Every step of a connection with implicit TLS, in order.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Greeting,
        Self::Offer,
        Self::Login,
        Self::Token,
    ];
}

/// How a mail server meets a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Manner {
    /// Good tokens are accepted, bad ones refused behind a base64 JSON challenge, as Gmail and Dovecot do.
    #[default]
    Honest,
    /// Every token is refused behind a challenge.
    Challenge,
    /// Every token is refused at once and without a reason, as Office 365 does.
    Curt,
    /// Nobody may log in just now.
    Throttled,
    /// The login is never answered.
    Silent,
}

/// An answer of the token endpoint that is not a token.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Fault {
    /// A JSON error of RFC 6749 section 5.2.
    pub fn json(status: u16, error: &str, description: &str) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: serde_json::json!({"error": error, "error_description": description}).to_string(),
        }
    }

    /// A page meant for people.
    pub fn html(status: u16) -> Self {
        Self {
            status,
            content_type: "text/html",
            body: "<html><body><h1>Something went wrong</h1></body></html>".into(),
        }
    }
}

/// All knobs, in their normal position.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// How many seconds an access token is good; `None` leaves `expires_in` out and lets it live for an hour.
    pub lifetime: Option<u64>,
    /// Whether `expires_in` is a string, as some endpoints send it.
    pub lifetime_as_text: bool,
    /// Whether `token_type` is left out.
    pub untyped: bool,
    /// Whether a refresh gives a new refresh token and kills the old one.
    pub rotate: bool,
    /// The length of access tokens, in bytes.
    pub token_length: usize,
    /// How long the token endpoint thinks.
    pub token_delay: Duration,
    /// What the token endpoint answers instead of tokens, one a request.
    pub token_faults: VecDeque<Fault>,
    /// What the authorization endpoint answers instead of a code: `error` and `error_description`.
    pub consent_error: Option<(&'static str, &'static str)>,
    /// How it behaves as an `OpenID` provider.
    pub openid: OpenId,
    /// Who is signed in at the authorization endpoint; whoever is asked for unless set.
    pub signs_in: Option<String>,
    /// Mailboxes and who else may open them, but not send from them under their name, as Exchange has it.
    pub delegates: Vec<(&'static str, &'static str)>,
    /// Who approves device codes.
    pub device_user: String,
    /// How logins are met.
    pub manner: Manner,
    /// With what words the mail servers refuse every token, behind the tag in IMAP; lines are parted by LF.
    pub refusal: Option<String>,
    /// Where the mail servers hang up.
    pub hang_up_at: Option<Step>,
    /// Whether the mail servers accept connections and then say nothing, not even TLS.
    pub mute: bool,
    /// Whether the IMAP greeting lists capabilities.
    pub imap_greets_with_capabilities: bool,
    /// What IMAP offers besides `IMAP4rev1`, `STARTTLS` and its SASL words.
    pub imap_offer: Vec<&'static str>,
    /// What CAPA lists besides `STLS` and `SASL`.
    pub pop_offer: Vec<&'static str>,
    /// What EHLO lists besides its first line, `STARTTLS` and `AUTH`.
    pub smtp_offer: Vec<&'static str>,
    /// The SASL mechanisms offered.
    pub mechanisms: Vec<&'static str>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            lifetime: Some(3600),
            lifetime_as_text: false,
            untyped: false,
            rotate: true,
            token_length: 1200,
            token_delay: Duration::ZERO,
            token_faults: VecDeque::new(),
            consent_error: None,
            openid: OpenId::default(),
            signs_in: None,
            delegates: Vec::new(),
            device_user: "person@example.com".to_owned(),
            manner: Manner::Honest,
            refusal: None,
            hang_up_at: None,
            mute: false,
            imap_greets_with_capabilities: true,
            imap_offer: vec![
                "SASL-IR",
                "LITERAL+",
                "IDLE",
                "UIDPLUS",
                "NAMESPACE",
                "UNSELECT",
            ],
            pop_offer: vec!["TOP", "UIDL", "RESP-CODES", "PIPELINING"],
            smtp_offer: vec![
                "SIZE 36700160",
                "8BITMIME",
                "PIPELINING",
                "CHUNKING",
                "ENHANCEDSTATUSCODES",
                "SMTPUTF8",
            ],
            mechanisms: vec!["XOAUTH2", "OAUTHBEARER"],
        }
    }
}
