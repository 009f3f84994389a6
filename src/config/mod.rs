//! Ini text to proven values.
//!
//! After [`Config::parse`] nothing is "present but perhaps wrong": what cannot work was refused with file and line.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::account::Chain;
use self::ini::{Found, Ini};
use self::proof::Proof;
use crate::secret::Secret;

pub use ipnet::IpNet;
pub use options::{Options, StoreKey};
pub use web::WebOptions;

mod account;
mod credentials;
pub mod durable;
pub mod edit;
pub mod files;
pub mod ini;
pub mod keys;
mod known;
mod oddities;
mod options;
pub mod ownership;
mod proof;
mod scan;
mod service;
pub mod value;
mod web;

/// A whole configuration, proven.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// The listening services, in the order of the file.
    pub services: Vec<Service>,
    /// The options of `[emailproxy]`.
    pub options: Options,
    /// What is odd but no reason to stop.
    pub warnings: Vec<Complaint>,
    /// What the file says, for the accounts: they are looked up when they log in.
    ini: Arc<Ini>,
    /// The servers that accounts name for themselves.
    named: Vec<(Protocol, Upstream)>,
    /// The domains of the accounts.
    domains: Arc<HashSet<String>>,
}

/// The protocols a service can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// IMAP4rev1 or rev2.
    Imap,
    /// POP3.
    Pop,
    /// Message submission.
    Smtp,
}

/// A local port and the server it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The section's name, such as `IMAP-2993`.
    pub section: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The local port.
    pub port: u16,
    /// The local addresses; both loopbacks where the file names none.
    pub local_addresses: Vec<IpAddr>,
    /// What the file says under `local_address`, if anything.
    pub local_address: Option<String>,
    /// TLS towards local clients.
    pub local_tls: LocalTls,
    /// Authorities whose certificates local clients must show, PEM.
    pub local_client_ca: Option<PathBuf>,
    /// Whether local TLS is 1.3 only, rather than 1.2 and 1.3.
    pub local_tls13_only: bool,
    /// From where clients may come; from everywhere where there is none.
    pub allow_from: Vec<IpNet>,
    /// Networks whose connections begin with a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// The server it stands for.
    pub server: Upstream,
}

/// TLS towards local clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalTls {
    /// None.
    None,
    /// From the first byte.
    Implicit(Certificate),
    /// By STARTTLS or STLS; logins are refused before it.
    StartTls(Certificate),
}

/// Where a local certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// An upstream mail server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Its name, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS begins by STARTTLS or STLS rather than with the first byte.
    pub starttls: bool,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How an account gets its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// Authorization code, with consent in a browser (RFC 6749 section 4.1).
    AuthorizationCode,
    /// Client credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// Device authorization (RFC 8628).
    Device,
    /// Resource owner password credentials (RFC 6749 section 4.3).
    Password,
    /// A Google service account's signed assertion (RFC 7523).
    ServiceAccount,
    /// An Azure managed identity: the machine itself is asked for a token.
    ManagedIdentity,
}

impl GrantKind {
    /// Returns the name used in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::Device => "device",
            Self::Password => "password",
            Self::ServiceAccount => "service_account",
            Self::ManagedIdentity => "managed_identity",
        }
    }
}

/// What one user's login uses, after inheritance from `[DEFAULT]`, `[@domain]` and `[@]`.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// The user name as the client sends it.
    pub name: String,
    /// The section that made the account valid (`[user]`, `[@domain]` or `[@]`), without brackets.
    pub section: String,
    /// How it gets its tokens.
    pub grant: GrantKind,
    /// Why that grant was chosen, in words for the log.
    pub grant_reason: &'static str,
    /// The authorization endpoint.
    pub permission_url: Option<String>,
    /// The token endpoint.
    pub token_url: String,
    /// The scopes, space separated. May be empty only where `resource` takes its place.
    pub scope: String,
    /// The non-standard `resource` parameter of older endpoints.
    pub resource: Option<String>,
    /// The redirect address registered at the provider.
    pub redirect_uri: Option<String>,
    /// Where the browser's return is really heard, if not at `redirect_uri`.
    pub redirect_listen_address: Option<String>,
    /// The application's id at the provider.
    pub client_id: String,
    /// The application's secret in plain text.
    pub client_secret: Option<Secret<String>>,
    /// The application's certificate and key, for assertions.
    pub assertion_certificate: Option<Certificate>,
    /// How assertions are signed.
    pub assertion_algorithm: AssertionAlgorithm,
    /// A file that holds a ready assertion of somebody else's making (workload identity); read for each request.
    pub assertion_file: Option<PathBuf>,
    /// The `OpenID` provider; endpoints that the file does not name are found in its discovery document.
    pub issuer: Option<String>,
    /// Who is meant to sign in, where that is not the account itself (shared mailboxes, aliases).
    pub sign_in_as: Option<String>,
    /// From where its clients may log in; from everywhere where there is none.
    pub allow_from: Vec<IpNet>,
    /// The user name for the server's SASL login, where it is not the account's.
    pub imap_user: Option<String>,
    /// See `imap_user`.
    pub pop_user: Option<String>,
    /// See `imap_user`.
    pub smtp_user: Option<String>,
    /// Whether the authorization code grant uses PKCE, where the file says it. Where it does not, PKCE is used unless the
    /// provider is known not to understand it.
    pub pkce: Option<bool>,
    /// The account's own servers, where it names them.
    pub imap_server: Option<Upstream>,
    /// See `imap_server`.
    pub pop_server: Option<Upstream>,
    /// See `imap_server`.
    pub smtp_server: Option<Upstream>,
    /// Tokens the predecessor cached in the file.
    pub cached: Cached,
}

/// How a certificate's assertions are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum AssertionAlgorithm {
    /// RSASSA-PSS with SHA-256, the default.
    #[default]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for providers that know no better.
    Rs256,
}

/// The predecessor's cached values, as they stand in its file. Token values are Fernet texts.
#[derive(Clone, Debug, Default)]
pub struct Cached {
    /// Base64 salt; inherited.
    pub token_salt: Option<String>,
    /// PBKDF2 rounds; inherited.
    pub token_iterations: Option<u32>,
    /// Encrypted; from the account's own section only.
    pub access_token: Option<String>,
    /// Unix seconds; from the account's own section only.
    pub access_token_expiry: Option<i64>,
    /// Encrypted; from the account's own section only.
    pub refresh_token: Option<String>,
    /// The application's secret, encrypted; inherited. None where a plain one is there.
    pub client_secret_encrypted: Option<String>,
}

/// Why a user name has no usable settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No section fits.
    #[error("no section fits this user name")]
    Unknown,
    /// A section fits but does not suffice; the text names section, line and what is missing.
    #[error("{0}")]
    Incomplete(String),
}

/// Something wrong or odd in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1; 0 where no line is at fault.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.path.display(), self.text);
        }
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.text)
    }
}

impl Config {
    /// Reads and proves a file. All complaints come at once, the warnings among them.
    pub fn read(path: &Path) -> Result<Self, Vec<Complaint>> {
        let bytes = std::fs::read(path).map_err(|error| {
            vec![Complaint {
                path: path.to_owned(),
                line: 0,
                text: format!("could not read the file: {error}"),
            }]
        })?;
        let mut config = Self::parse(path, &bytes)?;
        config.warnings.extend(config.exposed());
        Ok(config)
    }

    /// Proves a file's content. Files that it names are looked for beside `path`.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, Vec<Complaint>> {
        let complaint = |line, text| Complaint {
            path: path.to_owned(),
            line,
            text,
        };
        let text = std::str::from_utf8(content).map_err(|error| {
            let before = content.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|&b| b == b'\n').count();
            vec![complaint(
                line,
                "the file is not UTF-8 text; save it as UTF-8".to_owned(),
            )]
        })?;
        let ini = Ini::parse(text).map_err(|faults| {
            let faults = faults.into_iter();
            faults
                .map(|fault| complaint(fault.line, fault.text))
                .collect::<Vec<_>>()
        })?;
        let mut proof = Proof::new(&ini, path);
        let services = service::prove(&mut proof);
        let options = options::prove(&mut proof);
        oddities::look(&mut proof, &options);
        let Proof {
            mut complaints,
            mut warnings,
            ..
        } = proof;
        if !complaints.is_empty() {
            complaints.append(&mut warnings);
            complaints.sort_by_key(|complaint| complaint.line);
            return Err(complaints);
        }
        warnings.sort_by_key(|warning| warning.line);
        Ok(Self {
            path: path.to_owned(),
            services,
            options,
            warnings,
            named: named_servers(&ini),
            domains: Arc::new(account::domains(&ini)),
            ini: Arc::new(ini),
        })
    }

    /// Returns what a login as `user` uses.
    pub fn account(&self, user: &str) -> Result<AccountSettings, AccountError> {
        let chain = self.chain(user).ok_or(AccountError::Unknown)?;
        chain.resolve(user, &self.path)
    }

    /// Returns what the file says about `user` as far as it goes, even where a login would be refused. To be shown only.
    pub fn draft(&self, user: &str) -> Result<AccountSettings, AccountError> {
        let chain = self.chain(user).ok_or(AccountError::Unknown)?;
        chain.draft(user, &self.path)
    }

    /// Returns every value that a login as `user` uses, with section and line; nothing where no section fits.
    pub fn origins(&self, user: &str) -> Vec<(&'static str, Found<'_>)> {
        let chain = self.chain(user);
        chain.map(|chain| chain.settings()).unwrap_or_default()
    }

    /// Returns the sections in which a user's values are looked for.
    fn chain(&self, user: &str) -> Option<Chain<'_>> {
        Chain::of(&self.ini, user, self.options.allow_catch_all_accounts)
    }

    /// Returns the names of all account sections (those with `@`), catch-alls included, in the order of the file.
    pub fn account_sections(&self) -> Vec<String> {
        let names = self.ini.sections().iter().map(|section| &section.name);
        names.filter(|name| name.contains('@')).cloned().collect()
    }

    /// Lists the files that it names.
    pub fn files(&self) -> Vec<files::NamedFile> {
        files::named(&self.ini, &self.path)
    }

    /// Returns a value of a service or of the options and where it stands, `DEFAULT` included.
    pub fn origin(&self, section: &str, key: &str) -> Option<Found<'_>> {
        self.ini.value(section, key)
    }

    /// Returns the upstream of a login: the account's own, or the service's.
    pub fn upstream<'a>(service: &'a Service, account: &'a AccountSettings) -> &'a Upstream {
        let own = match service.protocol {
            Protocol::Imap => &account.imap_server,
            Protocol::Pop => &account.pop_server,
            Protocol::Smtp => &account.smtp_server,
        };
        own.as_ref().unwrap_or(&service.server)
    }

    /// Returns every upstream a service may lead to: its own first, then those that accounts name.
    pub fn upstreams(&self, service: &Service) -> Vec<Upstream> {
        let named = self.named.iter();
        let named = named.filter(|(protocol, server)| {
            *protocol == service.protocol && *server != service.server
        });
        std::iter::once(&service.server)
            .chain(named.map(|(_, server)| server))
            .cloned()
            .collect()
    }

    /// Warns where everybody on this machine may change the file, or read the secrets in it. It is its owner's, so that it
    /// is never refused for that.
    #[cfg(unix)]
    fn exposed(&self) -> Option<Complaint> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&self.path).ok()?.permissions().mode();
        if mode & 0o002 != 0 {
            return Some(Complaint {
                path: self.path.clone(),
                line: 0,
                text: "everybody on this machine can change this file, and with it where tokens go; `chmod o-w` it"
                    .into(),
            });
        }
        let secret = |section: &ini::Section| {
            let mut keys = section.keys.iter();
            keys.find(|key| keys::is_secret(&key.name))
                .map(|key| key.line)
        };
        let line = self.ini.sections().iter().find_map(secret)?;
        (mode & 0o004 != 0).then(|| Complaint {
            path: self.path.clone(),
            line,
            text: "everybody on this machine can read the secrets in this file; `chmod o-rwx` it"
                .into(),
        })
    }

    /// Files have no such modes here.
    #[cfg(not(unix))]
    fn exposed(&self) -> Option<Complaint> {
        None
    }
}

/// Collects the servers that account sections and `DEFAULT` name, each once.
fn named_servers(ini: &Ini) -> Vec<(Protocol, Upstream)> {
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for section in ini.sections() {
        if !section.name.contains('@') && section.name != ini::DEFAULT {
            continue;
        }
        for (key, protocol) in [
            ("imap_server", Protocol::Imap),
            ("pop_server", Protocol::Pop),
            ("smtp_server", Protocol::Smtp),
        ] {
            let found = ini.own(&section.name, key);
            let server = found.and_then(|found| value::upstream(found.value).ok());
            if let Some(server) = server
                && seen.insert((protocol, server.clone()))
            {
                named.push((protocol, server));
            }
        }
    }
    named
}
