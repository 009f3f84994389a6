//! Whose certificates we believe, and the certificate we show to local clients.
//!
//! There is no way to switch the checks off; `ca_file` only adds roots. TLS 1.2 and 1.3, nothing older (RFC 8997).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, NamedGroup, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::OnceCell;
#[cfg(not(fuzzing))]
use tokio_rustls::TlsAcceptor;

#[cfg(not(fuzzing))]
use super::{Io, inside::Inside};

use super::roots::Roots;
use super::tickets::Tickets;

/// The roots by which servers are believed, shared by every upstream connection so that sessions resume.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// Without a post-quantum key exchange, for what resumes anyway.
    #[cfg_attr(fuzzing, expect(dead_code, reason = "the fuzzer's TLS is pretended"))]
    classical: ClientConfig,
    #[cfg_attr(fuzzing, expect(dead_code, reason = "the fuzzer's TLS is pretended"))]
    tickets: Arc<Tickets>,
    roots: Arc<Roots>,
    ready: Arc<OnceCell<()>>,
}

/// The certificate and key that local clients see.
#[derive(Clone, Debug)]
pub struct LocalTls {
    #[cfg_attr(fuzzing, expect(dead_code, reason = "the fuzzer's TLS is pretended"))]
    pub(super) config: Arc<ServerConfig>,
}

/// Makes the one crypto library the default of this process. Calling it again changes nothing.
pub fn choose_crypto() {
    // An error only says that a default is there already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

impl Trust {
    /// Believes the system's roots (`SSL_CERT_FILE` honoured) and those in `ca_file`, a PEM file, which is read now. The
    /// system's are read when they are needed, or by [`Self::make_ready`].
    ///
    /// A system without any roots falls back to Mozilla's list, which is logged.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let provider = in_order_of_speed(rustls::crypto::aws_lc_rs::default_provider());
        let classical = Arc::new(without_post_quantum(provider.clone()));
        let provider = Arc::new(provider);
        let extra = ca_file
            .map(read_certificates)
            .transpose()?
            .unwrap_or_default();
        let roots = Arc::new(Roots::new(ca_file, extra, Arc::clone(&provider))?);
        let tickets = Arc::new(Tickets::new());
        let mut config = believing(&roots, provider)?;
        config.resumption = Resumption::store(Arc::clone(&tickets) as _);
        let mut classical = believing(&roots, classical)?;
        // The library resumes only where it knows that servers are believed, and we are known, in the same way.
        classical.client_auth_cert_resolver = Arc::clone(&config.client_auth_cert_resolver);
        Ok(Self {
            config: Arc::new(config),
            classical,
            tickets,
            roots,
            ready: Arc::default(),
        })
    }

    /// Waits until a handshake need not wait: the system's roots are read, and the crypto library has gathered the
    /// randomness it begins with, which takes it some 30 ms once per process. A thread for blocking work does both.
    pub async fn make_ready(&self) {
        let ready = self.ready.get_or_init(|| async {
            let roots = Arc::clone(&self.roots);
            let work = tokio::task::spawn_blocking(move || {
                // What fails here fails again, and is told, where it is needed.
                aws_lc_rs::rand::fill(&mut [0; 32]).ok();
                roots.read();
            });
            work.await.ok();
        });
        ready.await;
    }

    /// Returns the settings for a client that brings its own transport, such as the token endpoint's.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// Shakes hands as a client with a server of this name.
    #[cfg(not(fuzzing))]
    pub(super) async fn connect(
        &self,
        name: ServerName<'static>,
        io: Box<dyn Io>,
    ) -> std::io::Result<Inside> {
        let inside = Inside::connect(Arc::clone(&self.config), name.clone(), io).await?;
        if inside.has_resumed() {
            self.tickets.note_resumed(name);
        }
        Ok(inside)
    }

    /// Does the same without a post-quantum key exchange where a session that had one is sure to resume. `None` where
    /// it did not resume after all: another connection has to be made, for [`Self::connect`].
    #[cfg(not(fuzzing))]
    pub(super) async fn resume(
        &self,
        name: ServerName<'static>,
        io: Box<dyn Io>,
    ) -> std::io::Result<Option<Inside>> {
        let Some(ticket) = self.tickets.take_good(&name) else {
            return self.connect(name, io).await.map(Some);
        };
        let mut config = self.classical.clone();
        config.resumption = Resumption::store(Arc::new(ticket));
        let inside = Inside::connect(Arc::new(config), name.clone(), io).await;
        let inside = inside.ok().filter(Inside::has_resumed);
        if inside.is_none() {
            self.tickets.note_declined(name);
        }
        Ok(inside)
    }
}

/// Prepares a client that believes whom the roots vouch for.
fn believing(roots: &Arc<Roots>, provider: Arc<CryptoProvider>) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous() // The name is rustls's; the verifier is the platform's own full check.
        .with_custom_certificate_verifier(Arc::clone(roots) as _)
        .with_no_client_auth();
    Ok(config)
}

/// Leaves the groups out whose half of a key exchange costs as much as all else in it. Were they named behind the others,
/// some servers would ask for one, which costs a round trip.
fn without_post_quantum(mut provider: CryptoProvider) -> CryptoProvider {
    let classical = [
        NamedGroup::X25519,
        NamedGroup::secp256r1,
        NamedGroup::secp384r1,
    ];
    provider
        .kx_groups
        .retain(|group| classical.contains(&group.name()));
    provider
}

/// Orders the ciphers so that the fastest here comes first; all of them are good for anybody's mail. With AES in the
/// processor that is AES-128, of which a GiB costs a tenth less than of AES-256, and `ChaCha20` elsewhere.
fn in_order_of_speed(mut provider: CryptoProvider) -> CryptoProvider {
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        if name.contains("CHACHA20") {
            u8::from(has_aes) * 2
        } else {
            1 + u8::from(name.contains("AES_256")) - u8::from(has_aes)
        }
    });
    provider
}

/// What a service demands of local clients beyond TLS 1.2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands<'a> {
    /// A certificate signed by one of the authorities in this PEM file.
    pub client_ca: Option<&'a Path>,
    /// TLS 1.3.
    pub newest_only: bool,
}

impl LocalTls {
    /// Reads a certificate chain and its key from PEM files.
    pub fn read(certificate: &Path, key: &Path, demands: Demands<'_>) -> Result<Self, String> {
        let chain = read_certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            format!(
                "could not read a private key from {}: {error}",
                key.display()
            )
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[&SupportedProtocolVersion] = if demands.newest_only {
            &[&TLS13]
        } else {
            rustls::ALL_VERSIONS
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match demands.client_ca {
            Some(file) => builder.with_client_cert_verifier(clients_of(file, provider)?),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, private).map_err(|error| {
            format!(
                "{} and {} do not go together: {error}",
                certificate.display(),
                key.display()
            )
        })?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    #[cfg(not(fuzzing))]
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Believes the clients whose certificates were signed by the authorities in a PEM file, and no others.
fn clients_of(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| {
            format!(
                "{} holds no authority's certificate: {error}",
                file.display()
            )
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("{} cannot be used for clients: {error}", file.display()))
}

/// Reads the name a certificate must carry: a DNS name or an IP address, as configured.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(bare.to_owned())
        .map_err(|_| format!("{host} is no host name a certificate could carry"))
}

/// Words a failed handshake so that it says what to do.
pub(super) fn explain(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return "the server shows an authority's own certificate as its own (self-signed); give the server one that \
                is signed by an authority, and name that authority in `ca_file` if it is private"
            .to_owned();
    }
    if text.contains("Expired") {
        return format!(
            "{text}; the server's certificate has run out, or this machine's clock is wrong"
        );
    }
    if text.contains("UnknownIssuer") {
        return format!(
            "{text}; if this server's certificate comes from a private authority, name it in `ca_file`"
        );
    }
    if text.contains("NotValidForName") {
        return format!("{text}; `server_address` must be a name that the certificate carries");
    }
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        return format!(
            "{text}; the port does not begin with TLS, perhaps it wants `server_starttls = True`"
        );
    }
    text
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem =
        fs::read(path).map_err(|error| format!("could not read {}: {error}", path.display()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            format!(
                "could not read certificates from {}: {error}",
                path.display()
            )
        })?;
    if certificates.is_empty() {
        return Err(format!("{} holds no PEM certificate", path.display()));
    }
    Ok(certificates)
}
