//! A secret on its way over the control socket: the one place where a secret becomes part of a line.
//!
//! Knows nothing of what it opens. It prints as `***` like any other.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::{Password, Secret};

/// A password that a person typed for the running proxy, or a token that it lends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken(Secret<String>);

impl Spoken {
    /// Takes a secret to be sent.
    pub fn new(secret: Secret<String>) -> Self {
        Self(secret)
    }

    /// Returns it in custody, as it was given.
    pub fn secret(&self) -> Secret<String> {
        self.0.clone()
    }

    /// Returns it for the one place that shows it to whoever asked.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Returns it as a mail program would send it.
    pub fn password(&self) -> Password {
        Secret::new(self.0.reveal().as_bytes().to_vec())
    }
}

impl From<&str> for Spoken {
    fn from(secret: &str) -> Self {
        Self(Secret::from(secret))
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
