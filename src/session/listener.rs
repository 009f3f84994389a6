//! Local ports: bind, accept, and one task per connection.
//!
//! The accept loop awaits nothing but accept, its own tasks and the signal to stop. Knows no protocol but its name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::proxy_header::{self, First};
use super::seats::Seat;
use super::visit::describe;
use super::{Desk, Visit, serve, turn_away};
use crate::config::{Protocol, Service};
use crate::protocol::{imap::Imap, pop::Pop, smtp::Smtp};
use crate::wire::{Wire, dial::keep_alive};

/// How many connections may wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

/// How long to wait after an accept failed: no descriptor becomes free by asking again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the log says that accepting fails, while it does.
const REMINDER: Duration = Duration::from_secs(60);

/// A service's bound sockets, listening.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<TcpListener>,
    /// The addresses they are bound to.
    pub addresses: Vec<SocketAddr>,
}

/// Binds a service's addresses. With port 0 the system chooses one port for all of them.
///
/// A machine without IPv6 is no reason to fail while another address is bound.
pub fn bind(service: &Service) -> Result<Bound, String> {
    let mut sockets = Vec::new();
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in &service.local_addresses {
        let port = addresses.first().map_or(service.port, SocketAddr::port);
        let at = SocketAddr::new(*address, port);
        match bind_one(at, service.local_address.is_none()) {
            Ok(socket) => {
                addresses.push(socket.local_addr().map_err(|error| error.to_string())?);
                sockets.push(socket);
            }
            Err(error)
                if address.is_ipv6() && service.local_addresses.len() > 1 && lacks_ipv6(&error) =>
            {
                debug!(%at, %error, "no IPv6 here");
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(format!(
                    "[{}]: port {port} at {address} is taken by another program; is the proxy already running?",
                    service.section
                ));
            }
            Err(error) => {
                return Err(format!(
                    "[{}]: could not listen at {at}: {error}",
                    service.section
                ));
            }
        }
    }
    if sockets.is_empty() {
        return Err(format!(
            "[{}]: no local address could be bound",
            service.section
        ));
    }
    Ok(Bound { sockets, addresses })
}

fn bind_one(at: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    if at.is_ipv6() {
        // An explicit `::` takes IPv4 too, as the predecessor's default did.
        socket.set_only_v6(only_v6 || at.ip() != IpAddr::from([0_u16; 8]))?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Each connection inherits this, which is less work than to say it to each.
    keep_alive(&SockRef::from(&socket));
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || error.raw_os_error() == Some(97) // EAFNOSUPPORT
}

/// Serves a service until `stop`; then sessions before login are sent home at once, relaying ones have `drain` left.
///
/// `desk` is looked at for each new connection, so that a reload needs no new socket.
pub async fn run(
    bound: Bound,
    desk: watch::Receiver<Arc<Desk>>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let mut loops = JoinSet::new();
    for socket in bound.sockets {
        loops.spawn(accept(socket, desk.clone(), stop.clone(), drain));
    }
    // A sender that is gone means the same as a stop.
    drop(stop.wait_for(|stopping| *stopping).await);
    while loops.join_next().await.is_some() {}
}

/// Says where a service listens and what for; before [`run`], so that these lines come in the order of the file.
pub fn announce(bound: &Bound, service: &Service) {
    let name = protocol_name(service.protocol);
    let (local, upstream) = describe(service);
    for at in &bound.addresses {
        info!("Starting {name} server at {at} ({local}) proxying {upstream}");
    }
    if service.local_address.is_none() {
        let section = &service.section;
        info!(
            "[{section}] is reachable from this machine only; set local_address in its section to change that"
        );
    }
}

async fn accept(
    socket: TcpListener,
    desk: watch::Receiver<Arc<Desk>>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let mut sessions = JoinSet::new();
    let mut said: Option<Instant> = None;
    // A sender that is gone means the same as a stop.
    let mut stopped = pin!(async { drop(stop.wait_for(|stopping| *stopping).await) });
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, from)) => {
                    let desk = Arc::clone(&desk.borrow());
                    if let Some(seat) = desk.seats.take(desk.most) {
                        sessions.spawn(receive(stream, from, desk, Some(seat)));
                    } else {
                        if desk.seats.is_worth_saying() {
                            warn!(
                                "all {} connections are taken (max_connections, or the limit of open files); new ones are turned away",
                                desk.most
                            );
                        }
                        // Whoever cannot even be told has to be dropped.
                        if let Some(room) = desk.seats.stand() {
                            sessions.spawn(async move {
                                receive(stream, from, desk, None).await;
                                drop(room);
                            });
                        }
                    }
                }
                Err(error) => {
                    if said.is_none_or(|at| at.elapsed() >= REMINDER) {
                        said = Some(Instant::now());
                        warn!("could not accept connections: {error}; {}", advice(&error));
                    }
                    tokio::select! { () = sleep(PAUSE) => {}, () = &mut stopped => break }
                }
            },
            Some(ended) = sessions.join_next() => report(ended),
            () = &mut stopped => break,
        }
    }
    drop(socket);
    let until = Instant::now() + drain;
    while let Ok(Some(ended)) = tokio::time::timeout_at(until, sessions.join_next()).await {
        report(ended);
    }
    if !sessions.is_empty() {
        info!(
            "{} sessions are cut after {} s of draining",
            sessions.len(),
            drain.as_secs()
        );
    }
    sessions.shutdown().await;
}

/// Says what to do where connections cannot be accepted.
fn advice(error: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "the limit of open files is reached; trying again every 100 ms. Raise it (LimitNOFILE= in a systemd unit, `ulimit -n`) or lower max_connections"
        }
        Some(Errno::NFILE) => {
            "the whole machine has no more open files to give; trying again every 100 ms. See fs.file-max and what else runs here"
        }
        Some(Errno::NOBUFS | Errno::NOMEM) => {
            "the machine has no memory left for connections; trying again every 100 ms"
        }
        _ => "trying again every 100 ms",
    }
}

/// A session that broke down ends alone.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(broken) = ended
        && broken.is_panic()
    {
        error!("a session broke down, which is a fault of emailproxy; the others go on");
    }
}

/// Attends to one connection; without a seat it is only turned away.
async fn receive(stream: TcpStream, from: SocketAddr, desk: Arc<Desk>, seat: Option<Seat>) {
    // The socket has an address as long as it is open; a client that is gone already needs no true one.
    let at = stream.local_addr().unwrap_or(from);
    let Some(guest) = introduce(stream, from, &desk).await else {
        return;
    };
    if !desk.service.allow_from.is_empty() {
        let client = guest.from.ip().to_canonical();
        let mut networks = desk.service.allow_from.iter();
        if !networks.any(|network| network.contains(&client)) {
            let section = &desk.service.section;
            if guest.is_check {
                debug!("[{section}] {client} looked whether we live");
            } else {
                info!("[{section}] {client} is outside allow_from; closing");
            }
            return;
        }
    }
    let span = info_span!("session", service = desk.service.section, client = %guest.from, account = tracing::field::Empty);
    match desk.service.protocol {
        Protocol::Imap => attend::<Imap>(guest, at, desk, seat).instrument(span).await,
        Protocol::Pop => attend::<Pop>(guest, at, desk, seat).instrument(span).await,
        Protocol::Smtp => attend::<Smtp>(guest, at, desk, seat).instrument(span).await,
    }
}

/// Somebody at the door.
struct Guest {
    wire: Wire,
    /// The client's address.
    from: SocketAddr,
    /// Whether a load balancer came on nobody's behalf.
    is_check: bool,
}

/// Learns who comes: a load balancer has to say whom it speaks for. `None` where it does not.
async fn introduce(stream: TcpStream, from: SocketAddr, desk: &Desk) -> Option<Guest> {
    let peer = from.ip().to_canonical();
    let mut networks = desk.service.proxy_protocol_from.iter();
    if !networks.any(|network| network.contains(&peer)) {
        return Some(Guest {
            wire: Wire::new(stream, from.to_string()),
            from,
            is_check: false,
        });
    }
    let mut wire = Wire::new(stream, from.to_string());
    let first = tokio::select! {
        first = proxy_header::hear(&mut wire) => first,
        () = desk.stopping() => return None,
    };
    let section = &desk.service.section;
    match first {
        First::Client(client) => {
            debug!("[{section}] {from} speaks for {client}");
            Some(Guest {
                wire: wire.speaking_for(client.to_string()),
                from: client,
                // HAProxy's checks of version 1 name their own end.
                is_check: client == SocketAddr::new(peer, from.port()),
            })
        }
        First::Nobody => Some(Guest {
            wire,
            from,
            is_check: true,
        }),
        First::Silence => {
            debug!("[{section}] {from} came and went");
            None
        }
        First::NoHeader(why) => {
            warn!(
                "[{section}] {from} is in proxy_protocol_from but sent no good PROXY header ({why}); closing. Switch the \
                 PROXY protocol on there (`send-proxy` in HAProxy), or take the address out of proxy_protocol_from"
            );
            None
        }
    }
}

async fn attend<D: crate::protocol::Dialogue>(
    guest: Guest,
    at: SocketAddr,
    desk: Arc<Desk>,
    seat: Option<Seat>,
) {
    let Some(mut seat) = seat else {
        let told = turn_away::<D>(guest.wire, &desk.door).await;
        debug!(?told, "turned away");
        return;
    };
    #[cfg(test)]
    tests::break_down(guest.from);
    let mut visit = Visit::begin(D::NAME, at, guest.from, guest.is_check, &desk.service);
    let meters = desk.accounts.meters();
    meters.connected(visit.lane);
    let ended = serve::<D>(guest.wire, &desk, &mut seat, &mut visit).await;
    visit.end(&ended, meters);
}

/// Returns a protocol's name as people write it.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "IMAP",
        Protocol::Pop => "POP",
        Protocol::Smtp => "SMTP",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;
    use crate::accounts::{Accounts, Reach, Setup};
    use crate::config::Config;
    use crate::oauth::Endpoint;
    use crate::session::Door;
    use crate::session::seats::Seats;
    use crate::session::upstream::Upstreams;
    use crate::wire::tls::{Trust, choose_crypto};

    /// Where the client is whose session is to break down.
    static BROKEN: Mutex<Option<SocketAddr>> = Mutex::new(None);

    /// Breaks a session down on purpose.
    pub(super) fn break_down(client: SocketAddr) {
        let broken = *BROKEN.lock().unwrap();
        assert!(
            broken != Some(client),
            "a fault that somebody made in {client}"
        );
    }

    /// Hears up to the end of a line, or of the connection.
    async fn line(client: &mut TcpStream) -> String {
        let mut line = String::new();
        while let Ok(byte) = client.read_u8().await {
            line.push(char::from(byte));
            if byte == b'\n' {
                break;
            }
        }
        line
    }

    #[tokio::test]
    async fn r26_a_session_that_breaks_down_ends_alone_and_gives_its_seat_back() {
        choose_crypto();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("emailproxy.ini");
        let text =
            "[POP-0]\nlocal_address = 127.0.0.1\nserver_address = 127.0.0.1\nserver_port = 1\n";
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
        let seats = Arc::new(Seats::default());
        let (stop, stopped) = watch::channel(false);
        let desk = Desk {
            servers: config.upstreams(&service),
            accounts: Accounts::open(Arc::clone(&config), endpoint, setup).unwrap(),
            upstreams: Arc::new(Upstreams::new(trust, None)),
            door: Door::Plain,
            seats: Arc::clone(&seats),
            most: 2,
            most_per_account: 2,
            regulars: None,
            stop: stopped.clone(),
            service,
        };
        let bound = bind(&desk.service).unwrap();
        let at = bound.addresses[0];
        let (_desk, seen) = watch::channel(Arc::new(desk));
        let task = tokio::spawn(run(bound, seen, stopped, Duration::ZERO));

        let mut other = TcpStream::connect(at).await.unwrap();
        assert!(line(&mut other).await.starts_with("+OK"));
        for _ in 0..3 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            *BROKEN.lock().unwrap() = Some(socket.local_addr().unwrap());
            let mut broken = socket.connect(at).await.unwrap();
            assert_eq!(line(&mut broken).await, "");
        }
        other.write_all(b"NOOP\r\n").await.unwrap();
        assert!(!line(&mut other).await.is_empty());
        // Of two seats one is taken, whoever broke down.
        let mut next = TcpStream::connect(at).await.unwrap();
        assert!(line(&mut next).await.starts_with("+OK"));
        assert!(seats.take(2).is_none());
        stop.send_replace(true);
        task.await.unwrap();
    }
}
