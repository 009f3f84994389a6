//! Bytes both ways until both sides are done.
//!
//! Knows nothing of what the bytes mean and changes none of them; what a client may not say is for the `Guard` to tell. An idle connection holds no buffer: what is read goes
//! through scratch space of the thread, and only what a slow reader leaves over is kept with the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::protocol::guard::Guard;
use crate::wire::{Io, Wire};

#[cfg(test)]
mod tests;

/// How much is moved at once, in bytes.
const SCRATCH: usize = 64 * 1024;

/// How long the second direction may be silent once the first has ended. With what ending takes, whoever has left is
/// gone from here within 5 s.
const LINGER: Duration = Duration::from_secs(4);

/// How long a server must be silent before it hears that the client has finished. Many servers answer nothing more once
/// TLS is closed, as TLS 1.2 asks of them (RFC 5246 section 7.2.1), and a client that said everything at once still
/// wants its answers.
const HOLD: Duration = Duration::from_secs(1);

/// How often to look, while bytes wait for a peer, whether the other has left: it is not read then, so that its end comes
/// to nobody's ears.
const LOOK: Duration = Duration::from_millis(500);

/// How long bytes may wait for a peer without one being taken. The longest time that a client gives a server is as long
/// (RFC 5321 section 4.5.3.2.6).
const STUCK: Duration = Duration::from_secs(10 * 60);

thread_local! {
    static SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How much was relayed, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to the server.
    pub sent: u64,
    /// From the server to the client.
    pub received: u64,
}

/// Relays until both directions have ended, beginning with what either wire heard too early.
///
/// The end of one direction is passed on, a client's once the server was silent for 1 s; the other then ends after 4 s
/// without a byte. Where a peer takes nothing more, its own last words are still passed on, for as long, and the other
/// is heard out without them going anywhere, so that it comes to hear these words. Whoever leaves while it cannot be
/// heard, because the other takes nothing, is noticed within 500 ms and the relay ends after 4 s without a byte.
///
/// `traffic` is kept current, so that it is true also when the caller gives up in between.
///
/// # Errors
///
/// What the sockets report, and bytes that waited for a peer for 10 minutes without one being taken.
pub async fn splice(
    client: Wire,
    server: Wire,
    guard: &mut Guard,
    traffic: &mut Traffic,
) -> io::Result<()> {
    let (mut client, from_client) = client.into_parts();
    let (mut server, from_server) = server.into_parts();
    guard.hear(&from_server);
    let mut up = Direction::beginning_with(passing(guard, &from_client));
    drop(from_client);
    let mut down = Direction::beginning_with(from_server);
    let [mut linger, mut hold, mut look] = [const { Timer(None) }; 3];
    let mut looks = false;
    poll_fn(|cx| {
        let before = progress(&up, &down);
        if looks && look.poll(cx).is_ready() {
            looks = false;
            up.look(&client, "server")?;
            down.look(&server, "client")?;
        }
        let release = down.ended || down.deaf || (up.ended && hold.poll(cx).is_ready());
        let up_done = up.advance(
            &mut client,
            &mut server,
            &mut Ears::Client(guard),
            release,
            cx,
        )?;
        let down_done =
            down.advance(&mut server, &mut client, &mut Ears::Server(guard), true, cx)?;
        *traffic = Traffic {
            sent: up.moved,
            received: down.moved,
        };
        if up_done.is_ready() && down_done.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !looks && (up.waits() || down.waits()) {
            looks = true;
            look.set(LOOK);
            if look.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        if !(up.is_ending() || down.is_ending()) {
            return Poll::Pending;
        }
        if before != progress(&up, &down) {
            linger.set(LINGER);
            if !up.closed {
                hold.set(HOLD);
            }
        }
        let kept_back = up.ended && !up.closed && !release;
        if kept_back && (down.ended || down.deaf || hold.poll(cx).is_ready()) {
            // What held the end back fell away just now; once is enough, or a stuck server would make this spin.
            cx.waker().wake_by_ref();
        }
        // Nothing more came from the side that is still open.
        linger.poll(cx).map(Ok)
    })
    .await
}

/// A clock that takes no room until it is wound.
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Has it run out after so long.
    fn set(&mut self, after: Duration) {
        let at = Instant::now() + after;
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(at),
            none => *none = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Ready once it ran out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let running = self.0.as_mut();
        running.map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

/// What changes whenever something happens that is worth waiting for: once the server has finished, only what it said
/// last is.
fn progress(up: &Direction, down: &Direction) -> [(u64, bool, bool, bool); 2] {
    let sent = if down.ended || down.left { 0 } else { up.moved };
    [
        (sent, up.ended, up.deaf, up.left),
        (down.moved, down.ended, down.deaf, down.left),
    ]
}

/// Who is listened to in a direction.
enum Ears<'g> {
    /// The client: not everything it says passes.
    Client(&'g mut Guard),
    /// The server: everything does.
    Server(&'g mut Guard),
}

impl Ears<'_> {
    /// Returns what was held and goes before what passes now.
    fn released(&mut self) -> &[u8] {
        match self {
            Self::Client(guard) => guard.released(),
            Self::Server(_) => &[],
        }
    }

    /// Returns how many of these bytes share one fate, and whether they pass.
    fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Client(guard) => guard.next(bytes),
            Self::Server(guard) => {
                guard.hear(bytes);
                (bytes.len(), true)
            }
        }
    }
}

/// Returns what passes of a client's words.
fn passing(guard: &mut Guard, mut rest: &[u8]) -> Vec<u8> {
    let mut passing = Vec::with_capacity(rest.len());
    while let Some((here, behind, passes)) = part(rest, guard.next(rest)) {
        if passes {
            passing.extend_from_slice(guard.released());
            passing.extend_from_slice(here);
        }
        rest = behind;
    }
    passing
}

/// Parts what shares one fate from what is behind it; nothing where nothing is left.
fn part(rest: &[u8], (count, passes): (usize, bool)) -> Option<(&[u8], &[u8], bool)> {
    let (here, behind) = rest.split_at_checked(count)?;
    (!here.is_empty()).then_some((here, behind, passes))
}

/// One direction of a relay.
struct Direction {
    kept: Vec<u8>,
    written: usize,
    moved: u64,
    unflushed: bool,
    /// Who speaks has left, though not all that it said was heard.
    left: bool,
    /// Nothing more comes.
    ended: bool,
    /// The end was passed on.
    closed: bool,
    /// Whom it leads to takes nothing more.
    deaf: bool,
    /// How much had been moved when bytes were first seen waiting, and when that was.
    stuck: Option<(u64, Instant)>,
}

impl Direction {
    fn beginning_with(kept: Vec<u8>) -> Self {
        Self {
            kept,
            written: 0,
            moved: 0,
            unflushed: false,
            left: false,
            ended: false,
            closed: false,
            deaf: false,
            stuck: None,
        }
    }

    /// Returns whether bytes wait for whom it leads to.
    fn waits(&self) -> bool {
        self.unflushed || !self.kept.is_empty()
    }

    /// Returns whether it will not go on for long.
    fn is_ending(&self) -> bool {
        self.left || self.ended || self.deaf
    }

    /// Looks at what does not show by moving bytes: that `from` has left, and that `to` has taken nothing for too long.
    fn look(&mut self, from: &dyn Io, to: &str) -> io::Result<()> {
        if !self.waits() {
            self.stuck = None;
            return Ok(());
        }
        self.left |= from.has_left();
        let now = Instant::now();
        match self.stuck {
            Some((moved, since)) if moved == self.moved => {
                if now - since >= STUCK {
                    let minutes = STUCK.as_secs() / 60;
                    return Err(io::Error::other(format!(
                        "for {minutes} minutes the {to} took nothing of what waited for it"
                    )));
                }
            }
            _ => self.stuck = Some((self.moved, now)),
        }
        Ok(())
    }

    /// Moves what can be moved now. Ready once the end was passed on, which `may_close` allows.
    fn advance(
        &mut self,
        from: &mut Box<dyn Io>,
        to: &mut Box<dyn Io>,
        ears: &mut Ears<'_>,
        may_close: bool,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        loop {
            match self.try_advance(from, to, ears, may_close, cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(())) => return Ok(Poll::Ready(())),
                // Reading takes a hang-up for an end, so that this is one of whom we write to.
                Poll::Ready(Err(error)) if hung_up(&error) && !self.deaf => self.deafen(),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    /// Gives up on whom it leads to.
    fn deafen(&mut self) {
        self.deaf = true;
        self.kept = Vec::new();
        self.written = 0;
        self.unflushed = false;
    }

    fn try_advance(
        &mut self,
        from: &mut Box<dyn Io>,
        to: &mut Box<dyn Io>,
        ears: &mut Ears<'_>,
        may_close: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self
                .kept
                .get(self.written..)
                .filter(|rest| !rest.is_empty())
            {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                self.wrote(count)?;
            }
            self.kept = Vec::new();
            self.written = 0;
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.ended && self.deaf {
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                if !may_close {
                    // The last bytes must not wait with the end.
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
                match ready!(Pin::new(&mut *to).poll_shutdown(cx)) {
                    // A peer that is gone cannot be told that we have finished.
                    Err(error) if !hung_up(&error) => return Poll::Ready(Err(error)),
                    _ => self.closed = true,
                }
                return Poll::Ready(Ok(()));
            }
            if ready!(self.fill(from, to, ears, cx))? == 0 {
                self.ended = true;
            }
        }
    }

    /// Reads once into scratch space and writes it on at once; what does not fit is kept. Returns how much was read.
    fn fill(
        &mut self,
        from: &mut Box<dyn Io>,
        to: &mut Box<dyn Io>,
        ears: &mut Ears<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        SPACE.with_borrow_mut(|space| {
            let mut read = ReadBuf::new(space);
            match Pin::new(&mut *from).poll_read(cx, &mut read) {
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                // Servers often close without close_notify, clients with a reset: an end like any other.
                Poll::Ready(Err(error)) if hung_up(&error) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            let mut rest = read.filled();
            let count = rest.len();
            if self.deaf {
                if let Ears::Server(guard) = ears {
                    guard.hear(rest);
                }
                return Poll::Ready(Ok(count));
            }
            while let Some((mut here, behind, passes)) = part(rest, ears.next(rest)) {
                rest = behind;
                if !passes {
                    continue;
                }
                self.keep(ears.released(), here.len() + rest.len());
                while !here.is_empty() && self.kept.is_empty() {
                    match Pin::new(&mut *to).poll_write(cx, here) {
                        Poll::Pending => break,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(written)) => {
                            self.wrote(written)?;
                            self.written = 0;
                            here = here.get(written..).unwrap_or_default();
                        }
                    }
                }
                self.keep(here, rest.len());
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Keeps bytes for later. As many as `more` may follow of the same reading; room for them is made at once and for no
    /// others.
    fn keep(&mut self, bytes: &[u8], more: usize) {
        if self.kept.capacity() == 0 && !bytes.is_empty() {
            self.kept.reserve_exact(bytes.len() + more);
        }
        self.kept.extend_from_slice(bytes);
    }

    fn wrote(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += count;
        self.moved += count as u64;
        self.unflushed = true;
        Ok(())
    }
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted | NotConnected
    )
}
