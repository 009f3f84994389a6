//! A server that is far away: whatever it says arrives later.
//!
//! Only its direction is held up, by a whole round trip; a client cannot tell the difference.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How much is under way at once, in bytes.
const ROOM: usize = 64 * 1024;

/// Puts a round trip between a connection and the server, who gets what is returned.
pub(super) fn apart(stream: TcpStream, round_trip: Duration) -> DuplexStream {
    let (near, far) = duplex(ROOM);
    let (mut from_client, mut to_client) = stream.into_split();
    let (mut from_server, mut to_server) = split(far);
    tokio::spawn(async move {
        let copied = tokio::io::copy(&mut from_client, &mut to_server).await;
        to_server.shutdown().await.ok();
        copied
    });
    let (leaves, mut arrives) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        loop {
            let mut said = Vec::with_capacity(ROOM);
            if from_server.read_buf(&mut said).await? == 0 {
                return io::Result::Ok(());
            }
            // Where nobody hears it any more, the server will notice.
            leaves.send((Instant::now() + round_trip, said)).ok();
        }
    });
    tokio::spawn(async move {
        while let Some((due, said)) = arrives.recv().await {
            sleep_until(due).await;
            to_client.write_all(&said).await?;
        }
        to_client.shutdown().await
    });
    near
}
