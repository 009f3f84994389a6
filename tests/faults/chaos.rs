//! A relay that spoils connections by plan: cut, crumbled, held up, stalled, half closed, a byte changed.
//!
//! It stands between any two who speak TCP, or inside TLS, where it can cut between two bytes of one record.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::support::provider::Authority;
use super::support::provider::talk::Io;

/// What happens at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides are hung up, as by a process that ends.
    Fin,
    /// Both sides are reset, as by a router that lost its mind.
    Reset,
    /// Nothing more comes, and nobody says so.
    Stall,
    /// This direction ends; the other goes on.
    HalfClose,
    /// The byte arrives changed; all else as it was.
    Corrupt,
}

/// What one direction of a connection suffers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// What happens behind so many bytes.
    pub(crate) at: Option<(usize, End)>,
    /// Whether each byte is sent alone.
    pub(crate) crumbs: bool,
    /// How long each piece is held up.
    pub(crate) delay: Duration,
    /// How many bytes go at once, with a pause of 1 ms behind them.
    pub(crate) width: Option<usize>,
}

/// What both directions suffer; `up` is from whoever connects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) up: Way,
    pub(crate) down: Way,
}

impl Weather {
    /// Cuts the words of whoever connects.
    pub(crate) fn up(at: usize, end: End) -> Self {
        let mut weather = Self::default();
        weather.up.at = Some((at, end));
        weather
    }

    /// Cuts the answers.
    pub(crate) fn down(at: usize, end: End) -> Self {
        let mut weather = Self::default();
        weather.down.at = Some((at, end));
        weather
    }
}

/// Counts of one relay.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    up: AtomicUsize,
    down: AtomicUsize,
}

/// A running relay. Its connections end with it.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Begins to relay to `target`, in fair weather. With an authority, TLS ends here and begins anew behind.
    pub(crate) async fn to(target: SocketAddr, inside: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Mutex::new(Weather::default()));
        let counts = Arc::new(Counts::default());
        let tls = inside.map(|authority| {
            (
                TlsAcceptor::from(authority.server()),
                TlsConnector::from(authority.client()),
            )
        });
        let (sky, book) = (Arc::clone(&weather), Arc::clone(&counts));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                book.up.store(0, Ordering::SeqCst);
                book.down.store(0, Ordering::SeqCst);
                let weather = *sky.lock().unwrap();
                let (tls, book) = (tls.clone(), Arc::clone(&book));
                connections.spawn(async move {
                    // Whoever is gone already is relayed no further.
                    let _gone = relay(near, target, tls, weather, &book).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            weather,
            counts,
            task,
        }
    }

    /// Sets the weather of the connections to come.
    pub(crate) fn turn(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Returns how many connections began.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many bytes were read from each side since the last connection began: up, down.
    pub(crate) fn carried(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (read(&self.counts.up), read(&self.counts.down))
    }
}

async fn relay(
    near: TcpStream,
    target: SocketAddr,
    tls: Option<(TlsAcceptor, TlsConnector)>,
    weather: Weather,
    counts: &Counts,
) -> Option<()> {
    counts.accepted.fetch_add(1, Ordering::SeqCst);
    let far = TcpStream::connect(target).await.ok()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true).ok()?;
        if [weather.up.at, weather.down.at]
            .iter()
            .flatten()
            .any(|(_, end)| *end == End::Reset)
        {
            SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .ok()?;
        }
    }
    let (near, far): (Box<dyn Io>, Box<dyn Io>) = match tls {
        None => (Box::new(near), Box::new(far)),
        Some((accept, connect)) => {
            let name = ServerName::try_from("localhost").unwrap();
            let near = accept.accept(near).await.ok()?;
            let far = connect.connect(name, far).await.ok()?;
            (Box::new(near), Box::new(far))
        }
    };
    let (near_reads, near_writes) = tokio::io::split(near);
    let (far_reads, far_writes) = tokio::io::split(far);
    let mut up = Box::pin(carry(near_reads, far_writes, weather.up, &counts.up));
    let mut down = Box::pin(carry(far_reads, near_writes, weather.down, &counts.down));
    // A cut ends both directions, whichever it happens in; a natural end only its own.
    tokio::select! {
        ended = &mut up => if ended.is_some() { down.await; },
        ended = &mut down => if ended.is_some() { up.await; },
    }
    Some(())
}

/// Carries one direction to its end; `None` where everything ends with it.
async fn carry(
    mut from: ReadHalf<Box<dyn Io>>,
    mut to: WriteHalf<Box<dyn Io>>,
    way: Way,
    count: &AtomicUsize,
) -> Option<()> {
    let mut space = vec![0; 16 * 1024];
    let mut carried = 0;
    if let Some((0, end)) = way.at {
        spoil(end, &mut from, &mut to).await?;
    }
    loop {
        let read = from.read(&mut space).await.ok()?;
        if read == 0 {
            to.shutdown().await.ok();
            return Some(());
        }
        count.fetch_add(read, Ordering::SeqCst);
        let piece = &mut space[..read];
        match way.at {
            Some((at, End::Corrupt)) if (carried..carried + read).contains(&at) => {
                piece[at - carried] ^= 0x20;
                deliver(&mut to, piece, way).await?;
            }
            Some((at, end))
                if end != End::Corrupt && (carried + 1..=carried + read).contains(&at) =>
            {
                deliver(&mut to, &piece[..at - carried], way).await?;
                spoil(end, &mut from, &mut to).await?;
                return Some(());
            }
            _ => deliver(&mut to, piece, way).await?,
        }
        carried += read;
    }
}

/// Ends a direction; `None` where the whole connection ends.
async fn spoil(
    end: End,
    from: &mut ReadHalf<Box<dyn Io>>,
    to: &mut WriteHalf<Box<dyn Io>>,
) -> Option<()> {
    match end {
        End::Fin | End::Reset => None,
        End::Corrupt => Some(()),
        End::HalfClose => {
            to.shutdown().await.ok();
            swallow(from).await;
            Some(())
        }
        End::Stall => {
            swallow(from).await;
            None
        }
    }
}

/// Reads to the end and passes nothing on.
async fn swallow(from: &mut ReadHalf<Box<dyn Io>>) {
    let mut nowhere = vec![0; 4096];
    while from.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
}

async fn deliver(to: &mut WriteHalf<Box<dyn Io>>, piece: &[u8], way: Way) -> Option<()> {
    if !way.delay.is_zero() {
        tokio::time::sleep(way.delay).await;
    }
    let width = if way.crumbs {
        1
    } else {
        way.width.unwrap_or(piece.len())
    };
    for part in piece.chunks(width.max(1)) {
        to.write_all(part).await.ok()?;
        to.flush().await.ok()?;
        if !way.crumbs && way.width.is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    Some(())
}
