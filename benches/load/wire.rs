//! A connection as both ends of the load see it: lines, counted bytes, a body up to its dot.
//!
//! Knows no mail, and trusts its peer: there are no limits and no times here.

use std::io;
use std::sync::LazyLock;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How much is moved at once in bulk, in bytes.
const BULK: usize = 64 * 1024;

/// How much room there is for lines, in bytes; an idle connection keeps it.
const LINES: usize = 1024;

/// Lines of every body that is sent: 76 letters and CRLF.
static BODY: LazyLock<Vec<u8>> =
    LazyLock::new(|| format!("{}\r\n", "x".repeat(76)).into_bytes().repeat(840));

/// Anything that carries bytes both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One end of a connection.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    heard: Vec<u8>,
}

impl Wire {
    /// Begins with nothing heard.
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            heard: Vec::new(),
        }
    }

    /// Takes one line, without its end.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        let mut searched = 0;
        loop {
            let unseen = self.heard.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unseen) {
                let line: Vec<u8> = self.heard.drain(..=searched + at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            searched = self.heard.len();
            self.heard.reserve(LINES);
            if self.io.read_buf(&mut self.heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends a line.
    pub(crate) async fn say(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\r\n").as_bytes()).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// Sends `count` bytes of a body between `before` and `after`.
    pub(crate) async fn send_body(
        &mut self,
        before: &str,
        mut count: usize,
        after: &str,
    ) -> io::Result<()> {
        self.io.write_all(before.as_bytes()).await?;
        while count > 0 {
            let part = BODY.get(..count.min(BODY.len())).unwrap_or_default();
            self.io.write_all(part).await?;
            count -= part.len();
        }
        self.send(after.as_bytes()).await
    }

    /// Reads `count` bytes and forgets them.
    pub(crate) async fn skip(&mut self, count: usize) -> io::Result<()> {
        let early = count.min(self.heard.len());
        self.heard.drain(..early);
        let mut left = count - early;
        let mut space = vec![0; BULK.min(left)];
        while left > 0 {
            let room = space.len().min(left);
            let into = space.get_mut(..room).unwrap_or_default();
            match self.io.read(into).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(())
    }

    /// Reads a body up to the dot that stands alone, forgets it, and returns its length. It does not begin with the dot.
    pub(crate) async fn skip_to_dot(&mut self) -> io::Result<usize> {
        const END: &[u8] = b"\r\n.\r\n";
        let mut space = std::mem::take(&mut self.heard);
        let mut count = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&space, END) {
                self.heard = space.split_off(at + END.len());
                return Ok(count + at + 2);
            }
            // What may be the beginning of the end stays.
            let known = space.len().saturating_sub(END.len() - 1);
            space.drain(..known);
            count += known;
            space.reserve(BULK);
            if self.io.read_buf(&mut space).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Hangs up and waits until the peer has done so too.
    pub(crate) async fn part(mut self) -> io::Result<()> {
        self.io.shutdown().await.ok();
        let mut rest = [0; 256];
        while self.io.read(&mut rest).await.unwrap_or(0) > 0 {}
        Ok(())
    }
}
