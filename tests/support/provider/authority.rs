//! A certificate authority made on the spot, and the server certificate it gives out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn random() -> u64 {
    let mut dice = [0; 8];
    aws_lc_rs::rand::fill(&mut dice).unwrap();
    u64::from_be_bytes(dice)
}

/// An authority, with one certificate for `localhost`, `127.0.0.1`, `::1` and two names of Exchange.
pub struct Authority {
    /// The authority's own certificate, PEM: what goes into `ca_file`.
    pub root: String,
    /// The server's certificate, PEM.
    pub certificate: String,
    /// The server's private key, PEM.
    pub key: String,
    root_der: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// Founds an authority.
    pub fn found() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            // A name of its own each: two authorities of one name are told apart by a bad signature only.
            .push(
                DnType::CommonName,
                format!("pretend authority {}", random()),
            );
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);

        let leaf_key = KeyPair::generate().unwrap();
        let names = [
            "localhost",
            "127.0.0.1",
            "::1",
            // For tests that lead these names here.
            "outlook.office365.com",
            "smtp.office365.com",
        ];
        let names = names.map(String::from).to_vec();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.distinguished_name
            .push(DnType::CommonName, "pretend provider");
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        // Some verifiers refuse server certificates that live longer than 825 days.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        leaf.not_before = epoch + now.saturating_sub(DAY);
        leaf.not_after = epoch + now + DAY * 90;
        let certificate = leaf.signed_by(&leaf_key, &issuer).unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            )
            .unwrap();
        Self {
            root: root.pem(),
            certificate: certificate.pem(),
            key: leaf_key.serialize_pem(),
            root_der: root.der().clone(),
            server: Arc::new(server),
        }
    }

    /// Returns a server's side of TLS.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// Returns the side of a client that believes this authority and no other.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root_der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
