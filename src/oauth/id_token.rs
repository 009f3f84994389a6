//! Who signed in, as an ID token says it (`OpenID` Connect Core section 2).
//!
//! The token comes straight from the token endpoint over TLS and authorises nothing, so its signature is not checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::answer::read_object;
use super::{SignedIn, issuer};
use crate::said::Said;
use crate::secret::AccessToken;

/// The longest token read, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// The longest name taken for an address, in bytes (RFC 5321 section 4.5.3.1.3, without the brackets).
const MAX_ADDRESS: usize = 254;

/// The most audiences looked at.
const MAX_AUDIENCES: usize = 20;

/// What an ID token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// The names that are addresses, the best first.
    names: Vec<String>,
    /// `iss`.
    issuer: Option<String>,
    /// `aud`.
    audiences: Vec<String>,
    /// `tid`, Entra's tenant.
    tenant: Option<String>,
}

/// Whom an ID token has to come from and to be for.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected<'a> {
    /// The application.
    pub(super) client_id: &'a str,
    /// The issuer, where it is known; may hold Entra's `{tenantid}`.
    pub(super) issuer: Option<&'a str>,
    /// Who the browser's answer said it was from (RFC 9207).
    pub(super) answered_by: Option<&'a str>,
}

/// Reads an ID token. A broken one says nothing, and is no reason for anything to fail.
pub(super) fn read(token: &str) -> Option<Claims> {
    let claims = payload(token).as_ref().map(claims);
    if claims.is_none() {
        tracing::debug!("the ID token cannot be read and is not used");
    }
    claims
}

/// Returns who signed in, or why the token is not what the account's provider would have sent.
///
/// Where no issuer is known nothing is compared. A token that does not say who sent it and whom it is for is a broken
/// one: it says nothing then.
pub(super) fn prove(claims: &Claims, expected: &Expected<'_>) -> Result<Option<SignedIn>, Said> {
    if let Some(wanted) = expected.issuer {
        let (Some(from), Some(audience)) = (&claims.issuer, claims.audiences.first()) else {
            tracing::debug!("the ID token does not say who sent it to whom and is not used");
            return Ok(None);
        };
        // Google's older tokens leave the scheme out (developers.google.com/identity/openid-connect).
        let whole = format!("https://{from}");
        // The browser's answer may name any tenant of a shared issuer; the token must be of the same.
        for wanted in [Some(wanted), expected.answered_by].into_iter().flatten() {
            if !issuer::is_same(wanted, from) && !issuer::is_same(wanted, &whole) {
                return Err(stranger(from, wanted));
            }
        }
        if let Some(tenant) = &claims.tenant {
            let theirs = issuer::at_tenant(wanted, tenant);
            if !issuer::is_same(&theirs, from) {
                return Err(stranger(from, &theirs));
            }
        }
        // Entra's ids are GUIDs, which files spell in either case.
        let meant = |audience: &String| audience.eq_ignore_ascii_case(expected.client_id);
        if !claims.audiences.iter().any(meant) {
            return Err(Said::new(format!(
                "the ID token is for the application `{}`, not for this account's `client_id`",
                Said::new(audience).short()
            )));
        }
    }
    Ok(signed_in(claims))
}

/// Returns whose an Exchange access token is, where it is a JWT that tells it. An application's own token belongs to
/// nobody, and other providers' tokens are none of anybody's business: then nothing is returned.
pub fn named_in_access_token(token: &AccessToken) -> Option<SignedIn> {
    let claims = claims(&payload(token.reveal())?);
    signed_in(&claims)
}

fn stranger(from: &str, wanted: &str) -> Said {
    Said::new(format!(
        "the ID token comes from `{}`, but it should come from `{}`; check `issuer`, or the addresses of the endpoints",
        Said::from(from).short(),
        Said::from(wanted).short()
    ))
}

fn signed_in(claims: &Claims) -> Option<SignedIn> {
    Some(SignedIn {
        name: claims.names.first()?.clone(),
        names: claims.names.clone(),
        issuer: claims.issuer.clone(),
        tenant: claims.tenant.clone(),
    })
}

/// Decodes what a signed JWT says (RFC 7519 section 7.2); nothing where it is none.
fn payload(token: &str) -> Option<Map<String, Value>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    read_object(&bytes)
}

/// Takes out what is of use here.
fn claims(payload: &Map<String, Value>) -> Claims {
    let text = |key: &str| payload.get(key).and_then(Value::as_str);
    let fit = |text: &&str| text.len() <= 1_000 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut names: Vec<String> = Vec::new();
    for key in ["preferred_username", "upn", "email", "unique_name"] {
        // Anybody can claim an address that nobody has checked.
        if key == "email" && payload.get("email_verified") == Some(&Value::Bool(false)) {
            continue;
        }
        // Entra writes personal accounts of another provider as `live.com#NAME`.
        let name = text(key).map(|name| name.strip_prefix("live.com#").unwrap_or(name));
        let Some(name) = name.filter(|name| is_address(name)) else {
            continue;
        };
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    let audiences = match payload.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            let many = many.iter().take(MAX_AUDIENCES);
            many.filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    Claims {
        names,
        issuer: text("iss").filter(fit).map(str::to_owned),
        audiences,
        tenant: text("tid").filter(fit).map(str::to_owned),
    }
}

/// Returns whether a text looks like a mail address: two sides of one @, nothing that breaks a line.
fn is_address(text: &str) -> bool {
    let fit = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"".contains(c);
    text.len() <= MAX_ADDRESS
        && text.chars().all(fit)
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}
