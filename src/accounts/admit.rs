//! How a password is proven: against our store, against the predecessor's values, or as the account's first.
//!
//! A wrong password changes nothing, asks nobody and begins no consent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::access::Access;
use super::lock::{Look, Pass, Verdict};
use super::proof::Mark;
use super::source::refusal;
use super::store::Record;
use super::terms::Terms;
use super::token::{Account, State, as_text};
use super::vault::{self, DataKey, Derived, NoKey, Wrap};
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
    /// The wraps it opened.
    opened: Vec<String>,
    client_secret: Option<Secret<String>>,
}

impl Accounts {
    /// Proves a password; equal ones share one slow check, and one proven before is known at once.
    pub(super) async fn admit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        caller: &Caller,
    ) -> Result<Pass, Refusal> {
        let begun = Instant::now();
        let mark = self.prover.mark(&account.name, password);
        for _ in 0..8 {
            if let Some(refusal) = self.keep_stranger_out(account, password, caller).await {
                return Err(refusal);
            }
            let look = account.state().look(mark, caller);
            let check = match look {
                Look::Right(pass) => return Ok(pass),
                Look::Wrong => return self.wrong(account, password, mark, caller, begun).await,
                Look::Second => {
                    tracing::info!(
                        "another login to account {} waits with another password; that one counts until it ends",
                        Said::new(&account.name)
                    );
                    return Err(self.refuse(&account.name, "a second password").await);
                }
                Look::Elsewhere(name) => {
                    let what = format!(
                        "the password `{}` is not for {} from there",
                        Said::new(&name),
                        Said::new(&caller.service)
                    );
                    return Err(self.refuse(&account.name, &what).await);
                }
                Look::Check(check) => check,
            };
            let examine = || Box::pin(self.examine(account, password, mark, caller));
            let verdict = check.get_or_init(examine).await.clone();
            account.state().checked(&check);
            match verdict {
                // What it is good for is seen at the next look; the pass is held until then.
                Verdict::Pass(pass) => {
                    let look = account.state().look(mark, caller);
                    drop(pass);
                    if let Look::Right(pass) = look {
                        self.throttle.passed(&account.name);
                        return Ok(pass);
                    }
                }
                Verdict::Wrong => return self.wrong(account, password, mark, caller, begun).await,
                Verdict::Refused(refusal) => return Err(refusal),
                Verdict::Again => {}
            }
        }
        Err(Refusal::Busy(
            "the account kept changing while its password was checked",
        ))
    }

    /// Answers a wrong password: with a no, or by asking for consent to it where the owner wants that.
    async fn wrong(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
        caller: &Caller,
        begun: Instant,
    ) -> Result<Pass, Refusal> {
        let challenged = self.challenge(account, password, mark, caller).await?;
        match challenged {
            Some(pass) => Ok(pass),
            None => Err(self
                .refuse_since(&account.name, "wrong password", begun)
                .await),
        }
    }

    /// Counts a password that does not let its login in, and holds the answer back for longer each time.
    ///
    /// The client is told the same whatever was wrong with it; `what` is for the log.
    pub(super) async fn refuse(&self, name: &str, what: &str) -> Refusal {
        self.refuse_since(name, what, Instant::now()).await
    }

    /// Does the same for a password that came at `begun` and may have waited already.
    async fn refuse_since(&self, name: &str, what: &str, begun: Instant) -> Refusal {
        let wait = self.throttle.failed(name);
        tracing::info!(
            "{what} for account {}; its tokens are left as they are (answering after {} s)",
            self.shown(name),
            wait.as_secs()
        );
        sleep_until(begun + wait).await;
        Refusal::NotAdmitted(NotAdmitted::WrongPassword)
    }

    /// Refuses a login that no password lets in, as if that were wrong: neither the text nor the clock tells a stranger
    /// which accounts there are.
    pub(super) async fn turn_down(
        &self,
        name: &str,
        password: &Password,
        caller: &Caller,
        what: &str,
    ) -> Refusal {
        let begun = Instant::now();
        let mark = self.prover.mark(name, password);
        // A wrong password is checked once.
        if !self.throttle.knows(name, mark) {
            let turn = match self.throttle.turn(name, caller.address).await {
                Ok(turn) => turn,
                Err(busy) => return busy,
            };
            if let Err(refusal) = self.prover.pretend(password).await {
                return refusal;
            }
            self.throttle.remember(name, mark);
            drop(turn);
        }
        self.refuse_since(name, what, begun).await
    }

    /// Checks a password slowly, once for everybody who sent it.
    async fn examine(
        self: &Arc<Self>,
        account: &Arc<Account>,
        password: &Password,
        mark: Mark,
        caller: &Caller,
    ) -> Verdict {
        let turn = self.throttle.turn(&account.name, caller.address).await;
        let _turn = match turn {
            Ok(turn) => turn,
            Err(busy) => return Verdict::Refused(busy),
        };
        // Another process may have changed the passwords.
        let looked = self.look(account).await;
        let record = self.store.record(&account.name);
        if let (Err(why), None) = (looked, &record) {
            return Verdict::Refused(Refusal::TokenUnavailable(Said::new(why)));
        }
        let cached = {
            let state = account.state();
            let imported = record.as_ref().and_then(|r| r.predecessor.as_ref());
            predecessor::overlay(&state.settings.cached, imported)
        };
        let outcome = match record {
            Some(record) if record.wraps.iter().any(Wrap::is_by_password) => {
                self.examine_own(account, password, mark, record, cached)
                    .await
            }
            _ if predecessor::holds_anything(&cached) => {
                self.examine_predecessor(account, password, mark, cached)
                    .await
            }
            _ => self.examine_first(account, password, mark, caller).await,
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
            let Some((key, opened)) = vault::unwrap(&wraps, &name, &key_of)? else {
                return Ok(None);
            };
            let known = sealed_secret.and_then(|sealed| key.open(&name, "client_secret", &sealed));
            let known = known.is_some_and(|plain| {
                let pair = serde_json::from_slice::<(String, String)>(plain.reveal());
                pair.is_ok_and(|pair| pair.0.is_empty() || Some(pair.0) == source)
            });
            let client_secret = (needs_secret && !known)
                .then(|| predecessor::open_client_secret(&cached, &key_of))
                .flatten();
            Ok::<_, NoKey>(Some(Unlocked {
                key,
                opened,
                client_secret,
            }))
        });
        let Some(unlocked) = unlocked.await?? else {
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
            let opened_before = state.is_unlocked();
            state.unlock(mark, unlocked.key, record.wraps.clone(), unlocked.opened);
            if !opened_before {
                state.bring_in(&record);
            }
            let mut put = state.loose || self.owes_store_wrap(account, state);
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
        let (key, wrap) = lockable?;
        {
            let mut guard = account.state();
            let state = &mut *guard;
            if state.wraps().iter().any(Wrap::is_by_password) {
                return Ok(Verdict::Again);
            }
            let by = vec![wrap.id().to_owned()];
            state.unlock(mark, key, vec![wrap], by);
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
                state.serial += 1;
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
        caller: &Caller,
    ) -> Result<Verdict, Refusal> {
        if !self.may_be_first(caller) {
            return Ok(Verdict::Again);
        }
        let derived = self.derived(account, password).await?;
        let pass = account.state().claim(mark, derived);
        Ok(pass.map_or(Verdict::Again, Verdict::Pass))
    }

    /// Turns a password into a key that can join the account's others. Slow.
    pub(super) async fn derived(
        &self,
        account: &Account,
        password: &Password,
    ) -> Result<Derived, Refusal> {
        let wraps = match account.state().wraps() {
            [] => self.store.record(&account.name).unwrap_or_default().wraps,
            wraps => wraps.to_vec(),
        };
        let password = password.clone();
        let derived = self
            .prover
            .slowly(move |cost| Derived::of(&password, &wraps, cost));
        Ok(derived.await??)
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
        let (key, wrap) = lockable?;
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
            let by = vec![wrap.id().to_owned()];
            state.unlock(mark, key, vec![wrap], by);
            state.refresh = None;
            state.take_in(&tokens);
            self.shelve(account, state);
        }
        self.make_last(&account.name).await;
        Ok(Verdict::Pass(Pass::PROVEN))
    }
}

/// Makes a fresh data key with its first wrap. Slow.
fn lockable(name: &str, password: &Password, cost: vault::Cost) -> Result<(DataKey, Wrap), NoKey> {
    let key = DataKey::fresh()?;
    let derived = Derived::of(password, &[], cost)?;
    let wrap = key.wrap(name, &derived, Terms::unlimited())?;
    Ok((key, wrap))
}

/// Returns whether the application's secret has to be opened with the login password.
fn needs_client_secret(state: &State, cached: &Cached) -> bool {
    state.settings.client_secret.is_none() && cached.client_secret_encrypted.is_some()
}
