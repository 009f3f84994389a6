//! The refresh token grant (RFC 6749 section 6). The scope stays what it was: none is sent.

use oauth2::RefreshToken;

use super::asking::{Application, Asking, Replied};
use crate::secret::Secret;

/// Asks for a fresh access token.
pub(super) async fn ask(
    application: &Application,
    asking: &Asking<'_>,
    token: &Secret<String>,
) -> Replied {
    let token = RefreshToken::new(token.reveal().clone());
    application
        .exchange_refresh_token(&token)
        .request_async(asking)
        .await
}
