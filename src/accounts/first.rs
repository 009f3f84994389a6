//! From where an account may be used, and from where its first password is taken.
//!
//! Whoever chooses the first password has the mailbox, and for the grants that need no consent any mailbox of the tenant.

use super::token::Account;
use super::{Accounts, Caller};
use crate::config::IpNet;
use crate::providers::catalogue::{Diagnosis, own};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Password;

/// Returns whether a client there may log in to an account that names networks. The owner at the command line may.
pub(super) fn may_come(allow_from: &[IpNet], caller: &Caller) -> bool {
    allow_from.is_empty()
        || *caller == Caller::OWNER
        || caller.address.is_some_and(|address| {
            let address = address.to_canonical();
            allow_from.iter().any(|network| network.contains(&address))
        })
}

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
            let known = state.settings.known();
            state.last_error = Some(Diagnosis::of(why, &own::FIRST_PASSWORD, &known));
        }
        let what = "a first password from elsewhere";
        Some(self.turn_down(&account.name, password, caller, what).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_for_the_networks_it_names() {
        let from = |address: &str| Caller {
            service: "IMAP-2993".into(),
            address: Some(address.parse().unwrap()),
        };
        let networks = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("11.0.0.1", false),
            ("127.0.0.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(may_come(&networks, &from(address)), may, "{address}");
            assert!(may_come(&[], &from(address)));
        }
        assert!(may_come(&networks, &Caller::OWNER));
    }
}
