//! A pretend provider: OAuth2 endpoints, and IMAP, POP and SMTP servers over one mailbox that believe nothing but tokens.
//!
//! It shares no code with the proxy, so that a mistake made there is not made here again. What it does wrong on purpose
//! is turned by [`Knobs`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub mod authority;
pub mod imap;
pub mod journal;
pub mod knobs;
pub mod machine;
pub mod mailbox;
pub mod oauth;
pub mod openid;
pub mod pop;
pub mod sasl;
pub mod smtp;
pub mod talk;
pub mod trust;

pub use authority::Authority;
pub use journal::Journal;
pub use knobs::{Fault, Knobs, Manner, Step};
pub use mailbox::Mailboxes;
pub use oauth::Register;
pub use openid::{Devices, OpenId};
use talk::Talk;
pub use trust::Signer;

/// The application's id that the provider knows.
pub const CLIENT_ID: &str = "emailproxy-demo";

/// The application's secret; with characters that must survive an ini file and a form.
pub const CLIENT_SECRET: &str = "s%e+c&r=e~t/?#;";

/// The scope the provider wants.
pub const SCOPE: &str = "https://mail.example.com/ offline_access";

/// What the servers of a provider share.
pub struct World {
    /// Who holds which code and token.
    pub register: Register,
    /// Device codes that are out.
    pub devices: Devices,
    /// The mail.
    pub mailboxes: Mailboxes,
    /// What was said, hop by hop.
    pub journal: Journal,
    /// Whose certificate the servers show.
    pub authority: Authority,
    /// What each knob is set to.
    knobs: Mutex<Knobs>,
    /// Connections accepted, by protocol.
    accepted: Mutex<HashMap<&'static str, usize>>,
    /// Mail connections open at this moment.
    open: AtomicUsize,
}

impl World {
    /// Turns knobs.
    pub fn turn(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.knobs.lock().unwrap());
    }

    /// Reads knobs.
    pub fn knob<T>(&self, read: impl FnOnce(&Knobs) -> T) -> T {
        read(&self.knobs.lock().unwrap())
    }

    /// Returns whether a server shall hang up at this step, and uses up one such order.
    pub fn hangs_up_at(&self, step: Step) -> bool {
        self.knob(|knobs| knobs.hang_up_at == Some(step))
    }

    /// Returns how many connections a protocol's server has accepted, probes included.
    pub fn accepted(&self, protocol: &str) -> usize {
        *self.accepted.lock().unwrap().get(protocol).unwrap_or(&0)
    }

    /// Returns how many mail connections are open at this moment.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// How a provider is built.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Whether TLS begins by STARTTLS or STLS rather than with the first byte.
    pub starttls: bool,
}

/// A running provider. It ends when dropped.
pub struct Provider {
    /// What its servers share.
    pub world: Arc<World>,
    /// Where the OAuth2 endpoints are (plain HTTP).
    pub oauth: SocketAddr,
    /// Where IMAP is.
    pub imap: SocketAddr,
    /// Where POP3 is.
    pub pop: SocketAddr,
    /// Where submission is.
    pub smtp: SocketAddr,
    /// How it was built.
    pub shape: Shape,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Provider {
    /// Starts a provider with implicit TLS.
    pub async fn start() -> Self {
        Self::build(Shape::default()).await
    }

    /// Starts a provider of a given shape.
    pub async fn build(shape: Shape) -> Self {
        let world = Arc::new(World {
            register: Register::default(),
            devices: Devices::default(),
            mailboxes: Mailboxes::default(),
            journal: Journal::default(),
            authority: Authority::found(),
            knobs: Mutex::default(),
            accepted: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let mut tasks = Vec::new();
        let (oauth, task) = oauth::serve(Arc::clone(&world)).await;
        tasks.push(task);
        let mut at = Vec::new();
        for protocol in [Speaks::Imap, Speaks::Pop, Speaks::Smtp] {
            let (address, task) = listen(protocol, Arc::clone(&world), shape).await;
            at.push(address);
            tasks.push(task);
        }
        Self {
            world,
            oauth,
            imap: at[0],
            pop: at[1],
            smtp: at[2],
            shape,
            tasks,
        }
    }

    /// Returns the authorization endpoint.
    pub fn permission_url(&self) -> String {
        format!("http://{}/authorize", self.oauth)
    }

    /// Returns the issuer, as a configuration names it.
    pub fn issuer(&self) -> String {
        let path = self.world.knob(|knobs| knobs.openid.path);
        format!("http://{}{path}", self.oauth)
    }

    /// Returns the token endpoint.
    pub fn token_url(&self) -> String {
        format!("http://{}/token", self.oauth)
    }

    /// Returns its metadata service's address.
    pub fn machine_url(&self) -> String {
        format!("http://{}/metadata/identity/oauth2/token", self.oauth)
    }

    /// Takes the provider off the net: its ports are closed, its world stays to be asked.
    pub fn vanish(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What a server speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Imap,
    Pop,
    Smtp,
}

impl Speaks {
    fn name(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::Pop => "POP",
            Self::Smtp => "SMTP",
        }
    }
}

async fn listen(speaks: Speaks, world: Arc<World>, shape: Shape) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        // Dropped with this task, so that connections end with their provider.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            *world
                .accepted
                .lock()
                .unwrap()
                .entry(speaks.name())
                .or_default() += 1;
            let world = Arc::clone(&world);
            connections.spawn(async move {
                world.open.fetch_add(1, Ordering::SeqCst);
                let _open = Open(&world);
                serve(speaks, stream, &world, shape).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    (address, task)
}

/// Counts a connection out, however it ends.
struct Open<'a>(&'a World);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(speaks: Speaks, stream: TcpStream, world: &Arc<World>, shape: Shape) {
    if world.hangs_up_at(Step::Connect) {
        return;
    }
    if world.knob(|knobs| knobs.mute) {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    stream.set_nodelay(true).unwrap();
    let tls = TlsAcceptor::from(world.authority.server());
    let mut talk = Talk::new(stream, speaks.name(), world.journal.clone());
    if !shape.starttls {
        let Some(secured) = talk.begin_tls(&tls).await else {
            return;
        };
        talk = secured;
    }
    if world.hangs_up_at(Step::Greeting) {
        return;
    }
    // `None` says that the other side is gone, which ends a connection like anything else.
    let _gone = match speaks {
        Speaks::Imap => imap::serve(talk, world, &tls).await,
        Speaks::Pop => pop::serve(talk, world, &tls).await,
        Speaks::Smtp => smtp::serve(talk, world, &tls).await,
    };
}
