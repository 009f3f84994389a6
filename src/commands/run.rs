//! A running proxy: from a configuration to listening ports, and back again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use super::process;
use crate::accounts::{Accounts, Place, Reach, Setup};
use crate::config::{Config, LocalTls, Protocol, Service};
use crate::control::{Live, Office, Recent, ServiceState};
use crate::oauth::Endpoint;
use crate::protocol::{imap::Imap, pop::Pop, smtp::Smtp};
use crate::session::listener::{self, Bound};
use crate::session::seats::Seats;
use crate::session::upstream::Upstreams;
use crate::session::{Desk, Door};
use crate::web::{Page, bind_page};
use crate::wire::dial::Proxy;
use crate::wire::tls::{self, Trust};

/// How long relayed sessions may go on after the proxy was told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// What a proxy is started with.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The proven configuration.
    pub config: Config,
    /// Where tokens are kept.
    pub store: Place,
    /// Whether the final address of a consent is pasted rather than heard.
    pub external_auth: bool,
    /// How long relayed sessions may go on after [`Daemon::stop`].
    pub drain: Duration,
    /// The last log lines, as the page shows them.
    pub recent: Recent,
}

/// A running proxy.
#[derive(Debug)]
pub struct Daemon {
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The page, where there is one.
    pub page: Option<Arc<Page>>,
    /// When it was started.
    started: Instant,
    launch: Launch,
    upstreams: Arc<Upstreams>,
    seats: Arc<Seats>,
    listening: HashMap<String, Listening>,
    services: watch::Sender<Vec<ServiceState>>,
    callbacks: JoinHandle<()>,
    stop_callbacks: watch::Sender<bool>,
    draining: Vec<JoinHandle<()>>,
}

/// One service's sockets and the task that accepts on them.
#[derive(Debug)]
struct Listening {
    asked: (Vec<IpAddr>, u16),
    addresses: Vec<SocketAddr>,
    desk: watch::Sender<Arc<Desk>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Binds every port, then begins to serve, on the runtime it is called in. Nothing is left behind where something
    /// cannot be bound.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        tls::choose_crypto();
        let (upstreams, endpoint, reach) = reach_out(&launch.config)?;
        let mut bound = Vec::new();
        for service in &launch.config.services {
            bound.push((
                service.clone(),
                door(service)?,
                listener::bind(service).map_err(|why| anyhow!(why))?,
            ));
        }
        let sockets = bind_page(&launch.config.options.web).map_err(|why| anyhow!(why))?;
        let setup = Setup {
            store: launch.store.clone(),
            reach,
            external_auth: launch.external_auth,
        };
        let config = Arc::new(launch.config.clone());
        let accounts = Accounts::open(config, endpoint, setup).map_err(|why| anyhow!(why))?;
        let (stop_callbacks, mut stopped) = watch::channel(false);
        let seats = Arc::default();
        let services = watch::channel(Vec::new()).0;
        let started = Instant::now();
        let office = office(&launch, &accounts, &services, &seats, started);
        let page = match sockets {
            None => None,
            Some(sockets) => {
                let options = &launch.config.options.web;
                let page = Page::new(office, sockets.address, options);
                let page = Arc::new(page.map_err(|why| anyhow!(why))?);
                info!(
                    "the page is at {}; `emailproxy web` shows the way in",
                    page.home().url()
                );
                Some((page, sockets))
            }
        };
        let shown = page.as_ref().map(|(page, _)| Arc::clone(page));
        let for_web = Arc::clone(&accounts);
        let callbacks = tokio::spawn(async move {
            crate::web::serve(for_web, page, async move {
                drop(stopped.wait_for(|stopping| *stopping).await);
            })
            .await;
        });
        let mut daemon = Self {
            accounts,
            page: shown,
            started,
            launch,
            upstreams,
            seats,
            listening: HashMap::new(),
            services,
            callbacks,
            stop_callbacks,
            draining: Vec::new(),
        };
        for (service, door, bound) in bound {
            daemon.open(service, door, bound);
        }
        daemon.publish();
        Ok(daemon)
    }

    /// Returns each service's section and the addresses it listens at.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let services = &self.launch.config.services;
        let listening = services
            .iter()
            .filter_map(|service| self.listening.get(&service.section).map(|at| (service, at)));
        listening
            .flat_map(|(service, at)| at.addresses.iter().map(|at| (service.section.clone(), *at)))
            .collect()
    }

    /// Returns what answers about the proxy are made from.
    pub fn office(&self) -> Office {
        office(
            &self.launch,
            &self.accounts,
            &self.services,
            &self.seats,
            self.started,
        )
    }

    /// Takes over a new configuration: new services open, removed ones drain, changed ones affect new sessions only.
    /// Where something new cannot be had, nothing changes.
    pub fn reload(&mut self, config: Config) -> anyhow::Result<()> {
        let (upstreams, endpoint, _) = reach_out(&config)?;
        upstreams.remember(&self.upstreams);
        let mut kept = Vec::new();
        let mut opening = Vec::new();
        for service in &config.services {
            let door = door(service)?;
            let same = self
                .listening
                .get(&service.section)
                .is_some_and(|at| at.asked == place(service));
            if same {
                kept.push((service.clone(), door));
            } else {
                opening.push((
                    service.clone(),
                    door,
                    listener::bind(service).map_err(|why| anyhow!(why))?,
                ));
            }
        }
        self.upstreams = upstreams;
        self.accounts.reload(Arc::new(config.clone()), endpoint);
        if let Some(page) = &self.page {
            page.reload(&config.options.web);
        }
        self.launch.config = config;
        let going: Vec<String> = self
            .listening
            .keys()
            .filter(|section| !kept.iter().any(|(service, _)| service.section == **section))
            .cloned()
            .collect();
        for section in going {
            self.close(&section);
        }
        for (service, door) in kept {
            if let Some(at) = self.listening.get(&service.section) {
                let desk = self.desk(service, door, at.stop.subscribe());
                at.desk.send_replace(Arc::new(desk));
            }
        }
        for (service, door, bound) in opening {
            self.open(service, door, bound);
        }
        self.draining.retain(|task| !task.is_finished());
        self.publish();
        Ok(())
    }

    /// Says goodbye to clients before login, lets relayed sessions finish within the drain time, and ends.
    pub async fn stop(mut self) {
        let sections: Vec<String> = self.listening.keys().cloned().collect();
        for section in sections {
            self.close(&section);
        }
        self.accounts.close(self.launch.drain).await;
        self.stop_callbacks.send_replace(true);
        for task in std::mem::take(&mut self.draining) {
            // A task that broke down has ended too.
            drop(task.await);
        }
        drop((&mut self.callbacks).await);
    }

    fn open(&mut self, service: Service, door: Door, bound: Bound) {
        let (stop, stopped) = watch::channel(false);
        let section = service.section.clone();
        let (asked, addresses) = (place(&service), bound.addresses.clone());
        listener::announce(&bound, &service);
        let desk = self.desk(service, door, stopped.clone());
        learn(&desk);
        let (desk, seen) = watch::channel(Arc::new(desk));
        let task = tokio::spawn(listener::run(bound, seen, stopped, self.launch.drain));
        self.listening.insert(
            section,
            Listening {
                asked,
                addresses,
                desk,
                stop,
                task,
            },
        );
    }

    fn close(&mut self, section: &str) {
        if let Some(at) = self.listening.remove(section) {
            at.stop.send_replace(true);
            self.draining.push(at.task);
        }
    }

    fn desk(&self, service: Service, door: Door, stop: watch::Receiver<bool>) -> Desk {
        let servers = self.launch.config.upstreams(&service);
        let (accounts, upstreams) = (Arc::clone(&self.accounts), Arc::clone(&self.upstreams));
        let options = &self.launch.config.options;
        Desk {
            service,
            door,
            accounts,
            upstreams,
            servers,
            seats: Arc::clone(&self.seats),
            most: options.max_connections.min(process::room()),
            most_per_account: options.max_connections_per_account,
            regulars: options.early_dial.then(Arc::default),
            stop,
        }
    }

    fn publish(&self) {
        let states = self
            .launch
            .config
            .services
            .iter()
            .map(|service| ServiceState {
                section: service.section.clone(),
                addresses: self
                    .listening
                    .get(&service.section)
                    .map(|at| at.addresses.iter().map(ToString::to_string).collect())
                    .unwrap_or_default(),
                server: service.server.to_string(),
            });
        self.services.send_replace(states.collect());
    }
}

/// Gathers what answers about the proxy are made from.
fn office(
    launch: &Launch,
    accounts: &Arc<Accounts>,
    services: &watch::Sender<Vec<ServiceState>>,
    seats: &Arc<Seats>,
    started: Instant,
) -> Office {
    let seats = Arc::clone(seats);
    Office {
        accounts: Arc::clone(accounts),
        services: services.subscribe(),
        recent: launch.recent.clone(),
        live: Live(Arc::new(move || seats.live())),
        started,
    }
}

/// Asks the service's servers in the background what they offer, so that a first client need not wait.
fn learn(desk: &Desk) {
    for at in desk.servers.clone() {
        let upstreams = Arc::clone(&desk.upstreams);
        match desk.service.protocol {
            Protocol::Imap => drop(tokio::spawn(
                async move { upstreams.learn::<Imap>(&at).await },
            )),
            Protocol::Pop => drop(tokio::spawn(
                async move { upstreams.learn::<Pop>(&at).await },
            )),
            Protocol::Smtp => drop(tokio::spawn(
                async move { upstreams.learn::<Smtp>(&at).await },
            )),
        }
    }
}

fn place(service: &Service) -> (Vec<IpAddr>, u16) {
    (service.local_addresses.clone(), service.port)
}

/// Prepares what leads out of the machine: to mail servers, to token endpoints, to a store that is a service.
pub(super) fn reach_out(config: &Config) -> anyhow::Result<(Arc<Upstreams>, Endpoint, Reach)> {
    let options = &config.options;
    let trust = Trust::new(options.ca_file.as_deref()).map_err(|why| anyhow!(why))?;
    let proxy = options
        .proxy
        .as_ref()
        .map(|proxy| Proxy::parse(proxy.reveal()))
        .transpose();
    let proxy = proxy.map_err(|why| anyhow!("the option `proxy` cannot be used: {why}"))?;
    let endpoint =
        Endpoint::new(trust.client_config(), options.proxy.as_ref()).map_err(|why| anyhow!(why))?;
    let reach = Reach {
        tls: Some(Arc::new(trust.client_config())),
        proxy: options.proxy.clone(),
    };
    Ok((Arc::new(Upstreams::new(trust, proxy)), endpoint, reach))
}

fn door(service: &Service) -> anyhow::Result<Door> {
    let demands = tls::Demands {
        client_ca: service.local_client_ca.as_deref(),
        newest_only: service.local_tls13_only,
    };
    let read = |at: &crate::config::Certificate| {
        tls::LocalTls::read(&at.certificate, &at.key, demands)
            .map_err(|why| anyhow!("[{}]: {why}", service.section))
    };
    Ok(match &service.local_tls {
        LocalTls::None => Door::Plain,
        LocalTls::Implicit(at) => Door::Implicit(read(at)?),
        LocalTls::StartTls(at) => Door::StartTls(read(at)?),
    })
}
