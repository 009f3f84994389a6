//! IMAP from end to end: a client with user and password, the proxy, a server that believes only tokens.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use support::client::{Client, mail, oauthbearer_response, plain_response, xoauth2_response};
use support::daemon::{Plan, Proxy};
use support::logs::Logs;
use support::provider::{Manner, Provider, Shape};
use tokio::net::TcpStream;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";

async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

fn last(lines: &[String]) -> &str {
    lines.last().unwrap()
}

#[tokio::test]
async fn an_ordinary_client_library_reads_mail_unchanged() {
    let (provider, proxy) = ready().await;
    let letter = mail("for async-imap", 5_000);
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(letter.clone()), Vec::new());
    let stream = TcpStream::connect(proxy.at("IMAP-0")).await.unwrap();
    let mut client = async_imap::Client::new(stream);
    client.read_response().await.unwrap().unwrap();
    let mut session = client
        .login(USER, PASSWORD)
        .await
        .map_err(|no| no.0)
        .unwrap();
    let inbox = session.select("INBOX").await.unwrap();
    assert_eq!(inbox.exists, 1);
    let fetched: Vec<_> = session
        .fetch("1", "(UID FLAGS BODY[])")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(fetched[0].body().unwrap(), letter);
    session.append("Sent", None, None, &letter).await.unwrap();
    session.logout().await.unwrap();
    let sent = provider.world.mailboxes.look(USER, "Sent");
    assert_eq!(*sent[0].content, letter);
    assert!(
        !provider.world.journal.holds(PASSWORD),
        "the local password reached the provider"
    );
}

#[tokio::test]
async fn every_way_to_log_in_means_the_same_password() {
    let (provider, proxy) = ready().await;
    // Quotes, a backslash, a blank and an umlaut.
    let password = "p\"w \\d\u{fc}";
    let quoted = r#""p\"w \\dü""#;
    let size = password.len();
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(text)
    };
    let user = USER.len();
    let plain = plain_response(USER, password);
    let inline = plain_response(USER, password);
    // What the client says, with `+` where it first waits for the server to say go ahead.
    let ways: Vec<Vec<String>> = vec![
        vec![format!("x LOGIN {USER} {quoted}\r\n")],
        vec![format!("x login \"{USER}\" {quoted}\r\n")],
        vec![
            format!("x LOGIN {USER} {{{size}}}\r\n"),
            format!("{password}\r\n"),
        ],
        vec![
            format!("x LOGIN {{{user}}}\r\n"),
            format!("{USER} {{{size}}}\r\n"),
            format!("{password}\r\n"),
        ],
        vec![format!(
            "x LOGIN {{{user}+}}\r\n{USER} {{{size}+}}\r\n{password}\r\n"
        )],
        vec![
            format!("x LOGIN \"{USER}\" {{{size}}}\r\n"),
            format!("{password}\r\n"),
        ],
        vec![format!("x AUTHENTICATE PLAIN {inline}\r\n")],
        vec!["x AUTHENTICATE PLAIN\r\n".into(), format!("{plain}\r\n")],
        vec![
            "x authenticate login\r\n".into(),
            format!("{}\r\n", base64(USER)),
            format!("{}\r\n", base64(password)),
        ],
        // Programs that know nothing but tokens put the password in their place.
        vec![format!(
            "x AUTHENTICATE XOAUTH2 {}\r\n",
            xoauth2_response(USER, password)
        )],
        vec![
            "x AUTHENTICATE XOAUTH2\r\n".into(),
            format!("{}\r\n", xoauth2_response(USER, password)),
        ],
        vec![format!(
            "x AUTHENTICATE OAUTHBEARER {}\r\n",
            oauthbearer_response(USER, password)
        )],
        // Clients that end lines with LF only.
        vec![format!("x LOGIN {USER} {quoted}\n")],
    ];
    for crumbs in [false, true] {
        for way in &ways {
            let mut client = proxy.imap().await;
            for (turn, words) in way.iter().enumerate() {
                if turn > 0 {
                    let go = client.line().await;
                    assert!(go.starts_with('+'), "{go:?} before {words:?}");
                }
                if crumbs {
                    client.crumble(words).await;
                } else {
                    client.send(words).await;
                }
            }
            let said = client.until_tagged("x").await;
            assert!(last(&said).starts_with("OK"), "{way:?}: {said:?}");
            let said = client.imap("SELECT INBOX").await;
            assert!(last(&said).starts_with("OK"), "{way:?}: {said:?}");
        }
    }
    assert_eq!(provider.world.register.count("client_credentials"), 1);
    let mut client = proxy.imap().await;
    // No challenge comes before the no, as with Exchange: what a client answers to one differs too much.
    let other = xoauth2_response(USER, "other");
    let said = client.imap(&format!("AUTHENTICATE XOAUTH2 {other}")).await;
    assert!(
        said.len() == 1 && said[0].starts_with("NO [AUTHENTICATIONFAILED]"),
        "{said:?}"
    );
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} other")).await;
    assert!(
        last(&said).starts_with("NO [AUTHENTICATIONFAILED]"),
        "{said:?}"
    );
}

#[tokio::test]
async fn before_login_the_proxy_answers_and_the_server_hears_nothing() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    client.imap("CAPABILITY").await;
    let heard = provider.world.journal.heard("IMAP").len();
    for command in [
        "CAPABILITY",
        "NOOP",
        "ID NIL",
        r#"ID ("name" "Mac OS X Mail")"#,
    ] {
        let said = client.imap(command).await;
        assert!(last(&said).starts_with("OK"), "{command}: {said:?}");
    }
    for command in ["SELECT INBOX", "STARTTLS", "AUTHENTICATE CRAM-MD5", "XYZZY"] {
        let said = client.imap(command).await;
        assert!(
            last(&said).starts_with("BAD") || last(&said).starts_with("NO"),
            "{command}: {said:?}"
        );
    }
    client.say("c AUTHENTICATE PLAIN").await;
    assert!(client.line().await.starts_with('+'));
    assert!(client.ask("*").await.starts_with("c BAD"));
    let said = client.imap("LOGOUT").await;
    assert!(said[0].starts_with("* BYE"), "{said:?}");
    assert_eq!(client.rest().await, b"");
    assert_eq!(
        provider.world.journal.heard("IMAP").len(),
        heard,
        "something of the client reached the server"
    );
}

#[tokio::test]
async fn what_is_offered_is_what_the_server_offers() {
    for starttls in [false, true] {
        let provider = Provider::build(Shape { starttls }).await;
        provider.world.turn(|knobs| {
            knobs.imap_offer = vec![
                "SASL-IR",
                "IDLE",
                "X-GM-EXT-1",
                "COMPRESS=DEFLATE",
                "LOGIN-REFERRALS",
                "UNAUTHENTICATE",
                "LITERAL+",
            ];
        });
        let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
        let wanted: BTreeSet<String> = [
            "IMAP4rev1",
            "SASL-IR",
            "AUTH=PLAIN",
            "AUTH=LOGIN",
            "IDLE",
            "X-GM-EXT-1",
            "COMPRESS=DEFLATE",
            "LITERAL+",
        ]
        .map(String::from)
        .into();
        let words = |line: &str| -> BTreeSet<String> {
            let (_, words) = line.split_once("CAPABILITY ").unwrap();
            let words = words.split(']').next().unwrap();
            words.split_whitespace().map(String::from).collect()
        };
        let mut client = Client::plain(proxy.at("IMAP-0")).await;
        let greeting = client.line().await;
        assert_eq!(words(&greeting), wanted, "{greeting}");
        let said = client.imap("CAPABILITY").await;
        assert_eq!(words(&said[0]), wanted, "{said:?}");
        assert!(
            !provider.world.journal.holds("plain text behind STARTTLS"),
            "{starttls}"
        );
    }
}

#[tokio::test]
async fn commands_behind_the_login_are_held_and_relayed() {
    let (provider, proxy) = ready().await;
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(mail("one", 100)), Vec::new());
    for crumbs in [false, true] {
        let mut client = proxy.imap().await;
        let all = format!(
            "1 LOGIN {USER} {PASSWORD}\r\n2 SELECT INBOX\r\n3 UID SEARCH ALL\r\n4 NOOP\r\n5 LOGOUT\r\n"
        );
        if crumbs {
            client.crumble(all).await;
        } else {
            client.send(all).await;
        }
        for tag in ["1", "2", "3", "4", "5"] {
            let said = client.until_tagged(tag).await;
            assert!(last(&said).starts_with("OK"), "{said:?}");
        }
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn a_failed_login_leaves_the_connection_usable() {
    let (provider, proxy) = ready().await;
    let mut first = proxy.imap().await;
    let said = first.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");

    let mut client = proxy.imap().await;
    let wrong = client.imap(&format!("LOGIN {USER} wrong")).await;
    let unknown = client.imap("LOGIN nobody@example.org wrong").await;
    for said in [&wrong, &unknown] {
        assert!(
            last(said).starts_with("NO [AUTHENTICATIONFAILED] "),
            "{said:?}"
        );
    }
    assert_eq!(
        last(&wrong).replace(USER, "U"),
        last(&unknown).replace("nobody@example.org", "U"),
        "a stranger can tell accounts from non-accounts"
    );
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    let said = client.imap("SELECT INBOX").await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.count("client_credentials"), 1);
}

#[tokio::test]
async fn an_empty_password_is_told_from_a_wrong_one_and_harms_nothing() {
    let (_provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} \"\"")).await;
    assert!(last(&said).starts_with("NO [AUTHENTICATIONFAILED]"));
    assert!(last(&said).contains("no password provided"), "{said:?}");
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn each_refusal_of_the_server_becomes_a_reply_with_its_reason() {
    let (provider, proxy) = ready().await;
    for (manner, begin, shown, reason) in [
        (
            Manner::Challenge,
            "NO [AUTHENTICATIONFAILED] ",
            "Invalid credentials",
            "401",
        ),
        (
            Manner::Curt,
            "NO [CONTACTADMIN] ",
            "AUTHENTICATE failed",
            "AUTHENTICATE failed",
        ),
        (
            Manner::Throttled,
            "NO [UNAVAILABLE] ",
            "throttled",
            "throttled",
        ),
    ] {
        let logs = Logs::catch();
        provider.world.turn(|knobs| knobs.manner = manner);
        let mut client = proxy.imap().await;
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        assert!(last(&said).starts_with(begin), "{manner:?}: {said:?}");
        assert!(last(&said).contains(shown), "{manner:?}: {said:?}");
        assert_eq!(said.len(), 1, "a challenge came through: {said:?}");
        assert!(logs.hold(reason), "{}", logs.text());

        provider.world.turn(|knobs| knobs.manner = Manner::Honest);
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        assert!(last(&said).starts_with("OK"), "{manner:?}: {said:?}");
    }
}

#[tokio::test]
async fn oauthbearer_is_spoken_where_it_is_all_that_is_offered() {
    let (provider, proxy) = ready().await;
    provider.world.turn(|knobs| {
        knobs.mechanisms = vec!["OAUTHBEARER"];
        // And without SASL-IR the response comes in a line of its own.
        knobs.imap_offer = vec!["IDLE"];
        knobs.imap_greets_with_capabilities = false;
    });
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    let said = client.imap("SELECT INBOX").await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn local_tls_is_met_from_the_first_byte_or_by_starttls() {
    for starttls in [false, true] {
        let provider = Provider::start().await;
        let tls = provider.world.authority.client();
        let proxy = Plan::for_provider(&provider)
            .app(&provider, USER)
            .local_tls(starttls)
            .start();
        let mut client = Client::plain(proxy.at("IMAP-0")).await;
        if starttls {
            let greeting = client.line().await;
            assert!(greeting.contains("STARTTLS"), "{greeting}");
            let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
            assert!(last(&said).starts_with("NO [PRIVACYREQUIRED]"), "{said:?}");
            let said = client.imap("STARTTLS").await;
            assert!(last(&said).starts_with("OK"), "{said:?}");
            client = client.begin_tls(tls).await;
            let said = client.imap("CAPABILITY").await;
            assert!(!said[0].contains("STARTTLS"), "{said:?}");
            assert!(said[0].contains("AUTH=PLAIN"), "{said:?}");
        } else {
            client = client.begin_tls(tls).await;
            client.line().await;
        }
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        assert!(last(&said).starts_with("OK"), "{said:?}");
        let said = client.imap("SELECT INBOX").await;
        assert!(last(&said).starts_with("OK"), "{said:?}");
    }
}

#[tokio::test]
async fn plain_text_behind_starttls_is_never_obeyed() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .local_tls(true)
        .start();
    let mut client = Client::plain(proxy.at("IMAP-0")).await;
    client.line().await;
    client
        .send(format!("1 STARTTLS\r\n2 LOGIN {USER} {PASSWORD}\r\n"))
        .await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(!rest.contains("2 "), "{rest}");
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test]
async fn idle_and_news_pass_through() {
    let (provider, proxy) = ready().await;
    let mut client = proxy.imap().await;
    client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    client.imap("SELECT INBOX").await;
    assert_eq!(client.ask("i IDLE").await, "+ idling");
    provider
        .world
        .mailboxes
        .put(USER, "INBOX", Arc::new(mail("news", 100)), Vec::new());
    assert_eq!(client.line().await, "* 1 EXISTS");
    client.crumble("DONE\r\n").await;
    assert!(client.line().await.starts_with("i OK"));
}

#[tokio::test]
async fn accounts_with_servers_of_their_own_share_one_port() {
    let here = Provider::start().await;
    let there = Provider::start().await;
    here.world
        .turn(|knobs| knobs.imap_offer = vec!["SASL-IR", "IDLE", "UIDPLUS"]);
    there
        .world
        .turn(|knobs| knobs.imap_offer = vec!["SASL-IR", "MOVE", "UIDPLUS"]);
    // One authority is enough: the other provider's certificate is added to what is believed.
    let plan = Plan::for_provider(&here).app(&here, USER);
    plan.believe(&there.world.authority);
    let other = "other@example.net";
    let section = format!(
        "{}imap_server = {}\n",
        support::daemon::app(&there, other),
        there.imap
    );
    let proxy = plan.section(&section).start();
    let mut client = Client::plain(proxy.at("IMAP-0")).await;
    let greeting = client.line().await;
    assert!(greeting.contains("UIDPLUS"), "{greeting}");
    assert!(
        !greeting.contains("IDLE") && !greeting.contains("MOVE"),
        "{greeting}"
    );
    let said = client.imap(&format!("LOGIN {other} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    assert_eq!(there.world.register.count("client_credentials"), 1);
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    assert_eq!(here.world.register.count("client_credentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_megabytes_go_each_way_unchanged() {
    let (provider, proxy) = ready().await;
    let letter = mail("big", 25_000_000);
    let mut client = proxy.imap().await;
    client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    client
        .send(format!("up APPEND INBOX {{{}+}}\r\n", letter.len()))
        .await;
    client.send(&letter).await;
    client.send("\r\n").await;
    let said = client.until_tagged("up").await;
    assert!(last(&said).starts_with("OK"), "{said:?}");
    let stored = provider.world.mailboxes.look(USER, "INBOX");
    assert!(*stored[0].content == letter, "changed on its way up");
    client.imap("SELECT INBOX").await;
    assert!(
        client.imap_body(1).await == letter,
        "changed on its way down"
    );
}
