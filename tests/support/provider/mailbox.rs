//! The mail, in memory: one mailbox an address, shared by the three protocols.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

/// One mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its number for life, from 1.
    pub uid: u32,
    /// Its IMAP flags, such as `\Seen`.
    pub flags: Vec<String>,
    /// Its bytes, with CRLF line ends.
    pub content: Arc<Vec<u8>>,
}

/// How a mail came in by SMTP.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Who had logged in.
    pub user: String,
    /// What the client called itself in EHLO or HELO.
    pub helo: String,
    /// The reverse path.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The mail's bytes.
    pub content: Arc<Vec<u8>>,
}

/// All mailboxes.
pub struct Mailboxes {
    mail: Mutex<HashMap<(String, String), Vec<Mail>>>,
    sent: Mutex<Vec<Envelope>>,
    changed: watch::Sender<u64>,
}

impl Default for Mailboxes {
    fn default() -> Self {
        Self {
            mail: Mutex::default(),
            sent: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Mailboxes {
    /// Puts a mail into a folder and returns its UID.
    pub fn put(&self, user: &str, folder: &str, content: Arc<Vec<u8>>, flags: Vec<String>) -> u32 {
        let mut mail = self.mail.lock().unwrap();
        let folder = mail.entry(place(user, folder)).or_default();
        let uid = folder.last().map_or(1, |last| last.uid + 1);
        folder.push(Mail {
            uid,
            flags,
            content,
        });
        drop(mail);
        self.changed.send_modify(|count| *count += 1);
        uid
    }

    /// Takes what SMTP brought: into the INBOX of every recipient, and into the list of what was sent.
    pub fn deliver(&self, envelope: Envelope) {
        for to in &envelope.to {
            self.put(to, "INBOX", Arc::clone(&envelope.content), Vec::new());
        }
        self.sent.lock().unwrap().push(envelope);
    }

    /// Returns what SMTP has brought so far.
    pub fn sent(&self) -> Vec<Envelope> {
        self.sent.lock().unwrap().clone()
    }

    /// Returns a folder's mail as it is now.
    pub fn look(&self, user: &str, folder: &str) -> Vec<Mail> {
        self.mail
            .lock()
            .unwrap()
            .get(&place(user, folder))
            .cloned()
            .unwrap_or_default()
    }

    /// Changes a folder's mail.
    pub fn change<T>(
        &self,
        user: &str,
        folder: &str,
        change: impl FnOnce(&mut Vec<Mail>) -> T,
    ) -> T {
        let mut mail = self.mail.lock().unwrap();
        change(mail.entry(place(user, folder)).or_default())
    }

    /// Is told whenever a mail arrives anywhere.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn place(user: &str, folder: &str) -> (String, String) {
    (user.to_ascii_lowercase(), folder.to_ascii_uppercase())
}
