//! What rests for one account, sealed: the same in every kind of store.
//!
//! Opens nothing; who may open it is `vault`'s and `lock`'s affair.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accounts::predecessor::Carried;
use crate::accounts::vault::Wrap;

/// What rests in a store for one account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::accounts) struct Record {
    /// The data key, closed with each of the owner's passwords and with the store key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::accounts) wraps: Vec<Wrap>,
    /// Counts the changes of tokens, so that of two writers the one who only changed passwords keeps the other's tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::accounts) serial: u64,
    /// What the tokens are for: a digest of provider, application and scope.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::accounts) provider: String,
    /// Which servers the access token is for: a digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::accounts) servers: String,
    /// When the refresh token was last used or came, in seconds since 1970: unused ones die.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::accounts) refreshed_at: Option<u64>,
    /// The fields closed with the data key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::accounts) sealed: BTreeMap<String, String>,
    /// Values from the predecessor's cache file, until a password opens them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::accounts) predecessor: Option<Carried>,
}

impl Record {
    /// Returns whether a refresh token rests in it.
    pub(in crate::accounts) fn holds_refresh_token(&self) -> bool {
        self.sealed.contains_key("refresh_token")
    }

    /// Returns whether tokens rest in it.
    pub(in crate::accounts) fn holds_tokens(&self) -> bool {
        self.holds_refresh_token() || self.sealed.contains_key("access_token")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
