//! Who may log in and which token they get: one owner of each token, one request in flight per account.
//!
//! Knows no wires and no protocols. Everything a login needs is one call, [`Accounts::token`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{AccountSettings, Config};
use crate::oauth::Endpoint;
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::{AccessToken, Password, Secret};

/// All accounts of a proxy.
#[derive(Debug)]
pub struct Accounts {}

/// What an admitted login gets.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The account's settings at this moment.
    pub settings: Arc<AccountSettings>,
    /// The user name for the upstream's SASL login.
    pub identity: String,
    /// The token.
    pub token: AccessToken,
}

/// How `Accounts` is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The store file.
    pub store: PathBuf,
    /// Whether the final address of a consent is pasted by a person (`--external-auth`) rather than heard by us.
    pub external_auth: bool,
}

/// A consent that somebody is asked for at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The account it is for.
    pub account: String,
    /// The address to visit.
    pub url: String,
    /// The redirect address registered at the provider.
    pub redirect_uri: Option<String>,
    /// Where the browser's return is heard, if not at `redirect_uri`.
    pub redirect_listen_address: Option<String>,
    /// Whether we listen for the return ourselves.
    pub listen: bool,
}

/// What a browser brought back from the provider.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The one-time value; decides which consent is meant.
    pub state: String,
    /// The authorization code, on success.
    pub code: Option<Secret<String>>,
    /// `error`, on refusal.
    pub error: Option<Said>,
    /// `error_description`, on refusal.
    pub error_description: Option<Said>,
    /// `iss` (RFC 9207), where the provider sends it.
    pub issuer: Option<String>,
}

/// What came of a consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account is authorised.
    Authorised {
        /// The account.
        account: String,
    },
    /// No consent with this state is pending: expired, used or forged.
    Unknown,
    /// The provider or the token endpoint said no.
    Failed {
        /// The account.
        account: String,
        /// Why.
        why: Said,
    },
}

/// One account as `status` shows it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
pub struct AccountState {
    /// The account's name.
    pub account: String,
    /// The grant's name.
    pub grant: String,
    /// `needs consent`, `waiting for consent`, `authorised`, `locked until the next login`, ...
    pub state: String,
    /// Seconds until the access token expires, where one is held.
    pub expires_in: Option<u64>,
    /// The sign-in address, while consent is waited for.
    pub url: Option<String>,
    /// The last failure, if it was the last thing that happened.
    pub last_error: Option<String>,
}

impl Accounts {
    /// Opens the store and takes over what is in it. The error is for a person.
    pub fn open(
        _config: Arc<Config>,
        _endpoint: Endpoint,
        _setup: Setup,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {}))
    }

    /// Admits a login: looks the account up, proves the password, finds or fetches a token, waits for consent where
    /// one is needed.
    pub async fn token(
        self: &Arc<Self>,
        _user: &str,
        _password: &Password,
    ) -> Result<Admitted, Refusal> {
        Err(Refusal::Busy)
    }

    /// Says that the server refused the token just handed out, so that it is not handed out again.
    pub fn refused(&self, _user: &str, _token: &AccessToken) {}

    /// Takes over a new configuration; consents in progress and tokens of unchanged accounts stay.
    pub fn reload(&self, _config: Arc<Config>, _endpoint: Endpoint) {}

    /// Shows the consents somebody is asked for, now and whenever that changes.
    pub fn pending(&self) -> watch::Receiver<Vec<Pending>> {
        watch::channel(Vec::new()).1
    }

    /// Begins a consent for `account` on a person's wish and returns it; joins one that is pending already.
    pub fn begin(self: &Arc<Self>, _account: &str) -> Result<Pending, Refusal> {
        Err(Refusal::Busy)
    }

    /// Takes what a browser brought back, redeems the code and wakes the logins that wait.
    pub async fn finish(self: &Arc<Self>, _answer: Answer) -> Outcome {
        Outcome::Unknown
    }

    /// Takes the final address that a person pasted.
    pub async fn finish_pasted(self: &Arc<Self>, _url: &str) -> Result<Outcome, String> {
        Ok(Outcome::Unknown)
    }

    /// Lists the accounts for `status`.
    pub fn snapshot(&self) -> Vec<AccountState> {
        Vec::new()
    }

    /// Sends waiting logins home and writes what is not yet written.
    pub async fn close(&self, _within: Duration) {}
}
