//! A mail program with a new password: where the owner wants it, a person is asked to sign in to accept it.
//!
//! The habit behind `delete_account_token_on_password_error`, without its danger: nothing that is stored changes before
//! the person's yes.

use std::sync::Arc;

use super::lock::Pass;
use super::proof::Mark;
use super::token::Account;
use super::{Accounts, Caller};
use crate::refusal::Refusal;
use crate::secret::Password;

impl Accounts {
    /// Lets a wrong password wait for consent, where that may be.
    #[expect(clippy::unused_async, reason = "to be built")]
    pub(super) async fn challenge(
        self: &Arc<Self>,
        _account: &Arc<Account>,
        _password: &Password,
        _mark: Mark,
        _caller: &Caller,
    ) -> Result<Option<Pass>, Refusal> {
        Ok(None)
    }
}
