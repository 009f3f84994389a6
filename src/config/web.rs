//! The options of the page for people: where it listens, under which address it is known, who may see what.
//!
//! Binds nothing and shows nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Url;

use super::keys::OPTIONS_SECTION;
use super::proof::Proof;
use super::{IpNet, value};
use crate::secret::Secret;

/// Where the page is unless the file says otherwise.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8825);

/// The shortest password of the page, in bytes: it is all that stands before it where others can reach it.
const SHORTEST: usize = 12;

/// The options of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOptions {
    /// Where it listens; nothing where it is off. A loopback address stands for both of them.
    pub listen: Option<SocketAddr>,
    /// Whether the file names that address. One that it names must be had; the usual one need not.
    pub is_named: bool,
    /// The address under which browsers reach it through a reverse proxy; its path ends in `/`.
    pub base: Option<Url>,
    /// What opens it besides a link of `emailproxy web`.
    pub password: Option<Secret<String>>,
    /// From where `/metrics` may be read.
    pub metrics_from: Vec<IpNet>,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            listen: Some(USUAL),
            is_named: false,
            base: None,
            password: None,
            metrics_from: Vec::new(),
        }
    }
}

/// Reads the options; what is not said has its default.
pub(super) fn prove(proof: &mut Proof<'_>) -> WebOptions {
    let usual = WebOptions::default();
    let named = proof.read(OPTIONS_SECTION, "web", listen);
    let web = WebOptions {
        is_named: named.is_some(),
        listen: named.unwrap_or(usual.listen),
        base: proof.read(OPTIONS_SECTION, "base_url", base),
        password: proof.read(OPTIONS_SECTION, "web_password", password),
        metrics_from: proof
            .read(OPTIONS_SECTION, "metrics_from", value::networks)
            .unwrap_or_default(),
    };
    let reachable = web.listen.is_some_and(|at| !at.ip().is_loopback());
    let line = |proof: &Proof<'_>, key| proof.find(OPTIONS_SECTION, key).map(|found| found.line);
    if let Some(at) = line(proof, "web").filter(|_| reachable)
        && line(proof, "web_password").is_none()
    {
        proof.complain(
            at,
            "web: other machines can reach this address, so the page needs a web_password; or let it listen at 127.0.0.1 behind a reverse proxy",
        );
    }
    web
}

/// Reads `off`, `host:port` or `http://host:port/`.
fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if ["off", "no", "false", "none"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let local = match bare.split_once(':') {
        Some((name, port)) if name.eq_ignore_ascii_case("localhost") => {
            format!("127.0.0.1:{port}")
        }
        _ => bare.to_owned(),
    };
    local.parse().map(Some).map_err(|_| {
        format!(
            "{} is neither off nor an IP address with a port such as 127.0.0.1:8825",
            value::shown(text)
        )
    })
}

/// Reads the address under which browsers reach the page.
fn base(text: &str) -> Result<Url, String> {
    let no = |why: &str| Err(format!("{} {why}", value::shown(text)));
    let Ok(mut url) = Url::parse(text) else {
        return no("is no address such as https://mail.example.com/emailproxy/");
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return no("is no http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return no("may hold no user and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return no("may hold neither ? nor #");
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Reads the page's password. The error does not repeat it.
fn password(text: &str) -> Result<Secret<String>, String> {
    if text.len() < SHORTEST || text.len() > 1_024 {
        return Err(format!("it must have {SHORTEST} to 1024 bytes"));
    }
    Ok(Secret::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_their_usual_forms() {
        for (text, expected) in [
            ("127.0.0.1:8825", "127.0.0.1:8825"),
            ("localhost:81", "127.0.0.1:81"),
            ("http://127.0.0.1:8825/", "127.0.0.1:8825"),
            ("[::1]:0", "[::1]:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(listen(text), Ok(Some(expected.parse().unwrap())), "{text}");
        }
        assert_eq!(listen("off"), Ok(None));
        for bad in [
            "on",
            "8825",
            "127.0.0.1",
            "example.org:80",
            "127.0.0.1:99999",
            "",
        ] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_ends_in_a_slash_and_holds_nothing_else() {
        let read = |text| base(text).map(String::from);
        assert_eq!(
            read("https://vault.example/mail").as_deref(),
            Ok("https://vault.example/mail/")
        );
        assert_eq!(
            read("http://vault.example").as_deref(),
            Ok("http://vault.example/")
        );
        for bad in [
            "vault.example",
            "ftp://vault.example",
            "https://u:p@vault.example/",
            "https://vault.example/?x",
            "https://vault.example/#x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
