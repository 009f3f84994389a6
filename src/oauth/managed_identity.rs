//! Azure managed identity: the machine's own metadata service is asked for a token, over plain HTTP by design.

use super::asking::Asking;
use super::{Error, Tokens};
use crate::config::AccountSettings;

/// Asks.
pub(super) async fn ask(_asking: &Asking<'_>, _account: &AccountSettings) -> Result<Tokens, Error> {
    Err(Error::Misconfigured(
        "oauth2_flow = managed_identity is not supported yet".to_owned(),
    ))
}
