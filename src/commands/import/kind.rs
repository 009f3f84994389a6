//! Which program a file is of, told by its content.
//!
//! Pure: bytes in, what they say out.

use serde_json::Value;

use super::found::Found;
use super::{json, oama, pizauth};

/// Reads a file of any of these programs. The error says what to do instead.
pub(super) fn read(bytes: &[u8]) -> Result<(&'static str, Vec<Found>), String> {
    if is_encrypted(bytes) {
        return Err(
            "it is encrypted; hand it over in plain text, as in `gpg -d FILE | emailproxy import -`".into(),
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(
            "it is no text; what `pizauth dump` writes can be read by pizauth alone, import its pizauth.conf instead"
                .into(),
        );
    };
    let text = text.trim_start_matches('\u{feff}');
    if let Ok(Value::Object(fields)) = serde_json::from_str(text)
        && let Some((kind, found)) = json::read(&fields)
    {
        return Ok((kind, vec![found]));
    }
    if let Some(found) = pizauth::read(text) {
        return Ok(("settings of pizauth", found));
    }
    if let Some(found) = oama::read(text) {
        return Ok(("settings of oama", found));
    }
    Err("it is no file of sasl-xoauth2, mutt_oauth2.py, oama or pizauth that could be read".into())
}

/// Returns whether this is `OpenPGP` data, armoured or not, or what age writes.
fn is_encrypted(bytes: &[u8]) -> bool {
    let armoured = bytes.trim_ascii_start();
    let tags = [0x84, 0x85, 0x86, 0x8c, 0xc1, 0xc3];
    armoured.starts_with(b"-----BEGIN PGP")
        || armoured.starts_with(b"-----BEGIN AGE")
        || bytes.starts_with(b"age-encryption.org/")
        || bytes.first().is_some_and(|first| tags.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_content() {
        for (text, kind) in [
            (
                &b"\xef\xbb\xbf{\"refresh_token\": \"r\", \"expiry\": \"1\"}\n"[..],
                "a token file of sasl-xoauth2",
            ),
            (
                b"{\"registration\": \"google\", \"email\": \"a@b\"}",
                "a token file of mutt_oauth2.py",
            ),
            (
                b"services:\n  google:\n    client_id: x\n",
                "settings of oama",
            ),
            (
                b"account \"x\" { client_id = \"y\"; }",
                "settings of pizauth",
            ),
        ] {
            assert_eq!(read(text).unwrap().0, kind);
        }
        for (bytes, hint) in [
            (&b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n"[..], "gpg -d"),
            (b"\x85\x01\x0c\x03", "gpg -d"),
            (b"\x01\x02\xff\xfe", "pizauth.conf"),
            (b"[section]\nkey = value\n", "no file of"),
            (b"[1, 2]", "no file of"),
            (b"", "no file of"),
        ] {
            let why = read(bytes).unwrap_err();
            assert!(why.contains(hint), "{why}");
        }
    }
}
