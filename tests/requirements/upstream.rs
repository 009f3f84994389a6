//! A mail server that means harm: says what it is told to, whenever, and writes down every byte it hears.
//!
//! Knows no protocol. What it plays may be changed between two connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::provider::talk::Io;

/// One move of it.
#[derive(Clone)]
pub(crate) enum Move {
    /// Begin TLS.
    Tls(Arc<ServerConfig>),
    /// Say this, where `TAG` stands for the first word heard last, and `LINE` for the whole line.
    Say(Vec<u8>),
    /// Wait for a line.
    Hear,
    /// Say this where the next line asks for capabilities; another one is left to be heard, by whoever knew them.
    Offer(Vec<u8>),
    /// Say this over and over, as long as anybody takes it, and hear nothing.
    Flood(Vec<u8>),
    /// Say nothing and hear nothing.
    Stand,
    /// Say this over and over until nobody takes it, and reset the connection.
    Vanish(Vec<u8>),
    /// End this direction, and listen on.
    Finish,
    /// Hang up.
    HangUp,
}

/// Says a text.
pub(crate) fn say(text: impl AsRef<[u8]>) -> Move {
    Move::Say(text.as_ref().to_vec())
}

/// The server, running. It ends when dropped.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    play: Arc<Mutex<Vec<Move>>>,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts one that plays this at every connection.
    pub(crate) async fn start(play: Vec<Move>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let play = Arc::new(Mutex::new(play));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, book) = (Arc::clone(&play), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let moves = script.lock().unwrap().clone();
                let book = Arc::clone(&book);
                // A connection that breaks off is part of the play.
                connections.spawn(async move { drop(perform(stream, moves, &book).await) });
            }
        });
        Self {
            address,
            play,
            heard,
            task,
        }
    }

    /// Plays this from the next connection on, and forgets what was heard.
    pub(crate) fn turn(&self, play: Vec<Move>) {
        *self.play.lock().unwrap() = play;
        self.heard.lock().unwrap().clear();
    }

    /// Returns all that it heard, of every connection and as it was inside TLS.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Returns the same as it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

async fn perform(
    stream: TcpStream,
    moves: Vec<Move>,
    book: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if moves.iter().any(|step| matches!(step, Move::Vanish(_))) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    let mut io: Box<dyn Io> = Box::new(stream);
    let (mut tag, mut line) = (String::new(), String::new());
    let mut left = None;
    for step in moves {
        match step {
            Move::Tls(config) => io = Box::new(TlsAcceptor::from(config).accept(io).await?),
            Move::Say(bytes) => {
                let bytes = replaced(&bytes, b"TAG", tag.as_bytes());
                io.write_all(&replaced(&bytes, b"LINE", line.as_bytes()))
                    .await?;
                io.flush().await?;
            }
            Move::Hear => {
                line = match left.take() {
                    Some(line) => line,
                    None => hear(&mut io, book).await?,
                };
                line.split(' ').next().unwrap().clone_into(&mut tag);
            }
            Move::Offer(bytes) => {
                let asked = hear(&mut io, book).await?;
                if asked == "CAPA" || asked.ends_with(" CAPABILITY") {
                    let tag = asked.split(' ').next().unwrap();
                    io.write_all(&replaced(&bytes, b"TAG", tag.as_bytes()))
                        .await?;
                    io.flush().await?;
                } else {
                    left = Some(asked);
                }
            }
            Move::Flood(bytes) => loop {
                io.write_all(&bytes).await?;
            },
            Move::Stand => std::future::pending().await,
            Move::Vanish(bytes) => {
                // What nobody takes for so long, nobody will.
                while timeout(Duration::from_millis(500), io.write_all(&bytes))
                    .await
                    .is_ok_and(|written| written.is_ok())
                {}
                return Ok(());
            }
            Move::Finish => io.shutdown().await?,
            Move::HangUp => return Ok(()),
        }
    }
    let mut rest = [0; 4096];
    loop {
        let read = io.read(&mut rest).await?;
        if read == 0 {
            return Ok(());
        }
        book.lock().unwrap().extend_from_slice(&rest[..read]);
    }
}

async fn hear(io: &mut Box<dyn Io>, book: &Mutex<Vec<u8>>) -> std::io::Result<String> {
    let mut line = Vec::new();
    loop {
        let byte = io.read_u8().await?;
        book.lock().unwrap().push(byte);
        if byte == b'\n' {
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        line.push(byte);
    }
}

fn replaced(bytes: &[u8], mark: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(mark) {
            out.extend_from_slice(with);
            rest = behind;
        } else {
            out.push(first);
            rest = behind;
        }
    }
    out
}
