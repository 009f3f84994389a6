//! The server's side up to the login: greeting, EHLO, STARTTLS, and servers that mean harm.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{CRUMBS, Player};
use crate::protocol::smtp::Smtp;
use crate::protocol::{Dialogue as _, Opened, StartTls};
use crate::refusal::Refusal;
use crate::wire::Wire;
use crate::wire::tls::{Demands, LocalTls, Trust};

const PEER: &str = "mail.example:587";

/// Opens a server that plays `script`, with the client's name `name`.
async fn opened(script: &str, name: Option<&str>, crumb: usize) -> Result<Opened, Refusal> {
    let (mut player, ours) = Player::new(crumb);
    let script = script.to_owned();
    let server = tokio::spawn(async move {
        player.play(&script, "S: ", "C: ").await;
        player
    });
    let smtp = Smtp {
        name: name.map(str::to_owned),
        ..Smtp::new()
    };
    let opened = smtp.open(Wire::new(ours, PEER), None, None).await;
    drop(server.await.unwrap());
    opened
}

async fn refused(script: &str) -> Refusal {
    let whole = opened(script, Some("client"), CRUMBS[1]).await.unwrap_err();
    let crumbs = opened(script, Some("client"), CRUMBS[0]).await.unwrap_err();
    assert_eq!(whole, crumbs);
    whole
}

const OUTLOOK: &str = "
    S: 220 XX.outlook.office365.com Microsoft ESMTP MAIL Service ready at Thu, 27 Jun 2024 17:00:33 +0000 [08D]
    C: EHLO client
    S: 250-XX.outlook.office365.com Hello [192.0.2.1]
    S: 250-SIZE 157286400
    S: 250-PIPELINING
    S: 250-AUTH LOGIN XOAUTH2
    S: 250-8BITMIME
    S: 250 SMTPUTF8";

#[tokio::test]
async fn a_server_is_opened_with_the_clients_name() {
    for crumb in CRUMBS {
        let opened = opened(OUTLOOK, Some("client"), crumb).await.unwrap();
        assert_eq!(
            opened.abilities.offer.0,
            ["SIZE 157286400", "PIPELINING", "8BITMIME", "SMTPUTF8"]
        );
        assert_eq!(opened.abilities.mechanisms, ["LOGIN", "XOAUTH2"]);
        assert!(!opened.abilities.initial_response);
    }
}

#[tokio::test]
async fn short_replies_and_missing_names_are_fine() {
    for (script, name) in [
        ("S: 220\nC: EHLO [127.0.0.1]\nS: 250 host", None),
        ("S: 220-a\nS: 220 b\nC: EHLO client\nS: 250", Some("client")),
        (
            "S: 220 x\nC: EHLO my_pc\nS: 501 5.5.4 Invalid domain\nC: EHLO [127.0.0.1]\nS: 250 host",
            Some("my_pc"),
        ),
    ] {
        for crumb in CRUMBS {
            let opened = opened(script, name, crumb).await.unwrap();
            assert!(opened.abilities.offer.0.is_empty() && opened.abilities.mechanisms.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_do_not_want_us_are_quoted() {
    let busy = refused("S: 421 4.3.2 Service not available").await;
    assert_eq!(
        busy.to_string(),
        "mail.example:587 cannot log in just now: 421 4.3.2 Service not available"
    );
    let gone = refused("S: 554-5.7.1 No SMTP\nS: 554 5.7.1 service here").await;
    assert_eq!(
        gone.to_string(),
        "could not connect to mail.example:587: it refused the connection: 554 5.7.1 No SMTP service here"
    );
    let deaf = refused(
        "S: 220 x\nC: EHLO client\nS: 502 5.5.1 What?\nC: EHLO [127.0.0.1]\nS: 502 5.5.1 No",
    )
    .await;
    assert!(
        deaf.to_string().ends_with("it refused EHLO: 502 5.5.1 No"),
        "{deaf}"
    );
    let later = refused("S: 220 x\nC: EHLO client\nS: 451 4.7.1 greylisted").await;
    assert!(matches!(later, Refusal::ServerBusy { .. }), "{later}");
    for odd in [
        "S: * OK IMAP4 ready",
        "S: 235 welcome back",
        "S: 334 dXNlcg==",
        "S: 220 x\nC: EHLO client\nS: 354 go on",
    ] {
        let odd = refused(odd).await;
        assert!(matches!(odd, Refusal::ServerMisbehaved { .. }), "{odd}");
    }
    let silent = refused("S: 220 x").await;
    assert!(
        matches!(silent, Refusal::ServerUnavailable { .. }),
        "{silent}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_never_comes_is_not_waited_for() {
    let (_player, ours) = Player::new(64);
    let refusal = Smtp::new()
        .open(Wire::new(ours, PEER), None, None)
        .await
        .unwrap_err();
    assert!(refusal.to_string().contains("took too long"), "{refusal}");
    let (_player, ours) = Player::new(64);
    let trust = Trust::new(None).unwrap();
    let starttls = Some(StartTls {
        trust: &trust,
        host: "mail.example",
    });
    let refusal = Smtp::new()
        .open(Wire::new(ours, PEER), starttls, None)
        .await
        .unwrap_err();
    assert!(
        refusal.to_string().contains("server_starttls = False"),
        "{refusal}"
    );
}

/// A certificate for `mail.example`, and who believes it.
fn certificate(place: &Path) -> (LocalTls, Trust) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["mail.example".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .unwrap();
    let path = |name| place.join(name);
    std::fs::write(path("ca.pem"), ca_pem).unwrap();
    std::fs::write(path("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    (
        LocalTls::read(&path("leaf.pem"), &path("key.pem"), Demands::default()).unwrap(),
        Trust::new(Some(&path("ca.pem"))).unwrap(),
    )
}

#[tokio::test]
async fn starttls_is_done_and_what_was_known_before_it_is_forgotten() {
    let place = tempfile::tempdir().unwrap();
    let (tls, trust) = certificate(place.path());
    // TLS needs a pipe that holds the server's session tickets while the client speaks: no crumbs here.
    for (host, crumb) in [
        ("mail.example", 4096),
        ("mail.example", 64 * 1024),
        ("other.example", 4096),
    ] {
        let (mut player, ours) = Player::new(crumb);
        let tls = tls.clone();
        let server = tokio::spawn(async move {
            let before = "
                S: 220 mail.example
                C: EHLO client
                S: 250-mail.example
                S: 250-STARTTLS
                S: 250-X-INJECTED
                S: 250 AUTH PLAIN
                C: STARTTLS
                S: 220 2.0.0 SMTP server ready";
            player.play(before, "S: ", "C: ").await;
            let mut player = player.accept_tls(&tls).await?;
            let inside = "
                C: EHLO client
                S: 250-mail.example
                S: 250-CHUNKING
                S: 250 AUTH XOAUTH2";
            player.play(inside, "S: ", "C: ").await;
            Ok::<_, crate::wire::Lost>(player)
        });
        let smtp = Smtp {
            name: Some("client".into()),
            ..Smtp::new()
        };
        let starttls = Some(StartTls {
            trust: &trust,
            host,
        });
        let opened = smtp.open(Wire::new(ours, PEER), starttls, None).await;
        drop(server.await.unwrap());
        if host == "mail.example" {
            let opened = opened.unwrap();
            assert!(opened.server.is_secured());
            assert_eq!(opened.abilities.offer.0, ["CHUNKING"]);
            assert_eq!(opened.abilities.mechanisms, ["XOAUTH2"]);
        } else {
            assert!(matches!(
                opened.unwrap_err(),
                Refusal::ServerUnavailable { .. }
            ));
        }
    }
}

#[tokio::test]
async fn starttls_that_somebody_tampered_with_is_refused() {
    let trust = Trust::new(None).unwrap();
    for (script, expected) in [
        (
            "S: 220 x\nC: EHLO client\nS: 250-x\nS: 250 AUTH XOAUTH2",
            "does not offer STARTTLS",
        ),
        (
            "S: 220 x\nC: EHLO client\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no TLS today",
            "454 4.7.0 no TLS today",
        ),
        (
            "S: 220 x\nC: EHLO client\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 502 5.5.1 no",
            "refused STARTTLS",
        ),
        (
            "S: 220 x\nC: EHLO client\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 250 sure",
            "makes no sense",
        ),
        (
            "S: 220 x\nC: EHLO client\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 AUTH PLAIN",
            "behind its request",
        ),
    ] {
        let (mut player, ours) = Player::new(4096);
        let server = tokio::spawn(async move {
            player.play(script, "S: ", "C: ").await;
            player
        });
        let smtp = Smtp {
            name: Some("client".into()),
            ..Smtp::new()
        };
        let starttls = Some(StartTls {
            trust: &trust,
            host: "mail.example",
        });
        let refusal = smtp
            .open(Wire::new(ours, PEER), starttls, None)
            .await
            .unwrap_err();
        drop(server.await.unwrap());
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
}
