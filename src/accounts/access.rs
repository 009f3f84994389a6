//! An access token and how long it is good, by two clocks.
//!
//! Knows neither where it came from nor where it goes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroize;

use super::clock::{self, TOLERANCE};
use crate::secret::{AccessToken, Secret};

/// How long before its end a token is renewed, unless its servers want more.
pub(super) const MARGIN: Duration = Duration::from_secs(600);

/// The life of a token whose issuer did not say, and of tokens taken over from the predecessor.
const USUAL_LIFE: Duration = Duration::from_secs(3_600);

/// A refused token that is older may have been ended by the provider meanwhile; a younger one was never good.
const YOUNG: Duration = Duration::from_secs(60);

/// An access token and its time.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: AccessToken,
    /// Its end by the clock on the wall, which a suspended machine does not stop.
    expires: SystemTime,
    /// Its end by the machine's own clock, which nobody sets back.
    ends: Instant,
    life: Duration,
    /// When it came, if it came into this process.
    came: Option<Instant>,
}

/// An access token as it is sealed. It came `life` before it `expires`.
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
            expires: clock::now() + life,
            ends: Instant::now() + life,
            life,
            came: Some(Instant::now()),
        }
    }

    /// Notes a token that ends at a Unix time. One that by this machine's clock has not come yet is not believed: one of
    /// the clocks was wrong, and nobody knows how long it is good.
    fn until(token: AccessToken, expires: u64, life: Duration) -> Option<Self> {
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(expires))?;
        let left = expires.duration_since(clock::now()).ok()?;
        if left > life + TOLERANCE {
            return None;
        }
        Some(Self {
            token,
            expires,
            ends: Instant::now() + left.min(life),
            life,
            came: None,
        })
    }

    /// Notes a token taken over from the predecessor, which did not write down when its tokens came: a while ago.
    pub(super) fn taken_over(token: AccessToken, expires: i64) -> Option<Self> {
        let latest = clock::unix() + USUAL_LIFE.saturating_sub(YOUNG).as_secs();
        let expires = u64::try_from(expires).ok()?.min(latest);
        Self::until(token, expires, USUAL_LIFE)
    }

    /// Returns how long it is still good.
    pub(super) fn left(&self) -> Duration {
        let wall = self.expires.duration_since(clock::now());
        let own = self.ends.saturating_duration_since(Instant::now());
        own.min(wall.unwrap_or_default())
    }

    /// Returns how long ago it came.
    pub(super) fn age(&self) -> Duration {
        self.life.saturating_sub(self.left())
    }

    /// Returns how long before its end it should be renewed, where its servers want `least`.
    pub(super) fn margin(&self, least: Duration) -> Duration {
        least.max(MARGIN).min(self.life / 2)
    }

    /// Returns whether it came so lately that a server that refuses it means something else.
    pub(super) fn is_young(&self) -> bool {
        let own = self.came.map(|came| came.elapsed()).unwrap_or_default();
        let left = self.expires.duration_since(clock::now());
        let wall = self.life.saturating_sub(left.unwrap_or_default());
        own.max(wall) < YOUNG
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

    /// Reads it as it was sealed; nothing if its time is over or nobody knows how long it is good.
    pub(super) fn from_sealed(plain: &Secret<Vec<u8>>) -> Option<Self> {
        let sealed: Sealed = serde_json::from_slice(plain.reveal()).ok()?;
        let token = AccessToken::parse(&sealed.token).ok()?;
        Self::until(token, sealed.expires, Duration::from_secs(sealed.life))
    }
}
