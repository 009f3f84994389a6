//! What an account's tokens are for, as two digests: tokens for one purpose are used for no other.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::config::{AccountSettings, GrantKind, Upstream};

/// What tokens are for: they go nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Provider, application, scope and grant.
    pub(super) provider: String,
    /// The mail servers named by the account.
    pub(super) servers: String,
}

impl Purpose {
    /// Digests the settings that decide.
    pub(super) fn of(settings: &AccountSettings) -> Self {
        let server = |upstream: &Option<Upstream>| upstream.as_ref().map(ToString::to_string);
        let mut provider = vec![
            Some(settings.grant.as_str()),
            Some(settings.token_url.as_str()),
            settings.permission_url.as_deref(),
            Some(settings.client_id.as_str()),
            Some(settings.scope.as_str()),
            settings.resource.as_deref(),
        ];
        // Only where they are said, so that what rests in older stores stays good.
        if let Some(issuer) = &settings.issuer {
            provider.extend([Some("issuer"), Some(issuer.as_str())]);
        }
        // Where a person signs in, it is seen who did; here it is chosen.
        if let (GrantKind::ServiceAccount, Some(name)) = (settings.grant, &settings.sign_in_as) {
            provider.extend([Some("sign_in_as"), Some(name.as_str())]);
        }
        Self {
            provider: digest(&provider),
            servers: digest(&[
                server(&settings.imap_server).as_deref(),
                server(&settings.pop_server).as_deref(),
                server(&settings.smtp_server).as_deref(),
            ]),
        }
    }
}

/// Digests a list of texts so that no two lists share one.
fn digest(parts: &[Option<&str>]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let length = part.map_or(u64::MAX, |text| text.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default().as_bytes());
    }
    STANDARD_NO_PAD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_all_lists_apart() {
        let lists: [&[Option<&str>]; 6] = [
            &[],
            &[None],
            &[Some("")],
            &[Some("a"), Some("b")],
            &[Some("ab"), Some("")],
            &[Some("ab")],
        ];
        let digests: std::collections::HashSet<_> = lists.iter().map(|l| digest(l)).collect();
        assert_eq!(digests.len(), lists.len());
    }
}
