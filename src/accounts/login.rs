//! A login from password to token: the story of [`Accounts::token`], in the order it happens.
//!
//! Knows no wire; what the client is told about a refusal is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::consent::{Consent, End};
use super::device::minutes;
use super::flight::landed;
use super::lock::Pass;
use super::source::refusal;
use super::token::{Account, Landed, State};
use super::{Accounts, Admitted, Caller, clock};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::{AccessToken, Password};

/// How often a login looks again before it gives up: each look is the answer to a change by somebody else.
const LOOKS: usize = 8;

/// How much longer a token must live so that a login need not wait for the next.
const LIVING: Duration = Duration::from_secs(60);

/// How long a login with such a token waits for the next all the same: mail servers end sessions with their token, and a
/// mail client that stays for an hour is better off than one that is thrown out after ten minutes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A wait for consent that took this long is no look in vain.
const LONG_LOOK: Duration = Duration::from_secs(10);

/// What a proven login has to do next.
enum Next {
    /// Nothing: here is the token.
    Ready(Admitted),
    /// Wait until tokens that came before the password are on disk.
    Settle,
    /// Wait for a token request; not for long where there is a token that still lives.
    Flight(watch::Receiver<Option<Landed>>, Option<AccessToken>),
    /// Ask a person, and wait.
    Ask,
}

impl Accounts {
    /// Goes the whole way for one login.
    pub(super) async fn log_in(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        caller: &Caller,
    ) -> Result<Admitted, Refusal> {
        let patience = self.world().config.options.authorisation_timeout;
        let deadline = Instant::now() + patience;
        let mut settled = false;
        let mut looks = 0;
        while looks < LOOKS {
            looks += 1;
            let pass = Box::pin(self.admit(account, password, caller)).await?;
            if pass.is_challenge() {
                self.await_challenge(account, password, deadline, patience)
                    .await?;
                continue;
            }
            let token = match self.next(account, password, &pass)? {
                // What came with a new refresh token is not used before that is in the store.
                Next::Ready(_) if self.store.owes(&account.name) && !settled => {
                    settled = true;
                    self.make_last(&account.name).await;
                    continue;
                }
                Next::Ready(admitted) => return Ok(self.welcome(account, password, admitted)),
                Next::Settle => {
                    self.make_last(&account.name).await;
                    continue;
                }
                Next::Flight(flight, living) => match landed_within(flight, living).await {
                    Landed::Token(token) => token,
                    Landed::Anew => continue,
                    Landed::Refused(refusal) => return Err(refusal),
                },
                Next::Ask => {
                    let begun = Instant::now();
                    let mut consent = self.ask_consent(account).await?.join();
                    let ended = timeout_at(deadline, consent.wait_for(Option::is_some)).await;
                    match ended {
                        Err(_) => {
                            return Err(Refusal::ConsentTimedOut {
                                waited: patience.as_secs(),
                            });
                        }
                        Ok(Ok(end)) => {
                            if let Some(End::Refused(refusal)) = &*end {
                                return Err(refusal.clone());
                            }
                        }
                        Ok(Err(_)) => {}
                    }
                    if begun.elapsed() >= LONG_LOOK {
                        // A device code ran out, or somebody wants to sign in anew: patience is the limit, not our looks.
                        looks -= 1;
                    }
                    continue;
                }
            };
            let admitted = admitted(account, &account.state(), token);
            return Ok(self.welcome(account, password, admitted));
        }
        let why = Said::new("the account keeps changing while a login waits");
        Err(Refusal::TokenUnavailable(why))
    }

    /// Decides what a proven login has to do next.
    fn next(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        pass: &Pass,
    ) -> Result<Next, Refusal> {
        let world = self.world();
        let mut guard = account.state();
        let state = &mut *guard;
        let holds_tokens = state.alive().is_some() || state.refresh.is_some();
        if holds_tokens && state.is_claimed() {
            // A consent was given before anybody logged in; this is the login that seals it.
            state.settle_claim();
            self.shelve(account, state);
            tracing::info!(
                "the tokens of account {} are now sealed with its password",
                Said::new(&account.name)
            );
            return Ok(Next::Settle);
        }
        if let Some(token) = state.fresh() {
            // What came with it must rest before it is used: a token request may have ended this moment.
            if state.unwritten {
                return Ok(Next::Settle);
            }
            return Ok(Next::Ready(admitted(account, state, token)));
        }
        let allowed = world
            .config
            .options
            .use_login_password_as_client_credentials_secret;
        let Some(grant) = state.way(Some(password))? else {
            // Without a refresh token there is nothing to renew early with: the token is used to its end.
            if let Some(token) = state.alive() {
                return Ok(Next::Ready(admitted(account, state, token)));
            }
            return Ok(Next::Ask);
        };
        if let Some(said) = state.pace.closed() {
            let refusal = Refusal::TokenUnavailable(said.clone());
            let token = state.alive().ok_or(refusal)?;
            return Ok(Next::Ready(admitted(account, state, token)));
        }
        let living = state.alive_for(LIVING);
        if let Some(token) = living.clone().filter(|_| state.pace.rests()) {
            return Ok(Next::Ready(admitted(account, state, token)));
        }
        let login = state.password_is_secret(allowed).then_some(password);
        let secret = state.application_secret(login)?;
        let flight = self.fly(account, state, secret, grant, pass.clone());
        Ok(Next::Flight(flight, living))
    }

    /// Joins the account's consent, or begins one and says so in the log.
    pub(super) async fn ask_consent(
        self: &Arc<Self>,
        account: &Account,
    ) -> Result<Arc<Consent>, Refusal> {
        // One question at a time: making one may take a request of its own.
        let _asking = account.asking.lock().await;
        let (settings, purpose, secret) = {
            let state = account.state();
            let known = self.consents.of(&account.name, &state.purpose);
            // A yes to the account is none to the new password that some mail program sent.
            let known = known.filter(|consent| consent.challenge.is_none());
            if let Some(consent) = known.as_ref().filter(|consent| !consent.is_lonely()) {
                return Ok(Arc::clone(consent));
            }
            // A secret that is not at hand would waste the person's consent.
            let secret = state.application_secret(None)?;
            if let Some(consent) = known {
                self.announce(&consent);
                return Ok(consent);
            }
            (Arc::clone(&state.settings), state.purpose.clone(), secret)
        };
        let world = self.world();
        let question = world.source.question(&settings, secret.as_ref());
        let question = question.await.map_err(refusal)?;
        let listen = !self.setup.external_auth && question.device.is_none();
        let consent = self
            .consents
            .begin(settings, purpose, question, listen, None)?;
        self.tend();
        self.announce(&consent);
        self.poll_device(&consent);
        Ok(consent)
    }

    /// Says in the log what somebody is asked for.
    pub(super) fn announce(&self, consent: &Consent) {
        let shown = consent.shown();
        let user = Said::new(&shown.account);
        if let Some(doubt) = &shown.doubt {
            tracing::info!(
                "account {user} waits for a yes to the sign-in of {}: emailproxy authorize {user}",
                doubt.signed_in
            );
            return;
        }
        let mode = match &shown.code {
            Some(_) => "device code",
            None if self.setup.external_auth => "external auth",
            None => "local server auth",
        };
        tracing::info!("Authorisation request received for {user} ({mode} mode)");
        tracing::info!(
            "Please visit the following URL to authenticate account {user}: {}",
            shown.url
        );
        if let Some(code) = &shown.code {
            tracing::info!(
                "Visit {} and use code {} (account {user}, {} left)",
                code.url,
                code.code,
                minutes(code.until)
            );
        }
    }

    /// Notes that a login went through, and does what is due at such a moment.
    fn welcome(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        admitted: Admitted,
    ) -> Admitted {
        let begins = {
            let mut state = account.state();
            state.last_login = Some(clock::unix());
            state.pace.used()
        };
        if begins {
            self.tend();
        }
        self.move_secret(account, password);
        admitted
    }
}

/// Waits for a token request, but only a moment where there is a token to go on with.
async fn landed_within(
    flight: watch::Receiver<Option<Landed>>,
    living: Option<AccessToken>,
) -> Landed {
    match living {
        None => landed(flight).await,
        Some(living) => match timeout(PATIENCE, landed(flight)).await {
            Ok(landed) => landed,
            Err(_) => Landed::Token(living),
        },
    }
}

/// Hands out a token.
pub(super) fn admitted(account: &Account, state: &State, token: AccessToken) -> Admitted {
    Admitted {
        settings: Arc::clone(&state.settings),
        user: account.name.clone(),
        signed_in: state.signed_in.clone(),
        token,
        was_refused: state.refused.is_some(),
    }
}
