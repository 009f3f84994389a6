//! What one connection may cost behind its login, and for how long.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::program::Program;
use crate::scene::{USER, login};
use crate::stage::{greeting, yes};
use crate::support::client::PATIENCE;
use crate::support::daemon::Plan;
use crate::support::provider::Provider;
use crate::upstream::{Move, Upstream};

/// How many connections are filled.
const CROWD: usize = 40;

/// What each may take, TLS with the server included, in KiB.
const BUDGET: u64 = 256;

/// Returns what of the program lies in memory, in KiB.
fn resident(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap()
}

/// Logs in, reads nothing more, and talks for as long as anybody listens.
async fn fill(at: std::net::SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(login("IMAP-0").as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("x OK") {
        let read = timeout(PATIENCE, client.read_buf(&mut heard)).await;
        assert!(read.unwrap().unwrap() > 0, "not let in");
    }
    let talk = b"y NOOP\r\nz LOGIN other secret\r\n".repeat(2_000);
    // What nobody takes for so long, nobody will.
    while let Ok(written) = timeout(Duration::from_millis(500), client.write_all(&talk)).await {
        written.unwrap();
    }
    client
}

/// Starts the program before a server that lets in and then plays this.
async fn before(provider: &Provider, then: Move) -> (Plan, Upstream, Program) {
    let authority = &provider.world.authority;
    let moves = [
        vec![Move::Tls(authority.server())],
        greeting("IMAP-0"),
        yes("IMAP-0"),
        vec![then],
    ];
    let server = Upstream::start(moves.concat()).await;
    let plan = Plan::bare(authority)
        .service("IMAP-0", server.address, "")
        .app(provider, USER);
    let config = plan.write();
    let home = config.parent().unwrap();
    let program = Program::start(home, &["--config-file", config.to_str().unwrap()]);
    (plan, server, program)
}

#[tokio::test]
async fn r27_a_client_that_is_gone_is_noticed_while_its_server_takes_nothing() {
    let provider = Provider::start().await;
    let (_plan, _server, mut program) = before(&provider, Move::Stand).await;
    let client = fill(program.listens("IMAP").await).await;
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    // How soon is for tests with a clock of their own.
    program.says("Closing IMAP connection").await;
}

#[tokio::test]
async fn r27_a_server_that_is_gone_is_noticed_while_its_client_takes_nothing() {
    let provider = Provider::start().await;
    let flood = Move::Vanish(b"* 1 EXISTS\r\n".repeat(1_000));
    let (_plan, _server, mut program) = before(&provider, flood).await;
    let at = program.listens("IMAP").await;
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(login("IMAP-0").as_bytes()).await.unwrap();
    program.says("Closing IMAP connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_flood_that_nobody_reads_fills_two_buffers_and_no_more() {
    let provider = Provider::start().await;
    let flood = Move::Flood(b"* 1 EXISTS\r\n".repeat(1_000));
    let (_plan, _server, mut program) = before(&provider, flood).await;
    let at = program.listens("IMAP").await;
    // What is needed once is not what each one costs.
    drop(fill(at).await);
    drop(fill(at).await);
    let before = resident(&program);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(tokio::spawn(fill(at)));
    }
    let mut filled = Vec::new();
    for one in crowd {
        filled.push(one.await.unwrap());
    }
    let more = resident(&program).saturating_sub(before);
    let most = BUDGET * u64::try_from(CROWD).unwrap();
    assert!(more <= most, "{} KiB each", more / CROWD as u64);
    assert!(more > most / 8, "nothing was filled: {more} KiB in all");
}
