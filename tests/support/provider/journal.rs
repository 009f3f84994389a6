//! What was said at the provider, line by line, for the demo to show and for tests to look at.

use std::sync::{Arc, Mutex};

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The other side, which should be the proxy.
    Client,
    /// The provider.
    Server,
    /// Nobody: something happened.
    Event,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `IMAP`, `POP`, `SMTP` or `OAuth2`.
    pub hop: &'static str,
    /// Who spoke.
    pub voice: Voice,
    /// What was said, without its line end; tokens stand in it whole.
    pub text: String,
}

/// Somebody who is told each line as it is written.
type Listener = Arc<dyn Fn(&Entry) + Send + Sync>;

/// The book of it all. Clones write into the same book.
#[derive(Clone, Default)]
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    listener: Arc<Mutex<Option<Listener>>>,
}

impl Journal {
    /// Writes a line down.
    pub fn note(&self, hop: &'static str, voice: Voice, text: impl Into<String>) {
        let entry = Entry {
            hop,
            voice,
            text: text.into(),
        };
        if let Some(listener) = &*self.listener.lock().unwrap() {
            listener(&entry);
        }
        self.entries.lock().unwrap().push(entry);
    }

    /// Has every further line told to somebody as well.
    pub fn tell(&self, listener: impl Fn(&Entry) + Send + Sync + 'static) {
        *self.listener.lock().unwrap() = Some(Arc::new(listener));
    }

    /// Returns what the other side said at one hop, in order.
    pub fn heard(&self, hop: &str) -> Vec<String> {
        self.entries
            .lock()
            .unwrap()
            .iter()
            .filter(|entry| entry.hop == hop && entry.voice == Voice::Client)
            .map(|entry| entry.text.clone())
            .collect()
    }

    /// Returns whether anything written so far holds this text.
    pub fn holds(&self, text: &str) -> bool {
        self.entries
            .lock()
            .unwrap()
            .iter()
            .any(|entry| entry.text.contains(text))
    }
}
