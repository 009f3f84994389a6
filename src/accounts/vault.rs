//! Sealing: a random data key per account closes its fields; each password wraps that data key.
//!
//! Knows nothing of tokens, files or logins. What is sealed for one account and field opens for no other.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::{Password, Secret};

/// Bytes of an AES-GCM nonce.
const NONCE: usize = 12;

/// The most memory a stored wrap may ask for, in KiB: a file cannot make us take all there is.
const MOST_MEMORY: u32 = 1024 * 1024;

/// What turning a password into a key costs (Argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Memory, in KiB.
    pub(super) memory_kib: u32,
    /// Passes over it.
    pub(super) passes: u32,
    /// Lanes.
    pub(super) lanes: u32,
}

impl Cost {
    /// What new wraps cost: 64 MiB, three passes.
    pub(super) const NORMAL: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// The least Argon2 does, for tests of everything but the cost.
    #[cfg(test)]
    pub(super) const CHEAP: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    /// Turns a password into a 32-byte key.
    pub(super) fn derive(
        self,
        password: &Password,
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, &'static str> {
        if self.memory_kib > MOST_MEMORY || self.passes > 64 || self.lanes > 16 {
            return Err(
                "the stored key derivation asks for more than 1 GiB, 64 passes or 16 lanes",
            );
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| "the stored key derivation parameters are not valid")?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.reveal(), salt, key.as_mut_slice())
            .map_err(|_| "the key derivation failed")?;
        Ok(key)
    }
}

/// The random key that closes an account's fields.
#[derive(Clone, Debug)]
pub(super) struct DataKey(Secret<[u8; 32]>);

/// A data key closed with something an owner has; an account may have several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wrap {
    /// What opens it: `password`.
    pub(super) by: String,
    /// What the derivation costs.
    #[serde(flatten)]
    cost: Cost,
    /// Base64 salt.
    salt: String,
    /// The sealed data key.
    key: String,
}

impl DataKey {
    /// Makes a new one.
    pub(super) fn fresh() -> Result<Self, &'static str> {
        Ok(Self(Secret::new(random()?)))
    }

    /// Closes a field of an account.
    pub(super) fn seal(
        &self,
        account: &str,
        field: &str,
        plain: &[u8],
    ) -> Result<String, &'static str> {
        seal(self.0.reveal(), account, field, plain)
    }

    /// Opens a field of an account; nothing if it was sealed for something else or tampered with.
    pub(super) fn open(&self, account: &str, field: &str, sealed: &str) -> Option<Secret<Vec<u8>>> {
        open(self.0.reveal(), account, field, sealed)
    }

    /// Closes the key itself with a password. Slow.
    pub(super) fn wrap(
        &self,
        account: &str,
        password: &Password,
        cost: Cost,
    ) -> Result<Wrap, &'static str> {
        let salt: [u8; 16] = random()?;
        let by_password = cost.derive(password, &salt)?;
        Ok(Wrap {
            by: "password".into(),
            cost,
            salt: STANDARD.encode(salt),
            key: seal(&by_password, account, "data key", self.0.reveal())?,
        })
    }
}

impl Wrap {
    /// Returns whether this is the same wrap of the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// Opens a data key with a password; nothing if no wrap fits. Slow, once per wrap.
pub(super) fn unwrap(wraps: &[Wrap], account: &str, password: &Password) -> Option<DataKey> {
    wraps
        .iter()
        .filter(|w| w.by == "password")
        .find_map(|wrap| {
            let salt = STANDARD.decode(&wrap.salt).ok()?;
            let by_password = wrap.cost.derive(password, &salt).ok()?;
            let key = open(&by_password, account, "data key", &wrap.key)?;
            let key: [u8; 32] = key.reveal().as_slice().try_into().ok()?;
            Some(DataKey(Secret::new(key)))
        })
}

/// Returns random bytes.
fn random<const N: usize>() -> Result<[u8; N], &'static str> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
    Ok(bytes)
}

/// Binds a ciphertext to its place.
fn place(account: &str, field: &str) -> Vec<u8> {
    [account.as_bytes(), b"\0", field.as_bytes()].concat()
}

fn seal(key: &[u8; 32], account: &str, field: &str, plain: &[u8]) -> Result<String, &'static str> {
    let broken = |_| "sealing failed";
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(broken)?;
    let mut body = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(place(account, field)), &mut body)
        .map_err(broken)?;
    Ok(STANDARD.encode([nonce.as_ref().as_slice(), &body].concat()))
}

fn open(key: &[u8; 32], account: &str, field: &str, sealed: &str) -> Option<Secret<Vec<u8>>> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, body) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = key
        .open_in_place(nonce, Aad::from(place(account, field)), body.as_mut_slice())
        .ok()?;
    Some(Secret::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_opens_only_in_its_own_place() {
        let key = DataKey::fresh().unwrap();
        let sealed = key.seal("u@example.org", "refresh", b"1//token").unwrap();
        let open = |account, field| key.open(account, field, &sealed);
        assert_eq!(
            open("u@example.org", "refresh").unwrap().reveal(),
            b"1//token"
        );
        assert!(open("v@example.org", "refresh").is_none());
        assert!(open("u@example.org", "access").is_none());
        assert!(
            DataKey::fresh()
                .unwrap()
                .open("u@example.org", "refresh", &sealed)
                .is_none()
        );
        assert_ne!(
            sealed,
            key.seal("u@example.org", "refresh", b"1//token").unwrap()
        );
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = DataKey::fresh().unwrap();
        let sealed = STANDARD
            .decode(key.seal("u", "f", b"secret").unwrap())
            .unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(
                key.open("u", "f", &STANDARD.encode(bad)).is_none(),
                "byte {at}"
            );
            assert!(
                key.open("u", "f", &STANDARD.encode(&sealed[..at]))
                    .is_none()
            );
        }
        assert!(key.open("u", "f", "not base64!").is_none());
    }

    #[test]
    fn any_of_several_passwords_opens_the_same_key() {
        let key = DataKey::fresh().unwrap();
        let wraps = [
            key.wrap("u", &Password::from("one"), Cost::CHEAP).unwrap(),
            key.wrap("u", &Password::from("two"), Cost::CHEAP).unwrap(),
        ];
        let sealed = key.seal("u", "f", b"x").unwrap();
        for good in ["one", "two"] {
            let key = unwrap(&wraps, "u", &Password::from(good)).unwrap();
            assert_eq!(key.open("u", "f", &sealed).unwrap().reveal(), b"x");
        }
        assert!(unwrap(&wraps, "u", &Password::from("three")).is_none());
        assert!(unwrap(&wraps, "v", &Password::from("one")).is_none());
    }

    #[test]
    fn new_wraps_cost_64_mib_and_say_so() {
        let wrap = DataKey::fresh()
            .unwrap()
            .wrap("u", &Password::from("pw"), Cost::NORMAL)
            .unwrap();
        let text = serde_json::to_value(&wrap).unwrap();
        assert_eq!(
            (&text["memory_kib"], &text["passes"]),
            (&65_536.into(), &3.into())
        );
        let back: Wrap = serde_json::from_value(text).unwrap();
        assert!(unwrap(&[back], "u", &Password::from("pw")).is_some());
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory() {
        let cost = Cost {
            memory_kib: u32::MAX,
            ..Cost::CHEAP
        };
        assert!(cost.derive(&Password::from("pw"), &[0; 16]).is_err());
    }
}
