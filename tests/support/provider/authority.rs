//! A certificate authority made on the spot, and the server certificate it gives out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
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
    issuer: Issuer<'static, KeyPair>,
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

        let names = [
            "localhost",
            "127.0.0.1",
            "::1",
            // For tests that lead these names here.
            "outlook.office365.com",
            "smtp.office365.com",
        ];
        // Some verifiers refuse server certificates that live longer than 825 days.
        let (certificate, leaf_key) = sign(&issuer, &names, [-1, 90]);
        let server = server(&certificate, &leaf_key);
        Self {
            root: root.pem(),
            certificate: certificate.pem(),
            key: leaf_key.serialize_pem(),
            root_der: root.der().clone(),
            issuer,
            server,
        }
    }

    /// Returns the side of a server with other names, whose certificate is good between these days from now.
    pub fn server_for(&self, names: &[&str], days: [i64; 2]) -> Arc<ServerConfig> {
        let (certificate, key) = sign(&self.issuer, names, days);
        server(&certificate, &key)
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

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    names: &[&str],
    days: [i64; 2],
) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut leaf = CertificateParams::new(names).unwrap();
    leaf.distinguished_name
        .push(DnType::CommonName, "pretend provider");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let [from, until] = days.map(|days| {
        let away = DAY * u32::try_from(days.unsigned_abs()).unwrap();
        let now = rcgen::date_time_ymd(1970, 1, 1) + now;
        if days < 0 { now - away } else { now + away }
    });
    (leaf.not_before, leaf.not_after) = (from, until);
    let certificate = leaf.signed_by(&key, issuer).unwrap();
    (certificate, key)
}

fn server(certificate: &Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    Arc::new(config)
}
