//! Conversations inside TLS with tokio-rustls at the other end: crumbs, ends and faults.

use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;

type Ends = (
    DuplexStream,
    TlsAcceptor,
    DuplexStream,
    Arc<ClientConfig>,
    ServerName<'static>,
);

/// Makes both ends of a connection in crumbs of a width, before the handshake.
fn ends(width: usize, version: &'static rustls::SupportedProtocolVersion) -> Ends {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let chain = vec![made.cert.der().clone()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12, &TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (far, near) = duplex(width);
    let name = ServerName::try_from("localhost").unwrap();
    (far, Arc::new(server).into(), near, Arc::new(client), name)
}

/// Shakes hands and returns the server's end and ours.
async fn meet(ends: Ends) -> (tokio_rustls::server::TlsStream<DuplexStream>, Inside) {
    let (far, server, near, client, name) = ends;
    let ours = Inside::connect(client, name, Box::new(near));
    let (theirs, ours) = tokio::join!(server.accept(far), ours);
    (theirs.unwrap(), ours.unwrap())
}

#[tokio::test]
async fn every_byte_goes_both_ways_in_crumbs_of_any_width_and_nothing_is_held_then() {
    for version in [&TLS12, &TLS13] {
        for width in [1, 100, 20_000, 1_000_000] {
            let (far, server, near, client, name) = ends(width, version);
            let most = u32::try_from((width * 5_000).min(200_000)).unwrap();
            let mail: Vec<u8> = (0..most).map(|n| (n % 251) as u8).collect();
            let want = mail.clone();
            let server = tokio::spawn(async move {
                // Tickets have no room in a narrow pipe until we read.
                let mut theirs = server.accept(far).await.unwrap();
                let mut heard = vec![0; want.len()];
                for part in want.chunks(45_000) {
                    theirs.write_all(part).await.unwrap();
                    theirs.flush().await.unwrap();
                    if *version == TLS13 {
                        theirs.get_mut().1.refresh_traffic_keys().unwrap();
                    }
                }
                theirs.read_exact(&mut heard).await.unwrap();
                assert!(heard == want);
                theirs.shutdown().await.unwrap();
                assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
            });
            let ours = Inside::connect(client, name, Box::new(near)).await;
            let mut ours = ours.unwrap();
            let mut heard = vec![0; mail.len()];
            ours.read_exact(&mut heard).await.unwrap();
            assert!(heard == mail, "{version:?}, width {width}");
            ours.write_all(&mail).await.unwrap();
            ours.flush().await.unwrap();
            assert_eq!(ours.read(&mut heard).await.unwrap(), 0);
            let held = [&ours.partial, &ours.opened, &ours.closed];
            assert!(held.iter().all(|held| held.capacity() == 0));
            ours.shutdown().await.unwrap();
            assert!(ours.write_all(b"more").await.is_err());
            server.await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_end_without_notice_is_an_error_and_garbage_is_answered_with_an_alert() {
    for garbage in [false, true] {
        let (theirs, mut ours) = meet(ends(1_000_000, &TLS13)).await;
        let (mut bare, _) = theirs.into_inner();
        if garbage {
            bare.write_all(&[23, 3, 3, 0, 64]).await.unwrap();
            bare.write_all(&[0; 64]).await.unwrap();
        } else {
            bare.shutdown().await.unwrap();
        }
        let error = ours.read(&mut [0; 100]).await.unwrap_err();
        let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData];
        assert_eq!(error.kind(), kinds[usize::from(garbage)]);
        assert_eq!(ours.write_all(b"more").await.is_err(), garbage);
        drop(ours);
        let mut alert = Vec::new();
        bare.read_to_end(&mut alert).await.unwrap();
        assert!(!alert.is_empty(), "an alert, or what we went on to say");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_told_so() {
    let (far, server, near, client, _) = ends(1_000_000, &TLS13);
    let name = ServerName::try_from("example.org").unwrap();
    let ours = Inside::connect(client, name, Box::new(near));
    let (theirs, ours) = tokio::join!(server.accept(far), ours);
    let error = ours.err().unwrap().to_string();
    assert!(error.contains("not valid for name"), "{error}");
    let heard = theirs.unwrap_err().to_string();
    assert!(heard.contains("alert"), "{heard}");
}
