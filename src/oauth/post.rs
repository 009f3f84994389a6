//! One bounded request, over HTTPS or to this machine.
//!
//! Knows ways and limits; what is sent and what the answer means is for others. Keeps nothing between two requests.

use std::error::Error as _;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oauth2::HttpResponse;
use oauth2::http::{HeaderName, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;
use url::{Host, Url};

use crate::lookup::addresses;
use crate::said::Said;
use crate::secret::Secret;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How much of that the name look-up may take.
const LOOKUP: Duration = Duration::from_secs(4);

/// The longest answer read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The longest head of an answer taken, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What `localhost` is; the port comes from the address that is asked.
const LOOPBACKS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// What is sent.
pub(super) struct Request<'a> {
    /// Where to.
    pub(super) url: &'a Url,
    /// The form to post; without one the address is fetched by GET.
    pub(super) form: Option<&'a Secret<Vec<u8>>>,
    /// Headers beyond the usual ones.
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    /// Whether a second try is forbidden.
    pub(super) once: bool,
    /// Whether it goes past any proxy, wherever it goes to.
    pub(super) direct: bool,
    /// The key of the file that leads there, for advice.
    pub(super) key: &'static str,
}

/// What carries requests.
#[derive(Clone)]
pub(super) struct Post {
    /// To endpoints on this machine: never through a proxy.
    direct: reqwest::Client,
    /// To all others.
    outward: reqwest::Client,
}

/// Shows nothing: the way through a proxy may hold its password.
impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Post {
    /// Prepares both ways, as [`super::Endpoint::new`] promises.
    pub(super) fn new(
        tls: rustls::ClientConfig,
        proxy: Option<&Secret<String>>,
    ) -> Result<Self, String> {
        let builder = |tls: rustls::ClientConfig| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .pool_max_idle_per_host(0)
                .dns_resolver(SharedLookup)
                .connect_timeout(CONNECT)
                .user_agent(concat!("emailproxy/", env!("CARGO_PKG_VERSION")))
                // Plain HTTP goes to this machine only, whatever the name service says about it.
                .resolve_to_addrs("localhost", &LOOPBACKS)
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder
                .build()
                .map_err(|error| format!("could not prepare token requests: {}", causes(&error)))
        };
        let outward = match proxy {
            Some(proxy) => {
                let proxy = reqwest::Proxy::all(proxy_address(proxy)?.reveal().as_str())
                    .map_err(|_| "the `proxy` address cannot be used for token requests")?;
                builder(tls.clone()).proxy(proxy)
            }
            None => builder(tls.clone()),
        };
        Ok(Self {
            direct: build(builder(tls).no_proxy())?,
            outward: build(outward)?,
        })
    }

    /// Sends a request, once more where the connection was dropped before an answer began.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<HttpResponse, String> {
        let client = if request.direct || is_this_machine(request.url) {
            &self.direct
        } else {
            &self.outward
        };
        let send = || {
            let url = request.url.clone();
            let sending = match request.form {
                Some(form) => client
                    .post(url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form.reveal().clone()),
                None => client.get(url),
            };
            let headers = request.headers.iter().cloned().collect();
            sending
                .headers(headers)
                .header("accept", "application/json")
                .header("accept-encoding", "identity")
                .send()
        };
        let response = match send().await {
            Err(error) if was_dropped(&error) && !request.once => send().await,
            other => other,
        };
        let mut response = response.map_err(|error| explain(&error, request.key))?;
        let head = response.headers().iter();
        let head: usize = head
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if head > MAX_HEAD {
            return Err(format!("the answer's head is longer than {MAX_HEAD} bytes"));
        }
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| {
                format!("the answer broke off: {}", causes(&error.without_url()))
            })?
            else {
                break;
            };
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }
}

/// Looks names up as mail connections do: a dead name holds one thread, not one a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedLookup;

impl Resolve for SharedLookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = timeout(LOOKUP, addresses(name.as_str(), 0)).await;
            let found = found.map_err(|_| {
                let seconds = LOOKUP.as_secs();
                std::io::Error::other(format!(
                    "it could not be looked up within {seconds} s; this machine's name service does not answer"
                ))
            })??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Returns whether an address leads to this machine.
pub(super) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Gives a proxy address the meaning it has for mail connections: the proxy resolves names, and the usual ports are
/// 1080 for SOCKS5 and 3128 for HTTP.
pub(crate) fn proxy_address(proxy: &Secret<String>) -> Result<Secret<String>, String> {
    let text = proxy.reveal();
    let mut url = Url::parse(text).map_err(|error| format!("`proxy` is no address: {error}"))?;
    let usual = match url.scheme() {
        "socks5" => {
            let rest = text.split_once(':').map_or("", |(_, rest)| rest);
            url = Url::parse(&format!("socks5h:{rest}"))
                .map_err(|error| format!("`proxy` is no address: {error}"))?;
            1080
        }
        "socks5h" => 1080,
        "http" => 3128,
        other => {
            let other = Said::from(other);
            return Err(format!(
                "a proxy is reached by socks5:// or http://, not {other}://"
            ));
        }
    };
    // The `url` crate forgets a port that is its scheme's own, so `:80` must be looked for in the text.
    let says_80 = text.trim_end_matches('/').ends_with(":80");
    if url.port().is_none() && !says_80 {
        url.set_port(Some(usual))
            .map_err(|()| "the `proxy` address names no host")?;
    }
    Ok(Secret::new(url.to_string()))
}

/// Returns whether the connection was lost after the request and before any answer.
fn was_dropped(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && !is_unreadable(error)
}

/// Returns whether an answer came that is no HTTP, or has too large a head.
fn is_unreadable(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return error.is_parse();
        }
        source = cause.source();
    }
    false
}

/// Words a request that got no answer, with what to do where that is known.
fn explain(error: &reqwest::Error, key: &str) -> String {
    if error.is_dns() {
        let why = causes(error);
        return format!(
            "the name was not found: {why}; check `{key}` and this machine's name service"
        );
    }
    if was_dropped(error) {
        return "the connection was dropped before an answer came".to_owned();
    }
    let text = causes(error);
    if is_unreadable(error) {
        return format!("the answer is not the HTTP it should be: {text}; check `{key}`");
    }
    if text.contains("tunnel error") {
        return format!("the proxy did not let the request through: {text}");
    }
    if error.is_timeout() {
        return format!("no connection within {} s: {text}", CONNECT.as_secs());
    }
    if text.contains("UnknownIssuer") {
        return format!(
            "{text}; if the certificate comes from a private authority, name it in `ca_file`"
        );
    }
    text
}

/// Returns the innermost cause of an error, without the address.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        innermost = cause.to_string();
        source = cause.source();
    }
    if innermost.is_empty() {
        return "the request could not be made".to_owned();
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_mean_the_same_as_for_mail() {
        let address =
            |text: &str| proxy_address(&Secret::from(text)).map(|address| address.reveal().clone());
        assert_eq!(
            address("socks5://me:p%40@proxy.example").unwrap(),
            "socks5h://me:p%40@proxy.example:1080"
        );
        assert_eq!(
            address("http://proxy.example").unwrap(),
            "http://proxy.example:3128/"
        );
        assert_eq!(
            address("http://proxy.example:80").unwrap(),
            "http://proxy.example/"
        );
        assert!(address("ftp://proxy.example").is_err());
        assert!(address("proxy.example").is_err());
    }

    #[test]
    fn only_loopback_is_this_machine() {
        for here in ["http://localhost:1/", "http://127.8.0.1/", "http://[::1]/t"] {
            assert!(is_this_machine(&Url::parse(here).unwrap()), "{here}");
        }
        for away in [
            "http://localhost.example/",
            "http://10.0.0.1/",
            "http://[::2]/",
        ] {
            assert!(!is_this_machine(&Url::parse(away).unwrap()), "{away}");
        }
    }
}
