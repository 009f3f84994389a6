//! One connection's lines, literals and ends, in crumbs and against the clock.

use tokio::io::duplex;

use super::*;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn lines_arrive_whole_whatever_the_crumbs() {
    let (ours, mut theirs) = duplex(1);
    let mut wire = Wire::new(ours, "test");
    let speak = tokio::spawn(async move {
        theirs.write_all(b"one\r\ntwo\n\r\nfour").await.unwrap();
        theirs
    });
    assert_eq!(wire.line(10, SOON).await.unwrap(), b"one");
    assert_eq!(wire.line(10, SOON).await.unwrap(), b"two");
    assert_eq!(wire.line(10, SOON).await.unwrap(), b"");
    assert_eq!(wire.octets(4, SOON).await.unwrap(), b"four");
    drop(speak.await.unwrap());
    assert!(matches!(wire.line(10, SOON).await, Err(Lost::Closed)));
}

#[tokio::test(start_paused = true)]
async fn r08_a_line_that_has_begun_must_end_within_ten_seconds() {
    let patience = Duration::from_secs(60);
    for literal in [false, true] {
        let (ours, mut theirs) = duplex(64);
        let mut wire = Wire::new(ours, "test");
        let begun = Instant::now();
        let dribble = tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            while theirs.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let lost = if literal {
            wire.octets(1_000, patience).await
        } else {
            wire.line(1_000, patience).await
        };
        assert!(matches!(lost, Err(Lost::TimedOut)));
        assert_eq!(begun.elapsed().as_secs(), 60);
        drop(wire);
        dribble.await.unwrap();
    }
    let (ours, mut theirs) = duplex(64);
    let mut wire = Wire::new(ours, "test");
    theirs.write_all(b"half").await.unwrap();
    let begun = Instant::now();
    assert!(matches!(
        wire.line(1_000, patience).await,
        Err(Lost::TimedOut)
    ));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_line_past_its_limit_is_refused_early() {
    let (ours, mut theirs) = duplex(64);
    let mut wire = Wire::new(ours, "test");
    theirs.write_all(b"12345\r\n123456\r\n").await.unwrap();
    assert_eq!(wire.line(5, SOON).await.unwrap(), b"12345");
    assert!(matches!(wire.line(5, SOON).await, Err(Lost::TooLong(5))));
    let (ours, mut theirs) = duplex(64);
    let mut wire = Wire::new(ours, "test");
    theirs.write_all(b"1234567").await.unwrap();
    assert!(
        matches!(wire.line(5, SOON).await, Err(Lost::TooLong(5))),
        "no line end needed to refuse"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_and_slowness_end_in_time() {
    let (ours, mut theirs) = duplex(64);
    let mut wire = Wire::new(ours, "test");
    assert!(matches!(wire.line(5, SOON).await, Err(Lost::TimedOut)));
    wire.set_deadline(Some(Instant::now() + Duration::from_secs(2)));
    theirs.write_all(b"a").await.unwrap();
    let begun = Instant::now();
    assert!(matches!(wire.line(5, SOON).await, Err(Lost::TimedOut)));
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn what_nobody_took_is_handed_over() {
    let (ours, mut theirs) = duplex(64);
    let mut wire = Wire::new(ours, "test");
    theirs
        .write_all(b"login\r\nnext command\r\n")
        .await
        .unwrap();
    assert_eq!(wire.line(10, SOON).await.unwrap(), b"login");
    let (_io, heard) = wire.into_parts();
    assert_eq!(heard, b"next command\r\n");
}

#[tokio::test(start_paused = true)]
async fn r27_a_client_that_has_left_is_not_waited_for_whatever_it_said_before() {
    for (said, seconds) in [(&b""[..], 4), (b"A2 LOGOUT\r\n", 60)] {
        let (ours, mut theirs) = duplex(64);
        let mut wire = Wire::new(ours, "test");
        theirs.write_all(said).await.unwrap();
        assert!(
            timeout(SOON * 100, wire.gone()).await.is_err(),
            "still here"
        );
        assert_eq!(wire.waiting(), said);
        drop(theirs);
        let left = Instant::now();
        wire.gone().await;
        assert_eq!(left.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn r27_much_behind_a_login_does_not_hide_that_its_client_has_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut theirs = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let mut wire = Wire::new(listener.accept().await.unwrap().0, "test");
    // More than is kept, and no more than the sockets hold: an end behind what they do not hold never comes.
    let flood = vec![b'x'; MAX_HELD + 32 * 1024];
    let (flooded, heard) = tokio::join!(
        theirs.write_all(&flood),
        timeout(Duration::from_millis(500), wire.gone()),
    );
    flooded.unwrap();
    assert!(heard.is_err(), "still here");
    drop(theirs);
    tokio::time::pause();
    wire.gone().await;
    assert!(wire.waiting().len() <= MAX_HELD + CHUNK);
}
