//! A token endpoint of raw bytes, which keeps what it heard, and a proxy with an account that asks it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::daemon::{Plan, Proxy};
use crate::support::provider::talk::Io;
use crate::support::provider::{Authority, CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};

/// The account.
pub(crate) const USER: &str = "demo@example.com";
/// Its mail password.
pub(crate) const PASSWORD: &str = "correct horse";

/// Something that no log and no client may show.
pub(crate) const TOKEN: &str = "ya29.a0AfH6SMBx-NobodyMaySeeThis_0123456789";

/// An endpoint of raw bytes: what it heard and when, one entry a connection.
pub(crate) struct Endpoint {
    /// Where it listens.
    pub(crate) at: SocketAddr,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the request it is given.
pub(crate) type Speech = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

impl Endpoint {
    /// Answers every request, inside TLS where an authority is given, and closes.
    pub(crate) async fn start(tls: Option<&Authority>, speech: Speech) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tls = tls.map(|authority| TlsAcceptor::from(authority.server()));
        let book = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, book, speech) = (tls.clone(), Arc::clone(&book), Arc::clone(&speech));
                connections.spawn(async move {
                    let mut io: Box<dyn Io> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(io) => Box::new(io),
                            Err(_) => return,
                        },
                    };
                    let request = hear(&mut io).await;
                    let answer = speech(&request);
                    book.lock().unwrap().push((Instant::now(), request));
                    drop(io.write_all(&answer).await);
                    drop(io.shutdown().await);
                    // Until the other side has heard enough.
                    drop(io.read_to_end(&mut Vec::new()).await);
                });
            }
        });
        Self { at, heard, task }
    }

    /// Says the same to everybody.
    pub(crate) async fn says(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::start(None, Arc::new(move |_| answer.clone())).await
    }

    /// The requests, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, request)| request.clone()).collect()
    }

    /// When they came.
    pub(crate) fn times(&self) -> Vec<Instant> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(when, _)| *when).collect()
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.at)
    }
}

/// Reads a request, head and body.
pub(crate) async fn hear(io: &mut Box<dyn Io>) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut some = [0; 4096];
        match io.read(&mut some).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&some[..count]),
            _ => return text,
        }
    }
}

/// Words an HTTP answer with these header lines.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// Words an HTTP answer of JSON.
pub(crate) fn json(status: &str, body: &str) -> Vec<u8> {
    http(status, "Content-Type: application/json\r\n", body)
}

/// Words an account that asks this address in the application's name.
pub(crate) fn app(user: &str, token_url: &str) -> String {
    format!(
        "[{user}]\ntoken_url = {token_url}\noauth2_flow = client_credentials\noauth2_scope = {SCOPE}\n\
         client_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n"
    )
}

/// Starts a proxy whose account asks this address.
pub(crate) fn asking(provider: &Provider, token_url: &str) -> Proxy {
    let account = app(USER, token_url);
    Plan::for_provider(provider).section(&account).start()
}

/// Logs in by IMAP and returns the tagged reply.
pub(crate) async fn log_in(proxy: &Proxy, user: &str) -> String {
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {user} \"{PASSWORD}\"")).await;
    said.last().unwrap().clone()
}

/// Fails where a text shows a secret, or a dozen bytes of it in a row.
pub(crate) fn assert_hides(text: &str, secret: &str, what: &str) {
    for piece in secret.as_bytes().windows(12) {
        let piece = std::str::from_utf8(piece).unwrap();
        assert!(
            !text.contains(piece),
            "{what}: {piece} of {secret} in {text}"
        );
    }
}
