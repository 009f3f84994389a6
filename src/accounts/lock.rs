//! Who may use an account: the passwords known to be right or wrong, and a new one that waits for its token.
//!
//! Keeps marks, not passwords; slow checks are made elsewhere.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Caller;
use super::proof::Mark;
use super::terms::Terms;
use super::token::State;
use super::vault::{DataKey, Derived, Wrap};
use crate::refusal::Refusal;

/// How many proven and refuted passwords are remembered for one account.
const MARKS: usize = 16;

/// Whether the account's data key is at hand.
pub(super) enum Lock {
    /// It is not: nobody has proven a password in this process, and no store key opened it.
    Shut,
    /// It is.
    Open {
        /// The key.
        key: DataKey,
        /// Its wraps.
        wraps: Vec<Wrap>,
    },
}

/// A password that counts once a token was obtained: an account's first, or one that takes the place of another.
pub(super) struct Claim {
    mark: Mark,
    derived: Derived,
    /// Whether there is a password already, which only the consent asked for in its name replaces.
    challenge: bool,
    /// Cloned by every login that waits with this password.
    held: Arc<()>,
}

/// A password that was proven in this process, and the wraps that it opened: their terms say what it is good for.
pub(super) struct Proof {
    mark: Mark,
    opened: Vec<String>,
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

/// The right to use an account; for a password that waits for its token it keeps others from choosing theirs.
#[derive(Clone)]
pub(super) struct Pass {
    #[expect(
        dead_code,
        reason = "its count tells whether anybody waits with a new password"
    )]
    held: Option<Arc<()>>,
    challenge: bool,
}

impl Pass {
    /// The pass of a password that is proven already: nothing to hold.
    pub(super) const PROVEN: Self = Self {
        held: None,
        challenge: false,
    };

    /// Returns whether it only lets its login wait for the consent to a new password.
    pub(super) fn is_challenge(&self) -> bool {
        self.challenge
    }
}

/// What a first look at a password says.
pub(super) enum Look {
    /// Known to be right.
    Right(Pass),
    /// Known to be right, but not for this service or from there; the name of the password.
    Elsewhere(String),
    /// Known to be wrong.
    Wrong,
    /// Not the first password that is waiting for its token.
    Second,
    /// To be checked; everybody with this password shares the check.
    Check(Arc<OnceCell<Verdict>>),
}

impl State {
    /// Returns whether the data key is at hand: tokens can be sealed and renewed without anybody's password.
    pub(super) fn is_unlocked(&self) -> bool {
        matches!(self.lock, Lock::Open { .. })
    }

    /// Returns whether a first password waits for its token.
    pub(super) fn is_claimed(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| !claim.challenge)
    }

    /// Returns the wraps of the data key at hand.
    pub(super) fn wraps(&self) -> &[Wrap] {
        match &self.lock {
            Lock::Shut => &[],
            Lock::Open { wraps, .. } => wraps,
        }
    }

    /// Judges a password as far as it can be done at once; names the shared check otherwise.
    pub(super) fn look(&mut self, mark: Mark, caller: &Caller) -> Look {
        if let Some(look) = self.look_at_proofs(mark, caller) {
            return look;
        }
        if let Some(claim) = &self.claim {
            if claim.mark.same(&mark) {
                return Look::Right(claim.pass());
            }
            if !claim.challenge && claim.is_held() {
                return Look::Second;
            }
        }
        if self.refuted.iter().any(|known| known.same(&mark)) {
            return Look::Wrong;
        }
        if let Some((_, check)) = self.checks.iter().find(|(known, _)| known.same(&mark)) {
            return Look::Check(Arc::clone(check));
        }
        // Checks whose logins all hung up are of no use to anybody.
        self.checks
            .retain(|(_, check)| Arc::strong_count(check) > 1);
        let check = Arc::new(OnceCell::new());
        self.checks.push((mark, Arc::clone(&check)));
        Look::Check(check)
    }

    /// Judges a password that was proven before. One whose wraps are all gone was revoked, and is forgotten.
    fn look_at_proofs(&mut self, mark: Mark, caller: &Caller) -> Option<Look> {
        let at = self
            .proven
            .iter()
            .position(|known| known.mark.same(&mark))?;
        let proof = self.proven.get(at)?;
        let still = self
            .wraps()
            .iter()
            .filter(|wrap| proof.opened.iter().any(|id| id == wrap.id()));
        let still: Vec<&Terms> = still.map(Wrap::terms).collect();
        if still.iter().any(|terms| terms.allow(caller)) {
            return Some(Look::Right(Pass::PROVEN));
        }
        if let Some(terms) = still.first() {
            return Some(Look::Elsewhere(terms.name().to_owned()));
        }
        self.proven.remove(at);
        None
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
    pub(super) fn claim(&mut self, mark: Mark, derived: Derived) -> Option<Pass> {
        let taken = self.wraps().iter().any(Wrap::is_by_password);
        if taken || self.claim.as_ref().is_some_and(Claim::is_held) {
            return None;
        }
        self.refuted.clear();
        let claim = self.claim.insert(Claim::new(mark, derived, false));
        Some(claim.pass())
    }

    /// Notes a password that is to take the place of another, in place of one that nobody waits with any more.
    pub(super) fn challenge(&mut self, mark: Mark, derived: Derived) -> Option<Pass> {
        if self.claim.as_ref().is_some_and(Claim::is_held) {
            return None;
        }
        let claim = self.claim.insert(Claim::new(mark, derived, true));
        Some(claim.pass())
    }

    /// Lets go of a password that was to take the place of another. Returns whether it still waited.
    pub(super) fn forget_challenge(&mut self, mark: Mark) -> bool {
        let waits = |claim: &mut Claim| claim.challenge && claim.mark.same(&mark);
        self.claim.take_if(waits).is_some()
    }

    /// Lets a proven password in, with the key it opened and the ids of the wraps it opened that with.
    pub(super) fn unlock(
        &mut self,
        mark: Mark,
        key: DataKey,
        wraps: Vec<Wrap>,
        opened: Vec<String>,
    ) {
        self.lock = Lock::Open { key, wraps };
        self.remember(mark, opened);
    }

    /// Remembers a proven password.
    fn remember(&mut self, mark: Mark, opened: Vec<String>) {
        self.refuted.retain(|known| !known.same(&mark));
        self.proven.retain(|known| !known.mark.same(&mark));
        if self.proven.len() >= MARKS {
            self.proven.remove(0);
        }
        self.proven.push(Proof { mark, opened });
    }

    /// Forgets every proof, so that the next login is checked slowly.
    pub(super) fn forget_proofs(&mut self) {
        self.proven.clear();
        self.refuted.clear();
    }

    /// Makes a waiting first password the account's own: a token was obtained.
    pub(super) fn settle_claim(&mut self) {
        if self.is_claimed()
            && let Some(claim) = self.claim.take()
        {
            self.settle(&claim);
        }
    }

    /// Makes the password of this mark the account's own in place of the unnamed one: the consent asked for in its name
    /// was given. Named ones stay if the data key is at hand; without it there is a new key, and they are gone.
    ///
    /// Returns whether that password still waited for it.
    pub(super) fn settle_challenge(&mut self, mark: Mark) -> bool {
        let waits = |claim: &mut Claim| claim.challenge && claim.mark.same(&mark);
        let Some(claim) = self.claim.take_if(waits) else {
            return false;
        };
        self.settle(&claim);
        true
    }

    /// Wraps the data key, a new one where there is none, with a password that waited.
    fn settle(&mut self, claim: &Claim) {
        let name = self.settings.name.clone();
        let wrapped = (|| {
            let (key, mut wraps) = match &self.lock {
                Lock::Open { key, wraps } => (key.clone(), wraps.clone()),
                Lock::Shut => (DataKey::fresh()?, Vec::new()),
            };
            wraps.retain(|wrap| !wrap.is_by_password() || wrap.terms().name.is_some());
            let wrap = key.wrap(&name, &claim.derived, Terms::unlimited())?;
            let opened = vec![wrap.id().to_owned()];
            wraps.push(wrap);
            Ok::<_, &str>((key, wraps, opened))
        })();
        match wrapped {
            Ok((key, wraps, opened)) => self.unlock(claim.mark, key, wraps, opened),
            Err(why) => tracing::error!(
                "the password of account {} could not be made its own: {why}",
                crate::said::Said::new(&name)
            ),
        }
    }
}

impl Claim {
    fn new(mark: Mark, derived: Derived, challenge: bool) -> Self {
        Self {
            mark,
            derived,
            challenge,
            held: Arc::default(),
        }
    }

    /// Returns whether somebody waits with it.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.held) > 1
    }

    /// Lets one more login wait with it.
    fn pass(&self) -> Pass {
        Pass {
            held: Some(Arc::clone(&self.held)),
            challenge: self.challenge,
        }
    }
}
