//! One token request on its way: how the application proves itself, what goes out, the answer judged.
//!
//! Knows no grant: the `oauth2` crate or a grant's own file writes the form. Keeps nothing between two requests.

use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oauth2::basic::{BasicClient, BasicRequestTokenError, BasicTokenResponse};
use oauth2::http::header::AUTHORIZATION;
use oauth2::http::{HeaderName, HeaderValue};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, RequestTokenError, TokenUrl,
};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::answer::{self, Asked};
use super::id_token::{self, Claims};
use super::post::{Post, Request, is_this_machine};
use super::quiet::Quiet;
use super::{Error, Tokens, skew};
use crate::config::AccountSettings;
use crate::said::Said;
use crate::secret::Secret;

/// The name of assertions that prove an application (RFC 7523 section 2.2), form-encoded.
const ASSERTION: &str = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                         &client_assertion=";

/// An application registered at a provider, ready to ask its token endpoint.
pub(super) type Application =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// What comes of asking: the crate's answer, or its error around ours.
pub(super) type Replied = Result<BasicTokenResponse, BasicRequestTokenError<Error>>;

/// A form and the headers that go with it.
type Worded = (Secret<Vec<u8>>, Vec<(HeaderName, HeaderValue)>);

/// How an application shows its secret to the token endpoint (`OpenID` Connect Core section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Auth {
    /// `client_secret_post`: in the form, as every provider in our table takes it.
    #[default]
    Body,
    /// `client_secret_basic`: in a header (RFC 6749 section 2.3.1), where an endpoint says that it takes nothing else.
    Basic,
}

/// What proves the application.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// Nothing: a public client, or a grant that carries its proof itself.
    None,
    /// A secret.
    Secret(Secret<String>, Auth),
    /// A signed assertion: base64url and dots.
    Assertion(Secret<String>),
}

/// One request's way to the endpoint.
pub(super) struct Asking<'e> {
    pub(super) post: &'e Post,
    /// How long it may take in all, a second try included.
    pub(super) whole: Duration,
    /// What proves the application.
    pub(super) proof: Proof,
    /// Whether what is handed in can die.
    pub(super) mortal: bool,
    /// Whether a second try is forbidden.
    pub(super) once: bool,
    /// Whether a device code is polled with.
    pub(super) polling: bool,
    /// The key of the file that leads to whom is asked.
    pub(super) key: &'static str,
    /// What the ID token beside the tokens said, once one came.
    pub(super) told: OnceLock<Claims>,
}

impl Asking<'_> {
    /// Builds the application that asks, or says why the settings do not allow it.
    pub(super) fn application(&self, account: &AccountSettings) -> Result<Application, Error> {
        let url = token_url(&account.token_url)?;
        let application = BasicClient::new(ClientId::new(account.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(url));
        let Proof::Secret(secret, auth) = &self.proof else {
            return Ok(application.set_auth_type(AuthType::RequestBody));
        };
        let auth = match auth {
            Auth::Body => AuthType::RequestBody,
            Auth::Basic => AuthType::BasicAuth,
        };
        Ok(application
            .set_client_secret(ClientSecret::new(secret.reveal().clone()))
            .set_auth_type(auth))
    }

    /// Sends what the `oauth2` crate wrote and returns the answer as RFC 6749 wants it.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let (mut parts, mut form) = request.into_parts();
        if let Proof::Assertion(assertion) = &self.proof {
            form.extend_from_slice(ASSERTION.as_bytes());
            form.extend_from_slice(assertion.reveal().as_bytes());
        }
        let asked = self.asked(&form);
        let headers: Vec<_> = parts
            .headers
            .remove(AUTHORIZATION)
            .map(|mut value| {
                value.set_sensitive(true);
                (AUTHORIZATION, value)
            })
            .into_iter()
            .collect();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| Error::Misconfigured(format!("`token_url` is no address: {error}")))?;
        let form = Secret::new(form);
        let request = self.request(&url, &form, &headers);
        let object = answer::object(&self.send(&request, &asked.quiet).await?, &asked)?;
        self.strict(&object, &asked)
    }

    /// Hands in a form that the `oauth2` crate does not know how to write, and returns the tokens' answer.
    ///
    /// `client_id` is the application that asks, proven as the endpoint wants it; none where the form proves itself.
    pub(super) async fn hand_in(
        &self,
        url: &Url,
        client_id: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<HttpResponse, Error> {
        let (object, asked) = self.submit(url, client_id, form).await?;
        self.strict(&object, &asked)
    }

    /// Sends a form that the `oauth2` crate does not know how to write, and returns the good answer it brings.
    pub(super) async fn submit(
        &self,
        url: &Url,
        client_id: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<(Map<String, Value>, Asked), Error> {
        let (form, headers) = self.word(client_id, form)?;
        let asked = self.asked(form.reveal());
        let request = self.request(url, &form, &headers);
        let object = answer::object(&self.send(&request, &asked.quiet).await?, &asked)?;
        Ok((object, asked))
    }

    /// Writes a form, with what proves the application in it or in a header beside it.
    fn word(&self, client_id: Option<&str>, form: &[(&str, &str)]) -> Result<Worded, Error> {
        let mut text = Serializer::new(String::new());
        text.extend_pairs(form);
        let mut headers = Vec::new();
        match (client_id, &self.proof) {
            (None, _) => {}
            (Some(client_id), Proof::Secret(secret, Auth::Basic)) => {
                headers.push((AUTHORIZATION, basic(client_id, secret)?));
            }
            (Some(client_id), Proof::Secret(secret, Auth::Body)) => {
                text.append_pair("client_id", client_id)
                    .append_pair("client_secret", secret.reveal());
            }
            (Some(client_id), Proof::Assertion(_) | Proof::None) => {
                text.append_pair("client_id", client_id);
            }
        }
        let mut form = text.finish().into_bytes();
        if let (Some(_), Proof::Assertion(assertion)) = (client_id, &self.proof) {
            form.extend_from_slice(ASSERTION.as_bytes());
            form.extend_from_slice(assertion.reveal().as_bytes());
        }
        Ok((Secret::new(form), headers))
    }

    /// Makes the request that carries a form.
    fn request<'a>(
        &self,
        url: &'a Url,
        form: &'a Secret<Vec<u8>>,
        headers: &'a [(HeaderName, HeaderValue)],
    ) -> Request<'a> {
        Request {
            url,
            form: Some(form),
            headers,
            once: self.once,
            direct: false,
            key: self.key,
        }
    }

    /// Returns what must be known of a form to judge its answer.
    fn asked(&self, form: &[u8]) -> Asked {
        let mut quiet = Quiet::of_form(form);
        if let Proof::Secret(secret, _) = &self.proof {
            quiet.learn(secret.reveal());
        }
        Asked {
            key: self.key,
            mortal: self.mortal,
            polling: self.polling,
            quiet,
        }
    }

    /// Makes the strict answer, and keeps what an ID token beside it says.
    fn strict(&self, object: &Map<String, Value>, asked: &Asked) -> Result<HttpResponse, Error> {
        let token = object.get("id_token").and_then(Value::as_str);
        if let Some(claims) = token.and_then(id_token::read) {
            // One request, one answer: nothing was kept before.
            self.told.set(claims).ok();
        }
        answer::strict(object, asked)
    }

    /// Sends a request and returns whatever answer comes.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        quiet: &Quiet,
    ) -> Result<HttpResponse, Error> {
        let url = request.url;
        let port = url.port().map(|port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default().to_owned() + &port.unwrap_or_default();
        let host = Said::new(host);
        let started = Instant::now();
        let answer = tokio::time::timeout(self.whole, self.post.send(request)).await;
        let milliseconds = started.elapsed().as_millis();
        let answer = answer
            .unwrap_or_else(|_| Err(format!("no answer within {} s", self.whole.as_secs_f32())));
        match answer {
            Ok(answer) => {
                skew::notice(answer.headers());
                tracing::debug!(%host, status = answer.status().as_u16(), milliseconds, "endpoint answered");
                Ok(answer)
            }
            Err(why) => {
                tracing::debug!(%host, milliseconds, "endpoint did not answer");
                let why = format!("{host}: {}", quiet.hush(&why));
                Err(Error::Unavailable(Said::new(why)))
            }
        }
    }
}

/// Words the header that shows a secret (RFC 6749 section 2.3.1: id and secret are form-encoded first).
fn basic(client_id: &str, secret: &Secret<String>) -> Result<HeaderValue, Error> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!(
        "{}:{}",
        encoded(client_id),
        encoded(secret.reveal())
    ));
    let text = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.reveal())));
    let mut value = HeaderValue::from_str(text.reveal())
        .map_err(|_| Error::Misconfigured("`client_secret` fits into no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads the tokens from an answer that was straightened.
pub(super) fn read(answer: &HttpResponse) -> Result<Tokens, Error> {
    match serde_json::from_slice(answer.body()) {
        Ok(answer) => answer::tokens(&answer),
        Err(_) => Err(Error::Unavailable(Said::from(
            "the answer could not be read: unexpected JSON",
        ))),
    }
}

/// Turns what the crate made of the answer into tokens or our error.
pub(super) fn take(replied: Replied) -> Result<Tokens, Error> {
    let kind = match replied {
        Ok(answer) => return answer::tokens(&answer),
        Err(RequestTokenError::Request(error)) => return Err(error),
        // `straighten` lets nothing through that the parser behind would refuse.
        Err(RequestTokenError::ServerResponse(_)) => "an error in a good answer",
        Err(RequestTokenError::Parse(..)) => "unexpected JSON",
        Err(RequestTokenError::Other(_)) => "unexpected form",
    };
    let why = format!("the answer could not be read: {kind}");
    Err(Error::Unavailable(Said::new(why)))
}

/// Reads a token endpoint's address.
pub(super) fn token_url(text: &str) -> Result<Url, Error> {
    address("token_url", text)
}

/// Reads an address that a key of the file leads to: secrets go over https, or stay on this machine.
pub(super) fn address(key: &str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text)
        .map_err(|error| Error::Misconfigured(format!("`{key}` is no address: {error}")))?;
    let plain_but_here = url.scheme() == "http" && is_this_machine(&url);
    if url.scheme() != "https" && !plain_but_here {
        return Err(Error::Misconfigured(format!(
            "`{key}` begins with {}://, but secrets go over https:// only (or to this machine)",
            Said::from(url.scheme())
        )));
    }
    Ok(url)
}

impl<'c> AsyncHttpClient<'c> for Asking<'_> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}
