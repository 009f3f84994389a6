//! IMAP client commands, from bytes to meaning (RFC 3501 and RFC 9051 section 9).
//!
//! Pure: knows neither the connection nor what is answered. Only what may be said before login is understood.

use zeroize::Zeroizing;

use crate::protocol::sasl::Nonsense;

/// The longest tag, in bytes. The protocol sets no limit; clients use up to ten or so.
const MAX_TAG: usize = 128;

/// A part of a command, as it came: all may hold a password.
pub(super) enum Piece {
    /// A line without its end.
    Line(Zeroizing<Vec<u8>>),
    /// The bytes of a literal.
    Literal(Zeroizing<Vec<u8>>),
}

/// One argument of a command.
pub(super) type Argument = Zeroizing<Vec<u8>>;

/// What a client wants, by the first word behind the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `CAPABILITY`
    Capability,
    /// `NOOP`
    Noop,
    /// `ID` (RFC 2971)
    Id,
    /// `LOGOUT`
    Logout,
    /// `STARTTLS`
    StartTls,
    /// `LOGIN`
    Login,
    /// `AUTHENTICATE`
    Authenticate,
    /// A command that needs a login first.
    AfterLogin,
    /// No command at all.
    Unknown,
}

/// The beginning of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The tag, which every answer repeats.
    pub tag: String,
    /// What is wanted.
    pub verb: Verb,
    /// How many bytes of the line the two take.
    pub length: usize,
}

/// A literal that is announced at the end of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Its size in bytes; `usize::MAX` if the number is beyond counting.
    pub size: usize,
    /// Whether the client waits to be told to go on (RFC 7888 has the other kind).
    pub waits: bool,
}

/// What AUTHENTICATE asks for.
#[derive(Debug)]
pub(super) struct Authenticate {
    /// The mechanism, upper case.
    pub mechanism: String,
    /// The initial response in base64, if one came along (RFC 4959).
    pub initial: Option<Argument>,
}

/// Reads the tag and the command word.
pub(super) fn head(line: &[u8]) -> Result<Head, Nonsense> {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    let tag = words.next().unwrap_or_default();
    let behind = words.next().unwrap_or_default();
    if tag.len() > MAX_TAG || !is_tag(tag) {
        return Err(Nonsense("a command begins with a tag, such as A1"));
    }
    let blanks = behind.len() - behind.trim_ascii_start().len();
    let word = behind
        .trim_ascii_start()
        .split(|&byte| byte == b' ')
        .next()
        .unwrap_or_default();
    Ok(Head {
        tag: String::from_utf8_lossy(tag).into_owned(),
        verb: verb(&word.to_ascii_uppercase()),
        length: line.len() - behind.len() + blanks + word.len(),
    })
}

/// Returns whether this may be a tag: anything an atom may hold but `+` (RFC 9051 section 9).
pub(super) fn is_tag(tag: &[u8]) -> bool {
    let fit = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
    !tag.is_empty() && tag.iter().all(fit)
}

/// Finds the literal that a line announces at its end, outside of quotes and behind a blank or parenthesis.
pub(super) fn announced(line: &[u8]) -> Option<Announced> {
    let inside = line.strip_suffix(b"}")?;
    let brace = inside.iter().rposition(|&byte| byte == b'{')?;
    let (before, number) = inside.split_at(brace);
    let number = number.get(1..)?;
    let (digits, waits) = match number.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (number, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if !matches!(before.last(), None | Some(b' ' | b'(')) || is_quote_open(before) {
        return None;
    }
    let size = std::str::from_utf8(digits).ok()?.parse();
    Some(Announced {
        size: size.unwrap_or(usize::MAX),
        waits,
    })
}

/// Reads the arguments behind the head: atoms, quoted strings and literals in any mix.
///
/// Atoms may hold anything but blanks and control bytes: clients send passwords that should have been quoted.
pub(super) fn arguments(head: &Head, pieces: &[Piece]) -> Result<Vec<Argument>, Nonsense> {
    let mut found = Vec::new();
    let mut skip = head.length;
    let mut pieces = pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(bytes) => found.push(bytes.clone()),
            Piece::Line(line) => {
                let mut rest = line.get(skip..).unwrap_or_default();
                skip = 0;
                if pieces.peek().is_some() {
                    // The announcement is no argument; its literal is.
                    let brace = rest.iter().rposition(|&byte| byte == b'{').unwrap_or(0);
                    rest = rest.get(..brace).unwrap_or_default();
                }
                words(rest, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Reads LOGIN's user name and password, as they came.
pub(super) fn login(arguments: Vec<Argument>) -> Result<(Argument, Argument), Nonsense> {
    let [user, password] = <[Argument; 2]>::try_from(arguments)
        .map_err(|_| Nonsense("LOGIN takes a user name and a password; quote what holds blanks"))?;
    Ok((user, password))
}

/// Reads AUTHENTICATE's mechanism and initial response.
pub(super) fn authenticate(arguments: Vec<Argument>) -> Result<Authenticate, Nonsense> {
    let mut arguments = arguments.into_iter();
    let (Some(mechanism), initial, None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(Nonsense(
            "AUTHENTICATE takes a mechanism and perhaps an initial response",
        ));
    };
    let mechanism = String::from_utf8_lossy(&mechanism).to_ascii_uppercase();
    Ok(Authenticate { mechanism, initial })
}

fn verb(word: &[u8]) -> Verb {
    match word {
        b"CAPABILITY" => Verb::Capability,
        b"NOOP" => Verb::Noop,
        b"ID" => Verb::Id,
        b"LOGOUT" => Verb::Logout,
        b"STARTTLS" => Verb::StartTls,
        b"LOGIN" => Verb::Login,
        b"AUTHENTICATE" => Verb::Authenticate,
        b"APPEND" | b"CHECK" | b"CLOSE" | b"COMPRESS" | b"COPY" | b"CREATE" | b"DELETE"
        | b"ENABLE" | b"EXAMINE" | b"EXPUNGE" | b"FETCH" | b"GETQUOTA" | b"GETQUOTAROOT"
        | b"IDLE" | b"LIST" | b"LSUB" | b"MOVE" | b"NAMESPACE" | b"NOTIFY" | b"RENAME"
        | b"SEARCH" | b"SELECT" | b"SORT" | b"STATUS" | b"STORE" | b"SUBSCRIBE" | b"THREAD"
        | b"UID" | b"UNSELECT" | b"UNSUBSCRIBE" | b"XLIST" => Verb::AfterLogin,
        _ => Verb::Unknown,
    }
}

/// Splits a line into atoms and quoted strings.
fn words(mut rest: &[u8], found: &mut Vec<Argument>) -> Result<(), Nonsense> {
    loop {
        rest = skip_blanks(rest);
        let (word, behind) = match rest.first() {
            None => return Ok(()),
            Some(b'"') => quoted(rest)?,
            Some(_) => atom(rest)?,
        };
        found.push(word);
        rest = behind;
    }
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|&&byte| byte == b' ').count();
    line.get(blanks..).unwrap_or_default()
}

fn atom(line: &[u8]) -> Result<(Argument, &[u8]), Nonsense> {
    let end = line
        .iter()
        .position(|&byte| byte == b' ')
        .unwrap_or(line.len());
    let (word, behind) = line.split_at(end);
    if word.first() == Some(&b'{') {
        return Err(Nonsense(
            "this is no literal; it should read {SIZE} or {SIZE+}",
        ));
    }
    if word.iter().any(u8::is_ascii_control) {
        return Err(Nonsense("there are control characters in the command"));
    }
    Ok((Zeroizing::new(word.to_vec()), behind))
}

/// Reads a quoted string. A backslash before anything but a quote or a backslash stands for itself: some clients quote
/// without escaping.
fn quoted(line: &[u8]) -> Result<(Argument, &[u8]), Nonsense> {
    let mut word = Zeroizing::new(Vec::with_capacity(line.len()));
    let mut bytes = line.iter().enumerate().skip(1).peekable();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                let behind = line.get(at + 1..).unwrap_or_default();
                if !matches!(behind.first(), None | Some(b' ')) {
                    return Err(Nonsense("a blank must follow a quoted string"));
                }
                return Ok((word, behind));
            }
            b'\\' => match bytes.next_if(|&(_, &next)| matches!(next, b'"' | b'\\')) {
                Some((_, &escaped)) => word.push(escaped),
                None => word.push(byte),
            },
            0..0x20 | 0x7f => {
                return Err(Nonsense("there are control characters in a quoted string"));
            }
            _ => word.push(byte),
        }
    }
    Err(Nonsense("the closing quote is missing"))
}

/// Returns whether a line ends inside of a quoted string.
fn is_quote_open(line: &[u8]) -> bool {
    let mut open = false;
    let mut starts = true;
    let mut bytes = line.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' if open => open = false,
            // A quote in the middle of an atom opens nothing.
            b'"' if starts => open = true,
            b'\\' if open => {
                bytes.next_if(|&&next| matches!(next, b'"' | b'\\'));
            }
            _ => {}
        }
        starts = matches!(byte, b' ' | b'(');
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Piece {
        Piece::Line(Zeroizing::new(text.to_vec()))
    }

    fn literal(bytes: &[u8]) -> Piece {
        Piece::Literal(Zeroizing::new(bytes.to_vec()))
    }

    fn read(pieces: &[Piece]) -> Result<Vec<Vec<u8>>, Nonsense> {
        let Some(Piece::Line(first)) = pieces.first() else {
            panic!("a command begins with a line");
        };
        let head = head(first).unwrap();
        Ok(arguments(&head, pieces)?
            .into_iter()
            .map(|word| word.to_vec())
            .collect())
    }

    #[test]
    fn any_legal_tag_is_taken() {
        for tag in [
            "A1",
            "1.85",
            "A.b-1",
            "00000000",
            "a]",
            "#&'/:;<=>?@[_`|~^$!,",
        ] {
            let found = head(format!("{tag} noop").as_bytes()).unwrap();
            assert_eq!((found.tag.as_str(), found.verb), (tag, Verb::Noop));
        }
        let long = "x".repeat(MAX_TAG);
        assert!(head(format!("{long} NOOP").as_bytes()).is_ok());
        assert!(head(format!("{long}x NOOP").as_bytes()).is_err());
    }

    #[test]
    fn illegal_tags_are_nonsense() {
        for bad in [
            &b""[..],
            b" NOOP",
            b"* NOOP",
            b"+ NOOP",
            b"a+ NOOP",
            b"{3} NOOP",
            b"(a) NOOP",
            b"\"a\" NOOP",
            b"a%b NOOP",
            b"a\\b NOOP",
            b"\xff\xfb\x1f\xff\xfb\x20A1 NOOP",
            b"A2\x08\x081 NOOP",
            b"\x16\x03\x01\x02",
            b"t\xc3\xa4g NOOP",
        ] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn command_words_are_told_apart_in_any_case() {
        for (text, verb) in [
            ("a capability", Verb::Capability),
            ("a Capability", Verb::Capability),
            ("a  LOGIN u p", Verb::Login),
            ("a authenticate PLAIN", Verb::Authenticate),
            ("a STARTTLS", Verb::StartTls),
            ("a ID NIL", Verb::Id),
            ("a LOGOUT", Verb::Logout),
            ("a SELECT INBOX", Verb::AfterLogin),
            ("a uid fetch 1 all", Verb::AfterLogin),
            ("a", Verb::Unknown),
            ("a ", Verb::Unknown),
            ("user x pass y", Verb::Unknown),
            ("EHLO me", Verb::Unknown),
            ("a LOG\x08GIN u p", Verb::Unknown),
        ] {
            assert_eq!(head(text.as_bytes()).unwrap().verb, verb, "{text:?}");
        }
    }

    #[test]
    fn arguments_come_in_any_mix() {
        let words = |pieces: &[Piece]| read(pieces).unwrap();
        assert_eq!(words(&[line(b"a LOGIN u p")]), [b"u", b"p"]);
        assert_eq!(words(&[line(b"a  LOGIN  u  p  ")]), [b"u", b"p"]);
        assert_eq!(
            words(&[line(br#"a LOGIN "u v" "p\"\\\"q""#)]),
            [&b"u v"[..], br#"p"\"q"#]
        );
        assert_eq!(
            words(&[line(b"a LOGIN u \"\"")]),
            [&b"u"[..], b""],
            "an empty password is a password"
        );
        assert_eq!(
            words(&[
                line(b"a LOGIN {1}"),
                literal(b"u"),
                line(b" {4+}"),
                literal(b"p\r\nq"),
                line(b"")
            ]),
            [&b"u"[..], b"p\r\nq"]
        );
        assert_eq!(
            words(&[line(b"a LOGIN \"u\" {1}"), literal(b"p"), line(b"")]),
            [b"u", b"p"]
        );
        assert_eq!(
            words(&[line(b"a LOGIN {1}"), literal(b"u"), line(b" \"p\"")]),
            [b"u", b"p"]
        );
        assert_eq!(
            words(&[line(b"a LOGIN u pa$$%w*rd{3}(")]),
            [&b"u"[..], b"pa$$%w*rd{3}("]
        );
        assert_eq!(
            words(&[line(b"a LOGIN u \"p\\w\xe4\"")]),
            [&b"u"[..], b"p\\w\xe4"]
        );
        assert_eq!(words(&[line(b"a LOGIN u p\"w")]), [&b"u"[..], b"p\"w"]);
    }

    #[test]
    fn broken_arguments_are_nonsense() {
        for bad in [
            &b"a LOGIN u \"p"[..],
            b"a LOGIN u \"p\\\"",
            b"a LOGIN \"u\"\"p\"",
            b"a LOGIN \"u\"x p",
            b"a LOGIN u {3-}",
            b"a LOGIN u {x}",
            b"a LOGIN u {}",
            b"a LOGIN u {+}",
            b"a LOGIN u \"p\x08w\"",
            b"a LOGIN u p\x08w",
            b"a LOGIN u p\0w",
            b"a LOGIN u \"p\rw\"",
        ] {
            assert!(read(&[line(bad)]).is_err(), "{bad:?}");
        }
        for count in [&b"a LOGIN"[..], b"a LOGIN u", b"a LOGIN u p q"] {
            let head = head(count).unwrap();
            let found = arguments(&head, &[line(count)]).unwrap();
            assert!(login(found).is_err(), "{count:?}");
        }
    }

    #[test]
    fn literals_are_seen_only_where_they_can_be() {
        let seen = |text: &[u8]| announced(text).map(|found| (found.size, found.waits));
        assert_eq!(seen(b"a LOGIN {5}"), Some((5, true)));
        assert_eq!(seen(b"a LOGIN {5+}"), Some((5, false)));
        assert_eq!(seen(b"a LOGIN u {0}"), Some((0, true)));
        assert_eq!(seen(b" {007}"), Some((7, true)));
        assert_eq!(seen(b"a ID ({4}"), Some((4, true)));
        assert_eq!(seen(b"a LOGIN \"x\" {4}"), Some((4, true)));
        assert_eq!(seen(b"a LOGIN \"x\\\"\" {4}"), Some((4, true)));
        assert_eq!(
            seen(b"a LOGIN {99999999999999999999999+}"),
            Some((usize::MAX, false))
        );
        for none in [
            &b"a LOGIN u \"{5}"[..],
            b"a LOGIN u \"x {5}",
            b"a LOGIN u \"x\\\" {5}",
            b"a LOGIN u pw{5}",
            b"a LOGIN u {5-}",
            b"a LOGIN u {-5}",
            b"a LOGIN u {}",
            b"a LOGIN u {5} ",
            b"}",
            b"",
        ] {
            assert_eq!(seen(none), None, "{none:?}");
        }
    }

    #[test]
    fn authenticate_takes_a_mechanism_and_perhaps_a_response() {
        let read = |text: &[u8]| {
            let head = head(text).unwrap();
            authenticate(arguments(&head, &[line(text)]).unwrap())
        };
        let found = read(b"a AUTHENTICATE plain").unwrap();
        assert_eq!(found.mechanism, "PLAIN");
        assert!(found.initial.is_none());
        let found = read(b"a AUTHENTICATE PLAIN AHUAcA==").unwrap();
        assert_eq!(&found.initial.unwrap()[..], b"AHUAcA==");
        let found = read(b"a AUTHENTICATE PLAIN =").unwrap();
        assert_eq!(&found.initial.unwrap()[..], b"=");
        assert!(read(b"a AUTHENTICATE").is_err());
        assert!(read(b"a AUTHENTICATE PLAIN x y").is_err());
    }
}
