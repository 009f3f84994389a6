//! The device authorization grant (RFC 8628): asking for a code that a person approves elsewhere, and polling with it.
//!
//! Knows nothing of who shows the code.

use super::{Endpoint, Error, Question};
use crate::config::AccountSettings;
use crate::secret::Secret;

/// Asks for a device code.
pub(super) async fn question(
    _endpoint: &Endpoint,
    account: &AccountSettings,
    _secret: Option<&Secret<String>>,
) -> Result<Question, Error> {
    Err(Error::Misconfigured(format!(
        "[{}] uses the device grant, which is not built yet",
        account.section
    )))
}
