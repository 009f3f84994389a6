//! Tokens that a consent brought: stored where whoever signed in is expected, held for a yes where not.
//!
//! Knows neither pages nor terminals; what was not confirmed is dropped, not revoked at the provider.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::answer::gone;
use super::consent::{Consent, End, Held};
use super::identity::is_expected;
use super::{Accounts, Doubt, Outcome};
use crate::oauth::Tokens;
use crate::providers::catalogue::{Diagnosis, own};
use crate::refusal::Refusal;
use crate::said::Said;

/// How long a yes is waited for.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What became of tokens that a consent brought.
#[derive(Debug)]
pub(super) enum Received {
    /// They are in use, and rest in the store as far as a password is there to seal them.
    Stored,
    /// They wait for a yes.
    Held(Doubt),
}

impl Accounts {
    /// Takes the tokens of a consent, or holds them back where somebody else signed in than is expected.
    pub(super) async fn receive(
        self: &Arc<Self>,
        consent: &Arc<Consent>,
        tokens: Tokens,
    ) -> Result<Received, Refusal> {
        let account = self.account(consent.account()).map_err(|_| gone())?;
        let stranger = {
            let state = account.state();
            if state.purpose.provider != consent.purpose.provider {
                return Err(gone());
            }
            let signed_in = tokens.signed_in.as_ref();
            let before = state.signed_in.as_ref();
            signed_in
                .filter(|who| !is_expected(&state.settings, before, who))
                .cloned()
        };
        let Some(stranger) = stranger else {
            self.take_over(consent, &tokens).await?;
            return Ok(Received::Stored);
        };
        let mut names = std::iter::once(&stranger.name).chain(&stranger.names);
        let name = names.find(|name| !name.is_empty());
        let doubt = Doubt {
            signed_in: Said::new(name.map(String::as_str).unwrap_or_default()),
            confirm: one_time_value()?,
            until: Instant::now() + PATIENCE,
        };
        let user = Said::new(&account.name);
        tracing::warn!(
            "{who} signed in for account {user}, which is another name: nothing is stored until that is confirmed, on the page \
             or by `emailproxy authorize {user}`, within {} minutes; put `sign_in_as = {who}` into the account's section if \
             that is always meant",
            PATIENCE.as_secs() / 60,
            who = doubt.signed_in,
        );
        let words = format!(
            "{who} signed in for this account and nobody has confirmed that it is meant; nothing was stored (if it is: \
             sign_in_as = {who})",
            who = doubt.signed_in
        );
        let known = consent.settings.known();
        account.state().last_error = Some(Diagnosis::of(words, &own::SOMEBODY_ELSE, &known));
        let held = Held {
            doubt: doubt.clone(),
            tokens,
            since: Instant::now(),
        };
        if self.consents.hold(consent, held) {
            Ok(Received::Held(doubt))
        } else {
            Err(gone())
        }
    }

    /// Brings the tokens of a consent into use and to rest.
    async fn take_over(
        self: &Arc<Self>,
        consent: &Consent,
        tokens: &Tokens,
    ) -> Result<(), Refusal> {
        let name = consent.account();
        let user = Said::new(name);
        let account = self.account(name).map_err(|_| gone())?;
        // So that no other process renews the old tokens over these.
        let lease = self.turn_to_write(&account).await;
        {
            let mut guard = account.state();
            let state = &mut *guard;
            if state.purpose.provider != consent.purpose.provider {
                return Err(gone());
            }
            match &consent.challenge {
                None => {
                    state.take_in(tokens);
                    state.settle_claim();
                }
                Some(challenge) => {
                    if !state.settle_challenge(challenge.mark) {
                        return Err(gone());
                    }
                    state.take_in(tokens);
                    tracing::info!(
                        "account {user} has a new password: the one that {} sent",
                        challenge.from
                    );
                }
            }
            self.shelve(&account, state);
            if state.is_unlocked() {
                tracing::info!("account {user} is authorised");
            } else {
                tracing::info!(
                    "account {user} is authorised; its tokens are kept in memory until the next login seals them"
                );
            }
        }
        self.make_last(name).await;
        if let Some(lease) = lease {
            self.turn_ends(lease).await;
        }
        Ok(())
    }

    /// Takes a yes or a no to who signed in.
    pub(super) async fn take_confirmation(self: &Arc<Self>, confirm: &str, yes: bool) -> Outcome {
        let Some((consent, held)) = self.consents.release(confirm) else {
            return Outcome::Unknown;
        };
        let account = consent.account().to_owned();
        let (user, who) = (Said::new(&account), held.doubt.signed_in);
        if !yes {
            tracing::info!(
                "{who} was not meant to sign in for account {user}; those tokens are dropped"
            );
            drop(held.tokens);
            self.consents.finish(&consent, End::Lapsed);
            return match self.begin(&account).await {
                Ok(pending) => Outcome::Again(Box::new(pending)),
                Err(refusal) => Outcome::Failed {
                    account,
                    why: Said::new(refusal.to_string()),
                },
            };
        }
        tracing::info!("it is confirmed that {who} signs in for account {user}");
        let mut tokens = held.tokens;
        tokens.lifetime = tokens.lifetime.saturating_sub(held.since.elapsed());
        let (this, asked) = (Arc::clone(self), Arc::clone(&consent));
        self.to_the_end(consent, async move {
            this.take_over(&asked, &tokens).await?;
            Ok(Received::Stored)
        })
        .await
    }
}

/// Makes a value that nobody can guess.
fn one_time_value() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Refusal::Misconfigured("the system gives no random numbers".into()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
