//! Transcripts of SMTP conversations, each played whole and in crumbs of one byte.

use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf,
    WriteHalf, duplex, split,
};
use tokio::time::timeout;

use crate::wire::tls::LocalTls;
use crate::wire::{Io, Wire};

mod client;
mod corpus;
mod login;
mod server;

/// The sizes of pipe each transcript is played through.
const CRUMBS: [usize; 2] = [1, 64 * 1024];

/// How long a side goes on saying what nobody seems to take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One remote side of a transcript.
struct Player {
    read: BufReader<ReadHalf<Box<dyn Io>>>,
    write: WriteHalf<Box<dyn Io>>,
}

impl Player {
    /// Makes the pipe; the other end goes to the dialogue.
    fn new(crumb: usize) -> (Self, DuplexStream) {
        let (ours, theirs) = duplex(crumb);
        (Self::over(Box::new(ours)), theirs)
    }

    fn over(io: Box<dyn Io>) -> Self {
        let (read, write) = split(io);
        Self {
            read: BufReader::new(read),
            write,
        }
    }

    /// Goes on inside TLS, as the server.
    async fn accept_tls(self, tls: &LocalTls) -> Result<Self, crate::wire::Lost> {
        let io = self.read.into_inner().unsplit(self.write);
        let wire = Wire::new(io, "client").accept_tls(tls).await?;
        Ok(Self::over(wire.into_parts().0))
    }

    /// Plays a transcript: what stands behind `say` is sent, all consecutive lines in one go, what stands behind
    /// `hear` is expected, whole.
    async fn play(&mut self, script: &str, say: &str, hear: &str) {
        let mut saying: Vec<u8> = Vec::new();
        let mut hearing: Vec<String> = Vec::new();
        for line in script.lines().map(str::trim_start) {
            if let Some(text) = line.strip_prefix(say) {
                if !hearing.is_empty() {
                    self.exchange(&saying, &hearing).await;
                    saying.clear();
                    hearing.clear();
                }
                saying.extend_from_slice(text.as_bytes());
                saying.extend_from_slice(b"\r\n");
            } else if let Some(text) = line.strip_prefix(hear) {
                hearing.push(text.to_owned());
            } else {
                assert!(line.is_empty(), "neither {say:?} nor {hear:?}: {line:?}");
            }
        }
        self.exchange(&saying, &hearing).await;
    }

    /// Sends and hears at the same time, as small pipes need.
    async fn exchange(&mut self, saying: &[u8], hearing: &[String]) {
        let Self { read, write } = self;
        // A side that has heard enough need not take all that is said to it.
        let said = async {
            drop(write.write_all(saying).await);
            drop(write.flush().await);
        };
        let heard = async {
            for expected in hearing {
                let mut line = Vec::new();
                read.read_until(b'\n', &mut line).await.unwrap();
                let line = String::from_utf8_lossy(&line);
                assert_eq!(line, format!("{expected}\r\n"));
            }
        };
        tokio::pin!(said, heard);
        tokio::select! {
            biased;
            () = &mut said => heard.await,
            () = &mut heard => drop(timeout(PATIENCE, said).await),
        }
    }

    /// Hangs up our direction and returns what the other side still says.
    async fn rest(mut self) -> String {
        drop(self.write.shutdown().await);
        let mut rest = Vec::new();
        self.read.read_to_end(&mut rest).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}
