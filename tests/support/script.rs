//! A dumb mail host that plays transcripts: what it must hear, what it says to that, whole or in crumbs of one byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::provider::Authority;
use super::provider::talk::Io;

/// One move.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// A line that must be heard, without CRLF. `*` at its end stands for anything; a first word `TAG` for any tag,
    /// remembered.
    Hear(&'static str),
    /// Bytes said, with `TAG` put for the tag last heard.
    Say(&'static str),
    /// The end, from our side.
    HangUp,
}

/// A running host.
pub struct Host {
    /// Where it listens.
    pub address: SocketAddr,
    /// What went other than written, one text a connection.
    pub complaints: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    /// Plays one script a connection, the last one for all that follow. `tls` wraps each from the first byte.
    pub async fn play(tls: Option<&Authority>, crumbs: bool, scripts: Vec<Vec<Move>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&complaints);
        let tls = tls.map(|authority| TlsAcceptor::from(authority.server()));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for turn in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let script = scripts[turn.min(scripts.len() - 1)].clone();
                let tls = tls.clone();
                let book = Arc::clone(&book);
                connections.spawn(async move {
                    let io: Box<dyn Io> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(io) => Box::new(io),
                            Err(_) => return,
                        },
                    };
                    if let Err(complaint) = perform(io, crumbs, &script).await {
                        book.lock().unwrap().push(complaint);
                    }
                });
            }
        });
        Self {
            address,
            complaints,
            task,
        }
    }

    /// Fails the test if anything went other than written.
    pub fn assert_pleased(&self) {
        let complaints = self.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

async fn perform(mut io: Box<dyn Io>, crumbs: bool, script: &[Move]) -> Result<(), String> {
    let mut tag = String::new();
    for step in script {
        match step {
            Move::Hear(wanted) => {
                let heard = line(&mut io)
                    .await
                    .ok_or_else(|| format!("hung up before {wanted:?}"))?;
                if !fits(wanted, &heard, &mut tag) {
                    return Err(format!("heard {heard:?} instead of {wanted:?}"));
                }
            }
            Move::Say(text) => {
                let text = text.replace("TAG", &tag);
                let size = if crumbs { 1 } else { text.len().max(1) };
                for crumb in text.as_bytes().chunks(size) {
                    let sent = async {
                        io.write_all(crumb).await?;
                        io.flush().await
                    };
                    sent.await
                        .map_err(|error| format!("could not say {text:?}: {error}"))?;
                    tokio::task::yield_now().await;
                }
            }
            Move::HangUp => {
                // The other side may be gone already.
                drop(io.shutdown().await);
                return Ok(());
            }
        }
    }
    // The script is over; the host listens politely until the other side leaves.
    let mut rest = Vec::new();
    drop(io.read_to_end(&mut rest).await);
    Ok(())
}

fn fits(wanted: &str, heard: &str, tag: &mut String) -> bool {
    let (wanted, heard) = match wanted.strip_prefix("TAG ") {
        None => (wanted, heard),
        Some(wanted) => {
            let Some((first, rest)) = heard.split_once(' ') else {
                return false;
            };
            first.clone_into(tag);
            (wanted, rest)
        }
    };
    match wanted.strip_suffix('*') {
        Some(begin) => heard.starts_with(begin),
        None => heard == wanted,
    }
}

async fn line(io: &mut Box<dyn Io>) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let byte = io.read_u8().await.ok()?;
        if byte == b'\n' {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
        line.push(byte);
    }
}
