//! What a started program writes, and waiting for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often other programs' state is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A file that a program writes its lines into.
#[derive(Clone, Debug)]
pub(crate) struct Log(PathBuf);

impl Log {
    /// Names the file; it need not exist yet.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Returns what is written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.0).unwrap_or_default()).into_owned()
    }

    /// Waits until `pick` finds something in one of the lines.
    pub(crate) async fn find<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        until(what, || self.text().lines().find_map(&pick)).await
    }

    /// Returns the last lines, for a person who looks for the cause.
    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// Waits until `look` returns something: for the state of other programs, which cannot tell us.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits until all of these loopback ports accept connections.
pub(crate) async fn until_listening(who: &str, ports: &[u16]) {
    for port in ports {
        let open = || std::net::TcpStream::connect(("127.0.0.1", *port)).ok();
        drop(until(&format!("{who} on port {port}"), open).await);
    }
}
