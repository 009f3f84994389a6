//! Google service accounts: a JWT in a user's name, signed with the account's key, is the grant (RFC 7523 section 2.1).

use super::asking::Asking;
use super::{Error, Tokens};
use crate::config::AccountSettings;
use crate::secret::Secret;

/// Asks.
pub(super) async fn ask(
    _asking: &Asking<'_>,
    _account: &AccountSettings,
    _secret: Option<&Secret<String>>,
) -> Result<Tokens, Error> {
    Err(Error::Misconfigured(
        "oauth2_flow = service_account is not supported yet".to_owned(),
    ))
}
