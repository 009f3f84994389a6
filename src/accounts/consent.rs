//! Consents that people are asked for: found by their one-time state, one per account, good for 60 minutes.
//!
//! Knows neither tokens nor passwords; what an answer is worth is decided where it is redeemed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::purpose::Purpose;
use super::{Pending, UserCode, locked};
use crate::config::AccountSettings;
use crate::oauth::Question;
use crate::refusal::Refusal;

/// How long a consent may take.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(60 * 60);

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
    /// What a person is shown of it.
    pub(super) shown: Pending,
    born: Instant,
    end: watch::Sender<Option<End>>,
}

impl Consent {
    /// Waits for its end together with others.
    pub(super) fn join(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }

    /// Returns whether nobody is waiting for it.
    pub(super) fn is_lonely(&self) -> bool {
        self.end.receiver_count() == 0
    }

    fn is_over(&self) -> bool {
        self.born.elapsed() >= GOOD_FOR
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
    /// By state, until an answer comes.
    by_state: HashMap<String, Arc<Consent>>,
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
    ) -> Result<Arc<Consent>, Refusal> {
        self.end(&settings.name, &End::Lapsed);
        self.make_room();
        let mut all = locked(&self.all);
        if all.by_account.len() >= MOST {
            return Err(Refusal::Busy);
        }
        let consent = Arc::new(Consent {
            shown: Pending {
                account: settings.name.clone(),
                url: question.url.clone(),
                redirect_uri: question.redirect_uri.clone(),
                redirect_listen_address: settings.redirect_listen_address.clone(),
                listen,
                code: question.device.as_ref().map(|device| UserCode {
                    code: device.user_code.clone(),
                    url: device.verification_url.clone(),
                    until: Instant::now() + device.good_for,
                }),
            },
            settings,
            purpose,
            born: Instant::now(),
            end: watch::channel(None).0,
            question,
        });
        // Nothing a browser brings may answer for a device code.
        if consent.question.device.is_none() {
            all.by_state
                .insert(consent.question.state.clone(), Arc::clone(&consent));
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
            let lonely = all.by_state.values().filter(|consent| consent.is_lonely());
            lonely.min_by_key(|consent| consent.born).map(Arc::clone)
        };
        if let Some(oldest) = oldest {
            self.finish(&oldest, End::Lapsed);
        }
    }

    /// Finds the consent an answer is for, without taking it.
    pub(super) fn peek(&self, state: &str) -> Option<Arc<Consent>> {
        locked(&self.all).by_state.get(state).map(Arc::clone)
    }

    /// Takes the consent an answer is for: the state is good once, and a state that fits none takes none.
    pub(super) fn take(&self, state: &str) -> Option<Arc<Consent>> {
        let consent = locked(&self.all).by_state.remove(state)?;
        (!consent.is_over()).then_some(consent)
    }

    /// Ends a consent and tells everybody who waits for it.
    pub(super) fn finish(&self, consent: &Arc<Consent>, end: End) {
        let mut all = locked(&self.all);
        all.by_state.remove(&consent.question.state);
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

    /// Ends the consent of an account, if it has one.
    pub(super) fn end(&self, account: &str, end: &End) {
        let consent = locked(&self.all).by_account.get(account).map(Arc::clone);
        if let Some(consent) = consent {
            self.finish(&consent, end.clone());
        }
    }

    /// Lets consents lapse whose time is over.
    pub(super) fn sweep(&self) {
        let over: Vec<_> = {
            let all = locked(&self.all);
            let over = all.by_account.values().filter(|consent| consent.is_over());
            over.map(Arc::clone).collect()
        };
        for consent in over {
            self.finish(&consent, End::Lapsed);
        }
    }

    /// Shows what is there, in a steady order.
    fn show(&self, all: &All) {
        let mut list: Vec<Pending> = all.by_account.values().map(|c| c.shown.clone()).collect();
        list.sort_by(|a, b| a.account.cmp(&b.account));
        self.shown.send_replace(list);
    }
}
