//! The contact with a store that is a service somewhere else: every call bounded, outages noticed and told once.
//!
//! Knows no service; what is said to it and how is the affair of the backend inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::{Instant, timeout};

use super::backend::{All, Backend, Change, Doing, Kept, Lease, Swapped};
use crate::accounts::locked;
use crate::said::Said;

/// How long a call may take in all, a new connection included.
const WHOLE: Duration = Duration::from_secs(5);

/// How long nobody tries again after a call failed, so that logins need not wait one after the other for a dead host.
const PAUSE: Duration = Duration::from_secs(1);

/// A backend reached over a network.
#[derive(Debug)]
pub(super) struct Contact<B> {
    service: B,
    outage: Mutex<Option<Outage>>,
}

/// A service that cannot be used just now.
#[derive(Debug)]
struct Outage {
    since: Instant,
    last: Instant,
    why: String,
}

impl<B: Backend> Contact<B> {
    /// Keeps contact with `service`, which is not asked anything yet.
    pub(super) fn with(service: B) -> Arc<Self> {
        Arc::new(Self {
            service,
            outage: Mutex::default(),
        })
    }

    /// Makes one call. `what` completes the sentence "could not ...".
    async fn call<T>(&self, what: &str, work: Doing<'_, T>) -> Result<T, String> {
        if let Some(why) = self.resting() {
            return Err(why);
        }
        let late = || format!("no answer within {} s", WHOLE.as_secs());
        let done = match timeout(WHOLE, work).await {
            Ok(done) => done,
            Err(_) => Err(late()),
        };
        match done {
            Ok(value) => {
                self.back();
                Ok(value)
            }
            Err(why) => Err(self.away(what, &why)),
        }
    }

    /// Returns what went wrong a moment ago.
    fn resting(&self) -> Option<String> {
        let outage = locked(&self.outage);
        let outage = outage.as_ref()?;
        (outage.last.elapsed() < PAUSE).then(|| outage.why.clone())
    }

    /// Notes that a call failed and returns why, in words; the log hears of it when it begins.
    fn away(&self, what: &str, why: &str) -> String {
        let why = format!(
            "could not {what} {}: {}",
            self.service.name(),
            Said::new(why)
        );
        let now = Instant::now();
        let mut outage = locked(&self.outage);
        if let Some(outage) = &mut *outage {
            outage.last = now;
            outage.why.clone_from(&why);
        } else {
            tracing::warn!(
                "{why}; sessions go on, and logins are served from memory while their tokens last"
            );
            *outage = Some(Outage {
                since: now,
                last: now,
                why: why.clone(),
            });
        }
        why
    }

    /// Notes that a call went well.
    fn back(&self) {
        if let Some(outage) = locked(&self.outage).take() {
            tracing::info!(
                "{} can be used again, after {} s",
                self.service.name(),
                outage.since.elapsed().as_secs()
            );
        }
    }
}

impl<B: Backend> Backend for Contact<B> {
    fn name(&self) -> String {
        self.service.name()
    }

    fn is_shared(&self) -> bool {
        self.service.is_shared()
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(self.call("read", self.service.load()))
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(self.call("read from", self.service.fetch(account)))
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(self.call("read from", self.service.revisions()))
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        Box::pin(async move {
            let wished = changes.clone();
            let swapped = self.call("write to", self.service.swap(changes)).await?;
            let settled = wished.iter().zip(swapped);
            Ok(settled
                .map(|(change, swapped)| settle(change, swapped))
                .collect())
        })
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(self.call("take a lease at", self.service.lease(account)))
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        Box::pin(self.call("give a lease back to", self.service.release(lease)))
    }
}

/// Makes a lease of an account with a holder that nobody else is; it still has to be taken.
pub(super) fn lease_for(account: &str) -> Result<Lease, String> {
    let mut dice = [0; 16];
    rand::fill(&mut dice).map_err(|_| "the system gives no random numbers")?;
    Ok(Lease {
        account: account.to_owned(),
        holder: format!("{:032x}", u128::from_be_bytes(dice)),
        lock: None,
    })
}

/// Recognises our own writing whose answer was lost: nobody else can seal the same bytes.
fn settle(change: &Change, swapped: Swapped) -> Swapped {
    match swapped {
        Swapped::Conflict(Some(kept)) if kept.record == change.record => {
            Swapped::Done(kept.revision)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::store::Record;

    /// A service that answers as it is told.
    #[derive(Debug, Default)]
    struct Odd {
        mute: Mutex<bool>,
        fails: Mutex<bool>,
        asked: Mutex<usize>,
        swapped: Mutex<Vec<Swapped>>,
    }

    impl Backend for Odd {
        fn name(&self) -> String {
            "the odd service".into()
        }

        fn is_shared(&self) -> bool {
            true
        }

        fn load(&self) -> Doing<'_, All> {
            Box::pin(async { Ok(All::new()) })
        }

        fn fetch<'a>(&'a self, _account: &'a str) -> Doing<'a, Option<Kept>> {
            Box::pin(async {
                *locked(&self.asked) += 1;
                if *locked(&self.mute) {
                    std::future::pending::<()>().await;
                }
                if *locked(&self.fails) {
                    return Err("it is\r\ntired".into());
                }
                Ok(None)
            })
        }

        fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
            Box::pin(async { Ok(BTreeMap::new()) })
        }

        fn swap(&self, _changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
            Box::pin(async { Ok(std::mem::take(&mut *locked(&self.swapped))) })
        }

        fn lease<'a>(&'a self, _account: &'a str) -> Doing<'a, Option<Lease>> {
            Box::pin(async { Ok(None) })
        }

        fn release(&self, _lease: Lease) -> Doing<'_, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mute_service_costs_one_wait_not_one_a_login() {
        let contact = Contact::with(Odd::default());
        assert_eq!(contact.fetch("u").await, Ok(None));
        *locked(&contact.service.mute) = true;
        let begin = Instant::now();
        let why = contact.fetch("u").await.unwrap_err();
        assert_eq!(begin.elapsed(), WHOLE);
        assert!(
            why.contains("could not read from the odd service: no answer within 5 s"),
            "{why}"
        );
        let begin = Instant::now();
        assert_eq!(contact.fetch("u").await, Err(why));
        assert!(begin.elapsed().is_zero());
        assert_eq!(*locked(&contact.service.asked), 2);
        *locked(&contact.service.mute) = false;
        tokio::time::advance(PAUSE).await;
        assert_eq!(contact.fetch("u").await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_and_so_is_its_end() {
        let (log, _guard) = crate::accounts::tests::Log::begin();
        let contact = Contact::with(Odd::default());
        *locked(&contact.service.fails) = true;
        for _ in 0..3 {
            contact.fetch("u").await.unwrap_err();
            tokio::time::advance(PAUSE).await;
        }
        *locked(&contact.service.fails) = false;
        for _ in 0..3 {
            contact.fetch("u").await.unwrap();
        }
        let text = log.text();
        assert_eq!(text.matches("it is tired").count(), 1, "{text}");
        assert_eq!(
            text.matches("can be used again, after 3 s").count(),
            1,
            "{text}"
        );
    }

    #[tokio::test]
    async fn our_own_writing_is_known_when_its_answer_was_lost() {
        let contact = Contact::with(Odd::default());
        let record = Record {
            provider: "ours".into(),
            ..Record::default()
        };
        let kept = |provider: &str| Kept {
            record: Record {
                provider: provider.into(),
                ..Record::default()
            },
            revision: 7,
        };
        let change = Change {
            account: "u".into(),
            expected: 6,
            record,
        };
        for (said, meant) in [
            (Swapped::Conflict(Some(kept("ours"))), Swapped::Done(7)),
            (
                Swapped::Conflict(Some(kept("theirs"))),
                Swapped::Conflict(Some(kept("theirs"))),
            ),
            (Swapped::Conflict(None), Swapped::Conflict(None)),
        ] {
            *locked(&contact.service.swapped) = vec![said];
            assert_eq!(contact.swap(vec![change.clone()]).await, Ok(vec![meant]));
        }
    }
}
