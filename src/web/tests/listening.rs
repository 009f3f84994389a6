//! When and where is listened, and who is in whose way.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Desk, consent, get, visit};

#[tokio::test]
async fn the_port_is_open_only_while_somebody_is_asked() {
    let mut desk = Desk::open(Vec::new(), |c| c);
    desk.pending
        .send_replace(vec![consent("u", "http://localhost")]);
    let at = desk.address().await;
    assert!(desk.bound.borrow().iter().all(|at| at.ip().is_loopback()));
    // One listener serves many: the second consent opens nothing.
    let before = desk.bound.borrow().clone();
    desk.pending.send_replace(vec![
        consent("u", "http://localhost"),
        consent("v", "http://localhost/v"),
    ]);
    // Both are heard, in either order, and each is told its own.
    let page = get(at, "/v?code=c&state=for-v").await;
    assert!(page.contains("The account v is authorised"), "{page}");
    let page = get(at, "/?code=c&state=for-u").await;
    assert!(page.contains("The account u is authorised"), "{page}");
    assert_eq!(*desk.bound.borrow(), before);

    desk.pending
        .send_replace(vec![consent("v", "http://localhost/v")]);
    assert!(get(at, "/v").await.starts_with("HTTP/1.1 400 "));
    desk.pending.send_replace(Vec::new());
    desk.closed().await;
    assert!(refuses(at).await);
}

/// Waits until nobody listens at an address any more; the task that listens ends soon after it is told.
async fn refuses(at: SocketAddr) -> bool {
    let gone = async {
        while TcpStream::connect(at).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .is_ok()
}

#[tokio::test]
async fn consents_that_are_pasted_or_cannot_be_heard_open_nothing() {
    let mut pasted = consent("u", "http://localhost");
    pasted.listen = false;
    let mut away = consent("v", "https://mail.example/back");
    away.redirect_listen_address = None;
    let mut desk = Desk::open(vec![pasted.clone(), away.clone()], |c| c);
    // A third one opens and shows that the first two were looked at.
    desk.pending
        .send_replace(vec![pasted, away, consent("w", "http://localhost/w")]);
    let at = desk.address().await;
    assert!(get(at, "/w").await.starts_with("HTTP/1.1 400 "));
    assert!(get(at, "/back").await.starts_with("HTTP/1.1 404 "));
    let bound = desk.bound.borrow().clone();
    assert!(
        bound.iter().filter(|at| at.is_ipv4()).count() == 1 && bound.len() <= 2,
        "{bound:?}"
    );
}

// Other systems have no second loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_taken_port_stops_nothing_and_is_tried_again() {
    let taken = StdListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
    let wanted = taken.local_addr().unwrap();
    let mut blocked = consent("u", "http://localhost/u");
    blocked.redirect_listen_address = Some(wanted.to_string());
    let mut desk = Desk::open(vec![blocked.clone()], |c| c);
    desk.pending
        .send_replace(vec![blocked.clone(), consent("v", "http://localhost/v")]);
    let near = desk.address().await;
    let page = get(near, "/v?code=c&state=for-v").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(!desk.bound.borrow().contains(&wanted));

    drop(taken);
    blocked.url.push_str("&again");
    desk.pending.send_replace(vec![blocked]);
    desk.bound
        .wait_for(|bound| bound.contains(&wanted))
        .await
        .unwrap();
    let page = get(wanted, "/u?code=c&state=for-u").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
}

/// Takes what is logged in the test's thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_cannot_be_heard_is_said_once_with_what_to_do() {
    // With a single subscriber, `tracing` asks only the thread that comes by a line first whether anybody cares.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut away = consent("v@example.org", "https://mail.example/back");
    away.redirect_listen_address = None;
    let mut desk = Desk::open(vec![away.clone()], |c| c);
    for path in ["a", "b"] {
        let near = consent("w", &format!("http://localhost/{path}"));
        desk.pending.send_replace(vec![away.clone(), near]);
        let at = desk.address().await;
        get(at, "/").await;
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("v@example.org: ").count(), 1, "{text}");
    assert!(
        text.contains("set `redirect_listen_address`")
            && text.contains("emailproxy authorize v@example.org"),
        "{text}"
    );
    assert!(
        text.contains("listening for the browser's return at http://127.0.0.1:"),
        "{text}"
    );
}

#[tokio::test]
async fn a_listener_bound_before_is_used() {
    let ready = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = ready.local_addr().unwrap();
    let mut consent = consent("u", &format!("http://localhost:{}", at.port()));
    consent.redirect_listen_address = None;
    let mut desk = Desk::open(vec![consent], |c| c.with_listener(ready));
    assert_eq!(desk.address().await, at);
    assert!(
        get(at, "/?code=c&state=for-u")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn r16_slow_connections_are_in_nobodys_way_and_end() {
    // Their time never comes: whoever has something to say is heard all the same.
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| {
        c.head_within(Duration::from_secs(3_600))
    });
    let at = desk.address().await;
    let mut silent = Vec::new();
    for round in 0..3 {
        for n in 0..40 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let begun = [
                &b""[..],
                b"G",
                b"GET /?code=c HTTP/1.1\r\nHost: localhost\r\n",
            ][n % 3];
            drop(stream.write_all(begun).await);
            silent.push(stream);
        }
        let page = get(at, "/?code=c&state=for-u").await;
        assert!(page.contains("Sign-in succeeded"), "{round}: {page}");
    }
    // Of 120 no more than 32 can be left.
    let mut ended = 0;
    for stream in &mut silent[..80] {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        ended += 1;
    }
    assert_eq!(ended, 80);
}

#[tokio::test]
async fn r16_a_request_that_does_not_come_in_time_is_told_so() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| {
        c.head_within(Duration::from_millis(100))
    });
    let at = desk.address().await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /?code=c&st").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(desk.states().is_empty());
}

#[tokio::test]
async fn r16_a_listen_address_serves_its_own_return_and_no_other() {
    let other = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let second = other.local_addr().unwrap();
    let mut far = consent("v", "https://mail.example/v");
    far.redirect_listen_address = Some(second.to_string());
    let mut desk = Desk::open(vec![consent("u", "http://localhost/u"), far], |c| {
        c.with_listener(other)
    });
    let first = {
        let near = |at: &&SocketAddr| at.is_ipv4() && **at != second;
        let both =
            |bound: &Vec<SocketAddr>| bound.contains(&second) && bound.iter().any(|at| near(&at));
        let bound = desk.bound.wait_for(both).await.unwrap();
        *bound.iter().find(near).unwrap()
    };
    for (at, path, status) in [
        (first, "/v?code=c&state=for-v", "404"),
        (second, "/u?code=c&state=for-u", "404"),
        (first, "/u?code=c&state=for-u", "200"),
        (second, "/v?code=c&state=for-v", "200"),
    ] {
        let page = get(at, path).await;
        assert!(
            page.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {page}"
        );
    }
    // A name is good only where its own return is heard.
    let ask = "GET /u?code=c&state=for-u HTTP/1.1\nHost: mail.example";
    assert!(visit(first, ask).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn stopping_closes_all() {
    let mut desk = Desk::open(vec![consent("u", "http://localhost")], |c| c);
    let at = desk.address().await;
    desk.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), desk.served)
        .await
        .unwrap()
        .unwrap();
    assert!(refuses(at).await);
}
