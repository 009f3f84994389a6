//! Who may see the page: a link that is good once, or a password, opens a session; a cookie keeps it; every form carries a
//! value that is good once.
//!
//! Keeps digests, not values. Knows no requests.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::secret::Secret;

/// How many browsers may have the page open; the one that was away for longest makes room.
const MOST_SESSIONS: usize = 16;

/// How long a browser may be away.
const AWAY: Duration = Duration::from_secs(12 * 3_600);

/// How many values a session's pages may hold at once.
const MOST_VALUES: usize = 512;

/// How many guesses at the password may wait.
const WAITING: usize = 8;

/// How long a wrong password holds up the next, whoever comes with it.
const PAUSE: Duration = Duration::from_secs(1);

/// A digest of a value. What is looked up is compared byte by byte, and the time that takes says something of a digest only,
/// which brings nobody nearer to the value.
type Mark = [u8; 32];

/// Who may see the page.
#[derive(Debug)]
pub(super) struct Access {
    /// The key that the next link opens the page with.
    key: watch::Sender<Secret<String>>,
    sessions: Mutex<Vec<Session>>,
    guessing: tokio::sync::Mutex<()>,
    waiting: Semaphore,
}

/// One browser.
#[derive(Debug)]
struct Session {
    mark: Mark,
    seen: Instant,
    values: VecDeque<Mark>,
}

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// Too many are being looked at.
    TooMany,
}

impl Access {
    /// Begins with nobody and a first key.
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self {
            key: watch::channel(fresh()?).0,
            sessions: Mutex::default(),
            guessing: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Shows the key, now and whenever it changes.
    pub(super) fn key(&self) -> watch::Receiver<Secret<String>> {
        self.key.subscribe()
    }

    /// Spends the key of a link; the next link has another one.
    pub(super) fn spend_key(&self, given: &str) -> bool {
        let Ok(next) = fresh() else { return false };
        let given = mark(given);
        self.key.send_if_modified(|key| {
            let fits = mark(key.reveal()) == given;
            if fits {
                *key = next;
            }
            fits
        })
    }

    /// Looks at a password, one after the other.
    pub(super) async fn guess(&self, given: &str, right: &Secret<String>) -> Guess {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Guess::TooMany;
        };
        let _turn = self.guessing.lock().await;
        if mark(given) == mark(right.reveal()) {
            return Guess::Right;
        }
        sleep(PAUSE).await;
        Guess::Wrong
    }

    /// Begins a session and returns what its cookie holds.
    pub(super) fn begin(&self) -> Result<String, String> {
        let cookie = fresh()?.reveal().clone();
        let mut sessions = self.sessions();
        if sessions.len() >= MOST_SESSIONS {
            let longest = sessions.iter().enumerate().min_by_key(|(_, one)| one.seen);
            if let Some((at, _)) = longest {
                sessions.swap_remove(at);
            }
        }
        sessions.push(Session {
            mark: mark(&cookie),
            seen: Instant::now(),
            values: VecDeque::new(),
        });
        Ok(cookie)
    }

    /// Ends the session of a cookie.
    pub(super) fn end(&self, cookie: &str) {
        let mark = mark(cookie);
        self.sessions().retain(|one| one.mark != mark);
    }

    /// Returns whether a cookie belongs to a session.
    pub(super) fn knows(&self, cookie: &str) -> bool {
        self.with(cookie, |_| ()).is_some()
    }

    /// Makes a value for the forms of one page.
    pub(super) fn value(&self, cookie: &str) -> Option<String> {
        let value = fresh().ok()?.reveal().clone();
        self.with(cookie, |session| {
            if session.values.len() >= MOST_VALUES {
                session.values.pop_front();
            }
            session.values.push_back(mark(&value));
        })?;
        Some(value)
    }

    /// Spends the value of a form.
    pub(super) fn spend(&self, cookie: &str, value: &str) -> bool {
        let value = mark(value);
        let spent = self.with(cookie, |session| {
            let at = session.values.iter().position(|known| *known == value);
            at.and_then(|at| session.values.remove(at)).is_some()
        });
        spent == Some(true)
    }

    fn with<T>(&self, cookie: &str, of: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mark = mark(cookie);
        let mut sessions = self.sessions();
        sessions.retain(|one| one.seen.elapsed() < AWAY);
        let session = sessions.iter_mut().find(|one| one.mark == mark)?;
        session.seen = Instant::now();
        Some(of(session))
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a value that nobody can guess.
fn fresh() -> Result<Secret<String>, String> {
    let mut bytes = [0; 32];
    // The system's own: the start must not wait until the crypto library has gathered its randomness.
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

fn mark(value: &str) -> Mark {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r16_a_link_and_a_form_are_good_once_and_a_browser_for_its_time() {
        let access = Access::new().unwrap();
        let key = access.key().borrow().reveal().clone();
        assert!(!access.spend_key("") && !access.spend_key("other"));
        assert!(access.spend_key(&key));
        assert!(!access.spend_key(&key), "it was good once");
        assert_ne!(access.key().borrow().reveal(), &key);

        let (one, other) = (access.begin().unwrap(), access.begin().unwrap());
        assert!(access.knows(&one) && !access.knows("") && !access.knows(&key));
        let value = access.value(&one).unwrap();
        assert!(!access.spend(&other, &value), "it is another browser's");
        assert!(access.spend(&one, &value));
        assert!(!access.spend(&one, &value));
        assert_eq!(access.value("nobody"), None);

        access.end(&one);
        assert!(!access.knows(&one) && access.knows(&other));
        tokio::time::advance(AWAY).await;
        assert!(!access.knows(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn r16_guesses_at_the_password_wait_for_each_other_and_are_few() {
        let access = std::sync::Arc::new(Access::new().unwrap());
        let right = Secret::from("the right one");
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(access.guess("wrong", &right).await, Guess::Wrong);
        }
        assert_eq!(begun.elapsed(), 3 * PAUSE);
        assert_eq!(access.guess("the right one", &right).await, Guess::Right);
        assert_eq!(begun.elapsed(), 3 * PAUSE);
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..WAITING + 3 {
            let (access, right) = (std::sync::Arc::clone(&access), right.clone());
            crowd.spawn(async move { access.guess("wrong", &right).await });
        }
        let all = crowd.join_all().await;
        let refused = all.iter().filter(|guess| **guess == Guess::TooMany);
        assert_eq!(refused.count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_browser_that_was_away_for_longest_makes_room() {
        let access = Access::new().unwrap();
        let first = access.begin().unwrap();
        let second = access.begin().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(access.knows(&first));
        for _ in 0..MOST_SESSIONS - 1 {
            tokio::time::advance(Duration::from_secs(1)).await;
            access.begin().unwrap();
        }
        assert!(access.knows(&first) && !access.knows(&second));
    }
}
