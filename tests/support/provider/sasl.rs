//! The only two ways into the pretend mail servers: XOAUTH2, and OAUTHBEARER (RFC 7628).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::World;

/// The challenge behind which a token is refused, base64.
pub fn challenge(mechanism: &str) -> String {
    let json = if mechanism == "OAUTHBEARER" {
        r#"{"status":"invalid_token","scope":"https://mail.example.com/"}"#
    } else {
        r#"{"status":"401","schemes":"bearer","scope":"https://mail.example.com/"}"#
    };
    BASE64_STANDARD.encode(json)
}

/// Reads a login and returns the user it is good for; the error is for the journal.
///
/// Who reads mail may do so as a delegate; who sends must give the name that the token is for.
pub fn judge(
    world: &World,
    mechanism: &str,
    response: &str,
    sends: bool,
) -> Result<String, String> {
    let bytes = BASE64_STANDARD
        .decode(response)
        .map_err(|error| format!("the response is not base64: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the response is not UTF-8".to_owned())?;
    let (user, token) = match mechanism {
        "XOAUTH2" => xoauth2(&text),
        "OAUTHBEARER" => oauthbearer(&text),
        other => return Err(format!("mechanism {other} is not offered")),
    }
    .ok_or_else(|| format!("the {mechanism} response is malformed"))?;
    let delegates = world.knob(|knobs| knobs.delegates.clone());
    let mut delegates = delegates
        .iter()
        .filter(|(mailbox, _)| !sends && *mailbox == user);
    let opens = |owner: &str| world.register.opens(token, owner);
    if opens(user) || delegates.any(|(_, delegate)| opens(delegate)) {
        return Ok(user.to_owned());
    }
    Err(format!("the token is not good for {user}"))
}

fn xoauth2(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("user=")?
        .strip_suffix("\u{1}\u{1}")?
        .split_once("\u{1}auth=Bearer ")
}

fn oauthbearer(text: &str) -> Option<(&str, &str)> {
    let (header, fields) = text.strip_suffix("\u{1}\u{1}")?.split_once(",\u{1}")?;
    let user = header.strip_prefix("n,a=")?;
    let mut token = None;
    for field in fields.split('\u{1}') {
        match field.split_once('=')? {
            ("auth", value) => token = value.strip_prefix("Bearer "),
            ("host", value) if !value.is_empty() => {}
            ("port", value) if value.parse::<u16>().is_ok() => {}
            _ => return None,
        }
    }
    Some((user, token?))
}
