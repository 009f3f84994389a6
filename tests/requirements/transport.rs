//! How token requests travel, and endpoints that break, drag or swell it: R-14.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::endpoint::{
    Endpoint, PASSWORD, Speech, TOKEN, USER, app, asking, assert_hides, hear, http, json, log_in,
};
use crate::support::daemon::Plan;
use crate::support::logs::Logs;
use crate::support::provider::talk::Io;
use crate::support::provider::{Authority, Provider};

#[tokio::test]
async fn r14_no_redirect_is_followed() {
    let provider = Provider::start().await;
    let elsewhere =
        Endpoint::says(json("200 OK", &format!(r#"{{"access_token":"{TOKEN}"}}"#))).await;
    let here = elsewhere.url();
    let targets = [
        here.replace("http:", "https:"),
        format!("//{}/token", elsewhere.at),
        "/token".to_owned(),
        "http://evil.example/".to_owned(),
        "javascript:alert(1)".to_owned(),
        "x".repeat(8_000),
    ];
    let by_status = [300, 301, 302, 303, 307, 308].map(|status| (status, here.clone()));
    for (status, target) in by_status
        .into_iter()
        .chain(targets.map(|target| (307, target)))
    {
        let location = format!("Location: {target}\r\nRefresh: 0;url={here}\r\n");
        let endpoint = Endpoint::says(http(&format!("{status} Go"), &location, "")).await;
        let proxy = asking(&provider, &endpoint.url());
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{status}: {said}");
        assert_eq!(endpoint.heard().len(), 1, "{status} {target:.80}");
    }
    assert!(elsewhere.heard().is_empty(), "somebody else was told");
}

#[tokio::test]
async fn r14_answers_are_bounded_and_nothing_is_unpacked() {
    let provider = Provider::start().await;
    let good = format!(r#"{{"access_token":"{TOKEN}"}}"#);
    let many = (0..1_000).map(|n| format!("X-{n}: y\r\n"));
    let many = many.collect::<Vec<_>>().concat();
    let wide = (0..20).map(|n| format!("X-{n}: {}\r\n", "y".repeat(1_000)));
    let wide = wide.collect::<Vec<_>>().concat();
    let big = format!("X: {}\r\n", "y".repeat(1_000_000));
    let mut table = vec![
        http("200 OK", &many, &good),
        http("200 OK", &wide, &good),
        http("200 OK", &big, &good),
        http("200 OK", "", &format!("{good}{}", " ".repeat(70_000))),
        http("200 OK", "Content-Encoding: deflate\r\n", &good),
        http("200 OK", "Content-Encoding: x-nonsense\r\n", &good),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{good}").into_bytes(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{good}").into_bytes(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{good}")
            .into_bytes(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{good}").into_bytes(),
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{good}").into_bytes(),
        format!("HTTP/2.0 200 OK\r\n\r\n{good}").into_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"* OK IMAP4rev1\r\n".to_vec(),
        b"HTTP/1.1 200 OK".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000),
        Vec::new(),
        http(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<h1>Welcome to the hotel</h1>",
        ),
        http("200 OK", "", ""),
        http("204 No Content", "", ""),
    ];
    // A bomb: what would be a hundred times as long.
    let mut bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    bomb.resize(1_100, 0xff);
    table.push(bomb);
    for answer in table {
        let what = String::from_utf8_lossy(&answer[..answer.len().min(100)]).into_owned();
        let logs = Logs::catch();
        let endpoint = Endpoint::says(&answer).await;
        let proxy = asking(&provider, &endpoint.url());
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{what}: {said}");
        assert!(endpoint.heard().len() <= 2, "{what}");
        assert_hides(&format!("{said}{}", logs.text()), TOKEN, &what);
    }
}

#[tokio::test]
async fn r14_whoever_never_ends_is_left_after_ten_seconds() {
    let provider = Provider::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    // Each drips in another way, and none ever stops by itself.
    let dripping = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(drip(stream));
        }
    });
    let manners = ["silent", "head", "body", "chunks", "continue"];
    let sections: Vec<String> = manners
        .iter()
        .map(|manner| {
            app(
                &format!("{manner}@example.com"),
                &format!("http://{at}/{manner}"),
            )
        })
        .collect();
    let proxy = Plan::for_provider(&provider)
        .section(&sections.concat())
        .start();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for manner in manners {
        let mut client = proxy.imap().await;
        client
            .say(&format!("x LOGIN {manner}@example.com \"{PASSWORD}\""))
            .await;
        clients.push((manner, client));
    }
    for (manner, mut client) in clients {
        let said = client.until_tagged("x").await.pop().unwrap();
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{manner}: {said}");
        assert!(said.contains("no answer within 10 s"), "{manner}: {said}");
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    dripping.abort();
}

/// Answers a byte at a time, for ever, in the manner that the request's path names.
async fn drip(stream: TcpStream) {
    let mut io: Box<dyn Io> = Box::new(stream);
    let request = hear(&mut io).await;
    let manner = request.split(['/', ' ']).nth(2).unwrap_or_default();
    let (begin, drop) = match manner {
        "head" => ("HTTP/1.1 200 OK\r\nX: ", "y"),
        "body" => ("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{", " "),
        "chunks" => (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\n \r\n",
        ),
        "continue" => ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        _ => ("", ""),
    };
    let mut said = io.write_all(begin.as_bytes()).await;
    while said.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        said = io.write_all(drop.as_bytes()).await;
    }
}

#[tokio::test]
async fn r14_a_secret_goes_only_where_the_certificate_was_checked() {
    let provider = Provider::start().await;
    let (ours, theirs) = (&provider.world.authority, Authority::found());
    let good = json("200 OK", &format!(r#"{{"access_token":"{TOKEN}"}}"#));
    let speech: Speech = Arc::new(move |_| good.clone());
    let known = Endpoint::start(Some(ours), Arc::clone(&speech)).await;
    let stranger = Endpoint::start(Some(&theirs), Arc::clone(&speech)).await;
    let plain = Endpoint::start(None, speech).await;
    for (endpoint, host, heard) in [
        (&stranger, "localhost", 0),
        // Another name than the certificate's: 127.0.0.2 is this machine as well.
        (&known, "127.0.0.2", 0),
        (&plain, "localhost", 0),
        (&known, "localhost", 1),
    ] {
        let url = format!("https://{host}:{}/token", endpoint.at.port());
        let proxy = asking(&provider, &url);
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO ["), "{url}: {said}");
        assert!(
            !endpoint.heard().concat().contains("client_secret") || heard == 1,
            "{url}"
        );
        assert_eq!(known.heard().len(), heard, "{url}: {said}");
    }
}

#[tokio::test]
async fn r14_plain_http_is_for_this_machine_and_says_so() {
    let provider = Provider::start().await;
    for url in [
        "http://idp.example/token",
        "http://localhost.evil.example/token",
        "http://127.0.0.1.evil.example/token",
        "http://127.0.0.1@evil.example/token",
        "http://10.0.0.1/token",
        "http://0.0.0.0:1/token",
        "http://[::ffff:127.0.0.1]:1/token",
        "http://169.254.169.254/metadata/identity/oauth2/token",
        "ftp://localhost/token",
        "file:///etc/passwd",
    ] {
        let plan = Plan::for_provider(&provider).section(&app(USER, url));
        match emailproxy::config::Config::read(&plan.write()) {
            Err(complaints) => {
                let said = format!("{complaints:?}");
                assert!(said.contains("https://"), "{url}: {said}");
            }
            Ok(_) => {
                let said = log_in(&plan.start(), USER).await;
                assert!(said.starts_with("NO ["), "{url}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn r14_one_request_is_in_flight_and_tried_once_more_at_most() {
    let provider = Provider::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // No answer at all: the connection is closed behind the request.
    let endpoint = Endpoint::start(
        None,
        Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
            Vec::new()
        }),
    )
    .await;
    let proxy = asking(&provider, &endpoint.url());
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = proxy.imap().await;
        client.say(&format!("x LOGIN {USER} \"{PASSWORD}\"")).await;
        clients.push(client);
    }
    for client in &mut clients {
        let said = client.until_tagged("x").await.pop().unwrap();
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{said}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn r14_nothing_is_kept_for_the_next_request() {
    let provider = Provider::start().await;
    let cookies = "Set-Cookie: a=b; Path=/\r\nSet-Cookie2: c=d\r\nETag: \"x\"\r\nAlt-Svc: h3=\":1\"\r\nStrict-Transport-Security: max-age=9\r\nConnection: keep-alive\r\n";
    let endpoint = Endpoint::says(http(
        "400 Bad Request",
        cookies,
        r#"{"error":"invalid_scope"}"#,
    ))
    .await;
    let proxy = asking(&provider, &endpoint.url());
    for _ in 0..3 {
        let said = log_in(&proxy, USER).await;
        assert!(said.starts_with("NO ["), "{said}");
    }
    let heard = endpoint.heard();
    assert_eq!(heard.len(), 3);
    for request in heard {
        let (head, _) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        for line in ["cookie", "if-none-match", "referer", "origin"] {
            assert!(!head.contains(line), "{line}: {head}");
        }
        assert!(head.contains("accept-encoding: identity"), "{head}");
    }
}
