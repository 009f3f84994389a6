//! Clients that must show a certificate: the right one comes in, others hear nothing of mail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use support::client::Client;
use support::daemon::Plan;
use support::provider::Provider;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const USER: &str = "demo@example.com";

/// An authority for clients, with one client's certificate and key.
struct Office {
    root: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn office() -> Office {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["scanner".to_owned()]).unwrap();
    let client = client.signed_by(&own, &issuer).unwrap();
    Office {
        root: root.pem(),
        chain: vec![client.der().clone()],
        key: PrivateKeyDer::try_from(own.serialize_der()).unwrap(),
    }
}

/// Says how a client of `provider`'s authority begins TLS, showing a certificate or none.
fn client(provider: &Provider, shown: Option<&Office>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = provider.world.authority.root.as_bytes();
    for root in rustls::pki_types::pem::PemObject::pem_slice_iter(pem) {
        roots.add(root.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(match shown {
        Some(office) => builder
            .with_client_auth_cert(office.chain.clone(), office.key.clone_key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    })
}

#[tokio::test]
async fn only_clients_with_the_right_certificate_are_heard() {
    let provider = Provider::start().await;
    let (ours, theirs) = (office(), office());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("clients.pem");
    std::fs::write(&file, &ours.root).unwrap();
    let proxy = Plan::for_provider(&provider)
        .local_tls(false)
        .section(&format!(
            "[DEFAULT]\nlocal_client_ca_path = {}",
            file.display()
        ))
        .app(&provider, USER)
        .start();
    let mut good = Client::tls(proxy.at("IMAP-0"), client(&provider, Some(&ours))).await;
    assert!(good.line().await.starts_with("* OK"));
    good.imap(&format!("LOGIN {USER} secret")).await;
    for shown in [None, Some(&theirs)] {
        let stream = TcpStream::connect(proxy.at("IMAP-0")).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(client(&provider, shown));
        // In TLS 1.3 the client hears of it behind its own handshake.
        if let Ok(mut tls) = connector.connect(name, stream).await {
            let mut heard = Vec::new();
            let ended = tls.read_to_end(&mut heard).await;
            assert!(ended.is_err() && heard.is_empty(), "{ended:?} {heard:?}");
        }
    }
}
