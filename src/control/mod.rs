//! The owner-only socket by which commands ask the running proxy.
//!
//! One request a connection, one JSON object a line. Who may connect is decided by the socket's directory (0700) and by
//! the peer's user id: the owner and root. Knows what may be asked, not how it is printed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::accounts::AccountState;

mod ask;
mod place;
mod recent;
mod serve;

pub use ask::Conversation;
pub use place::candidates;
pub use recent::Recent;
pub use serve::{Office, listen, serve};

/// The longest line of a request or an answer, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// What a command may ask.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// How things are.
    Status,
    /// The last log lines, and where `follow` is set also those to come.
    Logs {
        /// Whether to go on until the asking side hangs up.
        follow: bool,
    },
    /// Begin a consent for an account and tell how it ends.
    Authorize {
        /// The account.
        account: String,
    },
    /// Take the final address of a consent, as a person pasted it. Only behind [`Ask::Authorize`].
    Paste {
        /// The address.
        url: String,
    },
}

/// What the proxy answers.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tell {
    /// How things are.
    Status {
        /// The listening services.
        services: Vec<ServiceState>,
        /// The accounts.
        accounts: Vec<AccountState>,
        /// The program's version.
        version: String,
        /// The process id.
        pid: u32,
    },
    /// A log line.
    Line {
        /// Its text.
        text: String,
    },
    /// The address to visit for a consent.
    Visit {
        /// The address.
        url: String,
        /// Whether the proxy hears the browser's return itself.
        listen: bool,
    },
    /// A remark to a request that goes on.
    Remark {
        /// Its text.
        text: String,
    },
    /// The request is done.
    Done {
        /// What came of it.
        text: String,
    },
    /// The request failed.
    Failed {
        /// Why.
        text: String,
    },
}

/// One listening service as `status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServiceState {
    /// The section's name.
    pub section: String,
    /// The addresses it listens at.
    pub addresses: Vec<String>,
    /// The server it stands for, as host:port.
    pub server: String,
}

/// Connects to the proxy that runs with this configuration file, if one does.
pub async fn reach(config: &Path) -> Option<Conversation> {
    for place in candidates(config) {
        if let Ok(conversation) = Conversation::begin(&place).await {
            return Some(conversation);
        }
    }
    None
}
