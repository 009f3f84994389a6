//! A way that is cut at random: relays connections, ends some of them after so many bytes, and is out for a while.
//!
//! Knows nothing of what the bytes mean.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::dice::Dice;

/// How much is moved at once, in bytes.
const PIECE: usize = 16 * 1024;

/// A running relay.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Its port.
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// How often it cuts, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    /// Plans a cut for one in so many connections.
    pub(crate) one_in: usize,
    /// The latest byte, from the client and from the server, behind which it cuts.
    pub(crate) reach: (usize, usize),
}

#[derive(Debug)]
struct State {
    target: u16,
    temper: Temper,
    dice: Mutex<Dice>,
    out: watch::Sender<bool>,
    turned_away: watch::Sender<u64>,
    connections: AtomicU64,
    cut: AtomicU64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// By a reset of both sides.
    Reset,
    /// By an orderly end of both sides.
    Close,
    /// By an end of the one direction, while the other goes on.
    Half,
}

/// Where a connection is to be cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    up: Option<usize>,
    down: Option<usize>,
    manner: Manner,
}

impl Relay {
    /// Starts a relay to a port of this machine.
    pub(crate) async fn start(target: u16, temper: Temper, dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            target,
            temper,
            dice: Mutex::new(dice),
            out: watch::Sender::new(false),
            turned_away: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move { state.relay(stream).await.ok() });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, state, task }
    }

    /// Cuts everything and turns everybody away until so many have come.
    pub(crate) async fn fail_until_noticed(&self, by: u64) {
        let mut turned_away = self.state.turned_away.subscribe();
        let noticed = *turned_away.borrow_and_update() + by;
        let _out = Outage::begin(&self.state.out);
        turned_away
            .wait_for(|count| *count >= noticed)
            .await
            .unwrap();
    }

    /// Returns how many connections it relayed, and how many of them it cut.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.state.connections), read(&self.state.cut))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The time in which nobody gets through.
struct Outage<'s>(&'s watch::Sender<bool>);

impl<'s> Outage<'s> {
    fn begin(out: &'s watch::Sender<bool>) -> Self {
        out.send_replace(true);
        Self(out)
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl State {
    async fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        let mut out = self.out.subscribe();
        if *out.borrow_and_update() {
            self.turned_away.send_modify(|count| *count += 1);
            return reset(&client);
        }
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", self.target)).await else {
            return reset(&client);
        };
        self.connections.fetch_add(1, Ordering::Relaxed);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let cut = self.plan();
        let ended = {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let up = pump(&mut from_client, &mut to_server, cut.up);
            let down = pump(&mut from_server, &mut to_client, cut.down);
            tokio::select! {
                ended = both(up, down, cut.manner) => ended,
                _ = out.wait_for(|out| *out) => End::Cut(Manner::Reset),
            }
        };
        if let End::Cut(manner) = ended {
            self.cut.fetch_add(1, Ordering::Relaxed);
            if manner == Manner::Reset {
                reset(&client)?;
                reset(&server)?;
            }
        }
        Ok(())
    }

    fn plan(&self) -> Cut {
        let mut dice = self.dice.lock().unwrap();
        let manner = *dice.pick(&[Manner::Reset, Manner::Close, Manner::Half]);
        let (up, down) = self.temper.reach;
        // Early bytes, where little is said between two turns, as often as any others.
        let mut place = |reach| {
            if dice.once_in(2) {
                dice.scaled(1, reach)
            } else {
                dice.between(1, reach)
            }
        };
        let (up, down) = (place(up), place(down));
        let (cuts, upwards) = (dice.once_in(self.temper.one_in), dice.once_in(2));
        Cut {
            up: (cuts && upwards).then_some(up),
            down: (cuts && !upwards).then_some(down),
            manner,
        }
    }
}

/// How a relayed connection came to its end.
enum End {
    /// By those at its ends.
    Own,
    /// By us.
    Cut(Manner),
}

/// Runs both directions until both have ended, or one is cut.
async fn both(
    up: impl Future<Output = bool>,
    down: impl Future<Output = bool>,
    manner: Manner,
) -> End {
    tokio::pin!(up, down);
    let was_cut = tokio::select! {
        was_cut = &mut up => {
            if was_cut && manner != Manner::Half {
                return End::Cut(manner);
            }
            // The last direction's end is the end.
            was_cut | down.await
        }
        was_cut = &mut down => {
            if was_cut && manner != Manner::Half {
                return End::Cut(manner);
            }
            was_cut | up.await
        }
    };
    if was_cut { End::Cut(manner) } else { End::Own }
}

/// Moves bytes until there are no more, or the one is reached behind which it is cut; returns whether that was so.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    cut: Option<usize>,
) -> bool {
    let mut left = cut.unwrap_or(usize::MAX);
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let most = PIECE.min(left);
        let count = match from.read(&mut piece[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        if to.write_all(&piece[..count]).await.is_err() {
            break;
        }
        left -= count;
    }
    to.shutdown().await.ok();
    left == 0
}

/// Has a connection end by a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
