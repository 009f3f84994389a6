//! Connecting to the server as soon as a client begins to log in, before its password is complete (`early_dial`).
//!
//! The connection is made and secured, and waits; nothing is said on it, and nobody's token is thought of, before the
//! password is proven. It is made for addresses that logged in on the service within ten minutes only, so that a stranger
//! cannot make us dial, and goes after five seconds unused. Knows neither user nor password.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::pin;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::Desk;
use super::upstream::Turns;
use crate::config::Upstream;
use crate::protocol::{Dialogue, Onlooker};
use crate::wire::Wire;

/// How long an address is remembered after its login.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How many addresses are remembered for one service; then those go whose login is longest ago.
const MOST: usize = 4096;

/// How long a connection is kept that no login makes use of, from when it was begun.
const UNUSED: Duration = Duration::from_secs(5);

/// The addresses that logged in on a service lately.
#[derive(Debug, Default)]
pub struct Regulars(Mutex<HashMap<IpAddr, Instant>>);

impl Regulars {
    /// Remembers a client that logged in.
    fn welcome(&self, client: IpAddr) {
        let mut known = locked(&self.0);
        if known.len() >= MOST && !known.contains_key(&client) {
            let oldest = known.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                known.remove(&oldest);
            }
        }
        known.insert(client, Instant::now());
    }

    /// Makes a client a stranger again.
    fn forget(&self, client: IpAddr) {
        locked(&self.0).remove(&client);
    }

    fn knows(&self, client: IpAddr) -> bool {
        let known = locked(&self.0);
        let since = known.get(&client);
        since.is_some_and(|since| since.elapsed() < REMEMBERED)
    }
}

/// One session's early connection. What is under way ends with it.
pub(super) struct Early<'a, D: Dialogue> {
    desk: &'a Desk,
    client: IpAddr,
    under_way: Mutex<Option<UnderWay>>,
    speaks: PhantomData<fn() -> D>,
}

/// A connection that is being made, or waits.
struct UnderWay {
    at: Upstream,
    /// Says that a login makes use of it; dropped, that none will.
    wanted: oneshot::Sender<()>,
    task: JoinSet<Option<Ready>>,
}

/// A connection to a server on which nothing was said yet, and the turns it holds.
type Ready = (Wire, Turns);

impl<'a, D: Dialogue> Early<'a, D> {
    pub(super) fn new(desk: &'a Desk, client: IpAddr) -> Self {
        Self {
            desk,
            client,
            under_way: Mutex::default(),
            speaks: PhantomData,
        }
    }

    /// Returns the desk of the session.
    pub(super) fn desk(&self) -> &'a Desk {
        self.desk
    }

    /// Takes the early connection to a server for a login that is proven; waits for it where it is still being made.
    pub(super) async fn take(&self, at: &Upstream) -> Option<Ready> {
        let mut under_way = locked(&self.under_way).take()?;
        if under_way.at != *at {
            return None;
        }
        under_way.wanted.send(()).ok()?;
        under_way.task.join_next().await?.ok()?
    }

    /// Remembers a client that logged in.
    pub(super) fn welcome(&self) {
        if let Some(regulars) = &self.desk.regulars {
            regulars.welcome(self.client);
        }
    }

    /// Gives up what no login made use of, and the client's good name with it.
    pub(super) fn give_up(&self) {
        let Some(mut under_way) = locked(&self.under_way).take() else {
            return;
        };
        if let Some(regulars) = &self.desk.regulars {
            regulars.forget(self.client);
        }
        // It says goodbye by itself, in two seconds at most.
        drop(under_way.wanted);
        under_way.task.detach_all();
    }
}

impl<D: Dialogue> Onlooker for Early<'_, D> {
    fn login_begins(&self) {
        let (Some(regulars), [at]) = (&self.desk.regulars, self.desk.servers.as_slice()) else {
            return;
        };
        let mut under_way = locked(&self.under_way);
        // While somebody is asked for consent this login may be the one that has to wait for it.
        let is_pending = || !self.desk.accounts.pending().borrow().is_empty();
        if under_way.is_some() || !regulars.knows(self.client) || is_pending() {
            return;
        }
        let Some(turns) = self.desk.upstreams.early_turns::<D>(at) else {
            return;
        };
        let (wanted, is_wanted) = oneshot::channel();
        let (upstreams, regulars) = (Arc::clone(&self.desk.upstreams), Arc::clone(regulars));
        let (client, server) = (self.client, at.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (dial, waiting) = (upstreams.dial(&server), timeout(UNUSED, is_wanted));
            pin!(dial, waiting);
            let (dialled, is_wanted) = tokio::select! {
                dialled = &mut dial => (Some(dialled), waiting.await),
                is_wanted = &mut waiting => (None, is_wanted),
            };
            match (dialled, is_wanted) {
                (Some(dialled), Ok(Ok(()))) => Some((dialled.ok()?, turns)),
                (None, Ok(Ok(()))) => Some((dial.await.ok()?, turns)),
                (dialled, _) => {
                    debug!(server = %server, "an early connection was of no use");
                    regulars.forget(client);
                    if let Some(Ok(wire)) = dialled {
                        D::leave(wire).await;
                    }
                    None
                }
            }
        });
        *under_way = Some(UnderWay {
            at: at.clone(),
            wanted,
            task,
        });
    }
}

impl<D: Dialogue> Drop for Early<'_, D> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl<D: Dialogue> fmt::Debug for Early<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Early({} for {})", D::NAME, self.client)
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio::time::{advance, pause};

    use super::*;
    use crate::accounts::{Accounts, Reach, Setup};
    use crate::config::Config;
    use crate::oauth::Endpoint;
    use crate::protocol::pop::Pop;
    use crate::session::upstream::Upstreams;
    use crate::session::{Door, Seats};
    use crate::wire::tls::{Trust, choose_crypto};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Makes the desk of a service that leads to a port of this machine.
    fn desk(port: u16) -> Desk {
        choose_crypto();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("emailproxy.ini");
        let text = format!(
            "[POP-0]\nserver_address = 127.0.0.1\nserver_port = {port}\nserver_starttls = True\n"
        );
        std::fs::write(&path, text).unwrap();
        let config = Arc::new(Config::read(&path).unwrap());
        let trust = Trust::new(None).unwrap();
        let endpoint = Endpoint::new(trust.client_config(), None).unwrap();
        let setup = Setup {
            store: home.path().join("tokens.json").into(),
            reach: Reach::default(),
            external_auth: false,
        };
        let service = config.services[0].clone();
        Desk {
            servers: config.upstreams(&service),
            accounts: Accounts::open(Arc::clone(&config), endpoint, setup).unwrap(),
            upstreams: Arc::new(Upstreams::new(trust, None)),
            door: Door::Plain,
            seats: Arc::new(Seats::default()),
            most: 2,
            most_per_account: 2,
            regulars: Some(Arc::default()),
            stop: watch::channel(false).1,
            service,
        }
    }

    fn dials(early: &Early<'_, Pop>) -> bool {
        early.login_begins();
        locked(&early.under_way).is_some()
    }

    #[tokio::test]
    async fn who_makes_no_use_of_it_loses_it_after_five_seconds() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let desk = desk(socket.local_addr().unwrap().port());
        let regulars = Arc::clone(desk.regulars.as_ref().unwrap());
        regulars.welcome(CLIENT);
        let early = Early::<Pop>::new(&desk, CLIENT);
        assert!(dials(&early));
        let (mut server, _) = socket.accept().await.unwrap();
        pause();
        advance(UNUSED.checked_sub(Duration::from_millis(100)).unwrap()).await;
        assert!(server.read_u8().now_or_never().is_none());
        assert!(regulars.knows(CLIENT));
        advance(Duration::from_millis(200)).await;
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"QUIT\r\n");
        assert!(!regulars.knows(CLIENT));
        assert!(early.take(&desk.servers[0]).await.is_none());
    }

    #[tokio::test]
    async fn a_proven_login_takes_it_once() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let desk = desk(socket.local_addr().unwrap().port());
        let regulars = Arc::clone(desk.regulars.as_ref().unwrap());
        regulars.welcome(CLIENT);
        let early = Early::<Pop>::new(&desk, CLIENT);
        assert!(dials(&early));
        let (wire, _turns) = early.take(&desk.servers[0]).await.unwrap();
        assert!(early.take(&desk.servers[0]).await.is_none());
        early.give_up();
        assert!(regulars.knows(CLIENT));
        drop(wire);
    }

    #[tokio::test]
    async fn strangers_crowds_and_several_servers_have_nothing_dialled() {
        let mut desk = desk(1);
        let early = Early::<Pop>::new(&desk, CLIENT);
        assert!(!dials(&early), "a stranger");
        let regulars = Arc::clone(desk.regulars.as_ref().unwrap());
        regulars.welcome(CLIENT);
        let mut crowd = Vec::new();
        while let Some(turns) = desk.upstreams.early_turns::<Pop>(&desk.servers[0]) {
            crowd.push(turns);
        }
        assert!(!dials(&early), "a crowd");
        assert!(crowd.len() < 64, "a crowd leaves turns to proven logins");
        drop(crowd);
        drop(early);
        let only = desk.servers[0].clone();
        desk.servers.push(Upstream { port: 2, ..only });
        assert!(!dials(&Early::new(&desk, CLIENT)), "several servers");
        desk.servers.pop();
        desk.regulars = None;
        assert!(!dials(&Early::new(&desk, CLIENT)), "not wished for");
        desk.regulars = Some(regulars);
        assert!(dials(&Early::new(&desk, CLIENT)), "nothing in the way");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_known_for_ten_minutes_and_the_oldest_make_room() {
        let regulars = Regulars::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        regulars.welcome(CLIENT);
        advance(REMEMBERED.checked_sub(Duration::from_secs(1)).unwrap()).await;
        assert!(regulars.knows(CLIENT));
        advance(Duration::from_secs(1)).await;
        assert!(!regulars.knows(CLIENT));
        for number in 0..u32::try_from(MOST).unwrap() {
            regulars.welcome(address(number));
        }
        assert_eq!(locked(&regulars.0).len(), MOST);
        advance(Duration::from_secs(1)).await;
        regulars.welcome(address(0));
        regulars.welcome(address(1_000_000));
        assert_eq!(locked(&regulars.0).len(), MOST);
        assert!(regulars.knows(address(0)) && regulars.knows(address(1_000_000)));
        regulars.forget(address(0));
        assert!(!regulars.knows(address(0)));
    }
}
