//! IMAP before login (RFC 9051, RFC 3501): the client is answered here, the server logged in to with a token.
//!
//! This file holds the order of the calls and what is said when a login cannot go through. The two conversations are in
//! `client` and `server`, their grammar in `command`, `words`, `reply` and `offer`.

use std::sync::Arc;

use crate::protocol::guard::Speech;
use crate::protocol::{
    Abilities, Dialogue, Farewell, Heard, Identity, Local, Login, Opened, StartTls, Welcome,
};
use crate::refusal::Refusal;
use crate::wire::{Lost, Wire};

mod client;
mod command;
mod offer;
mod reply;
mod server;
#[cfg(test)]
mod tests;
mod words;

/// One client's IMAP conversation before login.
#[derive(Debug, Default)]
pub struct Imap {
    /// How many lines made no sense so far.
    nonsense: usize,
}

impl Dialogue for Imap {
    const NAME: &'static str = "IMAP";
    const SPEECH: Speech = Speech::Imap;

    fn new() -> Self {
        Self::default()
    }

    async fn greet(&mut self, client: &mut Wire, local: &Local<'_>) -> Result<(), Lost> {
        let words = offer::shown(local);
        let greeting = format!("* OK [CAPABILITY {words}] emailproxy ready\r\n");
        client.send(greeting.as_bytes()).await
    }

    async fn hear(&mut self, client: &mut Wire, local: &Local<'_>) -> Result<Heard, Lost> {
        client::hear(&mut self.nonsense, client, local).await
    }

    async fn refuse(
        &mut self,
        client: &mut Wire,
        login: &Login,
        refusal: &Refusal,
    ) -> Result<(), Lost> {
        let tag = &login.tag;
        let code = code(refusal);
        let text = refusal.to_client(&login.user);
        client
            .send(format!("{tag} NO [{code}] {text}\r\n").as_bytes())
            .await
    }

    async fn farewell(client: &mut Wire, why: Farewell) -> Result<(), Lost> {
        client
            .send(format!("* BYE {}\r\n", goodbye(why)).as_bytes())
            .await
    }

    async fn open(
        &self,
        server: Wire,
        starttls: Option<StartTls<'_>>,
        known: Option<Arc<Abilities>>,
    ) -> Result<Opened, Refusal> {
        server::open(server, starttls, known).await
    }

    async fn authenticate(
        &self,
        opened: &mut Opened,
        identity: Identity<'_>,
        login: &Login,
    ) -> Result<Welcome, Refusal> {
        server::authenticate(opened, identity, login).await
    }

    async fn leave(server: Wire) {
        server::leave(server).await;
    }
}

/// Returns the RFC 5530 code: clients ask for another password only where another password would help.
fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ServerRefused { .. } if refusal.is_about_setup() => "CONTACTADMIN",
        Refusal::NoPassword
        | Refusal::NotAdmitted(_)
        | Refusal::ConsentRefused(_)
        | Refusal::ServerRefused { .. } => "AUTHENTICATIONFAILED",
        Refusal::ConsentTimedOut { .. }
        | Refusal::TokenUnavailable(_)
        | Refusal::ServerBusy { .. }
        | Refusal::ServerUnavailable { .. }
        | Refusal::ServerMisbehaved { .. }
        | Refusal::Busy(_)
        | Refusal::ShuttingDown => "UNAVAILABLE",
        Refusal::TokenRefused(_) | Refusal::Misconfigured(_) => "CONTACTADMIN",
    }
}

fn goodbye(why: Farewell) -> &'static str {
    match why {
        Farewell::ShuttingDown => "Server shutting down",
        Farewell::Busy => "too many connections; try again later",
        Farewell::Silent => "nothing was said for too long",
        Farewell::TooManyLogins => "too many failed logins",
        Farewell::TooLong => "a line was too long",
        Farewell::WantsTls => {
            "this port begins without TLS; set the client to no encryption or STARTTLS"
        }
        Farewell::Http => "this is an IMAP port; it speaks no HTTP",
        Farewell::ProxyHeader => "this port takes no PROXY header; switch it off in front of it",
    }
}
