//! For the fuzzer alone: servers reached without a network, and TLS whose records are not closed.
//!
//! The handshake is a greeting of 16 bytes from either side, behind which everything counts as inside TLS: what comes
//! before it and what behind can then be told apart in what was sent. No program but the fuzzer is built with this.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use rustls::server::ResolvesServerCertUsingSni;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::tls::{LocalTls, Trust};
use super::{Io, Wire};

/// What either side says to begin TLS.
pub const HELLO: &[u8; 16] = b"\x16\x03\x01FUZZED-HELLO!";

/// Says how a server is reached, or why it is not.
pub type Dialler = Box<dyn Fn(&str, u16) -> Result<Wire, String>>;

thread_local! {
    static DIALLER: RefCell<Option<Dialler>> = const { RefCell::new(None) };
}

/// Has this thread's connections to servers made by `dialler`.
pub fn dial_by(dialler: Dialler) {
    DIALLER.set(Some(dialler));
}

pub(super) fn dialled(host: &str, port: u16) -> Option<Result<Wire, String>> {
    DIALLER.with_borrow(|dialler| dialler.as_ref().map(|dialler| dialler(host, port)))
}

/// Begins pretended TLS.
pub(super) struct Pretence;

impl Pretence {
    pub(super) async fn connect(
        self,
        _name: ServerName<'static>,
        mut io: Box<dyn Io>,
    ) -> io::Result<Box<dyn Io>> {
        io.write_all(HELLO).await?;
        io.flush().await?;
        hear(&mut io).await?;
        Ok(io)
    }

    pub(super) async fn accept(self, io: impl Io + 'static) -> io::Result<Box<dyn Io>> {
        let mut io: Box<dyn Io> = Box::new(io);
        hear(&mut io).await?;
        io.write_all(HELLO).await?;
        io.flush().await?;
        Ok(io)
    }
}

/// Hears the other side's greeting; anything else is a failed handshake at its first byte.
async fn hear(io: &mut Box<dyn Io>) -> io::Result<()> {
    for expected in HELLO {
        if io.read_u8().await? != *expected {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "received corrupt message of type InvalidContentType",
            ));
        }
    }
    Ok(())
}

impl Trust {
    pub(super) async fn connect(
        &self,
        name: ServerName<'static>,
        io: Box<dyn Io>,
    ) -> io::Result<Box<dyn Io>> {
        Pretence.connect(name, io).await
    }

    pub(super) async fn resume(
        &self,
        name: ServerName<'static>,
        io: Box<dyn Io>,
    ) -> io::Result<Option<Box<dyn Io>>> {
        Pretence.connect(name, io).await.map(Some)
    }
}

impl LocalTls {
    /// Needs no certificate.
    pub fn pretended() -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth();
        let nobody = Arc::new(ResolvesServerCertUsingSni::new());
        Self {
            config: Arc::new(builder.with_cert_resolver(nobody)),
        }
    }

    pub(super) fn acceptor(&self) -> Pretence {
        Pretence
    }
}

impl Wire {
    /// Stands for a connection inside TLS.
    #[must_use]
    pub fn pretend_secured(mut self) -> Self {
        self.secured = true;
        self
    }
}
