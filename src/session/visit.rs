//! What is remembered of one connection for its closing log line.

use std::net::SocketAddr;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::splice::Traffic;
use crate::config::{Protocol, Service};
use crate::meter::{Lane, Meters};
use crate::protocol::Login;
use crate::refusal::{Fault, Refusal};
use crate::said::Said;
use crate::wire::Lost;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Beginning TLS with the client.
    LocalTls,
    /// Greeting the client.
    Greeting,
    /// Hearing the client's login.
    Login,
    /// Proving the password and finding a token, perhaps waiting for consent.
    Token,
    /// Connecting to the server.
    Dial,
    /// Hearing the server's greeting and beginning TLS there.
    ServerGreeting,
    /// Logging in at the server.
    Authenticate,
    /// Relaying.
    Relay,
}

impl Step {
    /// Returns the step as the log names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalTls => "local TLS handshake",
            Self::Greeting => "greeting",
            Self::Login => "waiting for a login",
            Self::Token => "getting a token",
            Self::Dial => "connecting to the server",
            Self::ServerGreeting => "hearing the server's greeting",
            Self::Authenticate => "logging in at the server",
            Self::Relay => "relaying",
        }
    }
}

/// One connection's story, told in one line when it ends.
#[derive(Debug)]
pub struct Visit {
    name: &'static str,
    /// What the client speaks.
    pub(super) lane: Lane,
    at: SocketAddr,
    from: SocketAddr,
    begun: Instant,
    step: Step,
    account: Option<Said>,
    remark: Option<&'static str>,
    /// Whether a load balancer came on nobody's behalf, of which nothing is said unless a login follows.
    is_check: bool,
    /// What was relayed.
    pub traffic: Traffic,
}

impl Visit {
    /// Returns the client's address.
    pub(super) fn client(&self) -> std::net::IpAddr {
        self.from.ip().to_canonical()
    }

    /// Begins a story and logs the arrival.
    pub(super) fn begin(
        name: &'static str,
        at: SocketAddr,
        from: SocketAddr,
        is_check: bool,
        service: &Service,
    ) -> Self {
        let (local, upstream) = describe(service);
        let arrival = format!(
            "Accepting new connection from {from} to {name} server at {at} ({local}) proxying {upstream}"
        );
        if is_check {
            debug!("{arrival}");
        } else {
            info!("{arrival}");
        }
        Self {
            name,
            lane: lane(service.protocol),
            at,
            from,
            begun: Instant::now(),
            step: Step::Greeting,
            account: None,
            remark: None,
            is_check,
            traffic: Traffic::default(),
        }
    }

    pub(super) fn enter(&mut self, step: Step) {
        tracing::debug!(step = step.as_str(), "next step");
        self.step = step;
    }

    /// Notes who wants to log in, as the log may call them.
    pub(super) fn account(&mut self, account: Said) {
        // A span keeps what it was told before: the same name again would stand in each line twice.
        if self.account.as_ref().map(Said::as_str) != Some(account.as_str()) {
            tracing::Span::current().record("account", account.as_str());
        }
        self.account = Some(account);
    }

    pub(super) fn remark(&mut self, remark: &'static str) {
        self.remark = Some(remark);
    }

    pub(super) fn welcomed(&self) {
        info!(
            "{name} ({at}; {account}) [ Successfully authenticated {name} connection - releasing session ]",
            name = self.name,
            at = self.at,
            account = self.who(),
        );
    }

    /// Logs a refused login, loudly where a person should act.
    pub(super) fn refused(&self, login: &Login, refusal: &Refusal) {
        let (name, from, verb) = (self.name, self.from, login.verb);
        let account = self.who();
        let step = self.step.as_str();
        match refusal.fault() {
            Fault::Client => {
                info!("{name} login ({verb}) for account {account} from {from} refused: {refusal}");
            }
            Fault::Provider | Fault::Us => {
                warn!(
                    "{name} login ({verb}) for account {account} from {from} failed while {step}: {refusal}"
                );
            }
        }
    }

    /// Tells how it ended, and counts what was relayed.
    pub(super) fn end(self, ended: &Result<(), Lost>, meters: &Meters) {
        let (name, from, step) = (self.name, self.from, self.step.as_str());
        let seconds = self.begun.elapsed().as_secs_f32();
        let Traffic { sent, received } = self.traffic;
        meters.relayed(self.lane, sent, received);
        let account = self.who();
        let how = match (ended, self.remark) {
            (_, Some(remark)) => format!(": {remark}"),
            (Ok(()) | Err(Lost::Closed), None) => String::new(),
            (Err(Lost::Tls(error)), None) if self.step == Step::LocalTls => {
                format!(
                    ": {error}; does the client trust the local certificate, and is SSL/TLS switched on in it?"
                )
            }
            (Err(lost), None) => format!(": {lost}"),
        };
        let departure = format!(
            "Closing {name} connection from {from} (account {account}) after {seconds:.1} s while {step}, {sent} bytes \
             from the client, {received} bytes from the server{how}"
        );
        if self.is_check && self.account.is_none() {
            debug!("{departure}");
        } else {
            info!("{departure}");
        }
    }

    fn who(&self) -> &str {
        self.account.as_ref().map_or("none", Said::as_str)
    }
}

/// Returns where a protocol is counted.
fn lane(protocol: Protocol) -> Lane {
    match protocol {
        Protocol::Imap => Lane::Imap,
        Protocol::Pop => Lane::Pop,
        Protocol::Smtp => Lane::Smtp,
    }
}

/// Describes a service's two sides as the log shows them.
pub(super) fn describe(service: &Service) -> (&'static str, String) {
    let local = match service.local_tls {
        crate::config::LocalTls::None => "unsecured",
        crate::config::LocalTls::Implicit(_) => "SSL/TLS",
        crate::config::LocalTls::StartTls(_) => "STARTTLS",
    };
    let remote = if service.server.starttls {
        "STARTTLS"
    } else {
        "SSL/TLS"
    };
    (local, format!("{} ({remote})", service.server))
}
