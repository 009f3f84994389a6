//! A certificate authority made on the spot, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Where the certificates are, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Ca {
    /// The authority's own certificate.
    pub(crate) root: PathBuf,
    /// A certificate for `localhost`, `127.0.0.1` and `::1`.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

impl Ca {
    /// Makes an authority and a certificate for this machine in `folder`.
    pub(crate) fn found(folder: &Path) -> Self {
        let mut root = CertificateParams::default();
        root.distinguished_name
            .push(DnType::CommonName, "emailproxy test authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.distinguished_name
            .push(DnType::CommonName, "localhost");
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &root).unwrap();

        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            root: write("ca.pem", root.pem()),
            certificate: write("localhost.pem", certificate.pem()),
            key: write("localhost.key", key.serialize_pem()),
        }
    }
}
