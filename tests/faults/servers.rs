//! Mail servers in trouble: down, hanging up, without STARTTLS or a good certificate, hasty.

use super::support::daemon::Plan;
use super::support::logs::Logs;
use super::support::provider::{Provider, Shape, Step};
use super::support::script::{Host, Move};
use super::{SECTIONS, USER, call, is_temporary, log_in, log_in_again, ready, went_well};

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
async fn a_server_that_hangs_up_at_any_step_costs_one_login_only() {
    let (provider, proxy) = ready().await;
    // So that what is offered must be asked for.
    provider
        .world
        .turn(|knobs| knobs.imap_greets_with_capabilities = false);
    for section in SECTIONS {
        for step in Step::ALL {
            let mut client = call(&proxy, section).await;
            if step == Step::Offer {
                // What it offers is known for an hour, unless a login goes wrong.
                provider
                    .world
                    .turn(|knobs| knobs.hang_up_at = Some(Step::Token));
                let said = log_in_again(&mut client, section).await;
                assert!(is_temporary(&said), "{section} ahead of {step:?}: {said}");
            }
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
