//! POP3 lines, from bytes to meaning: a client's commands and a server's replies (RFC 1939, RFC 5034).
//!
//! Pure: knows neither the connection nor what was said before.

/// One line of a client before its login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// `CAPA` (RFC 2449)
    Capa,
    /// `USER` with a name, without the blanks around it.
    User(&'a [u8]),
    /// `PASS` with all that follows the first blank, blanks included (RFC 1939 section 7).
    Pass(&'a [u8]),
    /// `AUTH` alone, which some clients ask for a list of mechanisms.
    AuthList,
    /// `AUTH` with a mechanism, upper case, and perhaps an initial response (RFC 5034 section 4).
    Auth(String, Option<&'a [u8]>),
    /// `STLS` (RFC 2595)
    Stls,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
    /// A login that we cannot serve: `APOP` needs the password itself on this side.
    Apop,
    /// A command that needs a login first.
    AfterLogin,
    /// No command at all.
    Unknown,
}

/// One line of a server that answers a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// `+OK`
    Ok(&'a [u8]),
    /// `-ERR`
    Err(&'a [u8]),
    /// `+`: the server waits for more; a SASL challenge may follow.
    Go(&'a [u8]),
    /// Nothing a POP server says.
    Strange,
}

/// Reads a client's line.
pub(super) fn parse(line: &[u8]) -> Command<'_> {
    let (verb, rest) = split(line);
    match verb.trim_ascii_end().to_ascii_uppercase().as_slice() {
        b"CAPA" => Command::Capa,
        b"USER" => Command::User(rest.trim_ascii()),
        b"PASS" => Command::Pass(rest),
        b"AUTH" => auth(rest),
        b"STLS" => Command::Stls,
        b"NOOP" => Command::Noop,
        b"QUIT" => Command::Quit,
        b"APOP" => Command::Apop,
        b"STAT" | b"LIST" | b"RETR" | b"DELE" | b"RSET" | b"TOP" | b"UIDL" | b"LAST" | b"UTF8"
        | b"LANG" => Command::AfterLogin,
        _ => Command::Unknown,
    }
}

/// Reads a server's line.
pub(super) fn reply(line: &[u8]) -> Reply<'_> {
    let (status, text) = split(line);
    match status.to_ascii_uppercase().as_slice() {
        b"+OK" => Reply::Ok(text),
        b"-ERR" => Reply::Err(text),
        b"+" => Reply::Go(text.trim_ascii()),
        _ => Reply::Strange,
    }
}

/// Returns whether a refusal says that trying again later helps, by RFC 2449 and RFC 3206 codes or the words of servers.
pub(super) fn is_for_now(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    ["[sys/temp]", "[in-use]", "[login-delay]"]
        .iter()
        .any(|code| text.starts_with(code))
        || crate::protocol::asks_for_patience(&text)
}

fn auth(rest: &[u8]) -> Command<'_> {
    let (mechanism, initial) = split(rest.trim_ascii());
    let initial = initial.trim_ascii();
    if mechanism.is_empty() {
        return Command::AuthList;
    }
    Command::Auth(
        String::from_utf8_lossy(mechanism).to_ascii_uppercase(),
        (!initial.is_empty()).then_some(initial),
    )
}

/// Splits a line at its first blank.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b' ') {
        None => (line, b""),
        Some(at) => (
            line.get(..at).unwrap_or_default(),
            line.get(at + 1..).unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_any_case() {
        let auth = |name: &str, initial| Command::Auth(name.to_owned(), initial);
        for (line, command) in [
            (&b"CAPA"[..], Command::Capa),
            (b"capa ", Command::Capa),
            (b"USER u@x", Command::User(b"u@x")),
            (b"user  u@x ", Command::User(b"u@x")),
            (b"USER", Command::User(b"")),
            (b"PASS p w ", Command::Pass(b"p w ")),
            (b"PASS  p", Command::Pass(b" p")),
            (b"Pass p\xe4", Command::Pass(b"p\xe4")),
            (b"PASS ", Command::Pass(b"")),
            (b"PASS", Command::Pass(b"")),
            (b"AUTH", Command::AuthList),
            (b"AUTH ", Command::AuthList),
            (b"auth plain", auth("PLAIN", None)),
            (b"AUTH PLAIN AHUAcA==", auth("PLAIN", Some(b"AHUAcA=="))),
            (b"AUTH PLAIN =", auth("PLAIN", Some(b"="))),
            (b"AUTH LOGIN  dQ== ", auth("LOGIN", Some(b"dQ=="))),
            (b"STLS", Command::Stls),
            (b"noop", Command::Noop),
            (b"QUIT", Command::Quit),
            (b"QUIT\t", Command::Quit),
            (b"APOP u 0123", Command::Apop),
            (b"STAT", Command::AfterLogin),
            (b"RETR 1", Command::AfterLogin),
            (b"", Command::Unknown),
            (b" USER u", Command::Unknown),
            (b"a1 LOGIN u p", Command::Unknown),
            (b"\xff\xfb\x1fUSER u", Command::Unknown),
            (b"USERR\x08 u", Command::Unknown),
        ] {
            assert_eq!(parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn replies_are_told_apart() {
        for (line, expected) in [
            (&b"+OK"[..], Reply::Ok(b"")),
            (b"+ok ready", Reply::Ok(b"ready")),
            (b"-ERR [AUTH] no", Reply::Err(b"[AUTH] no")),
            (b"-ERR", Reply::Err(b"")),
            (b"+", Reply::Go(b"")),
            (b"+ ", Reply::Go(b"")),
            (b"+ eyJ9", Reply::Go(b"eyJ9")),
            (b"+OKAY", Reply::Strange),
            (b"* OK IMAP", Reply::Strange),
            (b"220 smtp", Reply::Strange),
            (b"", Reply::Strange),
        ] {
            assert_eq!(reply(line), expected, "{line:?}");
        }
    }

    #[test]
    fn servers_that_ask_for_patience_are_understood() {
        for later in [
            &b"[SYS/TEMP] x"[..],
            b"[in-use] x",
            b"[LOGIN-DELAY] x",
            b"Request is throttled",
        ] {
            assert!(is_for_now(later));
        }
        for never in [
            &b"[AUTH] x"[..],
            b"[SYS/PERM] x",
            b"",
            b"Authentication failure",
        ] {
            assert!(!is_for_now(never));
        }
    }
}
