//! How a provider is asked for a token: one file per grant, one endpoint client.
//!
//! Knows neither mail nor who asks; a provider's answer is judged here once, in `answer`.

mod answer;
mod asking;
mod assertion;
mod client_credentials;
mod code;
mod device;
mod discovery;
mod documents;
mod endpoint;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod id_token;
mod issuer;
mod jwt;
mod managed_identity;
mod password;
mod post;
mod quiet;
mod reason;
mod refresh;
mod service_account;
mod skew;
mod verdict;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use endpoint::Endpoint;
pub use id_token::named_in_access_token;
pub use issuer::prove_answer;
#[cfg(any(feature = "aws", feature = "vault"))]
pub(crate) use post::{SharedLookup, proxy_address};
pub use reason::of_browser;

use crate::providers::catalogue::Known;
use crate::said::Said;
use crate::secret::{AccessToken, Secret};

/// A token endpoint's good answer.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: AccessToken,
    /// How long it is good, from now: 0 to 30 days; 3,600 s where the endpoint did not say.
    pub lifetime: Duration,
    /// A refresh token, where one came: a new one replaces the old.
    pub refresh: Option<Secret<String>>,
    /// Who signed in, where the answer carried an ID token that tells it.
    pub signed_in: Option<SignedIn>,
}

/// Who an ID token says has signed in. Told by the token endpoint itself over TLS; nothing is authorised by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedIn {
    /// The name to show and to log in with: `preferred_username`, `upn` or `email`, the first that is an address.
    pub name: String,
    /// Every name of theirs: an account under any of them is theirs.
    pub names: Vec<String>,
    /// The issuer (`iss`).
    pub issuer: Option<String>,
    /// The Entra tenant (`tid`).
    pub tenant: Option<String>,
}

/// What is handed in for a token.
#[derive(Clone, Debug)]
pub enum Grant {
    /// An authorization code, with what it was asked for with.
    Code {
        /// The code from the redirect.
        code: Secret<String>,
        /// The redirect address it was asked for with.
        redirect_uri: Option<String>,
        /// The PKCE verifier, where PKCE is used.
        verifier: Option<Secret<String>>,
        /// Who says that the code is theirs (`iss`, RFC 9207): an ID token that comes for it must be theirs too.
        issuer: Option<String>,
    },
    /// A refresh token.
    Refresh(Secret<String>),
    /// The application's own credentials.
    ClientCredentials,
    /// The user's own password.
    Password(Secret<String>),
    /// A device code that a person may have approved meanwhile: one poll (RFC 8628 section 3.4).
    Device(Secret<String>),
    /// A Google service account's signed assertion in the account's name (RFC 7523 section 2.1).
    ServiceAccount,
    /// The identity of the machine this runs on (Azure).
    ManagedIdentity,
}

/// Why no token was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `invalid_grant` and its like: what was handed in is dead; only a new consent helps.
    #[error("{0}")]
    GrantDead(Said),
    /// A definite no that a change of configuration or policy must cure; nothing stored is dead.
    #[error("{0}")]
    Denied(Said),
    /// No sensible answer just now: network, 5xx, HTML, throttling.
    #[error("{0}")]
    Unavailable(Said),
    /// As `Unavailable`, and the endpoint says when to ask again (429 or 5xx with `Retry-After`).
    #[error("{said}")]
    Throttled {
        /// Its words.
        said: Said,
        /// How long it wants to be left in peace.
        wait: Duration,
    },
    /// The person has not approved the device code yet: poll again after the interval.
    #[error("nobody has approved the device code yet")]
    Pending,
    /// As `Pending`, but polled too often: the interval grows by 5 s (RFC 8628 section 3.5).
    #[error("the provider wants to be asked less often")]
    SlowDown,
    /// The settings do not allow to ask at all.
    #[error("{0}")]
    Misconfigured(String),
}

impl Error {
    /// Returns it as words, with what the catalogue knows about them.
    pub fn said(&self) -> Said {
        match self {
            Self::GrantDead(said)
            | Self::Denied(said)
            | Self::Unavailable(said)
            | Self::Throttled { said, .. } => said.clone(),
            Self::Pending | Self::SlowDown | Self::Misconfigured(_) => Said::new(self.to_string()),
        }
    }

    /// Fills in what is known of the case.
    #[must_use]
    fn for_case(self, known: &Known) -> Self {
        match self {
            Self::GrantDead(said) => Self::GrantDead(said.for_case(known)),
            Self::Denied(said) => Self::Denied(said.for_case(known)),
            Self::Unavailable(said) => Self::Unavailable(said.for_case(known)),
            Self::Throttled { said, wait } => Self::Throttled {
                said: said.for_case(known),
                wait,
            },
            other @ (Self::Pending | Self::SlowDown | Self::Misconfigured(_)) => other,
        }
    }
}

/// A question for consent, to be put to a person.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The address to visit. For a device code the shortest way to approve it, with the code in it where the provider
    /// offers that.
    pub url: String,
    /// The one-time value that the answer must carry. For a device code no answer comes; it only tells questions apart.
    pub state: String,
    /// The PKCE verifier that the code must be redeemed with.
    pub verifier: Option<Secret<String>>,
    /// The redirect address asked for.
    pub redirect_uri: Option<String>,
    /// The issuer that an answer has to come from (RFC 9207); may hold Entra's literal `{tenantid}`.
    pub issuer: Option<String>,
    /// Whether the provider promises `iss` in every answer, so that one without it is refused.
    pub issuer_is_sent: bool,
    /// The device code to poll with, in the device grant.
    pub device: Option<DeviceCode>,
}

/// A device code (RFC 8628 section 3.2).
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// What to poll with.
    pub code: Secret<String>,
    /// What the person types in.
    pub user_code: String,
    /// Where they type it.
    pub verification_url: String,
    /// How long it is good: at most 30 minutes.
    pub good_for: Duration,
    /// The least time between two polls: 5 to 60 s.
    pub interval: Duration,
}
