//! How a Vault comes to believe us: a token in a file, an `AppRole`'s two files, or a Kubernetes service account.
//!
//! Reads files anew at each login, so that what rotates them (Vault Agent, Kubernetes) need not tell us. No secret comes
//! from the command line or the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{address, reads};
use crate::secret::Secret;

/// The settings of an address that say how to log in.
pub(super) const SETTINGS: [&str; 6] = [
    "token_file",
    "role_id_file",
    "secret_id_file",
    "kubernetes_role",
    "jwt_file",
    "auth_mount",
];

/// A way to log in.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// The file holds a token. None: `VAULT_TOKEN_FILE`, else `~/.vault-token`.
    Token(Option<PathBuf>),
    /// `AppRole`.
    Role {
        /// Where the method is mounted.
        mount: String,
        /// The role's id.
        role: PathBuf,
        /// The secret that goes with it.
        secret: PathBuf,
    },
    /// Kubernetes.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token.
        jwt: PathBuf,
    },
}

/// What a login needs.
pub(super) enum Entry {
    /// Nothing more: this is the token.
    Token(Secret<String>),
    /// A request to this path, with this body.
    Ask(String, Secret<String>),
}

impl Way {
    /// Chooses the way that an address' settings name.
    pub(super) fn chosen(settings: &mut BTreeMap<String, String>) -> Result<Self, String> {
        let mut take = |name: &str| settings.remove(name);
        let (token, role, secret) = (
            take("token_file"),
            take("role_id_file"),
            take("secret_id_file"),
        );
        let (kubernetes, jwt, mount) = (
            take("kubernetes_role"),
            take("jwt_file"),
            take("auth_mount"),
        );
        let mount_or = |usual: &str| mount.clone().unwrap_or_else(|| usual.to_owned());
        match (token, role, secret, kubernetes) {
            (token, None, None, None) if mount.is_none() && jwt.is_none() => {
                Ok(Self::Token(token.map(PathBuf::from)))
            }
            (None, Some(role), Some(secret), None) if jwt.is_none() => Ok(Self::Role {
                mount: mount_or("approle"),
                role: role.into(),
                secret: secret.into(),
            }),
            (None, None, None, Some(role)) => Ok(Self::Kubernetes {
                mount: mount_or("kubernetes"),
                role,
                jwt: jwt.unwrap_or_else(|| reads::KUBERNETES.to_owned()).into(),
            }),
            _ => Err(
                "say how to log in in one way: token_file, or role_id_file and secret_id_file, or kubernetes_role (with jwt_file where the token is elsewhere)".into(),
            ),
        }
    }

    /// Prepares a login.
    pub(super) fn entry(&self) -> Result<Entry, String> {
        let body = |value: &Value| Secret::new(value.to_string());
        match self {
            Self::Token(path) => {
                let path = path.clone().or_else(reads::usual_vault_token).ok_or(
                    "no token is at hand: name a token_file, set VAULT_TOKEN_FILE, or log in so that ~/.vault-token is there",
                )?;
                address::read_password(&path).map(Entry::Token)
            }
            Self::Role {
                mount,
                role,
                secret,
            } => {
                let (role, secret) = (
                    address::read_password(role)?,
                    address::read_password(secret)?,
                );
                let body = body(&json!({"role_id": role.reveal(), "secret_id": secret.reveal()}));
                Ok(Entry::Ask(format!("auth/{mount}/login"), body))
            }
            Self::Kubernetes { mount, role, jwt } => {
                let jwt = address::read_password(jwt)?;
                let body = body(&json!({"role": role, "jwt": jwt.reveal()}));
                Ok(Entry::Ask(format!("auth/{mount}/login"), body))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_in() {
        let chosen = |pairs: &[&str]| {
            let pair = |name: &&str| ((*name).to_owned(), "x".to_owned());
            Way::chosen(&mut pairs.iter().map(pair).collect())
        };
        assert!(matches!(chosen(&[]), Ok(Way::Token(None))));
        assert!(matches!(chosen(&["token_file"]), Ok(Way::Token(Some(_)))));
        assert!(matches!(
            chosen(&["role_id_file", "secret_id_file"]),
            Ok(Way::Role { .. })
        ));
        assert!(matches!(
            chosen(&["kubernetes_role"]),
            Ok(Way::Kubernetes { .. })
        ));
        for bad in [
            &["role_id_file"][..],
            &["token_file", "kubernetes_role"],
            &["jwt_file"],
            &["token_file", "role_id_file", "secret_id_file"],
        ] {
            chosen(bad).unwrap_err();
        }
    }
}
