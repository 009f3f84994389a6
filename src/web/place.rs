//! Where a browser's return is heard: from a consent's redirect address to addresses, paths and names.
//!
//! Pure reading, but for name resolution in [`Spot::addresses`]. Binds nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::home::Home;
use crate::accounts::Pending;
use crate::said::Said;

/// The port where an address names none: that of plain HTTP.
const USUAL_PORT: u16 = 80;

/// How long a name may be looked up.
const LOOKUP: Duration = Duration::from_secs(5);

/// A host and port to listen at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    /// A name or an address without brackets; `localhost` stands for both loopbacks.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
}

/// Where one consent's return is heard, and how it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where to listen.
    pub(super) spot: Spot,
    /// The account that is asked for.
    pub(super) account: String,
    /// The paths a return may have, exactly: the redirect address's, and the listen address's where a reverse proxy stands
    /// between.
    pub(super) paths: Vec<String>,
    /// The host names the browser or the reverse proxy may ask for, lower case.
    pub(super) names: Vec<String>,
    /// The ports that may stand beside them, besides the one that is listened at.
    pub(super) ports: Vec<u16>,
    /// The host of a redirect address that may be another way to this machine, where nothing says that it is to be listened
    /// at: this machine alone is heard then.
    pub(super) elsewhere: Option<String>,
}

impl Place {
    /// Finds where a consent's return is to be heard, or says why it cannot be heard here.
    ///
    /// What leads to the page's own address, or below the address that a reverse proxy gives it, is heard there.
    pub(super) fn of(pending: &Pending, page: Option<&Home>) -> Result<Self, String> {
        let redirect = pending.redirect_uri.as_deref().map(Url::parse);
        let redirect = match redirect {
            None => None,
            Some(Ok(url)) => Some(url),
            Some(Err(error)) => return Err(format!("`redirect_uri` is no address: {error}")),
        };
        let listen = match pending.redirect_listen_address.as_deref() {
            None => None,
            Some(text) => Some(read_listen_address(text)?),
        };
        let home = page.filter(|page| {
            listen.is_none() && redirect.as_ref().is_some_and(|url| page.is_above(url))
        });
        if let (Some(home), Some(redirect)) = (home, &redirect) {
            return Ok(Self::at_home(pending, home, redirect));
        }
        let at = match (&listen, &redirect) {
            (Some(listen), _) => listen,
            (None, Some(redirect)) if redirect.scheme() == "http" => redirect,
            (None, Some(redirect)) => {
                return Err(format!(
                    "the browser comes back to {}://, which is not answered here; set \
                     `redirect_listen_address` to where a reverse proxy sends it",
                    Said::from(redirect.scheme())
                ));
            }
            (None, None) => return Err("there is no `redirect_uri`".to_owned()),
        };
        let host = host_of(at).ok_or("the address to listen at names no host")?;
        // Only `redirect_listen_address` may open a port to other machines.
        let here = is_loopback(&host);
        let spot = Spot {
            host: if here || listen.is_none() {
                "localhost".to_owned()
            } else {
                host.clone()
            },
            port: at.port().unwrap_or(USUAL_PORT),
        };
        let spot = match page.filter(|page| page.covers(&spot)) {
            Some(page) => page.spot.clone(),
            None => spot,
        };
        let mut place = Self {
            spot,
            account: pending.account.clone(),
            paths: Vec::new(),
            names: Vec::new(),
            ports: Vec::new(),
            elsewhere: Some(host).filter(|_| !here && listen.is_none()),
        };
        for url in redirect.iter().chain(listen.iter()) {
            let path = url.path().to_owned();
            if !place.paths.contains(&path) {
                place.paths.push(path);
            }
            place.names.extend(host_of(url));
            place.ports.extend(url.port_or_known_default());
        }
        Ok(place)
    }

    /// A return that comes through the reverse proxy which stands before the page. It may pass the path on or cut off what
    /// leads to the page.
    fn at_home(pending: &Pending, home: &Home, redirect: &Url) -> Self {
        let path = redirect.path().to_owned();
        let mut paths = vec![home.inner(&path).to_owned()];
        if !paths.contains(&path) {
            paths.push(path);
        }
        Self {
            spot: home.spot.clone(),
            account: pending.account.clone(),
            paths,
            names: host_of(redirect).into_iter().collect(),
            ports: redirect.port_or_known_default().into_iter().collect(),
            elsewhere: None,
        }
    }
}

impl Spot {
    /// Returns the addresses to bind.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if self.host == "localhost" {
            return Ok(vec![
                (Ipv4Addr::LOCALHOST, self.port).into(),
                (Ipv6Addr::LOCALHOST, self.port).into(),
            ]);
        }
        let lookup = crate::lookup::addresses(&self.host, self.port);
        match timeout(LOOKUP, lookup).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(format!("the name {} was not found: {error}", self.host)),
            Err(_) => Err(format!(
                "the name {} could not be looked up in time",
                self.host
            )),
        }
    }
}

/// Splits an authority such as a `Host` header into the host, lower case and without brackets, and the port.
pub(super) fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let fit = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if !text.chars().all(fit) {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            let port = match behind {
                "" => None,
                behind => Some(behind.strip_prefix(':')?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let digits = |port: &str| {
        let plain = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
        port.parse().ok().filter(|_| plain)
    };
    let port = match port {
        Some(port) => Some(digits(port)?),
        None => None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// Returns whether a host is this machine by one of its three usual names, whatever the name service says.
pub(super) fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "::1"].contains(&host)
}

/// Reads `http://host:port/path` or `host:port`. The scheme means nothing: what listens here is plain HTTP.
fn read_listen_address(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    Url::parse(&format!("http://{rest}")).map_err(|error| {
        format!("`redirect_listen_address` must be like `http://127.0.0.1:8080`: {error}")
    })
}

pub(super) fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(redirect: Option<&str>, listen: Option<&str>) -> Result<Place, String> {
        let pending = Pending {
            account: "u@example.org".into(),
            url: "https://idp.example/authorize".into(),
            redirect_uri: redirect.map(Into::into),
            redirect_listen_address: listen.map(Into::into),
            listen: true,
            code: None,
            doubt: None,
        };
        Place::of(&pending, None)
    }

    #[test]
    fn every_shape_of_address_leads_to_its_place() {
        /// Redirect address, listen address, and the host, port and paths that follow.
        type Row = (
            &'static str,
            Option<&'static str>,
            &'static str,
            u16,
            &'static [&'static str],
        );
        let table: &[Row] = &[
            ("http://localhost", None, "localhost", 80, &["/"]),
            ("http://localhost:8825", None, "localhost", 8825, &["/"]),
            (
                "http://127.0.0.1:8825/back/",
                None,
                "localhost",
                8825,
                &["/back/"],
            ),
            ("http://[::1]:8825", None, "localhost", 8825, &["/"]),
            // Only the listen address opens a port to other machines.
            ("http://Mail.Example:81/x", None, "localhost", 81, &["/x"]),
            ("http://0.0.0.0:8825", None, "localhost", 8825, &["/"]),
            (
                "http://localhost",
                Some("http://0.0.0.0:8080"),
                "0.0.0.0",
                8080,
                &["/"],
            ),
            (
                "http://localhost",
                Some("127.0.0.1:8080"),
                "localhost",
                8080,
                &["/"],
            ),
            ("http://localhost", Some("[::]:8080"), "::", 8080, &["/"]),
            (
                "https://mail.example/oauth/back",
                Some("http://127.0.0.1:8080"),
                "localhost",
                8080,
                &["/oauth/back", "/"],
            ),
            (
                "https://mail.example/back",
                Some("https://10.0.0.5/in"),
                "10.0.0.5",
                80,
                &["/back", "/in"],
            ),
        ];
        for (redirect, listen, host, port, paths) in table {
            let place = place(Some(redirect), *listen).unwrap();
            assert_eq!(
                (place.spot.host.as_str(), place.spot.port),
                (*host, *port),
                "{redirect}"
            );
            assert_eq!(place.paths, *paths, "{redirect}");
        }
    }

    #[test]
    fn what_cannot_be_heard_says_why() {
        for (redirect, listen, word) in [
            (
                Some("https://mail.example/back"),
                None,
                "redirect_listen_address",
            ),
            (
                Some("urn:ietf:wg:oauth:2.0:oob"),
                None,
                "redirect_listen_address",
            ),
            (None, None, "redirect_uri"),
            (Some("localhost"), None, "redirect_uri"),
            (
                Some("http://localhost"),
                Some(":8080"),
                "redirect_listen_address",
            ),
        ] {
            let why = place(redirect, listen).unwrap_err();
            assert!(why.contains(word), "{redirect:?}: {why}");
        }
    }

    #[test]
    fn only_a_listen_address_makes_other_machines_heard() {
        let elsewhere = |redirect, listen| place(Some(redirect), listen).unwrap().elsewhere;
        assert_eq!(elsewhere("http://localhost:81", None), None);
        assert_eq!(
            elsewhere("http://192.0.2.1:81", None).as_deref(),
            Some("192.0.2.1")
        );
        let told = Some("http://192.0.2.1:81");
        assert_eq!(elsewhere("http://192.0.2.1:81", told), None);
    }

    #[test]
    fn host_headers_are_split_into_host_and_port() {
        let split = |header| split_authority(header);
        for (header, host, port) in [
            ("LOCALHOST:8825", "localhost", Some(8825)),
            ("[::1]:8825", "::1", Some(8825)),
            ("[::1]", "::1", None),
            ("127.0.0.1", "127.0.0.1", None),
        ] {
            assert_eq!(split(header), Some((host.to_owned(), port)), "{header}");
        }
        for header in [
            "localhost@evil.example",
            "evil.example@localhost",
            "a b",
            "",
            ":80",
            "localhost:",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost:080000",
            "::1",
            "[::1",
            "[::1]80",
            "localhost/x",
            "localhost,evil.example",
        ] {
            assert_eq!(split(header), None, "{header}");
        }
    }
}
