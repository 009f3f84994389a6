//! Where a store is, in the words of `--cache-store`: a file's path, or the address of a service.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::{All, Backend};
use super::file;
use crate::secret::Secret;

/// How a store that is a service is reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Whose certificates are believed; without it nothing is reached by TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The forward proxy for services that speak HTTP, where the file names one.
    pub proxy: Option<Secret<String>>,
}

/// Where tokens rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In Redis: `redis://` or `rediss://`; the address may hold a password.
    Redis(Secret<String>),
    /// In `PostgreSQL`: `postgres://` or `postgresql://`; the address may hold a password.
    Postgres(Secret<String>),
    /// In AWS Secrets Manager: `aws:NAME`, `aws:ARN` or `aws:PROFILE||NAME`.
    Aws(String),
    /// In `HashiCorp` Vault, KV version 2: `vault:ADDRESS/MOUNT/PATH`.
    Vault(String),
}

impl Place {
    /// Reads what `--cache-store` or `cache_store` says. The error is for a person and holds no secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let begins = |scheme: &str| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        Ok(if begins("redis://") || begins("rediss://") {
            Self::Redis(Secret::from(text))
        } else if begins("postgres://") || begins("postgresql://") {
            Self::Postgres(Secret::from(text))
        } else if begins("aws:") {
            Self::Aws(text.get(4..).unwrap_or_default().to_owned())
        } else if begins("vault:") {
            Self::Vault(text.get(6..).unwrap_or_default().to_owned())
        } else {
            Self::File(PathBuf::from(text))
        })
    }

    /// Opens the place. A file is read now; a service is first reached when something is wanted of it, so that it may be
    /// away when the proxy starts.
    pub(in crate::accounts) fn open(
        &self,
        _reach: &Reach,
    ) -> Result<(Arc<dyn Backend>, All), String> {
        match self {
            Self::File(path) => {
                let (file, all) = file::FileStore::open(path)?;
                Ok((Arc::new(file), all))
            }
            Self::Redis(_) => Err(not_built("redis", "Redis")),
            Self::Postgres(_) => Err(not_built("postgres", "PostgreSQL")),
            Self::Aws(_) => Err(not_built("aws", "AWS Secrets Manager")),
            Self::Vault(_) => Err(not_built("vault", "HashiCorp Vault")),
        }
    }
}

/// Says how to get a program that knows this kind of store.
fn not_built(feature: &str, name: &str) -> String {
    format!(
        "this emailproxy was built without {name}; build it with `cargo build --release --features {feature}`, or keep the tokens in a file: --cache-store FILE"
    )
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |address: &Secret<String>| {
            let url = url::Url::parse(address.reveal()).ok()?;
            let port = url
                .port()
                .map(|port| format!(":{port}"))
                .unwrap_or_default();
            Some(format!("{}{port}", url.host_str()?))
        };
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Redis(address) => {
                write!(f, "Redis at {}", host(address).as_deref().unwrap_or("?"))
            }
            Self::Postgres(address) => {
                write!(
                    f,
                    "PostgreSQL at {}",
                    host(address).as_deref().unwrap_or("?")
                )
            }
            Self::Aws(name) => write!(f, "AWS Secrets Manager, {name}"),
            Self::Vault(path) => write!(f, "Vault, {path}"),
        }
    }
}
