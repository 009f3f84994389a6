//! A login that waits for a person, and a browser of raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::{Client, PATIENCE};
use crate::support::daemon::{Plan, Proxy, free_port, redirected};
use crate::support::provider::Provider;

/// The account.
pub(crate) const USER: &str = "person@example.com";

/// A login that waits for a person, and where the provider would send the browser.
pub(crate) struct Waiting {
    pub(crate) provider: Provider,
    pub(crate) proxy: Proxy,
    pub(crate) client: Client,
    pub(crate) at: SocketAddr,
    /// The query that the provider's answer brings.
    pub(crate) query: String,
}

impl Waiting {
    /// Begins one.
    pub(crate) async fn begin() -> Self {
        let provider = Provider::start().await;
        let port = free_port();
        let proxy = Plan::for_provider(&provider)
            .person(&provider, USER, port)
            .start();
        let client = log_in(&proxy, USER).await;
        let back = redirected(&proxy.asked().await).await;
        let query = url::Url::parse(&back).unwrap().query().unwrap().to_owned();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        listening(at).await;
        Self {
            provider,
            proxy,
            client,
            at,
            query,
        }
    }

    /// Sends a request and returns all that comes back.
    pub(crate) async fn ask(&self, request: &str) -> String {
        ask(self.at, request).await
    }

    /// The request that a browser makes at the end of a sign-in.
    pub(crate) fn real(&self) -> String {
        format!(
            "GET /?{} HTTP/1.1\nHost: localhost:{}\n\n",
            self.query,
            self.at.port()
        )
    }

    /// The state in it.
    pub(crate) fn state(&self) -> String {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs
            .find(|(key, _)| key == "state")
            .unwrap()
            .1
            .into_owned()
    }

    /// Nothing happened so far; then the real answer comes, and the login goes through.
    pub(crate) async fn goes_through(mut self) {
        assert!(self.provider.world.register.requests().is_empty());
        let page = self.ask(&self.real()).await;
        assert!(page.contains("Sign-in succeeded"), "{page}");
        let said = self.client.until_tagged("x").await.pop().unwrap();
        assert!(said.starts_with("OK"), "{said}");
    }
}

/// Begins a login by IMAP.
pub(crate) async fn log_in(proxy: &Proxy, user: &str) -> Client {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {user} secret")).await;
    client
}

/// Waits until somebody listens there.
pub(crate) async fn listening(at: SocketAddr) {
    let listening = async {
        while TcpStream::connect(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, listening).await.expect("nobody listens");
}

/// Sends a request and returns all that comes back.
pub(crate) async fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // The other side may have heard enough before the end.
    drop(
        stream
            .write_all(request.replace('\n', "\r\n").as_bytes())
            .await,
    );
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("the connection stays open"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Every answer has these, and nothing that tells or allows more.
pub(crate) fn assert_headers(answer: &str) {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let head = head.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "connection: close",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    for header in ["access-control", "server:", "set-cookie", "location:"] {
        assert!(!head.contains(header), "{header}: {head}");
    }
}
