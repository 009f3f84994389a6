//! The authorities by which servers are believed: those of the system, and those the configuration adds.
//!
//! The system's are read when the first certificate is to be checked, or before that by whoever has time: there are
//! hundreds, and nobody needs them to begin to listen. Knows neither connections nor names.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Checks servers by the system's authorities (`SSL_CERT_FILE` honoured) and those of a file.
#[derive(Debug)]
pub(super) struct Roots {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    /// What checks; nothing where there is nobody to believe.
    checks: OnceLock<Option<Arc<dyn ServerCertVerifier>>>,
}

impl Roots {
    /// Keeps a file's certificates for later. Those among them that are no authority's are left out, which is logged; a
    /// file without any other is refused.
    pub(super) fn new(
        file: Option<&Path>,
        extra: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let usable = |certificate: &CertificateDer<'static>| {
            RootCertStore::empty().add(certificate.clone()).is_ok()
        };
        let (extra, odd): (Vec<_>, Vec<_>) = extra.into_iter().partition(usable);
        if let Some(file) = file.filter(|_| !odd.is_empty()) {
            let file = file.display();
            if extra.is_empty() {
                return Err(format!("{file} holds no authority's certificate"));
            }
            let odd = odd.len();
            tracing::warn!("{odd} of the certificates in {file} cannot be used as an authority's");
        }
        Ok(Self {
            extra,
            provider,
            checks: OnceLock::new(),
        })
    }

    /// Reads the system's authorities, unless that was done. Takes some milliseconds, and reads hundreds of files.
    pub(super) fn read(&self) {
        // Whether there are any is told where one is needed.
        self.checks().ok();
    }

    fn checks(&self) -> Result<&dyn ServerCertVerifier, Error> {
        let checks = self.checks.get_or_init(|| self.find());
        let checks = checks.as_deref();
        checks.ok_or_else(|| Error::General("there is no certificate authority to believe".into()))
    }

    fn find(&self) -> Option<Arc<dyn ServerCertVerifier>> {
        let extra = self.extra.iter().cloned();
        match Verifier::new_with_extra_roots(extra.clone(), Arc::clone(&self.provider)) {
            Ok(verifier) => Some(Arc::new(verifier)),
            Err(error) => {
                tracing::warn!(%error, "the system has no certificate roots; using the built-in Mozilla list");
                let mut roots = RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
                };
                roots.add_parsable_certificates(extra);
                let provider = Arc::clone(&self.provider);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
                Some(verifier.ok()?)
            }
        }
    }
}

/// The check itself is the platform's in all its parts.
impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.checks()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // Asked before anything is checked, and the same whoever is believed.
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(extra: Vec<CertificateDer<'static>>) -> Result<Roots, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Roots::new(Some(Path::new("/etc/ca.pem")), extra, provider)
    }

    /// An authority, and a certificate of its own for `localhost`.
    fn authority() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut of = rcgen::CertificateParams::default();
        of.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let root = of.self_signed(&key).unwrap().der().clone();
        let issuer = rcgen::Issuer::new(of, key);
        let server = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let server = server
            .signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer)
            .unwrap();
        (root, server.der().clone())
    }

    fn believes(roots: &Roots, server: &CertificateDer<'_>, name: &str) -> bool {
        let name = ServerName::try_from(name).unwrap();
        let checked = roots.verify_server_cert(server, &[], &name, &[], UnixTime::now());
        checked.is_ok()
    }

    #[test]
    fn the_first_check_reads_the_authorities_and_is_as_strict_as_all_others() {
        let (root, server) = authority();
        let (_, strange) = authority();
        let here = roots(vec![root]).unwrap();
        assert!(here.checks.get().is_none(), "nothing was read yet");
        assert!(!believes(&here, &strange, "localhost"));
        assert!(here.checks.get().is_some());
        assert!(believes(&here, &server, "localhost"));
        assert!(!believes(&here, &server, "example.org"));
        let early = roots(vec![authority().0]).unwrap();
        early.read();
        assert!(!believes(&early, &server, "localhost"));
    }

    #[test]
    fn what_is_asked_before_any_check_is_what_the_check_says() {
        let roots = roots(vec![authority().0]).unwrap();
        let said = roots.supported_verify_schemes();
        assert!(roots.checks.get().is_none());
        assert_eq!(said, roots.checks().unwrap().supported_verify_schemes());
    }

    #[test]
    fn a_file_with_nothing_to_believe_is_refused_and_odd_certificates_are_left_out() {
        let odd = CertificateDer::from(vec![0x30, 0x00]);
        let why = roots(vec![odd.clone()]).unwrap_err();
        assert!(why.contains("/etc/ca.pem"), "{why}");
        let (root, server) = authority();
        let roots = roots(vec![odd, root]).unwrap();
        assert!(believes(&roots, &server, "localhost"));
    }
}
