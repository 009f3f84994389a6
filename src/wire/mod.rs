//! How bytes travel: one connection with bounded, timed lines in and bytes out, upgradable to TLS.
//!
//! Knows no mail and never logs content. Every read has a limit and a time.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};

#[cfg(test)]
pub(crate) mod authority;
pub mod dial;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(not(fuzzing))]
mod inside;
pub(crate) mod known;
mod proxy;
mod roots;
mod stream;
#[cfg(test)]
mod tests;
mod tickets;
pub mod tls;

pub use stream::Io;
use stream::Rewound;

/// How long a peer may take to accept what we write.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// How long a peer is heard out after our last words.
const LINGER: Duration = Duration::from_secs(2);

/// How long a line or literal may take from its first byte to its last, however much time there is for it to begin.
pub const LINE_TIME: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The most that is kept of what a client sends while it waits for its login, in bytes.
const MAX_HELD: usize = 64 * 1024;

/// How long a peer that closed its direction while it waits for its login may still be there for the answer.
const FAREWELL: Duration = Duration::from_secs(4);

/// How long a peer that closed its direction behind further commands may still be there for their answers.
const ANSWERS: Duration = Duration::from_secs(60);

/// How often to look whether a peer has left whose bytes are not read.
const LOOK: Duration = Duration::from_secs(1);

/// How much is read from the socket at once while lines are being heard, in bytes.
const CHUNK: usize = 4096;

/// Why a conversation ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The peer hung up.
    #[error("the peer hung up")]
    Closed,
    /// The peer said nothing, or not enough, for too long.
    #[error("the peer took too long")]
    TimedOut,
    /// The peer sent a line or literal longer than allowed.
    #[error("the peer sent more than {0} bytes where that is the limit")]
    TooLong(usize),
    /// Bytes were already waiting when TLS should begin: somebody injected them.
    #[error("the peer sent plain text behind its request for TLS")]
    EarlyBytes,
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    /// The operating system reports a fault.
    #[error("{0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            // Providers often close without close_notify; to us that is a hang-up like any other.
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// One connection during its dialogue. After it, [`Wire::into_parts`] gives the stream and what was read too early.
pub struct Wire {
    io: Box<dyn Io>,
    heard: Vec<u8>,
    taken: usize,
    peer: String,
    deadline: Option<Instant>,
    patience: Duration,
    /// Since when what is to be taken next has been on its way.
    begun: Option<Instant>,
    secured: bool,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("peer", &self.peer)
            .field("secured", &self.secured)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Wraps a plain stream; `peer` names the other side in messages (`host:port`).
    pub fn new(io: impl Io + 'static, peer: impl Into<String>) -> Self {
        Self {
            io: Box::new(io),
            heard: Vec::new(),
            taken: 0,
            peer: peer.into(),
            deadline: None,
            patience: Duration::MAX,
            begun: None,
            secured: false,
        }
    }

    /// Returns the other side's name for messages.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Names the other side anew: the peer is a load balancer that speaks for this one.
    #[must_use]
    pub fn speaking_for(mut self, peer: impl Into<String>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Returns whether TLS is in force.
    pub fn is_secured(&self) -> bool {
        self.secured
    }

    /// Stands for a connection inside TLS, for transcripts.
    #[cfg(test)]
    pub(crate) fn pretend_secured(mut self) -> Self {
        self.secured = true;
        self
    }

    /// Sets the moment after which every read fails, however busy the peer looks. `None` lifts it.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Sets the longest that any line may take to come, however long a read would wait.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Returns the bytes that were read but not yet taken.
    pub fn waiting(&self) -> &[u8] {
        self.heard.get(self.taken..).unwrap_or_default()
    }

    /// Waits until at least one byte is there, without taking it.
    pub async fn listen(&mut self, within: Duration) -> Result<&[u8], Lost> {
        self.listen_beyond(0, within).await
    }

    /// Waits until more than `seen` bytes are there, without taking them. They belong to the next line, which must be
    /// complete 10 s after its first byte.
    pub async fn listen_beyond(&mut self, seen: usize, within: Duration) -> Result<&[u8], Lost> {
        let until = self.until(within);
        while self.waiting().len() <= seen {
            self.fill(until).await?;
        }
        Ok(self.waiting())
    }

    /// Returns once the peer has hung up: 4 s after the end of its direction, 60 s where commands of it still wait. Keeps what
    /// it says meanwhile, up to 64 KiB.
    ///
    /// A client that sent everything and then closed its direction still waits for answers, and nobody can tell it from one
    /// that has left.
    pub async fn gone(&mut self) {
        // Who waits for us is not slow.
        self.begun = None;
        let mut chunk = [0_u8; CHUNK];
        while self.waiting().len() < MAX_HELD {
            match self.io.read(&mut chunk).await {
                Ok(0) if self.waiting().is_empty() => return sleep(FAREWELL).await,
                Ok(0) => return sleep(ANSWERS).await,
                Err(_) => return,
                Ok(read) => self
                    .heard
                    .extend_from_slice(chunk.get(..read).unwrap_or_default()),
            }
        }
        // From here on only its socket knows.
        while !self.io.has_left() {
            sleep(LOOK).await;
        }
        sleep(ANSWERS).await;
    }

    /// Takes one line, without its LF or CRLF. `limit` counts the bytes before the line end. A line that has begun must
    /// be complete within 10 s.
    pub async fn line(&mut self, limit: usize, within: Duration) -> Result<Vec<u8>, Lost> {
        let until = self.until(within);
        let mut searched = 0;
        loop {
            let waiting = self.waiting();
            let unseen = waiting.get(searched..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|&byte| byte == b'\n') {
                let end = searched + at;
                let line = waiting.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() > limit {
                    return Err(Lost::TooLong(limit));
                }
                let line = line.to_vec();
                self.take(end + 1);
                return Ok(line);
            }
            searched = waiting.len();
            // One byte of grace for a CR whose LF is still on its way.
            if searched > limit + 1 {
                return Err(Lost::TooLong(limit));
            }
            self.fill(until).await?;
        }
    }

    /// Takes exactly `count` bytes, as an IMAP literal needs. The caller bounds `count`. As with a line there are 10 s
    /// from the first byte on.
    pub async fn octets(&mut self, count: usize, within: Duration) -> Result<Vec<u8>, Lost> {
        let until = self.until(within);
        while self.waiting().len() < count {
            self.fill(until).await?;
        }
        let octets = self.waiting().get(..count).unwrap_or_default().to_vec();
        self.take(count);
        Ok(octets)
    }

    /// Sends bytes and flushes them, within 30 s; a deadline leaves 2 s for last words.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let now = Instant::now();
        let until = now + WRITE_TIME;
        let until = self
            .deadline
            .map_or(until, |deadline| deadline.max(now + LINGER).min(until));
        let write = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        timeout_at(until, write)
            .await
            .map_err(|_| Lost::TimedOut)?
            .map_err(Lost::from)
    }

    /// Ends the conversation politely: our last words are flushed, and what the peer still says is heard out for 2 s,
    /// because a socket closed with unread bytes takes our last words back.
    pub async fn finish(&mut self) {
        let part = async {
            self.io.shutdown().await?;
            let mut ignored = Vec::with_capacity(CHUNK);
            while self.io.read_buf(&mut ignored).await? > 0 {
                ignored.clear();
            }
            std::io::Result::Ok(())
        };
        // The peer may be gone already; then there is nothing left to be polite to.
        drop(timeout(LINGER, part).await);
    }

    /// Begins TLS as the server. Refuses when the client already sent something behind its request.
    pub async fn accept_tls(self, tls: &tls::LocalTls) -> Result<Self, Lost> {
        if !self.waiting().is_empty() {
            return Err(Lost::EarlyBytes);
        }
        self.accept_tls_from_start(tls).await
    }

    /// Begins TLS as the server, giving the handshake the bytes that were read but not taken.
    pub async fn accept_tls_from_start(self, tls: &tls::LocalTls) -> Result<Self, Lost> {
        let until = self.until(HANDSHAKE_TIME);
        let peer = self.peer;
        let (deadline, patience) = (self.deadline, self.patience);
        let early = self.heard.get(self.taken..).unwrap_or_default().to_vec();
        let handshake = tls.acceptor().accept(Rewound::new(early, self.io));
        let io = timed(until, handshake).await?;
        Ok(Self {
            io: Box::new(io),
            heard: Vec::new(),
            taken: 0,
            peer,
            deadline,
            patience,
            begun: None,
            secured: true,
        })
    }

    /// Begins TLS as the client, with the certificate checked against `host`.
    ///
    /// Nothing read before TLS is kept: bytes that wait already were injected (RFC 3207 section 4.2), which is refused.
    pub async fn begin_tls(self, trust: &tls::Trust, host: &str) -> Result<Self, Lost> {
        let name = self.name_before_tls(host)?;
        let until = self.until(HANDSHAKE_TIME);
        let io = timed(until, trust.connect(name, self.io)).await?;
        Ok(Self {
            io: Box::new(io),
            heard: Vec::new(),
            taken: 0,
            begun: None,
            secured: true,
            ..self
        })
    }

    /// Begins TLS like [`Self::begin_tls`], and with less work where a session is sure to resume. `None` where it did not
    /// after all: nothing was said, and another connection has to be made for [`Self::begin_tls`].
    pub async fn resume_tls(self, trust: &tls::Trust, host: &str) -> Result<Option<Self>, Lost> {
        let name = self.name_before_tls(host)?;
        let until = self.until(HANDSHAKE_TIME);
        let io = timed(until, trust.resume(name, self.io)).await?;
        Ok(io.map(|io| Self {
            io: Box::new(io),
            heard: Vec::new(),
            taken: 0,
            begun: None,
            secured: true,
            ..self
        }))
    }

    fn name_before_tls(&self, host: &str) -> Result<ServerName<'static>, Lost> {
        if !self.waiting().is_empty() {
            return Err(Lost::EarlyBytes);
        }
        tls::server_name(host).map_err(Lost::Tls)
    }

    /// Gives up the dialogue: the stream, and the bytes read from it that nobody has taken yet.
    pub fn into_parts(self) -> (Box<dyn Io>, Vec<u8>) {
        let mut heard = self.heard;
        heard.drain(..self.taken);
        (self.io, heard)
    }

    fn until(&self, within: Duration) -> Instant {
        let until = Instant::now() + within.min(self.patience);
        self.deadline.map_or(until, |deadline| deadline.min(until))
    }

    fn take(&mut self, count: usize) {
        self.begun = None;
        self.taken += count;
        if self.taken >= self.heard.len() {
            self.heard.clear();
            self.taken = 0;
        }
    }

    async fn fill(&mut self, mut until: Instant) -> Result<(), Lost> {
        if !self.waiting().is_empty() {
            let begun = *self.begun.get_or_insert_with(Instant::now);
            until = until.min(begun + LINE_TIME);
        }
        if self.taken > 0 {
            self.heard.drain(..self.taken);
            self.taken = 0;
        }
        // Read into the heap: a buffer in the future would stay with the connection for its whole life.
        self.heard.reserve(CHUNK);
        let read = timeout_at(until, self.io.read_buf(&mut self.heard))
            .await
            .map_err(|_| Lost::TimedOut)??;
        if read == 0 {
            return Err(Lost::Closed);
        }
        Ok(())
    }
}

async fn timed<T>(
    until: Instant,
    handshake: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Lost> {
    match timeout_at(until, handshake).await {
        Err(_) => Err(Lost::TimedOut),
        Ok(Err(error)) => Err(Lost::Tls(tls::explain(&error))),
        Ok(Ok(io)) => Ok(io),
    }
}
