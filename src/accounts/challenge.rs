//! A mail program with a new password: where the owner wants it, a person is asked to sign in to accept it.
//!
//! The habit behind `delete_account_token_on_password_error`, without its danger: nothing that is stored changes before
//! the person's yes, which is a yes to this one password.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::consent::End;
use super::lock::Pass;
use super::proof::Mark;
use super::source::refusal;
use super::token::Account;
use super::vault::Wrap;
use super::{Accounts, Caller};
use crate::config::GrantKind;
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Password;

/// The least time between two new passwords that somebody is asked about.
const REST: Duration = Duration::from_secs(30);

/// What a consent accepts besides the application: a new password.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    /// The password's mark.
    pub(super) mark: Mark,
    /// Where it came from, in words.
    pub(super) from: Said,
}

impl Accounts {
    /// Lets a wrong password wait for consent, where that may be: the owner's file says so, the mail program is near,
    /// and the account's tokens come by a person's consent. At most one of an account is asked for at a time, and at most
    /// one every 30 s.
    pub(super) async fn challenge(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
        caller: &Caller,
    ) -> Result<Option<Pass>, Refusal> {
        let world = self.world();
        let wanted = world.config.options.delete_account_token_on_password_error;
        if !wanted || !self.is_near(caller) {
            return Ok(None);
        }
        let user = Said::new(&account.name);
        // One question at a time; whoever joins looks for it only after it is there.
        let _asking = account.asking.lock().await;
        let (settings, purpose, secret) = {
            let mut state = account.state();
            let by_consent = matches!(
                state.settings.grant,
                GrantKind::AuthorizationCode | GrantKind::Device
            );
            let asked = self.consents.of(&account.name, &state.purpose);
            let taken = asked.is_some_and(|asked| asked.challenge.is_none() || !asked.is_lonely());
            let lately = state.challenged.is_some_and(|at| at.elapsed() < REST);
            if !by_consent || taken || lately {
                return Ok(None);
            }
            let Ok(secret) = state.application_secret(None) else {
                return Ok(None);
            };
            let named = |wrap: &Wrap| wrap.is_by_password() && wrap.terms().name.is_some();
            let record = self.store.record(&account.name).unwrap_or_default();
            if !state.is_unlocked() && record.wraps.iter().any(named) {
                tracing::info!(
                    "a new password for account {user} is not asked about: it has named passwords, and they would be lost while it is locked; log in with one of them first, or use `emailproxy password {user}`"
                );
                return Ok(None);
            }
            state.challenged = Some(Instant::now());
            (Arc::clone(&state.settings), state.purpose.clone(), secret)
        };
        let derived = self.derived(account, password).await?;
        let question = world.source.question(&settings, secret.as_ref());
        let question = question.await.map_err(refusal)?;
        let Some(pass) = account.state().challenge(mark, derived) else {
            return Ok(None);
        };
        let listen = !self.setup.external_auth && question.device.is_none();
        let address = caller
            .address
            .map_or_else(|| "?".to_owned(), |at| at.to_string());
        let from = Said::new(format!(
            "the mail program at {address} on {}",
            caller.service
        ));
        let challenge = Some(Challenge {
            mark,
            from: from.clone(),
        });
        let begun = self
            .consents
            .begin(settings, purpose, question, listen, challenge);
        let consent = begun.inspect_err(|_| {
            account.state().forget_challenge(mark);
        })?;
        self.throttle.failed(&account.name);
        tracing::warn!(
            "{from} sent a new password for {user}: sign in to accept it, ignore this if it was not you; until then nothing changes"
        );
        self.tend();
        self.announce(&consent);
        self.poll_device(&consent);
        Ok(Some(pass))
    }

    /// Waits with a new password until somebody has signed in to accept it. The caller then looks at the account anew.
    pub(super) async fn await_challenge(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        deadline: Instant,
        patience: Duration,
    ) -> Result<(), Refusal> {
        let mark = self.prover.mark(&account.name, password);
        let consent = {
            let _asking = account.asking.lock().await;
            let state = account.state();
            let asked = self.consents.of(&account.name, &state.purpose);
            asked.filter(|asked| {
                let challenge = asked.challenge.as_ref();
                challenge.is_some_and(|challenge| challenge.mark.same(&mark))
            })
        };
        let Some(consent) = consent else {
            if account.state().forget_challenge(mark) {
                return Err(self.refuse(&account.name, "wrong password").await);
            }
            return Ok(());
        };
        let mut ended = consent.join();
        drop(consent);
        let end = match timeout_at(deadline, ended.wait_for(Option::is_some)).await {
            Err(_) => {
                return Err(Refusal::ConsentTimedOut {
                    waited: patience.as_secs(),
                });
            }
            Ok(Ok(end)) => end.clone(),
            Ok(Err(_)) => None,
        };
        match end {
            Some(End::Given) => Ok(()),
            Some(End::Refused(refusal)) => {
                account.state().forget_challenge(mark);
                Err(refusal)
            }
            // Somebody wanted to sign in for the account itself, or the time is over.
            Some(End::Lapsed) | None => {
                account.state().forget_challenge(mark);
                Err(self.refuse(&account.name, "wrong password").await)
            }
        }
    }
}
