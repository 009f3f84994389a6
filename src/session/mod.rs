//! One client connection from accept to last byte. Read this first.
//!
//! [`serve`] hears a login, `admit` finds its token and logs in at the provider, [`splice()`] relays. This is the one
//! place where mail and tokens meet; it parses nothing itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::accounts::{Accounts, Admitted, Caller};
use crate::config::{Config, Service, Upstream};
use crate::meter;
use crate::protocol::guard::Guard;
use crate::protocol::{Dialogue, Farewell, Heard, Identity, Local, Login, Opened, Welcome};
use crate::refusal::{Fault, Refusal};
use crate::wire::tls::LocalTls;
use crate::wire::{LINE_TIME, Lost, Wire};

pub mod early;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod listener;
mod proxy_header;
pub mod seats;
mod sniff;
pub mod splice;
pub mod upstream;
mod visit;

use early::{Early, Regulars};
use seats::{Seat, Seats};
use splice::splice;
use upstream::Upstreams;
pub use visit::{Step, Visit};

/// How long a client may take from connecting to the login that goes through, in all. Our own waiting, for consent or for
/// a server, does not count.
const LOGIN_TIME: Duration = Duration::from_secs(60);

/// How many logins one connection may try before it is shown out; a provider's trouble does not count.
const MAX_FAULTS: usize = 3;

/// How many logins one connection may try at all.
const MAX_LOGINS: usize = 20;

/// How long a client may take to hear that there is no seat.
const TURN_AWAY: Duration = Duration::from_secs(5);

/// What a session of a service needs. A reload makes a new one for new sessions.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The service.
    pub service: Service,
    /// How clients come in.
    pub door: Door,
    /// Who may log in.
    pub accounts: Arc<Accounts>,
    /// How servers are reached.
    pub upstreams: Arc<Upstreams>,
    /// Every server the service may lead to.
    pub servers: Vec<Upstream>,
    /// The seats of all services.
    pub seats: Arc<Seats>,
    /// How many connections are served at once, over all services.
    pub most: usize,
    /// How many of them may be one account's.
    pub most_per_account: usize,
    /// For which addresses the server is dialled as soon as a login begins; nobody's unless `early_dial`.
    pub regulars: Option<Arc<Regulars>>,
    /// Becomes true when the proxy goes down.
    pub stop: tokio::sync::watch::Receiver<bool>,
}

/// How clients come in.
#[derive(Clone, Debug)]
pub enum Door {
    /// In plain text.
    Plain,
    /// With TLS from the first byte.
    Implicit(LocalTls),
    /// With TLS by STARTTLS or STLS before a login.
    StartTls(LocalTls),
}

/// Serves one client: hear a login, find its token, log in at the provider, then get out of the way.
pub async fn serve<D: Dialogue>(
    client: Wire,
    desk: &Desk,
    seat: &mut Seat,
    visit: &mut Visit,
) -> Result<(), Lost> {
    // Boxed: what the dialogue needed is given back before the relay, which may last for days.
    let Some((client, server)) = Box::pin(receive::<D>(client, desk, seat, visit)).await? else {
        return Ok(());
    };
    visit.enter(Step::Relay);
    let mut guard = Guard::new(D::SPEECH);
    let ended = splice(client, server, &mut guard, &mut visit.traffic).await;
    if guard.held_back {
        visit.remark("it tried to log in a second time, which the server was not shown");
    }
    ended.map_err(Lost::from)
}

/// Hears a client until it is logged in at its server, and returns both wires; `None` when it left before.
async fn receive<D: Dialogue>(
    mut client: Wire,
    desk: &Desk,
    seat: &mut Seat,
    visit: &mut Visit,
) -> Result<Option<(Wire, Wire)>, Lost> {
    let mut until = Instant::now() + LOGIN_TIME;
    client.set_deadline(Some(until));
    if !visit.client().is_loopback() {
        client.set_patience(LINE_TIME);
    }
    let mut starttls = None;
    match &desk.door {
        Door::Plain => {}
        Door::StartTls(tls) => starttls = Some(tls),
        Door::Implicit(tls) => {
            visit.enter(Step::LocalTls);
            client = client.accept_tls_from_start(tls).await?;
        }
    }
    visit.enter(Step::Greeting);
    let asked = Instant::now();
    let offer = desk.upstreams.offer::<D>(&desk.servers).await;
    until += asked.elapsed();
    client.set_deadline(Some(until));
    let mut dialogue = D::new();
    dialogue
        .greet(
            &mut client,
            &Local {
                offer: &offer,
                starttls: starttls.is_some(),
                onlooker: None,
            },
        )
        .await?;
    visit.enter(Step::Login);
    let first = tokio::select! {
        first = sniff::stranger(&mut client) => first,
        () = desk.stopping() => return dismiss::<D>(client, Farewell::ShuttingDown).await,
    };
    match first {
        Ok(None) => {}
        Ok(Some(why)) => {
            visit.remark(sniff::advice(why));
            return dismiss::<D>(client, why).await;
        }
        Err(lost) => return part::<D>(client, lost).await,
    }
    let early = Early::<D>::new(desk, visit.client());
    let mut faults = 0;
    for _ in 0..MAX_LOGINS {
        let local = Local {
            offer: &offer,
            starttls: starttls.is_some(),
            onlooker: Some(&early),
        };
        let heard = tokio::select! {
            heard = dialogue.hear(&mut client, &local) => heard,
            () = desk.stopping() => return dismiss::<D>(client, Farewell::ShuttingDown).await,
        };
        let login = match heard {
            Ok(Heard::Login(login)) => login,
            Ok(Heard::StartTls) => {
                let Some(tls) = starttls.take() else {
                    return Err(Lost::Closed);
                };
                visit.enter(Step::LocalTls);
                client = client.accept_tls(tls).await?;
                visit.enter(Step::Login);
                continue;
            }
            Ok(Heard::Left) => {
                client.finish().await;
                return Ok(None);
            }
            Ok(Heard::ShownOut(why)) => {
                visit.remark(why);
                client.finish().await;
                return Ok(None);
            }
            Err(lost) => return part::<D>(client, lost).await,
        };
        visit.account(desk.accounts.shown(&login.user));
        let asked = Instant::now();
        let admitted = tokio::select! {
            admitted = admit::<D>(&dialogue, &login, &early, seat, visit) => admitted,
            () = client.gone() => return Err(Lost::Closed),
        };
        until += asked.elapsed();
        client.set_deadline(Some(until));
        match admitted {
            Ok((server, welcome)) => {
                visit.welcomed();
                let meters = desk.accounts.meters();
                meters.login(visit.lane, meter::Login::Success);
                early.welcome();
                client.send(&welcome.0).await?;
                return Ok(Some((client, server)));
            }
            Err(refusal) => {
                seat.stand_up();
                early.give_up();
                visit.refused(&login, &refusal);
                let meters = desk.accounts.meters();
                meters.login(visit.lane, (&refusal).into());
                dialogue.refuse(&mut client, &login, &refusal).await?;
                if refusal == Refusal::ShuttingDown {
                    return dismiss::<D>(client, Farewell::ShuttingDown).await;
                }
                // An entry that is incomplete must look to a stranger like one that is not there.
                let theirs = matches!(refusal, Refusal::NotAdmitted(_));
                faults += usize::from(theirs || refusal.fault() == Fault::Client);
                if faults >= MAX_FAULTS {
                    break;
                }
                visit.enter(Step::Login);
            }
        }
    }
    dismiss::<D>(client, Farewell::TooManyLogins).await
}

/// Shows a client out for whom there is no seat, in the words of the protocol.
async fn turn_away<D: Dialogue>(mut client: Wire, door: &Door) -> Result<(), Lost> {
    client.set_deadline(Some(Instant::now() + TURN_AWAY));
    if let Door::Implicit(tls) = door {
        client = client.accept_tls_from_start(tls).await?;
    }
    dismiss::<D>(client, Farewell::Busy).await.map(drop)
}

/// Shows a client out with a word of farewell.
async fn dismiss<D: Dialogue>(
    mut client: Wire,
    why: Farewell,
) -> Result<Option<(Wire, Wire)>, Lost> {
    D::farewell(&mut client, why).await?;
    client.finish().await;
    Ok(None)
}

/// Parts from a client whose conversation was lost, telling it why where it can still hear.
async fn part<D: Dialogue>(client: Wire, lost: Lost) -> Result<Option<(Wire, Wire)>, Lost> {
    match lost {
        Lost::TimedOut => {
            dismiss::<D>(client, Farewell::Silent).await?;
        }
        Lost::TooLong(_) => {
            dismiss::<D>(client, Farewell::TooLong).await?;
        }
        Lost::Closed | Lost::EarlyBytes | Lost::Tls(_) | Lost::Io(_) => {}
    }
    Err(lost)
}

/// Credentials, account, token, provider: logged in. A token that the provider ended before its time is replaced once, and
/// the client hears nothing of it.
async fn admit<D: Dialogue>(
    dialogue: &D,
    login: &Login,
    early: &Early<'_, D>,
    seat: &mut Seat,
    visit: &mut Visit,
) -> Result<(Wire, Welcome), Refusal> {
    let desk = early.desk();
    visit.enter(Step::Token);
    let caller = Caller {
        service: desk.service.section.clone(),
        address: Some(visit.client()),
    };
    let asked = Instant::now();
    let admitted = desk
        .accounts
        .token(&login.user, &login.password, &caller)
        .await?;
    desk.accounts.meters().token_took(asked.elapsed());
    if !seat.sit_for(&login.user, desk.most_per_account) {
        return Err(Refusal::Busy(
            "the account has as many connections as it may (max_connections_per_account)",
        ));
    }
    let refusal = match call_on::<D>(dialogue, login, early, &admitted, visit).await {
        Err(refusal) if refusal.remedy().is_token() => refusal,
        done => return desk.settle(&admitted, done),
    };
    visit.enter(Step::Token);
    let renewing = desk.accounts.renew(&admitted, &login.password, &refusal);
    let Some(renewed) = renewing.await? else {
        visit.enter(Step::Authenticate);
        return desk.settle(&admitted, Err(refusal));
    };
    let called = call_on::<D>(dialogue, login, early, &renewed, visit).await;
    desk.settle(&renewed, called)
}

/// Connects to an admitted login's server and logs in there.
async fn call_on<D: Dialogue>(
    dialogue: &D,
    login: &Login,
    early: &Early<'_, D>,
    admitted: &Admitted,
    visit: &mut Visit,
) -> Result<(Wire, Welcome), Refusal> {
    let desk = early.desk();
    let at = Config::upstream(&desk.service, &admitted.settings);
    let mut opened = reach::<D>(dialogue, early, at, visit).await?;
    visit.enter(Step::Authenticate);
    let identity = Identity {
        user: &admitted.identity(desk.service.protocol, &at.host),
        token: &admitted.token,
        host: &at.host,
        port: at.port,
    };
    match dialogue.authenticate(&mut opened, identity, login).await {
        Ok(welcome) => Ok((opened.server, welcome)),
        Err(refusal) => {
            desk.upstreams.doubt::<D>(at);
            // A server that is lost or talks nonsense is owed no goodbye, and its client no wait for it.
            if refusal.is_spoken() {
                D::leave(opened.server).await;
            }
            Err(refusal)
        }
    }
}

/// Connects to a server and hears its greeting, on the connection that was made early where there is one.
async fn reach<D: Dialogue>(
    dialogue: &D,
    early: &Early<'_, D>,
    at: &Upstream,
    visit: &mut Visit,
) -> Result<Opened, Refusal> {
    let upstreams = &early.desk().upstreams;
    visit.enter(Step::Dial);
    if let Some((server, turns)) = early.take(at).await {
        visit.enter(Step::ServerGreeting);
        let opened = upstreams.open(dialogue, server, at).await;
        drop(turns);
        match opened {
            // It broke while it waited.
            Err(refusal) if !refusal.is_spoken() => visit.enter(Step::Dial),
            done => return done,
        }
    }
    let turn = upstreams.turn::<D>(at).await?;
    let server = upstreams.dial(at).await?;
    visit.enter(Step::ServerGreeting);
    let opened = upstreams.open(dialogue, server, at).await;
    drop(turn);
    opened
}

impl Desk {
    /// Has a refusal explained and remembered with the account, or forgotten where its server let the login in.
    fn settle<T>(&self, admitted: &Admitted, called: Result<T, Refusal>) -> Result<T, Refusal> {
        let at = || Config::upstream(&self.service, &admitted.settings).to_string();
        if called.is_ok() && admitted.was_refused {
            self.accounts.was_let_in(admitted, &at());
        }
        called.map_err(|refusal| self.accounts.was_refused(admitted, &at(), refusal))
    }

    async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone means the same: nobody runs the proxy any more.
        drop(stop.wait_for(|stopping| *stopping).await);
    }
}
