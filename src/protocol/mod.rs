//! What is said on the wire before a login is complete, in each of three protocols.
//!
//! Lines are parsed by pure functions, dialogues are straight async code over one [`Wire`]. This room knows no accounts,
//! no configuration and not where tokens come from: hostile bytes must not reach the vault.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::refusal::Refusal;
use crate::secret::{AccessToken, Password};
use crate::wire::tls::Trust;
use crate::wire::{Lost, Wire};

#[cfg(test)]
mod deadlines;
pub mod guard;
pub mod imap;
pub mod pop;
pub mod sasl;
pub mod smtp;
#[cfg(test)]
pub(crate) mod transcript;

/// How long a client may take for its next line before login. Mail programs that know no password yet ask their user for
/// it while they are connected; whom the session trusts less gets less.
pub const CLIENT_TIME: Duration = Duration::from_secs(60);

/// How long a server may take for its greeting and for each reply before login.
pub const SERVER_TIME: Duration = Duration::from_secs(10);

/// The longest line of a client before login, in bytes; AUTH lines may take [`MAX_AUTH_LINE`].
pub const MAX_LINE: usize = 8 * 1024;

/// RFC 4954 section 4 lets a base64 line be 12,288 bytes long.
pub const MAX_AUTH_LINE: usize = 12_288;

/// The longest line of a server before login, in bytes.
pub const MAX_REPLY_LINE: usize = 8 * 1024;

/// The most lines of one reply of a server before login.
pub const MAX_REPLY_LINES: usize = 128;

/// The longest reply of a server before login, in bytes.
pub const MAX_REPLY: usize = 32 * 1024;

/// How many lines that have to be refused a client may send before it is shown out.
pub const MAX_NONSENSE: usize = 20;

/// How many lines in all a client may send between two logins before it is shown out.
pub const MAX_COMMANDS: usize = 100;

/// What an upstream server offers, one capability an entry (an IMAP word, a POP CAPA line, an EHLO line without its
/// code), less what belongs to the other hop. Our own AUTH and STARTTLS words are added by the dialogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer(pub Vec<String>);

/// What the local side is at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// What the upstream offers.
    pub offer: &'a Offer,
    /// Whether TLS can be begun here by STARTTLS or STLS. False once TLS is in force. While true, a login is refused
    /// until TLS has begun.
    pub starttls: bool,
    /// Who wants to know that a login begins.
    pub onlooker: Option<&'a dyn Onlooker>,
}

/// Somebody who makes use of the time until a login is complete.
pub trait Onlooker: fmt::Debug + Sync {
    /// Hears that a client began a login that may go on: the verb is there, perhaps nothing else. Several may begin before
    /// one is complete. Must return at once.
    fn login_begins(&self);
}

impl Local<'_> {
    /// Tells whoever wants to know that a login begins.
    pub(crate) fn login_begins(&self) {
        if let Some(onlooker) = self.onlooker {
            onlooker.login_begins();
        }
    }
}

/// What came of listening to a client.
#[derive(Debug)]
pub enum Heard {
    /// It wants to log in.
    Login(Login),
    /// It wants TLS, and was told to go ahead.
    StartTls,
    /// It said goodbye, and was answered.
    Left,
    /// It was shown out for what it sent; the text says what it did and what to change.
    ShownOut(&'static str),
}

/// A client's wish to log in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user name, valid UTF-8 without control bytes, 1 to 320 bytes.
    pub user: String,
    /// The password; may be empty.
    pub password: Password,
    /// What the client said that the answer must repeat: the IMAP tag. Empty elsewhere.
    pub tag: String,
    /// The command by which it came, for the log and the reply (`LOGIN`, `AUTHENTICATE`, `AUTH`, `PASS`).
    pub verb: &'static str,
}

/// How STARTTLS is to be done with a server.
#[derive(Clone, Copy)]
pub struct StartTls<'a> {
    /// Whose certificates are believed.
    pub trust: &'a Trust,
    /// The name its certificate must carry.
    pub host: &'a str,
}

/// A server ready for our login, inside TLS.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub server: Wire,
    /// What it can do.
    pub abilities: Arc<Abilities>,
}

/// What a server said inside TLS that it can do; worth remembering for later connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// What it offers, filtered for the local side.
    pub offer: Offer,
    /// The SASL mechanisms it offers, upper case.
    pub mechanisms: Vec<String>,
    /// Whether an initial response may come with the command (SASL-IR).
    pub initial_response: bool,
}

/// Who logs in at the server.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The mailbox or user name there.
    pub user: &'a str,
    /// The token that proves it.
    pub token: &'a AccessToken,
    /// The server's host name, for OAUTHBEARER.
    pub host: &'a str,
    /// The server's port, for OAUTHBEARER.
    pub port: u16,
}

/// The server's own words of success, as the client shall hear them.
#[derive(Debug)]
pub struct Welcome(pub Vec<u8>);

/// Why a client is shown out before it logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The proxy is going down.
    ShuttingDown,
    /// A limit of connections is reached.
    Busy,
    /// The client was silent for too long.
    Silent,
    /// Too many failed logins.
    TooManyLogins,
    /// A line was too long.
    TooLong,
    /// It spoke TLS to a port that begins in plain text.
    WantsTls,
    /// It spoke HTTP.
    Http,
    /// A PROXY header came first.
    ProxyHeader,
}

/// One protocol's part of the story. The session calls in the order of the methods; state lives between calls.
pub trait Dialogue: Send + Sync + Sized + 'static {
    /// The protocol's name, for messages.
    const NAME: &'static str;

    /// How its clients speak after a login.
    const SPEECH: guard::Speech;

    /// Begins with a client of whom nothing is known.
    fn new() -> Self;

    /// Returns what is offered while the upstream has never been reached: no more than any such server knows.
    fn cautious_offer() -> Offer {
        Offer::default()
    }

    /// Greets the client. Called once, before anything is heard (also where TLS came first).
    fn greet(
        &mut self,
        client: &mut Wire,
        local: &Local<'_>,
    ) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Hears the client out until it wants to log in, begin TLS or leave. After [`Heard::StartTls`] the session
    /// upgrades the wire, and the dialogue forgets what it was told before (RFC 3207 section 4.2).
    fn hear(
        &mut self,
        client: &mut Wire,
        local: &Local<'_>,
    ) -> impl Future<Output = Result<Heard, Lost>> + Send;

    /// Tells the client why its login cannot go through; the connection stays usable.
    fn refuse(
        &mut self,
        client: &mut Wire,
        login: &Login,
        refusal: &Refusal,
    ) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Says goodbye to a client that has not logged in.
    fn farewell(client: &mut Wire, why: Farewell) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Hears the server's greeting, begins TLS where asked to, and learns what it offers. Without `starttls` the wire
    /// must already be secured. A server that claims we are logged in already (PREAUTH) is refused.
    ///
    /// What is `known` from an earlier connection is not asked for again where the protocol leaves that free: a round
    /// trip that a client would not make either. What the server says by itself goes before it.
    fn open(
        &self,
        server: Wire,
        starttls: Option<StartTls<'_>>,
        known: Option<Arc<Abilities>>,
    ) -> impl Future<Output = Result<Opened, Refusal>> + Send;

    /// Logs in at the server. An error challenge is answered and decoded, never passed on.
    fn authenticate(
        &self,
        opened: &mut Opened,
        identity: Identity<'_>,
        login: &Login,
    ) -> impl Future<Output = Result<Welcome, Refusal>> + Send;

    /// Leaves a server politely, without waiting long for its answer.
    fn leave(server: Wire) -> impl Future<Output = ()> + Send;
}

/// Words a broken upstream conversation as a refusal.
pub(crate) fn lost_server(server: &str, lost: &Lost) -> Refusal {
    let server = server.to_owned();
    match lost {
        Lost::Closed | Lost::TimedOut | Lost::Io(_) | Lost::Tls(_) => Refusal::ServerUnavailable {
            server,
            why: lost.to_string().as_str().into(),
        },
        Lost::TooLong(_) | Lost::EarlyBytes => Refusal::ServerMisbehaved {
            server,
            why: lost.to_string().as_str().into(),
        },
    }
}

/// Words a breach of the protocol by a server as a refusal.
pub(crate) fn misbehaved(server: &Wire, what: &str) -> Refusal {
    Refusal::ServerMisbehaved {
        server: server.peer().to_owned(),
        why: what.into(),
    }
}

/// Waits for a server's first byte, and says what to do where none comes. The whole greeting has to come by the deadline
/// that this leaves.
pub(crate) async fn await_greeting(server: &mut Wire, starttls: bool) -> Result<(), Refusal> {
    server.set_deadline(Some(Instant::now() + SERVER_TIME));
    match server.listen(SERVER_TIME).await {
        Ok(_) => Ok(()),
        Err(Lost::TimedOut) if starttls => Err(Refusal::ServerUnavailable {
            server: server.peer().to_owned(),
            why: "no greeting came; if the port begins with TLS, set `server_starttls = False`"
                .into(),
        }),
        Err(lost) => Err(lost_server(server.peer(), &lost)),
    }
}

/// Refuses to show a token to a server outside of TLS, however it came to that.
pub(crate) fn needs_tls(server: &Wire) -> Result<(), Refusal> {
    if server.is_secured() {
        return Ok(());
    }
    Err(Refusal::Misconfigured(format!(
        "no token is sent to {} without TLS",
        server.peer()
    )))
}

/// Refuses a server that answers what it was not asked yet: what it says is no answer to what it hears next.
pub(crate) fn needs_silence(server: &Wire) -> Result<(), Refusal> {
    if server.waiting().is_empty() {
        return Ok(());
    }
    Err(misbehaved(server, "it answers before it is asked"))
}

/// Returns whether a server's words, in lower case, ask to come back later.
pub(crate) fn asks_for_patience(text: &str) -> bool {
    ["throttled", "backoff", "too many simultaneous connections"]
        .iter()
        .any(|words| text.contains(words))
}

/// Offers what all of several servers offer; of `SIZE` the smallest.
pub fn intersect(offers: &[Offer]) -> Offer {
    let Some((first, others)) = offers.split_first() else {
        return Offer::default();
    };
    let mut common = Vec::new();
    for entry in &first.0 {
        if let Some(size) = size_of(entry) {
            let sizes: Option<Vec<u64>> = others
                .iter()
                .map(|offer| offer.0.iter().find_map(|entry| size_of(entry)))
                .collect();
            if let Some(sizes) = sizes {
                // SIZE 0 says that no fixed limit is in force (RFC 1870 section 3).
                let smallest = sizes
                    .into_iter()
                    .chain([size])
                    .filter(|&size| size > 0)
                    .min()
                    .unwrap_or(0);
                common.push(format!("SIZE {smallest}"));
            }
        } else if others.iter().all(|offer| {
            offer
                .0
                .iter()
                .any(|other| other.eq_ignore_ascii_case(entry))
        }) {
            common.push(entry.clone());
        }
    }
    Offer(common)
}

fn size_of(entry: &str) -> Option<u64> {
    let mut words = entry.split_ascii_whitespace();
    let is_size = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("SIZE"));
    is_size.then(|| {
        words
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(entries: &[&str]) -> Offer {
        Offer(entries.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn several_servers_offer_what_all_of_them_offer() {
        let office = offer(&[
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "8BITMIME",
            "SMTPUTF8",
        ]);
        let gmail = offer(&[
            "SIZE 35882577",
            "8bitmime",
            "PIPELINING",
            "CHUNKING",
            "SMTPUTF8",
        ]);
        assert_eq!(
            intersect(&[office.clone(), gmail]),
            offer(&["SIZE 35882577", "PIPELINING", "8BITMIME", "SMTPUTF8"])
        );
        assert_eq!(intersect(std::slice::from_ref(&office)), office);
        assert_eq!(
            intersect(&[office, offer(&["SIZE"])]),
            offer(&["SIZE 157286400"])
        );
        assert_eq!(intersect(&[]), Offer::default());
    }
}
