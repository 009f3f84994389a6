//! POP3 before login (RFC 1939, RFC 2449, RFC 5034): the client is answered here, the server logged in to with a token.
//!
//! This file holds the order of the calls and what is said when a login cannot go through. The two conversations are in
//! `client` and `server`, their grammar in `command` and `offer`.

use std::sync::Arc;

use crate::protocol::guard::Speech;
use crate::protocol::{
    Abilities, Dialogue, Farewell, Heard, Identity, Local, Login, Offer, Opened, StartTls, Welcome,
};
use crate::refusal::Refusal;
use crate::wire::{Lost, Wire};

mod client;
mod command;
mod offer;
mod server;
#[cfg(test)]
mod tests;

/// One client's POP3 conversation before login.
#[derive(Debug, Default)]
pub struct Pop {
    /// The name that USER gave, waiting for its PASS.
    user: Option<String>,
    /// How many lines made no sense so far.
    nonsense: usize,
}

impl Dialogue for Pop {
    const NAME: &'static str = "POP";
    const SPEECH: Speech = Speech::Pop;

    fn new() -> Self {
        Self::default()
    }

    /// No client gets far without these two, and no server is known to lack them.
    fn cautious_offer() -> Offer {
        Offer(["TOP", "UIDL"].map(str::to_owned).to_vec())
    }

    async fn greet(&mut self, client: &mut Wire, _local: &Local<'_>) -> Result<(), Lost> {
        client::say(client, "+OK emailproxy ready").await
    }

    async fn hear(&mut self, client: &mut Wire, local: &Local<'_>) -> Result<Heard, Lost> {
        client::hear(self, client, local).await
    }

    async fn refuse(
        &mut self,
        client: &mut Wire,
        login: &Login,
        refusal: &Refusal,
    ) -> Result<(), Lost> {
        let code = code(refusal);
        let text = refusal.to_client(&login.user);
        client::say(client, &format!("-ERR [{code}] {text}")).await
    }

    async fn farewell(client: &mut Wire, why: Farewell) -> Result<(), Lost> {
        client::say(client, goodbye(why)).await
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
        _login: &Login,
    ) -> Result<Welcome, Refusal> {
        server::authenticate(opened, identity).await
    }

    async fn leave(server: Wire) {
        server::leave(server).await;
    }
}

/// Returns the RFC 3206 code: clients ask for another password only where another password would help.
fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ServerRefused { .. } if refusal.is_about_setup() => "SYS/PERM",
        Refusal::NoPassword
        | Refusal::NotAdmitted(_)
        | Refusal::ConsentRefused(_)
        | Refusal::ServerRefused { .. } => "AUTH",
        Refusal::ConsentTimedOut { .. }
        | Refusal::TokenUnavailable(_)
        | Refusal::ServerBusy { .. }
        | Refusal::ServerUnavailable { .. }
        | Refusal::ServerMisbehaved { .. }
        | Refusal::Busy(_)
        | Refusal::ShuttingDown => "SYS/TEMP",
        Refusal::TokenRefused(_) | Refusal::Misconfigured(_) => "SYS/PERM",
    }
}

fn goodbye(why: Farewell) -> &'static str {
    match why {
        Farewell::ShuttingDown => "+OK Server signing off",
        Farewell::Busy => "-ERR [SYS/TEMP] too many connections; try again later",
        Farewell::Silent => "-ERR nothing was said for too long",
        Farewell::TooManyLogins => "-ERR [AUTH] too many failed logins",
        Farewell::TooLong => "-ERR a line was too long",
        Farewell::WantsTls => {
            "-ERR this port begins without TLS; set the client to no encryption or STARTTLS"
        }
        Farewell::Http => "-ERR this is a POP3 port; it speaks no HTTP",
        Farewell::ProxyHeader => {
            "-ERR this port takes no PROXY header; switch it off in front of it"
        }
    }
}
