//! Mail servers that lie about a login.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::scene::{SECTIONS, is_for_now, is_welcome};
use crate::stage::{Stage, holds_token, token, welcome, yes};
use crate::upstream::{Move, say};

#[tokio::test]
async fn r30_nobody_is_let_in_who_has_not_said_who_it_is() {
    let stage = Stage::set(false).await;
    let tls = || Move::Tls(stage.provider.world.authority.server());
    for section in SECTIONS {
        let open = stage.opening(section);
        let (early, other, none) = match section {
            "IMAP-0" => ("TAG OK in\r\n", "other OK in\r\n", "* OK hi\r\n"),
            "POP-0" => ("+OK in\r\n", "235 in\r\n", "+OK hi\r\n"),
            _ => ("235 2.7.0 in\r\n", "250 in\r\n", "220 hi\r\n"),
        };
        let mut cases = vec![
            (
                "another tag or code",
                [token_asked(section, &open), vec![say(other)]].concat(),
            ),
            ("a yes before the question", {
                let mut moves = open.clone();
                if let Some(Move::Say(words) | Move::Offer(words)) = moves.last_mut() {
                    words.extend_from_slice(early.replace("TAG", "x").as_bytes());
                }
                [moves, yes(section)].concat()
            }),
        ];
        if section == "IMAP-0" {
            let slow = vec![
                tls(),
                say(none),
                Move::Hear,
                say("* CAPABILITY AUTH=XOAUTH2\r\nTAG OK\r\n"),
            ];
            cases.extend([
                (
                    "PREAUTH",
                    [vec![tls(), say("* PREAUTH hi\r\n")], yes(section)].concat(),
                ),
                (
                    "a yes instead of a challenge",
                    [slow, vec![Move::Hear, say(early)]].concat(),
                ),
            ]);
        } else {
            let instead = [open.clone(), vec![Move::Hear, say(early)]].concat();
            cases.push(("a yes instead of a challenge", instead));
        }
        for (what, moves) in cases {
            let (said, _) = stage.play(section, moves).await;
            assert!(is_for_now(&said), "{section}, {what}: {said}");
            if !what.starts_with("another") {
                assert!(!holds_token(&stage.heard(section)), "{section}, {what}");
            }
        }
        // A no, explained, and then a yes: neither can be believed.
        let challenge = if section == "SMTP-0" {
            "334 e30=\r\n"
        } else {
            "+ e30=\r\n"
        };
        let moves = [open, token(section), vec![say(challenge), Move::Hear]].concat();
        let early = if section == "IMAP-0" {
            "x OK in\r\n"
        } else {
            early
        };
        let (said, _) = stage
            .play(section, [moves, vec![say(early)]].concat())
            .await;
        assert!(is_for_now(&said), "{section}: {said}");
    }
    stage.honest().await;
}

/// Up to the token, which is heard.
fn token_asked(section: &str, open: &[Move]) -> Vec<Move> {
    [open.to_vec(), token(section)].concat()
}

#[tokio::test]
async fn r31_an_error_challenge_is_answered_once_and_stays_here() {
    let stage = Stage::set(false).await;
    let evil = BASE64_STANDARD.encode(
        "{\"status\":\"401\",\"scope\":\"a\\r\\nx OK in\\r\\n\u{1b}[31m\",\"error\":\"invalid_token\"}",
    );
    for section in SECTIONS {
        let go = if section == "SMTP-0" { "334 " } else { "+ " };
        let no = match section {
            "IMAP-0" => "x NO [AUTHENTICATIONFAILED] no\r\n",
            "POP-0" => "-ERR [AUTH] no\r\n",
            _ => "535 5.7.8 no\r\n",
        };
        let open = token_asked(section, &stage.opening(section));
        let challenge = say(format!("{go}{evil}\r\n"));
        let once = [open.clone(), vec![challenge.clone(), Move::Hear, say(no)]].concat();
        let (said, log) = stage.play(section, once).await;
        assert!(
            !is_for_now(&said) && !is_welcome(&said),
            "{section}: {said}"
        );
        assert!(log.contains("invalid_token"), "{section}: {log}");
        assert!(!said.contains(&evil) && !said.contains('\u{1b}'), "{said}");
        assert!(!log.contains('\u{1b}') && !log.contains(&evil), "{log}");
        let heard = stage.heard(section);
        assert_eq!(heard.matches("\n\r\n").count(), 1, "{section}: {heard:?}");
        let again = [
            open.clone(),
            vec![vec![challenge.clone(), Move::Hear]; 20].concat(),
            vec![say(no)],
        ]
        .concat();
        let (said, _) = stage.play(section, again).await;
        assert!(is_for_now(&said), "{section}: {said}");
        let heard = stage.heard(section);
        assert_eq!(heard.matches("\n\r\n").count(), 1, "{section}: {heard:?}");
        // What is echoed of the token is told to nobody, with a no and with a yes.
        for (words, welcome) in [
            (no.replace("no\r\n", "you said LINE\r\n"), false),
            (no.replace("no\r\n", "LINE LINE\r\n"), false),
            (welcome_line(section).replace("in\r\n", "LINE\r\n"), true),
        ] {
            let moves = [open.clone(), vec![say(words)]].concat();
            let (said, log) = stage.play(section, moves).await;
            assert_eq!(is_welcome(&said), welcome, "{section}: {said}");
            let heard = stage.heard(section);
            let words = heard.split_ascii_whitespace();
            let token = words.max_by_key(|word| word.len()).unwrap();
            assert!(token.len() > 1_000, "{heard}");
            assert!(!said.contains(&token[..30]), "{section}: {said}");
            assert!(!log.contains(&token[..30]), "{section}: {log}");
        }
    }
}

fn welcome_line(section: &str) -> String {
    welcome(section).replace("TAG", "x")
}
