//! The asking side of the control socket.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fs, io};

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use zeroize::Zeroizing;

use super::place::judge;
use super::{Ask, MAX_ANSWER, MAX_LINE, Tell};

/// A conversation with the running proxy.
#[derive(Debug)]
pub struct Conversation {
    hears: BufReader<OwnedReadHalf>,
    speaks: OwnedWriteHalf,
}

impl Conversation {
    /// Connects to the socket at `place`, if it is this user's own; root may ask the proxy of whom its directory belongs to.
    pub async fn begin(place: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(place).await?;
        let folder = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
        judge(folder)?;
        let (peer, own) = (stream.peer_cred()?.uid(), geteuid().as_raw());
        let folder = fs::metadata(folder)?.uid();
        if peer != own && peer != 0 && (own != 0 || peer != folder) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the socket belongs to somebody else",
            ));
        }
        let (hears, speaks) = stream.into_split();
        Ok(Self {
            hears: BufReader::new(hears),
            speaks,
        })
    }

    /// Asks something.
    pub async fn ask(&mut self, ask: &Ask) -> io::Result<()> {
        // It may hold a password.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        serde_json::to_writer(&mut *line, ask)?;
        line.push(b'\n');
        self.speaks.write_all(&line).await
    }

    /// Hears the next answer; `None` when the proxy has nothing more to say.
    pub async fn hear(&mut self) -> io::Result<Option<Tell>> {
        // It may hold a token.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let mut limited = (&mut self.hears).take(MAX_ANSWER);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}
