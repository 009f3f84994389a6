//! For tests: a remote side that says and expects whole lines through a pipe of any width, and one that talks nonsense.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::JoinHandle;

use crate::wire::{Io, Wire};

/// The widths of pipe each transcript is played through, in bytes.
pub(crate) const WIDTHS: [usize; 3] = [1, 7, 64 * 1024];

/// The remote side of a conversation.
pub(crate) struct Remote {
    io: Box<dyn Io>,
    heard: Vec<u8>,
}

impl Remote {
    /// Makes both ends of a pipe.
    pub(crate) fn pair(width: usize) -> (Self, Wire) {
        let (ours, theirs) = duplex(width);
        (Self::over(Box::new(ours)), Wire::new(theirs, "test:1"))
    }

    /// Goes on over another stream.
    pub(crate) fn over(io: Box<dyn Io>) -> Self {
        Self {
            io,
            heard: Vec::new(),
        }
    }

    /// Gives the stream back.
    pub(crate) fn into_io(self) -> Box<dyn Io> {
        self.io
    }

    /// Plays a script: lines that begin with `say` are sent, lines that begin with `hear` are expected.
    pub(crate) async fn play(&mut self, script: &str, say: &str, hear: &str) {
        for line in script.lines().map(str::trim_start) {
            if let Some(text) = line.strip_prefix(say) {
                let mut text = text.to_owned();
                text.push_str("\r\n");
                self.say(text.as_bytes()).await;
            } else if let Some(text) = line.strip_prefix(hear) {
                assert_eq!(self.line().await, text, "in {script}");
            } else {
                assert!(line.is_empty(), "neither {say:?} nor {hear:?}: {line:?}");
            }
        }
    }

    /// Sends bytes. Whoever does not take them any more is let off.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        drop(self.io.write_all(bytes).await);
    }

    /// Hears everything until the other side ends, as text.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = std::mem::take(&mut self.heard);
        self.io.read_to_end(&mut rest).await.unwrap();
        let mut text = String::new();
        for chunk in rest.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                write!(text, "\\x{byte:02x}").unwrap();
            }
        }
        text
    }

    /// Plays a script in the background.
    pub(crate) fn spawn(
        mut self,
        script: impl Into<String>,
        say: &'static str,
        hear: &'static str,
    ) -> JoinHandle<Self> {
        let script = script.into();
        tokio::spawn(async move {
            self.play(&script, say, hear).await;
            self
        })
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let text = String::from_utf8(line).unwrap();
                return text.strip_suffix("\r\n").unwrap().to_owned();
            }
            let read = self.io.read_buf(&mut self.heard).await.unwrap();
            assert!(read > 0, "the other side hung up");
        }
    }
}

/// Makes lines of scraps and random bytes, the same in every run (Marsaglia's xorshift).
pub(crate) struct Dice {
    state: u64,
    scraps: &'static [&'static [u8]],
}

impl Dice {
    /// Begins at a seed other than 0.
    pub(crate) fn new(seed: u64, scraps: &'static [&'static [u8]]) -> Self {
        Self {
            state: seed,
            scraps,
        }
    }

    /// Makes a line without its end.
    pub(crate) fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        for _ in 0..self.roll(12) {
            if self.roll(8) == 0 {
                line.push(u8::try_from(self.roll(256)).unwrap());
            } else {
                line.extend_from_slice(self.scrap());
            }
        }
        line
    }

    fn scrap(&mut self) -> &'static [u8] {
        let at = self.roll(self.scraps.len());
        self.scraps[at]
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % sides as u64).unwrap()
    }
}
