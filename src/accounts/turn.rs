//! Whose turn it is to ask the provider, where several processes share a store: a refresh token is spent by one of them.
//!
//! Knows neither what is asked nor what becomes of the answer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Accounts;
use super::store::Lease;
use super::token::Account;
use crate::said::Said;
use crate::secret::AccessToken;

/// How long a turn is waited for: longer than a lease lasts that its holder took to the grave.
const PATIENCE: Duration = Duration::from_secs(20);

/// How soon a lease that somebody else has is tried again, at first and at last.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_millis(500);

/// How old a lease may be when the provider is asked: the request (10 s) must end before the lease (15 s) does.
const YOUNG: Duration = Duration::from_secs(4);

/// What came of waiting for the account's turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// The provider may be asked. The lease is to be given back afterwards; none where the store is nobody else's.
    Ours(Option<Lease>),
    /// Another process has asked, and this came of it.
    Answered(AccessToken),
    /// The store cannot be reached, or others keep it busy.
    Away(Said),
}

impl Accounts {
    /// Waits for the account's turn, at most 20 s, and takes over what others wrote meanwhile.
    ///
    /// `known` is the access token at hand when the wish for another one arose.
    pub(super) async fn turn(&self, account: &Account, known: Option<&AccessToken>) -> Turn {
        if !self.store.is_shared() {
            return Turn::Ours(None);
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            let lease = match self.lease(account, give_up).await {
                Ok(lease) => lease,
                Err(why) => return Turn::Away(Said::new(why)),
            };
            let taken = Instant::now();
            if let Err(why) = self.look(account).await {
                self.turn_ends(lease).await;
                return Turn::Away(Said::new(why));
            }
            let news = {
                let state = account.state();
                let token = state.fresh();
                token.filter(|token| known.is_none_or(|known| known.reveal() != token.reveal()))
            };
            if let Some(token) = news {
                self.turn_ends(lease).await;
                return Turn::Answered(token);
            }
            if taken.elapsed() < YOUNG {
                return Turn::Ours(Some(lease));
            }
            self.turn_ends(lease).await;
        }
    }

    /// Waits for the account's turn to write what came without it: a person's yes brought tokens. Where there is none to be
    /// had, the yes counts all the same.
    pub(super) async fn turn_to_write(&self, account: &Account) -> Option<Lease> {
        if !self.store.is_shared() {
            return None;
        }
        let lease = self.lease(account, Instant::now() + PATIENCE).await;
        if let Err(why) = self.look(account).await {
            tracing::debug!("{why}; going on with what is known");
        }
        lease.ok()
    }

    /// Takes the account's lease; waits while somebody else has it.
    async fn lease(&self, account: &Account, give_up: Instant) -> Result<Lease, String> {
        if let Some(lease) = account.state().lease.take() {
            return Ok(lease);
        }
        let mut pause = SOON;
        while Instant::now() < give_up {
            if let Some(lease) = self.store.lease(&account.name).await? {
                return Ok(lease);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATE);
        }
        Err(format!(
            "another process has been asking for a token of this account for {} s, says {}",
            PATIENCE.as_secs(),
            self.store.name()
        ))
    }

    /// Gives a lease back. One that cannot be given back ends by itself.
    pub(super) async fn turn_ends(&self, lease: Lease) {
        if let Err(why) = self.store.release(lease).await {
            tracing::debug!("{why}; the lease ends by itself");
        }
    }
}
