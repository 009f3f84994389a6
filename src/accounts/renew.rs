//! What becomes of a token that the mail server refused: a new one at once, the next login's affair, or nothing.
//!
//! Never twice within 30 s for one account, and at longer and longer intervals while new tokens fare no better.

use std::sync::Arc;

use tokio::time::Instant;

use super::flight::landed;
use super::lock::Pass;
use super::login::admitted;
use super::pace::{LONG_REST, REST};
use super::token::{Account, Landed, State};
use super::{Accounts, Admitted};
use crate::refusal::{Refusal, Remedy};
use crate::said::Said;
use crate::secret::{AccessToken, Password};

/// A token that a server refused.
#[derive(Debug)]
pub(super) struct Spurned {
    token: AccessToken,
    at: Instant,
    /// The token that came after it.
    heir: Option<AccessToken>,
    /// How many before it were refused in a row, each the heir of the last.
    vain: u32,
}

impl Accounts {
    /// Gets a new token in place of one that the server just refused, where that may help: then the login is worth a
    /// second try, and the client need not hear of the first.
    ///
    /// `None` where it is not worth one: the token came less than 60 s ago (the next login gets another), the last
    /// refused one was dropped less than 30 s ago, only a new consent could help, or the server's words name another
    /// reason. All logins of an account share one request.
    pub async fn renew(
        self: &Arc<Self>,
        refused: &Admitted,
        password: &Password,
        why: &Refusal,
    ) -> Result<Option<Admitted>, Refusal> {
        let remedy = why.remedy();
        let Some(account) = self.known(&refused.user).filter(|_| remedy.is_token()) else {
            return Ok(None);
        };
        let mut closing = self.closing.subscribe();
        let renewing = self.replace(&account, refused, password, remedy);
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
            done = Box::pin(renewing) => done,
        }
    }

    async fn replace(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refused: &Admitted,
        password: &Password,
        remedy: Remedy,
    ) -> Result<Option<Admitted>, Refusal> {
        let user = Said::new(&account.name);
        let flight = {
            let world = self.world();
            let options = &world.config.options;
            let allowed = options.use_login_password_as_client_credentials_secret;
            let mut guard = account.state();
            let state = &mut *guard;
            match &state.access {
                Some(held) if !same(&held.token, &refused.token) => {
                    // Another login heard the same and was faster.
                    let token = state.alive();
                    return Ok(token.map(|token| admitted(account, state, token)));
                }
                Some(held) => {
                    let next_login = held.is_young() && remedy == Remedy::NewTokenForOld;
                    if !state.spurn() {
                        return Ok(None);
                    }
                    if next_login {
                        tracing::info!(
                            "the server refused the token of account {user}; the next login gets a new one"
                        );
                        return Ok(None);
                    }
                }
                // Another login dropped it already; its request may be under way.
                None if state.flight.is_none() => return Ok(None),
                None => {}
            }
            let login = state.password_is_secret(allowed).then_some(password);
            let secret = state.application_secret(login)?;
            let Some(grant) = state.way(Some(password))? else {
                return Ok(None);
            };
            tracing::info!(
                "the server refused the token of account {user}; trying once more with a new one"
            );
            self.fly(account, state, secret, grant, Pass::PROVEN)
        };
        match landed(flight).await {
            Landed::Token(token) if !same(&token, &refused.token) => {
                Ok(Some(admitted(account, &account.state(), token)))
            }
            Landed::Token(_) | Landed::Anew => Ok(None),
            Landed::Refused(refusal) => Err(refusal),
        }
    }
}

impl State {
    /// Drops the token held, unless one was dropped so lately that asking for more would not help.
    fn spurn(&mut self) -> bool {
        let Some(token) = self.access.as_ref().map(|held| held.token.clone()) else {
            return false;
        };
        let mut vain = 0;
        if let Some(last) = &self.spurned {
            if last.heir.as_ref().is_some_and(|heir| same(heir, &token)) {
                vain = last.vain.saturating_add(1);
            }
            let pause = REST.saturating_mul(1 << last.vain.min(8)).min(LONG_REST);
            if last.at.elapsed() < pause {
                return false;
            }
        }
        self.access = None;
        self.spurned = Some(Spurned {
            token,
            at: Instant::now(),
            heir: None,
            vain,
        });
        true
    }

    /// Notes a token that came: it may be the heir of a refused one.
    pub(super) fn inherit(&mut self, token: &AccessToken) {
        if let Some(last) = &mut self.spurned {
            last.heir.get_or_insert_with(|| token.clone());
        }
    }

    /// Returns whether a server refused this very token.
    pub(super) fn is_spurned(&self, token: &AccessToken) -> bool {
        let last = self.spurned.as_ref();
        last.is_some_and(|last| same(&last.token, token))
    }
}

fn same(a: &AccessToken, b: &AccessToken) -> bool {
    a.reveal() == b.reveal()
}
