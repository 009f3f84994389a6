//! Bounded HTTP to services that keep tokens: with the program's own trust, and through its own way out.
//!
//! Knows no service. Plain HTTP goes past any proxy; who may speak it is the caller's decision.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::Reach;
use crate::oauth::{SharedLookup, proxy_address};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// The longest answer read, in bytes.
const MOST: usize = 1024 * 1024;

/// What carries requests.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    direct: reqwest::Client,
    outward: reqwest::Client,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Carrier {
    /// Prepares both ways. Without any trust of the program's own, the library's default holds.
    pub(super) fn new(reach: &Reach) -> Result<Self, String> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(CONNECT)
                .dns_resolver(SharedLookup)
                .user_agent(concat!("emailproxy/", env!("CARGO_PKG_VERSION")));
            match &reach.tls {
                Some(tls) => builder.tls_backend_preconfigured(rustls::ClientConfig::clone(tls)),
                None => builder,
            }
        };
        let fail =
            |error: reqwest::Error| format!("could not prepare requests: {}", causes(&error));
        let mut outward = builder();
        if let Some(proxy) = &reach.proxy {
            let proxy = reqwest::Proxy::all(proxy_address(proxy)?.reveal().as_str());
            outward = outward.proxy(proxy.map_err(|_| "the `proxy` address cannot be used")?);
        }
        Ok(Self {
            direct: builder().no_proxy().build().map_err(fail)?,
            outward: outward.build().map_err(fail)?,
        })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn send(
        &self,
        method: reqwest::Method,
        url: url::Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let client = if url.scheme() == "http" {
            &self.direct
        } else {
            &self.outward
        };
        let sent = client
            .request(method, url)
            .headers(headers)
            .body(body)
            .send();
        let mut response = sent.await.map_err(|error| causes(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
            if body.len() + chunk.len() > MOST {
                return Err(format!("the answer is longer than {MOST} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

/// Words why a request failed, without the address.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost = None;
    let mut source = error.source();
    while let Some(cause) = source {
        innermost = Some(cause);
        source = cause.source();
    }
    innermost.map_or_else(
        || "the request could not be made".to_owned(),
        ToString::to_string,
    )
}
