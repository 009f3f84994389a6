//! Values that must not be seen: they print as `***` and are wiped when dropped.
//!
//! Knows nothing of where a secret comes from or what it opens.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

/// A value that prints as `***` in every format and is wiped when dropped.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

/// A local password, as the bytes the client sent: not every client speaks UTF-8.
pub type Password = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value for use. Every call is a place to look at in review.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Plain equality, for settings. Where an attacker may guess, compare by a keyed digest instead.
impl<T: Zeroize + PartialEq> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl<T: Zeroize + Eq> Eq for Secret<T> {}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

impl From<&str> for Secret<Vec<u8>> {
    fn from(value: &str) -> Self {
        Self::new(value.as_bytes().to_vec())
    }
}

/// A bearer token fit to be sent: 1 to 16,384 bytes of RFC 6750 section 2.1 `b64token`. Cloning shares it: each copy would
/// have to be wiped, byte by byte.
#[derive(Clone)]
pub struct AccessToken(Arc<Secret<String>>);

/// The longest access token accepted, in bytes.
const MAX_TOKEN: usize = 16_384;

impl AccessToken {
    /// Accepts a token only if it cannot break out of the SASL message it will be put into.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the access token is empty");
        }
        if text.len() > MAX_TOKEN {
            return Err("the access token is longer than 16,384 bytes");
        }
        let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if !text.bytes().all(fit) {
            return Err("the access token holds characters that no bearer token may have");
        }
        Ok(Self(Arc::new(Secret::from(text))))
    }

    /// Returns the token for the one place that sends it.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r21_secrets_print_as_stars_in_every_format() {
        let secret = Secret::<String>::from("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "*** *** Some(\n    ***,\n)"
        );
        let token = AccessToken::parse("ya29.abc").unwrap();
        assert_eq!(format!("{token:?}"), "***");
    }

    #[test]
    fn tokens_that_could_break_a_sasl_message_are_refused() {
        for bad in ["", "a b", "a\u{1}b", "a\r\nb", "tök"] {
            assert!(AccessToken::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AccessToken::parse(&"a".repeat(16_384)).is_ok());
        assert!(AccessToken::parse(&"a".repeat(16_385)).is_err());
        assert!(AccessToken::parse("eyJ0.e-_~+/=").is_ok());
    }
}
