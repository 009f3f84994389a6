//! Servers reached through a forward proxy: SOCKS5 and HTTP CONNECT, with and without a password.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use support::daemon::Plan;
use support::provider::Provider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

mod support;

const USER: &str = "person@example.com";

/// A forward proxy that remembers what it was asked for.
struct Forward {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Forward {
    /// Begins one that takes each connection through `lead`, which returns where it shall lead and the word of consent.
    async fn start<F>(
        lead: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::default();
        let shared = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(lead(stream, Arc::clone(&shared)));
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn http(mut client: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let to = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(head.clone());
    if head.contains("forbidden") || !head.contains("Proxy-Authorization: Basic bWU6cEBzcw==") {
        client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            .await
            .unwrap();
        return;
    }
    let mut server = TcpStream::connect(to).await.unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        .await
        .unwrap();
    // Either side may hang up first.
    drop(copy_bidirectional(&mut client, &mut server).await);
}

async fn socks5(mut client: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; usize::from(greeting[1])];
    client.read_exact(&mut methods).await.unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 4];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).await.unwrap();
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let mut name = vec![0; usize::from(client.read_u8().await.unwrap())];
            client.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
        other => panic!("address type {other}"),
    };
    let port = client.read_u16().await.unwrap();
    asked.lock().unwrap().push(format!("{host}:{port}"));
    let mut server = TcpStream::connect((host, port)).await.unwrap();
    client
        .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])
        .await
        .unwrap();
    drop(copy_bidirectional(&mut client, &mut server).await);
}

/// Logs in by all three protocols through a proxy at this address.
async fn through(option: String) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .option(&option)
        .app(&provider, USER)
        .start();
    let said = proxy.imap().await.imap(&format!("LOGIN {USER} pw")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    let mut pop = proxy.pop().await;
    pop.ask(&format!("USER {USER}")).await;
    assert!(pop.ask("PASS pw").await.starts_with("+OK"));
    let response = support::client::plain_response(USER, "pw");
    let said = proxy
        .smtp()
        .await
        .smtp(&format!("AUTH PLAIN {response}"))
        .await;
    assert!(said[0].starts_with("235"), "{said:?}");
}

#[tokio::test]
async fn servers_are_reached_through_an_http_proxy_with_a_password() {
    let forward = Forward::start(http).await;
    through(format!("proxy = http://me:p%40ss@{}", forward.at)).await;
    assert!(
        forward
            .asked()
            .iter()
            .all(|head| head.starts_with("CONNECT 127.0.0.1:")),
        "{:?}",
        forward.asked()
    );
    assert!(forward.asked().len() >= 3);
}

#[tokio::test]
async fn servers_are_reached_through_a_socks_proxy() {
    let forward = Forward::start(socks5).await;
    through(format!("proxy = socks5://{}", forward.at)).await;
    assert!(forward.asked().len() >= 3, "{:?}", forward.asked());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_to_the_client() {
    let forward = Forward::start(http).await;
    let provider = Provider::start().await;
    let option = format!("proxy = http://me:wrong@{}", forward.at);
    let proxy = Plan::for_provider(&provider)
        .option(&option)
        .app(&provider, USER)
        .start();
    let said = proxy.imap().await.imap(&format!("LOGIN {USER} pw")).await;
    let said = said.last().unwrap();
    assert!(
        said.starts_with("NO [UNAVAILABLE]") && said.contains("through the proxy"),
        "{said}"
    );
    assert!(said.contains("407") && !said.contains("wrong"), "{said}");
}
