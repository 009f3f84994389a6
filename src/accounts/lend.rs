//! A token for the owner of the machine, who shows no password: of accounts that are open already, and of no others.
//!
//! Asks no person for consent. Who may ask is decided by the control socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::flight::landed;
use super::lock::Pass;
use super::login::admitted;
use super::token::{Account, Landed};
use super::{Accounts, Admitted};
use crate::config::{Config, GrantKind, Protocol};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::AccessToken;

/// How often a loan looks again before it gives up: each look is the answer to a change by somebody else.
const LOOKS: usize = 8;

/// What a loan has to do next.
enum Next {
    /// Nothing: here is the token.
    Ready(Admitted),
    /// Wait for a token request.
    Flight(watch::Receiver<Option<Landed>>),
}

impl Accounts {
    /// Lends a token that is good for a while: from memory, or by one request that all who want one share.
    ///
    /// The account must be open: by the store key, by a login since the start, or by a consent that is yet to be sealed.
    /// The refusal says how to open it.
    pub async fn lend(self: &Arc<Self>, user: &str) -> Result<Admitted, Refusal> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
            done = Box::pin(self.find_loan(user)) => done,
        }
    }

    /// Returns how long a token that was just handed out is still good, where that is known.
    pub fn time_left(&self, user: &str, token: &AccessToken) -> Option<Duration> {
        let account = self.known(user)?;
        let state = account.state();
        let held = state.access.as_ref()?;
        (held.token.reveal() == token.reveal()).then(|| held.left())
    }

    /// Returns the user name for a login at the server that mail programs reach by this protocol.
    pub fn identity(&self, admitted: &Admitted, protocol: Protocol) -> String {
        let world = self.world();
        let mut services = world.config.services.iter();
        let service = services.find(|service| service.protocol == protocol);
        let at = service.map(|service| Config::upstream(service, &admitted.settings));
        let host = at.map_or("", |at| at.host.as_str());
        admitted.identity(protocol, host).into_owned()
    }

    async fn find_loan(self: &Arc<Self>, user: &str) -> Result<Admitted, Refusal> {
        let account = self.account(user).map_err(Refusal::NotAdmitted)?;
        if let Err(why) = self.look(&account).await {
            // What is in memory is as good as it was.
            tracing::warn!(
                "{why}; lending what is known of account {}",
                Said::new(user)
            );
        }
        for _ in 0..LOOKS {
            match self.next_of_loan(&account)? {
                Next::Ready(admitted) => return Ok(admitted),
                Next::Flight(flight) => match landed(flight).await {
                    Landed::Token(token) => {
                        return Ok(admitted(&account, &account.state(), token));
                    }
                    Landed::Anew => {}
                    Landed::Refused(refusal) => return Err(refusal),
                },
            }
        }
        let why = Said::new("the account keeps changing while a token is asked for");
        Err(Refusal::TokenUnavailable(why))
    }

    /// Decides what a loan has to do next.
    fn next_of_loan(self: &Arc<Self>, account: &Arc<Account>) -> Result<Next, Refusal> {
        let user = Said::new(&account.name);
        let world = self.world();
        let mut guard = account.state();
        let state = &mut *guard;
        self.unlock_by_store(account, state);
        // What the store key will open needs no login before it.
        let opens = state.is_unlocked()
            || state.loose
            || (self.store_key.is_some() && self.is_new(&account.name, state));
        if !opens {
            return Err(Refusal::Misconfigured(format!(
                "account {user} is locked, because only its mail password opens its tokens: log in once with a mail program, give the password on standard input with --password-stdin, or set store_key in [emailproxy]"
            )));
        }
        if let Some(token) = state.fresh() {
            return Ok(Next::Ready(admitted(account, state, token)));
        }
        let allowed = world
            .config
            .options
            .use_login_password_as_client_credentials_secret;
        let needs_password = state.password_is_secret(allowed)
            || (state.refresh.is_none() && state.settings.grant == GrantKind::Password);
        if needs_password {
            if let Some(token) = state.alive() {
                return Ok(Next::Ready(admitted(account, state, token)));
            }
            return Err(Refusal::Misconfigured(format!(
                "a token of account {user} is had with its password alone; give it on standard input with --password-stdin"
            )));
        }
        let Some(grant) = state.way(None)? else {
            // Without a refresh token there is nothing to renew early with: the token is used to its end.
            if let Some(token) = state.alive() {
                return Ok(Next::Ready(admitted(account, state, token)));
            }
            return Err(Refusal::Misconfigured(self.who_must_sign_in(account)));
        };
        if let Some(said) = state.pace.closed() {
            let refusal = Refusal::TokenUnavailable(said.clone());
            let token = state.alive().ok_or(refusal)?;
            return Ok(Next::Ready(admitted(account, state, token)));
        }
        let secret = state.application_secret(None)?;
        Ok(Next::Flight(self.fly(
            account,
            state,
            secret,
            grant,
            Pass::PROVEN,
        )))
    }

    /// Says that a person has to sign in, and where.
    fn who_must_sign_in(&self, account: &Account) -> String {
        let user = Said::new(&account.name);
        let pending = self.pending();
        let all = pending.borrow();
        match all.iter().find(|one| one.account == account.name) {
            Some(asked) => format!(
                "account {user} waits for somebody to sign in at {}",
                asked.url
            ),
            None => format!(
                "nobody has signed in for account {user} yet; run `emailproxy authorize {user}`"
            ),
        }
    }
}
