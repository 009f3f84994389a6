//! IMAP client commands, from bytes to meaning (RFC 3501 and RFC 9051 section 9).
//!
//! Pure: knows neither the connection nor what is answered. Only what may be said before login is understood.

use super::words::Argument;
use crate::protocol::sasl::Nonsense;

/// The longest tag, in bytes. The protocol sets no limit; clients use up to ten or so.
const MAX_TAG: usize = 128;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::imap::words::{Piece, arguments};

    fn words(text: &[u8]) -> Vec<Argument> {
        let line = Piece::Line(text.to_vec().into());
        arguments(&[line], head(text).unwrap().length).unwrap()
    }

    #[test]
    fn login_takes_a_name_and_a_password() {
        for line in [&b"a LOGIN u p"[..], b"a   login  u  p "] {
            let (user, password) = login(words(line)).unwrap();
            assert_eq!((&user[..], &password[..]), (&b"u"[..], &b"p"[..]));
        }
        for count in [&b"a LOGIN"[..], b"a LOGIN u", b"a LOGIN u p q"] {
            assert!(login(words(count)).is_err(), "{count:?}");
        }
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
    fn authenticate_takes_a_mechanism_and_perhaps_a_response() {
        let read = |text: &[u8]| authenticate(words(text));
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
