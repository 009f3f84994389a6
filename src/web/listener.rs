//! Listeners that are open only while somebody is asked for consent: one per address, each serving all consents.
//!
//! Knows how long and how many; what a request means is `callback`'s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::callback::answer;
use super::place::{Place, Spot};
use super::{Ears, exchange};
use crate::accounts::Pending;
use crate::said::Said;

/// The most connections at once, over all listeners.
const MAX_CONNECTIONS: u32 = 32;

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take in all; redeeming a code takes at most 10 s of it.
const WHOLE: Duration = Duration::from_secs(30);

/// How long answers in progress are waited for at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Hears browsers come back.
pub struct Callbacks {
    pending: watch::Receiver<Vec<Pending>>,
    ears: Ears,
    bound: watch::Sender<Vec<SocketAddr>>,
    ready: Vec<std::net::TcpListener>,
    head: Duration,
}

/// What all connections share.
struct Shared {
    ears: Ears,
    /// Where returns are expected; the last known ones while nothing is pending any more.
    places: watch::Sender<Vec<Place>>,
    connections: Arc<Semaphore>,
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

/// One open address.
struct Open {
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Only accepting ends; connections have tasks of their own and say their last words.
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Callbacks {
    /// Prepares to hear the returns of `pending` consents and to hand them to `ears`.
    pub fn new(pending: watch::Receiver<Vec<Pending>>, ears: Ears) -> Self {
        Self {
            pending,
            ears,
            bound: watch::Sender::new(Vec::new()),
            ready: Vec::new(),
            head: HEAD,
        }
    }

    /// Shows the addresses listened at, now and whenever they change.
    pub fn bound(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Hands over a listener that is bound already; it is used for consents that name its port.
    #[must_use]
    pub fn with_listener(mut self, listener: std::net::TcpListener) -> Self {
        self.ready.push(listener);
        self
    }

    /// Sets how long a request's head may take; 5 s unless set.
    #[must_use]
    pub fn head_within(mut self, head: Duration) -> Self {
        self.head = head;
        self
    }

    /// Listens wherever a pending consent wants it, until `stop`.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        let shared = Arc::new(Shared {
            ears: self.ears.clone(),
            places: watch::Sender::new(Vec::new()),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)),
            silent: Mutex::default(),
            head: self.head,
        });
        let mut open: HashMap<Spot, Open> = HashMap::new();
        let mut warned: HashSet<String> = HashSet::new();
        let mut stop = pin!(stop);
        loop {
            let wanted: Vec<Pending> = self.pending.borrow_and_update().clone();
            self.follow(&shared, &mut open, &mut warned, &wanted).await;
            tokio::select! {
                () = &mut stop => break,
                changed = self.pending.changed() => if changed.is_err() {
                    // Nobody is left who could ask for consent.
                    stop.await;
                    break;
                },
            }
        }
        drop(open);
        self.bound.send_replace(Vec::new());
        // All permits back means that every answer is out.
        drop(timeout(GOODBYE, shared.connections.acquire_many(MAX_CONNECTIONS)).await);
    }

    /// Opens what pending consents need and closes what none needs any more.
    async fn follow(
        &self,
        shared: &Arc<Shared>,
        open: &mut HashMap<Spot, Open>,
        warned: &mut HashSet<String>,
        wanted: &[Pending],
    ) {
        let mut places = Vec::new();
        for consent in wanted.iter().filter(|consent| consent.listen) {
            let place = Place::of(consent);
            let heard = match place {
                Ok(place) => {
                    let spot = place.spot.clone();
                    if let Some(elsewhere) = &place.elsewhere
                        && warned.insert(consent.url.clone())
                    {
                        warn!(
                            "the browser's return for account {} is heard on this machine only, although `redirect_uri` \
                             names {}; set `redirect_listen_address` if it comes from another machine",
                            Said::from(consent.account.as_str()),
                            Said::from(elsewhere.as_str()),
                        );
                    }
                    places.push(place);
                    self.open(shared, open, &spot).await
                }
                Err(why) => Err(why),
            };
            // Each consent has its own address, so one warning comes with each new consent.
            if let Err(why) = heard
                && warned.insert(consent.url.clone())
            {
                warn!(
                    "cannot hear the browser come back for account {account}: {why}; or let the sign-in end in an \
                     error page and paste its address: emailproxy authorize {account}",
                    account = Said::from(consent.account.as_str()),
                );
            }
        }
        open.retain(|spot, _| places.iter().any(|place| place.spot == *spot));
        warned.retain(|url| wanted.iter().any(|consent| consent.url == *url));
        if !places.is_empty() {
            shared.places.send_replace(places);
        }
        let addresses: Vec<_> = open
            .values()
            .flat_map(|open| open.addresses.clone())
            .collect();
        self.bound.send_if_modified(|bound| {
            let changed = *bound != addresses;
            *bound = addresses;
            changed
        });
    }

    /// Opens an address if it is not open yet.
    async fn open(
        &self,
        shared: &Arc<Shared>,
        open: &mut HashMap<Spot, Open>,
        spot: &Spot,
    ) -> Result<(), String> {
        if open.contains_key(spot) {
            return Ok(());
        }
        let listeners = self.bind(spot).await?;
        let mut opened = Open {
            addresses: Vec::new(),
            tasks: Vec::new(),
        };
        for listener in listeners {
            if let Ok(address) = listener.local_addr() {
                info!("listening for the browser's return at http://{address}");
                opened.addresses.push(address);
            }
            opened.tasks.push(tokio::spawn(accept(
                listener,
                spot.clone(),
                Arc::clone(shared),
            )));
        }
        open.insert(spot.clone(), opened);
        Ok(())
    }

    /// Binds an address, both loopbacks where it stands for them. One of several is enough.
    async fn bind(&self, spot: &Spot) -> Result<Vec<TcpListener>, String> {
        let mut listeners = Vec::new();
        for ready in &self.ready {
            if ready.local_addr().is_ok_and(|at| at.port() == spot.port) {
                let taken = ready.try_clone().and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                });
                listeners.extend(taken);
            }
        }
        if !listeners.is_empty() {
            return Ok(listeners);
        }
        let mut refused = None;
        for address in spot.addresses().await? {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    // What another program holds says more than that a machine has no IPv6.
                    if is_taken(&error) || refused.is_none() {
                        refused = Some((address, error));
                    }
                }
            }
        }
        match refused {
            Some((address, error)) if listeners.is_empty() => Err(explain(address, &error)),
            Some((address, error)) if is_taken(&error) => {
                warn!(
                    "{}; a browser that goes there finds the other program",
                    explain(address, &error)
                );
                Ok(listeners)
            }
            _ => Ok(listeners),
        }
    }
}

#[cfg(fuzzing)]
impl Callbacks {
    /// For the fuzzer alone: hears one request over any pipe, as it would for the first pending consent.
    pub async fn hear_one(self, io: impl AsyncRead + AsyncWrite + Unpin, local: SocketAddr) {
        let places: Vec<_> = self.pending.borrow().iter().flat_map(Place::of).collect();
        let spot = places.first().map(|place| place.spot.clone());
        let shared = Shared {
            ears: self.ears,
            places: watch::Sender::new(places),
            connections: Arc::new(Semaphore::new(1)),
            silent: Mutex::default(),
            head: self.head,
        };
        if let Some(spot) = spot {
            drop(timeout(WHOLE, hear_out(io, local, &spot, &shared, 0)).await);
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Words a failed bind with what to do.
fn explain(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or set `redirect_uri` to a free port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: set `redirect_uri` to a higher port, such as \
             http://localhost:8825, here and at the provider"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: set `redirect_listen_address` to one it has"
        }
        _ => "set `redirect_listen_address` to an address that can be listened at",
    };
    format!("could not listen at {address}: {error}; {advice}")
}

/// Accepts connections. Where too many are served, the one that has been silent for longest makes room: whoever has
/// something to say says it at once.
async fn accept(listener: TcpListener, spot: Spot, shared: Arc<Shared>) {
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
        if timeout(WHOLE, converse(stream, &spot, &its, number))
            .await
            .is_err()
        {
            debug!("a browser's connection took too long");
        }
        its.silent().all.remove(&number);
        drop(permit);
    });
    silent.all.insert(number, serving.abort_handle());
}

/// Serves one connection: one request, one answer.
async fn converse(stream: TcpStream, spot: &Spot, shared: &Shared, number: u64) {
    if let Ok(local) = stream.local_addr() {
        hear_out(stream, local, spot, shared, number).await;
    }
}

/// Hears one request and answers it.
async fn hear_out(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    local: SocketAddr,
    spot: &Spot,
    shared: &Shared,
    number: u64,
) {
    let heard = exchange::hear(&mut stream, shared.head).await;
    // From here on it is not shown out any more.
    shared.silent().all.remove(&number);
    let (response, with_body) = match heard {
        Ok(asked) => {
            let mut places = shared.places.borrow().clone();
            places.retain(|place| place.spot == *spot);
            let response = answer(&asked, &places, local, &shared.ears).await;
            debug!(
                method = %Said::from(asked.parts.method.as_str()),
                status = response.status().as_u16(),
                "answered a browser"
            );
            (response, asked.parts.method != Method::HEAD)
        }
        Err(None) => return,
        Err(Some(status)) => {
            debug!(
                status = status.as_u16(),
                "what a browser's connection said is no request"
            );
            (exchange::refuse(status), true)
        }
    };
    exchange::say(&mut stream, &response, with_body).await;
}
