//! Where tokens come from, seen from here: two questions, so that tests can answer them without a network.

use std::fmt::Debug;
use std::pin::Pin;

use crate::config::AccountSettings;
use crate::oauth::{Endpoint, Error, Grant, Question, Tokens};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Secret;

/// An answer that is on its way.
pub(super) type Asking<'a, T = Tokens> =
    Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Whoever can be asked for tokens.
pub(super) trait Source: Debug + Send + Sync {
    /// Asks for a token; see [`Endpoint::ask`].
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a>;

    /// Makes a question for consent; see [`Endpoint::question`].
    fn question<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question>;
}

/// Words an error of the provider as the reason why a login cannot go through.
pub(super) fn refusal(error: Error) -> Refusal {
    match error {
        Error::GrantDead(said) | Error::Denied(said) => Refusal::TokenRefused(said),
        Error::Unavailable(said) | Error::Throttled { said, .. } => Refusal::TokenUnavailable(said),
        Error::Pending | Error::SlowDown => Refusal::TokenUnavailable(Said::new(error.to_string())),
        Error::Misconfigured(why) => Refusal::Misconfigured(why),
    }
}

impl Source for Endpoint {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a> {
        Box::pin(Self::ask(self, account, secret, grant))
    }

    fn question<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        Box::pin(Self::question(self, account, secret))
    }
}
