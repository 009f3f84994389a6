//! What an account's settings say of a case that the error catalogue explains.

use super::{AccountSettings, GrantKind};
use crate::providers;
use crate::providers::catalogue::{By, Known};

/// What stands in the tenant's place in Entra's addresses where no tenant is meant.
const NO_TENANT: [&str; 3] = ["common", "organizations", "consumers"];

impl AccountSettings {
    /// Returns what is known of a case of this account.
    pub fn known(&self) -> Known {
        Known {
            account: Some(self.name.clone()),
            client_id: Some(self.client_id.clone()).filter(|id| !id.is_empty()),
            tenant: tenant(&self.token_url),
            server: None,
            by: match self.grant {
                GrantKind::ClientCredentials
                | GrantKind::ServiceAccount
                | GrantKind::ManagedIdentity => By::Application,
                GrantKind::AuthorizationCode | GrantKind::Device | GrantKind::Password => {
                    By::Person
                }
            },
        }
    }
}

/// Finds the tenant in the address of an endpoint of Entra.
fn tenant(token_url: &str) -> Option<String> {
    providers::by_endpoint(token_url)?.tenant?;
    let url = url::Url::parse(token_url.trim()).ok()?;
    let first = url.path_segments()?.next()?;
    let is_tenant = !first.is_empty() && !NO_TENANT.contains(&first);
    is_tenant.then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_found_where_one_is_named() {
        let of = |tenant_part: &str| {
            tenant(&format!(
                "https://login.microsoftonline.com/{tenant_part}/oauth2/v2.0/token"
            ))
        };
        assert_eq!(of("contoso.com").as_deref(), Some("contoso.com"));
        for none in ["common", "organizations", "consumers", ""] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(tenant("https://oauth2.googleapis.com/token"), None);
        assert_eq!(tenant("nonsense"), None);
    }
}
