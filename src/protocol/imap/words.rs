//! The arguments of an IMAP command: atoms, quoted strings and literals (RFC 9051 section 4, RFC 7888).
//!
//! Pure: knows neither the connection nor what the arguments mean.

use zeroize::Zeroizing;

use crate::protocol::sasl::Nonsense;

/// A part of a command, as it came: all may hold a password.
pub(super) enum Piece {
    /// A line without its end.
    Line(Zeroizing<Vec<u8>>),
    /// The bytes of a literal.
    Literal(Zeroizing<Vec<u8>>),
}

/// One argument of a command.
pub(super) type Argument = Zeroizing<Vec<u8>>;

/// A literal that is announced at the end of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Its size in bytes; `usize::MAX` if the number is beyond counting.
    pub size: usize,
    /// Whether the client waits to be told to go on (RFC 7888 has the other kind).
    pub waits: bool,
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

/// Reads the arguments of a command, from a byte of its first line on: atoms, quoted strings and literals in any mix.
///
/// Atoms may hold anything but blanks and control bytes: clients send passwords that should have been quoted.
pub(super) fn arguments(pieces: &[Piece], from: usize) -> Result<Vec<Argument>, Nonsense> {
    let mut found = Vec::new();
    let mut skip = from;
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
        Ok(arguments(pieces, "a LOGIN".len())?
            .into_iter()
            .map(|word| word.to_vec())
            .collect())
    }

    #[test]
    fn arguments_come_in_any_mix() {
        let words = |pieces: &[Piece]| read(pieces).unwrap();
        assert_eq!(words(&[line(b"a LOGIN u p")]), [b"u", b"p"]);
        assert_eq!(words(&[line(b"a LOGIN  u  p  ")]), [b"u", b"p"]);
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
}
