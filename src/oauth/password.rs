//! The resource owner password credentials grant (RFC 6749 section 4.3), for providers that still take it.

use oauth2::{ResourceOwnerPassword, ResourceOwnerUsername, Scope};

use super::asking::{Application, Asking, Replied};
use crate::config::AccountSettings;
use crate::secret::Secret;

/// Asks for an access token with the user's own password at the provider.
pub(super) async fn ask(
    application: &Application,
    asking: &Asking<'_>,
    account: &AccountSettings,
    password: &Secret<String>,
) -> Replied {
    let username = ResourceOwnerUsername::new(account.name.clone());
    let password = ResourceOwnerPassword::new(password.reveal().clone());
    let scopes = account.scope.split_whitespace();
    let mut request = application
        .exchange_password(&username, &password)
        .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())));
    if let Some(resource) = &account.resource {
        request = request.add_extra_param("resource", resource.as_str());
    }
    request.request_async(asking).await
}
