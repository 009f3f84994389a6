//! Relays of all kinds of ends, in crumbs and against the clock.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::protocol::guard::Speech;

/// A server that says nothing, takes everything, and never lets our end be passed on.
struct Stuck {
    told: usize,
}

impl Io for Stuck {}

impl tokio::io::AsyncRead for Stuck {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Stuck {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.told += 1;
        assert!(self.told < 100, "the relay spins");
        Poll::Pending
    }
}

/// Two ends of a connection that can be reset.
async fn socket() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap());
    let (far, near) = tokio::join!(far, listener.accept());
    let (far, near) = (far.unwrap(), near.unwrap().0);
    for end in [&far, &near] {
        let end = socket2::SockRef::from(end);
        end.set_recv_buffer_size(32 * 1024).unwrap();
        end.set_send_buffer_size(32 * 1024).unwrap();
    }
    (far, near)
}

/// Goes away with a reset, as a program does that is killed or that leaves bytes unread.
fn reset(stream: TcpStream) {
    let now = Some(Duration::ZERO);
    socket2::SockRef::from(&stream).set_linger(now).unwrap();
    drop(stream);
}

async fn splice_sockets(client: TcpStream, server: TcpStream) -> (io::Result<()>, Traffic) {
    let mut traffic = Traffic::default();
    let (client, server) = (Wire::new(client, "client"), Wire::new(server, "server"));
    let mut guard = Guard::new(Speech::Smtp);
    let ended = splice(client, server, &mut guard, &mut traffic).await;
    (ended, traffic)
}

fn relay(
    width: usize,
) -> (
    DuplexStream,
    DuplexStream,
    JoinHandle<(io::Result<()>, Traffic)>,
) {
    let (client, at_client) = duplex(width);
    let (server, at_server) = duplex(width);
    let task = tokio::spawn(async move {
        let mut traffic = Traffic::default();
        let ended = splice(
            Wire::new(at_client, "client"),
            Wire::new(at_server, "server"),
            &mut Guard::new(Speech::Imap),
            &mut traffic,
        )
        .await;
        (ended, traffic)
    });
    (client, server, task)
}

#[tokio::test]
async fn every_byte_arrives_in_both_directions_whatever_the_crumbs() {
    for width in [1, 7, 100_000] {
        let (client, server, task) = relay(width);
        let (mut client_reads, mut client_writes) = tokio::io::split(client);
        let (mut server_reads, mut server_writes) = tokio::io::split(server);
        let mail: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
        let (up, down) = (mail.clone(), mail.iter().rev().copied().collect::<Vec<_>>());
        let (want_up, want_down) = (up.clone(), down.clone());
        let send_up = tokio::spawn(async move {
            client_writes.write_all(&up).await.unwrap();
            client_writes.shutdown().await.unwrap();
        });
        let send_down = tokio::spawn(async move {
            server_writes.write_all(&down).await.unwrap();
            server_writes.shutdown().await.unwrap();
        });
        let hear_up = tokio::spawn(async move {
            let mut got = Vec::new();
            server_reads.read_to_end(&mut got).await.unwrap();
            got
        });
        let mut got_down = Vec::new();
        client_reads.read_to_end(&mut got_down).await.unwrap();
        assert!(got_down == want_down, "down, width {width}");
        assert!(hear_up.await.unwrap() == want_up, "up, width {width}");
        send_up.await.unwrap();
        send_down.await.unwrap();
        let (ended, traffic) = task.await.unwrap();
        ended.unwrap();
        assert_eq!(
            traffic,
            Traffic {
                sent: 70_000,
                received: 70_000
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_close_is_passed_on_and_the_answer_still_comes() {
    let (mut client, mut server, task) = relay(64);
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    let begun = Instant::now();
    task.await.unwrap().0.unwrap();
    assert_eq!(
        begun.elapsed().as_secs(),
        4,
        "silence ends the second direction after 4 s"
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_while_the_server_still_answers() {
    let (mut client, mut server, task) = relay(64);
    client.write_all(b"a b c").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        server.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
    }
    assert_eq!(server.read(&mut heard).await.unwrap(), 0);
    assert_eq!(
        begun.elapsed().as_secs(),
        4,
        "3 s of answers, 1 s of silence"
    );
    drop(server);
    task.await.unwrap().0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r27_a_server_that_takes_no_end_is_left_without_spinning() {
    let (mut client, at_client) = duplex(64);
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let begun = Instant::now();
    let mut traffic = Traffic::default();
    let server = Wire::new(Stuck { told: 0 }, "server");
    let mut guard = Guard::new(Speech::Imap);
    splice(
        Wire::new(at_client, "client"),
        server,
        &mut guard,
        &mut traffic,
    )
    .await
    .unwrap();
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!(traffic.sent, 10);
}

#[tokio::test(start_paused = true)]
async fn r27_who_goes_on_talking_to_a_server_that_has_finished_is_not_heard_for_ever() {
    let (mut client, server, task) = relay(64);
    let (mut server_reads, mut server_writes) = tokio::io::split(server);
    let reading = tokio::spawn(async move {
        let mut chunk = [0; 64];
        while server_reads
            .read(&mut chunk)
            .await
            .is_ok_and(|read| read > 0)
        {}
    });
    server_writes.shutdown().await.unwrap();
    let begun = Instant::now();
    while client.write_all(b"NOOP").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    task.await.unwrap().0.unwrap();
    assert!(
        begun.elapsed() <= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_relay_lives_on() {
    let (mut client, mut server, task) = relay(64);
    tokio::time::sleep(Duration::from_secs(3 * 60 * 60)).await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    drop((client, server));
    task.await.unwrap().0.unwrap();
}

#[tokio::test]
async fn the_last_words_of_a_server_that_takes_no_more_are_heard() {
    let (mut client, at_client) = socket().await;
    let (mut server, at_server) = socket().await;
    let words = b"552 5.3.4 too large\r\n421 4.3.0 goodbye\r\n";
    server.write_all(words).await.unwrap();
    reset(server);
    let sending = tokio::spawn(async move {
        // More than the buffers hold: somebody must take it, or it would never be told.
        client.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        heard
    });
    let (ended, traffic) = splice_sockets(at_client, at_server).await;
    ended.unwrap();
    assert_eq!(sending.await.unwrap(), words);
    assert_eq!(traffic.received, words.len() as u64);
}

#[tokio::test]
async fn the_last_words_of_a_client_that_hears_no_more_are_passed_on() {
    let (mut client, at_client) = socket().await;
    let (mut server, at_server) = socket().await;
    let words = b"a mail\r\n.\r\nQUIT\r\n";
    server.write_all(b"354 go ahead\r\n").await.unwrap();
    client.write_all(words).await.unwrap();
    reset(client);
    let hearing = tokio::spawn(async move {
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        heard
    });
    let (ended, _) = splice_sockets(at_client, at_server).await;
    ended.unwrap();
    assert_eq!(hearing.await.unwrap(), words);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_talks_on_to_a_server_that_is_gone_is_left_after_a_while() {
    let (mut client, at_client) = socket().await;
    let (server, at_server) = socket().await;
    reset(server);
    // Until the relay is gone it takes everything.
    let talking = tokio::spawn(async move {
        while client.write_all(&[b'x'; 64]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let begun = Instant::now();
    splice_sockets(at_client, at_server).await.0.unwrap();
    assert_eq!(begun.elapsed().as_secs(), LINGER.as_secs());
    talking.await.unwrap();
}

#[tokio::test]
async fn r10_no_more_is_kept_than_was_read_at_once() {
    let (mut far, near) = duplex(4 * SCRATCH);
    let (_deaf, full) = duplex(16);
    let (mut from, mut to): (Box<dyn Io>, Box<dyn Io>) = (Box::new(near), Box::new(full));
    far.write_all(&b"x NOOP\r\ny LOGIN u p\r\n".repeat(9_000))
        .await
        .unwrap();
    let mut guard = Guard::new(Speech::Imap);
    let mut up = Direction::beginning_with(Vec::new());
    for _ in 0..3 {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let moved = up.advance(&mut from, &mut to, &mut Ears::Client(&mut guard), true, cx);
        assert!(moved.unwrap().is_pending());
        assert!(!up.kept.is_empty());
        assert!(up.kept.capacity() <= SCRATCH, "{}", up.kept.capacity());
    }
}

/// Writes until nobody takes more.
async fn fill(stream: &mut TcpStream) {
    let talk = [b'x'; 4096];
    while timeout(Duration::from_secs(1), stream.write_all(&talk))
        .await
        .is_ok_and(|written| written.is_ok())
    {}
}

#[tokio::test(start_paused = true)]
async fn r27_who_is_reset_while_the_other_takes_nothing_is_noticed() {
    for from_client in [true, false] {
        let (client, at_client) = socket().await;
        let (server, at_server) = socket().await;
        let (mut leaving, _deaf) = if from_client {
            (client, server)
        } else {
            (server, client)
        };
        let relay = tokio::spawn(splice_sockets(at_client, at_server));
        fill(&mut leaving).await;
        let begun = Instant::now();
        reset(leaving);
        relay.await.unwrap().0.unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r27_a_half_close_that_cannot_be_heard_yet_is_noticed() {
    for deaf in [true, false] {
        let (mut client, at_client) = socket().await;
        let (mut server, at_server) = socket().await;
        // There is room for all of it, so that the end comes through.
        let wide = socket2::SockRef::from(&at_client);
        wide.set_recv_buffer_size(1024 * 1024).unwrap();
        socket2::SockRef::from(&client)
            .set_send_buffer_size(1024 * 1024)
            .unwrap();
        let relay = tokio::spawn(splice_sockets(at_client, at_server));
        let mail = vec![b'x'; 300_000];
        client.write_all(&mail).await.unwrap();
        client.shutdown().await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let begun = Instant::now();
        let mut heard = Vec::new();
        if !deaf {
            server.read_to_end(&mut heard).await.unwrap();
            assert!(heard == mail, "{} bytes", heard.len());
        }
        relay.await.unwrap().0.unwrap();
        let most = Duration::from_secs(if deaf { 2 } else { 5 });
        assert!(begun.elapsed() <= most, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_nobody_takes_for_ten_minutes_end_the_relay() {
    for to in ["server", "client"] {
        let (client, server, task) = relay(64);
        let (mut speaks, mut deaf) = if to == "server" {
            (client, server)
        } else {
            (server, client)
        };
        let begun = Instant::now();
        let speaking = tokio::spawn(async move {
            drop(speaks.write_all(&vec![b'x'; 100_000]).await);
            speaks
        });
        // As long as any is taken, it goes on.
        for _ in 0..7 {
            tokio::time::sleep(STUCK.checked_sub(Duration::from_secs(1)).unwrap()).await;
            deaf.read_u8().await.unwrap();
        }
        let patient = begun.elapsed();
        let fault = task.await.unwrap().0.unwrap_err().to_string();
        assert_eq!(
            fault,
            format!("for 10 minutes the {to} took nothing of what waited for it")
        );
        let alone = begun.elapsed().checked_sub(patient).unwrap();
        assert!((STUCK..=STUCK + 2 * LOOK).contains(&alone), "{alone:?}");
        speaking.abort();
    }
}
