//! How wrong passwords slow down whoever sends them: by name, over all connections, protocols and addresses.
//!
//! A password that was not proven before waits before it is looked at, for as long as the name's last failures demand, so
//! that hanging up early teaches nothing. One that was proven is never asked about here. Knows names, not accounts: what is
//! true of a name without an account must be true of one with.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::Ipv6Net;
use tokio::time::{Instant, sleep};

use super::locked;
use super::proof::Mark;
use crate::refusal::Refusal;

/// How long wrong passwords are remembered, counted from the last one.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// How many names are remembered.
const NAMES: usize = 4_096;

/// How many wrong passwords of one name are remembered.
const MARKS: usize = 16;

/// How many passwords of one name may wait to be looked at.
const WAITING: usize = 128;

/// How many of them may come from one place, so that guessers there leave room for the owner elsewhere.
const WAITING_FROM_ONE_PLACE: usize = 32;

/// How large a network is one place in IPv6: it is what one customer gets.
const PLACE: u8 = 48;

/// The wrong passwords of all names.
#[derive(Debug, Default)]
pub(super) struct Throttle(Arc<Mutex<HashMap<String, Tries>>>);

/// What is remembered of a name.
#[derive(Debug)]
struct Tries {
    failures: u32,
    last: Instant,
    /// From where passwords wait.
    waiting: Vec<Option<IpAddr>>,
    /// The last wrong ones of a name that has no account; an account remembers its own.
    wrong: VecDeque<Mark>,
}

/// A password's turn to be looked at; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    names: Arc<Mutex<HashMap<String, Tries>>>,
    name: String,
    from: Option<IpAddr>,
}

impl Throttle {
    /// Waits until a password that is not known yet may be looked at: not at all, then 2, 4, 8 and 15 s by the failures
    /// so far. Refused where too many wait already.
    pub(super) async fn turn(&self, name: &str, from: Option<IpAddr>) -> Result<Turn, Refusal> {
        let from = from.map(place);
        let wait = {
            let mut names = locked(&self.0);
            let tries = tries(&mut names, name);
            let here = tries.waiting.iter().filter(|there| **there == from);
            if tries.waiting.len() >= WAITING || here.count() >= WAITING_FROM_ONE_PLACE {
                return Err(Refusal::Busy(
                    "too many passwords of this account wait to be checked",
                ));
            }
            tries.waiting.push(from);
            delay(tries.failures.saturating_add(1))
        };
        let turn = Turn {
            names: Arc::clone(&self.0),
            name: name.to_owned(),
            from,
        };
        // Even no time at all takes a timer's tick.
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(turn)
    }

    /// Counts a wrong password; returns how long after its arrival it is to be answered: 0, 2, 4, 8, then 15 s.
    pub(super) fn failed(&self, name: &str) -> Duration {
        let mut names = locked(&self.0);
        let tries = tries(&mut names, name);
        tries.failures = tries.failures.saturating_add(1);
        tries.last = Instant::now();
        delay(tries.failures)
    }

    /// Returns whether a name without an account was tried with this password lately.
    pub(super) fn knows(&self, name: &str, mark: Mark) -> bool {
        let names = locked(&self.0);
        let tries = names.get(name);
        tries.is_some_and(|tries| tries.wrong.iter().any(|known| known.same(&mark)))
    }

    /// Remembers a wrong password of a name without an account.
    pub(super) fn remember(&self, name: &str, mark: Mark) {
        let mut names = locked(&self.0);
        let tries = tries(&mut names, name);
        if tries.wrong.len() >= MARKS {
            tries.wrong.pop_front();
        }
        tries.wrong.push_back(mark);
    }

    /// Forgets the wrong passwords of a name that has proven the right one.
    pub(super) fn passed(&self, name: &str) {
        let mut names = locked(&self.0);
        if let Some(tries) = names.get_mut(name) {
            tries.failures = 0;
            if tries.waiting.is_empty() {
                names.remove(name);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut names = locked(&self.names);
        let Some(tries) = names.get_mut(&self.name) else {
            return;
        };
        if let Some(at) = tries.waiting.iter().position(|from| *from == self.from) {
            tries.waiting.swap_remove(at);
        }
        if tries.waiting.is_empty() && tries.failures == 0 && tries.wrong.is_empty() {
            names.remove(&self.name);
        }
    }
}

/// Returns what is remembered of a name; makes room for it where it is new.
fn tries<'n>(names: &'n mut HashMap<String, Tries>, name: &str) -> &'n mut Tries {
    let now = Instant::now();
    if names.len() >= NAMES && !names.contains_key(name) {
        names.retain(|_, tries| tries.counts(now));
        // Names that were tried once go first: whoever makes them up must not have others forgotten by that.
        let least = names
            .iter()
            .min_by_key(|(_, tries)| (!tries.waiting.is_empty(), tries.failures, tries.last));
        let least = least.map(|(name, _)| name.clone());
        if let Some(least) = least.filter(|_| names.len() >= NAMES) {
            names.remove(&least);
        }
    }
    let tries = names.entry(name.to_owned()).or_insert_with(|| Tries {
        failures: 0,
        last: now,
        waiting: Vec::new(),
        wrong: VecDeque::new(),
    });
    if now.duration_since(tries.last) >= MEMORY {
        tries.failures = 0;
        tries.last = now;
    }
    tries
}

impl Tries {
    /// Returns whether it is still of use to anybody.
    fn counts(&self, now: Instant) -> bool {
        !self.waiting.is_empty() || now.duration_since(self.last) < MEMORY
    }
}

/// Returns how long the so-manieth failure takes.
fn delay(failures: u32) -> Duration {
    Duration::from_secs(match failures {
        0 | 1 => 0,
        2 => 2,
        3 => 4,
        4 => 8,
        _ => 15,
    })
}

/// Returns what counts as one place: this machine, an IPv4 address, an IPv6 network of the size that one customer gets.
fn place(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    if address.is_loopback() {
        return IpAddr::from([127, 0, 0, 1]);
    }
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Net::new(v6, PLACE).map_or(address, |net| IpAddr::V6(net.network())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r19_wrong_guesses_wait_longer_until_the_right_one_comes() {
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

    #[tokio::test(start_paused = true)]
    async fn r19_a_password_is_not_looked_at_before_its_time() {
        let throttle = Throttle::default();
        for due in [0, 2, 4, 8, 15, 15] {
            let begun = Instant::now();
            drop(throttle.turn("u", None).await.unwrap());
            assert_eq!(begun.elapsed().as_secs(), due);
            throttle.failed("u");
        }
        let begun = Instant::now();
        drop(throttle.turn("v", None).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Whoever hangs up meanwhile has neither learned nor cost anything.
        let hasty = tokio::time::timeout(Duration::from_secs(1), throttle.turn("u", None));
        hasty.await.unwrap_err();
        assert!(locked(&throttle.0)["u"].waiting.is_empty());
    }

    #[tokio::test]
    async fn r19_guessers_in_one_place_leave_room_for_others() {
        let throttle = Throttle::default();
        let crowd = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 7, last, 0, 0, 0, last]));
        let mut turns = Vec::new();
        for n in 0..32 {
            turns.push(throttle.turn("u", crowd(n)).await.unwrap());
        }
        assert!(throttle.turn("u", crowd(99)).await.is_err());
        let near = |last| Some(IpAddr::from([127, 0, 0, last]));
        for n in 0..32 {
            turns.push(throttle.turn("u", near(n)).await.unwrap());
        }
        assert!(
            throttle
                .turn("u", Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])))
                .await
                .is_err()
        );
        for n in 0..64 {
            let from = Some(IpAddr::from([192, 0, 2, n]));
            turns.push(throttle.turn("u", from).await.unwrap());
        }
        assert!(throttle.turn("u", None).await.is_err());
        throttle.turn("v", crowd(1)).await.unwrap();
        turns.clear();
        assert!(locked(&throttle.0).is_empty());
    }

    #[tokio::test]
    async fn r19_made_up_names_fill_no_memory_and_have_nobody_forgotten() {
        let throttle = Throttle::default();
        throttle.failed("owner");
        throttle.failed("owner");
        for n in 0..NAMES * 2 {
            throttle.failed(&n.to_string());
        }
        assert_eq!(locked(&throttle.0).len(), NAMES);
        assert_eq!(throttle.failed("owner").as_secs(), 4);
    }
}
