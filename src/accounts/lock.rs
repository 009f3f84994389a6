//! Who may use an account: the passwords known to be right or wrong, and the first one that waits for its token.
//!
//! Keeps marks, not passwords; slow checks are made elsewhere.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::proof::Mark;
use super::token::State;
use super::vault::{DataKey, Wrap};
use crate::refusal::Refusal;

/// How many proven and refuted passwords are remembered for one account.
const MARKS: usize = 16;

/// How many slow checks may wait for one account: enough that guessers cannot crowd out its owner, few enough that the
/// owner waits for seconds only.
const CHECKS: usize = 128;

/// Who may use an account.
pub(super) enum Lock {
    /// Nobody has proven a password in this process.
    Shut,
    /// A first password is chosen; it counts once a token was obtained.
    Claimed(Claim),
    /// A password was proven: the data key is at hand.
    Open {
        /// The key.
        key: DataKey,
        /// Its wraps.
        wraps: Vec<Wrap>,
    },
}

/// A first password, ready to seal.
pub(super) struct Claim {
    mark: Mark,
    key: DataKey,
    wrap: Wrap,
    /// Cloned by every login that waits with this password.
    held: Arc<()>,
}

/// What a check of a password came to.
#[derive(Clone)]
pub(super) enum Verdict {
    /// Go on, holding this.
    Pass(Pass),
    /// It is the wrong one.
    Wrong,
    /// It cannot be checked.
    Refused(Refusal),
    /// The account changed meanwhile: look again.
    Again,
}

/// The right to use an account; for a first password it keeps others from choosing theirs.
#[derive(Clone)]
pub(super) struct Pass {
    #[expect(
        dead_code,
        reason = "its count tells whether anybody waits with a first password"
    )]
    held: Option<Arc<()>>,
}

impl Pass {
    /// The pass of a password that is proven already: nothing to hold.
    pub(super) const PROVEN: Self = Self { held: None };
}

/// What a first look at a password says.
pub(super) enum Look {
    /// Known to be right.
    Right(Pass),
    /// Known to be wrong.
    Wrong,
    /// Not the first password that is waiting for its token.
    Second,
    /// To be checked; everybody with this password shares the check.
    Check(Arc<OnceCell<Verdict>>),
}

impl State {
    /// Judges a password as far as it can be done at once; names the shared check otherwise.
    pub(super) fn look(&mut self, mark: Mark) -> Result<Look, Refusal> {
        if self.proven.iter().any(|known| known.same(&mark)) {
            return Ok(Look::Right(Pass::PROVEN));
        }
        if let Lock::Claimed(claim) = &self.lock {
            if claim.mark.same(&mark) {
                let held = Some(Arc::clone(&claim.held));
                return Ok(Look::Right(Pass { held }));
            }
            if Arc::strong_count(&claim.held) > 1 {
                return Ok(Look::Second);
            }
        }
        if self.refuted.iter().any(|known| known.same(&mark)) {
            return Ok(Look::Wrong);
        }
        if let Some((_, check)) = self.checks.iter().find(|(known, _)| known.same(&mark)) {
            return Ok(Look::Check(Arc::clone(check)));
        }
        // Checks whose logins all hung up are of no use to anybody.
        self.checks
            .retain(|(_, check)| Arc::strong_count(check) > 1);
        if self.checks.len() >= CHECKS {
            return Err(Refusal::Busy);
        }
        let check = Arc::new(OnceCell::new());
        self.checks.push((mark, Arc::clone(&check)));
        Ok(Look::Check(check))
    }

    /// Ends a check.
    pub(super) fn checked(&mut self, check: &Arc<OnceCell<Verdict>>) {
        self.checks.retain(|(_, known)| !Arc::ptr_eq(known, check));
    }

    /// Remembers that a password is wrong, so that asking again costs nothing.
    pub(super) fn refute(&mut self, mark: Mark) {
        if self.refuted.len() >= MARKS {
            self.refuted.pop_front();
        }
        self.refuted.push_back(mark);
    }

    /// Notes a first password, unless another one came first.
    pub(super) fn claim(&mut self, mark: Mark, key: DataKey, wrap: Wrap) -> Option<Pass> {
        let free = match &self.lock {
            Lock::Shut => true,
            Lock::Claimed(other) => Arc::strong_count(&other.held) == 1,
            Lock::Open { .. } => false,
        };
        if !free {
            return None;
        }
        let held = Arc::new(());
        self.refuted.clear();
        self.lock = Lock::Claimed(Claim {
            mark,
            key,
            wrap,
            held: Arc::clone(&held),
        });
        Some(Pass { held: Some(held) })
    }

    /// Lets a proven password in, with the key it opened.
    pub(super) fn unlock(&mut self, mark: Mark, key: DataKey, wraps: Vec<Wrap>) {
        self.lock = Lock::Open { key, wraps };
        self.remember(mark);
    }

    /// Remembers a proven password.
    fn remember(&mut self, mark: Mark) {
        self.refuted.retain(|known| !known.same(&mark));
        if self.proven.len() >= MARKS {
            self.proven.remove(0);
        }
        self.proven.push(mark);
    }

    /// Forgets every proof, so that the next login is checked slowly.
    pub(super) fn forget_proofs(&mut self) {
        self.proven.clear();
        self.refuted.clear();
    }

    /// Makes a waiting first password the account's own: a token was obtained.
    pub(super) fn settle_claim(&mut self) {
        if let Lock::Claimed(claim) = &self.lock {
            let (mark, key, wrap) = (claim.mark, claim.key.clone(), claim.wrap.clone());
            self.unlock(mark, key, vec![wrap]);
        }
    }
}
