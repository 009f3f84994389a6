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
        let place = if begins("redis://") || begins("rediss://") {
            Self::Redis(Secret::from(text))
        } else if begins("postgres://") || begins("postgresql://") {
            Self::Postgres(Secret::from(text))
        } else if begins("aws:") {
            Self::Aws(text.get(4..).unwrap_or_default().to_owned())
        } else if begins("vault:") {
            Self::Vault(text.get(6..).unwrap_or_default().to_owned())
        } else if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!(
                "there is no store of the kind `{}`: a store is a file, redis[s]://..., postgres://..., aws:... or vault:https://...",
                crate::said::Said::new(scheme).short()
            ));
        } else if text.is_empty() {
            return Err("it is empty; name a file, or the address of a service".into());
        } else {
            Self::File(PathBuf::from(text))
        };
        Ok(place)
    }

    /// Returns whether the address holds a password, which others see where it stands on the command line.
    pub fn holds_password(&self) -> bool {
        let (Self::Redis(address) | Self::Postgres(address)) = self else {
            return false;
        };
        let authority = address.reveal().split(['/', '?']).nth(2);
        let user = authority.and_then(|authority| authority.rsplit_once('@'));
        user.is_some_and(|(user, _)| user.contains(':')) || address.reveal().contains("password=")
    }

    /// Opens the place. A file is read now; a service is first reached when something is wanted of it, so that it may be
    /// away when the proxy starts.
    pub(in crate::accounts) fn open(
        &self,
        reach: &Reach,
    ) -> Result<(Arc<dyn Backend>, All), String> {
        if let Self::File(path) = self {
            let (file, all) = file::FileStore::open(path)?;
            return Ok((Arc::new(file), all));
        }
        let service = self
            .service(reach)
            .map_err(|why| format!("the store's address ({self}) cannot be used: {why}"))?;
        Ok((service, All::new()))
    }

    /// Prepares contact with a service.
    fn service(&self, reach: &Reach) -> Result<Arc<dyn Backend>, String> {
        // Only a program built without any service has no use for it.
        let _ = reach;
        match self {
            #[cfg(feature = "redis")]
            Self::Redis(address) => {
                let redis = super::redis::RedisStore::at(address.reveal(), reach)?;
                Ok(super::contact::Contact::with(redis))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => {
                let postgres = super::postgres::PostgresStore::at(address.reveal(), reach)?;
                Ok(super::contact::Contact::with(postgres))
            }
            Self::File(_) => Err("a file is no service".into()),
            #[cfg(not(feature = "redis"))]
            Self::Redis(_) => Err(not_built("redis", "Redis")),
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(_) => Err(not_built("postgres", "PostgreSQL")),
            #[cfg(feature = "aws")]
            Self::Aws(secret) => {
                let aws = super::aws::AwsStore::at(secret, reach)?;
                Ok(super::contact::Contact::with(aws))
            }
            #[cfg(feature = "vault")]
            Self::Vault(address) => {
                let vault = super::vault::VaultStore::at(address, reach)?;
                Ok(super::contact::Contact::with(vault))
            }
            #[cfg(not(feature = "aws"))]
            Self::Aws(_) => Err(not_built("aws", "AWS Secrets Manager")),
            #[cfg(not(feature = "vault"))]
            Self::Vault(_) => Err(not_built("vault", "HashiCorp Vault")),
        }
    }
}

#[cfg(not(all(
    feature = "redis",
    feature = "postgres",
    feature = "aws",
    feature = "vault"
)))]
/// Says how to get a program that knows this kind of store.
fn not_built(feature: &str, name: &str) -> String {
    format!(
        "this emailproxy was built without {name}; build it with `cargo build --release --features {feature}`, or keep the tokens in a file: --cache-store FILE"
    )
}

/// Returns an address' host and port for messages, without user and password.
pub(super) fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if host.is_empty() {
        "this machine"
    } else {
        host
    }
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
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Redis(at) => write!(f, "Redis at {}", host(at.reveal())),
            Self::Postgres(at) => write!(f, "PostgreSQL at {}", host(at.reveal())),
            Self::Aws(name) => write!(f, "AWS Secrets Manager, {name}"),
            Self::Vault(path) => write!(f, "Vault, {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_in_the_name_of_a_place() {
        for (address, name) in [
            ("redis://:hunter2@h.example:6379/0", "h.example:6379"),
            ("redis://u:hun@ter2@h.example", "h.example"),
            ("postgres://u:hunter2@a:1,b:2/db?sslmode=require", "a:1,b:2"),
            ("postgres:///db?host=/run/postgresql", "this machine"),
            ("redis://:hunter2@[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(host(address), name);
        }
    }

    #[test]
    fn places_are_told_apart() {
        let kind = |text: &str| match Place::parse(text).unwrap() {
            Place::File(_) => "file",
            Place::Redis(_) => "redis",
            Place::Postgres(_) => "postgres",
            Place::Aws(_) => "aws",
            Place::Vault(_) => "vault",
        };
        for (text, expected) in [
            ("/var/lib/emailproxy/tokens.json", "file"),
            ("tokens.json", "file"),
            ("redis://localhost", "redis"),
            ("REDISS://h", "redis"),
            ("postgresql://u@h/d", "postgres"),
            ("postgres://u@h/d", "postgres"),
            ("aws:mail||tokens", "aws"),
            ("vault:https://v:8200/secret/mail", "vault"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
        let why = Place::parse("mysql://u:hunter2@h/d").unwrap_err();
        assert!(why.contains("`mysql`") && !why.contains("hunter2"), "{why}");
        Place::parse("").unwrap_err();
    }

    #[test]
    fn a_password_on_the_command_line_is_noticed() {
        let holds = |text: &str| Place::parse(text).unwrap().holds_password();
        assert!(holds("redis://:hunter2@h"));
        assert!(holds("postgres://u:hunter2@h/d"));
        assert!(holds("postgres:///d?host=/run&password=hunter2"));
        assert!(!holds("postgres://u@h:5432/d?password_file=/run/secret"));
        assert!(!holds("redis://h:6379/0"));
        assert!(!holds("tokens.json"));
    }

    #[cfg(all(feature = "redis", feature = "postgres"))]
    #[test]
    fn what_cannot_be_an_address_is_refused_without_repeating_it() {
        for bad in [
            "redis://:hunter2@",
            "redis://:hunter2@h:99999",
            "redis://:hunter2@h/mail",
            "redis://:hunter2@h?prefx=x",
            "rediss://:hunter2@h",
            "redis://:hunter2%ff@h",
            "postgres://u:hunter2@h/d?sslmode=prefer",
            "postgres://u:hunter2@h/d?sslmod=require",
            "postgres://u:hunter2@h/d?schema=A-b",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@/d",
            // No TLS is at hand in this test, and another machine is reached by nothing else.
            "postgres://u:hunter2@h.example/d",
        ] {
            let place = Place::parse(bad).unwrap();
            let why = place.open(&Reach::default()).unwrap_err();
            assert!(
                why.contains("cannot be used") && !why.contains("hunter2"),
                "{why}"
            );
        }
        for good in [
            "redis://:hunter2@h:6380/3?prefix=mail:&password_file=/run/p",
            "redis://[::1]",
            "postgres://u:hunter2@localhost/d?schema=mail",
            "postgres://u@h.example,i.example/d?sslmode=disable&target_session_attrs=read-write",
            "postgres:///d?host=/run/postgresql",
        ] {
            Place::parse(good).unwrap().open(&Reach::default()).unwrap();
        }
    }
}
