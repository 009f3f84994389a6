//! A pipe in memory: the program's end is a stream, the other end is in the hands of whoever plays the remote side.
//!
//! What is said into it can be read in pieces of any width; nothing of what the program says is lost.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use emailproxy::wire::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The program's end.
pub struct Stream(Arc<Mutex<Pipe>>);

/// The remote end.
#[derive(Clone)]
pub struct Remote(Arc<Mutex<Pipe>>);

struct Pipe {
    unread: VecDeque<u8>,
    /// How much one read gives at most, and one write takes, though never less than 16.
    width: usize,
    ended: bool,
    broken: bool,
    /// Whether the remote side reads nothing.
    stuck: bool,
    said: Vec<u8>,
    /// Whether the program says no more.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    remote: Option<Waker>,
}

/// Makes both ends.
pub fn pipe(width: usize) -> (Remote, Stream) {
    let pipe = Arc::new(Mutex::new(Pipe {
        unread: VecDeque::new(),
        width: width.max(1),
        ended: false,
        broken: false,
        stuck: false,
        said: Vec::new(),
        closed: false,
        reader: None,
        writer: None,
        remote: None,
    }));
    (Remote(Arc::clone(&pipe)), Stream(pipe))
}

impl Remote {
    /// Says something.
    pub fn say(&self, bytes: &[u8]) {
        let mut pipe = self.pipe();
        pipe.unread.extend(bytes);
        wake(&mut pipe.reader);
    }

    /// Says no more.
    pub fn end(&self) {
        let mut pipe = self.pipe();
        pipe.ended = true;
        wake(&mut pipe.reader);
    }

    /// Breaks the connection.
    pub fn reset(&self) {
        let mut pipe = self.pipe();
        pipe.broken = true;
        wake(&mut pipe.reader);
        wake(&mut pipe.writer);
    }

    /// Reads nothing while `stuck`.
    pub fn stick(&self, stuck: bool) {
        let mut pipe = self.pipe();
        pipe.stuck = stuck;
        wake(&mut pipe.writer);
    }

    /// Returns all that the program has said.
    pub fn heard(&self) -> Vec<u8> {
        self.pipe().said.clone()
    }

    /// Returns how much that is.
    pub fn heard_length(&self) -> usize {
        self.pipe().said.len()
    }

    /// Returns what was said to the program and not read.
    pub fn unread(&self) -> Vec<u8> {
        self.pipe().unread.iter().copied().collect()
    }

    /// Waits until the program has said more than `seen` bytes and returns all; `None` once it says no more.
    pub async fn listen(&self, seen: usize) -> Option<Vec<u8>> {
        poll_fn(|cx| {
            let mut pipe = self.pipe();
            if pipe.said.len() > seen {
                return Poll::Ready(Some(pipe.said.clone()));
            }
            if pipe.closed {
                return Poll::Ready(None);
            }
            pipe.remote = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut pipe = self.pipe();
        pipe.closed = true;
        wake(&mut pipe.remote);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Nothing is known of it that is not read.
impl Io for Stream {
    fn has_left(&self) -> bool {
        let pipe = self.pipe();
        pipe.ended || pipe.broken
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe();
        if pipe.broken {
            return Poll::Ready(Err(broken()));
        }
        let count = pipe.unread.len().min(pipe.width).min(into.remaining());
        if count == 0 && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes: Vec<u8> = pipe.unread.drain(..count).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.broken || pipe.closed {
            return Poll::Ready(Err(broken()));
        }
        if pipe.stuck {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // A narrow pipe takes little at once, too.
        let count = bytes.len().min(pipe.width.max(16));
        pipe.said.extend_from_slice(&bytes[..count]);
        wake(&mut pipe.remote);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe();
        pipe.closed = true;
        wake(&mut pipe.remote);
        Poll::Ready(Ok(()))
    }
}
