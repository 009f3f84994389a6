//! Where tokens come from, seen from here: two questions, so that tests can answer them without a network.

use std::fmt::Debug;
use std::pin::Pin;

use crate::config::AccountSettings;
use crate::oauth::{self, Endpoint, Error, Grant, Question, Tokens};
use crate::secret::Secret;

/// An answer that is on its way.
pub(super) type Asking<'a> = Pin<Box<dyn Future<Output = Result<Tokens, Error>> + Send + 'a>>;

/// Whoever can be asked for tokens.
pub(super) trait Source: Debug + Send + Sync {
    /// Asks for a token; see [`Endpoint::ask`].
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a>;

    /// Makes a question for consent; see [`oauth::question`].
    fn question(&self, account: &AccountSettings) -> Result<Question, Error>;
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

    fn question(&self, account: &AccountSettings) -> Result<Question, Error> {
        oauth::question(account)
    }
}
