//! What the tests of this room share: an account, and a token endpoint that answers as told.

mod answers;
mod assertions;
mod device;
mod discovery;
mod endpoint;
mod issuers;
mod keys;
mod managed_identities;
mod proofs;
mod refresh_tokens;
mod service_accounts;
mod verdicts;
mod ways;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Endpoint;
use crate::config::{AccountSettings, AssertionAlgorithm, Cached, GrantKind};
use crate::secret::Secret;

/// An account with the authorization code grant whose token endpoint is `token_url`.
pub(super) fn account(token_url: &str) -> AccountSettings {
    AccountSettings {
        name: "u@example.org".into(),
        section: "u@example.org".into(),
        grant: GrantKind::AuthorizationCode,
        grant_reason: "",
        permission_url: None,
        token_url: token_url.into(),
        scope: "imap smtp".into(),
        resource: None,
        redirect_uri: Some("http://localhost:8825".into()),
        redirect_listen_address: None,
        client_id: "the app".into(),
        client_secret: Some(Secret::from("s3&cret")),
        assertion_certificate: None,
        assertion_algorithm: AssertionAlgorithm::Ps256,
        assertion_file: None,
        issuer: None,
        sign_in_as: None,
        allow_from: Vec::new(),
        imap_user: None,
        pop_user: None,
        smtp_user: None,
        pkce: None,
        imap_server: None,
        pop_server: None,
        smtp_server: None,
        cached: Cached::default(),
    }
}

/// A client that believes nobody, without or with a proxy.
fn client(proxy: Option<&str>) -> Endpoint {
    client_believing(rustls::RootCertStore::empty(), proxy)
}

fn client_believing(roots: rustls::RootCertStore, proxy: Option<&str>) -> Endpoint {
    crate::wire::tls::choose_crypto();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Endpoint::new(tls, proxy.map(Secret::from).as_ref()).unwrap()
}

/// What the pretend endpoint does with a request.
#[derive(Clone, Debug)]
enum Does {
    /// Sends these bytes and closes.
    Says(Vec<u8>),
    /// Sends a whole answer with this JSON body, in which `HERE` stands for its own address, and closes.
    Tells(String),
    /// Closes at once.
    Drops,
    /// Sends these bytes and keeps the connection open without another word.
    Stalls(Vec<u8>),
}

/// Whatever comes as bytes: a whole HTTP/1.1 answer with a JSON body.
fn json(status: &str, body: &str) -> Does {
    Does::Says(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

/// A pretend token endpoint: acts on one script entry per connection, the last one for ever.
struct Pretend {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Pretend {
    async fn start(script: Vec<Does>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut script = script.into_iter().peekable();
            let mut open = Vec::new();
            let mut act = Does::Drops;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                act = script.next().unwrap_or(act);
                let request = read_request(&mut stream).await;
                ears.lock().unwrap().push(request);
                match &act {
                    Does::Says(bytes) => say(stream, bytes).await,
                    Does::Tells(body) => {
                        let body = body.replace("HERE", &format!("http://{address}"));
                        let Does::Says(bytes) = json("200 OK", &body) else {
                            continue;
                        };
                        say(stream, &bytes).await;
                    }
                    Does::Drops => drop(stream),
                    Does::Stalls(bytes) => {
                        stream.write_all(bytes).await.unwrap();
                        open.push(stream);
                    }
                }
            }
        });
        Self { address, heard }
    }

    fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// Sends bytes and closes. The client may have heard enough before the end.
async fn say(mut stream: tokio::net::TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
}

/// Reads a request up to the end of its body.
async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).await.unwrap_or(0);
        bytes.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        if count == 0 {
            return text;
        }
    }
}
