//! What a place of tokens needs of this machine's files: where its own file really is, and which files say how to get in.
//!
//! Reads none of them.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::Place;
use super::file;

/// The settings of an address that name files.
const SETTINGS: [&str; 5] = [
    "password_file",
    "token_file",
    "role_id_file",
    "secret_id_file",
    "jwt_file",
];

/// Where Kubernetes mounts a service account's token.
pub(super) const KUBERNETES: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Place {
    /// Returns the place itself: of a file behind links where the file is. A missing directory is made for it.
    pub fn settled(&self) -> Result<Self, String> {
        match self {
            Self::File(path) => file::resolve(path).map(Self::File),
            other => Ok(other.clone()),
        }
    }

    /// Takes over a cache file of the predecessor where that is what is there, and keeps the old one beside it. Opening the
    /// place does it too.
    pub fn take_over(&self) -> Result<(), String> {
        match self {
            Self::File(path) => file::FileStore::open(path).map(drop),
            _ => Ok(()),
        }
    }

    /// Returns where the leases of a store in a file are.
    pub fn leases(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(file::leases(path)),
            _ => None,
        }
    }

    /// Lists the files that are read on the way to a place that is a service, whether or not they are there.
    pub fn reads(&self) -> Vec<PathBuf> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Self::File(_) => Vec::new(),
            Self::Redis(address) | Self::Postgres(address) => named_in(address.reveal()),
            Self::Vault(address) => {
                let mut files = named_in(address);
                if files.is_empty() {
                    files.push(KUBERNETES.into());
                    files.extend(usual_vault_token());
                }
                files
            }
            Self::Aws(_) => [
                "AWS_CONFIG_FILE",
                "AWS_SHARED_CREDENTIALS_FILE",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            ]
            .into_iter()
            .filter_map(set)
            .map(PathBuf::from)
            .chain(
                set("HOME")
                    .into_iter()
                    .flat_map(|home| ["config", "credentials"].map(|name| aws(&home, name))),
            )
            .collect(),
        }
    }
}

fn aws(home: &OsString, name: &str) -> PathBuf {
    Path::new(home).join(".aws").join(name)
}

/// Returns where a token for Vault is if nobody says so: `VAULT_TOKEN_FILE`, else `~/.vault-token`.
pub(super) fn usual_vault_token() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    set("VAULT_TOKEN_FILE")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".vault-token")))
}

/// Lists the files that an address names.
fn named_in(address: &str) -> Vec<PathBuf> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| SETTINGS.contains(name))
        .filter_map(|(_, value)| percent_decode_str(value).decode_utf8().ok())
        .map(|value| PathBuf::from(value.as_ref()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_files() {
        let reads = |text: &str| Place::parse(text).unwrap().reads();
        assert_eq!(
            reads("postgres://u@h/d?sslmode=require&password_file=/run/a%20b"),
            [Path::new("/run/a b")]
        );
        assert_eq!(
            reads("vault:https://v:8200/m/p?role_id_file=/r&secret_id_file=/s"),
            [Path::new("/r"), Path::new("/s")]
        );
        assert_eq!(
            reads("vault:https://v/m/p").first().unwrap(),
            Path::new(KUBERNETES)
        );
        assert!(reads("tokens.json").is_empty());
    }
}
