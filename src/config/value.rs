//! Single values: text to switch, port, host, server, address, file.
//!
//! Pure but for the look whether a file is there. Errors say what is wrong with the value and never repeat a secret.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::ini::whole_number;
use super::{IpNet, Upstream};
use crate::said::Said;

/// Shows a value in a message.
pub(super) fn shown(value: &str) -> String {
    format!("`{}`", Said::from(value).short())
}

/// Returns whether a value is the placeholder of the predecessor's sample file.
pub(super) fn is_placeholder(value: &str) -> bool {
    value.contains("*** your")
}

/// Adds what often is the reason for a strange value.
fn with_hint(text: String, value: &str) -> String {
    if value.contains([';', '#']) {
        return format!("{text}; comments must stand on lines of their own");
    }
    if value.starts_with(['"', '\'']) {
        return format!("{text}; quotes are part of a value, remove them");
    }
    text
}

/// Reads a port from 1 to 65535.
pub fn port(value: &str) -> Result<u16, String> {
    whole_number(value)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|&port| port > 0)
        .ok_or_else(|| {
            with_hint(
                format!("{} is no port from 1 to 65535", shown(value)),
                value,
            )
        })
}

/// Reads a host name or IP address; of an IPv6 address also in brackets.
pub fn host(value: &str) -> Result<String, String> {
    let bare = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(value).parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let fault = |what: &str| Err(with_hint(format!("{} {what}", shown(value)), value));
    if value.is_empty() {
        return fault("is no host name");
    }
    if value.contains("://") {
        return fault("must be a host name alone, without https:// or the like");
    }
    if value.contains(':') {
        return fault("must be a host name alone; the port has its own place");
    }
    let fit = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if value.len() > 253 || !value.chars().all(fit) || value.starts_with(['.', '-']) {
        return fault("is no host name");
    }
    Ok(value.to_owned())
}

/// Reads `host:port`, with `/starttls` behind it where TLS begins so.
pub(super) fn upstream(value: &str) -> Result<Upstream, String> {
    let (address, starttls) = match value.rsplit_once('/') {
        Some((address, word)) if word.trim().eq_ignore_ascii_case("starttls") => (address, true),
        _ => (value, false),
    };
    let Some((name, number)) = address.trim().rsplit_once(':') else {
        return Err(with_hint(
            format!(
                "{} is not `host:port` or `host:port/starttls`",
                shown(value)
            ),
            value,
        ));
    };
    Ok(Upstream {
        host: host(name)?,
        port: port(number)?,
        starttls,
    })
}

/// Reads a local address. `localhost` means both loopback addresses.
pub fn local_addresses(value: &str) -> Result<Vec<IpAddr>, String> {
    if value.eq_ignore_ascii_case("localhost") {
        return Ok(loopbacks());
    }
    let bare = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(value).parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => Err(with_hint(
            format!(
                "{} is no IP address; write one such as 127.0.0.1, ::1, 0.0.0.0 or `localhost`",
                shown(value)
            ),
            value,
        )),
    }
}

/// Reads networks, separated by blanks or commas: `10.0.0.0/8`, `192.168.1.7`, `fd00::/8`.
pub fn networks(value: &str) -> Result<Vec<IpNet>, String> {
    let words = value.split([' ', ',', '\t', '\n']);
    words
        .filter(|word| !word.is_empty())
        .map(|word| {
            let whole = |address: IpAddr| IpNet::from(address);
            let network = word.parse().or_else(|_| word.parse().map(whole));
            network.map_err(|_| {
                format!(
                    "{} is no network; write one such as 10.0.0.0/8 or 192.168.1.7",
                    shown(word)
                )
            })
        })
        .collect()
}

/// Splits a command line at its blanks. Single or double quotes keep what is between them together; nothing else has a
/// meaning.
pub(super) fn words(value: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in value.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, '\0') => return Err("it holds a NUL".to_owned()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a {open} has no other to end it"));
    }
    words.extend(word);
    Ok(words)
}

/// Both loopback addresses.
pub(super) fn loopbacks() -> Vec<IpAddr> {
    vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

/// Checks an endpoint's address: `https://`, or `http://` where the host is this machine.
pub fn endpoint(value: &str) -> Result<(), String> {
    let url = url::Url::parse(value).map_err(|error| {
        with_hint(
            format!("{} is no web address ({error})", shown(value)),
            value,
        )
    })?;
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        "http" => Err(format!(
            "{} would carry secrets in clear text; it must begin with https://",
            shown(value)
        )),
        _ => Err(format!("{} must begin with https://", shown(value))),
    }
}

/// Checks the address of a machine's own identity service, which may be plain HTTP wherever it is.
pub fn web_address(value: &str) -> Result<(), String> {
    match url::Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        _ => Err(with_hint(
            format!("{} must begin with http:// or https://", shown(value)),
            value,
        )),
    }
}

/// Checks an issuer: an endpoint's address without query and fragment (RFC 8414 section 2), and not that of its
/// discovery document.
pub(super) fn issuer(value: &str) -> Result<(), String> {
    endpoint(value)?;
    if let Some((bare, _)) = value.split_once("/.well-known/") {
        return Err(format!(
            "{} is a discovery document; write the issuer alone: {}",
            shown(value),
            shown(bare)
        ));
    }
    let url = url::Url::parse(value).map_err(|error| error.to_string())?;
    let named = !url.username().is_empty() || url.password().is_some();
    if named || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{} must be an address alone, without user, ? and #",
            shown(value)
        ));
    }
    Ok(())
}

/// Checks a forward proxy's address, which may hold a password and is therefore never shown.
pub(super) fn forward_proxy(value: &str) -> Result<(), String> {
    let fault = "must be socks5://host:port or http://host:port, with user:password@ before the host if need be";
    let url = url::Url::parse(value).map_err(|_| fault.to_owned())?;
    let known = matches!(url.scheme(), "socks5" | "socks5h" | "http");
    if known && url.host_str().is_some_and(|host| !host.is_empty()) {
        Ok(())
    } else {
        Err(fault.to_owned())
    }
}

/// Finds a file: as named, or beside the configuration file where it is not there.
pub(super) fn file(value: &str, config: &Path) -> PathBuf {
    let named = PathBuf::from(value);
    if named.is_absolute() || named.exists() {
        return named;
    }
    let beside = config.parent().unwrap_or(Path::new("")).join(&named);
    if beside.exists() { beside } else { named }
}

/// Says what is wrong with a file that cannot be read, if anything.
pub(super) fn unreadable(value: &str, file: &Path) -> Option<String> {
    let error = match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => return None,
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => error.to_string(),
    };
    let text = format!("could not read the file {}: {error}", shown(value));
    Some(with_hint(text, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_pythons_integers_in_range() {
        assert_eq!(port("993"), Ok(993));
        for bad in ["0", "65536", "-1", "imap", "993 ; imaps", "\"993\""] {
            assert!(port(bad).is_err(), "{bad:?}");
        }
        assert!(port("993 ; imaps").unwrap_err().contains("comments"));
        assert!(port("\"993\"").unwrap_err().contains("quotes"));
    }

    #[test]
    fn commands_are_words_and_quotes() {
        let words = |text: &str| words(text).map(|words| words.join("|"));
        assert_eq!(words("  notify  -u x\n y ").as_deref(), Ok("notify|-u|x|y"));
        assert_eq!(
            words(r#"a "b c" 'd "e' f"g h"i '' $X;"#).as_deref(),
            Ok(r#"a|b c|d "e|fg hi||$X;"#)
        );
        assert_eq!(words(" ").as_deref(), Ok(""));
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn hosts_stand_alone() {
        assert_eq!(host("imap.example.org").unwrap(), "imap.example.org");
        assert_eq!(host("[::1]").unwrap(), "::1");
        assert_eq!(host("::1").unwrap(), "::1");
        assert_eq!(host("127.0.0.1").unwrap(), "127.0.0.1");
        for bad in ["", "https://a", "a:993", "a b", "a/b", "\"a\"", "-a"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn servers_are_host_port_and_perhaps_starttls() {
        let smtp = upstream("smtp.example.org:587/STARTTLS").unwrap();
        assert_eq!((smtp.port, smtp.starttls), (587, true));
        let six = upstream("[::1]:993").unwrap();
        assert_eq!((six.host.as_str(), six.starttls), ("::1", false));
        for bad in ["smtp.example.org", "a:b", "a:1/tls", "https://a:1"] {
            assert!(upstream(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn endpoints_are_https_or_local() {
        for good in [
            "https://a.example/token",
            "http://localhost:1/t",
            "http://127.0.0.1/t",
            "http://[::1]:9/t",
        ] {
            assert_eq!(endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "http://a.example/t",
            "a.example/t",
            "ftp://localhost/",
            "*** your url",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn issuers_are_endpoints_without_anything_behind() {
        for good in [
            "https://idp.example",
            "https://login.microsoftonline.com/organizations/v2.0",
            "http://localhost:8080/realms/mail/",
        ] {
            assert_eq!(issuer(good), Ok(()), "{good}");
        }
        for bad in [
            "http://idp.example",
            "idp.example",
            "https://idp.example/?a=b",
            "https://idp.example/#a",
            "https://me@idp.example/",
        ] {
            assert!(issuer(bad).is_err(), "{bad}");
        }
        let fault = issuer("https://idp.example/a/.well-known/openid-configuration").unwrap_err();
        assert!(fault.ends_with("`https://idp.example/a`"), "{fault}");
    }

    #[test]
    fn a_proxys_password_is_not_repeated() {
        assert!(forward_proxy("socks5://u:hunter2@p:1080").is_ok());
        let fault = forward_proxy("https://u:hunter2@p").unwrap_err();
        assert!(!fault.contains("hunter2"));
    }
}
