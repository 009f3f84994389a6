//! Transcripts of IMAP conversations, each played whole and in crumbs.

mod client;
mod corpus;
mod server;

use super::*;
use crate::protocol::Offer;

/// What a server like Exchange offers, filtered.
fn offer() -> Offer {
    Offer(["IDLE", "UIDPLUS"].map(str::to_owned).to_vec())
}
