//! The application's proof without a secret: a JWT signed with its certificate's key, or one that somebody else wrote
//! into a file (RFC 7523 section 2.2).
//!
//! Knows nothing of what is asked for with it.

use super::Error;
use crate::config::AccountSettings;
use crate::secret::Secret;

/// Which certificates were warned about, and when.
#[derive(Debug, Default)]
pub(super) struct Notices;

/// Makes or reads the assertion that proves the account's application; nothing where it uses none.
pub(super) async fn of(
    account: &AccountSettings,
    _notices: &Notices,
) -> Result<Option<Secret<String>>, Error> {
    if account.assertion_certificate.is_some() || account.assertion_file.is_some() {
        return Err(Error::Misconfigured(format!(
            "[{}] names an assertion certificate, which is not supported yet; use `client_secret`",
            account.section
        )));
    }
    Ok(None)
}
