//! A client's connection: lines in, bytes out, whole or in pieces; a cut is an answer and silence a failure.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dice::Dice;

/// How long a client waits for one thing before the test fails: whoever hears neither an answer nor a cut hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Talk(BufReader<TcpStream>);

impl Talk {
    /// Connects to a port of this machine.
    pub(crate) async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Hears a line without its end.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        patient("an answer", self.0.read_until(b'\n', &mut line)).await?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Hears exactly so many bytes.
    pub(crate) async fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; count];
        patient("a literal", self.0.read_exact(&mut octets)).await?;
        Ok(octets)
    }

    /// Waits for the end; hears whether anything came before it.
    pub(crate) async fn end(&mut self) -> io::Result<bool> {
        let mut rest = Vec::new();
        patient("the end", self.0.read_to_end(&mut rest)).await?;
        Ok(rest.is_empty())
    }

    /// Sends bytes at once.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        patient("somebody to listen", self.0.write_all(bytes)).await
    }

    /// Sends bytes at once, in pieces, or for a while one by one, as it comes.
    pub(crate) async fn scatter(&mut self, mut bytes: &[u8], dice: &mut Dice) -> io::Result<()> {
        let longest = *dice.pick(&[usize::MAX, usize::MAX, 16 * 1024, 1460, 100]);
        let mut crumbs = if dice.once_in(6) { 60 } else { 0 };
        while !bytes.is_empty() {
            let most = if crumbs > 0 {
                crumbs -= 1;
                1
            } else {
                // Short pieces for a whole mail would take more time than they find faults.
                longest.max(bytes.len() / 40)
            };
            let (piece, rest) = bytes.split_at(most.min(bytes.len()));
            self.send(piece).await?;
            bytes = rest;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

async fn patient<T>(what: &str, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, doing)
        .await
        .unwrap_or_else(|_| panic!("a client waited {PATIENCE:?} for {what}"))
}
