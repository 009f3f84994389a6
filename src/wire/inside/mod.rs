//! One connection inside TLS, as its client: records are opened and closed in space that all connections of a thread share.
//!
//! An idle connection holds no buffer, and a read takes as much from the socket as the reader has room for, where a library
//! that reads for itself takes 4 KiB at a time and keeps them. What is said is the caller's affair, and whom to believe is
//! the configuration's.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Io;

#[cfg(test)]
mod tests;

/// How much is closed into records at once, in bytes: four full ones.
const PART: usize = 64 * 1024;

/// The most that a record may be longer than what is in it, in bytes (RFC 5246 section 6.2.3), its header included.
const EXCESS: usize = 5 + 2048;

/// The longest record (RFC 5246 section 6.2.3), in bytes.
const RECORD: usize = 16 * 1024 + EXCESS;

/// The longest that is heard without making sense of it: a handshake message may have 64 KiB, over several records.
const SPACE: usize = PART + RECORD;

thread_local! {
    static OPENED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SPACE].into_boxed_slice());
    static CLOSED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SPACE].into_boxed_slice());
}

/// A stream inside TLS.
pub(super) struct Inside {
    io: Box<dyn Io>,
    tls: UnbufferedClientConnection,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// What was opened and not read yet.
    opened: Vec<u8>,
    given: usize,
    /// What was closed and not sent yet.
    closed: Vec<u8>,
    sent: usize,
    /// Whether the peer said that it says no more.
    heard_end: bool,
    /// Whether we did.
    said_end: bool,
    /// Whether the peer broke the rules of TLS: nothing is heard or said any more.
    broken: bool,
}

/// What came of a look at what the peer sent.
#[derive(Clone, Copy)]
enum Stand {
    /// More can be said.
    Open,
    /// Nothing can be said, not yet or not any more.
    Shut,
}

impl Inside {
    /// Shakes hands.
    pub(super) async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        io: Box<dyn Io>,
    ) -> io::Result<Self> {
        let tls = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut inside = Self {
            io,
            tls,
            partial: Vec::new(),
            opened: Vec::new(),
            given: 0,
            closed: Vec::new(),
            sent: 0,
            heard_end: false,
            said_end: false,
            broken: false,
        };
        inside.stand()?;
        std::future::poll_fn(|cx| {
            loop {
                let sent = inside.poll_send(cx)?;
                if !inside.tls.is_handshaking() {
                    ready!(sent);
                    return Pin::new(&mut inside.io).poll_flush(cx);
                }
                // Who cannot send still hears: the server may have more to say before it listens again.
                if sent.is_ready()
                    && let Poll::Ready(flushed) = Pin::new(&mut inside.io).poll_flush(cx)
                {
                    flushed?;
                }
                if ready!(inside.poll_hear(cx, &mut ReadBuf::new(&mut [])))? == 0 {
                    let kind = io::ErrorKind::UnexpectedEof;
                    return Poll::Ready(Err(io::Error::new(kind, "tls handshake eof")));
                }
            }
        })
        .await?;
        Ok(inside)
    }

    /// Returns whether this went on with an earlier session's secret, in TLS 1.3.
    pub(super) fn has_resumed(&self) -> bool {
        let newest = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        newest && self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Takes from the socket once and opens what came, as far as there is room in `into`; the rest is kept. Returns how
    /// much came, 0 at its end.
    fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        OPENED.with_borrow_mut(|space| {
            let early = self.partial.len();
            // No more than the reader takes, but for the last record.
            let most = into.remaining().max(RECORD).max(early + RECORD).min(SPACE);
            let space = space.get_mut(..most).unwrap_or_default();
            let Some((begun, free)) = space.split_at_mut_checked(early) else {
                return Poll::Ready(Err(too_long()));
            };
            if free.is_empty() {
                return Poll::Ready(Err(too_long()));
            }
            let mut free = ReadBuf::new(free);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut free))?;
            let came = free.filled().len();
            if came == 0 {
                return Poll::Ready(Ok(0));
            }
            begun.copy_from_slice(&self.partial);
            let heard = space.get_mut(..early + came).unwrap_or_default();
            let (done, stand) = self.process(heard, into);
            let rest = heard.get_mut(done..).unwrap_or_default();
            if let Err(error) = stand {
                self.protest(rest, cx);
                return Poll::Ready(Err(error));
            }
            self.partial = rest.to_vec();
            Poll::Ready(Ok(came))
        })
    }

    /// Opens what is whole of what was heard. Returns how much of it is done with, and what it came to.
    fn process(&mut self, heard: &mut [u8], into: &mut ReadBuf<'_>) -> (usize, io::Result<Stand>) {
        let mut done = 0;
        loop {
            let rest = heard.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(rest);
            done += discard;
            let stand = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                done += record.discard;
                                hand_over(record.payload, into, &mut self.opened);
                            }
                            Err(error) => return (done, Err(invalid(error))),
                        }
                    }
                    continue;
                }
                Ok(ConnectionState::EncodeTlsData(message)) => append(message, &mut self.closed),
                // It is in what is to be sent, and goes before all that follows.
                Ok(ConnectionState::TransmitTlsData(message)) => {
                    message.done();
                    continue;
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.heard_end = true;
                    continue;
                }
                Ok(ConnectionState::WriteTraffic(_)) => return (done, Ok(Stand::Open)),
                Ok(_) => return (done, Ok(Stand::Shut)),
                Err(error) => return (done, Err(invalid(error))),
            };
            if let Err(error) = stand {
                return (done, Err(error));
            }
        }
    }

    /// Tells the peer what was wrong, if it goes through at once.
    fn protest(&mut self, rest: &mut [u8], cx: &mut Context<'_>) {
        self.broken = true;
        // As long as there is something to say, nothing more is heard.
        while self.tls.wants_write() {
            let UnbufferedStatus { state, .. } = self.tls.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(alert)) = state else {
                break;
            };
            if append(alert, &mut self.closed).is_err() {
                break;
            }
        }
        // The fault is told to our own side, whatever becomes of this.
        drop(self.poll_send(cx));
    }

    /// Sends what was closed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.closed.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.closed = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes in what the library wants to say by itself, and tells whether more can be said.
    fn stand(&mut self) -> io::Result<Stand> {
        let mut partial = std::mem::take(&mut self.partial);
        let (done, stand) = self.process(&mut partial, &mut ReadBuf::new(&mut []));
        partial.drain(..done.min(partial.len()));
        self.partial = partial;
        self.broken |= stand.is_err();
        stand
    }

    /// Closes this much into records and sends them; what the socket does not take is kept.
    fn close_and_send(&mut self, cx: &mut Context<'_>, part: &[u8]) -> io::Result<()> {
        CLOSED.with_borrow_mut(|space| {
            let count = match self
                .tls
                .process_tls_records(&mut self.partial)
                .state
                .map_err(invalid)?
            {
                ConnectionState::WriteTraffic(mut traffic) => {
                    traffic.encrypt(part, space).map_err(unsendable)?
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let mut rest = space.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, rest) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(sent) => rest = rest.get(sent?..).unwrap_or_default(),
                }
            }
            self.closed.extend_from_slice(rest);
            Ok(())
        })
    }
}

impl Io for Inside {
    fn has_left(&self) -> bool {
        self.io.has_left()
    }
}

impl AsyncRead for Inside {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let opened = self.opened.get(self.given..).unwrap_or_default();
            if !opened.is_empty() {
                let count = opened.len().min(into.remaining());
                into.put_slice(opened.get(..count).unwrap_or_default());
                self.given += count;
                if self.given == self.opened.len() {
                    self.opened = Vec::new();
                    self.given = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if self.heard_end {
                return Poll::Ready(Ok(()));
            }
            let before = into.filled().len();
            let came = ready!(self.poll_hear(cx, into))?;
            if !self.closed.is_empty() {
                // An answer of the library's own; where it cannot go now, it goes before what is said next.
                if let Poll::Ready(sent) = self.poll_send(cx) {
                    sent?;
                }
            }
            if into.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if came == 0 {
                let kind = io::ErrorKind::UnexpectedEof;
                let text = "peer closed connection without sending TLS close_notify";
                return Poll::Ready(Err(io::Error::new(kind, text)));
            }
        }
    }
}

impl AsyncWrite for Inside {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let part = bytes.get(..bytes.len().min(PART)).unwrap_or_default();
        if self.said_end || self.broken || matches!(self.stand()?, Stand::Shut) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_send(cx))?;
        self.close_and_send(cx, part)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_end {
            self.said_end = true;
            if !self.broken && matches!(self.stand()?, Stand::Open) {
                self.say_end()?;
            }
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Inside {
    /// Puts our `close_notify` behind what is to be sent.
    fn say_end(&mut self) -> io::Result<()> {
        let mut notice = [0; RECORD_OF_ALERT];
        let state = self.tls.process_tls_records(&mut self.partial).state;
        if let ConnectionState::WriteTraffic(mut traffic) = state.map_err(invalid)? {
            let count = traffic
                .queue_close_notify(&mut notice)
                .map_err(unsendable)?;
            self.closed
                .extend_from_slice(notice.get(..count).unwrap_or_default());
        }
        Ok(())
    }
}

/// Room for an alert in its record, in bytes.
const RECORD_OF_ALERT: usize = 2 + 256;

/// Gives what was opened to the reader, and keeps what it has no room for.
fn hand_over(bytes: &[u8], into: &mut ReadBuf<'_>, kept: &mut Vec<u8>) {
    let room = bytes.len().min(into.remaining());
    let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
    into.put_slice(now);
    kept.extend_from_slice(later);
}

/// Puts a message of the library's own behind what is to be sent.
fn append<D>(mut message: EncodeTlsData<'_, D>, closed: &mut Vec<u8>) -> io::Result<()> {
    let Err(EncodeError::InsufficientSize(size)) = message.encode(&mut []) else {
        return Ok(());
    };
    let at = closed.len();
    closed.resize(at + size.required_size, 0);
    let place = closed.get_mut(at..).unwrap_or_default();
    message.encode(place).map(drop).map_err(io::Error::other)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn unsendable(error: EncryptError) -> io::Error {
    io::Error::other(error)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "message buffer full")
}
