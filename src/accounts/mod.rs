//! Who may log in and which token they get: one owner of each token, one request in flight per account.
//!
//! Knows no wires and no protocols. Everything a login needs is one call, [`Accounts::token`].

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use crate::config::{AccountError, Config, GrantKind};
use crate::meter::Meters;
use crate::oauth::Endpoint;
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;
use crate::secret::Password;

use consent::Consents;
use first::may_come;
pub use identity::Admitted;
pub use invitation::{Answer, Doubt, Outcome, Pending, UserCode};
pub use passwords::{LocalPassword, NewPassword, Passwords};
use proof::Prover;
pub use snapshot::{AccountState, Standing};
use source::Source;
use store::Store;
pub use store::{Place, Reach};
use throttle::Throttle;
use token::Account;
use vault::Cost;

mod access;
mod admit;
mod adopt;
mod ahead;
mod answer;
mod challenge;
mod clock;
mod confirm;
mod consent;
mod device;
mod entrust;
mod first;
mod flight;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod idle;
mod invitation;
mod keys;
mod lend;
mod lock;
mod login;
mod pace;
mod passwords;
mod predecessor;
mod proof;
mod purpose;
mod reload;
mod renew;
mod secrets;
mod snapshot;
mod source;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod trouble;
mod turn;
mod unattended;
mod vault;

/// How many accounts are remembered before idle ones are forgotten (catch-alls let strangers name any).
const MANY: usize = 10_000;

/// All accounts of a proxy.
pub struct Accounts {
    world: Mutex<Arc<World>>,
    by_name: Mutex<HashMap<String, Arc<Account>>>,
    consents: Consents,
    store: Arc<Store>,
    /// What opens every account without a password, where there is one.
    store_key: Option<keys::StoreKey>,
    /// The sections whose plain client secret was seen to.
    moved: Mutex<BTreeSet<String>>,
    prover: Prover,
    throttle: Throttle,
    setup: Setup,
    closing: watch::Sender<bool>,
    /// How many pieces of work are under way that must not be cut off.
    underway: watch::Sender<usize>,
    wake: Arc<Notify>,
    tended: AtomicBool,
    /// Bounds the requests that nobody waits for.
    background: Arc<Semaphore>,
    idle: Mutex<idle::Idle>,
    meters: Meters,
}

/// What a reload replaces.
struct World {
    config: Arc<Config>,
    source: Arc<dyn Source>,
}

/// How `Accounts` is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where tokens rest.
    pub store: Place,
    /// How that is reached, where it is a service.
    pub reach: Reach,
    /// Whether the final address of a consent is pasted by a person (`--external-auth`) rather than heard by us.
    pub external_auth: bool,
}

/// From where somebody logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The service's section, such as `IMAP-2993`; empty for the owner at the command line.
    pub service: String,
    /// The client's address; none for the owner at the command line.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The owner at the command line.
    pub const OWNER: Self = Self {
        service: String::new(),
        address: None,
    };
}

impl Accounts {
    /// Opens the store and takes over what is in it. The error is for a person.
    pub fn open(
        config: Arc<Config>,
        endpoint: Endpoint,
        setup: Setup,
    ) -> Result<Arc<Self>, String> {
        Self::open_with(config, Arc::new(endpoint), setup, Cost::NORMAL)
    }

    /// Opens with any source of tokens, and with passwords that cost `cost`.
    fn open_with(
        config: Arc<Config>,
        source: Arc<dyn Source>,
        setup: Setup,
        cost: Cost,
    ) -> Result<Arc<Self>, String> {
        let store = Store::open(&setup.store, &setup.reach)?;
        Self::open_on(store, config, source, setup, cost)
    }

    /// Opens on an open store.
    fn open_on(
        store: Store,
        config: Arc<Config>,
        source: Arc<dyn Source>,
        setup: Setup,
        cost: Cost,
    ) -> Result<Arc<Self>, String> {
        let store_key = unattended::fetch(&config, &setup, &store)?;
        let accounts = Arc::new(Self {
            store: Arc::new(store),
            store_key,
            moved: Mutex::default(),
            prover: Prover::new(cost)?,
            world: Mutex::new(Arc::new(World { config, source })),
            by_name: Mutex::default(),
            consents: Consents::new(),
            throttle: Throttle::default(),
            setup,
            closing: watch::channel(false).0,
            underway: watch::channel(0).0,
            wake: Arc::default(),
            tended: AtomicBool::new(false),
            background: Arc::new(Semaphore::new(ahead::AT_ONCE)),
            idle: Mutex::default(),
            meters: Meters::default(),
        });
        accounts.open_unattended();
        accounts.tend();
        Ok(accounts)
    }

    /// Admits a login: looks the account up, proves the password, finds or fetches a token, waits for consent where
    /// one is needed.
    ///
    /// May be dropped at any moment; a token request or consent that it began goes on.
    pub async fn token(
        self: &Arc<Self>,
        user: &str,
        password: &Password,
        caller: &Caller,
    ) -> Result<Admitted, Refusal> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
            done = Box::pin(self.serve(user, password, caller)) => done,
        }
    }

    /// Does the work of [`Self::token`].
    async fn serve(
        self: &Arc<Self>,
        user: &str,
        password: &Password,
        caller: &Caller,
    ) -> Result<Admitted, Refusal> {
        if password.reveal().is_empty() {
            return Err(Refusal::NoPassword);
        }
        match self.account(user) {
            Ok(account) if !may_come(&account.state().settings.allow_from, caller) => {
                let what = "a login from outside allow_from";
                Err(self.turn_down(user, password, caller, what).await)
            }
            Ok(account) => self.log_in(&account, password, caller).await,
            Err(why) => {
                let turned_down = self.turn_down(user, password, caller, "no account");
                Err(match turned_down.await {
                    // Only the log tells them apart.
                    Refusal::NotAdmitted(_) => Refusal::NotAdmitted(why),
                    other => other,
                })
            }
        }
    }

    /// Takes over a new configuration; consents in progress and tokens of unchanged accounts stay.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the proxy hands its configuration over"
    )]
    pub fn reload(&self, config: Arc<Config>, endpoint: Endpoint) {
        self.reload_with(&config, Arc::new(endpoint));
    }

    /// Shows the consents somebody is asked for, now and whenever that changes.
    pub fn pending(&self) -> watch::Receiver<Vec<Pending>> {
        self.consents.shown()
    }

    /// Begins a consent for `account` on a person's wish and returns it; joins one that is pending already.
    pub async fn begin(self: &Arc<Self>, account: &str) -> Result<Pending, Refusal> {
        let account = self.account(account).map_err(Refusal::NotAdmitted)?;
        let grant = account.state().settings.grant;
        if !matches!(grant, GrantKind::AuthorizationCode | GrantKind::Device) {
            return Err(Refusal::Misconfigured(format!(
                "account {} uses the {} grant, which needs nobody's consent",
                Said::new(&account.name),
                grant.as_str()
            )));
        }
        Ok(self.ask_consent(&account).await?.shown())
    }

    /// Says whether the sign-in of somebody else is meant; see [`Outcome::Differs`]. After a no the account is asked for
    /// anew.
    pub async fn confirm(self: &Arc<Self>, confirm: &str, yes: bool) -> Outcome {
        Box::pin(self.take_confirmation(confirm, yes)).await
    }

    /// Takes what a browser brought back, redeems the code and wakes the logins that wait.
    pub async fn finish(self: &Arc<Self>, answer: Answer) -> Outcome {
        Box::pin(self.take_answer(answer)).await
    }

    /// Takes the final address that a person pasted. The error says what to paste instead.
    pub async fn finish_pasted(self: &Arc<Self>, url: &str) -> Result<Outcome, String> {
        Box::pin(self.take_pasted(url)).await
    }

    /// Sends waiting logins home and writes what is not yet written.
    ///
    /// Token requests under way may bring a new refresh token, so they are waited for, at most `within`.
    pub async fn close(self: &Arc<Self>, within: Duration) {
        self.closing.send_replace(true);
        self.wake.notify_one();
        let rest = async {
            let mut underway = self.underway.subscribe();
            underway.wait_for(|count| *count == 0).await.ok();
            self.write_down().await
        };
        match tokio::time::timeout(within, rest).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::error!("{why}; the newest tokens are lost"),
            Err(_) => tracing::warn!(
                "token requests still under way after {} s are cut off",
                within.as_secs()
            ),
        }
    }

    /// Returns what is counted.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Returns whether the proxy is going down.
    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns the configuration and the source of tokens at this moment.
    fn world(&self) -> Arc<World> {
        Arc::clone(&locked(&self.world))
    }

    /// Returns an account that was used before.
    fn known(&self, name: &str) -> Option<Arc<Account>> {
        locked(&self.by_name).get(name).map(Arc::clone)
    }

    /// Returns all accounts that were used.
    fn everybody(&self) -> Vec<Arc<Account>> {
        locked(&self.by_name).values().map(Arc::clone).collect()
    }

    /// Finds or makes the account of a user name.
    fn account(&self, user: &str) -> Result<Arc<Account>, NotAdmitted> {
        // Looked up under the lock, so that a reload either is seen here or sees what is made here.
        let mut accounts = locked(&self.by_name);
        if let Some(account) = accounts.get(user) {
            return Ok(Arc::clone(account));
        }
        let shown = self.shown(user);
        if user.chars().any(char::is_control) {
            tracing::info!("no account for the user name {shown}: it holds control characters");
            return Err(NotAdmitted::UnknownAccount);
        }
        let mut settings = self.world().config.account(user).map_err(|error| {
            tracing::info!("no account for the user name {shown}: {error}");
            match error {
                AccountError::Unknown => NotAdmitted::UnknownAccount,
                AccountError::Incomplete(why) => NotAdmitted::Incomplete(why),
            }
        })?;
        if accounts.len() >= MANY {
            accounts.retain(|_, account| {
                Arc::strong_count(account) > 1 || account.state().is_worth_keeping()
            });
        }
        let made = accounts.entry(user.to_owned()).or_insert_with(|| {
            tracing::info!(
                "account {shown} uses the {} grant: {}",
                settings.grant.as_str(),
                settings.grant_reason
            );
            let least_margin = pace::least_margin(&self.world().config, &settings);
            let stored = self.open_stored_secret(&mut settings);
            let account = Account::new(user, settings);
            {
                let mut state = account.state();
                state.least_margin = least_margin;
                state.moved_secret = stored;
                self.unlock_by_store(&account, &mut state);
            }
            Arc::new(account)
        });
        Ok(Arc::clone(made))
    }

    /// Returns how the log calls whoever wants to log in: by name if that is an account's or looks like one. What somebody
    /// typed in a name's place may be a password.
    pub fn shown(&self, user: &str) -> Said {
        if self.world().config.may_be_account(user) || self.store.record(user).is_some() {
            return Said::new(user);
        }
        Said::new(format!(
            "(not shown: {} bytes that are no account's name)",
            user.len()
        ))
    }

    /// Does a piece of work that goes on even if whoever asked for it leaves; [`Self::close`] waits for it.
    fn underway(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let busy = self.busy();
        tokio::spawn(async move {
            work.await;
            drop(busy);
        });
    }

    /// Has [`Self::close`] wait until this is dropped.
    fn busy(self: &Arc<Self>) -> Busy {
        self.underway.send_modify(|count| *count += 1);
        Busy(Arc::clone(self))
    }
}

/// A piece of work that must not be cut off; counted down however it ends.
struct Busy(Arc<Accounts>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.underway.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

/// Locks; a panic of another holder leaves plain data behind that is still good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
