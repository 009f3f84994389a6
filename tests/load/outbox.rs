//! What is to be sent, by how many clients at once, and what they know of it afterwards.
//!
//! Whatever was not accepted is tried again under another name, as a mail program's outbox does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::letter::{Letter, Name};
use crate::sender::{Sender, Setback, Verdict};

/// How long a client leaves a server alone that it could not log in at.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The mails of one run.
#[derive(Debug)]
pub(crate) struct Outbox {
    seed: u64,
    mails: u64,
    next: AtomicU64,
    again: Mutex<Vec<Name>>,
    verdicts: Mutex<HashMap<Name, Verdict>>,
    setbacks: Mutex<Vec<Setback>>,
    bytes: AtomicU64,
    sessions: AtomicU64,
    accepted: watch::Sender<u64>,
}

impl Outbox {
    /// Fills it with so many mails of a seed.
    pub(crate) fn new(seed: u64, mails: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            mails,
            next: AtomicU64::new(0),
            again: Mutex::default(),
            verdicts: Mutex::default(),
            setbacks: Mutex::default(),
            bytes: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            accepted: watch::Sender::new(0),
        })
    }

    /// Has so many clients empty it through these ports; ends when every mail was accepted.
    pub(crate) async fn empty(self: &Arc<Self>, clients: u64, ports: &[u16]) {
        let mut all = JoinSet::new();
        for whose in 0..clients {
            let (outbox, ports) = (Arc::clone(self), ports.to_vec());
            let dice = Dice::new(self.seed, u64::MAX - whose);
            all.spawn(async move { outbox.send(&ports, dice).await });
        }
        while let Some(client) = all.join_next().await {
            client.expect("a client broke down");
        }
    }

    /// Waits until so many are accepted.
    pub(crate) async fn has_sent(&self, mails: u64) {
        let mut accepted = self.accepted.subscribe();
        accepted.wait_for(|count| *count >= mails).await.unwrap();
    }

    /// Returns what was said to each attempt.
    pub(crate) fn verdicts(&self) -> HashMap<Name, Verdict> {
        self.verdicts.lock().unwrap().clone()
    }

    /// Returns what kept clients from a login.
    pub(crate) fn setbacks(&self) -> Vec<Setback> {
        self.setbacks.lock().unwrap().clone()
    }

    /// Returns how many sessions there were, and how many bytes of mail were accepted.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.sessions), read(&self.bytes))
    }

    async fn send(&self, ports: &[u16], mut dice: Dice) {
        let mut names = Vec::new();
        loop {
            if names.is_empty() {
                names = self.take(dice.between(1, 3));
            }
            if names.is_empty() {
                return;
            }
            let port = *dice.pick(ports);
            self.sessions.fetch_add(1, Ordering::Relaxed);
            match Sender::open(port, &mut dice).await {
                Ok(sender) => self.converse(sender, &mut names, &mut dice).await,
                Err(setback) => {
                    self.setbacks.lock().unwrap().push(setback);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Sends these mails and some more, until it has enough or the connection has.
    async fn converse(&self, mut sender: Sender, names: &mut Vec<Name>, dice: &mut Dice) {
        for _ in 0..dice.between(1, 4) {
            if names.is_empty() {
                *names = self.take(dice.between(1, 3));
            }
            if names.is_empty() {
                break;
            }
            let letters: Vec<Letter> = names
                .drain(..)
                .map(|name| Letter::write(self.seed, name))
                .collect();
            let verdicts = sender.submit(&letters, dice).await;
            let cut = verdicts.contains(&Verdict::Cut);
            self.enter(&letters, verdicts);
            if cut {
                return;
            }
        }
        if sender.leave(dice).await.is_err() {
            self.setbacks.lock().unwrap().push(Setback::Cut);
        }
    }

    /// Takes up to so many mails, those first that were tried before.
    fn take(&self, count: usize) -> Vec<Name> {
        let mut again = self.again.lock().unwrap();
        let from = again.len().saturating_sub(count);
        let tried = again.split_off(from);
        if !tried.is_empty() {
            return tried;
        }
        let fresh = (0..count).map(|_| self.next.fetch_add(1, Ordering::Relaxed));
        let fresh = fresh.filter(|mail| *mail < self.mails);
        fresh.map(|mail| (mail, 1)).collect()
    }

    fn enter(&self, letters: &[Letter], verdicts: Vec<Verdict>) {
        for (letter, verdict) in letters.iter().zip(verdicts) {
            let (mail, attempt) = letter.name;
            if matches!(verdict, Verdict::Accepted(_)) {
                let size = u64::try_from(letter.bytes.len()).unwrap();
                self.bytes.fetch_add(size, Ordering::Relaxed);
                self.accepted.send_modify(|count| *count += 1);
            } else {
                self.again.lock().unwrap().push((mail, attempt + 1));
            }
            let earlier = self.verdicts.lock().unwrap().insert(letter.name, verdict);
            assert!(earlier.is_none(), "an attempt was made twice");
        }
    }
}
