//! What is promised of every session, checked on the bytes that went over the wire.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emailproxy::wire::fuzzing::HELLO;

/// The local password. No user name, tag or EHLO name can hold it, because of its blank.
pub const PASSWORD: &str = "lo cal-Pa55";

/// What every token contains.
pub const TOKEN: &str = "ya29.T0k3n-aBcDeFgHiJkLmNoPqRsTuVwXyZ";

/// Which protocol's words are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Imap,
    Pop,
    Smtp,
}

/// Where on a server's connection the relay began, if it did.
pub type Relay = Option<usize>;

/// Checks what one server heard: nothing but our own commands before the relay, a login only inside TLS, and in the login
/// nothing but the token's message.
///
/// `implicit` is whether TLS has to come first.
pub fn check_server(kind: Kind, implicit: bool, heard: &[u8], relay: Relay) {
    let before = &heard[..relay.unwrap_or(heard.len())];
    let (plain, inside) = match find(before, HELLO) {
        Some(at) => (&before[..at], &before[at + HELLO.len()..]),
        // Cut while it said hello.
        None if implicit && HELLO.starts_with(before) => return,
        None => (before, &[][..]),
    };
    assert!(!implicit || plain.is_empty(), "plain text before TLS");
    assert!(!holds(plain, TOKEN), "a token before TLS");
    assert!(
        relay.is_none() || find(before, HELLO).is_some(),
        "a relay without TLS"
    );
    for line in whole_lines(plain) {
        assert!(is_ours(kind, line), "before TLS: {}", line.escape_ascii());
    }
    for line in whole_lines(inside) {
        assert!(
            is_ours(kind, line) || is_login(kind, line),
            "before the login: {}",
            line.escape_ascii()
        );
    }
    assert!(!holds(before, PASSWORD), "the local password upstream");
}

/// Checks that what passed in the relay is what the client said, less something, in its order.
pub fn check_relay(passed: &[u8], said: &[u8]) {
    let mut said = said.iter();
    for (at, byte) in passed.iter().enumerate() {
        assert!(
            said.any(|other| other == byte),
            "nobody said this: {}",
            passed[at..].escape_ascii()
        );
    }
}

/// Checks what somebody may see who must see no secret.
pub fn check_open(what: &str, text: &[u8], secrets: &[&str]) {
    for secret in secrets {
        assert!(
            !holds(text, secret),
            "a secret in {what}: {}",
            text.escape_ascii()
        );
    }
}

/// Checks that a text is one line of printable ASCII.
pub fn check_line(what: &str, text: &str) {
    assert!(
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{what} is not one printable line: {text:?}"
    );
}

/// Returns whether a text holds a secret as it is or somewhere within base64.
pub fn holds(text: &[u8], secret: &str) -> bool {
    if find(text, secret.as_bytes()).is_some() {
        return true;
    }
    (0..3).any(|shift| {
        // Of the first and last character some bits belong to their neighbours.
        let padded = [&b"xxx"[..shift], secret.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        let coded = BASE64_STANDARD.encode(&padded[..whole]);
        let from = if shift == 0 { 0 } else { 4 };
        find(text, coded[from..].as_bytes()).is_some()
    })
}

/// Finds the first of some bytes in others.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let lines = bytes[..whole].split(|&byte| byte == b'\n');
    lines
        .filter(move |_| whole > 0)
        .map(|line| line.strip_suffix(b"\r").expect("every line ends with CRLF"))
}

/// Returns whether we may say a line to a server whoever it is.
fn is_ours(kind: Kind, line: &[u8]) -> bool {
    match kind {
        Kind::Imap => {
            let known: [&[u8]; 3] = [b"CAPABILITY", b"STARTTLS", b"LOGOUT"];
            line.strip_prefix(b"emailproxy ")
                .is_some_and(|word| known.contains(&word))
        }
        Kind::Pop => [&b"CAPA"[..], b"STLS", b"QUIT"].contains(&line),
        Kind::Smtp => {
            let name = line.strip_prefix(b"EHLO ");
            name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
                || [&b"STARTTLS"[..], b"QUIT"].contains(&line)
        }
    }
}

/// Returns whether a line belongs to a login with a token.
fn is_login(kind: Kind, line: &[u8]) -> bool {
    // The answer to an error challenge.
    if line.is_empty() || line == b"AQ==" || is_message(line) {
        return true;
    }
    let command = match kind {
        Kind::Imap => {
            let Some(blank) = line.iter().position(|&byte| byte == b' ') else {
                return false;
            };
            let tag = &line[..blank];
            let fit = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
            if tag.is_empty() || !tag.iter().all(fit) {
                return false;
            }
            line[blank + 1..].strip_prefix(b"AUTHENTICATE ")
        }
        Kind::Pop | Kind::Smtp => line.strip_prefix(b"AUTH "),
    };
    let known: [&[u8]; 2] = [b"XOAUTH2", b"OAUTHBEARER"];
    command.is_some_and(|words| {
        known.iter().any(|name| {
            words.strip_prefix(*name).is_some_and(|rest| {
                rest.is_empty()
                    || (kind == Kind::Imap && rest.strip_prefix(b" ").is_some_and(is_message))
            })
        })
    })
}

/// Returns whether a line is the message of XOAUTH2 or OAUTHBEARER, and nothing else.
fn is_message(line: &[u8]) -> bool {
    let Ok(message) = BASE64_STANDARD.decode(line) else {
        return false;
    };
    let Ok(message) = String::from_utf8(message) else {
        return false;
    };
    let Some((who, rest)) = message.split_once('\u{1}') else {
        return false;
    };
    let named = who
        .strip_prefix("user=")
        .or_else(|| {
            who.strip_prefix("n,a=")
                .and_then(|who| who.strip_suffix(','))
        })
        .is_some_and(|user| !user.is_empty() && !user.chars().any(char::is_control));
    let mut parts = rest.split('\u{1}');
    let token = parts
        .by_ref()
        .find_map(|part| part.strip_prefix("auth=Bearer "));
    let behind: Vec<&str> = parts.collect();
    named
        && token.is_some_and(|token| token.starts_with(TOKEN))
        && behind.iter().all(|part| part.is_empty())
}
