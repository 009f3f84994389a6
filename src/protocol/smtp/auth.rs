//! The AUTH exchange with a client (RFC 4954 section 4): PLAIN, LOGIN and the mechanisms that are meant for tokens, with and
//! without an initial response.
//!
//! Knows how user and password are asked for, not whose they are.

use zeroize::Zeroizing;

use super::{line, say};
use crate::protocol::sasl::{self, OneMessage};
use crate::protocol::{Login, MAX_AUTH_LINE};
use crate::wire::{Lost, Wire};

/// How an AUTH command went on.
pub(super) enum Told {
    /// User and password are there.
    Login(Login),
    /// It was answered by this line instead.
    No(String),
    /// It is a mechanism that nobody here understands.
    NoMechanism,
    /// A line was too long.
    TooLong,
}

/// Goes through an AUTH exchange (RFC 4954 section 4).
pub(super) async fn exchange(
    client: &mut Wire,
    mechanism: &[u8],
    initial: Option<&[u8]>,
) -> Result<Told, Lost> {
    let initial = initial.map(<[u8]>::to_vec).map(Zeroizing::new);
    let name = mechanism.to_ascii_uppercase();
    let (user, password) = match (name.as_slice(), OneMessage::named(&name)) {
        (_, Some(mechanism)) => {
            let message = match initial.filter(|text| !mechanism.is_yet_to_come(text)) {
                Some(message) => message,
                None => match challenge(client, "334 ").await? {
                    Ok(message) => message,
                    Err(told) => return Ok(told),
                },
            };
            match mechanism.read(&message) {
                Ok(credentials) => (credentials.user, credentials.password),
                Err(nonsense) => return Ok(undecodable(nonsense)),
            }
        }
        (b"LOGIN", None) => {
            let user = match initial {
                Some(user) => user,
                None => match challenge(client, &format!("334 {}", sasl::USER_PROMPT)).await? {
                    Ok(user) => user,
                    Err(told) => return Ok(told),
                },
            };
            let user = match sasl::login_user(&user) {
                Ok(user) => user,
                Err(nonsense) => return Ok(undecodable(nonsense)),
            };
            let word = match challenge(client, &format!("334 {}", sasl::PASSWORD_PROMPT)).await? {
                Ok(word) => word,
                Err(told) => return Ok(told),
            };
            match sasl::login_password(&word) {
                Ok(password) => (user, password),
                Err(nonsense) => return Ok(undecodable(nonsense)),
            }
        }
        _ => return Ok(Told::NoMechanism),
    };
    Ok(Told::Login(Login {
        user,
        password,
        tag: String::new(),
        verb: "AUTH",
    }))
}

/// Prompts and takes the answer, or what is to be told instead.
async fn challenge(
    client: &mut Wire,
    prompt: &str,
) -> Result<Result<Zeroizing<Vec<u8>>, Told>, Lost> {
    say(client, prompt).await?;
    let Some(line) = line(client, MAX_AUTH_LINE).await? else {
        return Ok(Err(Told::TooLong));
    };
    Ok(if line.trim_ascii() == b"*" {
        Err(Told::No("501 5.7.0 Authentication cancelled".into()))
    } else {
        Ok(line)
    })
}

fn undecodable(nonsense: sasl::Nonsense) -> Told {
    Told::No(format!("501 5.5.2 Cannot decode this response: {nonsense}"))
}
