//! Where Postfix delivers to: an LMTP server that compares each mail with what was sent and keeps none.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::letter::{Letter, Name};

/// A running server.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Its port.
    pub(crate) port: u16,
    /// What came.
    pub(crate) book: Arc<Book>,
    task: JoinHandle<()>,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Book {
    seed: u64,
    arrivals: Mutex<HashMap<Name, Vec<String>>>,
    complaints: Mutex<Vec<String>>,
    count: watch::Sender<u64>,
}

impl Sink {
    /// Starts it; the mails are those of this seed.
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::new(Book {
            seed,
            arrivals: Mutex::default(),
            complaints: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let kept = Arc::clone(&book);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let book = Arc::clone(&kept);
                // A connection that ends early is Postfix being killed.
                connections.spawn(async move { book.attend(stream).await.ok() });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, book, task }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Book {
    /// Returns the numbers in Postfix's queue under which each attempt came; the same number twice is Postfix delivering
    /// once more.
    pub(crate) fn arrivals(&self) -> HashMap<Name, Vec<String>> {
        self.arrivals.lock().unwrap().clone()
    }

    /// Returns what was other than sent.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    /// Counts deliveries.
    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    async fn attend(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut io = BufReader::new(stream);
        io.write_all(b"220 sink LMTP\r\n").await?;
        let mut recipient = String::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if io.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = said.split(' ').next().unwrap().to_ascii_uppercase();
            let answer: &[u8] = match verb.as_str() {
                "LHLO" => b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                "RCPT" => {
                    let inside = said
                        .split_once('<')
                        .and_then(|(_, rest)| rest.split_once('>'));
                    inside.unwrap().0.clone_into(&mut recipient);
                    b"250 ok\r\n"
                }
                "DATA" => {
                    io.write_all(b"354 go on\r\n").await?;
                    let mail = hear_mail(&mut io).await?;
                    self.enter(&recipient, &mail);
                    b"250 ok\r\n"
                }
                "QUIT" => {
                    io.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => b"250 ok\r\n",
            };
            io.write_all(answer).await?;
        }
    }

    /// Compares a mail with what was sent: behind the one header that Postfix puts before it, it must be the same.
    fn enter(&self, recipient: &str, mail: &[u8]) {
        match self.compare(recipient, mail) {
            Ok((name, number)) => {
                let mut arrivals = self.arrivals.lock().unwrap();
                arrivals.entry(name).or_default().push(number);
            }
            Err(complaint) => self.complaints.lock().unwrap().push(complaint),
        }
        self.count.send_modify(|count| *count += 1);
    }

    fn compare(&self, recipient: &str, mail: &[u8]) -> Result<(Name, String), String> {
        let name = Letter::name_of(recipient).ok_or_else(|| format!("mail to {recipient}"))?;
        let sent = Letter::write(self.seed, name).bytes;
        let header = mail.strip_suffix(sent.as_slice()).ok_or_else(|| {
            let same = mail.iter().rev().zip(sent.iter().rev());
            let same = same.take_while(|(one, other)| one == other).count();
            format!(
                "{recipient}: {} bytes came of {}, the last {same} of them as sent",
                mail.len(),
                sent.len()
            )
        })?;
        let header = String::from_utf8_lossy(header);
        let one = header.starts_with("Received: ") && header.ends_with("\r\n");
        let folded = header
            .lines()
            .skip(1)
            .all(|line| line.starts_with(['\t', ' ']));
        let number = header.split_once(" (Postfix) with ESMTPSA id ");
        let number = number.and_then(|(_, rest)| rest.split_whitespace().next());
        match number {
            Some(number) if one && folded => Ok((name, number.trim_end_matches(';').to_owned())),
            _ => Err(format!("{recipient}: something came before it: {header}")),
        }
    }
}

/// Hears a mail up to the final dot, with the doubled dots single again.
async fn hear_mail(io: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    loop {
        let from = mail.len();
        if io.read_until(b'\n', &mut mail).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if &mail[from..] == b".\r\n" {
            mail.truncate(from);
            return Ok(mail);
        }
        if mail[from] == b'.' {
            mail.remove(from);
        }
    }
}
