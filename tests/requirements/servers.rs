//! Hostile mail servers and what stands before them.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::scene::{PASSWORD, SECTIONS, USER, call, is_for_now, is_welcome, log_in};
use crate::stage::{Stage, greeting, holds_token, yes};
use crate::support::client::plain_response;
use crate::support::daemon::Plan;
use crate::support::provider::Provider;
use crate::upstream::{Move, Upstream, say};

/// Makes a server's side of TLS with a certificate that nobody should believe.
fn certificate(shape: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    shape(&mut params);
    let made = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

#[tokio::test]
async fn r01_no_token_goes_to_a_server_that_is_not_proven() {
    let stage = Stage::set(false).await;
    let stranger = Provider::start().await;
    // A ServerHello of TLS 1.1, a fatal alert, and no TLS at all.
    let old = b"\x16\x03\x02\x00\x31\x02\x00\x00\x2d\x03\x02AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x2f\x00\x00\x05\xff\x01\x00\x01\x00";
    let alert = b"\x15\x03\x01\x00\x02\x02\x46";
    for section in SECTIONS {
        let plain = [greeting(section), yes(section)].concat();
        let tls = |config| [vec![Move::Tls(config)], greeting(section), yes(section)].concat();
        for (what, moves) in [
            ("self-signed", tls(certificate(|_| {}))),
            (
                "an authority nobody knows",
                tls(stranger.world.authority.server()),
            ),
            (
                "a name in CN only",
                tls(certificate(|params| {
                    params.subject_alt_names.clear();
                    params
                        .distinguished_name
                        .push(DnType::CommonName, "127.0.0.1");
                })),
            ),
            ("TLS 1.1", vec![Move::Hear, say(old)]),
            ("an alert", vec![say(alert)]),
            ("plain text", plain),
        ] {
            let (said, log) = stage.play(section, moves).await;
            assert!(is_for_now(&said), "{section}, {what}: {said}");
            assert!(log.contains("failed while connecting"), "{what}: {log}");
            let heard = stage.heard(section);
            assert!(!holds_token(&heard), "{section}, {what}: {heard}");
            assert!(!heard.contains(PASSWORD), "{section}, {what}: {heard}");
        }
    }
    stage.honest().await;
}

#[tokio::test]
async fn r01_a_certificate_must_be_in_force_and_carry_the_configured_name() {
    let provider = Provider::start().await;
    let authority = &provider.world.authority;
    for section in SECTIONS {
        for (what, config) in [
            ("run out", authority.server_for(&["127.0.0.1"], [-30, -1])),
            (
                "not yet good",
                authority.server_for(&["127.0.0.1"], [1, 30]),
            ),
            (
                "another address",
                authority.server_for(&["127.0.0.2"], [-1, 30]),
            ),
            ("a name", authority.server_for(&["localhost"], [-1, 30])),
            (
                "any name",
                authority.server_for(&["*", "*.0.0.1"], [-1, 30]),
            ),
        ] {
            let moves = [vec![Move::Tls(config)], greeting(section), yes(section)].concat();
            let server = Upstream::start(moves).await;
            let proxy = Plan::bare(authority)
                .service(section, server.address, "")
                .app(&provider, USER)
                .start();
            let mut client = call(&proxy, section).await;
            let said = log_in(&mut client, section).await;
            assert!(is_for_now(&said), "{section}, {what}: {said}");
            assert_eq!(server.heard(), "", "{section}, {what}");
        }
    }
}

#[tokio::test]
async fn r02_nothing_of_a_client_is_said_before_tls() {
    let stage = Stage::set(true).await;
    for section in SECTIONS {
        let hello = greeting(section);
        for (what, moves) in [
            (
                "no STARTTLS",
                match section {
                    "IMAP-0" => vec![say("* OK hi\r\n"), Move::Hear, say("TAG BAD no\r\n")],
                    "SMTP-0" => vec![
                        say("220 hi\r\n"),
                        Move::Hear,
                        say("250-me\r\n250 AUTH XOAUTH2 PLAIN\r\n"),
                        Move::Hear,
                        say("334 \r\n"),
                    ],
                    _ => [hello.clone(), yes(section)].concat(),
                },
            ),
            (
                "a no",
                [hello.clone(), vec![Move::Hear, say("454 no\r\n")]].concat(),
            ),
            (
                "plain text goes on",
                match section {
                    "IMAP-0" => vec![
                        say("* OK hi\r\n"),
                        Move::Hear,
                        say("TAG OK go\r\n"),
                        say("* OK\r\n"),
                    ],
                    "POP-0" => vec![
                        say("+OK hi\r\n"),
                        Move::Hear,
                        say("+OK go\r\n"),
                        say("+OK\r\n"),
                    ],
                    _ => [
                        hello,
                        vec![Move::Hear, say("220 go\r\n"), say("250 AUTH XOAUTH2\r\n")],
                    ]
                    .concat(),
                },
            ),
            ("it is for somebody else", {
                let wrong = Move::Tls(certificate(|_| {}));
                let mut moves = stage.opening(section);
                let at = moves.iter().position(|step| matches!(step, Move::Tls(_)));
                moves[at.unwrap()] = wrong;
                moves
            }),
        ] {
            let (said, _) = stage.play(section, moves).await;
            assert!(is_for_now(&said), "{section}, {what}: {said}");
            let heard = stage.heard(section);
            assert!(!holds_token(&heard), "{section}, {what}: {heard}");
            for secret in [USER, PASSWORD, &plain_response(USER, PASSWORD), "AUTH"] {
                assert!(!heard.contains(secret), "{section}, {what}: {heard}");
            }
        }
    }
    stage.honest().await;
}

#[tokio::test]
async fn r03_what_was_said_before_tls_is_neither_kept_nor_believed() {
    let stage = Stage::set(true).await;
    for section in SECTIONS {
        let injected = match section {
            "IMAP-0" => {
                "TAG OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN X-EVIL\r\nemailproxy OK\r\n"
            }
            "POP-0" => "+OK go\r\n+OK\r\nX-EVIL\r\n.\r\n",
            _ => "220 go\r\n250-evil\r\n250 X-EVIL\r\n",
        };
        let mut moves = stage.opening(section);
        let at = moves.iter().position(|step| matches!(step, Move::Tls(_)));
        moves[at.unwrap() - 1] = say(injected);
        let (said, log) = stage.play(section, moves).await;
        assert!(is_for_now(&said), "{section}: {said}");
        assert!(log.contains("plain text behind"), "{section}: {log}");
        assert!(!holds_token(&stage.heard(section)), "{section}");
        // Also where it was said before the request: what is offered is what was said inside TLS.
        let mut moves = stage.opening(section);
        moves[0] = match section {
            "IMAP-0" => say("* OK [CAPABILITY IMAP4rev1 X-EVIL AUTH=PLAIN] hi\r\n"),
            "POP-0" => say("+OK <evil@x> hi\r\n"),
            _ => say("220 hi\r\n"),
        };
        if section == "SMTP-0" {
            moves[2] = say("250-me\r\n250-STARTTLS\r\n250 X-EVIL\r\n");
        }
        moves.extend(yes(section));
        let (said, _) = stage.play(section, moves).await;
        assert!(is_welcome(&said), "{section}: {said}");
        let mut client = call(&stage.proxy, section).await;
        let offered = match section {
            "IMAP-0" => client.imap("CAPABILITY").await,
            "POP-0" => client.pop_list("CAPA").await,
            _ => client.smtp("EHLO x").await,
        };
        assert!(!offered.concat().contains("X-EVIL"), "{offered:?}");
    }
}

#[tokio::test]
async fn r09_a_server_without_measure_costs_one_login_only() {
    let stage = Stage::set(false).await;
    let tls = || Move::Tls(stage.provider.world.authority.server());
    let long = "x".repeat(9_000);
    for section in SECTIONS {
        let (line, begin) = match section {
            "IMAP-0" => ("* more\r\n", "* OK "),
            "POP-0" => ("more\r\n", "+OK "),
            _ => ("250-more\r\n", "220 "),
        };
        let open = stage.opening(section);
        let wide = format!("{}{}\r\n", &line[..4], "x".repeat(4_000)).repeat(12);
        let mut cases = vec![
            (
                "an endless greeting",
                vec![tls(), Move::Flood(vec![b'x'; 9_999])],
            ),
            (
                "a long greeting",
                vec![tls(), say(format!("{begin}{long}\r\n"))],
            ),
            (
                "endless lines",
                [open.clone(), vec![Move::Hear, Move::Flood(line.into())]].concat(),
            ),
            (
                "NUL",
                [open.clone(), vec![Move::Hear, say("\0\0\0\0\r\n")]].concat(),
            ),
            (
                "an endless line",
                [open.clone(), vec![Move::Hear, Move::Flood(vec![0; 999])]].concat(),
            ),
            ("nothing", vec![tls(), Move::HangUp]),
            (
                "nothing more",
                [open.clone(), vec![Move::Hear, Move::HangUp]].concat(),
            ),
            (
                "no more words",
                [open.clone(), vec![Move::Hear, Move::Finish]].concat(),
            ),
            (
                "line ends",
                [open.clone(), vec![Move::Hear, say("\n\n\r\n\r\r\n")]].concat(),
            ),
            ("HTTP", vec![tls(), say("HTTP/1.1 400 Bad Request\r\n\r\n")]),
            ("a bare word", vec![tls(), say("hello\r\n")]),
        ];
        match section {
            "IMAP-0" => cases.extend([
                (
                    "a literal",
                    [
                        open.clone(),
                        vec![Move::Hear, say("* ID ({4294967295}\r\n")],
                    ]
                    .concat(),
                ),
                ("many bytes", [open, vec![Move::Hear, say(&wide)]].concat()),
                ("a goodbye", vec![tls(), say("* BYE no\r\n")]),
            ]),
            "POP-0" => cases.extend([
                (
                    "many lines",
                    vec![
                        tls(),
                        say("+OK\r\n"),
                        Move::Hear,
                        say("+OK\r\n"),
                        Move::Flood(line.into()),
                    ],
                ),
                (
                    "many bytes",
                    vec![
                        tls(),
                        say("+OK\r\n"),
                        Move::Hear,
                        say(format!("+OK\r\n{wide}.\r\n")),
                    ],
                ),
                ("a goodbye", vec![tls(), say("-ERR no\r\n")]),
            ]),
            _ => cases.extend([
                (
                    "many lines",
                    vec![
                        tls(),
                        say("220 hi\r\n"),
                        Move::Hear,
                        Move::Flood(line.into()),
                    ],
                ),
                (
                    "many bytes",
                    vec![
                        tls(),
                        say("220 hi\r\n"),
                        Move::Hear,
                        say(format!("{wide}250 x\r\n")),
                    ],
                ),
                ("a goodbye", vec![tls(), say("421 no\r\n")]),
                ("codes that differ", vec![tls(), say("220-a\r\n221 b\r\n")]),
            ]),
        }
        for (what, moves) in cases {
            let (said, log) = stage.play(section, moves).await;
            assert!(is_for_now(&said), "{section}, {what}: {said}");
            assert!(said.len() < 400 && said.is_ascii(), "{said}");
            assert!(log.contains("failed while"), "{section}, {what}: {log}");
        }
    }
    stage.honest().await;
}

#[tokio::test]
async fn r09_a_silent_server_is_left_after_ten_seconds() {
    let stage = Arc::new(Stage::set(false).await);
    let mut clients = tokio::task::JoinSet::new();
    // At one step in each protocol, all at once: this is the wall clock's. The other steps are proven against a clock that
    // stands, beside the dialogues.
    for (section, steps) in [("IMAP-0", 0), ("POP-0", 1), ("SMTP-0", 9)] {
        let at = SECTIONS.iter().position(|name| *name == section).unwrap();
        let mut moves = stage.opening(section);
        moves.truncate(steps);
        stage.servers[at].turn(moves);
        let stage = Arc::clone(&stage);
        clients.spawn(async move {
            let mut client = call(&stage.proxy, section).await;
            let begun = tokio::time::Instant::now();
            let said = log_in(&mut client, section).await;
            assert!(is_for_now(&said), "{section}: {said}");
            let waited = begun.elapsed();
            assert!(waited >= Duration::from_secs(9), "{section}: {waited:?}");
            assert!(waited < Duration::from_secs(13), "{section}: {waited:?}");
        });
    }
    clients.join_all().await;
}
