//! What time it is by the clock on the wall, which people and time services set forward and back.
//!
//! The machine's own clock is `tokio::time::Instant`; what lasts is measured by both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far two machines' clocks may differ before one of them is taken to be wrong.
pub(super) const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Returns the time on the wall.
pub(super) fn now() -> SystemTime {
    #[cfg(test)]
    if let Some(time) = pretended::now() {
        return time;
    }
    SystemTime::now()
}

/// Returns the time on the wall in whole seconds since 1970; 0 before.
pub(super) fn unix() -> u64 {
    now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Throws a dice of 256 sides.
pub(super) fn dice() -> u8 {
    #[cfg(test)]
    if pretended::now().is_some() {
        return 128;
    }
    let mut thrown = [0; 1];
    // Where the system gives no random numbers, nothing is spread, and nothing else is lost.
    match getrandom::fill(&mut thrown) {
        Ok(()) => thrown[0],
        Err(_) => 0,
    }
}

/// A clock on the wall that a test sets. It is the test thread's own, and goes on with tokio's paused time.
#[cfg(test)]
pub(super) mod pretended {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    thread_local! {
        static SET: Cell<Option<(SystemTime, Instant)>> = const { Cell::new(None) };
    }

    pub(super) fn now() -> Option<SystemTime> {
        let (time, at) = SET.get()?;
        Some(time + at.elapsed())
    }

    /// Sets the clock. It is the real one again when this is dropped.
    pub(in crate::accounts) struct Wall(());

    impl Wall {
        /// Begins at a fixed time.
        pub(in crate::accounts) fn set() -> Self {
            Self::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
        }

        /// Begins at a time.
        pub(in crate::accounts) fn at(time: SystemTime) -> Self {
            SET.set(Some((time, Instant::now())));
            Self(())
        }

        /// Sets it forward, as a correction does, or as a machine that was asleep finds it.
        #[expect(clippy::unused_self, reason = "only who holds the clock may set it")]
        pub(in crate::accounts) fn forward(&self, by: Duration) {
            SET.set(now().map(|time| (time + by, Instant::now())));
        }

        /// Sets it back.
        #[expect(clippy::unused_self, reason = "only who holds the clock may set it")]
        pub(in crate::accounts) fn back(&self, by: Duration) {
            SET.set(now().map(|time| (time - by, Instant::now())));
        }
    }

    impl Drop for Wall {
        fn drop(&mut self) {
            SET.set(None);
        }
    }
}
