//! Connections of browsers, each with one request: how many at once, how long each, and which of them make room.
//!
//! What a request means is `callback`'s and `page`'s.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::callback::answer;
use super::page::{Events, Page, Reply};
use super::place::{Place, Spot};
use super::{Ears, exchange};
use crate::said::Said;

/// The most connections at once, over all listeners.
pub(super) const MAX_CONNECTIONS: u32 = 32;

/// How long a request's head may take.
pub(super) const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take in all; redeeming a code takes at most 10 s of it.
const WHOLE: Duration = Duration::from_secs(30);

/// What all connections share.
pub(super) struct Shared {
    ears: Ears,
    /// The page, where there is one.
    pub(super) page: Option<Arc<Page>>,
    /// Where returns are expected; the last known ones while nothing is pending any more.
    pub(super) places: watch::Sender<Vec<Place>>,
    pub(super) connections: Arc<Semaphore>,
    /// Becomes true when the proxy goes down: what would go on for long ends then.
    pub(super) closing: watch::Sender<bool>,
    /// The connections whose request has not come whole yet.
    silent: Mutex<Silent>,
    head: Duration,
}

/// Connections that have not said what they want.
#[derive(Default)]
struct Silent {
    /// How many connections there were.
    count: u64,
    /// By their number, the oldest first.
    all: BTreeMap<u64, AbortHandle>,
}

impl Shared {
    pub(super) fn new(ears: Ears, head: Duration, page: Option<Arc<Page>>) -> Self {
        Self {
            ears,
            page,
            places: watch::Sender::new(Vec::new()),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)),
            closing: watch::Sender::new(false),
            silent: Mutex::default(),
            head,
        }
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection that has been silent for longest, if one is silent.
    fn show_out_one(&self) {
        if let Some((_, oldest)) = self.silent().all.pop_first() {
            oldest.abort();
        }
    }
}

/// Accepts connections. Where too many are served, the one that has been silent for longest makes room: whoever has
/// something to say says it at once.
pub(super) async fn accept(listener: TcpListener, spot: Spot, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connections = Arc::clone(&shared.connections);
                let permit = match Arc::clone(&connections).try_acquire_owned() {
                    Ok(permit) => permit,
                    Err(_) => {
                        shared.show_out_one();
                        let Ok(permit) = connections.acquire_owned().await else {
                            return;
                        };
                        permit
                    }
                };
                begin(stream, spot.clone(), &shared, permit);
            }
            Err(error) => {
                debug!("could not accept a browser's connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Begins to serve a connection.
fn begin(stream: TcpStream, spot: Spot, shared: &Arc<Shared>, permit: OwnedSemaphorePermit) {
    // Held until it is noted, so that it cannot end before.
    let mut silent = shared.silent();
    silent.count += 1;
    let number = silent.count;
    let its = Arc::clone(shared);
    let serving = tokio::spawn(async move {
        // Dropped, as the permit is, also where it is shown out.
        let going_on = converse(stream, &spot, &its, number).await;
        its.silent().all.remove(&number);
        if let Some((stream, events)) = going_on {
            let mut closing = its.closing.subscribe();
            tokio::select! {
                () = events.tell(stream) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        }
        drop(permit);
    });
    silent.all.insert(number, serving.abort_handle());
}

/// Serves one connection: one request, one answer. Where the answer is a stream of events, it is still to be told.
async fn converse(
    mut stream: TcpStream,
    spot: &Spot,
    shared: &Shared,
    number: u64,
) -> Option<(TcpStream, Events)> {
    let (local, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
    let hearing = hear_out(&mut stream, local, peer, spot, shared, number);
    if let Ok(events) = timeout(WHOLE, hearing).await {
        return events.map(|events| (stream, events));
    }
    debug!("a browser's connection took too long");
    None
}

/// Hears one request and answers it.
async fn hear_out(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    local: SocketAddr,
    peer: SocketAddr,
    spot: &Spot,
    shared: &Shared,
    number: u64,
) -> Option<Events> {
    let heard = exchange::hear(stream, shared.head).await;
    // From here on it is not shown out any more.
    shared.silent().all.remove(&number);
    let (response, with_body) = match heard {
        Ok(asked) => {
            let mut places = shared.places.borrow().clone();
            places.retain(|place| place.spot == *spot);
            let page = shared.page.as_ref();
            let way = page.map(|page| page.home().url());
            let response = match page.filter(|page| page.home().spot == *spot) {
                Some(page) => match page
                    .answer(&asked, &places, local, peer, &shared.ears)
                    .await
                {
                    Reply::Whole(response) => response,
                    Reply::Events(events) => return Some(events),
                },
                None => answer(&asked, &places, local, &shared.ears, way.as_deref()).await,
            };
            debug!(
                method = %Said::from(asked.parts.method.as_str()),
                status = response.status().as_u16(),
                "answered a browser"
            );
            (response, asked.parts.method != Method::HEAD)
        }
        Err(None) => return None,
        Err(Some(status)) => {
            debug!(
                status = status.as_u16(),
                "what a browser's connection said is no request"
            );
            (exchange::refuse(status), true)
        }
    };
    exchange::say(stream, &response, with_body).await;
    None
}

/// For the fuzzer alone: hears one request over any pipe.
#[cfg(fuzzing)]
pub(super) async fn hear_one(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    local: SocketAddr,
    spot: &Spot,
    shared: &Shared,
) {
    let hearing = hear_out(&mut io, local, local, spot, shared, 0);
    drop(timeout(WHOLE, hearing).await);
}
