//! SMTP (RFC 5321) with AUTH (RFC 4954) and STARTTLS (RFC 3207), up to the moment the login is complete.
//!
//! This file is the client's side of the dialogue and the words it hears. Nothing a client says goes upstream but its
//! EHLO name. Lines are read in `command`, the server's side is in `upstream`.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    Abilities, CLIENT_TIME, Dialogue, Farewell, Heard, Identity, Local, Login, MAX_AUTH_LINE,
    MAX_COMMANDS, MAX_LINE, MAX_NONSENSE, Offer, Opened, StartTls, Welcome,
};
use crate::protocol::guard::Speech;
use crate::refusal::Refusal;
use crate::wire::{Lost, Wire};
use auth::Told;
use command::{Command, Nonsense};

mod auth;
mod command;
mod offer;
mod reply;
mod upstream;

#[cfg(test)]
mod tests;

/// How much of a message sent before login (BDAT) is read and thrown away, in bytes.
const MAX_DISCARD: u64 = 64 * 1024;

/// How much of it is read at once, in bytes.
const DISCARD: u64 = 4096;

/// What a line begins with that may be long.
const AUTH: &[u8] = b"AUTH ";

const NO_LOGIN: &str = "530 5.7.0 Authentication required; switch on SMTP authentication (user name and password) in the mail client";
const NO_TLS: &str = "530 5.7.0 Must issue a STARTTLS command first";
const NO_MECHANISM: &str = "504 5.5.4 Unrecognized authentication type; set the mail client to user name and normal password (AUTH PLAIN or LOGIN)";
const TOO_LONG: &str = "500 5.5.6 Line too long";
const SYNTAX: &str = "501 5.5.4 Syntax error in the words behind the command";

/// One SMTP conversation.
#[derive(Debug)]
pub struct Smtp {
    /// The client's own name, fit for the server; `None` while it has not said one.
    name: Option<String>,
    nonsense: usize,
    /// What the log was told last about changes to this client.
    told: &'static str,
}

impl Dialogue for Smtp {
    const NAME: &'static str = "SMTP";
    const SPEECH: Speech = Speech::Smtp;

    fn new() -> Self {
        Self {
            name: None,
            nonsense: 0,
            told: "",
        }
    }

    fn cautious_offer() -> Offer {
        Offer(vec!["8BITMIME".to_owned()])
    }

    async fn greet(&mut self, client: &mut Wire, _local: &Local<'_>) -> Result<(), Lost> {
        say(client, "220 emailproxy ESMTP ready").await
    }

    async fn hear(&mut self, client: &mut Wire, local: &Local<'_>) -> Result<Heard, Lost> {
        for _ in 0..MAX_COMMANDS {
            let limit = limit(client).await?;
            let Some(line) = line(client, limit).await? else {
                return too_long(client).await;
            };
            let command = command::parse(&line);
            let answer: Cow<'static, str> = match command {
                Ok(Command::Ehlo(words)) => {
                    self.name = command::name(words);
                    self.offer(client, local).await?;
                    continue;
                }
                Ok(Command::Helo(words)) => {
                    self.name = command::name(words);
                    "250 emailproxy".into()
                }
                Ok(Command::Auth { .. } | Command::Mail) if local.starttls => self.no_tls(),
                Ok(Command::Auth { mechanism, initial }) => {
                    local.login_begins();
                    match auth::exchange(client, mechanism, initial).await? {
                        Told::Login(login) => return Ok(Heard::Login(login)),
                        Told::TooLong => return too_long(client).await,
                        Told::No(answer) => answer.into(),
                        Told::NoMechanism => self.no_mechanism(),
                    }
                }
                Ok(Command::StartTls) if local.starttls => {
                    self.name = None;
                    say(client, "220 2.0.0 Ready to start TLS").await?;
                    return Ok(Heard::StartTls);
                }
                Ok(Command::StartTls) if client.is_secured() => "503 5.5.1 TLS is active already".into(),
                Ok(Command::StartTls) => "502 5.5.1 STARTTLS is not offered on this port".into(),
                Ok(Command::Mail) => self.no_login(),
                Ok(Command::Bdat(size)) => {
                    let answer = if local.starttls { self.no_tls() } else { self.no_login() };
                    if !discard(client, size).await? {
                        say(client, &answer).await?;
                        return Ok(Heard::ShownOut(
                            "sent a message without logging in; switch on SMTP authentication in the mail client",
                        ));
                    }
                    answer
                }
                Ok(Command::Rset | Command::Noop) => "250 2.0.0 OK".into(),
                Ok(Command::Help) => {
                    "214 2.0.0 This is emailproxy: log in with AUTH PLAIN or AUTH LOGIN, then the mail server answers".into()
                }
                Ok(Command::Vrfy | Command::Expn) => NO_LOGIN.into(),
                Ok(Command::Quit) => {
                    say(client, "221 2.0.0 Goodbye").await?;
                    return Ok(Heard::Left);
                }
                Err(nonsense) => worded(nonsense).into(),
            };
            self.nonsense += usize::from(answer.starts_with('5'));
            if self.nonsense >= MAX_NONSENSE {
                say(client, "421 4.7.0 Too many errors; this port speaks SMTP").await?;
                return Ok(Heard::ShownOut(
                    "sent too many lines that are no SMTP; check that the mail client uses this port for SMTP (outgoing mail)",
                ));
            }
            say(client, &answer).await?;
        }
        say(client, "421 4.7.0 Too many commands without a login").await?;
        Ok(Heard::ShownOut(
            "sent too many commands without logging in; switch on SMTP authentication in the mail client",
        ))
    }

    async fn refuse(
        &mut self,
        client: &mut Wire,
        login: &Login,
        refusal: &Refusal,
    ) -> Result<(), Lost> {
        let words = format!("{} {}", verdict(refusal), refusal.to_client(&login.user));
        say(client, &words).await
    }

    async fn farewell(client: &mut Wire, why: Farewell) -> Result<(), Lost> {
        let words = match why {
            Farewell::ShuttingDown => "421 4.3.2 emailproxy is shutting down; try again later",
            Farewell::Busy => "421 4.7.0 emailproxy has too many connections; try again later",
            Farewell::Silent => "421 4.4.2 emailproxy waited too long for a command",
            Farewell::TooManyLogins => "421 4.7.0 Too many failed logins",
            Farewell::TooLong => TOO_LONG,
            Farewell::WantsTls => {
                "421 4.7.0 This port begins in plain text; set the mail client to STARTTLS or no encryption"
            }
            Farewell::Http => "421 4.7.0 This port speaks SMTP, not HTTP",
            Farewell::ProxyHeader => "421 4.7.0 This port takes no PROXY header",
        };
        say(client, words).await
    }

    async fn open(
        &self,
        server: Wire,
        starttls: Option<StartTls<'_>>,
        _known: Option<Arc<Abilities>>,
    ) -> Result<Opened, Refusal> {
        // EHLO is owed to the server, whatever is known of it (RFC 5321 section 4.1.1.1).
        upstream::open(server, starttls, self.name.as_deref()).await
    }

    async fn authenticate(
        &self,
        opened: &mut Opened,
        identity: Identity<'_>,
        _login: &Login,
    ) -> Result<Welcome, Refusal> {
        upstream::authenticate(opened, identity).await
    }

    async fn leave(server: Wire) {
        upstream::leave(server).await;
    }
}

impl Smtp {
    /// Answers EHLO with the upstream's offer and our own words in place of its AUTH and STARTTLS.
    async fn offer(&self, client: &mut Wire, local: &Local<'_>) -> Result<(), Lost> {
        let name = self.name.as_deref().unwrap_or(upstream::NO_NAME);
        let mut reply = format!("250-emailproxy greets {name}\r\n");
        for entry in &local.offer.0 {
            reply.push_str(&format!("250-{entry}\r\n"));
        }
        reply.push_str(if local.starttls {
            "250 STARTTLS\r\n"
        } else {
            "250 AUTH PLAIN LOGIN\r\n"
        });
        client.send(reply.as_bytes()).await
    }

    fn no_login(&mut self) -> Cow<'static, str> {
        self.tell(
            "the client wants to send without logging in; switch on SMTP authentication (user name and password) in it",
        );
        NO_LOGIN.into()
    }

    fn no_tls(&mut self) -> Cow<'static, str> {
        self.tell("the client does not begin TLS, which this port demands; set it to STARTTLS");
        NO_TLS.into()
    }

    fn no_mechanism(&mut self) -> Cow<'static, str> {
        // What the client calls a mechanism may be its password: it is not repeated anywhere.
        self.tell("the client wants to log in by another mechanism than PLAIN or LOGIN; set it to normal password");
        NO_MECHANISM.into()
    }

    /// Tells the log what to change in this client, once in a row.
    fn tell(&mut self, what: &'static str) {
        if self.told != what {
            self.told = what;
            tracing::warn!("{what}");
        }
    }
}

/// Returns how long the line may be that begins now: only a login may be long.
async fn limit(client: &mut Wire) -> Result<usize, Lost> {
    let mut seen = 0;
    loop {
        let begun = client.listen_beyond(seen, CLIENT_TIME).await?;
        if let Some(verb) = begun.get(..AUTH.len()) {
            let is_login = verb.eq_ignore_ascii_case(AUTH);
            return Ok(if is_login { MAX_AUTH_LINE } else { MAX_LINE });
        }
        if begun.contains(&b'\n') {
            return Ok(MAX_LINE);
        }
        seen = begun.len();
    }
}

/// Takes one line, which may hold a password; `None` where it is too long.
async fn line(client: &mut Wire, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Lost> {
    match client.line(limit, CLIENT_TIME).await {
        Ok(line) => Ok(Some(Zeroizing::new(line))),
        Err(Lost::TooLong(_)) => Ok(None),
        Err(lost) => Err(lost),
    }
}

async fn too_long(client: &mut Wire) -> Result<Heard, Lost> {
    say(client, TOO_LONG).await?;
    Ok(Heard::ShownOut(
        "sent a line longer than any SMTP command or login may be",
    ))
}

/// Throws the bytes behind a BDAT away, lest a message's lines be taken for commands. Returns whether it could.
async fn discard(client: &mut Wire, size: u64) -> Result<bool, Lost> {
    if size > MAX_DISCARD {
        return Ok(false);
    }
    let all = async {
        let mut left = size;
        while left > 0 {
            let part = left.min(DISCARD);
            let count = usize::try_from(part).unwrap_or(0);
            client.octets(count, CLIENT_TIME).await?;
            left -= part;
        }
        Ok(true)
    };
    timeout(CLIENT_TIME, all)
        .await
        .unwrap_or(Err(Lost::TimedOut))
}

async fn say(client: &mut Wire, words: &str) -> Result<(), Lost> {
    client.send(format!("{words}\r\n").as_bytes()).await
}

fn worded(nonsense: Nonsense) -> &'static str {
    match nonsense {
        Nonsense::Unknown => "500 5.5.2 Command not recognized; this port speaks SMTP",
        Nonsense::ControlBytes => {
            "500 5.5.2 The line holds control bytes; a telnet client must not negotiate or edit lines"
        }
        Nonsense::Nameless => "501 5.5.4 EHLO and HELO need the client's name",
        Nonsense::Syntax => SYNTAX,
    }
}

/// Returns code and first words for a refusal: 454 where trying again may help, so that the client keeps both its
/// mail and its password; else 535 (RFC 4954 section 6).
fn verdict(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ConsentTimedOut { .. }
        | Refusal::TokenUnavailable(_)
        | Refusal::ServerBusy { .. }
        | Refusal::ServerUnavailable { .. }
        | Refusal::ServerMisbehaved { .. }
        | Refusal::Busy(_)
        | Refusal::ShuttingDown => "454 4.7.0 Temporary authentication failure.",
        Refusal::NoPassword
        | Refusal::NotAdmitted(_)
        | Refusal::ConsentRefused(_)
        | Refusal::TokenRefused(_)
        | Refusal::ServerRefused { .. }
        | Refusal::Misconfigured(_) => "535 5.7.8 Authentication credentials invalid.",
    }
}
