//! What is counted while the proxy runs: logins, token requests, connections, bytes, and how long a token takes.
//!
//! Counts without locks, in numbers that only grow. Knows no names of accounts and not how the counts are told.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::refusal::{NotAdmitted, Refusal};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// IMAP.
    Imap,
    /// POP.
    Pop,
    /// SMTP.
    Smtp,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Imap, Self::Pop, Self::Smtp];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop => "pop",
            Self::Smtp => "smtp",
        }
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The client is logged in at its server.
    Success,
    /// No or a wrong password, or no such account.
    WrongPassword,
    /// Nobody signed in, or somebody declined.
    NoConsent,
    /// The token endpoint refused for good.
    TokenRefused,
    /// The token endpoint was not to be had.
    TokenUnavailable,
    /// The mail server refused for good.
    ServerRefused,
    /// The mail server was not to be had, or not for now.
    ServerUnavailable,
    /// The configuration or the store stands in the way.
    Misconfigured,
    /// A limit was reached, or the proxy goes down.
    Busy,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::WrongPassword,
        Self::NoConsent,
        Self::TokenRefused,
        Self::TokenUnavailable,
        Self::ServerRefused,
        Self::ServerUnavailable,
        Self::Misconfigured,
        Self::Busy,
    ];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::WrongPassword => "wrong_password",
            Self::NoConsent => "no_consent",
            Self::TokenRefused => "token_refused",
            Self::TokenUnavailable => "token_unavailable",
            Self::ServerRefused => "server_refused",
            Self::ServerUnavailable => "server_unavailable",
            Self::Misconfigured => "misconfigured",
            Self::Busy => "busy",
        }
    }
}

impl From<&Refusal> for Login {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotAdmitted(NotAdmitted::Incomplete(_)) | Refusal::Misconfigured(_) => {
                Self::Misconfigured
            }
            Refusal::NoPassword | Refusal::NotAdmitted(_) => Self::WrongPassword,
            Refusal::ConsentTimedOut { .. } | Refusal::ConsentRefused(_) => Self::NoConsent,
            Refusal::TokenRefused(_) => Self::TokenRefused,
            Refusal::TokenUnavailable(_) => Self::TokenUnavailable,
            Refusal::ServerRefused { .. } => Self::ServerRefused,
            Refusal::ServerBusy { .. }
            | Refusal::ServerUnavailable { .. }
            | Refusal::ServerMisbehaved { .. } => Self::ServerUnavailable,
            Refusal::Busy(_) | Refusal::ShuttingDown => Self::Busy,
        }
    }
}

/// How a request to a token endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// With a token.
    Success,
    /// The refresh token is dead.
    Dead,
    /// With another definite no.
    Refused,
    /// Without an answer, or not for now.
    Unavailable,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Success, Self::Dead, Self::Refused, Self::Unavailable];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Dead => "dead",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The upper bounds of the times to a token, in milliseconds: from memory, from the provider, from a person.
pub const BOUNDS: [u64; 12] = [
    1, 5, 25, 100, 250, 500, 1_000, 2_500, 10_000, 30_000, 120_000, 600_000,
];

/// The counts of a proxy.
#[derive(Debug)]
pub struct Meters {
    logins: [[AtomicU64; Login::ALL.len()]; Lane::ALL.len()],
    connections: [AtomicU64; Lane::ALL.len()],
    sent: [AtomicU64; Lane::ALL.len()],
    received: [AtomicU64; Lane::ALL.len()],
    requests: [AtomicU64; Request::ALL.len()],
    /// The times that fell between the bound before and this one; the last are beyond all.
    times: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// How long tokens took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// How many took no longer than each bound.
    pub within: Vec<u64>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together.
    pub sum: Duration,
}

impl Default for Meters {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            logins: array::from_fn(|_| array::from_fn(zero)),
            connections: array::from_fn(zero),
            sent: array::from_fn(zero),
            received: array::from_fn(zero),
            requests: array::from_fn(zero),
            times: array::from_fn(zero),
            microseconds: AtomicU64::new(0),
        }
    }
}

impl Meters {
    /// Counts a login.
    pub fn login(&self, lane: Lane, how: Login) {
        let lane = self.logins.get(lane as usize);
        count(lane.and_then(|lane| lane.get(how as usize)), 1);
    }

    /// Counts a connection of a mail program.
    pub fn connected(&self, lane: Lane) {
        count(self.connections.get(lane as usize), 1);
    }

    /// Counts what a session relayed, in bytes: from the client, and from its server.
    pub fn relayed(&self, lane: Lane, sent: u64, received: u64) {
        count(self.sent.get(lane as usize), sent);
        count(self.received.get(lane as usize), received);
    }

    /// Counts a request to a token endpoint.
    pub fn requested(&self, how: Request) {
        count(self.requests.get(how as usize), 1);
    }

    /// Counts how long a login took to get its token.
    pub fn token_took(&self, time: Duration) {
        let millis = u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < millis);
        count(self.times.get(at), 1);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        count(Some(&self.microseconds), micros);
    }

    /// Returns how many logins of a lane ended so.
    pub fn logins(&self, lane: Lane, how: Login) -> u64 {
        let lane = self.logins.get(lane as usize);
        read(lane.and_then(|lane| lane.get(how as usize)))
    }

    /// Returns how many connections there were.
    pub fn connections(&self, lane: Lane) -> u64 {
        read(self.connections.get(lane as usize))
    }

    /// Returns how many bytes came from clients, and from their servers.
    pub fn bytes(&self, lane: Lane) -> (u64, u64) {
        let lane = lane as usize;
        (read(self.sent.get(lane)), read(self.received.get(lane)))
    }

    /// Returns how many requests ended so.
    pub fn requests(&self, how: Request) -> u64 {
        read(self.requests.get(how as usize))
    }

    /// Returns how long tokens took.
    pub fn times(&self) -> Times {
        let mut so_far = 0;
        let mut within: Vec<u64> = self
            .times
            .iter()
            .map(|count| {
                so_far += read(Some(count));
                so_far
            })
            .collect();
        let count = within.pop().unwrap_or_default();
        let sum = Duration::from_micros(read(Some(&self.microseconds)));
        Times { within, count, sum }
    }
}

fn count(counter: Option<&AtomicU64>, by: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

fn read(counter: Option<&AtomicU64>) -> u64 {
    counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_its_own_place() {
        let meters = Meters::default();
        for (times, how) in Login::ALL.into_iter().enumerate() {
            assert_eq!(how as usize, times);
            for _ in 0..times {
                meters.login(Lane::Pop, how);
            }
        }
        for (times, how) in Login::ALL.into_iter().enumerate() {
            assert_eq!(meters.logins(Lane::Pop, how), times as u64);
            assert_eq!(meters.logins(Lane::Imap, how), 0);
        }
        for how in Request::ALL {
            meters.requested(how);
            assert_eq!(meters.requests(how), 1);
        }
        for lane in Lane::ALL {
            meters.relayed(lane, 3, 5);
            assert_eq!(meters.bytes(lane), (3, 5));
        }
    }

    #[test]
    fn times_are_counted_up_to_each_bound() {
        let meters = Meters::default();
        for millis in [0, 1, 2, 5, 700, 600_000, 600_001] {
            meters.token_took(Duration::from_millis(millis));
        }
        let times = meters.times();
        assert_eq!(times.count, 7);
        assert_eq!(times.within, [2, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6]);
        assert_eq!(times.sum, Duration::from_millis(1_200_709));
    }
}
