//! The client's side of IMAP: hears it out until it wants to log in. Everything is answered here.
//!
//! Knows no server. What a client sends behind its login is not read.

use zeroize::Zeroizing;

use super::command::{self, Head, Verb};
use super::offer::shown;
use super::words::{self, Announced, Piece};
use crate::protocol::sasl::{self, Credentials, Nonsense, OneMessage};
use crate::protocol::{
    CLIENT_TIME, Heard, Local, Login, MAX_AUTH_LINE, MAX_COMMANDS, MAX_LINE, MAX_NONSENSE,
};
use crate::wire::{LINE_TIME, Lost, Wire};

/// The largest literal before login, in bytes; a password is no longer.
const MAX_LITERAL: usize = 1024;

/// What came of one command.
enum Outcome {
    /// It was answered.
    Answered,
    /// It made no sense or came too early, which was answered.
    Nonsense,
    /// The conversation goes on elsewhere.
    Over(Heard),
}

/// How much of a command could be had.
enum Gathered {
    /// All of it.
    Whole(Vec<Piece>),
    /// It waits to be allowed a literal that it shall not send.
    Unwanted(Announced),
    /// It sends what nobody can keep.
    TooMuch,
}

/// Hears the client out; `nonsense` counts what had to be refused on this connection.
pub(super) async fn hear(
    nonsense: &mut usize,
    client: &mut Wire,
    local: &Local<'_>,
) -> Result<Heard, Lost> {
    for _ in 0..MAX_COMMANDS {
        match one(client, local).await? {
            Outcome::Answered => {}
            Outcome::Over(heard) => return Ok(heard),
            Outcome::Nonsense => {
                *nonsense += 1;
                if *nonsense >= MAX_NONSENSE {
                    return show_out(
                        client,
                        "too many lines that are no IMAP; check protocol and port in the client",
                    )
                    .await;
                }
            }
        }
    }
    show_out(client, "too many commands without a login").await
}

/// Hears and answers one command.
async fn one(client: &mut Wire, local: &Local<'_>) -> Result<Outcome, Lost> {
    let line = Zeroizing::new(client.line(MAX_LINE, CLIENT_TIME).await?);
    let head = command::head(&line);
    let wanted = match &head {
        Ok(head) => matches!(head.verb, Verb::Login | Verb::Id) && !is_private(head.verb, local),
        Err(_) => false,
    };
    if let Ok(head) = &head
        && matches!(head.verb, Verb::Login | Verb::Authenticate)
        && !is_private(head.verb, local)
    {
        local.login_begins();
    }
    let gathered = match gather(client, line, wanted).await? {
        Gathered::Whole(pieces) => Ok(pieces),
        Gathered::Unwanted(literal) => Err(literal),
        Gathered::TooMuch => {
            if let Ok(Head { tag, .. }) = &head {
                bad(
                    client,
                    tag,
                    "a literal before login has at most 1,024 bytes",
                )
                .await?;
            }
            // What follows would be taken for commands.
            let out = show_out(client, "a literal larger than 1,024 bytes before login").await?;
            return Ok(Outcome::Over(out));
        }
    };
    let head = match head {
        Ok(head) => head,
        Err(why) => {
            client.send(format!("* BAD {why}\r\n").as_bytes()).await?;
            return Ok(Outcome::Nonsense);
        }
    };
    let tag = &head.tag;
    if is_private(head.verb, local) {
        let text = format!(
            "{tag} NO [PRIVACYREQUIRED] begin TLS with STARTTLS first; set the client to STARTTLS\r\n"
        );
        client.send(text.as_bytes()).await?;
        return Ok(Outcome::Nonsense);
    }
    let pieces = match gathered {
        Ok(pieces) => pieces,
        Err(literal) => {
            let why = if literal.size > MAX_LITERAL {
                "literals before login are at most 1,024 bytes"
            } else if head.verb == Verb::AfterLogin {
                "log in first"
            } else {
                "no literal may stand here"
            };
            return bad(client, tag, why).await;
        }
    };
    match head.verb {
        Verb::Capability => {
            let known = shown(local);
            let text = format!("* CAPABILITY {known}\r\n{tag} OK CAPABILITY completed\r\n");
            client.send(text.as_bytes()).await?;
            Ok(Outcome::Answered)
        }
        Verb::Noop => {
            ok(client, tag, "NOOP completed").await?;
            Ok(Outcome::Answered)
        }
        Verb::Id => {
            let text = format!("* ID (\"name\" \"emailproxy\")\r\n{tag} OK ID completed\r\n");
            client.send(text.as_bytes()).await?;
            Ok(Outcome::Answered)
        }
        Verb::Logout => {
            let text = format!("* BYE emailproxy says goodbye\r\n{tag} OK LOGOUT completed\r\n");
            client.send(text.as_bytes()).await?;
            Ok(Outcome::Over(Heard::Left))
        }
        Verb::StartTls if local.starttls => {
            ok(client, tag, "begin TLS now").await?;
            Ok(Outcome::Over(Heard::StartTls))
        }
        Verb::StartTls if client.is_secured() => bad(client, tag, "TLS is in force already").await,
        Verb::StartTls => bad(client, tag, "STARTTLS is not offered here").await,
        Verb::Login => log_in(client, &head, &pieces).await,
        Verb::Authenticate => authenticate(client, &head, &pieces).await,
        Verb::AfterLogin => bad(client, tag, "log in first").await,
        Verb::Unknown => bad(client, tag, "this is no command; log in first").await,
    }
}

/// Gathers what belongs to a command: the literals it announces, and the lines behind them.
async fn gather(
    client: &mut Wire,
    line: Zeroizing<Vec<u8>>,
    wanted: bool,
) -> Result<Gathered, Lost> {
    let mut total = line.len();
    let mut next = words::announced(&line);
    let mut pieces = vec![Piece::Line(line)];
    while let Some(literal) = next {
        let fits = literal.size <= MAX_LITERAL && literal.size <= MAX_LINE.saturating_sub(total);
        if literal.waits {
            if !wanted || !fits {
                return Ok(Gathered::Unwanted(literal));
            }
            client.send(b"+ go ahead\r\n").await?;
        } else if !fits {
            return Ok(Gathered::TooMuch);
        }
        // Who is in the middle of a command has no reason to wait.
        let octets = Zeroizing::new(client.octets(literal.size, LINE_TIME).await?);
        total += octets.len();
        pieces.push(Piece::Literal(octets));
        let line = client.line(MAX_LINE.saturating_sub(total), LINE_TIME);
        let line = Zeroizing::new(line.await?);
        total += line.len();
        next = words::announced(&line);
        pieces.push(Piece::Line(line));
    }
    Ok(Gathered::Whole(pieces))
}

async fn log_in(client: &mut Wire, head: &Head, pieces: &[Piece]) -> Result<Outcome, Lost> {
    let (user, password) = match words::arguments(pieces, head.length).and_then(command::login) {
        Ok(found) => found,
        Err(Nonsense(why)) => return bad(client, &head.tag, why).await,
    };
    let read = || {
        Ok(Credentials {
            user: sasl::user(&user)?,
            password: sasl::password(&password)?,
        })
    };
    conclude(client, &head.tag, "LOGIN", read()).await
}

async fn authenticate(client: &mut Wire, head: &Head, pieces: &[Piece]) -> Result<Outcome, Lost> {
    let tag = &head.tag;
    let wish = match words::arguments(pieces, head.length).and_then(command::authenticate) {
        Ok(wish) => wish,
        Err(Nonsense(why)) => return bad(client, tag, why).await,
    };
    let read = match (
        wish.mechanism.as_str(),
        OneMessage::named(wish.mechanism.as_bytes()),
    ) {
        (_, Some(mechanism)) => {
            let initial = wish.initial.filter(|text| !mechanism.is_yet_to_come(text));
            match answer(client, initial, "").await? {
                Some(message) => mechanism.read(&message),
                None => return cancelled(client, tag).await,
            }
        }
        ("LOGIN", None) => {
            let Some(user) = answer(client, wish.initial, sasl::USER_PROMPT).await? else {
                return cancelled(client, tag).await;
            };
            let Some(password) = answer(client, None, sasl::PASSWORD_PROMPT).await? else {
                return cancelled(client, tag).await;
            };
            sasl::login_user(&user).and_then(|user| {
                sasl::login_password(&password).map(|password| Credentials { user, password })
            })
        }
        _ => {
            let text = format!(
                "{tag} NO log in with user name and password (LOGIN, or AUTHENTICATE PLAIN or LOGIN); emailproxy fetches the token itself\r\n"
            );
            client.send(text.as_bytes()).await?;
            return Ok(Outcome::Nonsense);
        }
    };
    conclude(client, tag, "AUTHENTICATE", read).await
}

/// Takes the next message of a SASL exchange: the one that came along, or the next line; `None` if it is cancelled.
async fn answer(
    client: &mut Wire,
    initial: Option<Zeroizing<Vec<u8>>>,
    prompt: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, Lost> {
    let message = if let Some(message) = initial {
        message
    } else {
        client.send(format!("+ {prompt}\r\n").as_bytes()).await?;
        Zeroizing::new(client.line(MAX_AUTH_LINE, CLIENT_TIME).await?)
    };
    Ok((message.trim_ascii() != b"*").then_some(message))
}

/// Hands over a login, or says why it is none.
async fn conclude(
    client: &mut Wire,
    tag: &str,
    verb: &'static str,
    read: Result<Credentials, Nonsense>,
) -> Result<Outcome, Lost> {
    match read {
        Ok(Credentials { user, password }) => Ok(Outcome::Over(Heard::Login(Login {
            user,
            password,
            tag: tag.to_owned(),
            verb,
        }))),
        // RFC 9051 section 6.2.2: BAD is for what cannot be decoded, NO for what is not accepted.
        Err(why) if why.is_undecodable() => bad(client, tag, why.0).await,
        Err(why) => {
            let text =
                format!("{tag} NO [AUTHENTICATIONFAILED] emailproxy: Login failed - {why}\r\n");
            client.send(text.as_bytes()).await?;
            Ok(Outcome::Nonsense)
        }
    }
}

/// Returns whether this must not be said before TLS.
fn is_private(verb: Verb, local: &Local<'_>) -> bool {
    local.starttls && matches!(verb, Verb::Login | Verb::Authenticate)
}

async fn ok(client: &mut Wire, tag: &str, text: &str) -> Result<(), Lost> {
    client.send(format!("{tag} OK {text}\r\n").as_bytes()).await
}

async fn bad(client: &mut Wire, tag: &str, why: &str) -> Result<Outcome, Lost> {
    let text = format!("{tag} BAD {why}\r\n");
    client.send(text.as_bytes()).await?;
    Ok(Outcome::Nonsense)
}

async fn cancelled(client: &mut Wire, tag: &str) -> Result<Outcome, Lost> {
    let text = format!("{tag} BAD AUTHENTICATE cancelled\r\n");
    client.send(text.as_bytes()).await?;
    Ok(Outcome::Answered)
}

async fn show_out(client: &mut Wire, why: &'static str) -> Result<Heard, Lost> {
    client.send(format!("* BYE {why}\r\n").as_bytes()).await?;
    Ok(Heard::ShownOut(why))
}
