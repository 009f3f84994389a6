//! The client of token endpoints: which grant is asked for how, and what proves the application.
//!
//! How a request travels and what an answer means is for `asking`. Keeps nothing between two requests but which
//! certificates were warned about.

use std::sync::Arc;
use std::time::Duration;

use super::asking::{Asking, Auth, Proof, take};
use super::assertion::{self, Notices};
use super::post::Post;
use super::{
    Error, Grant, Question, Tokens, client_credentials, code, device, managed_identity, password,
    refresh, service_account,
};
use crate::config::{AccountSettings, GrantKind};
use crate::secret::Secret;

/// How long a request may take in all, a second try included.
const WHOLE: Duration = Duration::from_secs(10);

/// The client of token endpoints.
#[derive(Clone, Debug)]
pub struct Endpoint {
    post: Post,
    whole: Duration,
    notices: Arc<Notices>,
}

impl Endpoint {
    /// Prepares a client that believes `tls`'s roots and goes through `proxy` where one is given (else the environment's
    /// `https_proxy`, `http_proxy` and `no_proxy` hold). Endpoints on this machine are always asked directly.
    pub fn new(tls: rustls::ClientConfig, proxy: Option<&Secret<String>>) -> Result<Self, String> {
        Ok(Self {
            post: Post::new(tls, proxy)?,
            whole: WHOLE,
            notices: Arc::default(),
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
        match account.grant {
            GrantKind::Device => device::question(self, account, secret).await,
            _ => code::question(account),
        }
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
        let secret = secret
            .or(account.client_secret.as_ref())
            .filter(|secret| !secret.reveal().is_empty());
        let asking = Asking {
            post: &self.post,
            whole: self.whole,
            proof: match grant {
                Grant::ServiceAccount | Grant::ManagedIdentity => Proof::None,
                _ => self.proof(account, secret, Auth::default()).await?,
            },
            mortal: matches!(
                grant,
                Grant::Code { .. } | Grant::Refresh(_) | Grant::Device(_)
            ),
            once: matches!(grant, Grant::Code { .. } | Grant::Device(_)),
        };
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
                    code::redeem(application, &asking, code, redirect_uri, verifier.as_ref());
                take(asked.await)
            }
            Grant::Refresh(token) => {
                let application = asking.application(account)?;
                take(refresh::ask(&application, &asking, token).await)
            }
            Grant::ClientCredentials => {
                if matches!(asking.proof, Proof::None) {
                    return Err(Error::Misconfigured(no_proof(account)));
                }
                let application = asking.application(account)?;
                take(client_credentials::ask(&application, &asking, account).await)
            }
            Grant::Password(password) => {
                let application = asking.application(account)?;
                take(password::ask(&application, &asking, account, password).await)
            }
            Grant::ServiceAccount => service_account::ask(&asking, account, secret).await,
            Grant::ManagedIdentity => managed_identity::ask(&asking, account).await,
            Grant::Device(_) => Err(Error::Misconfigured(
                "oauth2_flow = device is not supported yet; use authorization_code".to_owned(),
            )),
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

fn no_proof(account: &AccountSettings) -> String {
    format!(
        "[{}] uses client credentials but has no `client_secret` and neither a certificate (`jwt_certificate_path`, \
         `jwt_key_path`) nor a `client_assertion_file`",
        account.section
    )
}
