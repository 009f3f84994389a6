//! What carries bytes both ways, and what its socket knows without being read: whether the peer has left.
//!
//! Knows neither lines nor times.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(not(fuzzing))]
use tokio_rustls::server;

/// Anything that carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// Returns whether the peer has closed its direction or reset the connection, though bytes of it may still wait to be
    /// read. Never where there is no socket that could tell.
    fn has_left(&self) -> bool {
        false
    }
}

impl Io for TcpStream {
    fn has_left(&self) -> bool {
        // What the socket last said of itself is asked for, not waited for.
        let ready = pin!(self.ready(Interest::READABLE));
        let asked = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(asked, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

#[cfg(not(fuzzing))]
impl<T: Io> Io for server::TlsStream<T> {
    fn has_left(&self) -> bool {
        self.get_ref().0.has_left()
    }
}

impl Io for Box<dyn Io> {
    fn has_left(&self) -> bool {
        (**self).has_left()
    }
}

impl Io for DuplexStream {}

/// A stream whose first reads come from bytes that were already read.
pub(super) struct Rewound {
    early: Vec<u8>,
    given: usize,
    io: Box<dyn Io>,
}

impl Rewound {
    pub(super) fn new(early: Vec<u8>, io: Box<dyn Io>) -> Self {
        let given = 0;
        Self { early, given, io }
    }
}

impl Io for Rewound {
    fn has_left(&self) -> bool {
        self.io.has_left()
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.early.get(self.given..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let count = left.len().min(into.remaining());
        into.put_slice(left.get(..count).unwrap_or_default());
        self.given += count;
        if self.given == self.early.len() {
            self.early = Vec::new();
            self.given = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
