//! The server's side of POP3: from its greeting to its answer to our login.
//!
//! Knows no client. Nothing of a client reaches a server here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::command::{Reply, is_for_now, reply};
use super::offer::{mechanisms, offered};
use crate::protocol::sasl::Mechanism;
use crate::protocol::{
    Abilities, Identity, MAX_REPLY, MAX_REPLY_LINE, MAX_REPLY_LINES, Opened, SERVER_TIME, StartTls,
    Welcome, await_greeting, lost_server, misbehaved, needs_silence, needs_tls,
};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::Wire;

/// How long leaving a server may take in all.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Hears the greeting, begins TLS where asked to, and learns what the server offers, unless that is known.
pub(super) async fn open(
    mut server: Wire,
    starttls: Option<StartTls<'_>>,
    known: Option<Arc<Abilities>>,
) -> Result<Opened, Refusal> {
    await_greeting(&mut server, starttls.is_some()).await?;
    let greeting = hear(&mut server, SERVER_TIME).await?;
    server.set_deadline(None);
    match reply(&greeting) {
        Reply::Ok(_) => {}
        Reply::Err(text) => {
            return Err(Refusal::ServerBusy {
                server: server.peer().to_owned(),
                said: Said::new(text),
            });
        }
        Reply::Go(_) | Reply::Strange => {
            return Err(misbehaved(
                &server,
                &format!(
                    "this is no POP3 greeting: \"{}\"; check server_address, server_port and server_starttls",
                    Said::new(&greeting).short()
                ),
            ));
        }
    }
    if let Some(how) = starttls {
        server = secure(server, how).await?;
    }
    let abilities = match known {
        Some(known) => known,
        None => {
            let said = ask_capabilities(&mut server).await?;
            Arc::new(Abilities {
                offer: offered(&said),
                mechanisms: mechanisms(&said),
                initial_response: false,
            })
        }
    };
    Ok(Opened { server, abilities })
}

/// Logs in, always in two steps: tokens are longer than the line of an initial response may be (RFC 5034 section 4).
pub(super) async fn authenticate(
    opened: &mut Opened,
    identity: Identity<'_>,
) -> Result<Welcome, Refusal> {
    let server = &mut opened.server;
    needs_tls(server)?;
    let mechanism = Mechanism::choose(&opened.abilities.mechanisms);
    let message = mechanism
        .message(&identity)
        .map_err(|why| Refusal::Misconfigured(why.to_string()))?;
    let mut line = ask(server, &format!("AUTH {}", mechanism.name())).await?;
    let mut asked = false;
    let mut challenge: Option<Said> = None;
    loop {
        match reply(&line) {
            Reply::Go(_) if !asked => {
                asked = true;
                line = ask(server, message.reveal()).await?;
            }
            Reply::Go(text) if challenge.is_none() => {
                challenge = Some(message.explain(text));
                line = ask(server, mechanism.concession()).await?;
            }
            Reply::Ok(_) if asked && challenge.is_none() => {
                if message.is_told_by(&line) {
                    line = b"+OK logged in".to_vec();
                }
                line.extend_from_slice(b"\r\n");
                return Ok(Welcome(line));
            }
            Reply::Err(text) => {
                let name = server.peer().to_owned();
                let words = message.heard(text);
                let said = match challenge {
                    Some(reason) if !reason.is_empty() => Said::new(format!("{words} ({reason})")),
                    _ => words,
                };
                return Err(if is_for_now(text) {
                    Refusal::ServerBusy { server: name, said }
                } else {
                    Refusal::ServerRefused { server: name, said }
                });
            }
            Reply::Go(_) | Reply::Ok(_) | Reply::Strange => {
                let said = message.heard(&line).short();
                return Err(misbehaved(
                    server,
                    &format!("it answered the login with \"{said}\""),
                ));
            }
        }
    }
}

/// Says goodbye, and waits for the answer only briefly.
pub(super) async fn leave(mut server: Wire) {
    let goodbye = async {
        // The answer matters to nobody.
        drop(ask(&mut server, "QUIT").await);
        server.finish().await;
    };
    // Whoever does not answer in time is left without an answer.
    drop(timeout(LEAVE_TIME, goodbye).await);
}

async fn secure(mut server: Wire, how: StartTls<'_>) -> Result<Wire, Refusal> {
    let line = ask(&mut server, "STLS").await?;
    match reply(&line) {
        Reply::Ok(_) => {}
        Reply::Err(_) | Reply::Go(_) | Reply::Strange => {
            let said = Said::new(&line).short();
            return Err(misbehaved(
                &server,
                &format!(
                    "it refused STLS: \"{said}\"; if its port begins with TLS, set server_starttls = False"
                ),
            ));
        }
    }
    let name = server.peer().to_owned();
    server
        .begin_tls(how.trust, how.host)
        .await
        .map_err(|lost| lost_server(&name, &lost))
}

/// Returns the lines of CAPA; a server that does not know it has none.
async fn ask_capabilities(server: &mut Wire) -> Result<Vec<Vec<u8>>, Refusal> {
    let until = Instant::now() + SERVER_TIME;
    let first = ask(server, "CAPA").await?;
    match reply(&first) {
        Reply::Ok(_) => {}
        Reply::Err(_) => return Ok(Vec::new()),
        Reply::Go(_) | Reply::Strange => {
            let said = Said::new(&first).short();
            return Err(misbehaved(
                server,
                &format!("it answered CAPA with \"{said}\""),
            ));
        }
    }
    let mut lines = Vec::new();
    let mut room = MAX_REPLY;
    for _ in 0..MAX_REPLY_LINES {
        let line = hear(server, until.saturating_duration_since(Instant::now())).await?;
        if line == b"." {
            return Ok(lines);
        }
        let left = room.checked_sub(line.len() + 2);
        room = left.ok_or_else(|| misbehaved(server, "its reply is longer than 32 KiB"))?;
        lines.push(line);
    }
    Err(misbehaved(server, "its reply has more than 128 lines"))
}

/// Says one line, which may hold a token, and hears one.
async fn ask(server: &mut Wire, text: &str) -> Result<Vec<u8>, Refusal> {
    needs_silence(server)?;
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 2));
    line.push_str(text);
    line.push_str("\r\n");
    let sent = server.send(line.as_bytes()).await;
    sent.map_err(|lost| lost_server(server.peer(), &lost))?;
    hear(server, SERVER_TIME).await
}

async fn hear(server: &mut Wire, within: Duration) -> Result<Vec<u8>, Refusal> {
    let heard = server.line(MAX_REPLY_LINE, within).await;
    heard.map_err(|lost| lost_server(server.peer(), &lost))
}
