//! What is told as it happens, and to machines.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::browser::{Browser, raw};
use crate::support::client::PATIENCE;
use crate::support::daemon::Plan;
use crate::support::provider::Provider;
use crate::{USER, at, log_in, ready, welcomed};

#[tokio::test]
async fn what_happens_is_told_to_few_pages_as_it_happens() {
    let (_provider, proxy) = ready().await;
    let browser = Browser::open(&proxy).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        let (at, cookie) = (browser.at, &browser.cookie);
        let request = format!("GET /events HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        until(&mut stream, "retry: 3000").await;
        open.push(stream);
    }
    let ninth = browser.get("/events").await;
    assert!(ninth.starts_with("HTTP/1.1 503 "), "{ninth}");
    let client = log_in(&proxy).await;
    for stream in &mut open {
        until(stream, "event: change\ndata: \n\n").await;
    }
    drop((client, open.pop()));
    // Its seat is free once its end was noticed.
    let again = async {
        loop {
            let mut stream = TcpStream::connect(browser.at).await.unwrap();
            let (at, cookie) = (browser.at, &browser.cookie);
            let request = format!("GET /events HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            if &status == b"HTTP/1.1 200" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again)
        .await
        .expect("no seat becomes free");
    // A page that listens does not hold up the end.
    timeout(PATIENCE, proxy.daemon.stop()).await.unwrap();
}

/// Reads until these words came.
async fn until(stream: &mut TcpStream, words: &str) {
    let mut heard = Vec::new();
    let reading = async {
        let mut some = [0; 1024];
        while !String::from_utf8_lossy(&heard).contains(words) {
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&some[..count]);
        }
    };
    timeout(PATIENCE, reading).await.expect(words);
}

#[tokio::test]
async fn metrics_are_told_where_the_file_allows_it_and_pass_promtool() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .page()
        .option("metrics_from = 127.0.0.0/8")
        .start();
    welcomed(log_in(&proxy).await).await;
    let mut client = proxy.imap().await;
    client.imap(&format!("LOGIN {USER} wrong")).await;
    drop(client);
    let at = at(&proxy);
    let get = |more: &str| format!("GET /metrics HTTP/1.1\nHost: {at}\n{more}\n");
    let answer = raw(at, &get("")).await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    for line in [
        r#"emailproxy_logins_total{protocol="imap",outcome="success"} 1"#,
        r#"emailproxy_logins_total{protocol="imap",outcome="wrong_password"} 1"#,
        r#"emailproxy_token_requests_total{outcome="success"} 1"#,
        "emailproxy_token_wait_seconds_count 1",
        r#"emailproxy_account_usable{account="person@example.com"} 1"#,
    ] {
        assert!(answer.lines().any(|one| one == line), "{line}: {answer}");
    }
    // What came through a reverse proxy has that one's address.
    for header in [
        "X-Forwarded-For: 192.0.2.1\n",
        "Forwarded: for=192.0.2.1\n",
        "Via: 1.1 x\n",
    ] {
        let answer = raw(at, &get(header)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{header}: {answer}");
    }
    let ready = raw(at, &format!("GET /readyz HTTP/1.1\nHost: {at}\n\n")).await;
    assert!(ready.ends_with("\r\n\r\nready\n"), "{ready}");
    promtool(answer.split_once("\r\n\r\n").unwrap().1);
}

/// Has Prometheus' own tool judge metrics, where it is installed.
fn promtool(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "promtool is not installed"
        );
        eprintln!("skipped: promtool is not installed");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
}
