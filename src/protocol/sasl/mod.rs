//! SASL messages: PLAIN and LOGIN in from a client, in `bearer` also XOAUTH2 and OAUTHBEARER; `token` has those two out to
//! a server.
//!
//! Pure: knows neither lines nor prompts of the protocol that carries the messages. What holds a secret is wiped when
//! dropped and prints as `***`.

use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use zeroize::Zeroizing;

use crate::secret::Password;

mod bearer;
mod token;

pub use bearer::OneMessage;
pub use token::{Mechanism, Message};

/// The prompt for the user name in a LOGIN exchange: `Username:` in base64.
pub const USER_PROMPT: &str = "VXNlcm5hbWU6";

/// The prompt for the password in a LOGIN exchange: `Password:` in base64.
pub const PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

/// The longest user name, in bytes: 64 for the local part, an at sign, 255 for the domain.
const MAX_USER: usize = 320;

/// The longest password, in bytes.
const MAX_PASSWORD: usize = 1024;

/// Base64 as clients write it: with, without or with too little padding.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why something a client sent makes no sense; fit to be shown to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub &'static str);

impl Nonsense {
    const NOT_BASE64: Self = Self("this is not base64");
    const NOT_TWO_NULS: Self =
        Self("a PLAIN message has two NUL bytes: before and behind the user name");

    /// Returns whether a message could not even be decoded.
    pub fn is_undecodable(self) -> bool {
        [Self::NOT_BASE64, Self::NOT_TWO_NULS].contains(&self)
    }
}

/// What a client logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name: UTF-8, 1 to 320 bytes, no blanks or control bytes.
    pub user: String,
    /// The password: up to 1,024 bytes, possibly none, without NUL, CR and LF.
    pub password: Password,
}

/// Reads a PLAIN message in base64 (RFC 4616): authorization identity, NUL, user, NUL, password.
///
/// The authorization identity must be empty or the user: nobody acts for somebody else here.
pub fn plain(line: &[u8]) -> Result<Credentials, Nonsense> {
    let message = unbase64(line)?;
    let mut parts = message.split(|&byte| byte == 0);
    let (Some(acts_for), Some(name), Some(word), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Nonsense::NOT_TWO_NULS);
    };
    if !acts_for.is_empty() && acts_for != name {
        return Err(Nonsense(
            "the authorization identity must be empty or the user name",
        ));
    }
    Ok(Credentials {
        user: user(name)?,
        password: password(word)?,
    })
}

/// Reads the user name of a LOGIN exchange, in base64.
pub fn login_user(line: &[u8]) -> Result<String, Nonsense> {
    user(&unbase64(line)?)
}

/// Reads the password of a LOGIN exchange, in base64.
pub fn login_password(line: &[u8]) -> Result<Password, Nonsense> {
    password(&unbase64(line)?)
}

/// Checks a user name as it came: UTF-8, 1 to 320 bytes, no blanks or control bytes.
pub fn user(name: &[u8]) -> Result<String, Nonsense> {
    if name.is_empty() {
        return Err(Nonsense("the user name is empty"));
    }
    if name.len() > MAX_USER {
        return Err(Nonsense("the user name is longer than 320 bytes"));
    }
    if name.iter().any(|&byte| byte < 0x21 || byte == 0x7f) {
        return Err(Nonsense(
            "the user name holds a blank or a control character",
        ));
    }
    String::from_utf8(name.to_vec()).map_err(|_| Nonsense("the user name is not UTF-8"))
}

/// Checks a password as it came, in whatever encoding: at most 1,024 bytes without NUL, CR and LF; none is allowed, so
/// that the refusal can say so.
pub fn password(word: &[u8]) -> Result<Password, Nonsense> {
    if word.len() > MAX_PASSWORD {
        return Err(Nonsense("the password is longer than 1,024 bytes"));
    }
    if word.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(Nonsense("the password holds a NUL or a line end"));
    }
    Ok(Password::new(word.to_vec()))
}

/// Decodes base64 as clients write it: blanks behind it and missing padding do no harm, `=` alone is the empty message
/// (RFC 4954 section 4).
pub fn unbase64(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, Nonsense> {
    match line.trim_ascii_end() {
        b"=" => Ok(Zeroizing::default()),
        text => TOLERANT
            .decode(text)
            .map(Zeroizing::new)
            .map_err(|_| Nonsense::NOT_BASE64),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn b64(bytes: &[u8]) -> Vec<u8> {
        STANDARD.encode(bytes).into_bytes()
    }

    fn accepted(message: &[u8]) -> (String, Vec<u8>) {
        let found = plain(&b64(message)).unwrap();
        (found.user, found.password.reveal().clone())
    }

    #[test]
    fn plain_gives_user_and_password_in_any_encoding() {
        let u = || "u@example.org".to_owned();
        assert_eq!(accepted(b"\0u@example.org\0pw"), (u(), b"pw".to_vec()));
        assert_eq!(
            accepted(b"u@example.org\0u@example.org\0p w"),
            (u(), b"p w".to_vec())
        );
        assert_eq!(
            accepted(b"\0u@example.org\0p\xe4ss"),
            (u(), b"p\xe4ss".to_vec())
        );
        assert_eq!(
            accepted("\0jürgen@example.org\0pä€".as_bytes()),
            ("jürgen@example.org".into(), "pä€".into())
        );
        assert_eq!(accepted(b"\0u@example.org\0"), (u(), Vec::new()));
        let longest = [&b"\0"[..], &[b'u'; 320], b"\0", &[b'p'; 1024]].concat();
        assert_eq!(accepted(&longest).1.len(), 1024);
    }

    #[test]
    fn plain_refuses_what_it_cannot_mean() {
        let too_long = [&b"\0"[..], &[b'u'; 321], b"\0p"].concat();
        let too_much = [&b"\0u\0"[..], &[b'p'; 1025]].concat();
        for bad in [
            &b""[..],
            b"u pw",
            b"u\0pw",
            b"\0u\0pw\0",
            b"\0u\0p\0w",
            b"\0\0pw",
            b"other\0u\0pw",
            b"\0u v\0pw",
            b"\0u\r\nx\0pw",
            b"\0u\x7f\0pw",
            b"\0u\xe4\0pw",
            b"\0u\0p\nw",
            b"\0u\0p\rw",
            &too_long,
            &too_much,
        ] {
            assert!(plain(&b64(bad)).is_err(), "{bad:?}");
        }
        for bad in [&b"*"[..], b"!", b"AHUAcHc\xff", b"AHU AcHc=", b"A"] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn base64_is_read_as_clients_write_it() {
        for line in [
            &b"AHUAcHc="[..],
            b"AHUAcHc",
            b"AHUAcHc=  ",
            b"AHUAcHc \t",
            b"AHUAcHc=\r",
        ] {
            assert_eq!(plain(line).unwrap().user, "u", "{line:?}");
        }
        assert_eq!(login_user(b"dUBleGFtcGxlLm9yZw").unwrap(), "u@example.org");
        assert_eq!(login_password(b"cHc").unwrap().reveal(), b"pw");
        assert!(login_password(b"").unwrap().reveal().is_empty());
        assert!(login_password(b"=").unwrap().reveal().is_empty());
        assert!(login_user(b"").is_err());
        assert!(login_user(b"*").is_err());
        assert_eq!(USER_PROMPT.as_bytes(), b64(b"Username:"));
        assert_eq!(PASSWORD_PROMPT.as_bytes(), b64(b"Password:"));
    }
}
