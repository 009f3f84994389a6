//! A device code while it is good: the provider is asked every few seconds whether somebody has approved it.
//!
//! Knows not who shows the code. It is asked for as long as the code is good, whether or not a login still waits: like
//! every other consent it may be given late.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::gone;
use super::consent::{Consent, End};
use super::source::refusal;
use super::{Accounts, UserCode};
use crate::oauth::{DeviceCode, Error, Grant, Tokens};
use crate::providers::catalogue::{Diagnosis, own};
use crate::refusal::Refusal;
use crate::said::Said;

/// By how much the interval grows when the provider wants to be asked less often (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest interval while the provider gives no sensible answer.
const LONGEST: Duration = Duration::from_secs(60);

/// When the log repeats how long a code is still good.
const REMINDERS: [Duration; 2] = [Duration::from_secs(5 * 60), Duration::from_secs(60)];

/// What one poll came to.
enum Poll {
    /// Nothing yet.
    Wait,
    /// The consent has ended, or waits for a yes.
    Done,
    /// The provider says that the code is no longer good.
    Expired,
}

/// How often is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// The least time between two polls.
    interval: Duration,
    /// The time to the next one: longer than that while the provider is not to be had.
    pause: Duration,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            pause: interval,
        }
    }

    /// Notes an answer of "not yet".
    fn steady(&mut self) {
        self.pause = self.interval;
    }

    /// Notes that the provider wants to be asked less often, from now on.
    fn slower(&mut self) {
        self.interval += SLOWER;
        self.pause = self.interval;
    }

    /// Notes that the provider was not to be had.
    fn back_off(&mut self) {
        self.pause = (self.pause * 2).min(LONGEST).max(self.interval);
    }
}

impl Accounts {
    /// Begins to ask whether a device code was approved, until it is over or the proxy closes.
    pub(super) fn poll_device(self: &Arc<Self>, consent: &Arc<Consent>) {
        let Some(device) = consent.question.device.clone() else {
            return;
        };
        let Some(shown) = consent.shown().code else {
            return;
        };
        let polling = Polling {
            accounts: Arc::downgrade(self),
            closing: self.closing.subscribe(),
            end: consent.join(),
            consent: Arc::clone(consent),
            pace: Pace::new(device.interval),
            device,
            shown,
        };
        tokio::spawn(polling.run());
    }

    /// Asks once, and takes what comes.
    async fn poll_once(
        self: &Arc<Self>,
        consent: &Arc<Consent>,
        device: &DeviceCode,
        pace: &mut Pace,
    ) -> Poll {
        let user = Said::new(consent.account());
        let received = match self.ask_device(consent, device).await {
            Ok(Ok(tokens)) => self.receive(consent, tokens).await,
            Ok(Err(Error::Pending)) => {
                pace.steady();
                return Poll::Wait;
            }
            Ok(Err(Error::SlowDown)) => {
                pace.slower();
                return Poll::Wait;
            }
            Ok(Err(Error::Unavailable(why) | Error::Throttled { said: why, .. })) => {
                pace.back_off();
                tracing::info!(
                    "could not ask whether the code for account {user} was approved: {why}; asking again in {} s",
                    pace.pause.as_secs()
                );
                return Poll::Wait;
            }
            Ok(Err(Error::GrantDead(why))) => {
                tracing::debug!("the device code for account {user} is over: {why}");
                return Poll::Expired;
            }
            Ok(Err(Error::Denied(why))) => Err(Refusal::ConsentRefused(why)),
            Ok(Err(other)) => Err(refusal(other)),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &received {
            tracing::warn!(
                "Authorisation result error for account {user} - aborting login. {refusal}"
            );
            self.note_failure(consent, refusal.diagnosis(&consent.settings.known()));
        }
        self.consents.settle(consent, &received);
        Poll::Done
    }

    /// Sends one poll. The outer error says that it cannot be sent at all.
    async fn ask_device(
        &self,
        consent: &Consent,
        device: &DeviceCode,
    ) -> Result<Result<Tokens, Error>, Refusal> {
        let account = self.account(consent.account()).map_err(|_| gone())?;
        let secret = account.state().application_secret(None)?;
        let grant = Grant::Device(device.code.clone());
        let world = self.world();
        Ok(world
            .source
            .ask(&consent.settings, secret.as_ref(), &grant)
            .await)
    }

    /// Ends a consent whose code nobody approved in time. Logins that still wait ask for a new one.
    fn expire(&self, consent: &Arc<Consent>) {
        let user = Said::new(consent.account());
        let why = "the code was not approved in time; log in again for a new one";
        tracing::warn!("Authorisation result error for account {user} - aborting login. {why}");
        let known = consent.settings.known();
        self.note_failure(consent, Diagnosis::of(why, &own::SIGN_IN_LAPSED, &known));
        self.consents.finish(consent, End::Lapsed);
    }
}

/// One device code that is asked about.
struct Polling {
    accounts: Weak<Accounts>,
    closing: watch::Receiver<bool>,
    end: watch::Receiver<Option<End>>,
    consent: Arc<Consent>,
    pace: Pace,
    device: DeviceCode,
    shown: UserCode,
}

impl Polling {
    async fn run(mut self) {
        let until = self.shown.until;
        let mut reminders: Vec<Instant> = REMINDERS
            .iter()
            .filter(|left| **left < self.device.good_for)
            .filter_map(|left| until.checked_sub(*left))
            .collect();
        reminders.reverse();
        let mut next = Instant::now() + self.pace.pause;
        loop {
            let reminder = reminders.last().copied();
            let due = reminder
                .map_or(next, |reminder| reminder.min(next))
                .min(until);
            tokio::select! {
                // Who asked for it is gone, or it ended otherwise.
                _ = self.closing.wait_for(|closing| *closing) => return,
                _ = self.end.wait_for(Option::is_some) => return,
                () = sleep_until(due) => {}
            }
            let Some(accounts) = self.accounts.upgrade() else {
                return;
            };
            // An answer on its way may hold tokens that come only once.
            let busy = accounts.busy();
            if accounts.is_closing() {
                return;
            }
            if Instant::now() >= until {
                accounts.expire(&self.consent);
                return;
            }
            if reminder.is_some_and(|reminder| reminder <= Instant::now()) {
                reminders.pop();
                self.remind();
            }
            if next > Instant::now() {
                continue;
            }
            let polled = accounts.poll_once(&self.consent, &self.device, &mut self.pace);
            match polled.await {
                Poll::Wait => next = Instant::now() + self.pace.pause,
                Poll::Done => return,
                Poll::Expired => {
                    accounts.expire(&self.consent);
                    return;
                }
            }
            drop(busy);
        }
    }

    /// Says again what is to be done, and how much time is left.
    fn remind(&self) {
        tracing::info!(
            "account {}: code {} at {}, {} left",
            Said::new(self.consent.account()),
            self.shown.code,
            self.shown.url,
            minutes(self.shown.until)
        );
    }
}

/// Words how long it is until then.
pub(super) fn minutes(until: Instant) -> String {
    let left = until.saturating_duration_since(Instant::now());
    match (left.as_secs() + 30) / 60 {
        0 => format!("{} seconds", left.as_secs()),
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_rfc_8628() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(seconds(5));
        pace.slower();
        assert_eq!((pace.interval, pace.pause), (seconds(10), seconds(10)));
        for expected in [20, 40, 60, 60] {
            pace.back_off();
            assert_eq!(pace.pause, seconds(expected));
        }
        pace.steady();
        assert_eq!(pace.pause, seconds(10), "slower stays slower");
        for _ in 0..11 {
            pace.slower();
        }
        pace.back_off();
        assert_eq!(pace.pause, seconds(65), "never below the interval");
    }
}
