//! Peers that mean harm: what they send is refused in the words of their protocol, shows no secret and costs nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::{CLIENT_SECRET, Fault, Provider, SCOPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct horse";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

/// Words a login that is a client's first and last word.
fn login(section: &str) -> String {
    let response = plain_response(USER, PASSWORD);
    match section {
        "IMAP-0" => format!("x LOGIN {USER} \"{PASSWORD}\"\r\n"),
        "POP-0" => format!("USER {USER}\r\nPASS {PASSWORD}\r\n"),
        _ => format!("EHLO c\r\nAUTH PLAIN {response}\r\n"),
    }
}

/// Sends all of it at once, ends its direction, and returns everything that comes back.
async fn all_at_once(proxy: &Proxy, section: &str, bytes: impl AsRef<[u8]>) -> String {
    let mut client = Client::plain(proxy.at(section)).await;
    client.send(bytes).await;
    client.finish().await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}

#[tokio::test]
async fn a_login_that_is_a_clients_last_word_is_still_answered() {
    let (_provider, proxy) = ready().await;
    for (section, welcome) in SECTIONS.into_iter().zip(["x OK", "+OK", "235 "]) {
        let heard = all_at_once(&proxy, section, login(section)).await;
        let answers = heard.lines().filter(|line| line.starts_with(welcome));
        // POP says +OK to the greeting and to the user name as well.
        let wanted = if section == "POP-0" { 3 } else { 1 };
        assert_eq!(answers.count(), wanted, "{section}: {heard}");
    }
}

#[tokio::test]
async fn a_whole_session_sent_at_once_is_answered_to_the_end() {
    let (_provider, proxy) = ready().await;
    for (section, rest, end) in [
        ("IMAP-0", "y NOOP\r\nz LOGOUT\r\n", "z OK"),
        ("POP-0", "STAT\r\nQUIT\r\n", "+OK"),
        ("SMTP-0", "NOOP\r\nQUIT\r\n", "221 "),
    ] {
        let heard = all_at_once(&proxy, section, login(section) + rest).await;
        let last = heard.lines().last().unwrap_or_default();
        assert!(last.starts_with(end), "{section}: {heard}");
        assert!(!heard.contains("-ERR"), "{section}: {heard}");
    }
}

#[tokio::test]
async fn more_than_anybody_needs_is_refused_in_the_words_of_the_protocol() {
    let (provider, proxy) = ready().await;
    let noops = b"NOOP\r\n".repeat(10_000);
    let tagged = b"x NOOP\r\n".repeat(10_000);
    let long = vec![b'A'; 1 << 20];
    let auth = [&b"AUTH PLAIN "[..], &vec![b'A'; 13_000], b"\r\n"].concat();
    for (section, bytes, end) in [
        ("IMAP-0", &long[..], "* BYE a line was too long"),
        ("POP-0", &long, "-ERR a line was too long"),
        ("SMTP-0", &long, "500 5.5.6"),
        ("IMAP-0", &tagged, "* BYE too many commands"),
        ("POP-0", &noops, "-ERR too many commands"),
        ("SMTP-0", &noops, "421 4.7.0"),
        ("POP-0", &auth, "-ERR a line was too long"),
        ("SMTP-0", &auth, "500 5.5.6"),
        ("IMAP-0", b"x LOGIN {4294967295+}\r\n", "* BYE a literal"),
        (
            "IMAP-0",
            b"x APPEND y {9000+}\r\nx LOGIN u p\r\n",
            "* BYE a literal",
        ),
        ("IMAP-0", b"PATCH / HTTP/1.1\r\n\r\n", "* BYE"),
        ("POP-0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "-ERR"),
        ("SMTP-0", b"TRACE / HTTP/1.1\r\n\r\n", "421 "),
    ] {
        let mut client = Client::plain(proxy.at(section)).await;
        client.line().await;
        // It may be shown out before all is said.
        client.try_send(bytes).await;
        let heard = String::from_utf8_lossy(&client.rest().await).into_owned();
        let last = heard.lines().last().unwrap_or_default();
        assert!(last.starts_with(end), "{section} {end}: {heard}");
    }
    let mut client = proxy.imap().await;
    for size in ["{4294967295}", "{99999999999999999999999}"] {
        let said = client.imap(&format!("LOGIN {size}")).await;
        assert!(said[0].starts_with("BAD"), "{said:?}");
    }
    let said = client.imap(&format!("LOGIN {USER} x")).await;
    assert!(said[0].starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn an_echoed_secret_shows_in_no_wrapping() {
    let (provider, proxy) = ready().await;
    let form: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
    for (section, echoed) in SECTIONS.into_iter().zip([
        CLIENT_SECRET.to_owned(),
        format!("client_secret={form}"),
        BASE64_STANDARD.encode(format!("id=app&client_secret={form}")),
    ]) {
        let logs = Logs::catch();
        let fault = Fault::json(401, "invalid_client", &format!("you sent {echoed}"));
        provider
            .world
            .turn(|knobs| knobs.token_faults.extend([fault]));
        let heard = all_at_once(&proxy, section, login(section)).await;
        assert!(heard.contains("you sent"), "{section}: {heard}");
        assert!(heard.contains("***"), "{section}: {heard}");
        assert!(!heard.contains(&echoed), "{section}: {heard}");
        assert!(!logs.hold(&echoed), "{section}: {}", logs.text());
    }
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_http_is_asked_once_and_called_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .section(&format!(
            "[{USER}]\ntoken_url = http://{at}/\noauth2_flow = client_credentials\n\
             oauth2_scope = {SCOPE}\nclient_id = c\nclient_secret = s"
        ))
        .start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let endpoint = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(b"\x1b[31m250 OK\r\na1 OK\r\n\r\n").await);
        }
    });
    let logs = Logs::catch();
    let heard = all_at_once(&proxy, "IMAP-0", login("IMAP-0")).await;
    assert!(heard.contains("x NO [UNAVAILABLE]"), "{heard}");
    assert!(heard.contains("not the HTTP it should be"), "{heard}");
    assert!(!heard.contains('\x1b') && !logs.hold("\x1b[31m"), "{heard}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    endpoint.abort();
}

#[tokio::test]
async fn three_hundred_silent_clients_keep_nobody_waiting() {
    let (_provider, proxy) = ready().await;
    let mut silent = Vec::new();
    for section in SECTIONS {
        for _ in 0..100 {
            silent.push(Client::plain(proxy.at(section)).await);
        }
    }
    for section in SECTIONS {
        let heard = all_at_once(&proxy, section, login(section)).await;
        assert!(
            !heard.contains("-ERR") && !heard.contains(" NO "),
            "{heard}"
        );
    }
}
