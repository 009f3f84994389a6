//! Sessions that are logged in, whatever the two sides throw at each other.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::scene::{SECTIONS, all_at_once, call, is_no, is_welcome, log_in, login, ready};
use crate::stage::{Stage, yes};
use crate::support::client::plain_response;
use crate::upstream::{Move, say};

/// What no server may hear.
const SECRET: &str = "another-secret";

#[tokio::test]
async fn r07_a_second_login_never_reaches_the_server() {
    let (provider, proxy) = ready().await;
    let other = plain_response("other@example.com", "another secret");
    for (section, second, end) in [
        (
            "IMAP-0",
            format!("y LOGIN other \"another secret\"\r\nz AUTHENTICATE PLAIN {other}\r\n"),
            "w LOGOUT\r\n",
        ),
        (
            "POP-0",
            format!("PASS another secret\r\nAUTH PLAIN {other}\r\n"),
            "QUIT\r\n",
        ),
        ("SMTP-0", format!("AUTH PLAIN {other}\r\n"), "QUIT\r\n"),
    ] {
        let heard = all_at_once(&proxy, section, login(section) + &second + end).await;
        let refused = ["y BAD", "-ERR", "50"];
        let refused = heard
            .lines()
            .any(|line| refused.iter().any(|no| line.starts_with(no)));
        assert!(refused, "{section}: {heard}");
        let journal = &provider.world.journal;
        assert!(
            !journal.holds("another secret") && !journal.holds(&other),
            "{section}"
        );
    }
}

#[tokio::test]
async fn r07_no_disguise_brings_a_second_password_to_the_server() {
    let stage = Stage::set(false).await;
    let plain = plain_response("other", SECRET);
    let word = BASE64_STANDARD.encode(SECRET);
    let size = SECRET.len();
    // Each is said in steps: every step waits for whatever the server says to the one before.
    let imap = [
        format!("y login other {SECRET}"),
        format!("y LOGIN \"other\" \"{SECRET}\""),
        format!("  y  LOGIN  other {SECRET}"),
        format!("y\tLOGIN\tother\t{SECRET}"),
        format!("LOGIN other {SECRET}"),
        format!("y LOGIN other {{{size}+}}\r\n{SECRET}"),
        format!("y LOGIN {{5+}}\r\nother {{{size}+}}\r\n{SECRET}"),
        format!("y LOGIN other {{{size}}}|{SECRET}"),
        format!("y LOGIN {{5}}|other {{{size}}}|{SECRET}"),
        format!("y LOGIN {{5}}\r\nother {{{size}}}\r\n{SECRET}"),
        format!("y AUTHENTICATE PLAIN {plain}"),
        format!("y AUTHENTICATE PLAIN|{plain}"),
        format!("y AUTHENTICATE PLAIN\r\n{plain}"),
        format!("y AUTHENTICATE LOGIN|b3RoZXI=|{word}"),
        format!("y AUTHENTICATE LOGIN\r\nb3RoZXI=\r\n{word}"),
        format!("y AUTHENTICATE LOGIN b3RoZXI=|{word}"),
        format!("y AUTHENTICATE XOAUTH2|{plain}"),
        format!("y APPEND x {{4294967295}}|z LOGIN other {SECRET}"),
        format!("y APPEND x {{10+}}\r\n1234567890\r\nz LOGIN other {SECRET}"),
        format!("y COMPRESS DEFLATE|z LOGIN other {SECRET}"),
        format!("y NOOP {{99-}}|z LOGIN other {SECRET}"),
        format!("y NOOP \"{{99}}\"|z LOGIN other {SECRET}"),
        format!("y NOOP\nz LOGIN other {SECRET}"),
        format!("y IDLE|DONE\r\nz LOGIN other {SECRET}"),
    ];
    let pop = [
        format!("PASS {SECRET}"),
        format!("pass {SECRET}"),
        format!("USER other|PASS {SECRET}"),
        format!("  PASS {SECRET}"),
        format!("\tPASS\t{SECRET}"),
        format!("STAT\nPASS {SECRET}"),
        format!("AUTH PLAIN {plain}"),
        format!("AUTH PLAIN|{plain}"),
        format!("auth plain\r\n{plain}"),
        format!("AUTH LOGIN|b3RoZXI=|{word}"),
        format!("AUTH LOGIN\r\nb3RoZXI=\r\n{word}"),
        format!("APOP other {SECRET}"),
    ];
    let smtp = [
        format!("AUTH PLAIN {plain}"),
        format!("  auth\tplain {plain}"),
        format!("AUTH PLAIN|{plain}"),
        format!("AUTH PLAIN\r\n{plain}"),
        format!("AUTH LOGIN|b3RoZXI=|{word}"),
        format!("AUTH LOGIN b3RoZXI=|{word}"),
        format!("AUTH LOGIN\r\nb3RoZXI=\r\n{word}"),
        format!("DATA|AUTH PLAIN {plain}"),
        format!("DATA x|AUTH PLAIN {plain}"),
        format!("BDAT 4 LAST\r\nmailAUTH PLAIN {plain}"),
        format!("BDAT  4\r\nmailAUTH PLAIN {plain}"),
        format!("NOOP\nAUTH PLAIN {plain}"),
        format!("RSET\r\nAUTH PLAIN {plain}\r\nRSET"),
    ];
    for (section, disguises, no) in [
        ("IMAP-0", &imap[..], "TAG BAD no\r\n"),
        ("POP-0", &pop, "-ERR no\r\n"),
        ("SMTP-0", &smtp, "503 no\r\n"),
    ] {
        let at = SECTIONS.iter().position(|name| *name == section).unwrap();
        let refusing = vec![vec![Move::Hear, say(no)]; 8].concat();
        for disguise in disguises {
            let moves = [stage.opening(section), yes(section), refusing.clone()].concat();
            stage.servers[at].turn(moves);
            let mut client = call(&stage.proxy, section).await;
            let said = log_in(&mut client, section).await;
            assert!(is_welcome(&said), "{section}: {said}");
            for (turn, step) in disguise.split('|').enumerate() {
                if turn == 1 {
                    let said = client.line().await;
                    let said = said.replacen("DONE", "y", 1);
                    assert!(is_no(section, &said), "{section} {disguise}: {said}");
                }
                client.send(format!("{step}\r\n")).await;
            }
            client.send("z NOOP\r\nTHE END\r\n").await;
            client.finish().await;
            client.rest().await;
            let heard = stage.heard(section);
            for secret in [SECRET, &plain, &word] {
                assert!(!heard.contains(secret), "{section} {disguise:?}: {heard}");
            }
            let (_, behind) = heard.rsplit_once("Bearer").unwrap_or(("", &heard));
            assert!(
                behind.contains("THE END"),
                "{section} {disguise:?}: {heard}"
            );
        }
    }
}

#[tokio::test]
async fn r29_not_a_byte_is_added_lost_or_mended() {
    let stage = Stage::set(false).await;
    let odd = b"bare LF\nbare CR\rboth\n\rNUL \0 8 bit \xff\xfe\r\n.\n..\r\n.\r\r\n\n.\n\r\r\n AUTH PLAIN x\r\nLOGIN x y\r\n";
    let every: Vec<u8> = (0..=255).collect();
    let body = [
        &odd[..],
        &every,
        &odd.repeat(500),
        "x".repeat(70_000).as_bytes(),
        b"\r\n",
    ]
    .concat();
    let imap = format!("y APPEND x {{{}}}\r\n", body.len());
    let eager = format!("y APPEND x {{{}+}}\r\n", body.len());
    let chunk = format!("BDAT {} LAST\r\n", body.len());
    let dots = [&odd.repeat(3)[..], b"\n.\nAUTH PLAIN x\r\n..\r\n"].concat();
    for (section, ask, go, what) in [
        (
            "IMAP-0",
            imap.as_str(),
            "+ go\r\n",
            [&body[..], b"\r\n"].concat(),
        ),
        ("IMAP-0", &eager, "", [&body[..], b"\r\n"].concat()),
        (
            "SMTP-0",
            "MAIL\r\nRCPT\r\nDATA\r\n",
            "354 go\r\n",
            [&dots[..], b"\r\n.\r\n"].concat(),
        ),
        ("SMTP-0", &chunk, "", body.clone()),
        (
            "POP-0",
            "RETR 1\r\n",
            "+OK\r\n",
            b"STAT\r\nRETR 2\n\nTOP\r1 2\r\n\xff\0\r\n".to_vec(),
        ),
    ] {
        let at = SECTIONS.iter().position(|name| *name == section).unwrap();
        let lines = ask.matches('\n').count();
        let mut moves = [stage.opening(section), yes(section)].concat();
        moves.extend(vec![Move::Hear; lines]);
        // The other way nobody looks either.
        moves.push(say([go.as_bytes(), &body, b"the end"].concat()));
        for crumbs in [false, true] {
            stage.servers[at].turn(moves.clone());
            let mut client = call(&stage.proxy, section).await;
            let said = log_in(&mut client, section).await;
            assert!(is_welcome(&said), "{section}: {said}");
            client.send(ask).await;
            assert_eq!(client.octets(go.len()).await, go.as_bytes());
            if crumbs {
                client.crumble(&what[..what.len().min(1_000)]).await;
                client.send(&what[what.len().min(1_000)..]).await;
            } else {
                client.send(&what).await;
            }
            assert_eq!(client.octets(body.len()).await, body, "{section}");
            assert_eq!(client.octets(7).await, b"the end");
            client.finish().await;
            client.rest().await;
            let heard = stage.servers[at].bytes();
            let sent = [ask.as_bytes(), &what].concat();
            assert!(
                heard.ends_with(&sent),
                "{section} {ask}: {} bytes",
                heard.len()
            );
        }
    }
}
