//! Clients that are none, speak out of turn, talk nonsense, half close or vanish.

use super::support::client::Client;
use super::support::logs::Logs;
use super::{PASSWORD, SECTIONS, USER, log_in, ready, until, went_well};

#[tokio::test]
async fn strangers_are_shown_out_with_a_word_in_the_log() {
    let (provider, proxy) = ready().await;
    for section in SECTIONS {
        for (bytes, advice) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "switch SSL/TLS off"),
            (b"GET / HTTP/1.1\r\nHost: mail\r\n\r\n", "mail port"),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY"),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02",
                "PROXY",
            ),
        ] {
            let logs = Logs::catch();
            let mut client = Client::plain(proxy.at(section)).await;
            client.line().await;
            client.send(bytes).await;
            client.rest().await;
            drop(client);
            until(|| logs.hold("Closing")).await;
            assert!(logs.hold(advice), "{section} {advice}: {}", logs.text());
        }
    }
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test]
async fn a_client_that_speaks_first_is_heard() {
    let (_provider, proxy) = ready().await;
    let mut client = Client::plain(proxy.at("IMAP-0")).await;
    client.send(format!("x LOGIN {USER} {PASSWORD}\r\n")).await;
    assert!(client.line().await.starts_with("* OK"));
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");

    let mut client = Client::plain(proxy.at("POP-0")).await;
    client
        .send(format!("USER {USER}\r\nPASS {PASSWORD}\r\n"))
        .await;
    for _ in 0..3 {
        assert!(client.line().await.starts_with("+OK"));
    }

    let mut client = Client::plain(proxy.at("SMTP-0")).await;
    client.send("EHLO early\r\n").await;
    assert!(client.line().await.starts_with("220"));
    assert!(client.smtp_reply().await[0].starts_with("250"));
}

#[tokio::test]
async fn garbage_is_answered_and_ends_alone() {
    let (_provider, proxy) = ready().await;
    for section in SECTIONS {
        for garbage in [
            vec![0_u8; 100_000],
            vec![b'x'; 1_000_000],
            b"\xff\xfe\r\n".repeat(1_000),
            b"x LOGIN {99999999999}\r\n".repeat(5),
            b"AUTH PLAIN ====\r\n".repeat(100),
            b"\r\n".repeat(500),
        ] {
            let mut client = Client::plain(proxy.at(section)).await;
            client.line().await;
            // It may be shown out before all is said.
            client.try_send(&garbage).await;
            client.rest().await;
        }
        let (_client, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_answer_comes_back() {
    let (_provider, proxy) = ready().await;
    let (mut client, said) = log_in(&proxy, "IMAP-0").await;
    assert!(went_well(&said), "{said}");
    client.send("a NOOP\r\nb LOGOUT\r\n").await;
    client.finish().await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.contains("a OK") && rest.contains("b OK"), "{rest}");
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_server_connection_along() {
    let (provider, proxy) = ready().await;
    let mut clients = Vec::new();
    for section in SECTIONS {
        let (client, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{said}");
        clients.push(client);
    }
    assert!(provider.world.open() >= 3);
    drop(clients);
    until(|| provider.world.open() == 0).await;
}
