//! What passes of a client's words behind its login, in pieces of every size.

use super::*;

/// What passes of a client's words, heard in pieces of every size, with what the server says before some of them.
fn passes(speech: Speech, talk: &[(&str, &str)]) -> String {
    let mut all = Vec::new();
    for width in [1, 2, 3, 5, 1_000] {
        let mut guard = Guard::new(speech);
        let mut out = Vec::new();
        for (server, client) in talk {
            server
                .as_bytes()
                .chunks(width)
                .for_each(|piece| guard.hear(piece));
            for piece in client.as_bytes().chunks(width) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (count, passes) = guard.next(rest);
                    assert!(count > 0);
                    if passes {
                        out.extend_from_slice(guard.released());
                        out.extend_from_slice(&rest[..count]);
                    }
                    rest = &rest[count..];
                }
            }
        }
        all.push(String::from_utf8(out).unwrap());
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:#?}");
    all.remove(0)
}

#[test]
fn r07_a_second_login_loses_its_arguments() {
    let imap = |line: &str| passes(Speech::Imap, &[("", line)]);
    for (said, passed) in [
        ("a LOGIN u pw\r\nb NOOP\r\n", "a LOGIN \r\nb NOOP\r\n"),
        ("a login \"u\" \"p w\"\r\n", "a login \r\n"),
        (
            "a AUTHENTICATE PLAIN AHUAcHc=\r\nb NOOP\r\n",
            "a AUTHENTICATE \r\nb NOOP\r\n",
        ),
        ("  a\tLOGIN   u pw\r\n", "  a\tLOGIN \r\n"),
        ("a  LOGIN u pw\r\n", "a  LOGIN \r\n"),
        ("LOGIN u pw\r\n", "LOGIN \r\n"),
        ("a {5}\r\nLOGIN u pw\r\n", "a {5}\r\nLOGIN \r\n"),
        (
            "a LOGIN {1+}\r\nu {2+}\r\npw\r\nb NOOP\r\n",
            "a LOGIN \r\nb NOOP\r\n",
        ),
        (
            "a LOGIN u {2+}\r\npw\r\nb LOGIN x y\r\n",
            "a LOGIN \r\nb LOGIN \r\n",
        ),
        (
            "a LOGIN {0+}\r\n {2+}\r\npw\r\nb NOOP\r\n",
            "a LOGIN \r\nb NOOP\r\n",
        ),
        ("a LOGIN u pw\nb NOOP\r\n", "a LOGIN \nb NOOP\r\n"),
    ] {
        assert_eq!(imap(said), passed, "{said:?}");
    }
    let pop = passes(
        Speech::Pop,
        &[("", "STAT\r\nUSER u\r\npass x\r\nAUTH PLAIN x\r\nQUIT\r\n")],
    );
    assert_eq!(pop, "STAT\r\nUSER \r\npass \r\nAUTH \r\nQUIT\r\n");
    let smtp = passes(
        Speech::Smtp,
        &[("", "AUTH PLAIN AHUAcHc=\r\nauth login\r\nQUIT\r\n")],
    );
    assert_eq!(smtp, "AUTH \r\nauth \r\nQUIT\r\n");
}

#[test]
fn r07_the_rest_of_a_second_login_is_kept_back_too() {
    for (speech, said, passed) in [
        (
            Speech::Smtp,
            "AUTH PLAIN\r\nAHUAcHc=\r\nNOOP\r\n",
            "AUTH \r\nNOOP\r\n",
        ),
        (
            Speech::Smtp,
            "AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nMAIL FROM:<a@b>\r\ncGFzcw==\r\n",
            "AUTH \r\nMAIL FROM:<a@b>\r\ncGFzcw==\r\n",
        ),
        (
            Speech::Smtp,
            "AUTH PLAIN x\r\n\r\nQUIT\r\n",
            "AUTH \r\n\r\nQUIT\r\n",
        ),
        (
            Speech::Pop,
            "AUTH LOGIN\ndXNlcg==\ncGFzcw==\nUIDL\n",
            "AUTH \nUIDL\n",
        ),
        (
            Speech::Pop,
            "AUTH PLAIN\r\n*\r\nSTAT\r\n",
            "AUTH \r\nSTAT\r\n",
        ),
        (
            Speech::Imap,
            "a AUTHENTICATE LOGIN\r\ndXNlcg==\r\ncGFzcw== \r\nb NOOP\r\n",
            "a AUTHENTICATE \r\nb NOOP\r\n",
        ),
        (
            Speech::Imap,
            "a AUTHENTICATE PLAIN\r\nDONE\r\nb LOGIN u p\r\n",
            "a AUTHENTICATE \r\nDONE\r\nb LOGIN \r\n",
        ),
        // A client that waits for nothing.
        (
            Speech::Imap,
            "a LOGIN {4}\r\nuser {6}\r\nsecret\r\nb NOOP\r\n",
            "a LOGIN \r\nb NOOP\r\n",
        ),
    ] {
        assert_eq!(passes(speech, &[("", said)]), passed, "{said:?}");
    }
    let long = format!("AUTH PLAIN\r\n{}\r\nNOOP\r\n", "QUFB".repeat(300));
    assert_eq!(passes(Speech::Smtp, &[("", &long)]), "AUTH \r\nNOOP\r\n");
    // One that says the rest although the server said no, and one that takes the no for a no.
    let talk = |rest| {
        let talk = [("", "a LOGIN {4}\r\n"), ("a BAD what?\r\n", rest)];
        passes(Speech::Imap, &talk)
    };
    let rest = talk("user {6}\r\nsecret\r\nb NOOP\r\n");
    assert_eq!(rest, "a LOGIN \r\nb NOOP\r\n");
    assert_eq!(talk("b SELECT \"x\"\r\n"), "a LOGIN \r\nb SELECT \"x\"\r\n");
}

#[test]
fn r07_a_literal_or_compression_that_was_refused_hides_nothing() {
    for (first, answer, then, passed) in [
        (
            "a APPEND x {4294967295}\r\n",
            "* 1 EXISTS\r\nb OK\r\na NO full\r\n",
            "b LOGIN u pw\r\n",
            "b LOGIN \r\n",
        ),
        (
            "a APPEND x {15}\r\n",
            "+ go\r\n",
            "b LOGIN u pw\r\n \r\nc LOGIN u pw\r\n",
            "b LOGIN u pw\r\n \r\nc LOGIN \r\n",
        ),
        (
            "a APPEND x {18}\r\n",
            "aa NO\r\n* NO\r\nother BAD\r\n",
            "b LOGIN u pw\r\n1234\r\n",
            "b LOGIN u pw\r\n1234\r\n",
        ),
        (
            "a COMPRESS DEFLATE\r\n",
            "a NO\r\n",
            "b LOGIN u pw\r\n",
            "b LOGIN \r\n",
        ),
        (
            "a COMPRESS DEFLATE\r\n",
            "* OK\r\na OK\r\n",
            "b LOGIN u pw\r\n",
            "b LOGIN u pw\r\n",
        ),
        (
            "a XX {4294967295-}\r\n",
            "",
            "b LOGIN u pw\r\n",
            "b LOGIN \r\n",
        ),
    ] {
        let talk = [("", first), (answer, then)];
        let want = format!("{first}{passed}");
        assert_eq!(passes(Speech::Imap, &talk), want, "{first:?} {answer:?}");
    }
    // A mail that was said before it was allowed is over when it is.
    let talk = [
        ("", "DATA\r\nhello\r\n.\r\n"),
        ("354 go\r\n250 ok\r\n", "AUTH PLAIN x\r\n"),
    ];
    let want = "DATA\r\nhello\r\n.\r\nAUTH \r\n";
    assert_eq!(passes(Speech::Smtp, &talk), want);
    let talk = [
        ("", "DATA\nhel"),
        ("354 go\r\n", "lo\r\nAUTH x y\r\n.\r\nAUTH PLAIN x\r\n"),
    ];
    let want = "DATA\nhello\r\nAUTH x y\r\n.\r\nAUTH \r\n";
    assert_eq!(passes(Speech::Smtp, &talk), want);
    let chunk = "BDAT  12\r\nAUTH PLAIN xAUTH x\r\n";
    let want = "BDAT  12\r\nAUTH PLAIN xAUTH \r\n";
    assert_eq!(passes(Speech::Smtp, &[("", chunk)]), want);
}

#[test]
fn everything_else_passes_as_it_is() {
    for line in [
        "a NOOP\r\n",
        "a FETCH 1 BODY[]\r\n",
        "a XLOGIN u pw\r\n",
        "a LOGINS u\r\n",
        "a AUTHENTICATEX PLAIN\r\n",
        "\r\n\r\n",
        "a APPEND x {16}\r\nb LOGIN u secret\r\n",
        "a APPEND x (\\Seen) {13+}\r\nb LOGIN u pw\n {3}\r\nb L\r\nc NOOP\r\n",
        "a APPEND x ~{11}\r\nb LOGIN u p\r\n",
        "a IDLE\r\nDONE\r\n",
    ] {
        assert_eq!(passes(Speech::Imap, &[("", line)]), line);
    }
    // A brace in the middle of a line is no literal.
    let said = "a SEARCH SUBJECT \"{5}\" x\r\nb LOGIN u pw\r\n";
    assert_eq!(
        passes(Speech::Imap, &[("", said)]),
        "a SEARCH SUBJECT \"{5}\" x\r\nb LOGIN \r\n"
    );
}

#[test]
fn mails_pass_whatever_their_lines_look_like() {
    let go = "354 go ahead\r\n";
    let mail = "Subject: x\r\n\r\nAUTH PLAIN x\r\n.\nAUTH y\r\n..\r\n.x\r\n\r\n.\r\n";
    let talk = [
        ("", "MAIL FROM:<>\r\nDATA\r\n"),
        (go, mail),
        ("250 ok\r\n", "AUTH PLAIN x\r\n"),
    ];
    let want = format!("MAIL FROM:<>\r\nDATA\r\n{mail}AUTH \r\n");
    assert_eq!(passes(Speech::Smtp, &talk), want);
    // An empty mail.
    let talk = [("", "DATA\r\n"), (go, ".\r\nAUTH PLAIN x\r\n")];
    assert_eq!(passes(Speech::Smtp, &talk), "DATA\r\n.\r\nAUTH \r\n");
    // No 354, no mail: also where one stands in the middle of a line, or comes without DATA.
    let talk = [("", "DATA\r\n"), ("554 354 no\r\n", "AUTH PLAIN x\r\n")];
    assert_eq!(passes(Speech::Smtp, &talk), "DATA\r\nAUTH \r\n");
    let talk = [("354 what?\r\n", "AUTH PLAIN x\r\n")];
    assert_eq!(passes(Speech::Smtp, &talk), "AUTH \r\n");
    // Behind pipelined replies.
    let talk = [
        ("", "MAIL\r\nRCPT\r\nDATA\r\n"),
        ("250-a\r\n250 b\r\n250 c\r\n354 d\r\n", "AUTH x y\r\n.\r\n"),
    ];
    assert_eq!(
        passes(Speech::Smtp, &talk),
        "MAIL\r\nRCPT\r\nDATA\r\nAUTH x y\r\n.\r\n"
    );
    let chunk = "BDAT 12\r\nAUTH PLAIN xBDAT 7 LAST\r\nAUTH x\nAUTH PLAIN x\r\n";
    let want = "BDAT 12\r\nAUTH PLAIN xBDAT 7 LAST\r\nAUTH x\nAUTH \r\n";
    assert_eq!(passes(Speech::Smtp, &[("", chunk)]), want);
    assert_eq!(
        passes(Speech::Smtp, &[("", "BDAT 0 LAST\r\nAUTH x\r\n")]),
        "BDAT 0 LAST\r\nAUTH \r\n"
    );
}

proptest::proptest! {
    #[test]
    fn nonsense_is_taken_in_any_pieces(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cut in 0_usize..200) {
        for speech in [Speech::Imap, Speech::Pop, Speech::Smtp] {
            let whole = |pieces: &[&[u8]]| {
                let mut guard = Guard::new(speech);
                let mut out = Vec::new();
                for piece in pieces {
                    let mut rest = *piece;
                    while !rest.is_empty() {
                        let (count, passes) = guard.next(rest);
                        if passes {
                            out.extend_from_slice(guard.released());
                            out.extend_from_slice(&rest[..count]);
                        }
                        rest = &rest[count..];
                    }
                }
                out
            };
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            proptest::prop_assert_eq!(whole(&[&bytes]), whole(&[a, b]));
        }
    }
}
