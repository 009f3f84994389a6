//! IMAP server replies, from bytes to meaning, as far as they matter before login (RFC 9051 section 7).
//!
//! Pure: knows neither the connection nor what was asked.

/// One reply of a server to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// `+`: the server waits for more; a SASL challenge may follow.
    Go(&'a [u8]),
    /// `* BYE`: the server hangs up, with its words.
    Bye(&'a [u8]),
    /// Any other untagged response, without its `* `.
    Untagged(&'a [u8]),
    /// The command succeeded.
    Ok(&'a [u8]),
    /// The command failed: NO or BAD, with the words behind it.
    No(&'a [u8]),
    /// Nothing that answers this command.
    Strange,
}

/// A server's first words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting<'a> {
    /// It is ready for a login.
    Ready(&'a [u8]),
    /// It says that somebody is logged in already.
    Preauth,
    /// It hangs up.
    Bye(&'a [u8]),
    /// It is no IMAP server.
    Strange,
}

/// Reads a reply to the command with this tag. Only the first line of it matters.
pub(super) fn reply<'a>(response: &'a [u8], tag: &str) -> Reply<'a> {
    let line = first_line(response);
    if let Some(text) = line.strip_prefix(b"+") {
        return Reply::Go(text.trim_ascii());
    }
    let (first, rest) = split_word(line);
    let (second, text) = split_word(rest);
    match second.to_ascii_uppercase().as_slice() {
        b"BYE" if first == b"*" => Reply::Bye(text),
        _ if first == b"*" => Reply::Untagged(rest),
        b"OK" if first == tag.as_bytes() => Reply::Ok(text),
        b"NO" | b"BAD" if first == tag.as_bytes() => Reply::No(text),
        _ => Reply::Strange,
    }
}

/// Reads a greeting.
pub(super) fn greeting(line: &[u8]) -> Greeting<'_> {
    let (first, rest) = split_word(line);
    let (second, text) = split_word(rest);
    match second.to_ascii_uppercase().as_slice() {
        _ if first != b"*" => Greeting::Strange,
        b"OK" => Greeting::Ready(text),
        b"PREAUTH" => Greeting::Preauth,
        b"BYE" => Greeting::Bye(text),
        _ => Greeting::Strange,
    }
}

/// Returns whether a response may hold literals: untagged data does, a text for people does not, whatever it looks like.
pub(super) fn may_hold_literals(line: &[u8]) -> bool {
    let (first, rest) = split_word(line);
    let (second, _) = split_word(rest);
    first == b"*"
        && ![&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
            .iter()
            .any(|word| second.eq_ignore_ascii_case(word))
}

/// Returns whether a refusal says that trying again later helps, by RFC 5530 codes or the words of real servers.
pub(super) fn is_for_now(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    ["[unavailable]", "[inuse]", "[limit]"]
        .iter()
        .any(|code| text.starts_with(code))
        || crate::protocol::asks_for_patience(&text)
}

fn first_line(response: &[u8]) -> &[u8] {
    let end = response
        .iter()
        .position(|&byte| byte == b'\r')
        .unwrap_or(response.len());
    response.get(..end).unwrap_or_default()
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b' ') {
        None => (text, b""),
        Some(at) => {
            let (word, rest) = text.split_at(at);
            (word, rest.trim_ascii_start())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart() {
        let read = |line: &'static [u8]| reply(line, "A1");
        assert_eq!(read(b"A1 OK done\r\n"), Reply::Ok(b"done"));
        assert_eq!(read(b"A1 ok"), Reply::Ok(b""));
        assert_eq!(read(b"A1 NO [X] no\r\n"), Reply::No(b"[X] no"));
        assert_eq!(read(b"A1 BAD what"), Reply::No(b"what"));
        assert_eq!(read(b"* BYE gone"), Reply::Bye(b"gone"));
        assert_eq!(
            read(b"* CAPABILITY A B\r\n"),
            Reply::Untagged(b"CAPABILITY A B")
        );
        assert_eq!(read(b"+ eyJ9\r\n"), Reply::Go(b"eyJ9"));
        assert_eq!(read(b"+"), Reply::Go(b""));
        for strange in [&b"A2 OK x"[..], b"a1 OK x", b"A1 MAYBE", b"", b"A1", b"+OK"] {
            assert!(
                matches!(read(strange), Reply::Strange | Reply::Go(b"OK")),
                "{strange:?}"
            );
        }
    }

    #[test]
    fn greetings_are_told_apart() {
        assert_eq!(greeting(b"* OK hi"), Greeting::Ready(b"hi"));
        assert_eq!(greeting(b"* ok"), Greeting::Ready(b""));
        assert_eq!(greeting(b"* PREAUTH hi"), Greeting::Preauth);
        assert_eq!(greeting(b"* BYE no"), Greeting::Bye(b"no"));
        for strange in [
            &b"+OK POP3"[..],
            b"220 smtp",
            b"HTTP/1.1 400",
            b"",
            b"* NO x",
        ] {
            assert_eq!(greeting(strange), Greeting::Strange, "{strange:?}");
        }
    }

    #[test]
    fn only_data_holds_literals() {
        assert!(may_hold_literals(b"* ID (\"name\" {5}"));
        for none in [
            &b"* OK come {5}"[..],
            b"* BYE {5}",
            b"A1 OK {5}",
            b"+ {5}",
            b"* no {5}",
        ] {
            assert!(!may_hold_literals(none), "{none:?}");
        }
    }

    #[test]
    fn servers_that_ask_for_patience_are_understood() {
        for later in [
            &b"[UNAVAILABLE] later"[..],
            b"[inuse] x",
            b"[LIMIT] x",
            b"Request is throttled. Suggested Backoff Time: 89117 milliseconds",
            b"[ALERT] Too many simultaneous connections. (Failure)",
        ] {
            assert!(is_for_now(later));
        }
        for never in [
            &b"AUTHENTICATE failed."[..],
            b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            b"",
        ] {
            assert!(!is_for_now(never));
        }
    }
}
