//! From where an account's first password is taken: this machine and the networks the owner names.
//!
//! Whoever chooses the first password has the mailbox, and for the grants that need no consent any mailbox of the tenant.

use super::token::Account;
use super::{Accounts, Caller};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Password;

impl Accounts {
    /// Returns whether somebody there may choose an account's first password: the owner at the command line, this
    /// machine, and `first_use_from`.
    pub(super) fn may_be_first(&self, caller: &Caller) -> bool {
        *caller == Caller::OWNER || self.is_near(caller)
    }

    /// Returns whether a mail program is on this machine or within `first_use_from`.
    pub(super) fn is_near(&self, caller: &Caller) -> bool {
        let Some(address) = caller.address else {
            return false;
        };
        let address = address.to_canonical();
        let world = self.world();
        let mut networks = world.config.options.first_use_from.iter();
        address.is_loopback() || networks.any(|network| network.contains(&address))
    }

    /// Refuses a login from elsewhere to an account whose first password is yet to come, as if that were wrong.
    pub(super) async fn keep_stranger_out(
        &self,
        account: &Account,
        password: &Password,
        caller: &Caller,
    ) -> Option<Refusal> {
        if self.may_be_first(caller) {
            return None;
        }
        {
            let mut state = account.state();
            if !self.awaits_first_password(&account.name, &state) {
                return None;
            }
            let from = caller
                .address
                .map_or_else(|| "?".to_owned(), |address| address.to_string());
            let user = Said::new(&account.name);
            let why = format!(
                "a first login from {from} on {} was refused: set the password with `emailproxy password {user}`, log in from this machine first, or allow that network with first_use_from = {from} in [emailproxy]",
                Said::new(&caller.service)
            );
            tracing::warn!("account {user} has no password yet; {why}");
            state.last_error = Some(why);
        }
        // Neither the text nor the clock tells a stranger which accounts wait for their first password.
        self.prover.pretend(password).await;
        Some(
            self.refuse(&account.name, "a first password from elsewhere")
                .await,
        )
    }
}
