//! A secret on its way over the control socket: the one place where a secret becomes part of a line.
//!
//! Knows nothing of what it opens. It prints as `***` like any other.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::{Password, Secret};

/// A password that a person typed for the running proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken(Secret<String>);

impl Spoken {
    /// Takes a password to be sent.
    pub fn new(password: Secret<String>) -> Self {
        Self(password)
    }

    /// Returns it as a mail program would send it.
    pub fn password(&self) -> Password {
        Secret::new(self.0.reveal().as_bytes().to_vec())
    }
}

impl Serialize for Spoken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Spoken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}
