//! What another program's file says of an account, whichever program that was.
//!
//! Knows no formats. What is missing is filled in from what is known about providers.

use crate::providers::{self, Provider};
use crate::secret::Secret;

/// What was found of one account, or of an application that accounts share.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The mail address, where the file names one.
    pub(super) account: Option<String>,
    /// The application these settings are of, or belong to: what a file of settings and a file of tokens share.
    pub(super) application: Option<String>,
    /// Whether these are settings that tokens of the same application complete themselves with.
    pub(super) is_template: bool,
    /// The provider, where the file names one.
    pub(super) provider: Option<&'static Provider>,
    /// Microsoft's tenant.
    pub(super) tenant: Option<String>,
    /// Where a person consents.
    pub(super) permission_url: Option<String>,
    /// Where tokens are fetched.
    pub(super) token_url: Option<String>,
    /// The scopes, separated by blanks.
    pub(super) scope: Option<String>,
    /// Where the browser returns to.
    pub(super) redirect_uri: Option<String>,
    /// The application's id.
    pub(super) client_id: Option<String>,
    /// The application's secret.
    pub(super) client_secret: Option<Secret<String>>,
    /// The refresh token.
    pub(super) refresh_token: Option<Secret<String>>,
    /// What could not be taken over, each in words.
    pub(super) left: Vec<String>,
}

impl Found {
    /// Takes from a template what is missing here.
    pub(super) fn complete_with(&mut self, template: &Self) {
        fn fill<T: Clone>(own: &mut Option<T>, theirs: Option<&T>) {
            if own.is_none() {
                *own = theirs.cloned();
            }
        }
        fill(&mut self.provider, template.provider.as_ref());
        fill(&mut self.tenant, template.tenant.as_ref());
        fill(&mut self.permission_url, template.permission_url.as_ref());
        fill(&mut self.token_url, template.token_url.as_ref());
        fill(&mut self.scope, template.scope.as_ref());
        fill(&mut self.redirect_uri, template.redirect_uri.as_ref());
        fill(&mut self.client_id, template.client_id.as_ref());
        fill(&mut self.client_secret, template.client_secret.as_ref());
        self.left.extend(template.left.iter().cloned());
    }

    /// Finds the provider by its endpoints where none was named, and the tenant in them.
    pub(super) fn recognise(&mut self) {
        let urls = [&self.token_url, &self.permission_url];
        let mut known = urls.iter().filter_map(|url| url.as_deref());
        self.provider = self
            .provider
            .or_else(|| known.find_map(providers::by_endpoint));
        let Some(provider) = self.provider.filter(|known| known.tenant.is_some()) else {
            return;
        };
        for (template, url) in [
            (provider.token, &self.token_url),
            (provider.authorize, &self.permission_url),
        ] {
            let tenant = url.as_deref().and_then(|url| within(template, url));
            self.tenant = self.tenant.take().or(tenant);
        }
    }
}

/// Finds what stands for `{tenant}` in an address.
fn within(template: &str, url: &str) -> Option<String> {
    let (before, behind) = template.split_once("{tenant}")?;
    let tenant = url.strip_prefix(before)?.strip_suffix(behind)?;
    (!tenant.is_empty() && !tenant.contains('/')).then(|| tenant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_found_in_addresses() {
        let mut found = Found {
            token_url: Some("https://login.microsoftonline.com/consumers/oauth2/v2.0/token".into()),
            ..Found::default()
        };
        found.recognise();
        assert_eq!(found.provider.unwrap().name, "microsoft365");
        assert_eq!(found.tenant.as_deref(), Some("consumers"));
        let mut found = Found {
            token_url: Some("https://accounts.google.com/o/oauth2/token".into()),
            ..Found::default()
        };
        found.recognise();
        assert_eq!(found.provider.unwrap().name, "gmail");
        assert_eq!(found.tenant, None);
        let mut unknown = Found {
            token_url: Some("https://login.example/token".into()),
            ..Found::default()
        };
        unknown.recognise();
        assert!(unknown.provider.is_none());
    }
}
