//! The options of `[emailproxy]`.

use std::time::Duration;

use super::keys::OPTIONS_SECTION;
use super::proof::Proof;
use super::{Options, ini, value};
use crate::secret::Secret;

/// The longest a login may be told to wait for consent, in seconds: a sign-in is good for no longer.
const MAX_TIMEOUT: u64 = 3600;

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
        }
    }
}

/// Reads the options; what is not said has its default.
pub(super) fn prove(proof: &mut Proof<'_>) -> Options {
    let usual = Options::default();
    let mut flag = |key| proof.flag(OPTIONS_SECTION, key).unwrap_or(false);
    Options {
        allow_catch_all_accounts: flag("allow_catch_all_accounts"),
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
    }
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
