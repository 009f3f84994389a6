//! Sealing: a random data key per account closes its fields; each password wraps that data key, and so may a store key.
//!
//! Knows nothing of tokens, files or logins. What is sealed for one account and field opens for no other.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::terms::Terms;
use crate::refusal::Refusal;
use crate::secret::{Password, Secret};

#[cfg(test)]
mod tests;

/// Bytes of an AES-GCM nonce.
const NONCE: usize = 12;

/// The most memory a stored wrap may ask for, in KiB: a file cannot make us take all there is.
const MOST_MEMORY: u32 = 1024 * 1024;

/// The most passwords that an account may have: a guess tries them all.
pub(super) const MOST_PASSWORDS: usize = 16;

/// What opens a wrap.
const BY_PASSWORD: &str = "password";
const BY_STORE: &str = "store";

/// The places that wrapped data keys are bound to.
const KEY_FIELD: &str = "data key";
const STORE_FIELD: &str = "data key by store";

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
    #[cfg(any(test, fuzzing))]
    pub(super) const CHEAP: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    /// Turns a password into a 32-byte key. Where the system gives no memory for it, that says nothing of the password.
    pub(super) fn derive(
        self,
        password: &Password,
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, NoKey> {
        if self.memory_kib > MOST_MEMORY || self.passes > 64 || self.lanes > 16 {
            return Err(NoKey::Never(
                "the stored key derivation asks for more than 1 GiB, 64 passes or 16 lanes",
            ));
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| "the stored key derivation parameters are not valid")?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.reveal(), salt, key.as_mut_slice())
            .map_err(|error| match error {
                argon2::Error::OutOfMemory => NoKey::Memory,
                _ => NoKey::Never("the key derivation failed"),
            })?;
        Ok(key)
    }
}

/// Why a password could not be turned into a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The system has no memory for it just now.
    Memory,
    /// It will not go another time either, for this reason.
    Never(&'static str),
}

impl From<&'static str> for NoKey {
    fn from(why: &'static str) -> Self {
        Self::Never(why)
    }
}

impl From<NoKey> for Refusal {
    fn from(why: NoKey) -> Self {
        match why {
            NoKey::Memory => Self::Busy("the system has no memory left to check a password with"),
            NoKey::Never(why) => Self::Misconfigured(why.into()),
        }
    }
}

/// The random key that closes an account's fields.
#[derive(Clone, Debug)]
pub(super) struct DataKey(Secret<[u8; 32]>);

/// A data key closed with something an owner has; an account may have several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wrap {
    /// What opens it: `password` or `store`.
    by: String,
    /// What the derivation costs, where there is one.
    #[serde(flatten)]
    cost: Option<Cost>,
    /// Base64 salt, where there is a derivation. Passwords of one account share it, so that one derivation serves all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    salt: String,
    /// The sealed data key.
    key: String,
    /// What the password is good for.
    #[serde(flatten)]
    terms: Terms,
}

/// A password turned into a key, ready to wrap any data key. Making one is slow.
#[derive(Clone)]
pub(super) struct Derived {
    cost: Cost,
    salt: String,
    key: Secret<[u8; 32]>,
}

impl Derived {
    /// Derives the key of a password that is to join `wraps`.
    pub(super) fn of(password: &Password, wraps: &[Wrap], cost: Cost) -> Result<Self, NoKey> {
        let shared = wraps
            .iter()
            .find(|wrap| wrap.is_by_password() && wrap.cost == Some(cost));
        let salt = match shared.and_then(|wrap| STANDARD.decode(&wrap.salt).ok()) {
            Some(salt) => salt,
            None => random::<16>()?.to_vec(),
        };
        let key = cost.derive(password, &salt)?;
        Ok(Self {
            cost,
            salt: STANDARD.encode(salt),
            key: Secret::new(*key),
        })
    }
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

    /// Closes the key itself with a password, on terms that cannot be changed afterwards.
    pub(super) fn wrap(
        &self,
        account: &str,
        derived: &Derived,
        terms: Terms,
    ) -> Result<Wrap, &'static str> {
        let field = field_of(&terms)?;
        Ok(Wrap {
            by: BY_PASSWORD.into(),
            cost: Some(derived.cost),
            salt: derived.salt.clone(),
            key: seal(derived.key.reveal(), account, &field, self.0.reveal())?,
            terms,
        })
    }

    /// Closes the key itself with the store's.
    pub(super) fn wrap_by_store(
        &self,
        account: &str,
        store: &Secret<[u8; 32]>,
    ) -> Result<Wrap, &'static str> {
        Ok(Wrap {
            by: BY_STORE.into(),
            cost: None,
            salt: String::new(),
            key: seal(store.reveal(), account, STORE_FIELD, self.0.reveal())?,
            terms: Terms::default(),
        })
    }
}

impl Wrap {
    /// Tells this wrap from all others.
    pub(super) fn id(&self) -> &str {
        &self.key
    }

    /// Returns whether this is the same wrap of the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Returns whether a password opens it.
    pub(super) fn is_by_password(&self) -> bool {
        self.by == BY_PASSWORD
    }

    /// Returns whether the store's key opens it.
    pub(super) fn is_by_store(&self) -> bool {
        self.by == BY_STORE
    }

    /// Returns what its password is good for. True only once it was opened.
    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Opens it with the store's key.
    pub(super) fn open_by_store(&self, account: &str, store: &Secret<[u8; 32]>) -> Option<DataKey> {
        if !self.is_by_store() {
            return None;
        }
        data_key(&open(store.reveal(), account, STORE_FIELD, &self.key)?)
    }
}

/// Opens a data key with a password: the key, and the ids of the wraps that it opened. Nothing if no wrap fits; an error
/// where that could not be found out.
///
/// Slow, once per salt: passwords that were set here share one.
pub(super) fn unwrap(
    wraps: &[Wrap],
    account: &str,
    password: &Password,
) -> Result<Option<(DataKey, Vec<String>)>, NoKey> {
    let mut derived: Vec<(&str, Cost, Zeroizing<[u8; 32]>)> = Vec::new();
    let mut opened = Vec::new();
    let mut found = None;
    let by_password = wraps.iter().filter(|wrap| wrap.is_by_password());
    for wrap in by_password.take(MOST_PASSWORDS) {
        let Some(cost) = wrap.cost else { continue };
        let known = derived
            .iter()
            .position(|(salt, at, _)| *salt == wrap.salt && *at == cost);
        let at = if let Some(at) = known {
            at
        } else {
            let Ok(salt) = STANDARD.decode(&wrap.salt) else {
                continue;
            };
            let key = match cost.derive(password, &salt) {
                Ok(key) => key,
                Err(NoKey::Never(_)) => continue,
                Err(NoKey::Memory) => return Err(NoKey::Memory),
            };
            derived.push((&wrap.salt, cost, key));
            derived.len() - 1
        };
        let (Some((_, _, key)), Ok(field)) = (derived.get(at), field_of(&wrap.terms)) else {
            continue;
        };
        if let Some(plain) = open(key, account, &field, &wrap.key) {
            found = found.or_else(|| data_key(&plain));
            opened.push(wrap.key.clone());
        }
    }
    Ok(found.map(|key| (key, opened)))
}

/// Reads an opened data key.
fn data_key(plain: &Secret<Vec<u8>>) -> Option<DataKey> {
    let key: [u8; 32] = plain.reveal().as_slice().try_into().ok()?;
    Some(DataKey(Secret::new(key)))
}

/// Names the field of a password's wrap: its terms are part of the name. A wrap without terms keeps the bare name.
fn field_of(terms: &Terms) -> Result<String, &'static str> {
    if *terms == Terms::default() {
        return Ok(KEY_FIELD.to_owned());
    }
    let terms = serde_json::to_string(terms).map_err(|_| "the password's terms make no sense")?;
    Ok(format!("{KEY_FIELD}\0{terms}"))
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

/// Closes a text with a key, bound to its place.
pub(super) fn seal(
    key: &[u8; 32],
    account: &str,
    field: &str,
    plain: &[u8],
) -> Result<String, &'static str> {
    let broken = |_| "sealing failed";
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(broken)?;
    let mut body = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(place(account, field)), &mut body)
        .map_err(broken)?;
    Ok(STANDARD.encode([nonce.as_ref().as_slice(), &body].concat()))
}

/// Opens what was closed for this place.
pub(super) fn open(
    key: &[u8; 32],
    account: &str,
    field: &str,
    sealed: &str,
) -> Option<Secret<Vec<u8>>> {
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
