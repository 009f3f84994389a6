//! Whether a local password is the right one: slowly once, afterwards by a keyed mark in microseconds.
//!
//! Knows neither what a password opens nor what is done with the verdict. Wrong guesses are answered later and later.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::locked;
use super::vault::Cost;
use crate::refusal::Refusal;
use crate::secret::Password;

/// How many slow checks may run at once: each takes 64 MiB and a core.
const SLOW_AT_ONCE: usize = 2;

/// How long wrong guesses are remembered, counted from the last one.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// How many names the throttle remembers.
const NAMES: usize = 1_000;

/// What stands for a password in memory: a MAC under a key that dies with the process.
#[derive(Clone, Copy)]
pub(super) struct Mark([u8; 32]);

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Mark {
    /// Compares in constant time.
    pub(super) fn same(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// The one place where passwords are checked slowly.
#[derive(Debug)]
pub(super) struct Prover {
    key: hmac::Key,
    permits: Arc<Semaphore>,
    cost: Cost,
}

impl Prover {
    /// Prepares a prover whose new wraps cost `cost`.
    pub(super) fn new(cost: Cost) -> Result<Self, String> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        rand::fill(key.as_mut_slice())
            .map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
            permits: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
            cost,
        })
    }

    /// Returns the mark of `account`'s `password`.
    pub(super) fn mark(&self, account: &str, password: &Password) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(account.len() as u64).to_be_bytes());
        context.update(account.as_bytes());
        context.update(password.reveal());
        let mut mark = [0; 32];
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Mark(mark)
    }

    /// Does slow work away from the threads that serve connections, two at a time.
    pub(super) async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cost) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(Refusal::ShuttingDown);
        };
        let cost = self.cost;
        // The permit travels with the work: a login that hangs up does not make room for a third one.
        let done = tokio::task::spawn_blocking(move || {
            let out = work(cost);
            drop(permit);
            out
        });
        done.await
            .map_err(|_| Refusal::Misconfigured("the password check broke off".into()))
    }

    /// Spends the time of a check on a name that has no account, so that a stranger cannot tell by the clock.
    pub(super) async fn pretend(&self, password: &Password) {
        // Where checks queue already, names without an account must not make the queue longer.
        if self.permits.available_permits() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return;
        }
        let password = password.clone();
        let spent = self.slowly(move |cost| cost.derive(&password, &[0; 16]).is_ok());
        spent.await.ok();
    }
}

/// How often each name was tried with a wrong password lately.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<String, (u32, Instant)>>);

impl Throttle {
    /// Counts a wrong password; returns how long to hold the answer back: 0, 2, 4, 8, then 15 s.
    pub(super) fn failed(&self, name: &str) -> Duration {
        let now = Instant::now();
        let mut names = locked(&self.0);
        if names.len() >= NAMES && !names.contains_key(name) {
            names.retain(|_, (_, last)| now.duration_since(*last) < MEMORY);
            let oldest = names.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone())
                && names.len() >= NAMES
            {
                names.remove(&oldest);
            }
        }
        let (count, last) = names.entry(name.to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= MEMORY {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
        Duration::from_secs(match *count {
            0 | 1 => 0,
            2 => 2,
            3 => 4,
            4 => 8,
            _ => 15,
        })
    }

    /// Forgets the wrong passwords of a name that has proven the right one.
    pub(super) fn passed(&self, name: &str) {
        locked(&self.0).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_accounts_and_passwords_apart() {
        let prover = Prover::new(Cost::CHEAP).unwrap();
        let mark = prover.mark("u@example.org", &Password::from("pw"));
        assert!(mark.same(&prover.mark("u@example.org", &Password::from("pw"))));
        assert!(!mark.same(&prover.mark("u@example.org", &Password::from("pW"))));
        assert!(!mark.same(&prover.mark("u@example.or", &Password::from("gpw"))));
        let other = Prover::new(Cost::CHEAP).unwrap();
        assert!(!mark.same(&other.mark("u@example.org", &Password::from("pw"))));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_guesses_wait_longer_until_the_right_one_comes() {
        let throttle = Throttle::default();
        let waits: Vec<u64> = (0..6).map(|_| throttle.failed("u").as_secs()).collect();
        assert_eq!(waits, [0, 2, 4, 8, 15, 15]);
        assert_eq!(throttle.failed("v").as_secs(), 0);
        throttle.passed("u");
        assert_eq!(throttle.failed("u").as_secs(), 0);
        assert_eq!(throttle.failed("u").as_secs(), 2);
        tokio::time::advance(MEMORY).await;
        assert_eq!(throttle.failed("u").as_secs(), 0);
    }

    #[tokio::test]
    async fn the_throttle_forgets_the_oldest_name_when_full() {
        let throttle = Throttle::default();
        for n in 0..NAMES + 10 {
            throttle.failed(&n.to_string());
        }
        assert_eq!(locked(&throttle.0).len(), NAMES);
    }
}
