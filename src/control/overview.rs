//! How things are, for whoever asks: `status` and the page show the same.
//!
//! Knows neither terminals nor browsers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Recent;
use crate::accounts::{AccountState, Accounts};

/// What answers are made from.
#[derive(Clone, Debug)]
pub struct Office {
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The listening services.
    pub services: watch::Receiver<Vec<ServiceState>>,
    /// The last log lines.
    pub recent: Recent,
    /// The connections that are open.
    pub live: Live,
    /// When the proxy was started.
    pub started: Instant,
}

/// Counts the connections that are open, in all and by account.
#[derive(Clone)]
pub struct Live(pub Arc<dyn Fn() -> (usize, HashMap<String, usize>) + Send + Sync>);

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

/// How things are at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The listening services.
    pub services: Vec<ServiceState>,
    /// The accounts.
    pub accounts: Vec<AccountState>,
    /// The program's version.
    pub version: String,
    /// The process id.
    pub pid: u32,
    /// How many seconds it runs.
    #[serde(default)]
    pub uptime: u64,
    /// How many connections of mail programs are open.
    #[serde(default)]
    pub connections: usize,
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

impl Office {
    /// Looks at everything.
    pub fn overview(&self) -> Overview {
        let (connections, by_account) = (self.live.0)();
        let mut accounts = self.accounts.snapshot();
        for account in &mut accounts {
            account.connections = by_account.get(&account.account).copied().unwrap_or(0);
        }
        Overview {
            services: self.services.borrow().clone(),
            accounts,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            connections,
        }
    }
}
