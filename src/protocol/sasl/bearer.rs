//! XOAUTH2 and OAUTHBEARER in from a client: programs that know nothing else put their mail password where a token goes.
//!
//! Pure, as the rest of the room. That it is a password and no token, nobody here checks: whoever proves it does.

use super::{Credentials, Nonsense, password, plain, unbase64, user};
use crate::secret::Password;

/// Separates the fields of both messages.
const SEPARATOR: u8 = 1;

/// A mechanism in which the client says everything in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneMessage {
    /// RFC 4616; the one that is offered.
    Plain,
    /// Google's and Microsoft's own: `user=U`, `auth=Bearer PASSWORD`.
    Xoauth2,
    /// RFC 7628 section 3.1.
    Oauthbearer,
}

impl OneMessage {
    /// Finds a mechanism by its name, in upper case.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"PLAIN" => Some(Self::Plain),
            b"XOAUTH2" => Some(Self::Xoauth2),
            b"OAUTHBEARER" => Some(Self::Oauthbearer),
            _ => None,
        }
    }

    /// Returns whether an initial response says nothing, so that the message is still to be asked for: some clients send
    /// `=` where they mean that no message comes along.
    pub fn is_yet_to_come(self, initial: &[u8]) -> bool {
        self != Self::Plain && matches!(initial.trim_ascii(), b"" | b"=")
    }

    /// Reads the message, in base64.
    pub fn read(self, line: &[u8]) -> Result<Credentials, Nonsense> {
        match self {
            Self::Plain => plain(line),
            Self::Xoauth2 => xoauth2(&unbase64(line)?),
            Self::Oauthbearer => oauthbearer(&unbase64(line)?),
        }
    }
}

/// Reads `user=U`, `auth=Bearer PASSWORD` and the empty fields that end the message.
fn xoauth2(message: &[u8]) -> Result<Credentials, Nonsense> {
    let name = field(message, b"user=").ok_or(Nonsense("the message names no user"))?;
    Ok(Credentials {
        user: user(name)?,
        password: bearer(message)?,
    })
}

/// Reads a GS2 header with the user name, and `auth=Bearer PASSWORD` behind it.
fn oauthbearer(message: &[u8]) -> Result<Credentials, Nonsense> {
    let mut fields = message.split(|&byte| byte == SEPARATOR);
    let header = fields.next().unwrap_or_default();
    let mut parts = header.split(|&byte| byte == b',');
    let (Some(binding), Some(acts_for), Some(b""), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Nonsense("an OAUTHBEARER message begins with `n,a=USER,`"));
    };
    if !matches!(binding, b"n" | b"y") {
        return Err(Nonsense("channel binding is not known here"));
    }
    let name = match (acts_for.strip_prefix(b"a="), field(message, b"user=")) {
        (Some(name), _) => unescape(name)?,
        // An early draft had the name here, and some clients have it still.
        (None, Some(name)) if acts_for.is_empty() => name.to_vec(),
        _ => return Err(Nonsense("the message names no user")),
    };
    Ok(Credentials {
        user: user(&name)?,
        password: bearer(message)?,
    })
}

/// Finds what stands behind `key` in the one field that begins so.
fn field<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut fields = message.split(|&byte| byte == SEPARATOR);
    fields.find_map(|field| field.strip_prefix(key))
}

/// Reads the password that stands where a token is meant to be.
fn bearer(message: &[u8]) -> Result<Password, Nonsense> {
    const NO_BEARER: Nonsense = Nonsense("the message has no `auth=Bearer` with the mail password");
    let auth = field(message, b"auth=").ok_or(NO_BEARER)?;
    let blank = auth.iter().position(|&byte| byte == b' ');
    let (kind, word) = auth.split_at(blank.ok_or(NO_BEARER)?);
    if !kind.eq_ignore_ascii_case(b"Bearer") {
        return Err(NO_BEARER);
    }
    password(word.get(1..).unwrap_or_default()).map_err(|why| {
        if word.len() > super::MAX_PASSWORD {
            Nonsense(
                "what stands in the token's place is longer than 1,024 bytes; put the mail password there, emailproxy \
                 fetches the token itself",
            )
        } else {
            why
        }
    })
}

/// Undoes the escapes of a `saslname` (RFC 5801 section 4).
fn unescape(name: &[u8]) -> Result<Vec<u8>, Nonsense> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'=' {
            out.push(byte);
        } else if let Some(behind) = rest.strip_prefix(b"2C") {
            out.push(b',');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(b"3D") {
            out.push(b'=');
            rest = behind;
        } else {
            return Err(Nonsense(
                "in the user name, `=` and `,` are `=3D` and `=2C`",
            ));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Identity;
    use crate::protocol::sasl::Mechanism;
    use crate::secret::AccessToken;

    fn read(mechanism: OneMessage, message: &[u8]) -> Result<(String, Vec<u8>), Nonsense> {
        let found = mechanism.read(STANDARD.encode(message).as_bytes())?;
        Ok((found.user, found.password.reveal().clone()))
    }

    #[test]
    fn the_password_is_found_where_the_token_goes() {
        use OneMessage::{Oauthbearer, Xoauth2};
        let longest = [
            &b"user="[..],
            &[b'u'; 320],
            b"\x01auth=Bearer ",
            &[b'p'; 1024],
            b"\x01\x01",
        ]
        .concat();
        let (long_user, long_password) = ("u".repeat(320), "p".repeat(1024));
        let table: &[(OneMessage, &[u8], &str, &[u8])] = &[
            (Xoauth2, b"user=u@x\x01auth=Bearer pw\x01\x01", "u@x", b"pw"),
            (Xoauth2, b"user=u@x\x01auth=bearer pw\x01\x01", "u@x", b"pw"),
            (
                Xoauth2,
                b"user=u@x\x01auth=Bearer  p w \x01\x01",
                "u@x",
                b" p w ",
            ),
            (
                Xoauth2,
                b"user=u@x\x01auth=Bearer p=\xe4,\x01\x01",
                "u@x",
                b"p=\xe4,",
            ),
            (Xoauth2, b"user=u@x\x01auth=Bearer \x01\x01", "u@x", b""),
            (Xoauth2, b"auth=Bearer pw\x01user=u@x\x01\x01", "u@x", b"pw"),
            (Xoauth2, b"user=u@x\x01auth=Bearer pw", "u@x", b"pw"),
            (Xoauth2, &longest, &long_user, long_password.as_bytes()),
            (
                Oauthbearer,
                b"n,a=u@x,\x01host=h\x01port=993\x01auth=Bearer pw\x01\x01",
                "u@x",
                b"pw",
            ),
            (
                Oauthbearer,
                b"y,a=u@x,\x01auth=Bearer pw\x01\x01",
                "u@x",
                b"pw",
            ),
            (
                Oauthbearer,
                b"n,a=a=3Db=2Cc,\x01auth=Bearer pw\x01\x01",
                "a=b,c",
                b"pw",
            ),
            (
                Oauthbearer,
                b"n,,\x01user=u@x\x01auth=Bearer pw\x01\x01",
                "u@x",
                b"pw",
            ),
        ];
        for (mechanism, message, user, password) in table {
            let shown = String::from_utf8_lossy(message);
            let expected = ((*user).to_owned(), password.to_vec());
            assert_eq!(read(*mechanism, message), Ok(expected), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use OneMessage::{Oauthbearer, Xoauth2};
        let token = [&b"user=u\x01auth=Bearer "[..], &[b't'; 1025], b"\x01\x01"].concat();
        for (mechanism, message) in [
            (Xoauth2, &b""[..]),
            (Xoauth2, b"user=\x01auth=Bearer pw\x01\x01"),
            (Xoauth2, b"user=u v\x01auth=Bearer pw\x01\x01"),
            (Xoauth2, b"user=u\r\n\x01auth=Bearer pw\x01\x01"),
            (Xoauth2, b"user=u\x01\x01"),
            (Xoauth2, b"user=u\x01auth=\x01\x01"),
            (Xoauth2, b"user=u\x01auth=pw\x01\x01"),
            (Xoauth2, b"user=u\x01auth=Basic pw\x01\x01"),
            (Xoauth2, b"user=u\x01auth=Bearer p\0w\x01\x01"),
            (Xoauth2, b"user=u\x01auth=Bearer p\nw\x01\x01"),
            (Xoauth2, b"\0u\0pw"),
            (Xoauth2, b"n,a=u,\x01auth=Bearer pw\x01\x01"),
            (Xoauth2, &token),
            (Oauthbearer, b""),
            (Oauthbearer, b"user=u\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"n,a=,\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"n,a=u\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"n,a=u,v,\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"n,a=u=40x,\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"n,,\x01auth=Bearer pw\x01\x01"),
            (Oauthbearer, b"p=tls-unique,a=u,\x01auth=Bearer pw\x01\x01"),
            // RFC 7628 section 4.3: a question for the endpoints, which is no login.
            (Oauthbearer, b"n,a=u,\x01auth=\x01\x01"),
        ] {
            let shown = String::from_utf8_lossy(message);
            assert!(read(mechanism, message).is_err(), "{shown}");
        }
        assert!(
            read(Xoauth2, &token)
                .unwrap_err()
                .0
                .contains("put the mail password there")
        );
        assert!(Xoauth2.read(b"no base64!").is_err());
    }

    #[test]
    fn an_empty_initial_response_is_no_message_yet() {
        for mechanism in [OneMessage::Xoauth2, OneMessage::Oauthbearer] {
            assert!(mechanism.is_yet_to_come(b"") && mechanism.is_yet_to_come(b"= "));
            assert!(!mechanism.is_yet_to_come(b"dXNlcj0="));
        }
        assert!(!OneMessage::Plain.is_yet_to_come(b"="));
    }

    proptest! {
        #[test]
        fn what_we_say_to_servers_we_would_understand(
            user in "[!-~\u{a1}-\u{24f}]{1,40}",
            word in "[A-Za-z0-9._~+/=-]{1,100}",
        ) {
            let token = AccessToken::parse(&word).unwrap();
            let identity = Identity { user: &user, token: &token, host: "h", port: 1 };
            for (ours, theirs) in [
                (Mechanism::Xoauth2, OneMessage::Xoauth2),
                (Mechanism::Oauthbearer, OneMessage::Oauthbearer),
            ] {
                let message = ours.message(&identity).unwrap();
                let found = theirs.read(message.reveal().as_bytes()).unwrap();
                prop_assert_eq!(&found.user, &user);
                prop_assert_eq!(found.password.reveal(), word.as_bytes());
            }
        }

        #[test]
        fn nonsense_is_refused_and_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            begin in prop::sample::select(vec!["", "user=", "user=u\u{1}auth=", "n,a=", "n,a=u,\u{1}auth=Bearer "]),
        ) {
            let message = [begin.as_bytes(), &bytes].concat();
            for mechanism in [OneMessage::Plain, OneMessage::Xoauth2, OneMessage::Oauthbearer] {
                if let Ok((user, password)) = read(mechanism, &message) {
                    prop_assert!((1..=320).contains(&user.len()) && password.len() <= 1024);
                    prop_assert!(!user.bytes().any(|byte| byte < 0x21 || byte == 0x7f));
                }
                drop(mechanism.read(&message));
            }
        }
    }
}
