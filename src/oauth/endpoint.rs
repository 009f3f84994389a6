//! The client of token endpoints: writes each grant's request, sends it, has the answer judged.
//!
//! How bytes travel is `post`'s, what an answer means `answer`'s. Keeps nothing between two requests.

use std::pin::Pin;
use std::time::{Duration, Instant};

use oauth2::basic::{BasicClient, BasicRequestTokenError, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, RequestTokenError, TokenUrl,
};
use url::Url;

use super::answer::{self, Asked};
use super::post::{Post, is_this_machine};
use super::quiet::Quiet;
use super::{Error, Grant, Question, Tokens, client_credentials, code, device, password, refresh};
use crate::config::{AccountSettings, GrantKind};
use crate::said::Said;
use crate::secret::Secret;

/// How long a request may take in all, a second try included.
const WHOLE: Duration = Duration::from_secs(10);

/// An application registered at a provider, ready to ask its token endpoint.
pub(super) type Application =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// What comes of asking: the crate's answer, or its error around ours.
pub(super) type Replied = Result<BasicTokenResponse, BasicRequestTokenError<Error>>;

/// The client of token endpoints.
#[derive(Clone, Debug)]
pub struct Endpoint {
    post: Post,
    whole: Duration,
}

impl Endpoint {
    /// Prepares a client that believes `tls`'s roots and goes through `proxy` where one is given (else the environment's
    /// `https_proxy`, `http_proxy` and `no_proxy` hold). Endpoints on this machine are always asked directly.
    pub fn new(tls: rustls::ClientConfig, proxy: Option<&Secret<String>>) -> Result<Self, String> {
        Ok(Self {
            post: Post::new(tls, proxy)?,
            whole: WHOLE,
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
    /// plain `client_secret` is used, if any.
    pub async fn ask(
        &self,
        account: &AccountSettings,
        secret: Option<&Secret<String>>,
        grant: &Grant,
    ) -> Result<Tokens, Error> {
        let secret = secret
            .or(account.client_secret.as_ref())
            .filter(|secret| !secret.reveal().is_empty());
        let application = application(account, secret)?;
        let asking = Asking {
            endpoint: self,
            mortal: matches!(
                grant,
                Grant::Code { .. } | Grant::Refresh(_) | Grant::Device(_)
            ),
            once: matches!(grant, Grant::Code { .. } | Grant::Device(_)),
        };

        let replied = match grant {
            Grant::Code {
                code,
                redirect_uri,
                verifier,
            } => {
                let redirect_uri = redirect_uri.as_deref();
                code::redeem(application, &asking, code, redirect_uri, verifier.as_ref()).await
            }
            Grant::Refresh(token) => refresh::ask(&application, &asking, token).await,
            Grant::ClientCredentials => {
                if secret.is_none() {
                    return Err(Error::Misconfigured(no_secret(account)));
                }
                client_credentials::ask(&application, &asking, account).await
            }
            Grant::Password(password) => {
                password::ask(&application, &asking, account, password).await
            }
            Grant::Device(_) | Grant::ServiceAccount | Grant::ManagedIdentity => {
                return Err(Error::Misconfigured(format!(
                    "oauth2_flow = {} is not supported yet; use authorization_code or client_credentials",
                    account.grant.as_str()
                )));
            }
        };
        match replied {
            Ok(answer) => answer::tokens(&answer),
            Err(RequestTokenError::Request(error)) => Err(error),
            // `straighten` lets nothing through that the parser behind would refuse.
            Err(other) => Err(Error::Unavailable(Said::new(format!(
                "the answer could not be read: {}",
                kind_of(&other)
            )))),
        }
    }
}

/// One grant's way to the endpoint: the `oauth2` crate writes the request, this sends it.
pub(super) struct Asking<'e> {
    endpoint: &'e Endpoint,
    /// Whether what is handed in can die.
    mortal: bool,
    /// Whether a second try is forbidden.
    once: bool,
}

impl Asking<'_> {
    /// Sends one request and returns the answer as RFC 6749 wants it.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let (parts, form) = request.into_parts();
        let asked = Asked {
            mortal: self.mortal,
            quiet: Quiet::of_form(&form),
        };
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| Error::Misconfigured(format!("`token_url` is no address: {error}")))?;
        let port = url.port().map(|port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default().to_owned() + &port.unwrap_or_default();
        let host = Said::new(host);
        let form = Secret::new(form);
        let whole = self.endpoint.whole;
        let started = Instant::now();
        let answer =
            tokio::time::timeout(whole, self.endpoint.post.form(&url, &form, self.once)).await;
        let took = started.elapsed();
        let answer = match answer {
            Err(_) => Err(format!("no answer within {} s", whole.as_secs_f32())),
            Ok(answer) => answer,
        };
        match answer {
            Ok(answer) => {
                tracing::debug!(%host, status = answer.status().as_u16(), ?took, "token endpoint answered");
                answer::straighten(&answer, &asked)
            }
            Err(why) => {
                let why = format!("{host}: {}", asked.quiet.hush(&why));
                tracing::debug!(%host, ?took, "token endpoint did not answer");
                Err(Error::Unavailable(Said::new(why)))
            }
        }
    }
}

/// Builds the application that asks, or says why the settings do not allow it.
fn application(
    account: &AccountSettings,
    secret: Option<&Secret<String>>,
) -> Result<Application, Error> {
    if account.assertion_certificate.is_some() && secret.is_none() {
        return Err(Error::Misconfigured(format!(
            "[{}] names an assertion certificate, which is not supported yet; use `client_secret`",
            account.section
        )));
    }
    let url = Url::parse(&account.token_url)
        .map_err(|error| Error::Misconfigured(format!("`token_url` is no address: {error}")))?;
    let plain_but_here = url.scheme() == "http" && is_this_machine(&url);
    if url.scheme() != "https" && !plain_but_here {
        return Err(Error::Misconfigured(format!(
            "`token_url` begins with {}://, but secrets go over https:// only (or to this machine)",
            Said::from(url.scheme())
        )));
    }
    let mut application = BasicClient::new(ClientId::new(account.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(url))
        .set_auth_type(AuthType::RequestBody);
    if let Some(secret) = secret {
        application = application.set_client_secret(ClientSecret::new(secret.reveal().clone()));
    }
    Ok(application)
}

fn no_secret(account: &AccountSettings) -> String {
    format!(
        "[{}] uses client credentials but has no `client_secret`",
        account.section
    )
}

impl<'c> AsyncHttpClient<'c> for Asking<'_> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

fn kind_of(error: &BasicRequestTokenError<Error>) -> &'static str {
    match error {
        RequestTokenError::ServerResponse(_) => "an error in a good answer",
        RequestTokenError::Request(_) => "the request failed",
        RequestTokenError::Parse(..) => "unexpected JSON",
        RequestTokenError::Other(_) => "unexpected form",
    }
}
