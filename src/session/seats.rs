//! How many connections are served at once, in all and for each account.
//!
//! Counts; whoever asks for a seat says how many there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the log says that a limit is reached.
const REMINDER: Duration = Duration::from_secs(60);

/// The seats of a proxy, over all its services.
#[derive(Debug, Default)]
pub struct Seats(Mutex<Taken>);

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

    /// Returns whether it is time to say again that there is no seat left.
    pub fn is_worth_saying(&self) -> bool {
        let mut taken = self.taken();
        let due = taken.said.is_none_or(|at| at.elapsed() >= REMINDER);
        if due {
            taken.said = Some(Instant::now());
        }
        due
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
