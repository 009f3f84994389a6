//! A whole conversation of a mail client that takes whatever comes: an answer, an end, or a cut.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::support::client::plain_response;
use super::{PASSWORD, is_temporary, went_well};

/// How long a conversation may take in all: the longest deadline before the relay is 10 s, and then there is an end.
const DEADLINE: Duration = Duration::from_secs(30);

/// How a server ends a conversation of its own accord.
const GOODBYES: [&str; 3] = ["* BYE ", "-ERR ", "421 "];

/// What a client heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The answer to the login, without a tag; `None` where the conversation was cut before.
    pub(crate) login: Option<String>,
    /// Whether the server said its goodbye to ours.
    pub(crate) goodbye: bool,
    /// Every line, for messages.
    pub(crate) lines: Vec<String>,
}

impl Heard {
    /// Returns whether the login was accepted.
    pub(crate) fn is_in(&self) -> bool {
        self.login.as_deref().is_some_and(went_well)
    }

    /// Returns whether the client was told to try again later.
    pub(crate) fn is_later(&self) -> bool {
        self.login.as_deref().is_some_and(is_temporary)
    }
}

/// Greets, logs in, says one harmless thing and goodbye. Fails where that takes longer than any deadline.
pub(crate) async fn converse(section: &str, at: SocketAddr, user: &str) -> Heard {
    let mut heard = Heard::default();
    let talking = async {
        match section {
            "IMAP-0" => imap(at, user, &mut heard).await,
            "POP-0" => pop(at, user, &mut heard).await,
            _ => smtp(at, user, &mut heard).await,
        }
    };
    // An end is an end, however it came.
    let ended = timeout(DEADLINE, talking).await;
    assert!(ended.is_ok(), "{section}: no end in sight: {heard:?}");
    heard
}

async fn imap(at: SocketAddr, user: &str, heard: &mut Heard) -> Option<()> {
    let mut line = Line::begin(at, heard).await?;
    line.hear("* OK").await?;
    line.say(&format!("a1 LOGIN {user} {PASSWORD}")).await?;
    let said = line.tagged("a1 ").await?;
    line.heard.login = Some(said);
    if !line.heard.is_in() {
        return line.rest().await;
    }
    line.say("a2 NOOP").await?;
    line.tagged("a2 ").await?;
    line.say("a3 LOGOUT").await?;
    line.heard.goodbye = line.tagged("a3 ").await?.starts_with("OK");
    line.rest().await
}

async fn pop(at: SocketAddr, user: &str, heard: &mut Heard) -> Option<()> {
    let mut line = Line::begin(at, heard).await?;
    line.hear("+OK").await?;
    line.say(&format!("USER {user}")).await?;
    line.hear("+OK").await?;
    line.say(&format!("PASS {PASSWORD}")).await?;
    let said = line.next().await?;
    line.heard.login = Some(said);
    if !line.heard.is_in() {
        return line.rest().await;
    }
    line.say("STAT").await?;
    line.hear("+OK").await?;
    line.say("QUIT").await?;
    line.heard.goodbye = line.next().await?.starts_with("+OK");
    line.rest().await
}

async fn smtp(at: SocketAddr, user: &str, heard: &mut Heard) -> Option<()> {
    let mut line = Line::begin(at, heard).await?;
    line.hear("220").await?;
    line.say("EHLO client.example.org").await?;
    while line.hear("250").await?.as_bytes().get(3) == Some(&b'-') {}
    line.say(&format!("AUTH PLAIN {}", plain_response(user, PASSWORD)))
        .await?;
    let said = line.next().await?;
    line.heard.login = Some(said);
    if !line.heard.is_in() {
        return line.rest().await;
    }
    line.say("NOOP").await?;
    line.hear("250").await?;
    line.say("QUIT").await?;
    line.heard.goodbye = line.next().await?.starts_with("221");
    line.rest().await
}

/// A connection on which every fault is an end.
struct Line<'a> {
    io: BufReader<TcpStream>,
    heard: &'a mut Heard,
}

impl<'a> Line<'a> {
    async fn begin(at: SocketAddr, heard: &'a mut Heard) -> Option<Self> {
        let stream = TcpStream::connect(at).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            io: BufReader::new(stream),
            heard,
        })
    }

    async fn say(&mut self, line: &str) -> Option<()> {
        self.io
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .ok()
    }

    /// Hears a whole line; half a line is a cut.
    async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.io.read_until(b'\n', &mut line).await.ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        self.heard.lines.push(line.clone());
        Some(line.strip_suffix("\r\n")?.to_owned())
    }

    /// Hears a line that must begin so, since nothing else may be said at this place.
    async fn hear(&mut self, begin: &str) -> Option<String> {
        let line = self.next().await?;
        if GOODBYES.iter().any(|goodbye| line.starts_with(goodbye)) {
            return None;
        }
        assert!(
            line.starts_with(begin),
            "{line:?} instead of {begin:?}: {:?}",
            self.heard
        );
        Some(line)
    }

    /// Hears everything up to the answer with this tag, which is returned without it.
    async fn tagged(&mut self, tag: &str) -> Option<String> {
        loop {
            let line = self.next().await?;
            if let Some(answer) = line.strip_prefix(tag) {
                return Some(answer.to_owned());
            }
            assert!(
                line.starts_with("* "),
                "{line:?} before {tag:?}: {:?}",
                self.heard
            );
        }
    }

    /// Ends our direction and waits for the other's end.
    async fn rest(&mut self) -> Option<()> {
        self.io.shutdown().await.ok()?;
        self.io.read_to_end(&mut Vec::new()).await.ok()?;
        Some(())
    }
}
