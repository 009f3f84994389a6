//! The application's secret in the configuration file: encrypted there once it was used, where the owner wants that.
//!
//! The one key that `run` ever writes into that file. An account's own secret is closed with its password, as the
//! predecessor does; one that several accounts share with the store key, because no password is all of theirs.

use std::sync::Arc;

use super::token::Account;
use super::{Accounts, World, locked, predecessor};
use crate::config::{AccountSettings, edit};
use crate::said::Said;
use crate::secret::{Password, Secret};

/// How a `client_secret_encrypted` begins that is closed with the store key.
pub(super) const STORED: &str = "store:";

impl Accounts {
    /// Opens a secret that the configuration holds closed with the store key. Returns whether there was one.
    pub(super) fn open_stored_secret(&self, settings: &mut AccountSettings) -> bool {
        let encrypted = settings.cached.client_secret_encrypted.as_deref();
        let Some(sealed) = encrypted.and_then(|text| text.strip_prefix(STORED)) else {
            return false;
        };
        let key = self.store_key.as_ref();
        match key.and_then(|key| key.unseal(&purpose(settings), sealed)) {
            Some(secret) => {
                settings.client_secret = Some(secret);
                settings.cached.client_secret_encrypted = None;
                true
            }
            None => false,
        }
    }

    /// Replaces the plain client secret in the configuration file by its encrypted form, where the owner asks for it.
    pub(super) fn move_secret(self: &Arc<Self>, account: &Arc<Account>, password: &Password) {
        let world = self.world();
        if !world.config.options.encrypt_client_secret_on_first_use {
            return;
        }
        let (settings, secret) = {
            let mut state = account.state();
            let Some(secret) = state.settings.client_secret.clone() else {
                return;
            };
            if !state.served || std::mem::replace(&mut state.moved_secret, true) {
                return;
            }
            (Arc::clone(&state.settings), secret)
        };
        let place = world.config.origins(&account.name);
        let section = |wanted: &str| {
            let found = place.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, found)| found.section.to_owned())
        };
        let Some(own) = section("client_secret") else {
            return;
        };
        if own != account.name {
            let whole = section("client_id").as_ref() == Some(&own);
            self.store_secret(account, &world, settings, secret, own, whole);
            return;
        }
        let (this, account, password) = (Arc::clone(self), Arc::clone(account), password.clone());
        self.underway(async move {
            let path = world.config.path.clone();
            let (cached, plain) = (settings.cached.clone(), secret.clone());
            let section = settings.section.clone();
            let done = this.prover.slowly(move |_| {
                let pairs = predecessor::seal_client_secret(&cached, &password, &plain)
                    .ok_or_else(|| "it could not be encrypted".to_owned())?;
                let borrowed: Vec<(&str, &str)> =
                    pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                edit::replace_key(&path, &section, "client_secret", &borrowed)?;
                let pair = pairs.into_iter().find(|(key, _)| key == "client_secret_encrypted");
                Ok::<_, String>(pair.map(|(_, token)| token))
            });
            let user = Said::new(&account.name);
            match done.await {
                Ok(Ok(source)) => {
                    {
                        let mut state = account.state();
                        state.client_secret = source.map(|source| (source, secret));
                        this.shelve(&account, &mut state);
                    }
                    this.make_last(&account.name).await;
                    tracing::info!(
                        "the client secret of account {user} now stands encrypted in the configuration file"
                    );
                }
                Ok(Err(why)) => tracing::warn!(
                    "the client secret of account {user} stays in plain text in the configuration file: {why}"
                ),
                Err(_) => {}
            }
        });
    }

    /// Closes a secret that several accounts share with the store key, and says why where that cannot be.
    fn store_secret(
        self: &Arc<Self>,
        account: &Account,
        world: &World,
        settings: Arc<AccountSettings>,
        secret: Secret<String>,
        section: String,
        whole: bool,
    ) {
        if !locked(&self.moved).insert(section.clone()) {
            return;
        }
        let user = Said::new(&account.name);
        let stays = "stays in plain text: it stands in a section that other accounts use too";
        let place = Said::new(&section);
        if self.store_key.is_none() {
            tracing::warn!(
                "the client secret of account {user} {stays}, [{place}], and no password is all of theirs; with store_key it can be closed with the store key"
            );
            return;
        }
        if !whole {
            tracing::warn!(
                "the client secret of account {user} {stays}, [{place}], and its client_id in another; put both into one section"
            );
            return;
        }
        let this = Arc::clone(self);
        let path = world.config.path.clone();
        self.underway(async move {
            let done = tokio::task::spawn_blocking(move || {
                let key = this.store_key.as_ref();
                let sealed = key.and_then(|key| key.seal(&purpose(&settings), &secret));
                let sealed = sealed.ok_or_else(|| "it could not be encrypted".to_owned())?;
                let text = format!("{STORED}{sealed}");
                let pairs = [("client_secret_encrypted", text.as_str())];
                edit::replace_key(&path, &section, "client_secret", &pairs)?;
                Ok::<_, String>(section)
            });
            match done.await {
                Ok(Ok(section)) => tracing::info!(
                    "the client secret in [{}] now stands encrypted there; the store key opens it",
                    Said::new(&section)
                ),
                Ok(Err(why)) => tracing::warn!(
                    "the client secret in [{place}] stays in plain text in the configuration file: {why}"
                ),
                Err(_) => {}
            }
        });
    }
}

/// Names what a secret is for: closed for one application at one provider, it opens for no other.
fn purpose(settings: &AccountSettings) -> String {
    let provider = match &settings.issuer {
        Some(issuer) if settings.token_url.is_empty() => issuer,
        _ => &settings.token_url,
    };
    format!("client secret\0{}\0{provider}", settings.client_id)
}
