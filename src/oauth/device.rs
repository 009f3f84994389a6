//! The device authorization grant (RFC 8628): asking for a code that a person approves elsewhere, and polling with it.
//!
//! Knows nothing of who shows the code and when the next poll is due.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::asking::{Asking, address, read, token_url};
use super::post::is_this_machine;
use super::quiet::Quiet;
use super::{DeviceCode, Error, Question, Tokens, answer, code};
use crate::config::AccountSettings;
use crate::providers;
use crate::said::Said;
use crate::secret::Secret;

/// The name of the grant.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How long a code is good where the endpoint does not say, in seconds; it ought to.
const USUAL_LIFE: f64 = 600.0;

/// No code is polled with for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// The time between two polls where the endpoint does not say, in seconds.
const USUAL_INTERVAL: f64 = 5.0;

/// The least time between two polls.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

/// The most time between two polls.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// The longest code that people are asked to type, in characters.
const MAX_USER_CODE: usize = 64;

/// The longest address people are sent to, in bytes.
const MAX_ADDRESS: usize = 2_000;

/// Asks for a device code (section 3.1).
pub(super) async fn question(
    asking: &Asking<'_>,
    account: &AccountSettings,
) -> Result<Question, Error> {
    let Some(endpoint) = account.permission_url.as_deref() else {
        return Err(Error::Misconfigured(format!(
            "[{}] uses the device grant, but names no `permission_url`, and its issuer offers no device endpoint; use \
             oauth2_flow = authorization_code, or write the endpoint into `permission_url`",
            account.section
        )));
    };
    let endpoint = address("permission_url", endpoint)?;
    let scope = code::scope(account, providers::by_endpoint(endpoint.as_str()));
    let mut form = Vec::new();
    if !scope.is_empty() {
        form.push(("scope", &*scope));
    }
    if let Some(resource) = &account.resource {
        form.push(("resource", resource));
    }
    let client_id = Some(account.client_id.as_str());
    let (answer, asked) = asking.submit(&endpoint, client_id, &form).await?;
    let device = read_code(&answer, &asked.quiet).map_err(|fault| {
        let host = endpoint.host_str().unwrap_or_default();
        Error::Unavailable(Said::new(format!(
            "{host}: the answer to the request for a device code {fault}; check `{}`",
            asking.key
        )))
    })?;
    Ok(Question {
        url: shortest_way(&answer, &device.verification_url),
        state: code::random_text::<{ code::STATE_BYTES }>()?,
        device: Some(device),
        ..Question::default()
    })
}

/// Asks once whether the code was approved (section 3.4).
pub(super) async fn poll(
    asking: &Asking<'_>,
    account: &AccountSettings,
    code: &Secret<String>,
) -> Result<Tokens, Error> {
    let endpoint = token_url(&account.token_url)?;
    let form = [("grant_type", GRANT), ("device_code", code.reveal())];
    let client_id = Some(account.client_id.as_str());
    read(&asking.hand_in(&endpoint, client_id, &form).await?)
}

/// Reads the answer to a request for a code (section 3.2), or says what is wrong with it.
pub(super) fn read_code(answer: &Map<String, Value>, quiet: &Quiet) -> Result<DeviceCode, String> {
    let text = |key: &str| {
        let value = answer.get(key).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    let Some(code) = text("device_code") else {
        return Err(format!(
            "holds no device_code but [{}]",
            answer::keys(answer, quiet)
        ));
    };
    let user_code = text("user_code").ok_or("holds no user_code")?.trim();
    let fit = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if user_code.is_empty() || user_code.len() > MAX_USER_CODE || !user_code.bytes().all(fit) {
        return Err("holds a user_code that nobody could type".to_owned());
    }
    // Some endpoints are older than the RFC and call it `verification_url`.
    let place = text("verification_uri")
        .or_else(|| text("verification_url"))
        .ok_or("holds no verification_uri")?;
    let verification_url = way(place).ok_or_else(|| {
        let place = Said::from(quiet.hush(place).as_str());
        format!(
            "sends people to `{}`, which does not begin with https://",
            place.short()
        )
    })?;
    let seconds = |key, usual| Duration::from_secs(answer::seconds(answer.get(key), usual));
    let good_for = seconds("expires_in", USUAL_LIFE).min(LONGEST_LIFE);
    if good_for.is_zero() {
        return Err("holds a code whose time is over already (expires_in)".to_owned());
    }
    Ok(DeviceCode {
        code: Secret::from(code),
        user_code: user_code.to_owned(),
        verification_url: verification_url.to_string(),
        good_for,
        interval: seconds("interval", USUAL_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
    })
}

/// Returns the address with the code in it (section 3.3.1) where it leads to the same host as the one without.
pub(super) fn shortest_way(answer: &Map<String, Value>, plain: &str) -> String {
    let complete = ["verification_uri_complete", "verification_url_complete"]
        .iter()
        .find_map(|key| answer.get(*key)?.as_str());
    let complete = complete.and_then(way);
    let same_host = |complete: &Url| {
        Url::parse(plain).is_ok_and(|plain| {
            plain.host() == complete.host()
                && plain.port_or_known_default() == complete.port_or_known_default()
        })
    };
    match complete {
        Some(complete) if same_host(&complete) => complete.to_string(),
        _ => plain.to_owned(),
    }
}

/// Reads an address that people may be sent to: https, or this machine.
fn way(text: &str) -> Option<Url> {
    if text.len() > MAX_ADDRESS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let here = url.scheme() == "http" && is_this_machine(&url);
    let plain = url.username().is_empty() && url.password().is_none();
    (plain && (here || url.scheme() == "https")).then_some(url)
}
