//! The proxy itself, started in this process from a real configuration file in a directory of its own.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use emailproxy::accounts::Place;
use emailproxy::commands::run::{Daemon, Launch};
use emailproxy::config::Config;
use emailproxy::control::Recent;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client::{Client, PATIENCE};
use super::provider::{Authority, CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};

/// A configuration in the making.
pub struct Plan {
    dir: TempDir,
    options: String,
    sections: String,
    external_auth: bool,
    drain: Duration,
    store: Option<Place>,
}

impl Plan {
    /// Begins a configuration that believes the provider's certificate and has no services and accounts yet.
    pub fn bare(authority: &Authority) -> Self {
        let dir = TempDir::new().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, &authority.root).unwrap();
        std::fs::write(dir.path().join("local.pem"), &authority.certificate).unwrap();
        std::fs::write(dir.path().join("local.key"), &authority.key).unwrap();
        Self {
            options: format!("ca_file = {}\nweb = off\n", ca.display()),
            dir,
            sections: String::new(),
            external_auth: false,
            drain: Duration::from_millis(500),
            store: None,
        }
    }

    /// Begins a configuration with one service a protocol, all leading to this provider.
    pub fn for_provider(provider: &Provider) -> Self {
        let mut plan = Self::bare(&provider.world.authority);
        for (name, server) in [
            ("IMAP-0", provider.imap),
            ("POP-0", provider.pop),
            ("SMTP-0", provider.smtp),
        ] {
            let more = format!("server_starttls = {}", provider.shape.starttls);
            plan = plan.service(name, server, &more);
        }
        plan
    }

    /// Adds a service.
    pub fn service(mut self, section: &str, server: SocketAddr, more: &str) -> Self {
        self.sections.push_str(&format!(
            "\n[{section}]\nlocal_address = 127.0.0.1\nserver_address = {}\nserver_port = {}\n{more}\n",
            server.ip(),
            server.port()
        ));
        self
    }

    /// Has clients of every service so far met with TLS: `local_starttls` or from the first byte.
    pub fn local_tls(mut self, starttls: bool) -> Self {
        let dir = self.dir.path().display();
        let keys = format!(
            "\nlocal_certificate_path = {dir}/local.pem\nlocal_key_path = {dir}/local.key\nlocal_starttls = {starttls}\nserver_port"
        );
        self.sections = self.sections.replace("\nserver_port", &keys);
        self
    }

    /// Believes one more authority.
    pub fn believe(&self, authority: &Authority) {
        let path = self.dir.path().join("ca.pem");
        let both = format!("{}{}", read(&path), authority.root);
        std::fs::write(path, both).unwrap();
    }

    /// Adds lines to `[emailproxy]`.
    pub fn option(mut self, line: &str) -> Self {
        self.options.push_str(line);
        self.options.push('\n');
        self
    }

    /// Shows the page, at a port of the system's choice.
    pub fn page(mut self) -> Self {
        self.options = self.options.replace("web = off", "web = 127.0.0.1:0");
        self
    }

    /// Adds text as it is.
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push('\n');
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Adds an account of the provider that uses client credentials.
    pub fn app(self, provider: &Provider, name: &str) -> Self {
        self.section(&app(provider, name))
    }

    /// Adds an account of the provider that a person must authorise; the browser's return is heard at `redirect`.
    pub fn person(self, provider: &Provider, name: &str, redirect: u16) -> Self {
        self.section(&person(provider, name, redirect))
    }

    /// Has consents finished by pasting.
    pub fn external_auth(mut self) -> Self {
        self.external_auth = true;
        self
    }

    /// Keeps tokens at this place instead of a file beside the configuration.
    pub fn stored_at(mut self, place: &str) -> Self {
        self.store = Some(Place::parse(place).unwrap());
        self
    }

    /// Gives relayed sessions this long when the proxy stops.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Writes the file and returns where it is.
    pub fn write(&self) -> PathBuf {
        let path = self.dir.path().join("emailproxy.ini");
        let text = format!("[emailproxy]\n{}{}", self.options, self.sections);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes the file and starts the proxy with it.
    pub fn start(self) -> Proxy {
        let path = self.write();
        Proxy {
            daemon: self.launch(&path),
            path,
            plan: self,
        }
    }

    fn launch(&self, path: &Path) -> Daemon {
        let config = Config::read(path).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
        let file = self.dir.path().join("tokens.json").into();
        let launch = Launch {
            config,
            store: self.store.clone().unwrap_or(file),
            external_auth: self.external_auth,
            drain: self.drain,
            recent: Recent::default(),
        };
        Daemon::start(launch).unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// Words an account section for client credentials.
pub fn app(provider: &Provider, name: &str) -> String {
    format!(
        "[{name}]\ntoken_url = {}\noauth2_flow = client_credentials\noauth2_scope = {SCOPE}\n\
         client_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n",
        provider.token_url()
    )
}

/// Words an account section for authorization code.
pub fn person(provider: &Provider, name: &str, redirect: u16) -> String {
    format!(
        "[{name}]\npermission_url = {}\ntoken_url = {}\noauth2_scope = {SCOPE}\n\
         redirect_uri = http://localhost:{redirect}\nclient_id = {CLIENT_ID}\n\
         client_secret = {CLIENT_SECRET}\n",
        provider.permission_url(),
        provider.token_url()
    )
}

/// A running proxy.
pub struct Proxy {
    /// The proxy.
    pub daemon: Daemon,
    /// Its configuration file.
    pub path: PathBuf,
    plan: Plan,
}

impl Proxy {
    /// Stops the proxy and starts it again on the same file and store.
    pub async fn restart(self) -> Self {
        self.daemon.stop().await;
        Self {
            daemon: self.plan.launch(&self.path),
            ..self
        }
    }

    /// Returns its token store's path.
    pub fn store(&self) -> PathBuf {
        self.plan.dir.path().join("tokens.json")
    }

    /// Returns where a service listens.
    pub fn at(&self, section: &str) -> SocketAddr {
        let addresses = self.daemon.addresses();
        let found = addresses.iter().find(|(name, _)| name == section);
        found
            .unwrap_or_else(|| panic!("{section} is not among {addresses:?}"))
            .1
    }

    /// Connects to the IMAP service and hears its greeting.
    pub async fn imap(&self) -> Client {
        self.greeted("IMAP-0", "* OK").await
    }

    /// Connects to the POP service and hears its greeting.
    pub async fn pop(&self) -> Client {
        self.greeted("POP-0", "+OK").await
    }

    /// Connects to the SMTP service, hears its greeting and says EHLO.
    pub async fn smtp(&self) -> Client {
        let mut client = self.greeted("SMTP-0", "220").await;
        client.smtp("EHLO client.example.org").await;
        client
    }

    async fn greeted(&self, section: &str, begin: &str) -> Client {
        let mut client = Client::plain(self.at(section)).await;
        let greeting = client.line().await;
        assert!(greeting.starts_with(begin), "{greeting}");
        client
    }

    /// Waits until a person is asked for consent and returns the address to visit.
    pub async fn asked(&self) -> String {
        let mut pending = self.daemon.accounts.pending();
        let asked = timeout(PATIENCE, pending.wait_for(|pending| !pending.is_empty()))
            .await
            .expect("nobody is asked for consent")
            .unwrap();
        asked[0].url.clone()
    }

    /// Plays the person: waits for the first consent that is asked for and visits its address.
    pub fn say_yes(&self) -> JoinHandle<String> {
        let mut pending = self.daemon.accounts.pending();
        tokio::spawn(async move {
            let url = {
                let asked = pending.wait_for(|pending| !pending.is_empty()).await;
                asked.unwrap()[0].url.clone()
            };
            visit(&url).await
        })
    }
}

/// Visits an address as a browser does, redirects followed, and returns the page.
pub async fn visit(url: &str) -> String {
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = browser.get(url).send().await.unwrap();
    answer.text().await.unwrap()
}

/// Visits an address and returns where the browser is sent instead of going there.
pub async fn redirected(url: &str) -> String {
    let browser = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = browser.get(url).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// Finds a port where nobody listens, outside the range that the system gives out by itself, so that it stays free
/// until it is used.
pub fn free_port() -> u16 {
    loop {
        let mut dice = [0; 2];
        aws_lc_rs::rand::fill(&mut dice).unwrap();
        let port = 12_000 + u16::from_be_bytes(dice) % 18_000;
        if ["127.0.0.1", "::1"].iter().all(|at| is_free(at, port)) {
            return port;
        }
    }
}

/// Returns whether nobody listens there; on a machine without IPv6 nobody does.
fn is_free(at: &str, port: u16) -> bool {
    let taken = TcpListener::bind((at, port)).err();
    taken.is_none_or(|error| error.kind() != ErrorKind::AddrInUse)
}

/// Reads a file as text.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
