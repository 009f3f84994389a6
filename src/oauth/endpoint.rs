//! The client of token endpoints: which grant is asked for how, and what proves the application.
//!
//! How a request travels and what an answer means is for `asking`. Keeps nothing between two requests but issuers'
//! documents and which certificates were warned about.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::asking::{Asking, Auth, Proof, take};
use super::assertion::{self, Notices};
use super::discovery::{self, Complete};
use super::documents::Documents;
use super::id_token::{self, Expected};
use super::post::Post;
use super::{
    Error, Grant, Question, Tokens, client_credentials, code, device, managed_identity, password,
    refresh, service_account,
};
use crate::config::{AccountSettings, GrantKind};
use crate::said::Said;
use crate::secret::Secret;

/// How long a request may take in all, a second try included.
const WHOLE: Duration = Duration::from_secs(10);

/// The client of token endpoints.
#[derive(Clone, Debug)]
pub struct Endpoint {
    post: Post,
    whole: Duration,
    notices: Arc<Notices>,
    documents: Arc<Documents>,
}

impl Endpoint {
    /// Prepares a client that believes `tls`'s roots and goes through `proxy` where one is given (else the environment's
    /// `https_proxy`, `http_proxy` and `no_proxy` hold). Endpoints on this machine are always asked directly.
    pub fn new(tls: rustls::ClientConfig, proxy: Option<&Secret<String>>) -> Result<Self, String> {
        Ok(Self {
            post: Post::new(tls, proxy)?,
            whole: WHOLE,
            notices: Arc::default(),
            documents: Arc::default(),
        })
    }

    /// Sets how long a request may take in all; 10 s unless set.
    #[must_use]
    pub fn within(mut self, whole: Duration) -> Self {
        self.whole = whole;
        self
    }

    /// Makes a question for consent: an address with fresh state and PKCE verifier, or a device code. What the file does
    /// not say about endpoints is found at the account's `issuer` first.
    pub async fn question(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
    ) -> Result<Question, Error> {
        let asked = self.make_question(account, secret).await;
        asked.map_err(|error| error.for_case(&account.known()))
    }

    async fn make_question(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
    ) -> Result<Question, Error> {
        let complete = self.complete(account, true).await?;
        let account = &*complete.account;
        let question = match account.grant {
            GrantKind::Device => {
                let proof = self.proof(account, shown(account, secret), complete.auth);
                let key = complete.key.unwrap_or("permission_url");
                device::question(&self.asking(proof.await?, key), account).await?
            }
            _ => code::question(account)?,
        };
        Ok(Question {
            issuer: complete.issuer.clone(),
            issuer_is_sent: complete.issuer_is_sent,
            ..question
        })
    }

    /// Asks for a token. One bounded request; a dropped connection is tried once more, but never with a code, which is
    /// good for one use only.
    ///
    /// `secret` is the application's secret where the account has one (already decrypted); without it the account's
    /// plain `client_secret` is used, if any. An assertion goes before any secret.
    pub async fn ask(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
        grant: &Grant,
    ) -> Result<Tokens, Error> {
        let asked = self.ask_once(account, secret, grant).await;
        asked.map_err(|error| error.for_case(&account.known()))
    }

    async fn ask_once(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
        grant: &Grant,
    ) -> Result<Tokens, Error> {
        let complete = self.complete(account, false).await?;
        let account = &*complete.account;
        let secret = shown(account, secret);
        let proof = match grant {
            Grant::ServiceAccount | Grant::ManagedIdentity => Proof::None,
            _ => self.proof(account, secret, complete.auth).await?,
        };
        let asking = Asking {
            mortal: matches!(
                grant,
                Grant::Code { .. } | Grant::Refresh(_) | Grant::Device(_) | Grant::Password(_)
            ),
            once: matches!(grant, Grant::Code { .. } | Grant::Device(_)),
            polling: matches!(grant, Grant::Device(_)),
            ..self.asking(proof, complete.key.unwrap_or("token_url"))
        };
        let mut tokens = Self::hand_in(&asking, account, secret, grant).await?;
        let Some(claims) = asking.told.get() else {
            return Ok(tokens);
        };
        let expected = Expected {
            client_id: &account.client_id,
            issuer: complete.issuer.as_deref(),
            answered_by: match grant {
                Grant::Code { issuer, .. } => issuer.as_deref(),
                _ => None,
            },
        };
        match id_token::prove(claims, &expected) {
            Ok(signed_in) => tokens.signed_in = signed_in,
            // The refresh token that was handed in may be spent, so that the new one must not be lost.
            Err(why) if matches!(grant, Grant::Refresh(_)) => {
                let account = Said::from(account.name.as_str());
                tracing::warn!("account {account}: {why}; nothing is believed of it");
            }
            Err(why) => return Err(Error::Denied(why)),
        }
        Ok(tokens)
    }

    /// Hands in a grant.
    async fn hand_in(
        asking: &Asking<'_>,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
        grant: &Grant,
    ) -> Result<Tokens, Error> {
        match grant {
            Grant::Code {
                code,
                redirect_uri,
                verifier,
                issuer: _,
            } => {
                let application = asking.application(account)?;
                let redirect_uri = redirect_uri.as_deref();
                let asked =
                    code::redeem(application, asking, code, redirect_uri, verifier.as_ref());
                take(asked.await)
            }
            Grant::Refresh(token) => {
                let application = asking.application(account)?;
                take(refresh::ask(&application, asking, token).await)
            }
            Grant::ClientCredentials => {
                if matches!(asking.proof, Proof::None) {
                    return Err(Error::Misconfigured(no_proof(account)));
                }
                let application = asking.application(account)?;
                take(client_credentials::ask(&application, asking, account).await)
            }
            Grant::Password(password) => {
                let application = asking.application(account)?;
                take(password::ask(&application, asking, account, password).await)
            }
            Grant::ServiceAccount => service_account::ask(asking, account, secret).await,
            Grant::ManagedIdentity => managed_identity::ask(asking, account).await,
            Grant::Device(code) => device::poll(asking, account, code).await,
        }
    }

    /// Fills what the file leaves open from the issuer's document, where there is an issuer.
    async fn complete<'a>(
        &self,
        account: &'a AccountSettings,
        for_consent: bool,
    ) -> Result<Complete<'a>, Error> {
        let metadata = match &account.issuer {
            Some(issuer) if discovery::is_needed(account, for_consent) => {
                let asking = self.asking(Proof::None, "issuer");
                Some(self.documents.of(issuer, &asking).await?)
            }
            _ => None,
        };
        discovery::complete(account, metadata.as_ref())
    }

    /// Begins a request that `key` leads to.
    fn asking(&self, proof: Proof, key: &'static str) -> Asking<'_> {
        Asking {
            post: &self.post,
            whole: self.whole,
            proof,
            mortal: false,
            once: false,
            polling: false,
            key,
            told: OnceLock::new(),
        }
    }

    /// Finds what proves the application: a file's assertion, one signed with its certificate's key, or its secret.
    pub(super) async fn proof(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
        auth: Auth,
    ) -> Result<Proof, Error> {
        if let Some(assertion) = assertion::of(account, &self.notices).await? {
            return Ok(Proof::Assertion(assertion));
        }
        Ok(secret.map_or(Proof::None, |secret| Proof::Secret(secret.clone(), auth)))
    }
}

/// Returns the secret to show: the one handed in, or the file's own.
fn shown<'a>(
    account: &'a AccountSettings,
    secret: Option<&'a Secret<String>>,
) -> Option<&'a Secret<String>> {
    secret
        .or(account.client_secret.as_ref())
        .filter(|secret| !secret.reveal().is_empty())
}

fn no_proof(account: &AccountSettings) -> String {
    format!(
        "[{}] uses client credentials but has no `client_secret` and neither a certificate (`jwt_certificate_path`, \
         `jwt_key_path`) nor a `client_assertion_file`",
        account.section
    )
}
