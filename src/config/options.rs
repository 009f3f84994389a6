//! The options of `[emailproxy]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::OPTIONS_SECTION;
use super::proof::Proof;
use super::web::{self, WebOptions};
use super::{IpNet, ini, value};
use crate::secret::Secret;

/// The longest a login may be told to wait for consent, in seconds: a sign-in is good for no longer.
const MAX_TIMEOUT: u64 = 3600;

/// The options of `[emailproxy]`, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether `[@domain]` and `[@]` sections stand for accounts that have no section of their own.
    pub allow_catch_all_accounts: bool,
    /// The predecessor's option; here a wrong password never deletes a token, see docs/CONFIGURATION.md.
    pub delete_account_token_on_password_error: bool,
    /// Whether a plain `client_secret` is replaced by its encrypted form after it was first used.
    pub encrypt_client_secret_on_first_use: bool,
    /// Whether client credentials accounts without a secret take the login password as the secret.
    pub use_login_password_as_client_credentials_secret: bool,
    /// More roots to believe upstream, PEM.
    pub ca_file: Option<PathBuf>,
    /// A forward proxy (`socks5://` or `http://`) for upstream connections and token requests.
    pub proxy: Option<Secret<String>>,
    /// How long a login waits for consent. Default 600 s.
    pub authorisation_timeout: Duration,
    /// Where tokens rest, in the words of `--cache-store`, which wins; may hold a password.
    pub cache_store: Option<Secret<String>>,
    /// What opens the accounts' data keys without a password.
    pub store_key: Option<StoreKey>,
    /// From where an account's first password is taken, besides this machine.
    pub first_use_from: Vec<IpNet>,
    /// How many connections are served at once, over all services. Default 1,000.
    pub max_connections: usize,
    /// How many of them may be one account's. Default 100.
    pub max_connections_per_account: usize,
    /// Whether a server is connected to as soon as a client that logged in lately begins to log in again.
    pub early_dial: bool,
    /// Whether the running proxy gives up what it does not need of the system. Default yes.
    pub sandbox: bool,
    /// The command that is run when an account begins to need a person, its words.
    pub notify_command: Option<Vec<String>>,
    /// The page for people, and what is told to machines.
    pub web: WebOptions,
}

/// Where the key is that opens every account's data key without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// In the operating system's keyring.
    Keyring,
    /// In a systemd credential of this name (a file in `CREDENTIALS_DIRECTORY`).
    Credential(String),
    /// In a file.
    File(PathBuf),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_catch_all_accounts: false,
            delete_account_token_on_password_error: false,
            encrypt_client_secret_on_first_use: false,
            use_login_password_as_client_credentials_secret: false,
            ca_file: None,
            proxy: None,
            authorisation_timeout: Duration::from_secs(600),
            cache_store: None,
            store_key: None,
            first_use_from: Vec::new(),
            max_connections: 1_000,
            max_connections_per_account: 100,
            early_dial: false,
            sandbox: true,
            notify_command: None,
            web: WebOptions::default(),
        }
    }
}

/// Reads the options; what is not said has its default.
pub(super) fn prove(proof: &mut Proof<'_>) -> Options {
    let usual = Options::default();
    let mut flag = |key| proof.flag(OPTIONS_SECTION, key).unwrap_or(false);
    Options {
        allow_catch_all_accounts: flag("allow_catch_all_accounts"),
        early_dial: flag("early_dial"),
        delete_account_token_on_password_error: flag("delete_account_token_on_password_error"),
        encrypt_client_secret_on_first_use: flag("encrypt_client_secret_on_first_use"),
        use_login_password_as_client_credentials_secret: flag(
            "use_login_password_as_client_credentials_secret",
        ),
        ca_file: proof.file(OPTIONS_SECTION, "ca_file"),
        proxy: proof.read(OPTIONS_SECTION, "proxy", |text| {
            value::forward_proxy(text).map(|()| Secret::from(text))
        }),
        authorisation_timeout: timeout(proof).unwrap_or(usual.authorisation_timeout),
        cache_store: proof.read(OPTIONS_SECTION, "cache_store", |text| {
            Ok(Secret::from(text))
        }),
        store_key: {
            let path = proof.path;
            proof.read(OPTIONS_SECTION, "store_key", |text| store_key(text, path))
        },
        first_use_from: proof
            .read(OPTIONS_SECTION, "first_use_from", value::networks)
            .unwrap_or_default(),
        max_connections: proof
            .read(OPTIONS_SECTION, "max_connections", count)
            .unwrap_or(usual.max_connections),
        max_connections_per_account: proof
            .read(OPTIONS_SECTION, "max_connections_per_account", count)
            .unwrap_or(usual.max_connections_per_account),
        sandbox: proof
            .flag(OPTIONS_SECTION, "sandbox")
            .unwrap_or(usual.sandbox),
        notify_command: proof.read(OPTIONS_SECTION, "notify_command", command),
        web: web::prove(proof),
    }
}

/// Reads where the store key is: `keyring`, `credential:NAME`, `file:PATH`.
pub(super) fn store_key(text: &str, config: &Path) -> Result<StoreKey, String> {
    if text.eq_ignore_ascii_case("keyring") {
        return Ok(StoreKey::Keyring);
    }
    match text.split_once(':') {
        Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
            Ok(StoreKey::Credential(name.to_owned()))
        }
        Some(("file", path)) if !path.is_empty() => {
            let named = value::file(path, config);
            // One that is yet to be made goes beside the configuration, wherever the program is started.
            let beside = config.parent().unwrap_or(Path::new("")).join(&named);
            Ok(StoreKey::File(if named.exists() { named } else { beside }))
        }
        _ => Err(format!(
            "{} is neither keyring, credential:NAME nor file:PATH",
            value::shown(text)
        )),
    }
}

/// Reads a command: words between blanks, of which quotes keep some together. No shell sees it.
fn command(text: &str) -> Result<Vec<String>, String> {
    let words = value::words(text)?;
    match words.first() {
        None => Err("it names no program".to_owned()),
        Some(program) if program.contains('/') && !Path::new(program).is_file() => {
            Err(format!("there is no program {}", value::shown(program)))
        }
        Some(_) => Ok(words),
    }
}

/// Reads a number of connections.
fn count(text: &str) -> Result<usize, String> {
    ini::whole_number(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|count| (1..=1_000_000).contains(count))
        .ok_or_else(|| format!("{} is no number from 1 to 1000000", value::shown(text)))
}

/// Reads how long a login waits, under either spelling.
fn timeout(proof: &mut Proof<'_>) -> Option<Duration> {
    let read = |text: &str| {
        ini::whole_number(text)
            .and_then(|number| u64::try_from(number).ok())
            .filter(|seconds| (1..=MAX_TIMEOUT).contains(seconds))
            .map(Duration::from_secs)
            .ok_or_else(|| {
                format!(
                    "{} is no number of seconds from 1 to {MAX_TIMEOUT}",
                    value::shown(text)
                )
            })
    };
    let usual = proof.read(OPTIONS_SECTION, "authorisation_timeout", read);
    usual.or_else(|| proof.read(OPTIONS_SECTION, "authorization_timeout", read))
}
