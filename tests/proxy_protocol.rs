//! Clients behind a load balancer: their own addresses arrive, and nobody else can claim one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::time::Duration;

use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::Provider;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct horse";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 2993\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x30\x39\x0b\xb1";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Starts a proxy whose services stand behind a load balancer at `from`; `tls` is what local clients speak.
async fn behind(from: &str, tls: Option<bool>) -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let mut plan = Plan::for_provider(&provider);
    if let Some(starttls) = tls {
        plan = plan.local_tls(starttls);
    }
    let proxy = plan
        .option("first_use_from = 192.0.2.0/24 2001:db8::/32 127.0.0.0/8")
        .section(&format!("[DEFAULT]\nproxy_protocol_from = {from}"))
        .app(&provider, USER)
        .start();
    (provider, proxy)
}

/// Logs in and out again, on a connection that was greeted.
async fn log_in(client: &mut Client, section: &str) {
    match section {
        "IMAP-0" => {
            let said = client.imap(&format!("LOGIN {USER} \"{PASSWORD}\"")).await;
            assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
            client.imap("LOGOUT").await;
        }
        "POP-0" => {
            client.ask(&format!("USER {USER}")).await;
            let said = client.ask(&format!("PASS {PASSWORD}")).await;
            assert!(said.starts_with("+OK"), "{said}");
            client.ask("QUIT").await;
        }
        _ => {
            client.smtp("EHLO client").await;
            let said = client
                .smtp(&format!("AUTH PLAIN {}", plain_response(USER, PASSWORD)))
                .await;
            assert!(said[0].starts_with("235"), "{said:?}");
            client.smtp("QUIT").await;
        }
    }
    client.rest().await;
}

async fn until(condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it never came to that"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_clients_own_address_arrives() {
    let (_provider, proxy) = behind("10.0.0.0/8, 127.0.0.1", None).await;
    for section in SECTIONS {
        for (header, address) in [(V1, "192.0.2.7:12345"), (V2, "[2001:db8::7]:12345")] {
            let logs = Logs::catch();
            let mut client = Client::plain(proxy.at(section)).await;
            client.crumble(header).await;
            client.line().await;
            log_in(&mut client, section).await;
            drop(client);
            until(|| logs.hold(&format!("connection from {address} (account {USER})"))).await;
            let text = logs.text();
            for words in ["Accepting new connection from ", "client="] {
                assert!(
                    text.contains(&format!("{words}{address}")),
                    "{words}: {text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_header_comes_before_local_tls_of_either_kind() {
    for starttls in [false, true] {
        let (provider, proxy) = behind("127.0.0.1", Some(starttls)).await;
        for header in [V1, V2] {
            let mut client = Client::plain(proxy.at("SMTP-0")).await;
            client.send(header).await;
            if starttls {
                client.line().await;
                client.smtp("EHLO client").await;
                client.smtp("STARTTLS").await;
            }
            let mut client = client.begin_tls(provider.world.authority.client()).await;
            if !starttls {
                client.line().await;
            }
            log_in(&mut client, "SMTP-0").await;
        }
    }
}

#[tokio::test]
async fn a_session_sent_at_once_behind_its_header_is_served() {
    let (_provider, proxy) = behind("127.0.0.1", None).await;
    let mut client = Client::plain(proxy.at("IMAP-0")).await;
    let login = format!("x LOGIN {USER} \"{PASSWORD}\"\r\ny LOGOUT\r\n");
    client.send([V2, login.as_bytes()].concat()).await;
    let heard = String::from_utf8(client.rest().await).unwrap();
    assert!(heard.contains("x OK") && heard.contains("y OK"), "{heard}");
}

#[tokio::test]
async fn a_first_password_counts_by_the_clients_address_and_not_by_the_load_balancers() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .section("[DEFAULT]\nproxy_protocol_from = 127.0.0.1")
        .app(&provider, USER)
        .start();
    let mut far = Client::plain(proxy.at("IMAP-0")).await;
    far.send(V1).await;
    far.line().await;
    let said = far.imap(&format!("LOGIN {USER} \"{PASSWORD}\"")).await;
    assert!(said.last().unwrap().starts_with("NO"), "{said:?}");
    assert_eq!(provider.world.register.requests().len(), 0);
    let mut near = Client::plain(proxy.at("IMAP-0")).await;
    near.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 12345 2993\r\n")
        .await;
    near.line().await;
    log_in(&mut near, "IMAP-0").await;
}

#[tokio::test]
async fn others_may_not_send_one() {
    let (provider, proxy) = behind("10.0.0.0/8", None).await;
    for section in SECTIONS {
        for header in [V1, V2] {
            let logs = Logs::catch();
            let mut client = Client::plain(proxy.at(section)).await;
            client.line().await;
            client.try_send(header).await;
            client.rest().await;
            until(|| logs.hold("Closing")).await;
            assert!(logs.hold("PROXY protocol off"), "{}", logs.text());
            assert!(!logs.hold("connection from 192.0.2.7"), "{}", logs.text());
        }
    }
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test]
async fn without_a_good_header_nobody_is_greeted() {
    let (_provider, proxy) = behind("127.0.0.1", None).await;
    for bytes in [
        &b"EHLO client\r\n"[..],
        b"x LOGIN u p\r\n",
        b"PROXY TCP4 somewhere else 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff\x7f\0\0\x01",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let logs = Logs::catch();
        let mut client = Client::plain(proxy.at("IMAP-0")).await;
        client.try_send(bytes).await;
        assert_eq!(client.rest().await, b"");
        until(|| logs.hold("no good PROXY header")).await;
        assert!(logs.hold("send-proxy"), "{}", logs.text());
        assert!(!logs.hold("Accepting"), "{}", logs.text());
    }
}

/// Returns the lines that are logged without `--debug`.
fn loud(logs: &Logs) -> Vec<String> {
    let text = logs.text();
    let lines = text
        .lines()
        .filter(|line| !line.contains("DEBUG") && !line.contains("TRACE"));
    lines.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn health_checks_are_not_worth_a_line() {
    let (_provider, proxy) = behind("127.0.0.1", None).await;
    let logs = Logs::catch();
    let mut silent = Client::plain(proxy.at("SMTP-0")).await;
    silent.finish().await;
    silent.rest().await;
    until(|| logs.hold("came and went")).await;
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = Client::plain(proxy.at("SMTP-0")).await;
        client.send(header).await;
        assert!(client.line().await.starts_with("220"));
        client.ask("QUIT").await;
        client.rest().await;
    }
    until(|| logs.text().matches("Closing").count() == 2).await;
    assert_eq!(loud(&logs), [""; 0]);
    // A check of version 1 names its own end, as nobody else can.
    let stream = tokio::net::TcpStream::connect(proxy.at("SMTP-0"))
        .await
        .unwrap();
    let own = stream.local_addr().unwrap();
    let header = format!("PROXY TCP4 {} 127.0.0.1 {} 2465\r\n", own.ip(), own.port());
    let mut stream = tokio::io::BufReader::new(stream);
    stream.write_all(header.as_bytes()).await.unwrap();
    let mut greeting = String::new();
    stream.read_line(&mut greeting).await.unwrap();
    drop(stream);
    until(|| logs.text().matches("Closing").count() == 3).await;
    assert_eq!(loud(&logs), [""; 0]);
    // Whoever logs in all the same is told of, with the address that is known.
    let mut client = Client::plain(proxy.at("SMTP-0")).await;
    client.send(LOCAL).await;
    client.line().await;
    log_in(&mut client, "SMTP-0").await;
    until(|| {
        logs.text().lines().any(|line| {
            line.contains("INFO") && line.contains("Closing SMTP connection from 127.0.0.1")
        })
    })
    .await;
}
