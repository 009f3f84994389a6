//! Consents that people are asked for: found by their one-time state, one per account, good for ten minutes or as long as
//! their device code.
//!
//! Knows neither tokens nor passwords; what an answer is worth is decided where it is redeemed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::confirm::Received;
use super::purpose::Purpose;
use super::{Doubt, Pending, UserCode, locked};
use crate::config::AccountSettings;
use crate::oauth::{Question, Tokens};
use crate::refusal::Refusal;
use crate::said::Said;

/// How long a consent may take.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(10 * 60);

/// How long after its end a device code is still left to whoever polls with it, who ends it in words.
const LAST_POLL: Duration = Duration::from_secs(60);

/// How many accounts may wait for consent at once.
const MOST: usize = 1_000;

/// How a consent ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With tokens.
    Given,
    /// With a no.
    Refused(Refusal),
    /// With nothing: its time is over, or the account changed.
    Lapsed,
}

/// One consent that somebody is asked for.
#[derive(Debug)]
pub(super) struct Consent {
    /// The account's settings it was asked for with.
    pub(super) settings: Arc<AccountSettings>,
    /// What its tokens will be for.
    pub(super) purpose: Purpose,
    /// The question put.
    pub(super) question: Question,
    /// The new password that it accepts, if that is what it is for.
    pub(super) challenge: Option<Challenge>,
    /// What a person is shown of it.
    shown: Pending,
    born: Instant,
    good_for: Duration,
    /// What came of it, while it waits for a yes.
    held: Mutex<Option<Held>>,
    end: watch::Sender<Option<End>>,
}

/// Tokens that somebody else signed in for: used for nothing until a yes.
#[derive(Debug)]
pub(super) struct Held {
    /// Whose yes is asked for.
    pub(super) doubt: Doubt,
    /// What will be stored then.
    pub(super) tokens: Tokens,
    /// When they came.
    pub(super) since: Instant,
}

impl Consent {
    /// Waits for its end together with others.
    pub(super) fn join(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }

    /// Returns what a person is shown of it at this moment.
    pub(super) fn shown(&self) -> Pending {
        let doubt = locked(&self.held).as_ref().map(|held| held.doubt.clone());
        Pending {
            doubt,
            ..self.shown.clone()
        }
    }

    /// Returns the account it is for.
    pub(super) fn account(&self) -> &str {
        &self.shown.account
    }

    /// Returns whether no login is waiting for it. Whoever polls with a device code waits too, but is no login.
    pub(super) fn is_lonely(&self) -> bool {
        self.end.receiver_count() <= usize::from(self.question.device.is_some())
    }

    fn is_over(&self) -> bool {
        match &*locked(&self.held) {
            Some(held) => held.doubt.until <= Instant::now(),
            None => self.born.elapsed() >= self.good_for,
        }
    }

    fn is_held(&self) -> bool {
        locked(&self.held).is_some()
    }
}

/// All consents that are asked for.
#[derive(Debug)]
pub(super) struct Consents {
    all: Mutex<All>,
    shown: watch::Sender<Vec<Pending>>,
}

#[derive(Debug, Default)]
struct All {
    /// By account; also while the code is being redeemed.
    by_account: HashMap<String, Arc<Consent>>,
    /// By the mark of its state, until an answer comes.
    by_state: HashMap<Mark, Arc<Consent>>,
    /// By the mark of the one-time value to confirm with, while a yes is waited for.
    held: HashMap<Mark, Arc<Consent>>,
}

/// A digest of a one-time value. What is looked up is compared byte by byte, and the time that takes says something of a
/// digest only, which brings nobody nearer to the value.
type Mark = [u8; 32];

fn mark(value: &str) -> Mark {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    let mut mark = Mark::default();
    mark.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    mark
}

impl Consents {
    /// Begins with none.
    pub(super) fn new() -> Self {
        Self {
            all: Mutex::default(),
            shown: watch::channel(Vec::new()).0,
        }
    }

    /// Shows the consents, now and whenever they change.
    pub(super) fn shown(&self) -> watch::Receiver<Vec<Pending>> {
        self.shown.subscribe()
    }

    /// Returns the consent an account is asked for, if it is still good for this purpose.
    pub(super) fn of(&self, account: &str, purpose: &Purpose) -> Option<Arc<Consent>> {
        let all = locked(&self.all);
        let consent = all.by_account.get(account)?;
        (!consent.is_over() && consent.purpose.provider == purpose.provider)
            .then(|| Arc::clone(consent))
    }

    /// Begins one. An older one of the account lapses, and so does the oldest that nobody waits for where there are 1,000.
    pub(super) fn begin(
        &self,
        settings: Arc<AccountSettings>,
        purpose: Purpose,
        question: Question,
        listen: bool,
        challenge: Option<Challenge>,
    ) -> Result<Arc<Consent>, Refusal> {
        self.end(&settings.name, &End::Lapsed);
        self.make_room();
        let mut all = locked(&self.all);
        if all.by_account.len() >= MOST {
            return Err(Refusal::Busy("too many sign-ins are waited for at once"));
        }
        let consent = Arc::new(Consent {
            shown: Pending {
                account: settings.name.clone(),
                url: match &question.device {
                    // The provider's own words, whereas the other address was put together here.
                    Some(_) => Said::new(&question.url).to_string(),
                    None => question.url.clone(),
                },
                redirect_uri: question.redirect_uri.clone(),
                redirect_listen_address: settings.redirect_listen_address.clone(),
                listen,
                code: question.device.as_ref().map(|device| UserCode {
                    code: Said::new(&device.user_code).to_string(),
                    url: Said::new(&device.verification_url).to_string(),
                    until: Instant::now() + device.good_for,
                }),
                doubt: None,
            },
            good_for: question
                .device
                .as_ref()
                .map_or(GOOD_FOR, |device| device.good_for),
            held: Mutex::default(),
            challenge,
            settings,
            purpose,
            born: Instant::now(),
            end: watch::channel(None).0,
            question,
        });
        // Nothing a browser brings may answer for a device code.
        if consent.question.device.is_none() {
            all.by_state
                .insert(mark(&consent.question.state), Arc::clone(&consent));
        }
        all.by_account
            .insert(consent.shown.account.clone(), Arc::clone(&consent));
        self.show(&all);
        Ok(consent)
    }

    /// Lets the oldest consent that nobody waits for lapse where there are too many, so that strangers who ask and leave
    /// shut nobody out.
    fn make_room(&self) {
        let oldest = {
            let all = locked(&self.all);
            if all.by_account.len() < MOST {
                return;
            }
            // One that is being redeemed has no state any more, and stays.
            let codes = all.by_account.values();
            let codes = codes.filter(|one| one.question.device.is_some() && !one.is_held());
            let lonely = all.by_state.values().chain(codes);
            let lonely = lonely.filter(|consent| consent.is_lonely());
            lonely.min_by_key(|consent| consent.born).map(Arc::clone)
        };
        if let Some(oldest) = oldest {
            self.finish(&oldest, End::Lapsed);
        }
    }

    /// Finds the consent an answer is for, without taking it.
    pub(super) fn peek(&self, state: &str) -> Option<Arc<Consent>> {
        locked(&self.all).by_state.get(&mark(state)).map(Arc::clone)
    }

    /// Takes the consent an answer is for: the state is good once, and a state that fits none takes none.
    pub(super) fn take(&self, state: &str) -> Option<Arc<Consent>> {
        let consent = locked(&self.all).by_state.remove(&mark(state))?;
        (!consent.is_over()).then_some(consent)
    }

    /// Keeps what came of a consent until somebody says yes. Returns whether it is still asked for at all.
    pub(super) fn hold(&self, consent: &Arc<Consent>, held: Held) -> bool {
        let mut all = locked(&self.all);
        let current = all.by_account.get(consent.account());
        if !current.is_some_and(|known| Arc::ptr_eq(known, consent)) {
            return false;
        }
        all.held
            .insert(mark(&held.doubt.confirm), Arc::clone(consent));
        *locked(&consent.held) = Some(held);
        self.show(&all);
        true
    }

    /// Takes what waits for a yes or no: the value is good once and for its time.
    pub(super) fn release(&self, confirm: &str) -> Option<(Arc<Consent>, Held)> {
        let mut all = locked(&self.all);
        let consent = all.held.remove(&mark(confirm))?;
        if consent.is_over() {
            return None;
        }
        let held = locked(&consent.held).take()?;
        self.show(&all);
        Some((consent, held))
    }

    /// Ends a consent and tells everybody who waits for it.
    pub(super) fn finish(&self, consent: &Arc<Consent>, end: End) {
        let mut all = locked(&self.all);
        all.by_state.remove(&mark(&consent.question.state));
        if let Some(held) = locked(&consent.held).take() {
            all.held.remove(&mark(&held.doubt.confirm));
        }
        let account = &consent.shown.account;
        if all
            .by_account
            .get(account)
            .is_some_and(|known| Arc::ptr_eq(known, consent))
        {
            all.by_account.remove(account);
        }
        self.show(&all);
        drop(all);
        consent.end.send_replace(Some(end));
    }

    /// Ends a consent as it turned out; one that waits for a yes goes on.
    pub(super) fn settle(&self, consent: &Arc<Consent>, received: &Result<Received, Refusal>) {
        match received {
            Ok(Received::Held(_)) => {}
            Ok(Received::Stored) => {
                self.finish(consent, End::Given);
                // A device code approved at the last moment may have a successor already.
                self.end(consent.account(), &End::Given);
            }
            Err(refusal) => self.finish(consent, End::Refused(refusal.clone())),
        }
    }

    /// Ends the consent of an account, if it has one.
    pub(super) fn end(&self, account: &str, end: &End) {
        let consent = locked(&self.all).by_account.get(account).map(Arc::clone);
        if let Some(consent) = consent {
            self.finish(&consent, end.clone());
        }
    }

    /// Lets consents lapse whose time is over; `note` takes down those that nobody has answered.
    pub(super) fn sweep(&self, note: impl Fn(&Consent)) {
        let over: Vec<_> = {
            let all = locked(&self.all);
            let over = all.by_account.values().filter(|consent| consent.is_over());
            let left_to_its_poll = |consent: &Consent| {
                consent.question.device.is_some()
                    && !consent.is_held()
                    && consent.born.elapsed() < consent.good_for + LAST_POLL
            };
            over.filter(|consent| !left_to_its_poll(consent))
                .map(Arc::clone)
                .collect()
        };
        for consent in over {
            if let Some(doubt) = consent.shown().doubt {
                tracing::warn!(
                    "nobody has confirmed that {} signed in for account {}; those tokens are dropped, nothing is stored",
                    doubt.signed_in,
                    Said::new(consent.account())
                );
            } else if consent.question.device.is_none() {
                note(&consent);
            }
            self.finish(&consent, End::Lapsed);
        }
    }

    /// Shows what is there, in a steady order.
    fn show(&self, all: &All) {
        let mut list: Vec<Pending> = all.by_account.values().map(|c| c.shown()).collect();
        list.sort_by(|a, b| a.account.cmp(&b.account));
        self.shown.send_replace(list);
    }
}
