//! Files as the predecessor leaves them: its cached values, sealed afresh under a password.
//!
//! A writer of its own, so that a mistake in the proxy's reader is not made here again.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

/// What one account's values are sealed with.
pub struct Seal {
    salt: [u8; 16],
    rounds: u32,
    key: [u8; 32],
}

impl Seal {
    /// Derives a key from a password as the predecessor understood it (PBKDF2-HMAC-SHA256).
    pub fn new(password: &str, rounds: u32) -> Self {
        let mut salt = [0; 16];
        rand::fill(&mut salt).unwrap();
        let mut key = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(rounds).unwrap(),
            &salt,
            password.as_bytes(),
            &mut key,
        );
        Self { salt, rounds, key }
    }

    /// Words the salt and, from the time when they were written down, the rounds.
    pub fn lines(&self) -> String {
        let salt = format!("token_salt = {}\n", BASE64_STANDARD.encode(self.salt));
        if self.rounds == 100_000 {
            return salt;
        }
        format!("{salt}token_iterations = {}\n", self.rounds)
    }

    /// Seals a value (Fernet: version, time, IV, AES-128-CBC, HMAC-SHA256).
    pub fn close(&self, plain: &str) -> String {
        let mut iv = [0; 16];
        rand::fill(&mut iv).unwrap();
        let cipher = UnboundCipherKey::new(&AES_128, &self.key[16..]).unwrap();
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).unwrap();
        let mut body = plain.as_bytes().to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(&iv));
        cipher.less_safe_encrypt(&mut body, context).unwrap();
        let mut token = vec![0x80];
        token.extend_from_slice(&1_700_000_000_u64.to_be_bytes());
        token.extend_from_slice(&iv);
        token.extend_from_slice(&body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key[..16]);
        let tag = hmac::sign(&key, &token);
        token.extend_from_slice(tag.as_ref());
        BASE64_URL_SAFE.encode(token)
    }
}
