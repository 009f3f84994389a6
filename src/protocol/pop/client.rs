//! The client's side of POP3: hears it out until it wants to log in. Everything is answered here.
//!
//! Knows no server. What a client sends behind its login is not read.

use zeroize::Zeroizing;

use super::Pop;
use super::command::{Command, parse};
use super::offer::shown;
use crate::protocol::sasl::{self, Credentials, Nonsense, OneMessage};
use crate::protocol::{
    CLIENT_TIME, Heard, Local, Login, MAX_AUTH_LINE, MAX_COMMANDS, MAX_LINE, MAX_NONSENSE,
};
use crate::wire::{Lost, Wire};

const NO_TLS: &str = "-ERR begin TLS with STLS first; set the client to STARTTLS";
const NO_MECHANISM: &str = "-ERR log in with user name and password (USER and PASS, or AUTH PLAIN or LOGIN); emailproxy fetches the token itself";

/// What came of one command.
enum Outcome {
    /// It was answered.
    Answered,
    /// It made no sense or came too early, which was answered.
    Nonsense,
    /// The conversation goes on elsewhere.
    Over(Heard),
}

/// Hears the client out.
pub(super) async fn hear(
    pop: &mut Pop,
    client: &mut Wire,
    local: &Local<'_>,
) -> Result<Heard, Lost> {
    for _ in 0..MAX_COMMANDS {
        match one(pop, client, local).await? {
            Outcome::Answered => {}
            Outcome::Over(heard) => return Ok(heard),
            Outcome::Nonsense => {
                pop.nonsense += 1;
                if pop.nonsense >= MAX_NONSENSE {
                    return show_out(
                        client,
                        "too many lines that are no POP3; check protocol and port in the client",
                    )
                    .await;
                }
            }
        }
    }
    show_out(client, "too many commands without a login").await
}

/// Hears and answers one command.
async fn one(pop: &mut Pop, client: &mut Wire, local: &Local<'_>) -> Result<Outcome, Lost> {
    let line = Zeroizing::new(client.line(MAX_LINE, CLIENT_TIME).await?);
    let command = parse(&line);
    if matches!(command, Command::User(_) | Command::Auth(..)) && !local.starttls {
        local.login_begins();
    }
    let answer = match command {
        Command::User(_) | Command::Pass(_) | Command::Auth(..) | Command::AuthList
            if local.starttls =>
        {
            return nonsense(client, NO_TLS).await;
        }
        Command::User(name) => match sasl::user(name) {
            Ok(name) => {
                pop.user = Some(name);
                "+OK now the password"
            }
            Err(why) => {
                pop.user = None;
                return conclude(client, "USER", Err(why)).await;
            }
        },
        Command::Pass(word) => {
            // The name is good for one password: after a refusal both come anew (RFC 1939 section 7).
            let Some(user) = pop.user.take() else {
                return nonsense(client, "-ERR USER comes first").await;
            };
            let read = sasl::password(word).map(|password| Credentials { user, password });
            return conclude(client, "PASS", read).await;
        }
        Command::Auth(mechanism, initial) => {
            pop.user = None;
            let initial = initial.map(|text| Zeroizing::new(text.to_vec()));
            return authenticate(client, &mechanism, initial).await;
        }
        Command::AuthList => "+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.",
        Command::Capa => {
            client.send(shown(local).as_bytes()).await?;
            return Ok(Outcome::Answered);
        }
        Command::Stls if local.starttls => {
            pop.user = None;
            say(client, "+OK begin TLS now").await?;
            return Ok(Outcome::Over(Heard::StartTls));
        }
        Command::Stls if client.is_secured() => {
            return nonsense(client, "-ERR TLS is in force already").await;
        }
        Command::Stls => return nonsense(client, "-ERR STLS is not offered here").await,
        Command::Noop => "+OK",
        Command::Quit => {
            say(client, "+OK emailproxy says goodbye").await?;
            return Ok(Outcome::Over(Heard::Left));
        }
        Command::Apop => {
            let text = "-ERR APOP is not offered here; set the client to a normal password";
            return nonsense(client, text).await;
        }
        Command::AfterLogin => return nonsense(client, "-ERR log in first").await,
        Command::Unknown => return nonsense(client, "-ERR this is no command; log in first").await,
    };
    say(client, answer).await?;
    Ok(Outcome::Answered)
}

async fn authenticate(
    client: &mut Wire,
    mechanism: &str,
    initial: Option<Zeroizing<Vec<u8>>>,
) -> Result<Outcome, Lost> {
    let read = match (mechanism, OneMessage::named(mechanism.as_bytes())) {
        (_, Some(mechanism)) => {
            let initial = initial.filter(|text| !mechanism.is_yet_to_come(text));
            match answer(client, initial, "").await? {
                Some(message) => mechanism.read(&message),
                None => return cancelled(client).await,
            }
        }
        ("LOGIN", None) => {
            let Some(user) = answer(client, initial, sasl::USER_PROMPT).await? else {
                return cancelled(client).await;
            };
            let Some(password) = answer(client, None, sasl::PASSWORD_PROMPT).await? else {
                return cancelled(client).await;
            };
            sasl::login_user(&user).and_then(|user| {
                sasl::login_password(&password).map(|password| Credentials { user, password })
            })
        }
        _ => return nonsense(client, NO_MECHANISM).await,
    };
    conclude(client, "AUTH", read).await
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
        say(client, &format!("+ {prompt}")).await?;
        Zeroizing::new(client.line(MAX_AUTH_LINE, CLIENT_TIME).await?)
    };
    Ok((message.trim_ascii() != b"*").then_some(message))
}

/// Hands over a login, or says why it is none.
async fn conclude(
    client: &mut Wire,
    verb: &'static str,
    read: Result<Credentials, Nonsense>,
) -> Result<Outcome, Lost> {
    match read {
        Ok(Credentials { user, password }) => Ok(Outcome::Over(Heard::Login(Login {
            user,
            password,
            tag: String::new(),
            verb,
        }))),
        Err(why) => {
            let text = format!("-ERR [AUTH] emailproxy: Login failed - {why}");
            nonsense(client, &text).await
        }
    }
}

async fn cancelled(client: &mut Wire) -> Result<Outcome, Lost> {
    say(client, "-ERR AUTH cancelled").await?;
    Ok(Outcome::Answered)
}

async fn nonsense(client: &mut Wire, text: &str) -> Result<Outcome, Lost> {
    say(client, text).await?;
    Ok(Outcome::Nonsense)
}

async fn show_out(client: &mut Wire, why: &'static str) -> Result<Heard, Lost> {
    say(client, &format!("-ERR {why}")).await?;
    Ok(Heard::ShownOut(why))
}

/// Says one line to the client.
pub(super) async fn say(client: &mut Wire, text: &str) -> Result<(), Lost> {
    client.send(format!("{text}\r\n").as_bytes()).await
}
