//! Transcripts of POP3 conversations, each played whole and in crumbs.

mod client;
mod server;

use super::*;
