//! Listeners that are open only while somebody is asked for consent, one per address, each serving all consents; and the
//! page's, which is always open and serves those of its own address too.
//!
//! Knows where and how long; what is done with connections is `conversation`'s.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Ears;
use super::bind::{PageSockets, bind};
use super::conversation::{HEAD, MAX_CONNECTIONS, Shared, accept};
use super::page::Page;
use super::place::{Place, Spot};
use crate::accounts::Pending;
use crate::said::Said;

/// How long answers in progress are waited for at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Hears browsers come back.
pub struct Callbacks {
    pending: watch::Receiver<Vec<Pending>>,
    ears: Ears,
    bound: watch::Sender<Vec<SocketAddr>>,
    ready: Vec<std::net::TcpListener>,
    head: Duration,
    page: Option<(Arc<Page>, PageSockets)>,
}

/// One open address.
struct Open {
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Open {
    /// Begins to accept at these sockets.
    fn begin(
        listeners: impl IntoIterator<Item = TcpListener>,
        spot: &Spot,
        shared: &Arc<Shared>,
    ) -> Self {
        let mut opened = Self {
            addresses: Vec::new(),
            tasks: Vec::new(),
        };
        for listener in listeners {
            opened.addresses.extend(listener.local_addr());
            let accepting = accept(listener, spot.clone(), Arc::clone(shared));
            opened.tasks.push(tokio::spawn(accepting));
        }
        opened
    }
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
            page: None,
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

    /// Shows the page too, at these sockets.
    #[must_use]
    pub fn with_page(mut self, page: Arc<Page>, sockets: PageSockets) -> Self {
        self.page = Some((page, sockets));
        self
    }

    /// Listens wherever a pending consent wants it, and for the page where there is one, until `stop`.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        let (page, sockets) = self.page.take().unzip();
        let shared = Arc::new(Shared::new(self.ears.clone(), self.head, page));
        let mut open: HashMap<Spot, Open> = HashMap::new();
        if let (Some(page), Some(sockets)) = (&shared.page, sockets) {
            let listeners = sockets.listeners.into_iter().filter_map(|listener| {
                listener.set_nonblocking(true).ok()?;
                TcpListener::from_std(listener).ok()
            });
            let spot = page.home().spot.clone();
            open.insert(spot.clone(), Open::begin(listeners, &spot, &shared));
        }
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
        shared.closing.send_replace(true);
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
            let page = shared.page.as_ref().map(|page| page.home());
            let place = Place::of(consent, page);
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
        let at_home = |spot: &Spot| {
            let mut page = shared.page.iter();
            page.any(|page| page.home().spot == *spot)
        };
        open.retain(|spot, _| at_home(spot) || places.iter().any(|place| place.spot == *spot));
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
        let listeners = bind(spot, &self.ready).await?;
        let opened = Open::begin(listeners, spot, shared);
        for address in &opened.addresses {
            info!("listening for the browser's return at http://{address}");
        }
        open.insert(spot.clone(), opened);
        Ok(())
    }
}

#[cfg(fuzzing)]
impl Callbacks {
    /// For the fuzzer alone: hears one request over any pipe, as it would for the first pending consent.
    pub async fn hear_one(
        self,
        io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        local: SocketAddr,
    ) {
        let pending = self.pending.borrow().clone();
        let places = pending.iter().flat_map(|one| Place::of(one, None));
        let places: Vec<_> = places.collect();
        let spot = places.first().map(|place| place.spot.clone());
        let shared = Shared::new(self.ears, self.head, None);
        shared.places.send_replace(places);
        if let Some(spot) = spot {
            super::conversation::hear_one(io, local, &spot, &shared).await;
        }
    }
}
