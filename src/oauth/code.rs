//! The authorization code grant (RFC 6749 section 4.1) with PKCE (RFC 7636): the question, and redeeming the code.
//!
//! Knows nothing of browsers: where the question is shown and how the code comes back is for others.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{AuthorizationCode, PkceCodeVerifier, RedirectUrl};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::asking::{Application, Asking, Replied};
use super::{Error, Question};
use crate::config::{AccountSettings, GrantKind};
use crate::providers::{self, Provider};
use crate::said::Said;
use crate::secret::Secret;

/// How many random bytes make the `state`.
pub(super) const STATE_BYTES: usize = 32;

/// How many random bytes make the PKCE verifier (86 characters; RFC 7636 section 4.1 allows 43 to 128).
const VERIFIER_BYTES: usize = 64;

/// Everything but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Makes the address where a person gives consent, with fresh state and PKCE verifier.
pub(super) fn question(account: &AccountSettings) -> Result<Question, Error> {
    let state = random_text::<STATE_BYTES>()?;
    let verifier = match account.pkce {
        Some(false) => None,
        _ => Some(Secret::new(random_text::<VERIFIER_BYTES>()?)),
    };
    let url = address(account, &state, verifier.as_ref())?;
    Ok(Question {
        url,
        state,
        verifier,
        redirect_uri: account.redirect_uri.clone(),
        ..Question::default()
    })
}

/// Redeems a code.
pub(super) async fn redeem(
    application: Application,
    asking: &Asking<'_>,
    code: &Secret<String>,
    redirect_uri: Option<&str>,
    verifier: Option<&Secret<String>>,
) -> Replied {
    let application = match redirect_uri {
        Some(uri) => application.set_redirect_uri(redirect(uri)?),
        None => application,
    };
    let mut request = application.exchange_code(AuthorizationCode::new(code.reveal().clone()));
    if let Some(verifier) = verifier {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().clone()));
    }
    request.request_async(asking).await
}

fn redirect(uri: &str) -> Result<RedirectUrl, oauth2::basic::BasicRequestTokenError<Error>> {
    RedirectUrl::new(uri.to_owned()).map_err(|error| {
        let why = format!("`redirect_uri` is no address: {error}");
        oauth2::RequestTokenError::Request(Error::Misconfigured(why))
    })
}

/// Puts the address together, parameters in the order that existing installations know.
fn address(
    account: &AccountSettings,
    state: &str,
    verifier: Option<&Secret<String>>,
) -> Result<String, Error> {
    let misconfigured = |why: String| Error::Misconfigured(format!("[{}] {why}", account.section));
    if account.grant != GrantKind::AuthorizationCode {
        return Err(misconfigured(format!(
            "uses the grant {}, which asks nobody for consent in a browser",
            account.grant.as_str()
        )));
    }
    let Some(permission_url) = account.permission_url.as_deref() else {
        return Err(misconfigured(match account.issuer {
            Some(_) => {
                "lacks `permission_url`, and its issuer names no authorization endpoint".to_owned()
            }
            None => "lacks `permission_url`".to_owned(),
        }));
    };
    let parsed = Url::parse(permission_url)
        .map_err(|error| misconfigured(format!("`permission_url` is no address: {error}")))?;
    if !matches!(parsed.scheme(), "https" | "http") {
        return Err(misconfigured(format!(
            "`permission_url` begins with {}://, but a browser needs https://",
            Said::from(parsed.scheme())
        )));
    }

    // What a provider wants beyond the RFC, so that a refresh token comes with the consent.
    let provider = providers::by_endpoint(permission_url);
    let scope = scope(account, provider);
    let mut params: Vec<(&str, Cow<'_, str>)> =
        vec![("client_id", account.client_id.as_str().into())];
    if let Some(redirect_uri) = &account.redirect_uri {
        params.push(("redirect_uri", redirect_uri.into()));
    }
    params.push(("scope", scope));
    params.push(("response_type", "code".into()));
    params.push(("access_type", "offline".into()));
    let expected = account.sign_in_as.as_ref().unwrap_or(&account.name);
    params.push(("login_hint", expected.into()));
    params.push(("state", state.into()));
    if let Some(verifier) = verifier {
        params.push(("code_challenge", challenge(verifier).into()));
        params.push(("code_challenge_method", "S256".into()));
    }
    if let Some(resource) = account
        .resource
        .as_ref()
        .filter(|_| account.scope.is_empty())
    {
        params.push(("resource", resource.into()));
    }
    for (key, value) in provider.map_or(&[][..], |provider| provider.extra_authorize_params) {
        // What the file already says in its own `permission_url` stands.
        let said = parsed.query_pairs().any(|(known, _)| known == *key)
            || params.iter().any(|(known, _)| known == key);
        if !said {
            params.push((key, (*value).into()));
        }
    }
    let query: Vec<String> = params
        .iter()
        .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, ESCAPED)))
        .collect();
    let bare = permission_url.split('#').next().unwrap_or_default();
    let glue = match bare.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    Ok(format!("{bare}{glue}{}", query.join("&")))
}

/// Returns the scope to ask consent for: the file's, and what the provider gives no refresh token without.
pub(super) fn scope<'a>(account: &'a AccountSettings, provider: Option<&Provider>) -> Cow<'a, str> {
    let wants_offline_access = provider.is_some_and(|provider| provider.wants_offline_access);
    if wants_offline_access && !names(&account.scope, "offline_access") {
        Cow::Owned(format!("{} offline_access", account.scope.trim()))
    } else {
        Cow::Borrowed(account.scope.as_str())
    }
}

/// Returns whether a space separated list names a scope.
fn names(scopes: &str, wanted: &str) -> bool {
    scopes.split_whitespace().any(|scope| scope == wanted)
}

/// Makes the S256 challenge of a verifier (RFC 7636 section 4.2).
fn challenge(verifier: &Secret<String>) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.reveal().as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// Makes a text nobody can guess from `N` random bytes.
pub(super) fn random_text<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Misconfigured("the system gives no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::account;

    #[test]
    fn the_challenge_is_the_rfcs_own() {
        // RFC 7636 appendix B.
        let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(
            challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn the_address_keeps_order_and_escapes_as_rfc_3986() {
        let mut account = account("https://idp.example/token");
        account.permission_url = Some("https://idp.example/authorize".into());
        account.scope = "https://mail.example/IMAP.AccessAsUser.All a~b_c".into();
        account.name = "jörg+x@example.org".into();
        let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(
            address(&account, "S-1", Some(&verifier)).unwrap(),
            "https://idp.example/authorize?client_id=the%20app&redirect_uri=http%3A%2F%2Flocalhost%3A8825\
             &scope=https%3A%2F%2Fmail.example%2FIMAP.AccessAsUser.All%20a~b_c&response_type=code\
             &access_type=offline&login_hint=j%C3%B6rg%2Bx%40example.org&state=S-1\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
        account.redirect_uri = None;
        account.permission_url = Some("https://idp.example/authorize?tenant=1#top".into());
        let url = address(&account, "S", None).unwrap();
        assert!(
            url.starts_with("https://idp.example/authorize?tenant=1&client_id=the%20app&scope="),
            "{url}"
        );
        assert!(
            !url.contains("redirect_uri") && !url.contains("code_challenge") && !url.contains('#')
        );
    }

    #[test]
    fn providers_get_what_makes_them_give_refresh_tokens() {
        let mut account = account("https://idp.example/token");
        account.permission_url =
            Some("https://login.microsoftonline.com/common/oauth2/v2.0/authorize".into());
        account.scope = "https://outlook.office.com/SMTP.Send".into();
        let url = address(&account, "S", None).unwrap();
        assert!(
            url.contains("SMTP.Send%20offline_access&") && !url.contains("prompt="),
            "{url}"
        );
        account.scope.push_str(" offline_access");
        let url = address(&account, "S", None).unwrap();
        assert_eq!(url.matches("offline_access").count(), 1, "{url}");

        account.permission_url = Some("https://accounts.google.com/o/oauth2/auth".into());
        let url = address(&account, "S", None).unwrap();
        assert!(url.ends_with("&prompt=consent"), "{url}");
        account.permission_url =
            Some("https://accounts.google.com/o/oauth2/auth?prompt=select_account".into());
        let url = address(&account, "S", None).unwrap();
        assert_eq!(url.matches("prompt=").count(), 1, "{url}");
    }

    #[test]
    fn every_question_is_fresh_and_pkce_can_be_left_out() {
        let mut account = account("https://idp.example/token");
        account.permission_url = Some("https://idp.example/authorize".into());
        let (one, two) = (question(&account).unwrap(), question(&account).unwrap());
        assert_ne!(one.state, two.state);
        assert_eq!(one.state.len(), 43);
        let (verifier, other) = (one.verifier.unwrap(), two.verifier.unwrap());
        assert_eq!(verifier.reveal().len(), 86);
        assert!(verifier != other);
        assert!(
            one.url
                .contains(&format!("code_challenge={}", challenge(&verifier)))
        );
        account.pkce = Some(false);
        let plain = question(&account).unwrap();
        assert!(plain.verifier.is_none() && !plain.url.contains("code_challenge"));
    }

    #[test]
    fn settings_that_cannot_ask_say_what_is_missing() {
        let mut account = account("https://idp.example/token");
        account.permission_url = None;
        let why = question(&account).unwrap_err().to_string();
        assert!(why.contains("`permission_url`"), "{why}");
        account.permission_url = Some("javascript:alert(1)".into());
        assert!(question(&account).is_err());
        account.permission_url = Some("https://idp.example/authorize".into());
        account.grant = GrantKind::ClientCredentials;
        assert!(question(&account).is_err());
    }
}
