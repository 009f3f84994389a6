//! One token request in flight per account: whoever needs its answer waits for it, and it ends even if nobody does.
//!
//! A rotated refresh token is in the store before anybody gets to use what came with it, and of all processes that share
//! the store only the one whose turn it is asks.

use std::sync::Arc;

use tokio::sync::watch;

use super::Accounts;
use super::lock::Pass;
use super::purpose::Purpose;
use super::source::refusal;
use super::store::Lease;
use super::token::{Account, Landed, State};
use super::turn::Turn;
use crate::meter::Request;
use crate::oauth::{Error, Grant};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Secret;

/// What a request comes to before the provider is asked.
enum Chosen {
    /// Ask with this.
    Ask(Grant, Option<Lease>),
    /// Nothing more is to be asked.
    Landed(Landed, Option<Lease>),
}

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
        let known = state.access.as_ref().map(|access| access.token.clone());
        let overruled = state.overruled;
        self.underway(async move {
            let turn = this.turn(&account, known.as_ref()).await;
            let (landed, lease) = match Self::choose(&account, turn, grant, overruled) {
                Chosen::Ask(grant, lease) => {
                    let world = this.world();
                    let asking = world.source.ask(&settings, secret.as_ref(), &grant);
                    let answer = asking.await;
                    this.meters().requested(outcome(&answer));
                    if let Err(Error::GrantDead(_)) = &answer {
                        // Somebody may have spent it meanwhile, and brought its successor.
                        this.look(&account).await.ok();
                    }
                    let landed = {
                        let mut state = account.state();
                        this.land(&account, &mut state, &purpose, &grant, answer)
                    };
                    (landed, lease)
                }
                Chosen::Landed(landed, lease) => (landed, lease),
            };
            let written = this.make_last(&account.name).await;
            let (landed, lease) = {
                let mut state = account.state();
                state.flight = None;
                // What let these logins in may be gone.
                let landed = match landed {
                    Landed::Token(_) if state.overruled != overruled => Landed::Anew,
                    landed => landed,
                };
                // Nobody else may ask with the old token while the store does not have the new one.
                let lease = match lease {
                    Some(lease) if !written => {
                        state.lease = lease.lock.is_some().then_some(lease);
                        None
                    }
                    lease => lease,
                };
                (landed, lease)
            };
            landing.send_replace(Some(landed));
            // A first password is held until its token is sealed with it.
            drop(pass);
            if let Some(lease) = lease {
                this.turn_ends(lease).await;
            }
        });
        flight
    }

    /// Chooses what to ask with: what is at hand may be newer than when the wish arose.
    fn choose(account: &Account, turn: Turn, grant: Grant, overruled: u64) -> Chosen {
        let mut state = account.state();
        match turn {
            Turn::Answered(token) => Chosen::Landed(Landed::Token(token), None),
            // Only a refresh token can be spent twice.
            Turn::Away(why) if !matches!(grant, Grant::Refresh(_)) => {
                tracing::debug!("{why}; asking all the same");
                Chosen::Ask(grant, None)
            }
            Turn::Away(why) => {
                state.pace.failed(None, &why);
                let no = Refusal::TokenUnavailable(why.clone());
                Account::note(&mut state, &no);
                let landed = match state.alive().filter(|_| !state.is_claimed()) {
                    Some(token) => Landed::Token(token),
                    None => Landed::Refused(no),
                };
                Chosen::Landed(landed, None)
            }
            Turn::Ours(lease) if state.overruled != overruled => {
                Chosen::Landed(Landed::Anew, lease)
            }
            Turn::Ours(lease) => match (&state.refresh, grant) {
                (Some(refresh), _) => Chosen::Ask(Grant::Refresh(refresh.clone()), lease),
                (None, Grant::Refresh(_)) => Chosen::Landed(Landed::Anew, lease),
                (None, grant) => Chosen::Ask(grant, lease),
            },
        }
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
                        state.serial += 1;
                        Account::note(state, &Refusal::ConsentRefused(said.clone()));
                        self.shelve(account, state);
                    }
                    return Landed::Anew;
                }
                let wait = match &error {
                    Error::Throttled { wait, .. } => Some(*wait),
                    _ => None,
                };
                state.pace.failed(wait, &error.said());
                refusal(error)
            }
        };
        Account::note(state, &refused);
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
        let before = self.store.record(&account.name);
        match state.to_record(&account.name, before.as_ref()) {
            Some(Ok(record)) => {
                self.store.put(&account.name, record);
                state.loose = false;
                state.unwritten = true;
            }
            Some(Err(why)) => {
                state.loose = true;
                tracing::error!("could not seal the tokens of account {user}: {why}");
            }
            None => state.loose = state.access.is_some() || state.refresh.is_some(),
        }
    }

    /// Brings the shelf into the store; where another process wrote first, the two are brought together.
    pub(super) async fn write_down(self: &Arc<Self>) -> Result<(), String> {
        let this = Arc::clone(self);
        self.store
            .flush(move |conflict| this.settle(conflict))
            .await
    }

    /// Brings the shelf to disk; returns whether it is there. A failing disk fails no login: the tokens stay in memory and
    /// are tried again.
    pub(super) async fn make_last(self: &Arc<Self>, name: &str) -> bool {
        let written = self.write_down().await;
        if let Err(why) = &written {
            let user = Said::new(name);
            tracing::error!(
                "{why}; the tokens of account {user} are kept in memory and written as soon as it works"
            );
            self.tend();
        }
        if let Some(account) = self.known(name) {
            account.state().unwritten = false;
        }
        written.is_ok()
    }
}

/// Returns how a request ended, as it is counted.
fn outcome(answer: &Result<crate::oauth::Tokens, Error>) -> Request {
    match answer {
        Ok(_) => Request::Success,
        Err(Error::GrantDead(_)) => Request::Dead,
        Err(Error::Unavailable(_) | Error::Throttled { .. }) => Request::Unavailable,
        Err(_) => Request::Refused,
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
