//! How a provider is asked for a token: one file per grant, one endpoint client.
//!
//! Knows neither mail nor who asks; a provider's answer is judged here once, in `answer`.

mod answer;
mod catalogue;
mod client_credentials;
mod code;
mod endpoint;
mod password;
mod post;
mod quiet;
mod refresh;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use code::question;
pub use endpoint::Endpoint;

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
    },
    /// A refresh token.
    Refresh(Secret<String>),
    /// The application's own credentials.
    ClientCredentials,
    /// The user's own password.
    Password(Secret<String>),
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
    /// The settings do not allow to ask at all.
    #[error("{0}")]
    Misconfigured(String),
}

/// A question for consent, to be put to a person.
#[derive(Clone, Debug)]
pub struct Question {
    /// The address to visit.
    pub url: String,
    /// The one-time value that the answer must carry.
    pub state: String,
    /// The PKCE verifier that the code must be redeemed with.
    pub verifier: Option<Secret<String>>,
    /// The redirect address asked for.
    pub redirect_uri: Option<String>,
}
