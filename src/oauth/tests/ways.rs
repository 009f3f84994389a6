//! Which way a token request takes: TLS, proxies.

use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::{Error, Grant};
use super::{Does, Pretend, account, client, client_believing, json};
use crate::secret::Secret;

const GOOD: &str = r#"{"access_token":"a"}"#;

fn refresh() -> Grant {
    Grant::Refresh(Secret::from("0.refresh"))
}

#[tokio::test]
async fn secrets_never_leave_this_machine_without_tls() {
    for url in [
        "http://idp.example/token",
        "http://10.0.0.1/token",
        "ftp://localhost/",
        "idp.example",
    ] {
        let asked = client(None).ask(&account(url), None, &refresh()).await;
        assert!(
            matches!(asked, Err(Error::Misconfigured(_))),
            "{url}: {asked:?}"
        );
    }
}

#[tokio::test]
async fn certificates_are_checked_and_private_authorities_can_be_named() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    crate::wire::tls::choose_crypto();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(stream).await else {
                continue;
            };
            let mut seen = Vec::new();
            while !seen.ends_with(b"0.refresh") {
                seen.push(tls.read_u8().await.unwrap());
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{GOOD}",
                GOOD.len()
            );
            tls.write_all(answer.as_bytes()).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    let mut account = account(&format!("https://localhost:{port}/token"));
    account.client_secret = None;

    let Err(Error::Unavailable(why)) = client(None).ask(&account, None, &refresh()).await else {
        panic!("a certificate nobody vouches for was believed");
    };
    assert!(why.as_str().contains("`ca_file`"), "{why}");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let tokens = client_believing(roots, None)
        .ask(&account, None, &refresh())
        .await
        .unwrap();
    assert_eq!(tokens.access.reveal(), "a");
}

#[tokio::test]
async fn the_proxy_is_used_for_all_but_this_machine() {
    let proxy = Pretend::start(vec![Does::Says(
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
    )])
    .await;
    let endpoint = Pretend::start(vec![json("200 OK", GOOD)]).await;
    let client = client(Some(&format!("http://me:pass@{}", proxy.address)));

    let near = client
        .ask(&account(&endpoint.url()), None, &refresh())
        .await;
    assert!(near.is_ok(), "{near:?}");
    assert!(proxy.heard().is_empty());

    let far = client
        .ask(&account("https://idp.example/token"), None, &refresh())
        .await;
    assert!(
        matches!(&far, Err(Error::Unavailable(why)) if why.as_str().contains("the proxy did not let")),
        "{far:?}"
    );
    let heard = proxy.heard().concat();
    assert!(
        heard.starts_with("CONNECT idp.example:443 HTTP/1.1\r\n"),
        "{heard}"
    );
    assert!(
        heard.to_lowercase().contains("proxy-authorization: basic "),
        "{heard}"
    );
    assert!(!heard.contains("0.refresh"), "{heard}");
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name_itself() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        let mut request = [0; 18];
        stream.read_exact(&mut request).await.unwrap();
        request
    });
    let asked = client(Some(&format!("socks5://{address}")))
        .ask(&account("https://idp.example/token"), None, &refresh())
        .await;
    assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    assert_eq!(
        &seen.await.unwrap(),
        b"\x05\x01\x00\x03\x0bidp.example\x01\xbb"
    );
}
