//! One token request in flight per account: whoever needs its answer waits for it, and it ends even if nobody does.
//!
//! A rotated refresh token is on disk before anybody gets to use what came with it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Accounts;
use super::lock::Pass;
use super::purpose::Purpose;
use super::source::refusal;
use super::token::{Account, Landed, State};
use crate::oauth::{Error, Grant};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Secret;

impl Accounts {
    /// Joins the account's request in flight, or starts one.
    pub(super) fn fly(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        secret: Option<Secret<String>>,
        grant: Grant,
        pass: Pass,
    ) -> watch::Receiver<Option<Landed>> {
        // A request whose task is gone without an answer has a closed channel.
        if let Some(flight) = &state.flight
            && flight.has_changed().is_ok()
        {
            return flight.clone();
        }
        state.pace.begins();
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let (this, account) = (Arc::clone(self), Arc::clone(account));
        let (settings, purpose) = (Arc::clone(&state.settings), state.purpose.clone());
        self.underway(async move {
            let world = this.world();
            let asking = world.source.ask(&settings, secret.as_ref(), &grant);
            let answer = asking.await;
            let landed = {
                let mut state = account.state();
                let landed = this.land(&account, &mut state, &purpose, &grant, answer);
                state.flight = None;
                landed
            };
            this.make_last(&account.name).await;
            landing.send_replace(Some(landed));
            // A first password is held until its token is sealed with it.
            drop(pass);
        });
        flight
    }

    /// Judges an answer and takes over what it brings.
    fn land(
        &self,
        account: &Account,
        state: &mut State,
        purpose: &Purpose,
        grant: &Grant,
        answer: Result<crate::oauth::Tokens, Error>,
    ) -> Landed {
        let user = Said::new(&account.name);
        if state.purpose.provider != purpose.provider {
            // The configuration changed under way: this answer is for something else.
            return Landed::Anew;
        }
        let refused = match answer {
            Ok(tokens) => {
                state.take_in(&tokens);
                state.settle_claim();
                self.shelve(account, state);
                tracing::debug!(
                    "obtained a token for account {user}, good for {} s",
                    tokens.lifetime.as_secs()
                );
                return Landed::Token(tokens.access);
            }
            Err(error) => {
                if let (Error::GrantDead(said), Grant::Refresh(dead)) = (&error, grant) {
                    tracing::warn!(
                        "the provider no longer accepts the refresh token of account {user}: {said}"
                    );
                    // Only the token that was refused is dropped; a consent may have brought a new one meanwhile.
                    if state.refresh.as_ref() == Some(dead) {
                        state.refresh = None;
                        state.refreshed_at = None;
                        state.last_error = Some(said.to_string());
                        self.shelve(account, state);
                    }
                    return Landed::Anew;
                }
                let wait = match &error {
                    Error::Throttled { wait, .. } => Some(*wait),
                    _ => None,
                };
                state.pace.failed(wait, &Said::new(error.to_string()));
                refusal(error)
            }
        };
        state.last_error = Some(refused.to_string());
        tracing::warn!("could not obtain a token for account {user}: {refused}");
        if !state.is_claimed()
            && let Some(token) = state.alive()
        {
            tracing::info!("account {user} goes on with its old token, which is still good");
            return Landed::Token(token);
        }
        Landed::Refused(refused)
    }

    /// Seals what the account holds and puts it on the shelf; without a key it stays loose, in memory.
    pub(super) fn shelve(&self, account: &Account, state: &mut State) {
        let user = Said::new(&account.name);
        self.wrap_by_store(account, state);
        match state.to_record(&account.name) {
            Some(Ok(record)) => {
                self.store.put(&account.name, record);
                state.loose = false;
            }
            Some(Err(why)) => {
                state.loose = true;
                tracing::error!("could not seal the tokens of account {user}: {why}");
            }
            None => state.loose = state.access.is_some() || state.refresh.is_some(),
        }
    }

    /// Brings the shelf into the store; where another process wrote first, the two are brought together.
    pub(super) async fn write_down(&self) -> Result<(), String> {
        self.store.flush().await.map(drop)
    }

    /// Brings the shelf to disk. A failing disk fails no login: the tokens stay in memory and are tried again.
    pub(super) async fn make_last(self: &Arc<Self>, name: &str) {
        if let Err(why) = self.write_down().await {
            let user = Said::new(name);
            tracing::error!(
                "{why}; the tokens of account {user} are kept in memory and written as soon as it works"
            );
            self.tend();
        }
    }
}

/// Waits for a request to end.
pub(super) async fn landed(mut flight: watch::Receiver<Option<Landed>>) -> Landed {
    let ended = match flight.wait_for(Option::is_some).await {
        Ok(landed) => landed.clone(),
        Err(_) => None,
    };
    ended.unwrap_or_else(|| {
        let why = Said::new("the token request broke off");
        Landed::Refused(Refusal::TokenUnavailable(why))
    })
}
