//! Google service accounts: a JWT in a user's name, signed with the account's key, is the grant (RFC 7523 section 2.1).
//!
//! The account's administrator has allowed the service account's client id the scopes beforehand ("domain-wide
//! delegation", developers.google.com/identity/protocols/oauth2/service-account). `client_id` says where the key is: in a
//! `file` that `client_secret` names, or in `client_secret` itself (`key`).

use std::path::Path;

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value, json};

use super::asking::{Asking, read, token_url};
use super::assertion::seconds_since_1970;
use super::jwt::RsaKey;
use super::{Error, Tokens, file};
use crate::config::AccountSettings;
use crate::said::Said;
use crate::secret::Secret;

/// The longest key file read, in bytes; those of Google have about 2,400.
const MAX_KEY: u64 = 64 * 1024;

/// How long an assertion is good, in seconds: the most that Google takes.
const LIFE: u64 = 3_600;

/// What the form says about itself.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Asks for a token in the account's name.
pub(super) async fn ask(
    asking: &Asking<'_>,
    account: &AccountSettings,
    secret: Option<&Secret<String>>,
) -> Result<Tokens, Error> {
    let fault = |why: String| Error::Misconfigured(format!("[{}] {why}", account.section));
    let key = key(account, secret).await.map_err(fault)?;
    let url = match account.token_url.as_str() {
        "" => token_url(&key.token_uri)?,
        said => token_url(said)?,
    };
    let user = account.sign_in_as.as_deref().unwrap_or(&account.name);
    let now = seconds_since_1970();
    let claims = json!({
        "iss": key.email,
        "sub": user,
        "scope": account.scope,
        "aud": url.as_str(),
        "iat": now,
        "exp": now + LIFE,
    });
    let header = Header {
        kid: key.id,
        ..Header::new(Algorithm::RS256)
    };
    let assertion = key.rsa.sign(&header, &claims);
    let assertion = assertion.map_err(|why| fault(why.to_owned()))?;
    let form = [("grant_type", GRANT), ("assertion", assertion.reveal())];
    read(&asking.hand_in(&url, None, &form).await?)
}

/// A service account's key.
struct Key {
    rsa: RsaKey,
    /// Its number at Google.
    id: Option<String>,
    /// The service account's name.
    email: String,
    /// The token endpoint that it names.
    token_uri: String,
}

/// Finds the account's key.
async fn key(account: &AccountSettings, secret: Option<&Secret<String>>) -> Result<Key, String> {
    let secret = secret.ok_or(
        "has no client_secret; with client_id = file it names the service account's JSON key file, with \
         client_id = key it is the key's text",
    )?;
    match account.client_id.as_str() {
        "file" => {
            let path = Path::new(secret.reveal());
            let told = |why| format!("the service account's key file {}: {why}", path.display());
            let content = file::read(path, MAX_KEY).await.map_err(told)?;
            parse(content.reveal()).map_err(told)
        }
        "key" => parse(secret.reveal().as_bytes())
            .map_err(|why| format!("the service account's key in client_secret: {why}")),
        _ => Err(
            "uses oauth2_flow = service_account, where client_id must be `file` (client_secret names the JSON key \
             file) or `key` (client_secret is the key's text)"
                .to_owned(),
        ),
    }
}

/// Reads a key as Google's console hands it out. What it says is never repeated.
fn parse(json: &[u8]) -> Result<Key, String> {
    let mut object: Map<String, Value> = serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is not a JSON object as Google's console hands it out (line {line}, column {column})")
    })?;
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "service_account" => {}
        "" => {
            return Err(
                "it has no `type`; it is perhaps an application's client secret file, and not a \
                        service account's key"
                    .to_owned(),
            );
        }
        other => {
            let other = Said::from(other).short();
            return Err(format!(
                "it is of the type {other}; what is needed is a service account's key (type service_account)"
            ));
        }
    }
    let needed = |key: &str| match text(key) {
        "" => Err(format!("it has no {key}")),
        value => Ok(value.to_owned()),
    };
    let email = needed("client_email")?;
    let id = Some(text("private_key_id").to_owned()).filter(|id| !id.is_empty());
    let token_uri = match text("token_uri") {
        "" => "https://oauth2.googleapis.com/token".to_owned(),
        uri => uri.to_owned(),
    };
    let pem = match object.remove("private_key") {
        Some(Value::String(pem)) if !pem.is_empty() => Secret::new(pem),
        _ => return Err("it has no private_key".to_owned()),
    };
    let key = RsaKey::from_pem(pem.reveal().as_bytes());
    Ok(Key {
        rsa: key.map_err(|why| format!("its private_key: {why}"))?,
        id,
        email,
        token_uri,
    })
}
