//! Whether a local password is the right one: slowly once, afterwards by a keyed mark in microseconds.
//!
//! Knows neither what a password opens nor what is done with the verdict.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use tokio::sync::Semaphore;

use super::vault::Cost;
use crate::refusal::Refusal;
use crate::secret::Password;

/// How many slow checks may run at once: each takes 64 MiB and a core.
const SLOW_AT_ONCE: usize = 2;

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
    /// How long the last slow check took, in microseconds.
    took: Arc<AtomicU64>,
    /// How many were made.
    #[cfg(test)]
    pub(super) made: std::sync::atomic::AtomicUsize,
}

impl Prover {
    /// Prepares a prover whose new wraps cost `cost`.
    pub(super) fn new(cost: Cost) -> Result<Self, String> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        // The system's own: the crypto library would gather its randomness first, which nobody must wait for here.
        getrandom::fill(key.as_mut_slice())
            .map_err(|error| format!("the system gives no random numbers: {error}"))?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
            permits: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
            cost,
            took: Arc::default(),
            #[cfg(test)]
            made: std::sync::atomic::AtomicUsize::new(0),
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
        #[cfg(test)]
        self.made.fetch_add(1, Ordering::Relaxed);
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(Refusal::ShuttingDown);
        };
        let (cost, took) = (self.cost, Arc::clone(&self.took));
        // The permit travels with the work: a login that hangs up does not make room for a third one.
        let done = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let out = work(cost);
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            took.store(micros, Ordering::Relaxed);
            drop(permit);
            out
        });
        done.await
            .map_err(|_| Refusal::Misconfigured("the password check broke off".into()))
    }

    /// Spends the time of a check on a name that has no account, so that a stranger cannot tell by the clock. Fails where a
    /// check would.
    pub(super) async fn pretend(&self, password: &Password) -> Result<(), Refusal> {
        // Where checks queue already it waits for its turn like them, and gives that up: names without an account must
        // not make the queue longer.
        if self.permits.available_permits() == 0 {
            drop(self.permits.acquire().await);
            let took = self.took.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_micros(took)).await;
            return Ok(());
        }
        let password = password.clone();
        let spent = self.slowly(move |cost| cost.derive(&password, &[0; 16]).map(drop));
        Ok(spent.await??)
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
}
