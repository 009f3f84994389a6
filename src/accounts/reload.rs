//! A new configuration: what did not change stays, what is for something else now is used no more.

use std::sync::Arc;

use super::consent::End;
use super::purpose::Purpose;
use super::source::Source;
use super::token::Account;
use super::{Accounts, World, locked, pace};
use crate::config::{AccountSettings, Config};
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;

impl Accounts {
    /// Takes over a configuration and a source of tokens.
    pub(super) fn reload_with(&self, config: &Arc<Config>, source: Arc<dyn Source>) {
        if self.world().config.options.store_key != config.options.store_key {
            tracing::warn!("store_key has changed; the new one is used from the next start");
        }
        *locked(&self.world) = Arc::new(World {
            config: Arc::clone(config),
            source,
        });
        for account in self.everybody() {
            if let Ok(settings) = config.account(&account.name) {
                account.state().least_margin = pace::least_margin(config, &settings);
                self.adapt(&account, settings);
            } else {
                locked(&self.by_name).remove(&account.name);
                let why = Refusal::NotAdmitted(NotAdmitted::UnknownAccount);
                self.consents.end(&account.name, &End::Refused(why));
            }
        }
    }

    /// Gives an account its new settings; what is for something else now is dropped from memory.
    fn adapt(&self, account: &Account, mut settings: AccountSettings) {
        let stored = self.open_stored_secret(&mut settings);
        let user = Said::new(&account.name);
        let purpose = Purpose::of(&settings);
        let mut guard = account.state();
        let state = &mut *guard;
        let before = std::mem::replace(&mut state.purpose, purpose);
        if settings.client_secret != state.settings.client_secret {
            state.moved_secret = stored;
        }
        state.settings = Arc::new(settings);
        if state.application_secret(None).is_err() {
            // Only the password opens the new secret: the next login has to bring it to a slow check.
            state.forget_proofs();
        }
        if before.provider != state.purpose.provider {
            state.drop_tokens();
            if let Some(record) = self.store.record(&account.name) {
                state.open_record(&account.name, &record);
            }
            tracing::info!("account {user} has new settings; its old tokens are no longer used");
            drop(guard);
            self.consents.end(&account.name, &End::Lapsed);
        } else if before.servers != state.purpose.servers {
            state.access = None;
            tracing::info!("account {user} has new servers; they get a new token");
        }
    }
}
