//! Thousands of lines that no client would send: nothing may panic, hang or let a login through unasked.

use super::*;
use crate::protocol::MAX_COMMANDS;
use crate::protocol::transcript::{Dice, Remote};

/// Scraps from which lines are made: the more they look like IMAP, the deeper they get.
const SCRAPS: &[&[u8]] = &[
    b"a LOGIN u pw",
    b"a LOGIN ",
    b"a AUTHENTICATE PLAIN ",
    b"a AUTHENTICATE XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHAB",
    b"OAUTHBEARER ",
    b"a ",
    b"A1 ",
    b"1.85 ",
    b" ",
    b"LOGIN ",
    b"AUTHENTICATE ",
    b"PLAIN",
    b"LOGIN",
    b"ID (",
    b"NOOP",
    b"CAPABILITY",
    b"STARTTLS",
    b"\"",
    b"\\",
    b"\"u\"",
    b"{3}",
    b"{3+}",
    b"{0}",
    b"{0+}",
    b"{3-}",
    b"{",
    b"}",
    b"{99999999999+}",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfb\x1f",
    b"\x08",
    b"\xc3\xa4",
    b"*",
    b"+",
    b"=",
    b"AHUAcHc=",
    b"dQ==",
    b"u",
    b"pw",
    b")",
    b"(",
    b"]",
    b"[",
    b"%",
    b"\t",
];

#[test]
fn no_line_breaks_the_parsers() {
    let mut dice = Dice::new(0x5eed_1e55, SCRAPS);
    let mut understood = 0;
    for _ in 0..50_000 {
        let line = dice.line();
        let literal = words::announced(&line);
        if let Ok(head) = command::head(&line) {
            assert!(head.length <= line.len());
            let mut pieces = vec![words::Piece::Line(line.clone().into())];
            if literal.is_some() {
                pieces.push(words::Piece::Literal(dice.line().into()));
                pieces.push(words::Piece::Line(dice.line().into()));
            }
            understood += usize::from(words::arguments(&pieces, head.length).is_ok());
        }
        for text in [&line[..], &[b"* ", &line[..]].concat()] {
            let _ = reply::reply(text, "a");
            let _ = reply::greeting(text);
            let _ = reply::may_hold_literals(text);
            drop(offer::Capabilities::in_code(text));
        }
        for word in offer::Capabilities::read(&line).offer().0 {
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b']')
            );
        }
    }
    assert!(
        understood > 1_000,
        "the corpus is too shallow: {understood}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_stream_breaks_the_conversation() {
    let offer = offer();
    let local = Local {
        offer: &offer,
        starttls: false,
        onlooker: None,
    };
    let mut dice = Dice::new(0xbad_c0de, SCRAPS);
    let mut logins = 0;
    for _ in 0..1_000 {
        let (mut remote, mut wire) = Remote::pair(1024 * 1024);
        for _ in 0..MAX_COMMANDS {
            let mut line = dice.line();
            line.extend_from_slice(b"\r\n");
            remote.say(&line).await;
        }
        let mut dialogue = Imap::new();
        while let Ok(Heard::Login(login)) = dialogue.hear(&mut wire, &local).await {
            assert!(!login.tag.is_empty() && login.tag.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(login.user.bytes().all(|byte| byte > b' ' && byte != 0x7f));
            logins += 1;
        }
        drop(wire);
        let text = remote.rest().await;
        for line in text.split_inclusive('\n') {
            assert!(
                line.ends_with("\r\n") && !line.trim_end().contains('\r'),
                "{line:?}"
            );
        }
    }
    assert!(logins > 10, "the corpus is too shallow: {logins}");
}
