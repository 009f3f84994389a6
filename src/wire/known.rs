//! Addresses that took a connection a moment ago, so that not every login looks the same name up.
//!
//! Only what was proven by a connection is kept, for half a minute from its look-up, and nothing of it outlives a failure. Does
//! not know how names are looked up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long addresses are used after their look-up. Providers change theirs within minutes.
const KEPT: Duration = Duration::from_secs(30);

/// How many names are kept. Beyond that nothing new is until some are too old.
const MOST: usize = 256;

/// The names of this process.
static NAMES: LazyLock<Known> = LazyLock::new(Known::default);

/// Addresses by host and port.
#[derive(Default)]
struct Known(Mutex<HashMap<String, HashMap<u16, Addresses>>>);

/// What a name led to.
struct Addresses {
    found: Vec<SocketAddr>,
    looked_up: Instant,
}

/// An attempt to connect to a host: unless it ends well, what is known of the host is forgotten.
pub(super) struct Attempt<'a> {
    among: &'static Known,
    host: &'a str,
    port: u16,
}

/// Returns the addresses of a host that took a connection lately, in the order of their look-up.
pub(super) fn addresses(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    NAMES.addresses(host, port)
}

/// Begins an attempt.
pub(super) fn attempt(host: &str, port: u16) -> Attempt<'_> {
    NAMES.attempt(host, port)
}

/// Forgets a host: who took the connection was not the server that was meant.
pub(crate) fn forget(host: &str, port: u16) {
    NAMES.forget(host, port);
}

impl Known {
    fn addresses(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let names = self.names();
        let known = names.get(host)?.get(&port)?;
        (known.looked_up.elapsed() < KEPT).then(|| known.found.clone())
    }

    fn attempt<'a>(&'static self, host: &'a str, port: u16) -> Attempt<'a> {
        Attempt {
            among: self,
            host,
            port,
        }
    }

    fn note(&self, host: &str, port: u16, found: Vec<SocketAddr>, looked_up: Instant) {
        let mut names = self.names();
        if names.len() >= MOST {
            names.retain(|_, ports| {
                ports.retain(|_, known| known.looked_up.elapsed() < KEPT);
                !ports.is_empty()
            });
        }
        if names.len() < MOST {
            let ports = names.entry(host.to_owned()).or_default();
            ports.insert(port, Addresses { found, looked_up });
        }
    }

    fn forget(&self, host: &str, port: u16) {
        let mut names = self.names();
        if let Some(ports) = names.get_mut(host) {
            ports.remove(&port);
            if ports.is_empty() {
                names.remove(host);
            }
        }
    }

    /// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
    fn names(&self) -> MutexGuard<'_, HashMap<String, HashMap<u16, Addresses>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Ends it well, at addresses that were known already.
    pub(super) fn succeed(self) {
        std::mem::forget(self);
    }

    /// Ends it well, at addresses that were looked up at that moment.
    pub(super) fn succeed_at(self, found: Vec<SocketAddr>, looked_up: Instant) {
        self.among.note(self.host, self.port, found, looked_up);
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.among.forget(self.host, self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "imap.example.org";

    fn found() -> Vec<SocketAddr> {
        vec![([192, 0, 2, 1], 993).into()]
    }

    fn known() -> &'static Known {
        Box::leak(Box::default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_took_a_connection_is_known_for_half_a_minute() {
        let known = known();
        let looked_up = Instant::now();
        known.attempt(HOST, 993).succeed_at(found(), looked_up);
        assert_eq!(known.addresses(HOST, 993), Some(found()));
        assert_eq!(known.addresses(HOST, 143), None);
        assert_eq!(known.addresses("smtp.example.org", 993), None);
        tokio::time::advance(KEPT.saturating_sub(Duration::from_secs(1))).await;
        // To use it does not make it younger.
        known.attempt(HOST, 993).succeed();
        assert_eq!(known.addresses(HOST, 993), Some(found()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(known.addresses(HOST, 993), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_and_an_attempt_that_is_given_up_are_forgotten_at_once() {
        let known = known();
        known.attempt(HOST, 993).succeed_at(found(), Instant::now());
        drop(known.attempt(HOST, 993));
        assert_eq!(known.addresses(HOST, 993), None);
        assert!(known.names().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_few_names_are_kept() {
        let known = known();
        for n in 0..MOST + 10 {
            let host = format!("{n}.example.org");
            known
                .attempt(&host, 993)
                .succeed_at(found(), Instant::now());
        }
        assert_eq!(known.names().len(), MOST);
        tokio::time::advance(KEPT).await;
        known.attempt(HOST, 993).succeed_at(found(), Instant::now());
        assert_eq!(known.names().len(), 1);
    }
}
