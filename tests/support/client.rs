//! A tiny mail client: lines out and lines in, with enough sense of each protocol to know where a reply ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::provider::journal::{Journal, Voice};
use super::provider::talk::Io;

/// How long the client waits for anything. Tests never wait this long unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A connection to a mail server.
pub struct Client {
    io: BufReader<Box<dyn Io>>,
    tags: usize,
    /// Where lines are written down, if anywhere.
    pub journal: Option<Journal>,
}

impl Client {
    /// Connects in plain text.
    pub async fn plain(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            io: BufReader::new(Box::new(stream)),
            tags: 0,
            journal: None,
        }
    }

    /// Connects inside TLS.
    pub async fn tls(to: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self::plain(to).await.begin_tls(config).await
    }

    /// Begins TLS on the connection.
    pub async fn begin_tls(self, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let io = TlsConnector::from(config)
            .connect(name, self.io.into_inner())
            .await
            .unwrap();
        Self {
            io: BufReader::new(Box::new(BufWriter::new(io))),
            tags: self.tags,
            journal: self.journal,
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Sends bytes to somebody who may not want to hear them all, and ends our direction.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        // A closed door is an answer as well.
        drop(timeout(PATIENCE, self.io.write_all(bytes)).await);
        drop(self.io.shutdown().await);
    }

    /// Sends bytes one by one, each in a packet of its own as far as the system allows.
    pub async fn crumble(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// Says one line.
    pub async fn say(&mut self, line: &str) {
        self.note(Voice::Client, line);
        self.send(format!("{line}\r\n")).await;
    }

    /// Hears one line, or `None` when the server has hung up.
    pub async fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = timeout(PATIENCE, self.io.read_until(b'\n', &mut line))
            .await
            .expect("the server says nothing");
        if read.is_err() || line.is_empty() {
            return None;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        self.note(Voice::Server, &line);
        Some(line)
    }

    fn note(&self, voice: Voice, line: &str) {
        if let Some(journal) = &self.journal {
            journal.note("client", voice, line);
        }
    }

    /// Hears one line that must come.
    pub async fn line(&mut self) -> String {
        self.hear().await.expect("the server has hung up")
    }

    /// Hears exactly so many bytes.
    pub async fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        timeout(PATIENCE, self.io.read_exact(&mut octets))
            .await
            .expect("the server says nothing")
            .unwrap();
        octets
    }

    /// Hears everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        drop(
            timeout(PATIENCE, self.io.read_to_end(&mut rest))
                .await
                .expect("the server does not hang up"),
        );
        rest
    }

    /// Ends our direction; the server may still speak.
    pub async fn finish(&mut self) {
        self.io.shutdown().await.unwrap();
    }

    /// Says one line and hears one.
    pub async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.line().await
    }

    /// Gives an IMAP command under a fresh tag and hears everything up to its tagged reply, which comes last and
    /// without its tag.
    pub async fn imap(&mut self, command: &str) -> Vec<String> {
        self.tags += 1;
        let tag = format!("a{}", self.tags);
        self.say(&format!("{tag} {command}")).await;
        self.until_tagged(&tag).await
    }

    /// Hears everything up to a tagged reply, which comes last and without its tag.
    pub async fn until_tagged(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(end) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(end.to_owned());
                return lines;
            }
            lines.push(line);
        }
    }

    /// Fetches a mail's bytes by IMAP.
    pub async fn imap_body(&mut self, number: usize) -> Vec<u8> {
        self.say(&format!("body FETCH {number} BODY.PEEK[]")).await;
        let line = self.line().await;
        let (_, count) = line.rsplit_once('{').unwrap_or_else(|| panic!("{line}"));
        let body = self
            .octets(count.trim_end_matches('}').parse().unwrap())
            .await;
        assert_eq!(self.line().await, ")");
        assert!(self.line().await.starts_with("body OK"));
        body
    }

    /// Says a line and hears an SMTP reply, all its lines.
    pub async fn smtp(&mut self, line: &str) -> Vec<String> {
        self.say(line).await;
        self.smtp_reply().await
    }

    /// Hears an SMTP reply, all its lines.
    pub async fn smtp_reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return lines;
            }
        }
    }

    /// Says a line and hears a POP reply of several lines, up to the lonely dot.
    pub async fn pop_list(&mut self, line: &str) -> Vec<String> {
        let mut lines = vec![self.ask(line).await];
        assert!(lines[0].starts_with("+OK"), "{lines:?}");
        loop {
            let line = self.line().await;
            if line == "." {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Fetches a mail's bytes by POP, dots unstuffed.
    pub async fn pop_body(&mut self, number: usize) -> Vec<u8> {
        let lines = self.pop_list(&format!("RETR {number}")).await;
        let mut body = Vec::new();
        for line in &lines[1..] {
            body.extend_from_slice(line.strip_prefix('.').unwrap_or(line).as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        body
    }

    /// Sends a mail by SMTP after login, dots stuffed; returns the server's last word.
    pub async fn send_mail(&mut self, from: &str, to: &[&str], content: &[u8]) -> String {
        let said = self.smtp(&format!("MAIL FROM:<{from}>")).await;
        assert!(said[0].starts_with("250"), "{said:?}");
        for to in to {
            let said = self.smtp(&format!("RCPT TO:<{to}>")).await;
            assert!(said[0].starts_with("250"), "{said:?}");
        }
        let said = self.smtp("DATA").await;
        assert!(said[0].starts_with("354"), "{said:?}");
        let mut stuffed = Vec::with_capacity(content.len() + 1024);
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.send(stuffed).await;
        self.smtp_reply().await.pop().unwrap()
    }
}

/// Makes a SASL PLAIN response.
pub fn plain_response(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
}

/// Makes an XOAUTH2 response with a password where the token goes.
pub fn xoauth2_response(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("user={user}\u{1}auth=Bearer {password}\u{1}\u{1}"))
}

/// Makes an OAUTHBEARER response with a password where the token goes.
pub fn oauthbearer_response(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!(
        "n,a={user},\u{1}host=localhost\u{1}port=1993\u{1}auth=Bearer {password}\u{1}\u{1}"
    ))
}

/// Makes a test mail of about `size` bytes with whatever may go wrong on the way: dots, long lines, 8 bit, empty lines.
pub fn mail(subject: &str, size: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: demo@example.com\r\nTo: demo@example.com\r\nSubject: {subject}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n\
         .a line that begins with a dot\r\n..and one with two\r\n.\r\n\r\nGr\u{fc}\u{df}e \u{2709}\r\n"
    )
    .into_bytes();
    let long = "0123456789abcdef".repeat(60);
    let mut count = 0;
    while mail.len() < size {
        mail.extend_from_slice(format!("{count} {long}\r\n").as_bytes());
        count += 1;
    }
    mail
}
