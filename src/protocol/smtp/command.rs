//! What an SMTP client may say before its login: one line in, one command out.
//!
//! Pure functions. Knows neither what was said before nor what is answered.

/// One line of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// EHLO with the client's name, which may be anything.
    Ehlo(&'a [u8]),
    /// HELO with the client's name, which may be anything.
    Helo(&'a [u8]),
    /// AUTH with the mechanism as sent, and the initial response where one came (`=` is an empty one).
    Auth {
        /// The mechanism's name, in whatever case.
        mechanism: &'a [u8],
        /// The base64 text behind it.
        initial: Option<&'a [u8]>,
    },
    /// STARTTLS.
    StartTls,
    /// MAIL, RCPT or DATA: an attempt to send without a login.
    Mail,
    /// BDAT with the size of the chunk that follows it, in bytes (RFC 3030 section 2).
    Bdat(u64),
    /// RSET.
    Rset,
    /// NOOP, whatever stands behind it.
    Noop,
    /// HELP, whatever stands behind it.
    Help,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// QUIT.
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonsense {
    /// The verb is none of ours.
    Unknown,
    /// The line holds control bytes: a telnet client's negotiation or its backspaces.
    ControlBytes,
    /// EHLO or HELO without a name.
    Nameless,
    /// The words behind the verb are not what the verb wants.
    Syntax,
}

/// Reads one line. Case and blanks at the end do not matter (RFC 5321 section 2.4 and 4.1.1).
pub(super) fn parse(line: &[u8]) -> Result<Command<'_>, Nonsense> {
    let line = line.trim_ascii_end();
    // The words behind EHLO may be anything; they are looked at where they go upstream.
    let (verb, words) = split(line);
    let bare = |command| {
        if words.is_empty() {
            Ok(command)
        } else {
            Err(Nonsense::Syntax)
        }
    };
    match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" if !words.is_empty() => Ok(Command::Ehlo(words)),
        b"HELO" if !words.is_empty() => Ok(Command::Helo(words)),
        b"EHLO" | b"HELO" => Err(Nonsense::Nameless),
        _ if line.iter().any(|&byte| is_odd(byte)) => Err(Nonsense::ControlBytes),
        b"AUTH" => auth(words),
        b"STARTTLS" => bare(Command::StartTls),
        b"MAIL" | b"RCPT" | b"DATA" => Ok(Command::Mail),
        b"BDAT" => bdat(words),
        b"RSET" => bare(Command::Rset),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" => Ok(Command::Vrfy),
        b"EXPN" => Ok(Command::Expn),
        b"QUIT" => bare(Command::Quit),
        _ => Err(Nonsense::Unknown),
    }
}

/// Makes a client's name fit to be said to the server: one printable word of at most 255 bytes.
pub(super) fn name(words: &[u8]) -> Option<String> {
    let fit = words.len() <= 255 && words.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(words).ok()?;
    fit.then(|| text.to_owned())
}

fn auth(words: &[u8]) -> Result<Command<'_>, Nonsense> {
    let (mechanism, rest) = split(words);
    let (initial, more) = split(rest);
    if mechanism.is_empty() || !more.is_empty() {
        return Err(Nonsense::Syntax);
    }
    Ok(Command::Auth {
        mechanism,
        initial: (!initial.is_empty()).then_some(initial),
    })
}

fn bdat(words: &[u8]) -> Result<Command<'_>, Nonsense> {
    let (size, _last) = split(words);
    std::str::from_utf8(size)
        .ok()
        .and_then(|size| size.parse().ok())
        .map(Command::Bdat)
        .ok_or(Nonsense::Syntax)
}

/// Splits a line at its first blanks.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

fn is_odd(byte: u8) -> bool {
    byte != b'\t' && (byte.is_ascii_control() || byte == 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_any_case_and_with_stray_blanks() {
        let auth = |mechanism: &'static [u8], initial: Option<&'static [u8]>| {
            Ok(Command::Auth { mechanism, initial })
        };
        let table: &[(&[u8], Result<Command<'_>, Nonsense>)] = &[
            (b"EHLO client", Ok(Command::Ehlo(b"client"))),
            (b"ehlo   client \t", Ok(Command::Ehlo(b"client"))),
            (b"HeLo my pc", Ok(Command::Helo(b"my pc"))),
            (b"EHLO caf\xe9", Ok(Command::Ehlo(b"caf\xe9"))),
            (b"EHLO", Err(Nonsense::Nameless)),
            (b"HELO  ", Err(Nonsense::Nameless)),
            (b"AUTH PLAIN", auth(b"PLAIN", None)),
            (b"auth plain AGEAYg==  ", auth(b"plain", Some(b"AGEAYg=="))),
            (b"Auth  LoGiN  dQ==", auth(b"LoGiN", Some(b"dQ=="))),
            (b"AUTH PLAIN =", auth(b"PLAIN", Some(b"="))),
            (b"AUTH PLAIN dQ== cA==", Err(Nonsense::Syntax)),
            (b"AUTH", Err(Nonsense::Syntax)),
            (b"AUTH ", Err(Nonsense::Syntax)),
            (b"starttls", Ok(Command::StartTls)),
            (b"STARTTLS now", Err(Nonsense::Syntax)),
            (b"MAIL FROM:<a@b>", Ok(Command::Mail)),
            (b"mail from: a@b", Ok(Command::Mail)),
            (b"RCPT TO:<a@b>", Ok(Command::Mail)),
            (b"DATA", Ok(Command::Mail)),
            (b"BDAT 12 LAST", Ok(Command::Bdat(12))),
            (b"BDAT 0", Ok(Command::Bdat(0))),
            (b"BDAT", Err(Nonsense::Syntax)),
            (b"BDAT -1", Err(Nonsense::Syntax)),
            (b"BDAT 99999999999999999999", Err(Nonsense::Syntax)),
            (b"RSET", Ok(Command::Rset)),
            (b"NOOP hello", Ok(Command::Noop)),
            (b"HELP AUTH", Ok(Command::Help)),
            (b"VRFY someone", Ok(Command::Vrfy)),
            (b"EXPN list", Ok(Command::Expn)),
            (b"QUIT ", Ok(Command::Quit)),
            (b"QUIT now", Err(Nonsense::Syntax)),
            (b"", Err(Nonsense::Unknown)),
            (b" EHLO x", Err(Nonsense::Unknown)),
            (b"a1 LOGIN user secret", Err(Nonsense::Unknown)),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2", Err(Nonsense::Unknown)),
            (b"GET / HTTP/1.1", Err(Nonsense::Unknown)),
            (b"\xff\xfb\x1fQUIT", Err(Nonsense::ControlBytes)),
            (b"AUTJ\x08H PLAIN", Err(Nonsense::ControlBytes)),
            (b"NO\0OP", Err(Nonsense::ControlBytes)),
        ];
        for (line, expected) in table {
            let line_shown = String::from_utf8_lossy(line);
            assert_eq!(parse(line), *expected, "{line_shown}");
        }
    }

    #[test]
    fn only_printable_words_become_a_name() {
        assert_eq!(name(b"client.example"), Some("client.example".into()));
        assert_eq!(name(b"[192.0.2.1]"), Some("[192.0.2.1]".into()));
        for bad in [b"my pc".as_slice(), b"caf\xe9", b"a\x01b", &[b'a'; 256]] {
            assert_eq!(name(bad), None);
        }
        assert!(name(&[b'a'; 255]).is_some());
    }
}
