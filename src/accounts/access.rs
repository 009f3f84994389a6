//! An access token and how long it is good, by two clocks.
//!
//! Knows neither where it came from nor where it goes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroize;

use crate::secret::{AccessToken, Secret};

/// How long before its end a token is renewed, at most.
const MARGIN: Duration = Duration::from_secs(600);

/// The life of a token whose issuer did not say, and of tokens taken over from the predecessor.
const USUAL_LIFE: Duration = Duration::from_secs(3_600);

/// An access token and its time.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: AccessToken,
    /// Its end by the clock on the wall, which a suspended machine does not stop.
    expires: SystemTime,
    /// Its end by the machine's own clock, which nobody sets back.
    ends: Instant,
    life: Duration,
}

/// An access token as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    token: String,
    expires: u64,
    life: u64,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Access {
    /// Notes a token that is good for `life` from now.
    pub(super) fn new(token: AccessToken, life: Duration) -> Self {
        // A life beyond ten years is a mistake of the issuer, not a reason to overflow.
        let life = life.min(Duration::from_secs(10 * 365 * 86_400));
        Self {
            token,
            expires: SystemTime::now() + life,
            ends: Instant::now() + life,
            life,
        }
    }

    /// Notes a token that ends at a Unix time.
    pub(super) fn until(token: AccessToken, expires: u64, life: Duration) -> Option<Self> {
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(expires))?;
        let left = expires.duration_since(SystemTime::now()).ok()?.min(life);
        Some(Self {
            token,
            expires,
            ends: Instant::now() + left,
            life,
        })
    }

    /// Notes a token taken over from the predecessor.
    pub(super) fn taken_over(token: AccessToken, expires: i64) -> Option<Self> {
        Self::until(token, u64::try_from(expires).ok()?, USUAL_LIFE)
    }

    /// Returns how long it is still good.
    pub(super) fn left(&self) -> Duration {
        let wall = self.expires.duration_since(SystemTime::now());
        let own = self.ends.saturating_duration_since(Instant::now());
        own.min(wall.unwrap_or_default())
    }

    /// Returns how long before its end it should be renewed.
    pub(super) fn margin(&self) -> Duration {
        MARGIN.min(self.life / 2)
    }

    /// Returns whether it need not be renewed yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.left() > self.margin()
    }

    /// Returns it as it is sealed.
    pub(super) fn to_sealed(&self) -> Option<Vec<u8>> {
        let expires = self.expires.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let sealed = Sealed {
            token: self.token.reveal().to_owned(),
            expires,
            life: self.life.as_secs(),
        };
        serde_json::to_vec(&sealed).ok()
    }

    /// Reads it as it was sealed; nothing if its time is over.
    pub(super) fn from_sealed(plain: &Secret<Vec<u8>>) -> Option<Self> {
        let sealed: Sealed = serde_json::from_slice(plain.reveal()).ok()?;
        let token = AccessToken::parse(&sealed.token).ok()?;
        Self::until(token, sealed.expires, Duration::from_secs(sealed.life))
    }
}
