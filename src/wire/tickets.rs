//! The tickets by which TLS sessions with servers resume, and when one is good enough to leave the post-quantum part of the
//! next key exchange out.
//!
//! A resumed session's keys come of the earlier session's secret and of a new exchange (RFC 8446 section 2.2): where the
//! earlier one was safe from a quantum computer, so is the new one, whatever was exchanged. Knows neither connections nor
//! mail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use tokio::time::Instant;

/// How long the post-quantum part is left out until an exchange has it again, and how long it never is after a server
/// declined a ticket.
const RENEWED: Duration = Duration::from_secs(10 * 60);

/// How many sessions are kept in all, which is what the library keeps by itself.
const SESSIONS: usize = 256;

/// How many servers are told apart; with others the post-quantum part is never left out.
const SERVERS: usize = 256;

/// The tickets of all servers.
#[derive(Debug)]
pub(super) struct Tickets {
    kept: ClientSessionMemoryCache,
    servers: Mutex<HashMap<ServerName<'static>, Server>>,
}

/// What is known of a server's tickets.
#[derive(Debug, Default)]
struct Server {
    /// Until when they are good enough.
    good_until: Option<Instant>,
    /// Until when they are not, whatever resumes.
    declined_until: Option<Instant>,
}

impl Tickets {
    pub(super) fn new() -> Self {
        Self {
            kept: ClientSessionMemoryCache::new(SESSIONS),
            servers: Mutex::default(),
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Server>> {
        // Nothing here is left half done by a panic.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg_attr(
    fuzzing,
    expect(dead_code, reason = "the fuzzer's TLS has no sessions")
)]
impl Tickets {
    /// Takes a ticket of a server whose sessions lately resumed with an exchange that offered everything, as the only one
    /// for a handshake.
    pub(super) fn take_good(self: &Arc<Self>, name: &ServerName<'static>) -> Option<OneTicket> {
        let good_until = self.servers().get(name).and_then(|known| known.good_until);
        if good_until? <= Instant::now() {
            return None;
        }
        let ticket = self.kept.take_tls13_ticket(name)?;
        Some(OneTicket {
            ticket: Mutex::new(Some(ticket)),
            others: Arc::clone(self),
        })
    }

    /// Notes that a session resumed with an exchange that offered everything.
    pub(super) fn note_resumed(&self, name: ServerName<'static>) {
        let now = Instant::now();
        self.note(name, |server| {
            if server.declined_until.is_none_or(|until| until <= now) {
                server.good_until = Some(now + RENEWED);
            }
        });
    }

    /// Notes that a server declined a ticket that was taken for good enough.
    pub(super) fn note_declined(&self, name: ServerName<'static>) {
        self.note(name, |server| {
            server.good_until = None;
            server.declined_until = Some(Instant::now() + RENEWED);
        });
    }

    fn note(&self, name: ServerName<'static>, what: impl FnOnce(&mut Server)) {
        let mut servers = self.servers();
        if servers.len() < SERVERS || servers.contains_key(&name) {
            what(servers.entry(name).or_default());
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.kept.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.kept.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server_name)
    }
}

/// One ticket for one handshake without a post-quantum part; what comes of it is kept with the others.
#[derive(Debug)]
pub(super) struct OneTicket {
    ticket: Mutex<Option<Tls13ClientSessionValue>>,
    others: Arc<Tickets>,
}

impl ClientSessionStore for OneTicket {
    /// What this handshake chooses says nothing about those that offer more.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.others.kx_hint(server_name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.others.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut ticket = self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        ticket.take()
    }
}

#[cfg(test)]
mod tests {
    use rustls::HandshakeKind::{self, Full, Resumed};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::advance;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::wire::authority::Authority;
    use crate::wire::stream::Rewound;
    use crate::wire::tls::Trust;

    /// The length of an X25519MLKEM768 key share in bytes (ML-KEM-768's 1,184 and X25519's 32).
    const HYBRID_SHARE: usize = 1216;

    const HYBRID: NamedGroup = NamedGroup::X25519MLKEM768;

    /// What came of a handshake.
    #[derive(Debug, PartialEq)]
    struct Met {
        /// What both sides agreed on; nothing where the client left.
        agreed: Option<(NamedGroup, HandshakeKind)>,
        /// Whether the client's first words had a post-quantum share in them.
        offered: bool,
    }

    const fn met(group: NamedGroup, kind: HandshakeKind, offered: bool) -> Met {
        let agreed = Some((group, kind));
        Met { agreed, offered }
    }

    /// Shakes hands, with less work where that is allowed, and says a word so that tickets are heard.
    async fn meet(trust: &Trust, server: &TlsAcceptor, quick: bool) -> Met {
        let (ours, mut theirs) = duplex(100_000);
        let name = ServerName::try_from("localhost").unwrap();
        let server = async {
            let mut hello = vec![0; 5];
            theirs.read_exact(&mut hello).await.unwrap();
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            hello.resize(5 + length, 0);
            theirs.read_exact(&mut hello[5..]).await.unwrap();
            let theirs = Rewound::new(hello, Box::new(theirs));
            let offered = length > HYBRID_SHARE;
            // Whoever was left may notice at once, or when it says its word.
            let Ok(mut theirs) = server.accept(theirs).await else {
                return Met {
                    agreed: None,
                    offered,
                };
            };
            let tls = theirs.get_ref().1;
            let group = tls.negotiated_key_exchange_group().unwrap().name();
            let kind = tls.handshake_kind().unwrap();
            theirs.write_all(b"word").await.ok();
            theirs.flush().await.ok();
            met(group, kind, offered)
        };
        let client = async {
            let ours = Box::new(ours);
            let inside = if quick {
                trust.resume(name, ours).await.unwrap()
            } else {
                Some(trust.connect(name, ours).await.unwrap())
            };
            let Some(mut inside) = inside else {
                return false;
            };
            inside.read_exact(&mut [0; 4]).await.unwrap();
            true
        };
        let (Met { agreed, offered }, taken) = tokio::join!(server, client);
        let agreed = agreed.filter(|_| taken);
        Met { agreed, offered }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_sure_to_resume_does_so_without_a_post_quantum_share_for_ten_minutes()
    {
        let authority = Authority::new();
        let trust = authority.trust();
        let server = authority.server(&[HYBRID, NamedGroup::X25519]);
        let first = meet(&trust, &server, true).await;
        assert_eq!(first, met(HYBRID, Full, true));
        for _ in 0..2 {
            // Only a resumption that offers everything shows that the server resumes at all.
            let resumed = meet(&trust, &server, true).await;
            assert_eq!(resumed, met(HYBRID, Resumed, true));
            for _ in 0..20 {
                let next = meet(&trust, &server, true).await;
                assert_eq!(next, met(NamedGroup::X25519, Resumed, false));
            }
            // Where a declined ticket cannot be mended by another connection, nothing is left out.
            let careful = meet(&trust, &server, false).await;
            assert_eq!(careful, met(HYBRID, Resumed, true));
            advance(RENEWED).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_declines_is_left_and_hears_everything_for_ten_minutes() {
        let authority = Authority::new();
        let trust = authority.trust();
        let groups = [HYBRID, NamedGroup::X25519];
        let before = authority.server(&groups);
        for offered in [true, true, false] {
            assert_eq!(meet(&trust, &before, true).await.offered, offered);
        }
        // It was started anew, and remembers nobody.
        let after = authority.server(&groups);
        let left = meet(&trust, &after, true).await;
        assert_eq!(
            left,
            Met {
                agreed: None,
                offered: false
            }
        );
        let mut kinds = Vec::new();
        for _ in 0..12 {
            let next = meet(&trust, &after, true).await;
            let (group, kind) = next.agreed.unwrap();
            assert!(next.offered && group == HYBRID);
            kinds.push(kind);
        }
        assert_eq!(kinds.first(), Some(&Full));
        assert_eq!(kinds.last(), Some(&Resumed));
        advance(RENEWED).await;
        assert_eq!(meet(&trust, &after, true).await, met(HYBRID, Resumed, true));
        let quick = meet(&trust, &after, true).await;
        assert_eq!(quick, met(NamedGroup::X25519, Resumed, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_post_quantum_groups_is_not_offered_them_while_sessions_resume() {
        let authority = Authority::new();
        let trust = authority.trust();
        let server = authority.server(&[NamedGroup::X25519]);
        for kind in [Full, Resumed] {
            let next = meet(&trust, &server, true).await;
            assert_eq!(next.agreed, Some((NamedGroup::X25519, kind)));
        }
        let quick = meet(&trust, &server, true).await;
        assert_eq!(quick, met(NamedGroup::X25519, Resumed, false));
    }
}
