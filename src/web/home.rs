//! Where the page is: the address it listens at, and the one under which browsers know it.
//!
//! Pure reading. Binds nothing and shows nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Url;

use super::place::{Spot, host_of, is_loopback};

/// The page's address.
#[derive(Clone, Debug)]
pub struct Home {
    /// What is listened at.
    pub(super) spot: Spot,
    /// The first address of it.
    pub(super) address: SocketAddr,
    /// The address in it that a browser on this machine goes to.
    near: SocketAddr,
    /// The address that a reverse proxy gives it.
    pub(super) base: Option<Url>,
}

impl Home {
    /// Notes where the page listens, and how it is known elsewhere.
    pub(super) fn new(address: SocketAddr, base: Option<Url>) -> Self {
        let near = match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        let host = address.ip().to_string();
        Self {
            spot: Spot {
                host: if is_loopback(&host) {
                    "localhost".to_owned()
                } else {
                    host
                },
                port: address.port(),
            },
            address,
            near: SocketAddr::new(near, address.port()),
            base,
        }
    }

    /// Returns the address under which browsers are sent to it; it ends in `/`.
    pub fn url(&self) -> String {
        match &self.base {
            Some(base) => base.to_string(),
            None => format!("http://{}/", self.near),
        }
    }

    /// Returns whether what would be listened at is listened at by the page already.
    pub(super) fn covers(&self, other: &Spot) -> bool {
        let wide = ["0.0.0.0", "::"].contains(&self.spot.host.as_str());
        self.spot.port == other.port && (wide || self.spot.host == other.host)
    }

    /// Returns whether an address lies below the one that a reverse proxy gives the page.
    pub(super) fn is_above(&self, url: &Url) -> bool {
        self.base.as_ref().is_some_and(|base| {
            base.origin() == url.origin()
                && (url.path().starts_with(base.path()) || self.inner(url.path()) == "/")
        })
    }

    /// Returns a request's path without what leads to the page, where a reverse proxy left that on.
    pub(super) fn inner<'p>(&self, path: &'p str) -> &'p str {
        let Some(base) = &self.base else { return path };
        let above = base.path().trim_end_matches('/');
        match path.strip_prefix(above) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// Returns whether a request's host is the one that the reverse proxy is known by.
    pub(super) fn is_named(&self, host: &str, port: Option<u16>) -> bool {
        self.base.as_ref().is_some_and(|base| {
            let known = base.port_or_known_default();
            host_of(base).is_some_and(|name| name == host)
                && port.is_none_or(|port| Some(port) == known || port == self.spot.port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(address: &str, base: Option<&str>) -> Home {
        let base = base.map(|base| Url::parse(base).unwrap());
        Home::new(address.parse().unwrap(), base)
    }

    #[test]
    fn browsers_are_sent_where_they_can_go() {
        for (address, url) in [
            ("127.0.0.1:8825", "http://127.0.0.1:8825/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:81", "http://[::1]:81/"),
            ("10.0.0.1:82", "http://10.0.0.1:82/"),
        ] {
            assert_eq!(home(address, None).url(), url);
        }
        let behind = home("127.0.0.1:8825", Some("https://vault.example/mail/"));
        assert_eq!(behind.url(), "https://vault.example/mail/");
    }

    #[test]
    fn a_reverse_proxy_may_leave_its_prefix_on_or_cut_it_off() {
        let behind = home("127.0.0.1:8825", Some("https://vault.example/mail/"));
        for (path, inner) in [
            ("/mail/", "/"),
            ("/mail", "/"),
            ("/mail/sign-in", "/sign-in"),
            ("/sign-in", "/sign-in"),
            ("/mailbox", "/mailbox"),
            ("/", "/"),
        ] {
            assert_eq!(behind.inner(path), inner, "{path}");
        }
        for (url, above) in [
            ("https://vault.example/mail/", true),
            ("https://vault.example/mail", true),
            ("https://vault.example/mail/back", true),
            ("https://vault.example/other", false),
            ("https://vault.example:444/mail/", false),
            ("http://vault.example/mail/", false),
        ] {
            assert_eq!(behind.is_above(&Url::parse(url).unwrap()), above, "{url}");
        }
        assert!(behind.is_named("vault.example", None));
        assert!(behind.is_named("vault.example", Some(443)));
        assert!(!behind.is_named("vault.example", Some(444)));
        assert!(!behind.is_named("evil.example", None));
    }
}
