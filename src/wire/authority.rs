//! For tests: servers for which an authority vouches that a trust believes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{NamedGroup, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::tls::Trust;

/// An authority, and the certificate it gave out for `localhost` and 127.0.0.1.
pub(crate) struct Authority {
    root: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut of = CertificateParams::default();
        of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = KeyPair::generate().unwrap();
        let root = of.self_signed(&own).unwrap().pem();
        let issuer = Issuer::new(of, own);
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap();
        Self {
            root,
            certificate,
            key,
        }
    }

    /// Believes this authority.
    pub(crate) fn trust(&self) -> Trust {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ca.pem");
        std::fs::write(&file, &self.root).unwrap();
        Trust::new(Some(&file)).unwrap()
    }

    /// Makes a server that knows these groups and remembers its own sessions.
    pub(crate) fn server(&self, groups: &[NamedGroup]) -> TlsAcceptor {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let known = |group: NamedGroup| groups.contains(&group);
        provider.kx_groups.retain(|group| known(group.name()));
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
