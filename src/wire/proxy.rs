//! Reaching a server through a SOCKS5 or HTTP CONNECT proxy.
//!
//! Knows no mail; the proxy sees the TLS session of the real server only from outside.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;
use url::Url;

use super::dial::connect;
use crate::said::Said;
use crate::secret::Secret;

/// The most an HTTP proxy's answer to CONNECT may take, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// A forward proxy for connections to providers.
#[derive(Clone, Debug)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<(String, Secret<String>)>,
    url: Secret<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Socks5,
    Http,
}

impl Proxy {
    /// Reads `socks5://[user:password@]host[:port]` or `http://[user:password@]host[:port]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .map_err(|error| format!("{} is no proxy address: {error}", Said::from(text)))?;
        let (kind, usual_port) = match url.scheme() {
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            "http" => (Kind::Http, 3128),
            other => {
                return Err(format!(
                    "a proxy is reached by socks5:// or http://, not {}://",
                    Said::from(other)
                ));
            }
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or("the proxy address names no host")?;
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let login = (!url.username().is_empty()).then(|| {
            (
                decoded(url.username()),
                Secret::new(decoded(url.password().unwrap_or_default())),
            )
        });
        Ok(Self {
            kind,
            host: host.to_owned(),
            port: named_port(text).unwrap_or(usual_port),
            login,
            url: Secret::from(text),
        })
    }

    /// Returns the whole address, password included, for the token endpoint's own client.
    pub fn url(&self) -> &Secret<String> {
        &self.url
    }

    /// Connects to `host:port` through the proxy, which also resolves the name.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let through = format!("through the proxy {}:{}", self.host, self.port);
        let stream = connect(&self.host, self.port)
            .await
            .map_err(|error| format!("{through}: {error}"))?;
        match self.kind {
            Kind::Socks5 => self
                .socks5(stream, host, port)
                .await
                .map_err(|why| format!("{through}: {why}")),
            Kind::Http => self
                .http_connect(stream, host, port)
                .await
                .map_err(|why| format!("{through}: {why}")),
        }
    }

    async fn socks5(&self, stream: TcpStream, host: &str, port: u16) -> Result<TcpStream, String> {
        let connected = match &self.login {
            None => Socks5Stream::connect_with_socket(stream, (host, port)).await,
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(
                    stream,
                    (host, port),
                    user,
                    password.reveal(),
                )
                .await
            }
        };
        connected
            .map(Socks5Stream::into_inner)
            .map_err(|error| error.to_string())
    }

    async fn http_connect(
        &self,
        mut stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, String> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some((user, password)) = &self.login {
            let pair = Secret::new(format!("{user}:{}", password.reveal()));
            let encoded =
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair.reveal());
            request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
        }
        request.push_str("\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        // The mail server may speak first, so nothing behind the empty line may be read here: one byte at a time.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = stream
                .read_u8()
                .await
                .map_err(|error| format!("no answer to CONNECT: {error}"))?;
            answer.push(byte);
            if answer.len() > MAX_ANSWER {
                return Err("the answer to CONNECT does not end".to_owned());
            }
        }
        let status = answer
            .split(|&byte| byte == b'\r')
            .next()
            .unwrap_or_default();
        let code = status
            .split(|&byte| byte == b' ')
            .nth(1)
            .unwrap_or_default();
        if code.starts_with(b"2") {
            return Ok(stream);
        }
        Err(format!("the proxy refused: {}", Said::new(status)))
    }
}

/// Returns the port that stands in an address. `Url` drops it where it is the scheme's own, which is not a proxy's.
fn named_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, port) = authority.rsplit_once(':')?;
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_addresses_are_read_and_their_passwords_never_shown() {
        let proxy = Proxy::parse("socks5://me:p%40ss@proxy.example").unwrap();
        assert_eq!(
            (proxy.kind, proxy.host.as_str(), proxy.port),
            (Kind::Socks5, "proxy.example", 1080)
        );
        assert_eq!(proxy.login.as_ref().unwrap().1.reveal(), "p@ss");
        assert!(!format!("{proxy:?}").contains("p@ss") && !format!("{proxy:?}").contains("p%40ss"));
        assert_eq!(Proxy::parse("http://[::1]:8080").unwrap().port, 8080);
        assert_eq!(Proxy::parse("http://proxy.example:80/").unwrap().port, 80);
        assert_eq!(Proxy::parse("http://u:1@proxy.example").unwrap().port, 3128);
        assert!(Proxy::parse("ftp://proxy.example").is_err());
        assert!(Proxy::parse("proxy.example:1080").is_err());
    }
}
