//! One connection of the provider's mail servers: lines in and out, written down as they pass.

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter,
};
use tokio_rustls::TlsAcceptor;

use super::journal::{Journal, Voice};

/// Anything that carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A conversation.
pub struct Talk {
    io: BufReader<Box<dyn Io>>,
    hop: &'static str,
    journal: Journal,
    /// A line that has begun to arrive.
    begun: Vec<u8>,
    /// Whether TLS is in force.
    pub secured: bool,
    /// Whether lines are not written down: they are mail.
    pub quiet: bool,
}

impl Talk {
    /// Begins a conversation in plain text.
    pub fn new(io: impl Io + 'static, hop: &'static str, journal: Journal) -> Self {
        Self {
            io: BufReader::with_capacity(64 * 1024, Box::new(io)),
            hop,
            journal,
            begun: Vec::new(),
            secured: false,
            quiet: false,
        }
    }

    /// Begins TLS; `None` if that fails or plain text waits behind the request for it.
    pub async fn begin_tls(self, tls: &TlsAcceptor) -> Option<Self> {
        if !self.io.buffer().is_empty() {
            self.journal
                .note(self.hop, Voice::Event, "plain text behind STARTTLS");
            return None;
        }
        match tls.accept(self.io.into_inner()).await {
            Ok(io) => Some(Self {
                // TLS records are written whole: small writes are gathered first.
                io: BufReader::with_capacity(64 * 1024, Box::new(BufWriter::new(io))),
                hop: self.hop,
                journal: self.journal,
                begun: Vec::new(),
                secured: true,
                quiet: self.quiet,
            }),
            Err(error) => {
                self.journal.note(
                    self.hop,
                    Voice::Event,
                    format!("TLS handshake failed: {error}"),
                );
                None
            }
        }
    }

    /// Hears one line as bytes, without CRLF; `None` when the other side is gone. Giving up on it loses nothing.
    pub async fn bytes(&mut self) -> Option<Vec<u8>> {
        self.io.read_until(b'\n', &mut self.begun).await.ok()?;
        let mut line = std::mem::take(&mut self.begun);
        if line.pop() != Some(b'\n') {
            return None;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !self.quiet {
            let text = String::from_utf8_lossy(&line).into_owned();
            self.journal.note(self.hop, Voice::Client, text);
        }
        Some(line)
    }

    /// Hears one line as text.
    pub async fn line(&mut self) -> Option<String> {
        let line = self.bytes().await?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Hears exactly so many bytes.
    pub async fn octets(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut octets = vec![0; count];
        self.io.read_exact(&mut octets).await.ok()?;
        Some(octets)
    }

    /// Says one line.
    pub async fn say(&mut self, line: &str) -> Option<()> {
        self.put(line).await?;
        self.flush().await
    }

    /// Says one line of several; [`Talk::flush`] sends them off.
    pub async fn put(&mut self, line: &str) -> Option<()> {
        if !self.quiet {
            self.journal.note(self.hop, Voice::Server, line);
        }
        self.io.write_all(line.as_bytes()).await.ok()?;
        self.io.write_all(b"\r\n").await.ok()
    }

    /// Sends bytes as they are, not written down.
    pub async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.io.write_all(bytes).await.ok()?;
        self.flush().await
    }

    /// Sends off what was put.
    pub async fn flush(&mut self) -> Option<()> {
        self.io.flush().await.ok()
    }

    /// Ends our direction.
    pub async fn hang_up(&mut self) {
        // The other side may be gone already.
        drop(self.io.shutdown().await);
    }

    /// Notes that something happened.
    pub fn note(&self, text: impl Into<String>) {
        self.journal.note(self.hop, Voice::Event, text);
    }
}
