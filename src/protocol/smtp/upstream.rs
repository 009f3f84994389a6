//! The server's side of SMTP: greeting, EHLO, STARTTLS, AUTH by token, QUIT.
//!
//! Knows the client only by the name it gave in EHLO. What was learned before TLS is not used after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::offer;
use super::reply::{self, Reply, misbehaved};
use crate::protocol::sasl::Mechanism;
use crate::protocol::{
    Abilities, Identity, Opened, StartTls, Welcome, await_greeting, lost_server, needs_silence,
    needs_tls,
};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::Wire;

/// The name said to the server where the client's own is missing or unfit (RFC 5321 section 4.1.4).
pub(super) const NO_NAME: &str = "[127.0.0.1]";

/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// Hears the greeting, begins TLS where asked to, and says EHLO until the offer inside TLS is known.
pub(super) async fn open(
    mut server: Wire,
    starttls: Option<StartTls<'_>>,
    name: Option<&str>,
) -> Result<Opened, Refusal> {
    greeting(&mut server, starttls.is_some()).await?;
    let mut name = name.unwrap_or(NO_NAME);
    let mut ehlo = hello(&mut server, &mut name).await?;
    if let Some(StartTls { trust, host }) = starttls {
        if !offer::has_starttls(&ehlo) {
            return Err(misbehaved(
                &server,
                "it does not offer STARTTLS; if the port begins with TLS, set `server_starttls = False`",
            ));
        }
        let go = ask(&mut server, "STARTTLS").await?;
        if go.code != 220 {
            return Err(turned_away(&server, "STARTTLS", &go));
        }
        let peer = server.peer().to_owned();
        server = server
            .begin_tls(trust, host)
            .await
            .map_err(|lost| lost_server(&peer, &lost))?;
        ehlo = hello(&mut server, &mut name).await?;
    }
    let (offer, mechanisms) = offer::sort(&ehlo);
    Ok(Opened {
        server,
        abilities: Arc::new(Abilities {
            offer,
            mechanisms,
            initial_response: false,
        }),
    })
}

/// Logs in, always in two steps: long tokens overflow the AUTH line of several servers.
pub(super) async fn authenticate(
    opened: &mut Opened,
    identity: Identity<'_>,
) -> Result<Welcome, Refusal> {
    let server = &mut opened.server;
    needs_tls(server)?;
    let mechanism = Mechanism::choose(&opened.abilities.mechanisms);
    let message = mechanism
        .message(&identity)
        .map_err(|nonsense| Refusal::Misconfigured(nonsense.to_string()))?;
    let go = ask(server, &format!("AUTH {}", mechanism.name())).await?;
    if go.code != 334 {
        return Err(refused(server, go.words(), &go));
    }
    let mut verdict = ask(server, message.reveal()).await?;
    let mut challenge = None;
    if verdict.code == 334 {
        let text = verdict.lines.first().map(Vec::as_slice).unwrap_or_default();
        challenge = Some(message.explain(text));
        verdict = ask(server, mechanism.concession()).await?;
    }
    if verdict.code == 235 && challenge.is_none() {
        if verdict.lines.iter().any(|line| message.is_told_by(line)) {
            return Ok(Welcome(b"235 2.7.0 logged in\r\n".to_vec()));
        }
        return Ok(Welcome(verdict.verbatim()));
    }
    let mut said = message.heard(verdict.words().as_str());
    if let Some(challenge) = challenge.filter(|challenge| !challenge.is_empty()) {
        said = Said::new(format!("{said} ({challenge})"));
    }
    Err(refused(server, said, &verdict))
}

/// Words an answer other than yes to the login.
fn refused(server: &Wire, said: Said, reply: &Reply) -> Refusal {
    let name = server.peer().to_owned();
    if reply.is_temporary() {
        Refusal::ServerBusy { server: name, said }
    } else if reply.is_refusal() {
        Refusal::ServerRefused { server: name, said }
    } else {
        misbehaved(
            server,
            &format!("its answer to the login makes no sense: {said}"),
        )
    }
}

/// Says QUIT and waits a moment for the answer.
pub(super) async fn leave(mut server: Wire) {
    let goodbye = async {
        if server.send(b"QUIT\r\n").await.is_ok() {
            drop(reply::hear(&mut server).await);
            server.finish().await;
        }
    };
    // A server that does not answer in time has been treated politely enough.
    drop(timeout(GOODBYE_TIME, goodbye).await);
}

async fn greeting(server: &mut Wire, starttls: bool) -> Result<(), Refusal> {
    await_greeting(server, starttls).await?;
    let greeting = reply::hear(server).await?;
    server.set_deadline(None);
    if greeting.code == 220 {
        return Ok(());
    }
    Err(turned_away(server, "the connection", &greeting))
}

/// Says EHLO; where the server does not like the client's name, once more with one that nobody can mind.
async fn hello(server: &mut Wire, name: &mut &str) -> Result<Reply, Refusal> {
    let mut reply = ask(server, &format!("EHLO {name}")).await?;
    if reply.is_refusal() && *name != NO_NAME {
        *name = NO_NAME;
        reply = ask(server, &format!("EHLO {name}")).await?;
    }
    if reply.code == 250 {
        return Ok(reply);
    }
    Err(turned_away(server, "EHLO", &reply))
}

/// Says one line, which may hold a token, and hears the reply.
async fn ask(server: &mut Wire, line: &str) -> Result<Reply, Refusal> {
    needs_silence(server)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + 2));
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    if let Err(lost) = server.send(&bytes).await {
        return Err(lost_server(server.peer(), &lost));
    }
    reply::hear(server).await
}

/// Words an answer other than yes to something that comes before the login.
fn turned_away(server: &Wire, what: &str, reply: &Reply) -> Refusal {
    let said = reply.words();
    if reply.is_temporary() {
        return Refusal::ServerBusy {
            server: server.peer().to_owned(),
            said,
        };
    }
    if reply.is_refusal() {
        return Refusal::ServerUnavailable {
            server: server.peer().to_owned(),
            why: Said::new(format!("it refused {what}: {said}")),
        };
    }
    misbehaved(
        server,
        &format!("its answer to {what} makes no sense: {said}"),
    )
}
