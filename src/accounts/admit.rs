//! How a password is proven: against our store, against the predecessor's values, or as the account's first.
//!
//! A wrong password changes nothing, asks nobody and begins no consent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::access::Access;
use super::lock::{Lock, Look, Pass, Verdict};
use super::proof::Mark;
use super::source::refusal;
use super::store::Record;
use super::token::{Account, State, as_text};
use super::vault::{self, DataKey, Wrap};
use super::{Accounts, Caller, predecessor};
use crate::config::{Cached, GrantKind};
use crate::oauth::{Error, Grant};
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;
use crate::secret::{AccessToken, Password, Secret};

/// The least time between two new passwords that an account's provider is asked about.
const CHALLENGE: Duration = Duration::from_secs(30);

/// What a password opened of our own store.
struct Unlocked {
    key: DataKey,
    client_secret: Option<Secret<String>>,
}

/// A fresh data key and its first wrap.
type Lockable = Result<(DataKey, Wrap), &'static str>;

impl Accounts {
    /// Proves a password; equal ones share one slow check, and one proven before is known at once.
    pub(super) async fn admit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        _caller: &Caller,
    ) -> Result<Pass, Refusal> {
        let mark = self.prover.mark(&account.name, password);
        for _ in 0..8 {
            let look = account.state().look(mark)?;
            let check = match look {
                Look::Right(pass) => return Ok(pass),
                Look::Wrong => return Err(self.wrong(&account.name).await),
                Look::Second => {
                    tracing::info!(
                        "another login to account {} waits with another password; that one counts until it ends",
                        Said::new(&account.name)
                    );
                    return Err(self.wrong(&account.name).await);
                }
                Look::Check(check) => check,
            };
            let examine = || Box::pin(self.examine(account, password, mark));
            let verdict = check.get_or_init(examine).await.clone();
            account.state().checked(&check);
            match verdict {
                Verdict::Pass(pass) => {
                    self.throttle.passed(&account.name);
                    return Ok(pass);
                }
                Verdict::Wrong => return Err(self.wrong(&account.name).await),
                Verdict::Refused(refusal) => return Err(refusal),
                Verdict::Again => {}
            }
        }
        Err(Refusal::Busy)
    }

    /// Counts a wrong password and holds the answer back for longer each time.
    async fn wrong(&self, name: &str) -> Refusal {
        let wait = self.throttle.failed(name);
        tracing::info!(
            "wrong password for account {}; its tokens are left as they are (answering after {} s)",
            Said::new(name),
            wait.as_secs()
        );
        if self
            .world()
            .config
            .options
            .delete_account_token_on_password_error
        {
            self.say_nothing_is_deleted.call_once(|| {
                tracing::info!(
                    "delete_account_token_on_password_error has no effect here: a wrong password never deletes a token"
                );
            });
        }
        tokio::time::sleep(wait).await;
        Refusal::NotAdmitted(NotAdmitted::WrongPassword)
    }

    /// Checks a password slowly, once for everybody who sent it.
    async fn examine(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
    ) -> Verdict {
        let record = self.store.record(&account.name);
        let cached = {
            let state = account.state();
            let imported = record.as_ref().and_then(|r| r.predecessor.as_ref());
            predecessor::overlay(&state.settings.cached, imported)
        };
        let outcome = match record {
            Some(record) if !record.wraps.is_empty() => {
                self.examine_own(account, password, mark, record, cached)
                    .await
            }
            _ if predecessor::holds_anything(&cached) => {
                self.examine_predecessor(account, password, mark, cached)
                    .await
            }
            _ => self.examine_first(account, password, mark).await,
        };
        outcome.unwrap_or_else(Verdict::Refused)
    }

    /// Checks a password against our own store: it must open the data key.
    async fn examine_own(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
        record: Record,
        cached: Cached,
    ) -> Result<Verdict, Refusal> {
        let (name, key_of, wraps) = (account.name.clone(), password.clone(), record.wraps.clone());
        let needs_secret = needs_client_secret(&account.state(), &cached);
        let sealed_secret = record.sealed.get("client_secret").cloned();
        let source = cached.client_secret_encrypted.clone();
        let unlocked = self.prover.slowly(move |_| {
            let key = vault::unwrap(&wraps, &name, &key_of)?;
            let known = sealed_secret.and_then(|sealed| key.open(&name, "client_secret", &sealed));
            let known = known.is_some_and(|plain| {
                let pair = serde_json::from_slice::<(String, String)>(plain.reveal());
                pair.is_ok_and(|pair| pair.0.is_empty() || Some(pair.0) == source)
            });
            let client_secret = (needs_secret && !known)
                .then(|| predecessor::open_client_secret(&cached, &key_of))
                .flatten();
            Some(Unlocked { key, client_secret })
        });
        let Some(unlocked) = unlocked.await? else {
            let allowed = self
                .world()
                .config
                .options
                .use_login_password_as_client_credentials_secret;
            let credential = {
                let state = account.state();
                state.password_is_secret(allowed) || state.settings.grant == GrantKind::Password
            };
            if credential {
                return self.examine_at_provider(account, password, mark).await;
            }
            account.state().refute(mark);
            return Ok(Verdict::Wrong);
        };
        let put = {
            let mut guard = account.state();
            let state = &mut *guard;
            // While the check ran, the account may have got another key.
            let Some(record) = self.store.record(&account.name).filter(|now| {
                now.wraps.len() == record.wraps.len()
                    && now.wraps.iter().zip(&record.wraps).all(|(a, b)| a.is(b))
            }) else {
                return Ok(Verdict::Again);
            };
            // Another password of the account may have come first; the tokens at hand are newer then.
            let opened_before = matches!(state.lock, Lock::Open { .. });
            state.unlock(mark, unlocked.key, record.wraps.clone());
            if !opened_before {
                open_tokens(account, state, &record);
            }
            let mut put = state.loose;
            if let (Some(secret), Some(source)) = (
                unlocked.client_secret,
                &state.settings.cached.client_secret_encrypted,
            ) {
                state.client_secret = Some((source.clone(), secret));
                put = true;
            }
            if put {
                self.shelve(account, state);
            }
            put
        };
        if put {
            self.make_last(&account.name).await;
        }
        Ok(Verdict::Pass(Pass::PROVEN))
    }

    /// Checks a password against the predecessor's values; what it opens moves into our own store.
    async fn examine_predecessor(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
        cached: Cached,
    ) -> Result<Verdict, Refusal> {
        let (name, key_of, values) = (account.name.clone(), password.clone(), cached.clone());
        let opened = self.prover.slowly(move |cost| {
            let opened = predecessor::open(&values, &key_of)?;
            Some((opened, lockable(&name, &key_of, cost)))
        });
        let Some((opened, lockable)) = opened.await? else {
            account.state().refute(mark);
            return Ok(Verdict::Wrong);
        };
        let (key, wrap) = lockable.map_err(|why| Refusal::Misconfigured(why.into()))?;
        {
            let mut guard = account.state();
            let state = &mut *guard;
            if matches!(state.lock, Lock::Open { .. }) {
                return Ok(Verdict::Again);
            }
            state.unlock(mark, key, vec![wrap]);
            if let Some(secret) = opened.client_secret {
                // Where the configuration does not have it, the store has to keep it for good.
                let source = cached.client_secret_encrypted.unwrap_or_default();
                let configured = &state.settings.cached.client_secret_encrypted;
                let source = if configured.as_ref() == Some(&source) {
                    source
                } else {
                    String::new()
                };
                state.client_secret = Some((source, secret));
            }
            if !state.loose {
                state.refresh = opened.refresh;
                let token = opened
                    .access
                    .and_then(|t| AccessToken::parse(t.reveal()).ok());
                let until = cached.access_token_expiry.unwrap_or_default();
                state.access = token.and_then(|token| Access::taken_over(token, until));
            }
            self.shelve(account, state);
        }
        tracing::info!(
            "took over the cached tokens of account {}; they now rest in the store",
            Said::new(&account.name)
        );
        self.make_last(&account.name).await;
        Ok(Verdict::Pass(Pass::PROVEN))
    }

    /// Takes a first password: it becomes the account's own once a token was obtained.
    async fn examine_first(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
    ) -> Result<Verdict, Refusal> {
        let (name, key_of) = (account.name.clone(), password.clone());
        let lockable = self
            .prover
            .slowly(move |cost| lockable(&name, &key_of, cost))
            .await?;
        let (key, wrap) = lockable.map_err(|why| Refusal::Misconfigured(why.into()))?;
        let pass = account.state().claim(mark, key, wrap);
        Ok(pass.map_or(Verdict::Again, Verdict::Pass))
    }

    /// Where the login password is the credential itself (the user's own at the provider, or the application's secret),
    /// a new one proves itself at the token endpoint: people and administrators replace them.
    ///
    /// Asks at most every 30 s, because providers lock accounts after many guesses.
    async fn examine_at_provider(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
    ) -> Result<Verdict, Refusal> {
        let text = as_text(password)?;
        let (settings, purpose, grant, secret) = {
            let mut state = account.state();
            if state.challenged.is_some_and(|at| at.elapsed() < CHALLENGE) {
                return Ok(Verdict::Wrong);
            }
            state.challenged = Some(Instant::now());
            let (grant, secret) = if state.settings.grant == GrantKind::Password {
                (Grant::Password(text), state.application_secret(None)?)
            } else {
                (Grant::ClientCredentials, Some(text))
            };
            (
                Arc::clone(&state.settings),
                state.purpose.clone(),
                grant,
                secret,
            )
        };
        let (name, key_of) = (account.name.clone(), password.clone());
        let lockable = self
            .prover
            .slowly(move |cost| lockable(&name, &key_of, cost))
            .await?;
        let (key, wrap) = lockable.map_err(|why| Refusal::Misconfigured(why.into()))?;
        let world = self.world();
        let asking = world.source.ask(&settings, secret.as_ref(), &grant);
        let tokens = match asking.await {
            Ok(tokens) => tokens,
            Err(Error::GrantDead(said)) => {
                tracing::info!("the provider does not take the new password either: {said}");
                account.state().refute(mark);
                return Ok(Verdict::Wrong);
            }
            Err(Error::Denied(said)) if matches!(grant, Grant::ClientCredentials) => {
                tracing::info!("the provider does not take the password as secret: {said}");
                account.state().refute(mark);
                return Ok(Verdict::Wrong);
            }
            Err(other) => return Err(refusal(other)),
        };
        {
            let mut guard = account.state();
            let state = &mut *guard;
            if state.purpose != purpose {
                return Ok(Verdict::Again);
            }
            // The old password is no longer good at the provider: it opens nothing any more.
            state.forget_proofs();
            state.unlock(mark, key, vec![wrap]);
            state.refresh = None;
            state.take_in(&tokens);
            self.shelve(account, state);
        }
        self.make_last(&account.name).await;
        Ok(Verdict::Pass(Pass::PROVEN))
    }
}

/// Brings a record's tokens into use. Those of a consent given meanwhile are newer and stay.
fn open_tokens(account: &Account, state: &mut State, record: &Record) {
    let newer = state
        .loose
        .then(|| (state.access.take(), state.refresh.take()));
    if state.open_record(&account.name, record) {
        tracing::warn!(
            "the stored tokens of account {} are for another provider, application or scope than configured now; they are not used",
            Said::new(&account.name)
        );
    }
    if let Some((access, refresh)) = newer {
        state.access = access.or(state.access.take());
        state.refresh = refresh.or(state.refresh.take());
    }
}

/// Makes a fresh data key with its first wrap. Slow.
fn lockable(name: &str, password: &Password, cost: vault::Cost) -> Lockable {
    let key = DataKey::fresh()?;
    let wrap = key.wrap(name, password, cost)?;
    Ok((key, wrap))
}

/// Returns whether the application's secret has to be opened with the login password.
fn needs_client_secret(state: &State, cached: &Cached) -> bool {
    state.settings.client_secret.is_none() && cached.client_secret_encrypted.is_some()
}
