//! Clients before their login, hostile ones.

use std::time::Duration;

use crate::scene::{
    PASSWORD, SECTIONS, USER, all_at_once, call, is_no, is_welcome, log_in, login, ready, verdict,
};
use crate::support::client::{Client, plain_response};
use crate::support::daemon::Plan;
use crate::support::logs::Logs;
use crate::support::provider::{Manner, Provider};

#[tokio::test]
async fn r04_nobody_logs_in_before_tls_where_there_is_tls() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.local_tls(true).start();
    let response = plain_response(USER, PASSWORD);
    for (section, offer, attempts) in [
        (
            "IMAP-0",
            "x CAPABILITY\r\n",
            vec![
                login("IMAP-0"),
                format!("x login {{16}}\r\n{USER} {{13}}\r\n{PASSWORD}\r\n"),
                format!("x AUTHENTICATE PLAIN {response}\r\n"),
                format!("x AUTHENTICATE PLAIN\r\n{response}\r\n"),
                "x AUTHENTICATE LOGIN\r\n".to_owned(),
                format!("x LOGIN {{16+}}\r\n{USER} {{13+}}\r\n{PASSWORD}\r\n"),
            ],
        ),
        (
            "POP-0",
            "CAPA\r\n",
            vec![
                login("POP-0"),
                format!("PASS {PASSWORD}\r\n"),
                format!("AUTH PLAIN {response}\r\n"),
                format!("AUTH PLAIN\r\n{response}\r\n"),
                "AUTH\r\n".to_owned(),
            ],
        ),
        (
            "SMTP-0",
            "EHLO c\r\n",
            vec![
                login("SMTP-0"),
                format!("AUTH PLAIN\r\n{response}\r\n"),
                "AUTH LOGIN\r\n".to_owned(),
                format!("AUTH LOGIN {response}\r\n"),
                format!("MAIL FROM:<{USER}>\r\n"),
            ],
        ),
    ] {
        for attempt in attempts {
            let heard = all_at_once(&proxy, section, format!("{offer}{attempt}")).await;
            assert!(heard.contains("ST"), "{section}: {heard}");
            for word in ["AUTH=", "AUTH ", "\nUSER", "SASL", "\n+ ", "334"] {
                assert!(!heard.contains(word), "{section} {attempt}: {heard}");
            }
            let last = heard.lines().last().unwrap_or_default();
            assert!(is_no(section, last), "{section} {attempt}: {heard}");
        }
    }
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test]
async fn r04_what_stands_behind_starttls_is_never_obeyed() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER);
    let proxy = plan.local_tls(true).start();
    for section in SECTIONS {
        let begin = match section {
            "IMAP-0" => "s STARTTLS\r\n",
            "POP-0" => "STLS\r\n",
            _ => "EHLO c\r\nSTARTTLS\r\n",
        };
        for behind in [
            login(section),
            "\r\n".to_owned(),
            " ".to_owned(),
            "\u{16}\u{3}\u{1}".to_owned(),
        ] {
            let logs = Logs::catch();
            let heard = all_at_once(&proxy, section, format!("{begin}{behind}")).await;
            let last = heard.lines().last().unwrap_or_default();
            let go = ["s OK", "+OK", "220"];
            assert!(go.iter().any(|go| last.starts_with(go)), "{heard}");
            assert!(logs.hold("plain text behind"), "{}", logs.text());
        }
        // Inside TLS everything is as it should be, and there is no second one.
        let mut client = call(&proxy, section).await;
        client.send(begin.rsplit("c\r\n").next().unwrap()).await;
        client.line().await;
        let mut client = client.begin_tls(provider.world.authority.client()).await;
        client.send(begin.rsplit("c\r\n").next().unwrap()).await;
        let again = client.line().await;
        assert!(is_no(section, &again), "{section}: {again}");
        let said = log_in(&mut client, section).await;
        assert!(is_welcome(&said), "{section}: {said}");
    }
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn r05_before_login_only_what_is_on_the_list_is_answered_with_a_yes() {
    let (provider, proxy) = ready().await;
    let table = [
        (
            "IMAP-0",
            vec![
                "x CAPABILITY",
                "x NOOP",
                "x ID NIL",
                "x id (\"marker\" NIL)",
                "x LOGOUT",
            ],
            vec![
                "SELECT marker",
                "EXAMINE marker",
                "LIST \"\" marker",
                "LSUB \"\" marker",
                "CREATE marker",
                "DELETE marker",
                "RENAME marker x",
                "STATUS marker (MESSAGES)",
                "APPEND marker {5}",
                "IDLE",
                "ENABLE marker",
                "FETCH 1 marker",
                "UID FETCH 1 marker",
                "STORE 1 marker",
                "COPY 1 marker",
                "MOVE 1 marker",
                "EXPUNGE",
                "CLOSE",
                "CHECK",
                "UNSELECT",
                "SEARCH marker",
                "NAMESPACE",
                "GETQUOTAROOT marker",
                "SETQUOTA marker",
                "SETACL marker",
                "COMPRESS DEFLATE",
                "UNAUTHENTICATE",
                "XCLIENT marker",
                "PROXYAUTH marker",
                "marker",
                "STARTTLS",
                "AUTHENTICATE GSSAPI",
                "AUTHENTICATE CRAM-MD5",
                "AUTHENTICATE EXTERNAL =",
                "AUTHENTICATE NTLM",
                "AUTHENTICATE ANONYMOUS bWFya2Vy",
                "AUTHENTICATE DIGEST-MD5",
                "AUTHENTICATE SCRAM-SHA-256 bWFya2Vy",
            ],
        ),
        (
            "POP-0",
            vec!["CAPA", "NOOP", "USER marker", "QUIT"],
            vec![
                "STAT",
                "LIST",
                "LIST 1",
                "RETR 1",
                "DELE 1",
                "RSET",
                "TOP 1 marker",
                "UIDL",
                "LAST",
                "UTF8",
                "LANG marker",
                "APOP marker 00",
                "STLS",
                "XTND marker",
                "XSENDER marker",
                "RPOP marker",
                "EXPIRE 0",
                "PASS marker",
                "marker",
                "AUTH GSSAPI",
                "AUTH CRAM-MD5",
                "AUTH NTLM",
                "AUTH EXTERNAL =",
                "AUTH ANONYMOUS bWFya2Vy",
                "SELECT marker",
            ],
        ),
        (
            "SMTP-0",
            vec!["EHLO marker", "HELO marker", "NOOP marker", "RSET", "QUIT"],
            vec![
                "MAIL FROM:<marker@x>",
                "RCPT TO:<marker@x>",
                "DATA",
                "VRFY marker",
                "EXPN marker",
                "TURN",
                "ETRN marker",
                "XCLIENT ADDR=marker",
                "XFORWARD NAME=marker",
                "SEND FROM:<marker>",
                "SOML FROM:<marker>",
                "SAML FROM:<marker>",
                "ATRN marker",
                "BURL imap://marker LAST",
                "BDAT 0 LAST",
                "STARTTLS",
                "XEXCH50 1 2",
                "X-EXPS GSSAPI",
                "marker",
                "AUTH GSSAPI",
                "AUTH CRAM-MD5",
                "AUTH NTLM",
                "AUTH EXTERNAL =",
                "AUTH ANONYMOUS bWFya2Vy",
                "EHLO",
                "RSET marker",
            ],
        ),
    ];
    for (section, listed, unlisted) in table {
        // What the proxy itself asks comes first.
        all_at_once(&proxy, section, "").await;
        let before = provider.world.journal.heard(&section[..section.len() - 2]);
        for command in unlisted {
            let mut client = call(&proxy, section).await;
            let tag = if section == "IMAP-0" { "x " } else { "" };
            client.send(format!("{tag}{command}\r\n")).await;
            let said = client.line().await;
            assert!(is_no(section, &said), "{section} {command}: {said}");
        }
        for command in listed {
            let mut client = call(&proxy, section).await;
            client.send(format!("{command}\r\n")).await;
            let said = client.line().await;
            assert!(
                !is_no(section, &said) || said.starts_with("* BYE"),
                "{section} {command}: {said}"
            );
        }
        let after = provider.world.journal.heard(&section[..section.len() - 2]);
        assert_eq!(before, after, "{section}");
    }
    for marker in ["marker", "bWFya2Vy"] {
        assert!(!provider.world.journal.holds(marker), "{marker}");
    }
}

#[tokio::test]
async fn r06_what_a_client_says_behind_its_login_waits_for_the_verdict() {
    let (provider, proxy) = ready().await;
    let crowd = |section: &str| {
        let line = match section {
            "IMAP-0" => "y NOOP marker\r\nz LOGOUT\r\n",
            "POP-0" => "TOP 1 marker\r\nQUIT\r\n",
            _ => "NOOP marker\r\nQUIT\r\n",
        };
        login(section) + line
    };
    let hop = |section: &str| section[..section.len() - 2].to_owned();
    for section in SECTIONS {
        let heard = all_at_once(&proxy, section, crowd(section)).await;
        assert!(
            heard.contains("z OK") || heard.contains("221 ") || heard.contains("signs off"),
            "{section}: {heard}"
        );
        let heard = provider.world.journal.heard(&hop(section));
        let marked = heard
            .iter()
            .position(|line| line.contains("marker"))
            .unwrap();
        let login = heard
            .iter()
            .rposition(|line| line.contains("XOAUTH2"))
            .unwrap();
        assert!(marked > login, "{section}: {heard:?}");
    }
    // A login that failed leaves the rest to us.
    provider.world.turn(|knobs| knobs.manner = Manner::Curt);
    for section in SECTIONS {
        let marked = |heard: &[String]| heard.iter().filter(|line| line.contains("marker")).count();
        let before = marked(&provider.world.journal.heard(&hop(section)));
        let heard = all_at_once(&proxy, section, crowd(section)).await;
        let nos = heard.lines().filter(|line| is_no(section, line)).count();
        let wanted = if section == "POP-0" { 2 } else { 1 };
        assert!(nos >= wanted, "{section}: {heard}");
        assert!(
            ["z OK", "+OK emailproxy", "221 "]
                .iter()
                .any(|bye| heard.contains(bye)),
            "{section}: {heard}"
        );
        let after = marked(&provider.world.journal.heard(&hop(section)));
        assert_eq!(after, before, "{section}");
    }
}

/// Sends bytes, and returns what comes back and whether the connection ends there.
async fn answered(client: &mut Client, bytes: impl AsRef<[u8]>) -> String {
    client.send(bytes).await;
    client.line().await
}

#[tokio::test]
async fn r08_lines_and_literals_have_their_measure() {
    let (_provider, proxy) = ready().await;
    let padded =
        |begin: &str, length: usize| format!("{begin}{}\r\n", "x".repeat(length - begin.len()));
    for (section, begin, limit, bye) in [
        ("IMAP-0", "x ", 8_192, "* BYE"),
        ("POP-0", "", 8_192, "-ERR a line was too long"),
        ("SMTP-0", "NOOP ", 8_192, "500 5.5.6"),
        ("SMTP-0", "AUTH PLAIN ", 12_288, "500 5.5.6"),
        ("SMTP-0", "auth ", 12_288, "500 5.5.6"),
    ] {
        let mut client = call(&proxy, section).await;
        let said = answered(&mut client, padded(begin, limit)).await;
        assert!(!said.starts_with(bye), "{section} {begin}: {said}");
        let said = log_in(&mut client, section).await;
        assert!(is_welcome(&said), "{section}: {said}");
        let whole = padded(begin, limit + 1);
        // Also where the line never ends.
        let open = padded(begin, limit + 1_000);
        for bytes in [whole.as_str(), open.trim_end()] {
            let mut client = call(&proxy, section).await;
            client.send(bytes).await;
            let rest = String::from_utf8(client.rest().await).unwrap();
            assert!(rest.starts_with(bye), "{section} {begin}: {rest}");
        }
    }
    // The lines of a SASL exchange.
    for (section, begin, bye) in [
        ("IMAP-0", "x AUTHENTICATE PLAIN\r\n", "* BYE"),
        ("POP-0", "AUTH PLAIN\r\n", "-ERR a line was too long"),
        ("SMTP-0", "AUTH PLAIN\r\n", "500 5.5.6"),
    ] {
        for (length, ends) in [(12_288, false), (12_289, true)] {
            let mut client = call(&proxy, section).await;
            answered(&mut client, begin).await;
            let said = answered(&mut client, padded("", length)).await;
            assert!(is_no(section, &said), "{section}: {said}");
            assert_eq!(said.starts_with(bye), ends, "{section} {length}: {said}");
        }
    }
    for (command, wanted) in [
        ("x LOGIN {1024}\r\n", "+ "),
        ("x LOGIN {1025}\r\n", "x BAD"),
        ("x LOGIN {4294967295}\r\n", "x BAD"),
        ("x LOGIN {99999999999999999999}\r\n", "x BAD"),
        ("x LOGIN {-1}\r\n", "x BAD"),
        ("x LOGIN {-1+}\r\n", "x BAD"),
        ("x LOGIN {1e3}\r\n", "x BAD"),
        ("x LOGIN ((((((({1025}\r\n", "x BAD"),
        ("x CAPABILITY {1}\r\n", "x BAD"),
        ("x SELECT {5}\r\n", "x BAD"),
        ("{5}\r\n", "* BAD"),
    ] {
        let mut client = call(&proxy, "IMAP-0").await;
        let said = answered(&mut client, command).await;
        assert!(said.starts_with(wanted), "{command}: {said}");
    }
    for command in [
        "x LOGIN {1025+}\r\n",
        "x APPEND y {4294967295+}\r\n",
        "x ID {99999999999999999999+}\r\n",
    ] {
        let mut client = call(&proxy, "IMAP-0").await;
        client.send(command).await;
        let said = String::from_utf8(client.rest().await).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].starts_with("x BAD") && lines[1].starts_with("* BYE"),
            "{said}"
        );
    }
    // One command of many parts, each within its measure.
    let parts = format!(
        "x ID ({}",
        "{1000+}\r\n".to_owned() + &format!("{} {{1000+}}\r\n", "y".repeat(1_000)).repeat(20)
    );
    let said = all_at_once(&proxy, "IMAP-0", parts).await;
    assert!(said.lines().last().unwrap().starts_with("* BYE"), "{said}");
    let nested = format!("x ID {}\r\n", "(".repeat(8_000));
    let said = all_at_once(&proxy, "IMAP-0", nested).await;
    assert!(
        said.starts_with("x OK") || said.starts_with("* ID"),
        "{said}"
    );
}

#[tokio::test]
async fn r08_twenty_refusals_or_a_hundred_commands_are_enough() {
    let (_provider, proxy) = ready().await;
    for (section, bads, good) in [
        (
            "IMAP-0",
            ["x XYZZY", "x SELECT y", "\0\0", "x LOGIN", "x LOGIN {9999}"],
            "x NOOP",
        ),
        (
            "POP-0",
            ["XYZZY", "RETR 1", "\0\0", "PASS x", "AUTH NTLM"],
            "NOOP",
        ),
        (
            "SMTP-0",
            ["XYZZY", "MAIL FROM:<x@y>", "\0\0", "EHLO", "AUTH NTLM"],
            "NOOP",
        ),
    ] {
        for bad in bads {
            let sent = |count| {
                format!("{good}\r\n") + &format!("{bad}\r\n").repeat(count) + &login(section)
            };
            let heard = all_at_once(&proxy, section, sent(19)).await;
            let last = heard.lines().last().unwrap();
            assert!(!is_no(section, last), "{section} {bad}: {heard}");
            let heard = all_at_once(&proxy, section, sent(20)).await;
            let last = heard.lines().last().unwrap();
            assert!(
                is_no(section, last) && !heard.contains("x OK in"),
                "{section} {bad}: {heard}"
            );
            assert!(heard.contains("oo many"), "{section} {bad}: {heard}");
        }
        let sent = |count| format!("{good}\r\n").repeat(count) + &login(section);
        let mut client = call(&proxy, section).await;
        // POP's login is two commands.
        client.send(sent(98)).await;
        for _ in 0..98 {
            let said = client.line().await;
            assert!(!is_no(section, &said), "{section}: {said}");
        }
        let said = verdict(&mut client, section).await;
        assert!(is_welcome(&said), "{section}: {said}");
        let heard = all_at_once(&proxy, section, sent(100)).await;
        assert_eq!(heard.lines().count(), 101, "{section}: {heard}");
        let last = heard.lines().last().unwrap();
        assert!(is_no(section, last), "{section}: {heard}");
    }
}

#[tokio::test]
async fn r08_a_client_that_begins_nothing_is_shown_out_after_ten_seconds() {
    let (_provider, proxy) = ready().await;
    let mut clients = Vec::new();
    for section in SECTIONS {
        for words in ["", "x", "x LOGIN {16+}\r\ndemo", "EHLO"] {
            let mut client = call(&proxy, section).await;
            client.send(words).await;
            clients.push((section, words, client));
        }
    }
    let begun = tokio::time::Instant::now();
    for (section, words, mut client) in clients {
        let rest = String::from_utf8(client.rest().await).unwrap();
        let last = rest.lines().last().unwrap_or_default();
        assert!(is_no(section, last), "{section} {words:?}: {rest}");
        let waited = begun.elapsed();
        // What is behind the first line in this list begins a line later.
        assert!(
            waited >= Duration::from_secs(9),
            "{section} {words:?}: {waited:?}"
        );
        assert!(
            waited < Duration::from_secs(15),
            "{section} {words:?}: {waited:?}"
        );
    }
}

#[tokio::test]
async fn r28_web_pages_and_tls_clients_get_one_line_and_nothing_done() {
    let (provider, proxy) = ready().await;
    for section in SECTIONS {
        let body = login(section);
        let post = format!(
            "Host: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        for opening in [
            format!("GET / HTTP/1.1\r\n{post}"),
            format!("POST / HTTP/1.1\r\n{post}"),
            format!("post /x http/1.0\r\n{post}"),
            format!("HEAD / HTTP/1.1\r\n{post}"),
            format!("OPTIONS * HTTP/1.1\r\n{post}"),
            format!("PROPFIND / HTTP/1.1\r\n{post}"),
            format!("LOGIN / HTTP/1.1\r\n{post}"),
            format!("CONNECT localhost:25 HTTP/1.1\r\n{post}"),
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{body}"),
            format!("GET /\r\n{body}"),
            format!("\u{16}\u{3}\u{1}\u{2}\0{body}"),
            format!("\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{28}{body}"),
            format!("\u{17}\u{3}\u{3}{body}"),
        ] {
            let logs = Logs::catch();
            let heard = all_at_once(&proxy, section, &opening).await;
            let what = &opening[..12];
            assert_eq!(heard.lines().count(), 1, "{section} {what:?}: {heard}");
            assert!(is_no(section, &heard), "{section} {what:?}: {heard}");
            assert!(!logs.hold("login ("), "{}", logs.text());
        }
        // The hello of SSL 2.
        let hello = [
            &b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"[..],
            body.as_bytes(),
        ]
        .concat();
        let heard = all_at_once(&proxy, section, hello).await;
        assert!(
            heard.lines().count() == 1 && is_no(section, &heard),
            "{section}: {heard}"
        );
    }
    assert_eq!(provider.world.register.requests().len(), 0);
}
