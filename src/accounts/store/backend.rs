//! The one small interface behind which tokens may rest in different places.
//!
//! A backend sees sealed values only. It never decides between two writers: it compares revisions and says who was
//! first. Every call is bounded in time by the backend itself, 5 s at most.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use super::Record;

/// Something that a backend is doing. The error is for a person: what was attempted, where, and what to do.
pub(in crate::accounts) type Doing<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A record and its revision. Revisions of one account only grow; 0 is that of a record that is not there.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::accounts) struct Kept {
    /// The record.
    pub(in crate::accounts) record: Record,
    /// Its revision, 1 or more.
    pub(in crate::accounts) revision: u64,
}

/// All records of a store.
pub(in crate::accounts) type All = BTreeMap<String, Kept>;

/// A record to be written where the revision in the store is still the expected one.
#[derive(Clone, Debug)]
pub(in crate::accounts) struct Change {
    /// The account.
    pub(in crate::accounts) account: String,
    /// The revision that the writer knows; 0 where it knows of no record.
    pub(in crate::accounts) expected: u64,
    /// The record.
    pub(in crate::accounts) record: Record,
}

/// What came of a change.
#[expect(
    clippy::large_enum_variant,
    reason = "there are few of them, and not for long"
)]
#[derive(Clone, Debug, PartialEq)]
pub(in crate::accounts) enum Swapped {
    /// It is written for good, under this revision.
    Done(u64),
    /// Somebody else wrote before: this is there now, or nothing.
    Conflict(Option<Kept>),
}

/// The right to ask the provider for an account's tokens, for a while.
#[cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "vault")),
    allow(dead_code, reason = "only stores for many proxies read it")
)]
#[derive(Debug)]
pub(in crate::accounts) struct Lease {
    /// The account.
    pub(in crate::accounts) account: String,
    /// Tells this holder from all others.
    pub(in crate::accounts) holder: String,
    /// A lock that ends with its holder, where the backend has such.
    pub(in crate::accounts) lock: Option<std::fs::File>,
}

/// How long a lease lasts that nobody gives back: longer than the longest token request (10 s).
#[cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "vault")),
    allow(dead_code, reason = "only stores for many proxies read it")
)]
pub(in crate::accounts) const LEASE: Duration = Duration::from_secs(15);

/// A place where tokens may rest.
pub(in crate::accounts) trait Backend: Debug + Send + Sync {
    /// Names the place for messages, without secrets.
    fn name(&self) -> String;

    /// Returns whether other processes may use the place at this moment, so that leases and news are worth their price.
    fn is_shared(&self) -> bool;

    /// Reads everything.
    fn load(&self) -> Doing<'_, All>;

    /// Reads one account's record.
    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>>;

    /// Tells the revision of every record, for finding out cheaply what others changed.
    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>>;

    /// Writes records for good, each only where its revision is still the expected one. One answer each, in order.
    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>>;

    /// Takes the lease of an account for [`LEASE`]; nothing while somebody else has it.
    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>>;

    /// Gives a lease back.
    fn release(&self, lease: Lease) -> Doing<'_, ()>;
}
