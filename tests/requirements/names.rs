//! User names and passwords that nobody can mean, in every way to say them: R-11.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::scene::{PASSWORD, SECTIONS, USER, call, is_no, is_welcome, log_in, ready};
use crate::support::client::Client;
use crate::support::daemon::Proxy;

/// Says a SASL message, or several, and returns the verdict without its tag.
async fn sasl(proxy: &Proxy, section: &str, mechanism: &str, messages: &[&[u8]]) -> String {
    let mut client = call(proxy, section).await;
    let command = if section == "IMAP-0" {
        "x AUTHENTICATE"
    } else {
        "AUTH"
    };
    let mut said = client.ask(&format!("{command} {mechanism}")).await;
    for message in messages {
        if is_no(section, &said) {
            break;
        }
        said = client.ask(&BASE64_STANDARD.encode(message)).await;
    }
    past_challenges(&mut client, said).await
}

async fn past_challenges(client: &mut Client, mut said: String) -> String {
    while said.starts_with("* ") {
        said = client.line().await;
    }
    said
}

#[tokio::test]
async fn r11_names_and_passwords_have_their_measure() {
    let (provider, proxy) = ready().await;
    let (long, longer) = ([b'u'; 320], [b'u'; 321]);
    let (pass, too_long) = ([b'p'; 1024], [b'p'; 1025]);
    // The first field is what is wrong; what only a stranger says is a login like any other.
    let table: &[(&str, &[u8], &[u8])] = &[
        ("empty", b"", b"p"),
        ("longer than 320", &longer, b"p"),
        ("longer than 1,024", b"u", &too_long),
        ("blank or a control", b"u v", b"p"),
        ("blank or a control", b"u\x01auth=Bearer x", b"p"),
        ("blank or a control", b"u\r\nRSET", b"p"),
        ("blank or a control", b"u\x1b[31m", b"p"),
        ("blank or a control", b"u\x7f", b"p"),
        ("not UTF-8", b"u\xc3\x28", b"p"),
        ("not UTF-8", b"u\xff", b"p"),
        ("not UTF-8", b"u\xed\xa0\x80", b"p"),
        ("line end", b"u", b"p\r\nx"),
        ("line end", b"u", b"p\n"),
        ("line end", b"u", b"p\r"),
    ];
    for section in SECTIONS {
        for (why, user, password) in table {
            let plain = [b"\0", *user, b"\0", *password].concat();
            let said = sasl(&proxy, section, "PLAIN", &[&plain]).await;
            assert!(
                is_no(section, &said) && said.contains(why),
                "{section} {why}: {said}"
            );
            let said = sasl(&proxy, section, "LOGIN", &[user, password]).await;
            assert!(
                is_no(section, &said) && said.contains(why),
                "{section} {why}: {said}"
            );
        }
        for (user, password) in [(&long[..], &pass[..]), (b"\xc3\xbc", b"\xff\x01 p")] {
            let plain = [b"\0", user, b"\0", password].concat();
            let said = sasl(&proxy, section, "PLAIN", &[&plain]).await;
            assert!(is_no(section, &said), "{section}: {said}");
            // A stranger, but one who said nothing wrong.
            assert!(said.contains("is incorrect"), "{section}: {said}");
        }
    }
    // Where a protocol has a way of its own to say them.
    for (why, user, password) in table {
        let (Ok(name), Ok(word)) = (std::str::from_utf8(user), std::str::from_utf8(password))
        else {
            continue;
        };
        let literal = format!(
            "x LOGIN {{{}+}}\r\n{name} {{{}+}}\r\n{word}\r\n",
            name.len(),
            word.len()
        );
        let mut client = call(&proxy, "IMAP-0").await;
        client.send(literal).await;
        let said = client.line().await;
        assert!(is_no("IMAP-0", &said), "{why}: {said}");
        if !name.contains('\n') && !word.contains(['\r', '\n']) {
            let mut client = call(&proxy, "POP-0").await;
            client.send(format!("USER {name}\r\nPASS {word}\r\n")).await;
            let mut said = client.line().await;
            if said.starts_with("+OK") {
                said = client.line().await;
            }
            assert!(is_no("POP-0", &said) && said.contains(why), "{why}: {said}");
        }
    }
    assert_eq!(provider.world.register.requests().len(), 0);
}

#[tokio::test]
async fn r11_messages_of_another_form_are_no_login() {
    let (provider, proxy) = ready().await;
    let right = format!("\0{USER}\0{PASSWORD}");
    for section in SECTIONS {
        for message in [
            USER.as_bytes(),
            format!("{USER}\0{PASSWORD}").as_bytes(),
            format!("\0{USER}{PASSWORD}").as_bytes(),
            format!("{right}\0").as_bytes(),
            format!("\0\0{USER}\0{PASSWORD}").as_bytes(),
            format!("\0{USER}\0correct\0horse").as_bytes(),
            format!("{right}\0\0\0").as_bytes(),
            b"",
            b"\0\0",
            b"\0",
        ] {
            let said = sasl(&proxy, section, "PLAIN", &[message]).await;
            let shape = String::from_utf8_lossy(message);
            assert!(is_no(section, &said), "{section} {shape:?}: {said}");
            // Only a message of the right form can be a login that is not accepted.
            if section == "IMAP-0" && shape != "\0\0" {
                assert!(said.starts_with("x BAD"), "{shape:?}: {said}");
            }
        }
        for somebody in [
            "other@example.com",
            "demo@example.co",
            "DEMO@example.com",
            " ",
        ] {
            let said = sasl(
                &proxy,
                section,
                "PLAIN",
                &[format!("{somebody}{right}").as_bytes()],
            )
            .await;
            assert!(is_no(section, &said), "{section} {somebody}: {said}");
        }
        let command = if section == "IMAP-0" {
            "x AUTHENTICATE PLAIN"
        } else {
            "AUTH PLAIN"
        };
        let good = BASE64_STANDARD.encode(&right);
        let (half, other) = good.split_at(8);
        for line in [
            "*",
            "=",
            "==",
            "!",
            "a",
            "a===",
            &format!("{half} {other}"),
            &format!("{half}\t{other}"),
            &format!("{half}={other}"),
            &format!("{half}\u{0}{other}"),
            &format!("{half}-_{other}"),
            &format!("{half}\r{other}"),
        ] {
            let mut client = call(&proxy, section).await;
            client.ask(command).await;
            client.send(format!("{line}\r\n")).await;
            let said = client.line().await;
            assert!(is_no(section, &said), "{section} {line:?}: {said}");
            // It may try again.
            if line == "*" {
                let said = log_in(&mut client, section).await;
                assert!(is_welcome(&said), "{section}: {said}");
            }
        }
        let said = sasl(
            &proxy,
            section,
            "PLAIN",
            &[format!("{USER}{right}").as_bytes()],
        )
        .await;
        assert!(!is_no(section, &said), "{section}: {said}");
    }
    assert_eq!(provider.world.register.requests().len(), 1);
}
