//! The server's side of IMAP: from its greeting to its answer to our login.
//!
//! Knows no client. Nothing of a client reaches a server here but the tag of its login.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::command::is_tag;
use super::offer::Capabilities;
use super::reply::{Greeting, Reply, greeting, is_for_now, may_hold_literals, reply};
use super::words::announced;
use crate::protocol::sasl::{Mechanism, Message};
use crate::protocol::{
    Abilities, Identity, Login, MAX_REPLY, MAX_REPLY_LINE, MAX_REPLY_LINES, Opened, SERVER_TIME,
    StartTls, Welcome, await_greeting, lost_server, misbehaved, needs_silence, needs_tls,
};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::{Lost, Wire};

/// How long leaving a server may take in all.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// The tag of our own commands.
const TAG: &str = "emailproxy";

/// Hears the greeting, begins TLS where asked to, and learns what the server offers, unless that is known.
pub(super) async fn open(
    mut server: Wire,
    starttls: Option<StartTls<'_>>,
    known: Option<Arc<Abilities>>,
) -> Result<Opened, Refusal> {
    await_greeting(&mut server, starttls.is_some()).await?;
    let mut said = hear_greeting(&mut server).await?;
    server.set_deadline(None);
    if let Some(how) = starttls {
        server = secure(server, how).await?;
        // What was said before TLS may have been said by anybody (RFC 9051 section 6.2.1).
        said = None;
    }
    let abilities = match (said, known) {
        (Some(said), _) => Arc::new(said.abilities()),
        (None, Some(known)) => known,
        (None, None) => Arc::new(ask_capabilities(&mut server).await?.abilities()),
    };
    Ok(Opened { server, abilities })
}

/// Logs in with the client's own tag, so that the server's answer is the client's answer.
pub(super) async fn authenticate(
    opened: &mut Opened,
    identity: Identity<'_>,
    login: &Login,
) -> Result<Welcome, Refusal> {
    let server = &mut opened.server;
    needs_tls(server)?;
    let mechanism = Mechanism::choose(&opened.abilities.mechanisms);
    let message = mechanism
        .message(&identity)
        .map_err(|why| Refusal::Misconfigured(why.to_string()))?;
    let tag = if is_tag(login.tag.as_bytes()) {
        login.tag.as_str()
    } else {
        TAG
    };
    let name = mechanism.name();
    if !server.waiting().is_empty() && !server.waiting().starts_with(b"* ") {
        needs_silence(server)?;
    }
    let mut unsent = if opened.abilities.initial_response {
        let command = format!("{tag} AUTHENTICATE {name} ");
        send_secret(server, &[&command, message.reveal()]).await?;
        None
    } else {
        send(server, &format!("{tag} AUTHENTICATE {name}\r\n")).await?;
        Some(&message)
    };
    let mut welcome = Vec::new();
    let mut challenge: Option<Said> = None;
    let mut replies = Replies::new(server);
    loop {
        let response = replies.next().await?;
        match reply(&response, tag) {
            Reply::Go(text) => {
                if let Some(message) = unsent.take() {
                    needs_silence(replies.server)?;
                    send_secret(replies.server, &[message.reveal()]).await?;
                } else if challenge.is_none() {
                    challenge = Some(message.explain(text));
                    let concession = format!("{}\r\n", mechanism.concession());
                    send(replies.server, &concession).await?;
                } else {
                    return Err(replies.misbehaved("it sent more than one SASL challenge"));
                }
                replies = Replies::new(replies.server);
            }
            Reply::Untagged(_) if message.is_told_by(&response) => {}
            Reply::Untagged(_) => welcome.extend_from_slice(&response),
            // Nobody was let in who has not said yet who it is, or was told no.
            Reply::Ok(_) if unsent.is_some() || challenge.is_some() => {
                return Err(replies.strange(&message.heard(&response)));
            }
            Reply::Ok(_) if message.is_told_by(&response) => {
                welcome.extend_from_slice(format!("{tag} OK logged in\r\n").as_bytes());
                return Ok(Welcome(welcome));
            }
            Reply::Ok(_) => {
                welcome.extend_from_slice(&response);
                return Ok(Welcome(welcome));
            }
            Reply::No(text) => {
                return Err(refused(replies.server, &message, text, challenge));
            }
            Reply::Bye(text) => {
                return Err(Refusal::ServerBusy {
                    server: replies.server.peer().to_owned(),
                    said: message.heard(text),
                });
            }
            Reply::Strange => return Err(replies.strange(&message.heard(&response))),
        }
    }
}

/// Says goodbye, and waits for the answer only briefly.
pub(super) async fn leave(mut server: Wire) {
    let goodbye = async {
        if send(&mut server, &format!("{TAG} LOGOUT\r\n"))
            .await
            .is_ok()
        {
            let mut replies = Replies::new(&mut server);
            while let Ok(response) = replies.next().await {
                if !matches!(reply(&response, TAG), Reply::Untagged(_) | Reply::Bye(_)) {
                    break;
                }
            }
        }
        server.finish().await;
    };
    // Whoever does not answer in time is left without an answer.
    drop(timeout(LEAVE_TIME, goodbye).await);
}

async fn hear_greeting(server: &mut Wire) -> Result<Option<Capabilities>, Refusal> {
    let line = server
        .line(MAX_REPLY_LINE, SERVER_TIME)
        .await
        .map_err(|lost| lost_server(server.peer(), &lost))?;
    match greeting(&line) {
        Greeting::Ready(text) => Ok(Capabilities::in_code(text)),
        Greeting::Preauth => Err(misbehaved(
            server,
            "it says that somebody is logged in already (PREAUTH), which a login with a token cannot build on",
        )),
        Greeting::Bye(text) => Err(Refusal::ServerBusy {
            server: server.peer().to_owned(),
            said: Said::new(text),
        }),
        Greeting::Strange => Err(misbehaved(
            server,
            &format!(
                "this is no IMAP greeting: \"{}\"; check server_address, server_port and server_starttls",
                Said::new(&line).short()
            ),
        )),
    }
}

async fn secure(mut server: Wire, how: StartTls<'_>) -> Result<Wire, Refusal> {
    send(&mut server, &format!("{TAG} STARTTLS\r\n")).await?;
    let mut replies = Replies::new(&mut server);
    loop {
        let response = replies.next().await?;
        match reply(&response, TAG) {
            Reply::Untagged(_) => {}
            Reply::Ok(_) => break,
            Reply::No(text) | Reply::Bye(text) => {
                let said = Said::new(text).short();
                return Err(replies.misbehaved(&format!(
                    "it refused STARTTLS: \"{said}\"; if its port begins with TLS, set server_starttls = False"
                )));
            }
            Reply::Go(_) | Reply::Strange => return Err(replies.strange(&Said::new(&response))),
        }
    }
    let name = server.peer().to_owned();
    server
        .begin_tls(how.trust, how.host)
        .await
        .map_err(|lost| lost_server(&name, &lost))
}

async fn ask_capabilities(server: &mut Wire) -> Result<Capabilities, Refusal> {
    send(server, &format!("{TAG} CAPABILITY\r\n")).await?;
    let mut known = Capabilities::default();
    let mut replies = Replies::new(server);
    loop {
        let response = replies.next().await?;
        match reply(&response, TAG) {
            Reply::Untagged(text) => {
                if let Some(found) = Capabilities::in_response(text) {
                    known = found;
                }
            }
            Reply::Ok(_) => return Ok(known),
            Reply::Bye(text) => {
                return Err(Refusal::ServerBusy {
                    server: replies.server.peer().to_owned(),
                    said: Said::new(text),
                });
            }
            Reply::No(text) if is_for_now(text) => {
                return Err(Refusal::ServerBusy {
                    server: replies.server.peer().to_owned(),
                    said: Said::new(text),
                });
            }
            Reply::No(_) | Reply::Go(_) | Reply::Strange => {
                return Err(replies.strange(&Said::new(&response)));
            }
        }
    }
}

/// Words a definite no, with what the challenge before it explained.
fn refused(server: &Wire, message: &Message<'_>, text: &[u8], challenge: Option<Said>) -> Refusal {
    let name = server.peer().to_owned();
    let words = message.heard(text);
    let said = match challenge {
        Some(reason) if !reason.is_empty() => Said::new(format!("{words} ({reason})")),
        _ => words,
    };
    if is_for_now(text) {
        Refusal::ServerBusy { server: name, said }
    } else {
        Refusal::ServerRefused { server: name, said }
    }
}

async fn send(server: &mut Wire, text: &str) -> Result<(), Refusal> {
    let sent = server.send(text.as_bytes()).await;
    sent.map_err(|lost| lost_server(server.peer(), &lost))
}

/// Sends a line in one piece without leaving a copy behind.
async fn send_secret(server: &mut Wire, parts: &[&str]) -> Result<(), Refusal> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut line = Zeroizing::new(String::with_capacity(length + 2));
    for part in parts {
        line.push_str(part);
    }
    line.push_str("\r\n");
    send(server, &line).await
}

/// The replies to one command, bounded in number, size and time.
struct Replies<'a> {
    server: &'a mut Wire,
    left: usize,
    room: usize,
    until: Instant,
}

impl<'a> Replies<'a> {
    fn new(server: &'a mut Wire) -> Self {
        Self {
            server,
            left: MAX_REPLY_LINES,
            room: MAX_REPLY,
            until: Instant::now() + SERVER_TIME,
        }
    }

    /// Takes one response whole: its line, and the literals and lines that belong to it.
    async fn next(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut whole = Vec::new();
        loop {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| self.misbehaved("its reply has more than 128 lines"))?;
            let within = self.within();
            let line = self.server.line(MAX_REPLY_LINE, within).await;
            let line = self.kept(line)?;
            self.spend(line.len() + 2)?;
            let literal = announced(&line);
            whole.extend_from_slice(&line);
            whole.extend_from_slice(b"\r\n");
            let size = match literal {
                Some(literal) if may_hold_literals(&whole) => literal.size,
                _ => return Ok(whole),
            };
            if size > MAX_REPLY_LINE.saturating_sub(whole.len()) {
                return Err(self.misbehaved("its reply holds too long a literal"));
            }
            self.spend(size)?;
            let within = self.within();
            let octets = self.server.octets(size, within).await;
            whole.extend_from_slice(&self.kept(octets)?);
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        let left = self.room.checked_sub(bytes);
        self.room = left.ok_or_else(|| self.misbehaved("its reply is longer than 32 KiB"))?;
        Ok(())
    }

    fn within(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn kept(&self, heard: Result<Vec<u8>, Lost>) -> Result<Vec<u8>, Refusal> {
        heard.map_err(|lost| lost_server(self.server.peer(), &lost))
    }

    fn misbehaved(&self, what: &str) -> Refusal {
        misbehaved(self.server, what)
    }

    fn strange(&self, said: &Said) -> Refusal {
        self.misbehaved(&format!("it answered \"{}\"", said.short()))
    }
}
