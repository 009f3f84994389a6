//! What stood in an account's way last, for `status`: the token endpoint's no, or a mail server's.
//!
//! Nothing is decided by it. A server's no is forgotten when the same server lets the account in.

use super::consent::Consent;
use super::token::{Account, State};
use super::{AccountState, Accounts, Admitted};
use crate::providers::catalogue::Diagnosis;
use crate::refusal::Refusal;

impl Accounts {
    /// Explains why the server `at` (host:port) did not let an admitted login in, and remembers it for `status`.
    pub fn was_refused(&self, admitted: &Admitted, at: &str, refusal: Refusal) -> Refusal {
        let known = admitted.settings.known();
        let refusal = refusal.explained(&known);
        if let Some(account) = self.known(&admitted.user) {
            let diagnosis = refusal.diagnosis(&known);
            account.state().refused = Some((at.to_owned(), diagnosis));
        }
        refusal
    }

    /// Forgets what stood in the way at the server `at`: it let the account in.
    pub fn was_let_in(&self, admitted: &Admitted, at: &str) {
        let Some(account) = self.known(&admitted.user) else {
            return;
        };
        let mut state = account.state();
        state.refused.take_if(|(server, _)| server == at);
    }

    /// Takes down why a consent came to nothing, for whoever asks how it ended.
    pub(super) fn note_failure(&self, consent: &Consent, why: Diagnosis) {
        if let Some(account) = self.known(consent.account()) {
            account.state().last_error = Some(why);
        }
    }
}

impl AccountState {
    /// Returns the last failure in one line: what happened, why, what to do.
    pub fn failure(&self) -> Option<String> {
        let words = self.last_error.clone()?;
        let (Some(class), Some(cause), Some(remedy)) = (self.class, &self.cause, &self.remedy)
        else {
            return Some(words);
        };
        let diagnosis = Diagnosis {
            words,
            class,
            cause: cause.clone(),
            remedy: remedy.clone(),
        };
        Some(diagnosis.to_string())
    }
}

impl Account {
    /// Takes down why there is no token.
    pub(super) fn note(state: &mut State, refusal: &Refusal) {
        state.last_error = Some(refusal.diagnosis(&state.settings.known()));
    }
}
