//! How many connections are served at once, in all and for each account.
//!
//! Counts; whoever asks for a seat says how many there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How often the log says that a limit is reached.
const REMINDER: Duration = Duration::from_secs(60);

/// How many clients without a seat are told so at once, over all services: each costs a descriptor that nobody counts.
const STANDING: usize = 16;

/// The seats of a proxy, over all its services.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<Taken>,
    standing: Arc<Semaphore>,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            taken: Mutex::default(),
            standing: Arc::new(Semaphore::new(STANDING)),
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_account: HashMap<String, usize>,
    said: Option<Instant>,
}

/// One connection's seat; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    account: Option<String>,
}

impl Seats {
    /// Takes one of `most` seats; nothing where all are taken.
    pub fn take(self: &Arc<Self>, most: usize) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.all >= most {
            return None;
        }
        taken.all += 1;
        Some(Seat {
            seats: Arc::clone(self),
            account: None,
        })
    }

    /// Lets a client without a seat stay while it is told so; nothing where too many stand already.
    pub fn stand(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.standing).try_acquire_owned().ok()
    }

    /// Returns whether it is time to say again that there is no seat left.
    pub fn is_worth_saying(&self) -> bool {
        let mut taken = self.taken();
        let due = taken.said.is_none_or(|at| at.elapsed() >= REMINDER);
        if due {
            taken.said = Some(Instant::now());
        }
        due
    }

    /// Returns how many connections there are, in all and logged in by account.
    pub fn live(&self) -> (usize, HashMap<String, usize>) {
        let taken = self.taken();
        (taken.all, taken.by_account.clone())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Sits down for an account, which may have `most` seats. Returns whether there was one left.
    pub fn sit_for(&mut self, account: &str, most: usize) -> bool {
        self.stand_up();
        let mut taken = self.seats.taken();
        let count = taken.by_account.entry(account.to_owned()).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        drop(taken);
        self.account = Some(account.to_owned());
        true
    }

    /// Gives the account's seat back and keeps the connection's.
    pub fn stand_up(&mut self) {
        let Some(account) = self.account.take() else {
            return;
        };
        let mut taken = self.seats.taken();
        if let Some(count) = taken.by_account.get_mut(&account) {
            *count -= 1;
            if *count == 0 {
                taken.by_account.remove(&account);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stand_up();
        self.seats.taken().all -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r25_seats_are_counted_in_all_and_by_account() {
        let seats = Arc::new(Seats::default());
        let mut one = seats.take(2).unwrap();
        let mut two = seats.take(2).unwrap();
        assert!(seats.take(2).is_none());
        assert!(one.sit_for("u", 1));
        assert!(!two.sit_for("u", 1));
        assert!(two.sit_for("v", 1));
        one.stand_up();
        assert!(
            two.sit_for("u", 1),
            "one account's seat was exchanged for another's"
        );
        drop(one);
        assert!(seats.take(2).is_some());
        drop(two);
        let taken = seats.taken();
        assert!(taken.all == 0 && taken.by_account.is_empty());
    }

    #[test]
    fn r25_few_clients_without_a_seat_stand_at_once_over_all_services() {
        let seats = Seats::default();
        let mut standing: Vec<_> = (0..STANDING).map(|_| seats.stand().unwrap()).collect();
        assert!(seats.stand().is_none());
        drop(standing.pop());
        assert!(seats.stand().is_some());
    }
}
