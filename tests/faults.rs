//! What goes wrong in the world: servers and endpoints that are down, slow or odd, strangers at the door, crowds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::client::{Client, mail, plain_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::{Fault, Manner, Provider, Shape, Step};
use support::script::{Host, Move};
use tokio::time::Instant;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

/// Logs in at a service and returns its last word, without a tag.
async fn log_in(proxy: &Proxy, section: &str) -> (Client, String) {
    let mut client = call(proxy, section).await;
    let said = log_in_again(&mut client, section).await;
    (client, said)
}

/// Connects to a service and hears its greeting.
async fn call(proxy: &Proxy, section: &str) -> Client {
    match section {
        "IMAP-0" => proxy.imap().await,
        "POP-0" => proxy.pop().await,
        _ => proxy.smtp().await,
    }
}

async fn log_in_again(client: &mut Client, section: &str) -> String {
    match section {
        "IMAP-0" => {
            let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
            said.last().unwrap().clone()
        }
        "POP-0" => {
            assert!(client.ask(&format!("USER {USER}")).await.starts_with("+OK"));
            client.ask(&format!("PASS {PASSWORD}")).await
        }
        _ => {
            let response = plain_response(USER, PASSWORD);
            let said = client.smtp(&format!("AUTH PLAIN {response}")).await;
            said.last().unwrap().clone()
        }
    }
}

fn went_well(said: &str) -> bool {
    ["OK", "+OK", "235"]
        .iter()
        .any(|begin| said.starts_with(begin))
}

/// Whether a reply tells the client that it is worth trying again.
fn is_temporary(said: &str) -> bool {
    ["NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "]
        .iter()
        .any(|begin| said.starts_with(begin))
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_a_passing_trouble() {
    let (provider, proxy) = ready().await;
    for section in SECTIONS {
        for fault in [
            Fault::html(502),
            Fault::html(200),
            Fault::json(500, "server_error", "something broke"),
            Fault::json(503, "temporarily_unavailable", "try later"),
        ] {
            provider.world.turn(|knobs| {
                knobs
                    .token_faults
                    .extend([fault.clone(), fault.clone(), fault.clone()]);
            });
            let logs = Logs::catch();
            let (_client, said) = log_in(&proxy, section).await;
            assert!(is_temporary(&said), "{section} {fault:?}: {said}");
            let status = fault.status.to_string();
            assert!(
                logs.hold(&status) || logs.hold("server_error") || fault.status == 200,
                "{}",
                logs.text()
            );
            provider.world.turn(|knobs| knobs.token_faults.clear());
        }
    }
    for section in SECTIONS {
        let (_client, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_definite_no_of_the_token_endpoint_names_its_reason() {
    for section in SECTIONS {
        let (provider, proxy) = ready().await;
        let fault = Fault::json(
            401,
            "invalid_client",
            "AADSTS7000222: The secret has expired",
        );
        provider.world.turn(|knobs| {
            knobs
                .token_faults
                .extend([fault.clone(), fault.clone(), fault]);
        });
        let (mut client, said) = log_in(&proxy, section).await;
        assert!(said.contains("AADSTS7000222"), "{section}: {said}");
        assert!(
            !is_temporary(&said) && !went_well(&said),
            "{section}: {said}"
        );
        provider.world.turn(|knobs| knobs.token_faults.clear());
        let said = log_in_again(&mut client, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_slow_token_endpoint_is_waited_for() {
    let (provider, proxy) = ready().await;
    provider
        .world
        .turn(|knobs| knobs.token_delay = Duration::from_millis(700));
    let (_client, said) = log_in(&proxy, "SMTP-0").await;
    assert!(went_well(&said), "{said}");
}

#[tokio::test]
async fn everything_down_is_a_passing_trouble_with_a_clear_log() {
    let (provider, proxy) = ready().await;
    // One login, so that a token is held: then only the mail servers are missed.
    let (client, said) = log_in(&proxy, "IMAP-0").await;
    assert!(went_well(&said), "{said}");
    drop(client);
    provider.vanish();
    for section in SECTIONS {
        let logs = Logs::catch();
        let (_client, said) = log_in(&proxy, section).await;
        assert!(is_temporary(&said), "{section}: {said}");
        assert!(said.contains("could not connect to 127.0.0.1:"), "{said}");
        assert!(
            logs.hold("could not connect to 127.0.0.1:"),
            "{}",
            logs.text()
        );
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_a_passing_trouble() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.start();
    // The mail servers are heard once, so that only the token endpoint is missed below.
    for section in SECTIONS {
        drop(Client::plain(proxy.at(section)).await.line().await);
    }
    provider.vanish();
    for section in SECTIONS {
        let (_client, said) = log_in(&proxy, section).await;
        assert!(is_temporary(&said), "{section}: {said}");
        assert!(said.contains("token endpoint"), "{section}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_at_any_step_costs_one_login_only() {
    let (provider, proxy) = ready().await;
    // So that what is offered must be asked for.
    provider
        .world
        .turn(|knobs| knobs.imap_greets_with_capabilities = false);
    for section in SECTIONS {
        for step in Step::ALL {
            let mut client = call(&proxy, section).await;
            provider.world.turn(|knobs| knobs.hang_up_at = Some(step));
            let said = log_in_again(&mut client, section).await;
            assert!(is_temporary(&said), "{section} at {step:?}: {said}");
            provider.world.turn(|knobs| knobs.hang_up_at = None);
            let said = log_in_again(&mut client, section).await;
            assert!(went_well(&said), "{section} behind {step:?}: {said}");
        }
    }
}

#[tokio::test]
async fn starttls_servers_that_hang_up_or_refuse_never_see_a_token() {
    let provider = Provider::build(Shape { starttls: true }).await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    for section in SECTIONS {
        let (_client, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
        provider
            .world
            .turn(|knobs| knobs.hang_up_at = Some(Step::StartTls));
        let (_client, said) = log_in(&proxy, section).await;
        assert!(is_temporary(&said), "{section}: {said}");
        provider.world.turn(|knobs| knobs.hang_up_at = None);
    }
    assert!(!provider.world.journal.holds("plain text behind STARTTLS"));
}

#[tokio::test]
async fn a_server_without_starttls_is_refused_before_anything_is_said() {
    // An active attacker takes STARTTLS out of the list, or answers it with a no.
    for (answer, protocol) in [
        ("250 mail.example.com\r\n", "SMTP"),
        ("250-mail.example.com\r\n250 STARTTLS\r\n", "SMTP"),
    ] {
        let provider = Provider::start().await;
        let host = Host::play(
            None,
            false,
            vec![vec![
                Move::Say("220 mail.example.com ESMTP\r\n"),
                Move::Hear("EHLO *"),
                Move::Say(answer),
                Move::Hear("*"),
                Move::Say("454 4.7.0 TLS not available\r\n"),
            ]],
        )
        .await;
        let proxy = Plan::bare(&provider.world.authority)
            .service("SMTP-0", host.address, "server_starttls = True")
            .app(&provider, USER)
            .start();
        let (_client, said) = log_in(&proxy, "SMTP-0").await;
        assert!(!went_well(&said), "{protocol}: {said}");
        assert!(
            said.starts_with("454 4.7.0") || said.starts_with("535"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_with_advice() {
    let provider = Provider::start().await;
    let stranger = Provider::start().await;
    let logs = Logs::catch();
    let proxy = Plan::bare(&stranger.world.authority)
        .service("SMTP-0", provider.smtp, "")
        .app(&provider, USER)
        .start();
    let (_client, said) = log_in(&proxy, "SMTP-0").await;
    assert!(said.starts_with("454 4.7.0 "), "{said}");
    assert!(logs.hold("ca_file"), "{}", logs.text());
    assert!(provider.world.journal.heard("SMTP").is_empty());
}

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

#[tokio::test]
async fn a_server_that_vanishes_takes_its_client_along() {
    let (provider, proxy) = ready().await;
    let (mut client, said) = log_in(&proxy, "POP-0").await;
    assert!(went_well(&said), "{said}");
    provider.vanish();
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn what_the_server_says_right_behind_its_welcome_arrives() {
    for crumbs in [false, true] {
        let provider = Provider::start().await;
        let tls = &provider.world.authority;
        let learn = vec![
            Move::Say("+OK Gpop ready\r\n"),
            Move::Hear("CAPA"),
            Move::Say("+OK\r\nSASL XOAUTH2\r\nUIDL\r\n.\r\n"),
            Move::Hear("QUIT"),
            Move::Say("+OK\r\n"),
            Move::HangUp,
        ];
        let session = vec![
            Move::Say("+OK Gpop ready\r\n"),
            Move::Hear("CAPA"),
            Move::Say("+OK\r\nSASL XOAUTH2\r\nUIDL\r\n.\r\n"),
            Move::Hear("AUTH XOAUTH2"),
            Move::Say("+ \r\n"),
            Move::Hear("*"),
            // More than was asked for, at once.
            Move::Say("+OK Welcome.\r\n+OK 2 320\r\nunasked\r\n"),
            Move::Hear("STAT"),
            Move::HangUp,
        ];
        let host = Host::play(Some(tls), crumbs, vec![learn, session]).await;
        let proxy = Plan::bare(tls)
            .service("POP-0", host.address, "")
            .app(&provider, USER)
            .start();
        let (mut client, said) = log_in(&proxy, "POP-0").await;
        assert_eq!(said, "+OK Welcome.");
        assert_eq!(client.line().await, "+OK 2 320");
        assert_eq!(client.line().await, "unasked");
        client.say("STAT").await;
        assert_eq!(client.rest().await, b"");
        host.assert_pleased();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_at_once_make_one_token_request() {
    let (provider, proxy) = ready().await;
    let proxy = Arc::new(proxy);
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(mail("for many", 2_000)), Vec::new());
    let mut crowd = tokio::task::JoinSet::new();
    for turn in 0..50 {
        let proxy = Arc::clone(&proxy);
        crowd.spawn(async move {
            let section = SECTIONS[turn % 3];
            let (mut client, said) = log_in(&proxy, section).await;
            assert!(went_well(&said), "{section}: {said}");
            match section {
                "IMAP-0" => {
                    client.imap("SELECT INBOX").await;
                    assert_eq!(client.imap_body(1).await, mail("for many", 2_000));
                }
                "POP-0" => assert_eq!(client.pop_body(1).await, mail("for many", 2_000)),
                _ => {
                    let said = client
                        .send_mail(USER, &["crowd@example.com"], &mail("crowd", 5_000))
                        .await;
                    assert!(said.starts_with("250"), "{said}");
                }
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(provider.world.register.requests().len(), 1);
    assert_eq!(provider.world.mailboxes.sent().len(), 16);
}

#[tokio::test]
async fn a_silent_server_keeps_nobody_else_waiting() {
    let (provider, proxy) = ready().await;
    let (first, said) = log_in(&proxy, "SMTP-0").await;
    assert!(went_well(&said), "{said}");
    drop(first);
    until(|| provider.world.open() == 0).await;
    provider.world.turn(|knobs| knobs.manner = Manner::Silent);
    let mut waiting = call(&proxy, "SMTP-0").await;
    let response = plain_response(USER, PASSWORD);
    waiting.say(&format!("AUTH PLAIN {response}")).await;
    until(|| provider.world.journal.holds("silence")).await;
    provider.world.turn(|knobs| knobs.manner = Manner::Honest);
    for section in SECTIONS {
        let (_other, said) = log_in(&proxy, section).await;
        assert!(went_well(&said), "{section}: {said}");
    }
    // Who gives up waiting takes the server's connection along.
    drop(waiting);
    until(|| provider.world.open() == 0).await;
}

#[tokio::test]
async fn going_down_says_goodbye_before_login_and_lets_sessions_finish() {
    let (_provider, proxy) = ready().await;
    let mut idle = Vec::new();
    for (section, goodbye) in [("IMAP-0", "* BYE"), ("POP-0", ""), ("SMTP-0", "421 ")] {
        let mut client = Client::plain(proxy.at(section)).await;
        client.line().await;
        idle.push((client, goodbye));
    }
    let (mut busy, said) = log_in(&proxy, "IMAP-0").await;
    assert!(went_well(&said), "{said}");
    let stopping = tokio::spawn(proxy.daemon.stop());
    for (client, goodbye) in &mut idle {
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(
            rest.starts_with(*goodbye),
            "{rest:?} instead of {goodbye:?}"
        );
    }
    // What is under way may end by itself.
    let said = busy.imap("LOGOUT").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    stopping.await.unwrap();
}

/// Waits until something is so, without a fixed pause; fails when it does not come about.
async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + support::client::PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
