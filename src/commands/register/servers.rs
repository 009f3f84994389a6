//! Which services are to be: the flags of each protocol, with the provider's facts filled in.

use super::RegisterArgs;
use super::plan::text;
use crate::config::{Protocol, Upstream, value};
use crate::providers::{self, Provider};

/// A service to be.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// What is spoken there.
    pub(super) protocol: Protocol,
    /// The local port.
    pub(super) port: u16,
    /// The server it stands for.
    pub(super) server: Upstream,
}

impl Planned {
    /// Returns the section's name.
    pub(super) fn section(&self) -> String {
        format!("{}-{}", self.protocol.word(), self.port)
    }
}

/// The flags of one protocol.
struct Flags<'a> {
    protocol: Protocol,
    address: Option<&'a String>,
    port: Option<&'a String>,
    starttls: Option<&'a String>,
    local: Option<&'a String>,
    usual_local: u16,
}

/// Returns the services that are wanted: those with a flag, or IMAP and SMTP where a provider was named and no server.
pub(super) fn services(
    args: &RegisterArgs,
    provider: Option<&'static Provider>,
) -> Result<Vec<Planned>, String> {
    let all = [
        Flags {
            protocol: Protocol::Imap,
            address: args.imap_server_address.as_ref(),
            port: args.imap_server_port.as_ref(),
            starttls: args.imap_server_starttls.as_ref(),
            local: args.imap_local_port.as_ref(),
            usual_local: 2993,
        },
        Flags {
            protocol: Protocol::Pop,
            address: args.pop_server_address.as_ref(),
            port: args.pop_server_port.as_ref(),
            starttls: args.pop_server_starttls.as_ref(),
            local: args.pop_local_port.as_ref(),
            usual_local: 2995,
        },
        Flags {
            protocol: Protocol::Smtp,
            address: args.smtp_server_address.as_ref(),
            port: args.smtp_server_port.as_ref(),
            starttls: args.smtp_server_starttls.as_ref(),
            local: args.smtp_local_port.as_ref(),
            usual_local: 2465,
        },
    ];
    let no_address = all.iter().all(|flags| flags.address.is_none());
    let mut planned: Vec<Planned> = Vec::new();
    for flags in &all {
        let said = [flags.address, flags.port, flags.starttls, flags.local];
        let usual = provider.is_some() && no_address && flags.protocol != Protocol::Pop;
        if !usual && said.iter().all(Option::is_none) {
            continue;
        }
        let service = service(flags, provider)?;
        if let Some(other) = planned.iter().find(|other| other.port == service.port) {
            return Err(format!(
                "the local port {} cannot serve {} and {}",
                service.port,
                other.protocol.word(),
                service.protocol.word()
            ));
        }
        planned.push(service);
    }
    if planned.is_empty() {
        return Err("--provider, or --imap-server-address, --smtp-server-address or --pop-server-address, must say which server is meant".into());
    }
    Ok(planned)
}

/// Proves one service.
fn service(flags: &Flags<'_>, provider: Option<&'static Provider>) -> Result<Planned, String> {
    let word = flags.protocol.word().to_lowercase();
    let flag = |name: &str| format!("--{word}-{name}");
    let fault = |name: &str| {
        let flag = flag(name);
        move |fault: String| format!("{flag}: {fault}")
    };
    let usual = |provider: &Provider| match flags.protocol {
        Protocol::Imap => provider.imap,
        Protocol::Pop => provider.pop,
        Protocol::Smtp => provider.smtp,
    };
    let said = text(flags.address, &flag("server-address"))?;
    let address = match &said {
        Some(address) => value::host(address).map_err(fault("server-address"))?,
        None => provider
            .and_then(usual)
            .map(|server| server.host.to_owned())
            .ok_or_else(|| format!("{} must name the server", flag("server-address")))?,
    };
    let facts = provider
        .or_else(|| providers::by_server(&address))
        .and_then(usual)
        .filter(|server| server.host.eq_ignore_ascii_case(&address));
    let starttls = match flags.starttls.map(|said| said.trim()) {
        None => None,
        // The flag by itself, before what a copied command left at its line's end.
        Some("") => Some(true),
        Some(said) => Some(
            switch(said)
                .ok_or_else(|| fault("server-starttls")("say True, False or nothing".to_owned()))?,
        ),
    };
    let port = text(flags.port, &flag("server-port"))?;
    let port = port.map(|port| value::port(&port)).transpose();
    let port = port.map_err(fault("server-port"))?;
    let (explicit, implicit) = match flags.protocol {
        Protocol::Imap => (143, 993),
        Protocol::Pop => (110, 995),
        Protocol::Smtp => (587, 465),
    };
    let (port, starttls) = match (port, starttls) {
        (Some(port), Some(starttls)) => (port, starttls),
        (Some(port), None) => {
            let known = facts.filter(|server| server.port == port);
            let usual = port == explicit || port == 25;
            (port, known.map_or(usual, |server| server.starttls))
        }
        (None, Some(starttls)) => {
            let known = facts.filter(|server| server.starttls == starttls);
            let usual = if starttls { explicit } else { implicit };
            (known.map_or(usual, |server| server.port), starttls)
        }
        (None, None) => facts.map_or((implicit, false), |server| (server.port, server.starttls)),
    };
    let local = text(flags.local, &flag("local-port"))?;
    let local = local.map(|port| value::port(&port)).transpose();
    Ok(Planned {
        protocol: flags.protocol,
        port: local
            .map_err(fault("local-port"))?
            .unwrap_or(flags.usual_local),
        server: Upstream {
            host: address,
            port,
            starttls,
        },
    })
}

/// Reads yes or no in the configuration file's words.
pub(super) fn switch(said: &str) -> Option<bool> {
    match said.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}
