//! An issuer's discovery document (`OpenID` Connect Discovery 1.0, RFC 8414): endpoints, and how they want to be asked.
//!
//! Pure functions. How documents come here and how long they are good is for `documents`. Knows nothing of accounts but
//! the `issuer` they name and what they leave open.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use super::Error;
use super::asking::Auth;
use super::issuer::{describes, known_to};
use super::post::is_this_machine;
use crate::config::{AccountSettings, GrantKind};
use crate::said::Said;

/// The longest address taken from a document, in bytes.
const MAX_ADDRESS: usize = 2_000;

/// What an issuer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// What it calls itself; may hold Entra's literal `{tenantid}`.
    pub(super) issuer: String,
    /// `authorization_endpoint`.
    pub(super) authorize: Option<String>,
    /// `token_endpoint`.
    pub(super) token: Option<String>,
    /// `device_authorization_endpoint` (RFC 8628 section 4).
    pub(super) device: Option<String>,
    /// Whether it lists its PKCE methods, and S256 is not among them.
    pub(super) lacks_s256: bool,
    /// How it wants secrets.
    pub(super) auth: Auth,
    /// Whether it promises `iss` in every answer (RFC 9207 section 3).
    pub(super) issuer_is_sent: bool,
}

/// An account with nothing left open, and what is known of its issuer.
#[derive(Debug)]
pub(super) struct Complete<'a> {
    /// The account's settings, endpoints filled in.
    pub(super) account: Cow<'a, AccountSettings>,
    /// The issuer, where it is known.
    pub(super) issuer: Option<String>,
    /// Whether every answer carries `iss`.
    pub(super) issuer_is_sent: bool,
    /// How secrets are shown.
    pub(super) auth: Auth,
    /// The key that leads to the endpoints.
    pub(super) key: Option<&'static str>,
}

/// Returns whether an account leaves open what only its issuer's document tells.
pub(super) fn is_needed(account: &AccountSettings, for_consent: bool) -> bool {
    let knows_its_own = matches!(
        account.grant,
        GrantKind::ManagedIdentity | GrantKind::ServiceAccount
    );
    let asks = for_consent && account.permission_url.is_none();
    account.issuer.is_some() && !knows_its_own && (account.token_url.is_empty() || asks)
}

/// Fills what an account leaves open. What the file says itself stands.
pub(super) fn complete<'a>(
    account: &'a AccountSettings,
    metadata: Option<&Arc<Metadata>>,
) -> Result<Complete<'a>, Error> {
    let Some(metadata) = metadata else {
        return Ok(Complete {
            account: Cow::Borrowed(account),
            issuer: known_to(account),
            issuer_is_sent: false,
            auth: Auth::default(),
            key: None,
        });
    };
    let mut filled = account.clone();
    if filled.token_url.is_empty() {
        filled.token_url = metadata.token.clone().ok_or_else(|| {
            Error::Misconfigured(format!(
                "[{}] the issuer `{}` names no token endpoint in its discovery document; write `token_url`",
                account.section,
                Said::from(metadata.issuer.as_str()).short()
            ))
        })?;
    }
    if filled.permission_url.is_none() {
        filled.permission_url = match account.grant {
            GrantKind::Device => metadata.device.clone(),
            _ => metadata.authorize.clone(),
        };
    }
    Ok(Complete {
        account: Cow::Owned(filled),
        issuer: Some(metadata.issuer.clone()),
        issuer_is_sent: metadata.issuer_is_sent,
        auth: metadata.auth,
        key: Some("issuer"),
    })
}

/// Lists where an issuer's document may be, the likeliest first.
pub(super) fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    let mut places = vec![
        // `OpenID` Connect Discovery 1.0 section 4.
        at(format!("{path}/.well-known/openid-configuration")),
        // RFC 8414 section 3.1.
        at(format!("/.well-known/oauth-authorization-server{path}")),
        // As some servers have it.
        at(format!("{path}/.well-known/oauth-authorization-server")),
    ];
    places.dedup();
    places
}

/// Reads the document that was found at `issuer`, or says what is wrong with it. `configured` is the issuer as the file
/// has it.
pub(super) fn read(
    configured: &str,
    issuer: &Url,
    document: &Map<String, Value>,
) -> Result<Metadata, String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let said = text("issuer").ok_or("the document names no issuer")?;
    if !describes(said, configured) {
        return Err(format!(
            "the document is that of the issuer `{}`; write that into `issuer` if it is the one you mean",
            Said::from(said).short()
        ));
    }
    let endpoint = |key: &str| match document.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => address(text, issuer)
            .map(Some)
            .map_err(|fault| format!("its {key} `{}` {fault}", Said::from(text.as_str()).short())),
        Some(_) => Err(format!("its {key} is no text")),
    };
    let list = |key: &str| {
        let list = document.get(key)?.as_array()?;
        let words = list.iter().filter_map(Value::as_str);
        Some(words.collect::<Vec<_>>())
    };
    // What is not listed is the default of RFC 8414 section 2: `client_secret_basic` alone.
    let methods = list("token_endpoint_auth_methods_supported")
        .unwrap_or_else(|| vec!["client_secret_basic"]);
    let has = |method| methods.contains(&method);
    Ok(Metadata {
        issuer: said.to_owned(),
        authorize: endpoint("authorization_endpoint")?,
        token: endpoint("token_endpoint")?,
        device: endpoint("device_authorization_endpoint")?,
        lacks_s256: list("code_challenge_methods_supported")
            .is_some_and(|methods| !methods.contains(&"S256")),
        auth: if has("client_secret_basic") && !has("client_secret_post") {
            Auth::Basic
        } else {
            Auth::Body
        },
        issuer_is_sent: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

/// Accepts an endpoint's address: https, or this machine where the issuer is there too.
fn address(text: &str, issuer: &Url) -> Result<String, &'static str> {
    if text.len() > MAX_ADDRESS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is no web address");
    }
    let url = Url::parse(text).map_err(|_| "is no web address")?;
    let here = is_this_machine(issuer) && is_this_machine(&url);
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err("does not begin with https://");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("holds a user name or a fragment, which no endpoint has");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    Ok(text.to_owned())
}
