//! A refresh token that another program obtained becomes the account's own, closed like any other.
//!
//! Knows no other program's files, and does not try the token: providers that rotate would take it from the other program.

use std::sync::Arc;

use super::passwords::NewPassword;
use super::{Accounts, Caller, clock};
use crate::refusal::NotAdmitted;
use crate::said::Said;
use crate::secret::{Password, Secret};

impl Accounts {
    /// Takes a refresh token over. Without a store key it is the mail password that closes it: a new account's is set by
    /// this, another's must be right. A token that is there already goes only by `force`.
    ///
    /// The error is for a person.
    pub async fn entrust(
        self: &Arc<Self>,
        user: &str,
        refresh: Secret<String>,
        password: Option<&Password>,
        force: bool,
    ) -> Result<(), String> {
        let shown = Said::new(user);
        let account = self.account(user).map_err(|why| match why {
            NotAdmitted::Incomplete(why) => format!("account {shown}: {why}"),
            _ => format!("there is no account {shown} in the configuration"),
        })?;
        self.look(&account).await?;
        let (open, new) = {
            let mut state = account.state();
            self.unlock_by_store(&account, &mut state);
            (state.is_unlocked(), self.is_new(&account.name, &state))
        };
        match password {
            Some(password) if new => {
                let first = NewPassword {
                    name: None,
                    services: Vec::new(),
                    from: Vec::new(),
                    password: password.clone(),
                    current: None,
                };
                self.set_password(user, first).await?;
            }
            Some(password) if !open => {
                let admitted = Box::pin(self.admit(&account, password, &Caller::OWNER)).await;
                admitted.map_err(|refusal| format!("account {shown}: {refusal}"))?;
            }
            None if !open && (!new || self.store_key.is_none()) => {
                return Err(format!(
                    "account {shown} has no key to close its token with: give its mail password, or set store_key in [emailproxy]"
                ));
            }
            _ => {}
        }
        {
            let mut guard = account.state();
            let state = &mut *guard;
            if state.refresh.is_some() && !force {
                return Err(format!(
                    "account {shown} has a refresh token already; --force puts this one in its place"
                ));
            }
            state.access = None;
            state.refresh = Some(refresh);
            // Not tried before its first login: a provider that rotates would take it from the program it came from.
            state.refreshed_at = Some(clock::unix());
            state.serial += 1;
            self.shelve(&account, state);
        }
        self.write_down().await
    }
}
