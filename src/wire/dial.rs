//! From `host:port` to a connected stream: addresses tried in a happy-eyeballs race, directly or through a proxy.
//!
//! Knows no mail. TLS is begun by [`Wire::begin_tls`] on what is returned here.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use super::proxy::Proxy;
use super::{Wire, known};
use crate::lookup::addresses;

/// How long name look-up and connecting may take together; a handshake that follows at once counts too.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How much of that the name look-up may take.
const LOOKUP_TIME: Duration = Duration::from_secs(8);

/// How long one address is given before the next is tried beside it (RFC 8305 section 8 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// How many addresses are tried at once: each takes a descriptor, and a dead network has many clients come back.
const RACERS: usize = 4;

/// How long one address is given where more than [`RACERS`] want their turn.
const TURN: Duration = Duration::from_secs(3);

/// How long a connection may be silent before the kernel asks whether the other side still lives.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);

/// How often the kernel asks again.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);

/// Connects to a server, through `proxy` where one is configured. The error says what was attempted.
pub async fn dial(host: &str, port: u16, proxy: Option<&Proxy>) -> Result<Wire, String> {
    #[cfg(fuzzing)]
    if let Some(dialled) = super::fuzzing::dialled(host, port) {
        return dialled;
    }
    let connect = async {
        match proxy {
            None => connect(host, port).await.map_err(|error| error.to_string()),
            Some(proxy) => proxy.connect(host, port).await,
        }
    };
    let stream = timeout(CONNECT_TIME, connect)
        .await
        .map_err(|_| format!("no connection within {} s", CONNECT_TIME.as_secs()))??;
    keep_alive(&SockRef::from(&stream));
    Ok(Wire::new(stream, format!("{host}:{port}")))
}

/// Has the kernel notice a dead peer, and small packets sent at once. What a listening socket was told holds for all that
/// it accepts.
pub fn keep_alive(socket: &SockRef<'_>) {
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    // A socket that refuses these options still carries bytes.
    drop(socket.set_tcp_keepalive(&probes));
    drop(socket.set_tcp_nodelay(true));
}

/// Connects to the first address of `host` that answers; a dead address delays the others by 250 ms only.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Some(found) = known::addresses(bare, port) {
        let attempt = known::attempt(bare, port);
        if let Ok(stream) = race(found, TcpStream::connect).await {
            attempt.succeed();
            return Ok(stream);
        }
        // The name may lead elsewhere by now.
    }
    let looked_up = Instant::now();
    let found = timeout(LOOKUP_TIME, addresses(bare, port)).await;
    let found = found.map_err(|_| {
        io::Error::other(format!(
            "the name {bare} could not be looked up within {} s; this machine's name service does not answer",
            LOOKUP_TIME.as_secs()
        ))
    })??;
    let found = alternate(found);
    let attempt = known::attempt(bare, port);
    let stream = race(found.clone(), TcpStream::connect).await?;
    attempt.succeed_at(found, looked_up);
    Ok(stream)
}

/// Orders addresses so that the two families take turns, beginning with the one the resolver prefers.
fn alternate(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = found.first() else {
        return found;
    };
    let prefers_v6 = first.is_ipv6();
    let (mut preferred, mut other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|at| at.is_ipv6() == prefers_v6);
    preferred.reverse();
    other.reverse();
    let mut ordered = Vec::new();
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop());
        ordered.extend(other.pop());
    }
    ordered
}

/// Connects to the addresses in their order, the next one beside those that have not answered yet.
async fn race<S, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let patience = if addresses.len() > RACERS {
        TURN
    } else {
        CONNECT_TIME
    };
    let attempt = |at: SocketAddr| {
        let attempt = timeout(patience, connect(at));
        async move {
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
            (at, attempt.await.unwrap_or_else(late))
        }
    };
    let worded =
        |at: SocketAddr, error: &io::Error| io::Error::new(error.kind(), format!("{at}: {error}"));
    if let [only] = addresses.as_slice() {
        return match attempt(*only).await {
            (_, Ok(stream)) => Ok(stream),
            (at, Err(error)) => Err(worded(at, &error)),
        };
    }
    let mut waiting = addresses.into_iter();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    let Some(first) = waiting.next() else {
        return Err(last);
    };
    let mut attempts = JoinSet::new();
    // Most servers answer at once, and need no task of their own.
    let mut first = Box::pin(attempt(first));
    match timeout(STAGGER, &mut first).await {
        Ok((_, Ok(stream))) => return Ok(stream),
        Ok((at, Err(error))) => last = worded(at, &error),
        Err(_) => drop(attempts.spawn(first)),
    }
    if let Some(next) = waiting.next() {
        attempts.spawn(attempt(next));
    }
    loop {
        tokio::select! {
            done = attempts.join_next() => match done {
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((at, Err(error)))) => {
                    last = worded(at, &error);
                    if let Some(next) = waiting.next() {
                        attempts.spawn(attempt(next));
                    }
                }
                Some(Err(_)) => {}
                None => return Err(last),
            },
            () = sleep(STAGGER), if waiting.len() > 0 && attempts.len() < RACERS => {
                if let Some(next) = waiting.next() {
                    attempts.spawn(attempt(next));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn families_take_turns() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let found = vec![
            at("[::1]:1"),
            at("[::2]:1"),
            at("127.0.0.1:1"),
            at("127.0.0.2:1"),
        ];
        let want = vec![
            at("[::1]:1"),
            at("127.0.0.1:1"),
            at("[::2]:1"),
            at("127.0.0.2:1"),
        ];
        assert_eq!(alternate(found), want);
    }

    #[tokio::test]
    async fn a_refusing_address_does_not_keep_the_next_one_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let stream = race(vec![closed, good], TcpStream::connect).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        let error = race(vec![closed], TcpStream::connect).await.unwrap_err();
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    }

    const LATE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 12));

    #[tokio::test(start_paused = true)]
    async fn dead_addresses_are_tried_a_few_at_once_and_a_late_one_gets_its_turn() {
        let addresses: Vec<SocketAddr> = (1..=12).map(|n| ([192, 0, 2, n], 993).into()).collect();
        let open = Arc::new(());
        let begin = Instant::now();
        let found = race(addresses, |at| {
            let (mine, alive) = (Arc::clone(&open), at.ip() == LATE);
            assert!(Arc::strong_count(&mine) <= RACERS + 1);
            async move {
                if !alive {
                    std::future::pending::<()>().await;
                }
                drop(mine);
                Ok(at)
            }
        });
        assert!(found.await.unwrap().ip() == LATE);
        assert!(begin.elapsed() < CONNECT_TIME);
    }
}
