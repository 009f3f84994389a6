//! Under which name a login goes to the mail server, and who is expected to sign in for an account.
//!
//! Decides by the file, the tokens and what is known of the server; asks nobody.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::{AccountSettings, GrantKind, Protocol};
use crate::oauth::{SignedIn, named_in_access_token};
use crate::providers;
use crate::secret::AccessToken;

/// What an admitted login gets.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The account's settings at this moment.
    pub settings: Arc<AccountSettings>,
    /// The user name as the client sent it.
    pub user: String,
    /// Who signed in at the provider, where that is known.
    pub signed_in: Option<SignedIn>,
    /// The token.
    pub token: AccessToken,
    /// Whether a server refused this account lately, so that who let it in must be told of;
    /// see [`super::Accounts::was_let_in`].
    pub was_refused: bool,
}

impl Admitted {
    /// Returns the user name for the SASL login at the server `host`.
    ///
    /// The file's `imap_user`, `pop_user` and `smtp_user` say it first. Otherwise it is the account's name; only for
    /// submission at a server that wants the name of whoever signed in, and with a token that somebody did sign in for,
    /// it is theirs: Exchange lets a delegate into IMAP and POP under the shared mailbox's name, but into SMTP only under
    /// their own. The server decides, not the token endpoint: a server of one's own that takes the same tokens has its
    /// own idea of names.
    pub fn identity(&self, protocol: Protocol, host: &str) -> Cow<'_, str> {
        let settings = &self.settings;
        let set = match protocol {
            Protocol::Imap => &settings.imap_user,
            Protocol::Pop => &settings.pop_user,
            Protocol::Smtp => &settings.smtp_user,
        };
        if let Some(set) = set {
            return set.into();
        }
        let delegated = matches!(
            settings.grant,
            GrantKind::AuthorizationCode | GrantKind::Device | GrantKind::Password
        );
        let wanted = protocol == Protocol::Smtp
            && delegated
            && providers::by_server(host)
                .is_some_and(|provider| provider.smtp_wants_signed_in_user);
        let delegate = wanted.then(|| self.delegate()).flatten();
        delegate.unwrap_or_else(|| self.user.as_str().into())
    }

    /// Returns whose token it is, as far as that is known: from the ID token that came with it or with the consent, from
    /// the token itself, or from the file.
    fn delegate(&self) -> Option<Cow<'_, str>> {
        let told = self.signed_in.as_ref().map(|who| who.name.as_str());
        if let Some(name) = told.filter(|name| !name.is_empty()) {
            return Some(name.into());
        }
        let named = named_in_access_token(&self.token).map(|who| who.name);
        named
            .map(Cow::from)
            .or_else(|| self.settings.sign_in_as.as_deref().map(Cow::from))
    }
}

/// Returns whether whoever signed in is who is expected for the account: under its own name, under `sign_in_as`, or
/// known from a sign-in before, which was expected or confirmed then.
///
/// An ID token without any name tells nothing, and nothing is compared.
pub(super) fn is_expected(
    settings: &AccountSettings,
    before: Option<&SignedIn>,
    now: &SignedIn,
) -> bool {
    let mut names = now.names.iter().chain([&now.name]);
    if names.clone().all(String::is_empty) {
        return true;
    }
    let known = before.is_some_and(|before| {
        !before.name.is_empty()
            && before.name.eq_ignore_ascii_case(&now.name)
            && before.issuer == now.issuer
            && before.tenant == now.tenant
    });
    let expected = [Some(settings.name.as_str()), settings.sign_in_as.as_deref()];
    let is_expected = |name: &String| {
        let mut expected = expected.iter().flatten();
        expected.any(|expected| expected.eq_ignore_ascii_case(name))
    };
    known || names.any(is_expected)
}
