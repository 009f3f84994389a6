//! The service sections: `[IMAP-n]`, `[POP-n]`, `[SMTP-n]`.

use std::net::IpAddr;

use super::proof::Proof;
use super::{Certificate, LocalTls, Protocol, Service, Upstream, value};

impl Protocol {
    /// Returns the word that begins a section's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::Pop => "POP",
            Self::Smtp => "SMTP",
        }
    }

    /// Returns the protocol of a word, in exactly this case.
    fn of(word: &str) -> Option<Self> {
        [Self::Imap, Self::Pop, Self::Smtp]
            .into_iter()
            .find(|protocol| protocol.word() == word)
    }

    /// Returns the usual ports for TLS from the first byte and for STARTTLS.
    fn usual_ports(self) -> (&'static [u16], &'static [u16]) {
        match self {
            Self::Imap => (&[993], &[143]),
            Self::Pop => (&[995], &[110]),
            Self::Smtp => (&[465], &[25, 587, 2525]),
        }
    }
}

/// Returns protocol and port digits of a section name that is a service's.
pub(super) fn name(section: &str) -> Option<(Protocol, &str)> {
    let (word, port) = section.split_once('-')?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    Protocol::of(word)
        .filter(|_| digits)
        .map(|protocol| (protocol, port))
}

/// Reads all services in the order of the file.
pub(super) fn prove(proof: &mut Proof<'_>) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    let mut seen = 0;
    for section in proof.ini.sections() {
        let Some((protocol, digits)) = name(&section.name) else {
            continue;
        };
        seen += 1;
        let Ok(port) = digits.parse() else {
            proof.complain(
                section.line,
                format!("[{}]: a local port is at most 65535", section.name),
            );
            continue;
        };
        let Some(service) = one(proof, &section.name, section.line, protocol, port) else {
            continue;
        };
        if let Some(other) = services.iter().find(|other| collide(other, &service)) {
            let text = format!(
                "[{}] wants the same local address and port as [{}]; give one of them another port",
                service.section, other.section
            );
            proof.complain(section.line, text);
        }
        services.push(service);
    }
    if seen == 0 {
        proof.complain(
            0,
            "the file names no service; add a section such as [SMTP-2465] with server_address and server_port",
        );
    }
    services
}

/// Reads one service. Nothing comes back where something was complained about that the service cannot be without.
fn one(
    proof: &mut Proof<'_>,
    section: &str,
    line: usize,
    protocol: Protocol,
    port: u16,
) -> Option<Service> {
    for key in ["server_address", "server_port"] {
        if proof.find(section, key).is_none() {
            proof.complain(line, format!("[{section}] needs a value for {key}"));
        }
    }
    let host = proof.read(section, "server_address", value::host);
    let server_port = proof.read(section, "server_port", value::port);
    let starttls = proof
        .flag(section, "server_starttls")
        .or_else(|| proof.flag(section, "starttls"))
        .unwrap_or(false);
    let local_addresses = match proof.find(section, "local_address") {
        Some(_) => proof.read(section, "local_address", value::local_addresses),
        None => Some(value::loopbacks()),
    };
    let local_tls = local_tls(proof, section);
    let service = Service {
        section: section.to_owned(),
        protocol,
        port,
        local_addresses: local_addresses?,
        local_address: proof
            .find(section, "local_address")
            .map(|found| found.value.to_owned()),
        local_tls: local_tls?,
        local_client_ca: proof.file(section, "local_client_ca_path"),
        local_tls13_only: proof
            .read(section, "local_tls_minimum", newest_only)
            .unwrap_or(false),
        allow_from: proof
            .find(section, "allow_from")
            .and_then(|found| value::networks(found.value).ok())
            .unwrap_or_default(),
        proxy_protocol_from: proof
            .read(section, "proxy_protocol_from", value::networks)
            .unwrap_or_default(),
        server: Upstream {
            host: host?,
            port: server_port?,
            starttls,
        },
    };
    if service.local_tls == LocalTls::None {
        for key in ["local_client_ca_path", "local_tls_minimum"] {
            // What stands in DEFAULT is meant for the services that have TLS.
            if let Some(found) = proof.ini.own(section, key) {
                proof.complain(
                    found.line,
                    format!("{key} needs local_certificate_path and local_key_path"),
                );
            }
        }
    }
    look_twice(proof, &service);
    Some(service)
}

/// Reads what TLS local clients get.
fn local_tls(proof: &mut Proof<'_>, section: &str) -> Option<LocalTls> {
    let asked = proof.flag(section, "local_starttls").unwrap_or(false);
    let certificate = proof.find(section, "local_certificate_path");
    let key = proof.find(section, "local_key_path");
    let (given, missing) = match (certificate, key) {
        (None, None) if asked => {
            let line = proof.find(section, "local_starttls").map_or(0, |f| f.line);
            proof.complain(
                line,
                "local_starttls needs local_certificate_path and local_key_path",
            );
            return None;
        }
        (None, None) => return Some(LocalTls::None),
        (Some(_), Some(_)) => {
            let certificate = proof.file(section, "local_certificate_path");
            let key = proof.file(section, "local_key_path");
            let certificate = Certificate {
                certificate: certificate?,
                key: key?,
            };
            return Some(if asked {
                LocalTls::StartTls(certificate)
            } else {
                LocalTls::Implicit(certificate)
            });
        }
        (Some(given), None) => (given, "local_key_path"),
        (None, Some(given)) => (given, "local_certificate_path"),
    };
    proof.complain(
        given.line,
        format!("[{section}] also needs {missing}; both may name the same file"),
    );
    None
}

/// Reads the oldest version of local TLS: `1.2` or `1.3`.
fn newest_only(text: &str) -> Result<bool, String> {
    match text.trim_start_matches("TLS").trim_start_matches('v') {
        "1.2" => Ok(false),
        "1.3" => Ok(true),
        _ => Err(format!(
            "{} is neither 1.2 nor 1.3; TLS older than 1.2 is not spoken, a TLS terminator in front can do that",
            value::shown(text)
        )),
    }
}

/// Warns of settings that work but are seldom meant.
fn look_twice(proof: &mut Proof<'_>, service: &Service) {
    let section = &service.section;
    let line_of = |key: &str| proof.ini.value(section, key).map_or(0, |found| found.line);
    let local = line_of("local_address");
    let server = line_of("server_port");
    let wide = service.local_addresses.iter().find(|a| !a.is_loopback());
    if let (Some(address), LocalTls::None) = (wide, &service.local_tls) {
        proof.warn(
            local,
            format!(
                "[{section}] listens on {address} without TLS: passwords and mail cross that network in clear text; \
                 set local_certificate_path and local_key_path"
            ),
        );
    }
    let (implicit, explicit) = service.protocol.usual_ports();
    let port = service.server.port;
    if service.server.starttls && implicit.contains(&port) {
        proof.warn(
            server,
            format!(
                "[{section}]: port {port} usually speaks TLS from the first byte; server_starttls should then be False"
            ),
        );
    }
    if !service.server.starttls && explicit.contains(&port) {
        proof.warn(
            server,
            format!("[{section}]: port {port} usually wants server_starttls = True"),
        );
    }
}

/// Returns whether two services cannot both listen.
fn collide(a: &Service, b: &Service) -> bool {
    let overlap = |x: &IpAddr, y: &IpAddr| {
        let takes = |wide: &IpAddr, other: &IpAddr| {
            // `::` hears IPv4 as well.
            wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
        };
        x == y || takes(x, y) || takes(y, x)
    };
    a.port == b.port
        && a.port != 0
        && a.local_addresses
            .iter()
            .any(|x| b.local_addresses.iter().any(|y| overlap(x, y)))
}
