//! A provider made for speed: IMAP, POP and SMTP behind TLS, and a token endpoint without.
//!
//! Believes every token and keeps no mail: what is sent is counted and forgotten, what is asked for is made up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::wire::Wire;

mod distance;
mod imap;
mod pop;
mod smtp;
mod token;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How the provider is to behave.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The server's certificate chain, PEM.
    #[arg(long)]
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// How far away it is: a round trip in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) latency: u64,
    /// The length of an access token, in bytes.
    #[arg(long, default_value_t = 1_500)]
    pub(crate) token: usize,
}

/// Where a provider listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// IMAP over TLS.
    pub(crate) imap: SocketAddr,
    /// POP over TLS.
    pub(crate) pop: SocketAddr,
    /// SMTP over TLS.
    pub(crate) smtp: SocketAddr,
    /// The token endpoint, HTTP.
    pub(crate) token: SocketAddr,
}

/// Opens all ports and serves them in tasks of their own.
pub(crate) fn serve(options: &Options) -> anyhow::Result<Places> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&options.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&options.key)?;
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // The providers give session tickets too.
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    let tls = TlsAcceptor::from(Arc::new(tls));
    let latency = Duration::from_millis(options.latency);
    let length = options.token;
    Ok(Places {
        imap: listen_tls(&tls, imap::talk, latency)?,
        pop: listen_tls(&tls, pop::talk, latency)?,
        smtp: listen_tls(&tls, smtp::talk, latency)?,
        token: listen(move |stream| token::answer(stream, length))?,
    })
}

/// Plays the provider as a process of its own.
pub(crate) async fn play(options: Options) -> anyhow::Result<()> {
    let Places {
        imap,
        pop,
        smtp,
        token,
    } = serve(&options)?;
    println!("{imap} {pop} {smtp} {token}");
    // Whoever started it is gone when this ends.
    let waiting = || io::copy(&mut io::stdin().lock(), &mut io::sink());
    tokio::task::spawn_blocking(waiting).await??;
    Ok(())
}

/// Serves a protocol behind TLS.
fn listen_tls<F>(
    tls: &TlsAcceptor,
    talk: fn(Wire, String) -> F,
    latency: Duration,
) -> io::Result<SocketAddr>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let tls = tls.clone();
    listen(move |stream| {
        let tls = tls.clone();
        async move {
            if latency.is_zero() {
                let stream = tls.accept(stream).await?;
                let known = describe(stream.get_ref().1);
                return talk(Wire::new(stream), known).await;
            }
            let stream = tls.accept(distance::apart(stream, latency)).await?;
            let known = describe(stream.get_ref().1);
            talk(Wire::new(stream), known).await
        }
    })
}

/// Says how a connection is encrypted: cipher suite, key exchange, full or resumed.
fn describe(tls: &ServerConnection) -> String {
    let suite = tls.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = tls
        .negotiated_key_exchange_group()
        .map(rustls::crypto::SupportedKxGroup::name);
    let kind = tls.handshake_kind();
    let known = (suite, group, kind);
    let (Some(suite), Some(group), Some(kind)) = known else {
        return format!("{known:?}");
    };
    format!("{suite:?} {group:?} {kind:?}")
}

fn listen<F>(talk: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<SocketAddr>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let at = socket.local_addr()?;
    tokio::spawn(async move {
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    stream.set_nodelay(true).ok();
                    // A client that leaves in the middle is no news.
                    tokio::spawn(talk(stream));
                }
                Err(error) => {
                    eprintln!("upstream: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(at)
}
