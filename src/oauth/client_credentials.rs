//! The client credentials grant (RFC 6749 section 4.4): the application asks in its own name.

use oauth2::Scope;

use super::asking::{Application, Asking, Replied};
use crate::config::AccountSettings;

/// Asks for an access token in the application's name.
pub(super) async fn ask(
    application: &Application,
    asking: &Asking<'_>,
    account: &AccountSettings,
) -> Replied {
    let scopes = account.scope.split_whitespace();
    let mut request = application
        .exchange_client_credentials()
        .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())));
    if let Some(resource) = &account.resource {
        request = request.add_extra_param("resource", resource.as_str());
    }
    request.request_async(asking).await
}
