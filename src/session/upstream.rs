//! Reaching upstream servers, and remembering what they offer so that clients can be told before their login.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use crate::config::Upstream;
use crate::protocol::{Abilities, Dialogue, Offer, Opened, StartTls, intersect};
use crate::refusal::Refusal;
use crate::wire::dial::{CONNECT_TIME, Proxy, dial};
use crate::wire::tls::Trust;
use crate::wire::{Lost, Wire, known};

/// How long a first client waits for a server's capabilities.
const FIRST_WAIT: Duration = Duration::from_secs(3);

/// How long a learned offer is used without asking again.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// How long a server that could not be reached is not asked again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How many connections to one server may be in the making at once. Where thousands of clients come in one moment, all of
/// them at once would each take longer than a server has for an answer.
const AT_ONCE: usize = 256;

/// How long a login may wait for its turn to connect.
const TURN_TIME: Duration = Duration::from_secs(60);

/// How many of them may be made for logins that have only begun: most turns are for logins that are proven.
const EARLY_AT_ONCE: usize = 32;

/// How upstream servers are reached and what they offer. Shared by all sessions.
#[derive(Debug)]
pub struct Upstreams {
    trust: Trust,
    proxy: Option<Proxy>,
    known: Mutex<HashMap<(&'static str, Upstream), Arc<Entry>>>,
}

/// What is known of one server; whoever asks it holds `asking`, whoever connects to it one of `turns`.
#[derive(Debug)]
struct Entry {
    asking: tokio::sync::Mutex<()>,
    turns: Arc<Semaphore>,
    early: Arc<Semaphore>,
    known: Mutex<Known>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            asking: tokio::sync::Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            early: Arc::new(Semaphore::new(EARLY_AT_ONCE)),
            known: Mutex::default(),
        }
    }
}

/// What a connection holds that was begun before its login was proven; over when dropped.
pub(super) type Turns = [OwnedSemaphorePermit; 2];

#[derive(Debug, Default)]
struct Known {
    offer: Option<Arc<Offer>>,
    /// What the server said inside TLS; `None` where that is in doubt.
    abilities: Option<Arc<Abilities>>,
    asked: Option<Instant>,
    failed: bool,
}

impl Upstreams {
    /// Begins knowing nothing.
    pub fn new(trust: Trust, proxy: Option<Proxy>) -> Self {
        Self {
            trust,
            proxy,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// Takes over what another has learned, for a reload.
    pub fn remember(&self, other: &Self) {
        let known = locked(&other.known).clone();
        *locked(&self.known) = known;
    }

    /// Waits for a turn to connect to a server, which is over when the permit is dropped.
    pub(super) async fn turn<D: Dialogue>(
        &self,
        at: &Upstream,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let turns = Arc::clone(&self.entry(D::NAME, at).turns);
        match timeout(TURN_TIME, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Refusal::ShuttingDown),
            Err(_) => Err(unavailable(
                at,
                "too many logins wait for this server, which answers slowly or not at all",
            )),
        }
    }

    /// Takes a turn to connect for a login that has only begun; nothing where that would have to wait.
    pub(super) fn early_turns<D: Dialogue>(&self, at: &Upstream) -> Option<Turns> {
        let entry = self.entry(D::NAME, at);
        let early = Arc::clone(&entry.early).try_acquire_owned().ok()?;
        let turn = Arc::clone(&entry.turns).try_acquire_owned().ok()?;
        Some([turn, early])
    }

    /// Connects to a server, with TLS where that comes first, within 10 s in all; nothing is said yet.
    pub(super) async fn dial(&self, at: &Upstream) -> Result<Wire, Refusal> {
        // The first to come after a start; mostly nobody's login, but whoever asks what the server offers.
        self.trust.make_ready().await;
        let until = Instant::now() + CONNECT_TIME;
        let mut wire = self.connect(at).await?;
        if at.starttls {
            return Ok(wire);
        }
        wire.set_deadline(Some(until));
        let secured = match wire.resume_tls(&self.trust, &at.host).await {
            Ok(Some(wire)) => Ok(wire),
            Ok(None) => {
                debug!(server = %at, "the TLS session did not resume; connecting anew");
                let mut wire = self.connect(at).await?;
                wire.set_deadline(Some(until));
                wire.begin_tls(&self.trust, &at.host).await
            }
            Err(lost) => Err(lost),
        };
        let mut wire = secured.map_err(|lost| {
            // The name may lead elsewhere by now.
            known::forget(&at.host, at.port);
            match lost {
                Lost::Closed => unavailable(at, "it hung up during the TLS handshake"),
                Lost::TimedOut => unavailable(at, "the TLS handshake took too long"),
                lost => unavailable(at, &lost.to_string()),
            }
        })?;
        wire.set_deadline(None);
        Ok(wire)
    }

    async fn connect(&self, at: &Upstream) -> Result<Wire, Refusal> {
        dial(&at.host, at.port, self.proxy.as_ref())
            .await
            .map_err(|why| unavailable(at, &why))
    }

    /// Hears a server's greeting and what it offers, which is remembered for an hour and need not be asked for meanwhile.
    pub(super) async fn open<D: Dialogue>(
        &self,
        as_: &D,
        server: Wire,
        at: &Upstream,
    ) -> Result<Opened, Refusal> {
        let starttls = at.starttls.then_some(StartTls {
            trust: &self.trust,
            host: &at.host,
        });
        let entry = self.entry(D::NAME, at);
        let known = entry.abilities();
        let opened = as_.open(server, starttls, known.clone()).await?;
        if !known.is_some_and(|known| Arc::ptr_eq(&known, &opened.abilities)) {
            entry.note(Some(&opened.abilities));
        }
        Ok(opened)
    }

    /// Has the next login ask a server again what it can do: one went wrong, perhaps because that has changed.
    pub(super) fn doubt<D: Dialogue>(&self, at: &Upstream) {
        locked(&self.entry(D::NAME, at).known).abilities = None;
    }

    /// Returns what all of `servers` offer, asking those that were never asked, within 3 s.
    ///
    /// A server that cannot be reached counts as offering the least that every server of its kind offers.
    pub async fn offer<D: Dialogue>(self: &Arc<Self>, servers: &[Upstream]) -> Arc<Offer> {
        let entries: Vec<Arc<Entry>> = servers.iter().map(|at| self.entry(D::NAME, at)).collect();
        let mut missing = Vec::new();
        for (at, entry) in servers
            .iter()
            .zip(&entries)
            .filter(|(_, entry)| entry.is_due())
        {
            let (this, server) = (Arc::clone(self), at.clone());
            let learning = tokio::spawn(async move { this.learn::<D>(&server).await });
            if locked(&entry.known).offer.is_none() {
                missing.push(learning);
            }
        }
        let deadline = Instant::now() + FIRST_WAIT;
        for learning in missing {
            // Whether it came in time shows below.
            drop(timeout_at(deadline, learning).await);
        }
        let offer_of = |entry: &Arc<Entry>| {
            let known = locked(&entry.known).offer.clone();
            known.unwrap_or_else(|| Arc::new(D::cautious_offer()))
        };
        match entries.as_slice() {
            [only] => offer_of(only),
            all => Arc::new(intersect(
                &all.iter()
                    .map(|entry| Offer::clone(&offer_of(entry)))
                    .collect::<Vec<_>>(),
            )),
        }
    }

    /// Asks a server, without credentials, what it offers, unless somebody just did.
    pub async fn learn<D: Dialogue>(&self, at: &Upstream) {
        let entry = self.entry(D::NAME, at);
        let _turn = entry.asking.lock().await;
        if !entry.is_due() {
            return;
        }
        let asked = async {
            let server = self.dial(at).await?;
            self.open(&D::new(), server, at).await
        };
        match asked.await {
            Ok(opened) => {
                debug!(server = %at, offer = ?opened.abilities.offer.0, "learned what the server offers");
                D::leave(opened.server).await;
            }
            Err(refusal) => {
                warn!(
                    "could not learn what {} server {at} offers, clients see a cautious list: {refusal}",
                    D::NAME
                );
                entry.note(None);
            }
        }
    }

    fn entry(&self, name: &'static str, at: &Upstream) -> Arc<Entry> {
        Arc::clone(locked(&self.known).entry((name, at.clone())).or_default())
    }
}

impl Entry {
    /// Returns whether it is time to ask (again).
    fn is_due(&self) -> bool {
        let known = locked(&self.known);
        let patience = if known.failed { RETRY_AFTER } else { FRESH };
        known.asked.is_none_or(|asked| asked.elapsed() > patience)
    }

    /// Returns what the server said lately, unless it is time to ask (again).
    fn abilities(&self) -> Option<Arc<Abilities>> {
        if self.is_due() {
            return None;
        }
        locked(&self.known).abilities.clone()
    }

    fn note(&self, abilities: Option<&Arc<Abilities>>) {
        let mut known = locked(&self.known);
        known.asked = Some(Instant::now());
        known.failed = abilities.is_none();
        known.abilities = abilities.cloned();
        if let Some(Abilities { offer, .. }) = abilities.map(Arc::as_ref)
            && known.offer.as_deref() != Some(offer)
        {
            known.offer = Some(Arc::new(offer.clone()));
        }
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(at: &Upstream, why: &str) -> Refusal {
    Refusal::ServerUnavailable {
        server: at.to_string(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use rustls::{HandshakeKind, NamedGroup};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::{JoinSet, yield_now};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::protocol::imap::Imap;
    use crate::wire::authority::Authority;
    use crate::wire::tls::choose_crypto;

    #[tokio::test]
    async fn a_crowd_connects_in_turns() {
        choose_crypto();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = Upstream {
            host: "127.0.0.1".into(),
            port: socket.local_addr().unwrap().port(),
            starttls: true,
        };
        let upstreams = Arc::new(Upstreams::new(Trust::new(None).unwrap(), None));
        let begun = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for _ in 0..AT_ONCE + 10 {
            let (upstreams, at, begun) = (Arc::clone(&upstreams), at.clone(), Arc::clone(&begun));
            crowd.spawn(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                let _turn = upstreams.turn::<Imap>(&at).await.unwrap();
                let wire = upstreams.dial(&at).await.unwrap();
                wire.into_parts().0.read_u8().await.ok();
            });
        }
        let mut heard = Vec::new();
        while heard.len() < AT_ONCE {
            heard.push(socket.accept().await.unwrap().0);
        }
        while begun.load(Ordering::Relaxed) < AT_ONCE + 10 {
            yield_now().await;
        }
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(socket.accept().now_or_never().is_none());
        // Whoever is done makes room for one more.
        for _ in 0..10 {
            drop(heard.pop());
            socket.accept().await.unwrap();
        }
        heard.clear();
        while let Some(done) = crowd.join_next().await {
            done.unwrap();
        }
    }

    /// Says a word in TLS to whoever comes, and tells how it began where they stayed.
    async fn greet(socket: &TcpListener, tls: TlsAcceptor) -> Option<HandshakeKind> {
        let (stream, _) = socket.accept().await.unwrap();
        let mut theirs = tls.accept(stream).await.ok()?;
        theirs.write_all(b"+OK\r\n").await.ok();
        // Who left says nothing more.
        theirs.read_u8().await.ok()?;
        theirs.get_ref().1.handshake_kind()
    }

    #[tokio::test]
    async fn a_server_that_forgot_our_session_is_connected_to_once_more() {
        choose_crypto();
        let authority = Authority::new();
        let make = || authority.server(&[NamedGroup::X25519MLKEM768, NamedGroup::X25519]);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = Upstream {
            host: "127.0.0.1".into(),
            port: socket.local_addr().unwrap().port(),
            starttls: false,
        };
        let upstreams = Upstreams::new(authority.trust(), None);
        let visit = || async {
            let mut wire = upstreams.dial(&at).await.unwrap();
            assert_eq!(
                wire.line(100, Duration::from_secs(5)).await.unwrap(),
                b"+OK"
            );
            wire.send(b"x").await.unwrap();
            wire
        };
        let mut tls = make();
        for kind in [
            HandshakeKind::Full,
            HandshakeKind::Resumed,
            HandshakeKind::Resumed,
        ] {
            let (_, heard) = tokio::join!(visit(), greet(&socket, tls.clone()));
            assert_eq!(heard, Some(kind));
        }
        tls = make();
        let both = async {
            (
                greet(&socket, tls.clone()).await,
                greet(&socket, tls.clone()).await,
            )
        };
        let (_, heard) = tokio::join!(visit(), both);
        assert_eq!(heard, (None, Some(HandshakeKind::Full)));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gets_no_turn_is_told_so() {
        choose_crypto();
        let at = Upstream {
            host: "mail.example.org".into(),
            port: 993,
            starttls: false,
        };
        let upstreams = Upstreams::new(Trust::new(None).unwrap(), None);
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(upstreams.turn::<Imap>(&at).await.unwrap());
        }
        let refusal = upstreams.turn::<Imap>(&at).await.unwrap_err();
        assert!(refusal.is_temporary(), "{refusal}");
        turns.pop();
        drop(upstreams.turn::<Imap>(&at).await.unwrap());
    }
}
