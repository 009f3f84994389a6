//! Tokens cached by the predecessor: Fernet texts under a PBKDF2 key, read once and written only on the owner's wish.
//!
//! Knows the format alone; what becomes of the values is decided elsewhere.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2, rand};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Cached;
use crate::secret::{Password, Secret};

/// The rounds of today's files, and the ones we write.
pub(super) const ROUNDS: u32 = 1_200_000;

/// The rounds of files that do not name any.
const LEGACY_ROUNDS: u32 = 100_000;

/// The most rounds we are willing to do for a file (about 2 s).
const MOST_ROUNDS: u32 = 10_000_000;

/// Values of one account in the predecessor's cache file, waiting for the password that opens them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Carried {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_salt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_iterations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_token_expiry: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret_encrypted: Option<String>,
}

/// What a password opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened {
    pub(super) access: Option<Secret<String>>,
    pub(super) refresh: Option<Secret<String>>,
    pub(super) client_secret: Option<Secret<String>>,
}

impl Opened {
    /// Returns whether the password opened nothing at all.
    fn is_empty(&self) -> bool {
        self.access.is_none() && self.refresh.is_none() && self.client_secret.is_none()
    }
}

/// Lays the values of an imported cache file over those of the configuration file.
pub(super) fn overlay(config: &Cached, imported: Option<&Carried>) -> Cached {
    let Some(own) = imported else {
        return config.clone();
    };
    Cached {
        token_salt: own.token_salt.clone().or_else(|| config.token_salt.clone()),
        token_iterations: own.token_iterations.or(config.token_iterations),
        access_token: own
            .access_token
            .clone()
            .or_else(|| config.access_token.clone()),
        access_token_expiry: own.access_token_expiry.or(config.access_token_expiry),
        refresh_token: own
            .refresh_token
            .clone()
            .or_else(|| config.refresh_token.clone()),
        client_secret_encrypted: own
            .client_secret_encrypted
            .clone()
            .or_else(|| config.client_secret_encrypted.clone()),
    }
}

/// Returns whether there is anything that a password could open.
pub(super) fn holds_anything(cached: &Cached) -> bool {
    let ciphertext = cached.access_token.is_some()
        || cached.refresh_token.is_some()
        || (cached.client_secret_encrypted.as_ref())
            .is_some_and(|text| !text.starts_with(super::secrets::STORED));
    ciphertext && salt_of(cached).is_some()
}

/// Opens what the password opens; nothing if it opens nothing. Slow: up to 1,200,000 rounds per spelling.
pub(super) fn open(cached: &Cached, password: &Password) -> Option<Opened> {
    let salt = salt_of(cached)?;
    let mut opened = Opened::default();
    for spelling in spellings(password.reveal()) {
        for rounds in rounds_of(cached) {
            let key = derive(&spelling, &salt, rounds);
            let fill = |slot: &mut Option<Secret<String>>, token: Option<&String>| {
                if let (None, Some(token)) = (&slot, token) {
                    *slot = fernet_open(&key, token);
                }
            };
            fill(&mut opened.access, cached.access_token.as_ref());
            fill(&mut opened.refresh, cached.refresh_token.as_ref());
            fill(
                &mut opened.client_secret,
                cached.client_secret_encrypted.as_ref(),
            );
            let complete = (cached.access_token.is_none() || opened.access.is_some())
                && (cached.refresh_token.is_none() || opened.refresh.is_some())
                && (cached.client_secret_encrypted.is_none() || opened.client_secret.is_some());
            if complete {
                return Some(opened);
            }
        }
        if !opened.is_empty() {
            return Some(opened);
        }
    }
    None
}

/// Opens only the application's secret.
pub(super) fn open_client_secret(cached: &Cached, password: &Password) -> Option<Secret<String>> {
    let only = Cached {
        access_token: None,
        refresh_token: None,
        ..cached.clone()
    };
    open(&only, password)?.client_secret
}

/// Closes a value for the predecessor's file: the pairs to write, in its order. Slow.
///
/// An existing salt is used again, because other values of the account depend on it.
pub(super) fn seal_client_secret(
    cached: &Cached,
    password: &Password,
    secret: &Secret<String>,
) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let salt = if let Some(salt) = salt_of(cached) {
        salt
    } else {
        let mut salt = vec![0; 16];
        rand::fill(&mut salt).ok()?;
        pairs.push(("token_salt".to_owned(), STANDARD.encode(&salt)));
        salt
    };
    // Today's rounds are always tried, so a file that names others needs no change.
    if cached.token_iterations.is_none() {
        pairs.push(("token_iterations".to_owned(), ROUNDS.to_string()));
    }
    let spelling = String::from_utf8_lossy(password.reveal()).into_owned();
    let key = derive(spelling.as_bytes(), &salt, ROUNDS);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let mut iv = [0; 16];
    rand::fill(&mut iv).ok()?;
    let token = fernet_seal(&key, now.as_secs(), iv, secret.reveal().as_bytes())?;
    pairs.push(("client_secret_encrypted".to_owned(), token));
    Some(pairs)
}

/// The spellings of a password that tokens may be bound to: as received, with other backslash escapes, and with bytes
/// that are no UTF-8 replaced by U+FFFD.
fn spellings(password: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(String::from_utf8_lossy(password).into_owned());
    let mut all = vec![Zeroizing::new(text.as_bytes().to_vec())];
    let more = [
        text.replace('\\', "\\\\"),
        text.replace("\\\\", "\\"),
        text.replace("\\\\", "\\").replace("\\\"", "\""),
    ];
    for spelling in more.map(|s| Zeroizing::new(s.into_bytes())) {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

/// The round counts to try: the file's own first, because it most likely fits.
fn rounds_of(cached: &Cached) -> Vec<u32> {
    let mut all = Vec::new();
    let stored = cached.token_iterations.unwrap_or(LEGACY_ROUNDS);
    for rounds in [stored, ROUNDS, LEGACY_ROUNDS] {
        if (1..=MOST_ROUNDS).contains(&rounds) && !all.contains(&rounds) {
            all.push(rounds);
        }
    }
    all
}

fn salt_of(cached: &Cached) -> Option<Vec<u8>> {
    let salt = decode_leniently(cached.token_salt.as_deref()?)?;
    (!salt.is_empty()).then_some(salt)
}

/// Decodes base64 of either alphabet, passing over everything that belongs to neither.
fn decode_leniently(text: &str) -> Option<Vec<u8>> {
    let engine = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let clean: String = text
        .chars()
        .filter_map(|c| match c {
            '-' => Some('+'),
            '_' => Some('/'),
            '+' | '/' => Some(c),
            c if c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        })
        .collect();
    engine.decode(clean).ok()
}

fn derive(password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        password,
        key.as_mut_slice(),
    );
    key
}

/// Opens a Fernet token (0x80, 8 bytes time, 16 bytes IV, AES-128-CBC text, HMAC-SHA256 over all before). Its age is
/// of no interest.
fn fernet_open(key: &[u8; 32], token: &str) -> Option<Secret<String>> {
    let (sign_key, crypt_key) = key.split_at_checked(16)?;
    let token = decode_leniently(token)?;
    let (signed, tag) = token.split_at_checked(token.len().checked_sub(32)?)?;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, sign_key), signed, tag).ok()?;
    let (head, body) = signed.split_at_checked(25)?;
    if head.first() != Some(&0x80) || body.is_empty() || body.len() % 16 != 0 {
        return None;
    }
    let iv: [u8; 16] = head.get(9..)?.try_into().ok()?;
    let cipher = UnboundCipherKey::new(&AES_128, crypt_key).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).ok()?;
    let mut body = Zeroizing::new(body.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(&iv));
    let plain = cipher.decrypt(body.as_mut_slice(), context).ok()?;
    Some(Secret::from(std::str::from_utf8(plain).ok()?))
}

fn fernet_seal(key: &[u8; 32], time: u64, iv: [u8; 16], plain: &[u8]) -> Option<String> {
    let (sign_key, crypt_key) = key.split_at_checked(16)?;
    let cipher = UnboundCipherKey::new(&AES_128, crypt_key).ok()?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).ok()?;
    let mut body = plain.to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(&iv));
    cipher.less_safe_encrypt(&mut body, context).ok()?;
    let mut token = [&[0x80], time.to_be_bytes().as_slice(), &iv, &body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, sign_key), &token);
    token.extend_from_slice(tag.as_ref());
    Some(URL_SAFE.encode(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "AAECAwQFBgcICQoLDA0ODw==";
    const PLAIN: &str = "ya29.access-token-VALUE";
    const T100K: &str = "gAAAAABlU_EAEBESExQVFhcYGRobHB0eHwDe3mnh4OtPD6RMNXLWXykcWg-o9uTts6fyjkO5KgtzboRPDEG3jb6PEONZNk9MsgWTbguyS0UIYNW2If4qlT8=";
    const T870K: &str = "gAAAAABlU_EAEBESExQVFhcYGRobHB0eH30V3URXznNl9QWrFpDYPDxOPUX41kVyw0PcYXC7zJKR7zUhmovbgorTIEf9S4cCJXKKAWAtMfmvxqPG0Zq1oA0=";
    const T1200K: &str = "gAAAAABlU_EAEBESExQVFhcYGRobHB0eH3Wp0Zc1FOWBuNpwixkTAKFmVdvnKt1mQXGzpr5GUsoNqSdmz-tVeajWUV3wOMn-6HRWa2PRQmCq3zTTsm_B3cU=";
    const UTF8: &str = "gAAAAABlU_EAEBESExQVFhcYGRobHB0eH-t-7A8XzTEbZyglF4E6YpPdAhpyjpM8mjrHtCz91YSCQKBK86yvhqZ_ZkVOw3QEYXcgZsWoj9aGaWv5x2EMkKo=";

    fn cached(token: &str, rounds: Option<u32>) -> Cached {
        Cached {
            token_salt: Some(SALT.into()),
            token_iterations: rounds,
            refresh_token: Some(token.into()),
            ..Cached::default()
        }
    }

    fn refresh(cached: &Cached, password: &[u8]) -> Option<String> {
        let opened = open(cached, &Password::new(password.to_vec()))?;
        opened.refresh.map(|token| token.reveal().clone())
    }

    #[test]
    fn keys_and_tokens_are_those_of_the_predecessor() {
        let salt = decode_leniently(SALT).unwrap();
        let vectors = [
            (
                "pw",
                100_000,
                "--eZA9dZuCbh1UvZ5Pi-st5ah6yGA3x2MorUhf2JRnE=",
                T100K,
            ),
            (
                "pw",
                870_000,
                "SnJTv1wDTuzACJDO7EAUAeDNdI0L_YGr0X4wbku__9o=",
                T870K,
            ),
            (
                "pw",
                1_200_000,
                "9Rh_JA67E41fCouChhJ9_pBdHxvS2NS56PYjxQMZQaY=",
                T1200K,
            ),
            (
                "pässwörd€",
                1_200_000,
                "kCzGK9WyWsPKaRDoOZKy-LG-9lSV_ETQArikKj5_ptE=",
                UTF8,
            ),
        ];
        let mut iv = [0; 16];
        iv.iter_mut().zip(0x10..).for_each(|(to, n)| *to = n);
        for (password, rounds, key_text, token) in vectors {
            let key = derive(password.as_bytes(), &salt, rounds);
            assert_eq!(URL_SAFE.encode(*key), key_text);
            assert_eq!(fernet_open(&key, token).unwrap().reveal(), PLAIN);
            let sealed = fernet_seal(&key, 1_700_000_000, iv, PLAIN.as_bytes()).unwrap();
            assert_eq!(sealed, token);
        }
        let key = derive("pässwörd€".as_bytes(), &salt, 100_000);
        assert_eq!(
            URL_SAFE.encode(*key),
            "9pkDaE-pqdaML-Ja0_oEyuvhEJ2iuxX8xEtkW0onxI0="
        );
    }

    #[test]
    fn the_right_password_opens_whatever_rounds_the_file_names() {
        assert_eq!(refresh(&cached(T100K, None), b"pw").as_deref(), Some(PLAIN));
        assert_eq!(
            refresh(&cached(T100K, Some(1_200_000)), b"pw").as_deref(),
            Some(PLAIN)
        );
        assert_eq!(
            refresh(&cached(T870K, Some(870_000)), b"pw").as_deref(),
            Some(PLAIN)
        );
        assert_eq!(
            refresh(&cached(T1200K, None), b"pw").as_deref(),
            Some(PLAIN)
        );
        assert_eq!(refresh(&cached(T100K, None), b"pW"), None);
        assert_eq!(refresh(&cached(T870K, None), b"pw"), None);
    }

    #[test]
    fn salts_and_tokens_may_hold_stray_characters() {
        let mut odd = cached(&T100K.replace("LWX", "L\n WX"), Some(100_000));
        odd.token_salt = Some(" AAECAwQFBg\tcICQoLDA0ODw== ".into());
        assert_eq!(refresh(&odd, b"pw").as_deref(), Some(PLAIN));
        odd.token_salt = None;
        assert!(!holds_anything(&odd));
        assert_eq!(refresh(&odd, b"pw"), None);
    }

    #[test]
    fn backslashes_and_odd_bytes_open_what_they_once_closed() {
        let salt = decode_leniently(SALT).unwrap();
        let closed_with = |password: &str| {
            let key = derive(password.as_bytes(), &salt, 1_000);
            cached(&fernet_seal(&key, 0, [7; 16], b"x").unwrap(), Some(1_000))
        };
        // The client sent the quoted string "a\\b"; we read a\b, the file may be bound to a\\b.
        assert!(refresh(&closed_with(r"a\\b"), br"a\b").is_some());
        assert!(refresh(&closed_with(r"a\b"), br"a\\b").is_some());
        assert!(refresh(&closed_with("caf\u{fffd}"), b"caf\xe9").is_some());
        assert!(refresh(&closed_with("café"), "café".as_bytes()).is_some());
        assert!(refresh(&closed_with("ab"), br"a\b").is_none());
    }

    #[test]
    fn a_part_that_does_not_open_does_not_hide_the_others() {
        let mut two = cached(T100K, Some(100_000));
        two.client_secret_encrypted = Some(UTF8.into());
        let opened = open(&two, &Password::from("pw")).unwrap();
        assert!(opened.refresh.is_some() && opened.client_secret.is_none());
    }

    #[test]
    fn tampered_tokens_are_refused() {
        let key = derive(b"pw", &decode_leniently(SALT).unwrap(), 100_000);
        let good = decode_leniently(T100K).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(
                fernet_open(&key, &URL_SAFE.encode(bad)).is_none(),
                "byte {at}"
            );
            assert!(fernet_open(&key, &URL_SAFE.encode(&good[..at])).is_none());
        }
    }

    #[test]
    fn a_secret_we_close_the_predecessor_can_open() {
        let secret = Secret::from("s3cret");
        let password = Password::from("pw");
        let pairs = seal_client_secret(&Cached::default(), &password, &secret).unwrap();
        let value = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        let back = Cached {
            token_salt: value("token_salt"),
            token_iterations: value("token_iterations").map(|n| n.parse().unwrap()),
            client_secret_encrypted: value("client_secret_encrypted"),
            ..Cached::default()
        };
        assert_eq!(back.token_iterations, Some(1_200_000));
        assert_eq!(
            open_client_secret(&back, &password).unwrap().reveal(),
            "s3cret"
        );
        let again = seal_client_secret(&cached(T100K, Some(870_000)), &password, &secret).unwrap();
        assert_eq!(
            again.len(),
            1,
            "an existing salt and count stay as they are"
        );
    }
}
