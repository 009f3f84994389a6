//! `emailproxy config`: what a configuration file comes to, for people with section and line, for machines as JSON.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{Where, complain, say};
use crate::config::ini::Found;
use crate::config::keys::{self, OPTIONS_SECTION};
use crate::config::{
    AccountError, AccountSettings, Config, GrantKind, LocalTls, Service, Upstream,
};

/// What `config` is told.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(flatten)]
    config: Where,

    /// Print one JSON object: services, accounts, options, warnings
    #[arg(long)]
    json: bool,

    /// Show only what a login with this user name would use
    #[arg(long, value_name = "USER")]
    account: Option<String>,
}

/// Shows the configuration. A broken one is complained about instead.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.read()?;
    let mut code = ExitCode::SUCCESS;
    let accounts = match &args.account {
        Some(user) => {
            let shown = Shown::of(&config, user);
            if let Err(error) = &shown.settings {
                complain(&format!("a login as {user} would be refused: {error}"));
                code = ExitCode::FAILURE;
            }
            vec![shown]
        }
        None => everybody(&config),
    };
    if args.json {
        say(&format!(
            "{:#}",
            object(&config, &accounts, args.account.is_some())
        ));
    } else {
        say(&text(&config, &accounts, args.account.is_some()));
    }
    Ok(code)
}

/// An account as it is shown.
struct Shown<'a> {
    name: String,
    /// What a login uses, or why it is refused.
    settings: Result<AccountSettings, AccountError>,
    /// What is clear of the settings even where a login is refused.
    draft: Option<AccountSettings>,
    origins: Vec<(&'static str, Found<'a>)>,
}

impl<'a> Shown<'a> {
    fn of(config: &'a Config, user: &str) -> Self {
        Self {
            name: user.to_owned(),
            settings: config.account(user),
            draft: config.draft(user).ok(),
            origins: config.origins(user),
        }
    }
}

/// Returns every account section; a catch-all one as what a user without a section would get of it.
fn everybody(config: &Config) -> Vec<Shown<'_>> {
    let sections = config.account_sections().into_iter();
    let live =
        sections.filter(|name| !name.starts_with('@') || config.options.allow_catch_all_accounts);
    live.map(|name| {
        let stand_in = match name.as_str() {
            "@" => "*".to_owned(),
            domain if domain.starts_with('@') => format!("*{domain}"),
            _ => return Shown::of(config, &name),
        };
        Shown {
            name,
            ..Shown::of(config, &stand_in)
        }
    })
    .collect()
}

/// Returns how the application proves itself at the token endpoint.
fn client_auth(config: &Config, settings: &AccountSettings) -> &'static str {
    let lent = config
        .options
        .use_login_password_as_client_credentials_secret;
    if settings.grant == GrantKind::ServiceAccount {
        "service_account_key"
    } else if settings.grant == GrantKind::ManagedIdentity {
        "managed_identity"
    } else if settings.assertion_file.is_some() {
        "assertion_file"
    } else if settings.client_secret.is_some() || settings.cached.client_secret_encrypted.is_some()
    {
        "secret"
    } else if settings.assertion_certificate.is_some() {
        "certificate"
    } else if lent && settings.grant == GrantKind::ClientCredentials {
        "login_password"
    } else {
        "none"
    }
}

/// Returns the addresses a service listens on.
fn local_address(service: &Service) -> String {
    let addresses: Vec<String> = service
        .local_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    addresses.join(", ")
}

fn local_tls(service: &Service) -> &'static str {
    match service.local_tls {
        LocalTls::None => "none",
        LocalTls::Implicit(_) => "implicit",
        LocalTls::StartTls(_) => "starttls",
    }
}

fn server_tls(server: &Upstream) -> &'static str {
    if server.starttls {
        "starttls"
    } else {
        "implicit"
    }
}

/// Shows a value, if it may be seen.
fn visible<'a>(key: &str, value: &'a str) -> &'a str {
    if keys::is_secret(key) { "***" } else { value }
}

/// Returns an option's effective value.
fn option(config: &Config, key: &str) -> Value {
    let options = &config.options;
    match key {
        "allow_catch_all_accounts" => options.allow_catch_all_accounts.into(),
        "delete_account_token_on_password_error" => {
            options.delete_account_token_on_password_error.into()
        }
        "encrypt_client_secret_on_first_use" => options.encrypt_client_secret_on_first_use.into(),
        "use_login_password_as_client_credentials_secret" => options
            .use_login_password_as_client_credentials_secret
            .into(),
        "ca_file" => options
            .ca_file
            .as_ref()
            .map(|file| file.display().to_string())
            .into(),
        "proxy" => options.proxy.as_ref().map(|_| "***").into(),
        "web" => match options.web.listen {
            Some(at) => at.to_string().into(),
            None => "off".into(),
        },
        "base_url" => options.web.base.as_ref().map(ToString::to_string).into(),
        "web_password" => options.web.password.as_ref().map(|_| "***").into(),
        "metrics_from" => {
            let networks = options.web.metrics_from.iter();
            networks.map(ToString::to_string).collect::<Vec<_>>().into()
        }
        "max_connections" => options.max_connections.into(),
        "max_connections_per_account" => options.max_connections_per_account.into(),
        "early_dial" => options.early_dial.into(),
        "authorisation_timeout" => options.authorisation_timeout.as_secs().into(),
        _ => Value::Null,
    }
}

/// Words the configuration for machines.
fn object(config: &Config, accounts: &[Shown<'_>], single: bool) -> Value {
    let services: Vec<Value> = config
        .services
        .iter()
        .map(|service| {
            json!({
                "section": service.section,
                "protocol": service.protocol.word().to_lowercase(),
                "port": service.port,
                "local_address": local_address(service),
                "local_tls": local_tls(service),
                "server_address": service.server.host,
                "server_port": service.server.port,
                "server_tls": server_tls(&service.server),
            })
        })
        .collect();
    let accounts: Vec<Value> = accounts
        .iter()
        .map(|shown| account(config, shown, single))
        .collect();
    let options: Map<String, Value> = keys::OPTION_KEYS
        .iter()
        .map(|key| ((*key).to_owned(), option(config, key)))
        .collect();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    json!({
        "services": services,
        "accounts": accounts,
        "options": options,
        "warnings": warnings,
    })
}

/// Words an account for machines; a single one with the servers its logins lead to.
fn account(config: &Config, shown: &Shown<'_>, single: bool) -> Value {
    let settings: Map<String, Value> = shown
        .origins
        .iter()
        .map(|(key, found)| ((*key).to_owned(), visible(key, found.value).into()))
        .collect();
    let draft = shown.draft.as_ref();
    let mut account = Map::new();
    let mut put = |key: &str, value: Value| account.insert(key.to_owned(), value);
    put("name", shown.name.clone().into());
    put("grant", draft.map(|draft| draft.grant.as_str()).into());
    put(
        "pkce",
        draft
            .map(|draft| draft.grant == GrantKind::AuthorizationCode && draft.pkce != Some(false))
            .into(),
    );
    put(
        "client_auth",
        draft.map(|draft| client_auth(config, draft)).into(),
    );
    put("settings", settings.into());
    if let Err(error) = &shown.settings {
        put("error", error.to_string().into());
    }
    if let (true, Ok(resolved)) = (single, &shown.settings) {
        let servers: Vec<Value> = config
            .services
            .iter()
            .map(|service| {
                let server = Config::upstream(service, resolved);
                json!({
                    "section": service.section,
                    "server_address": server.host,
                    "server_port": server.port,
                    "server_tls": server_tls(server),
                })
            })
            .collect();
        put("servers", servers.into());
    }
    account.into()
}

/// Words the configuration for people.
fn text(config: &Config, accounts: &[Shown<'_>], single: bool) -> String {
    let mut lines = vec![format!("{}", config.path.display())];
    if !single {
        lines.push("\nservices".into());
        lines.extend(
            config
                .services
                .iter()
                .map(|service| service_line(config, service)),
        );
        lines.push("\noptions".into());
        for key in keys::OPTION_KEYS {
            let value = option(config, key);
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(setting(key, &value, config.origin(OPTIONS_SECTION, key)));
        }
    }
    lines.push("\naccounts".into());
    for shown in accounts {
        lines.extend(account_lines(config, shown, single));
    }
    if !config.warnings.is_empty() {
        lines.push("\nwarnings".into());
        lines.extend(config.warnings.iter().map(|warning| format!("  {warning}")));
    }
    lines.join("\n")
}

fn service_line(config: &Config, service: &Service) -> String {
    let local = match service.local_tls {
        LocalTls::None => "no TLS",
        LocalTls::Implicit(_) => "TLS",
        LocalTls::StartTls(_) => "STARTTLS",
    };
    let place = config.origin(&service.section, "server_address");
    let place = place.map_or_else(String::new, |found| format!(" (line {})", found.line));
    format!(
        "  [{}]{place}: {} port {}, {local} -> {}, {}",
        service.section,
        local_address(service),
        service.port,
        service.server,
        if service.server.starttls {
            "STARTTLS"
        } else {
            "TLS"
        },
    )
}

fn account_lines(config: &Config, shown: &Shown<'_>, single: bool) -> Vec<String> {
    let mut lines = vec![match &shown.settings {
        Ok(settings) => {
            let pkce = match (settings.grant, settings.pkce != Some(false)) {
                (GrantKind::AuthorizationCode, true) => ", PKCE",
                (GrantKind::AuthorizationCode, false) => ", no PKCE",
                _ => "",
            };
            format!(
                "  {}: {} ({}){pkce}, client authentication: {}",
                shown.name,
                settings.grant.as_str(),
                settings.grant_reason,
                client_auth(config, settings),
            )
        }
        Err(error) => format!("  {}: refused, {error}", shown.name),
    }];
    for (key, found) in &shown.origins {
        let value = visible(key, found.value).replace('\n', "\n        ");
        lines.push(format!("  {}", setting(key, &value, Some(*found))));
    }
    if let (true, Ok(settings)) = (single, &shown.settings) {
        for service in &config.services {
            let server = Config::upstream(service, settings);
            lines.push(format!(
                "    by [{}]: {server}, {}",
                service.section,
                server_tls(server)
            ));
        }
    }
    lines
}

/// Words one value and where it is from.
fn setting(key: &str, value: &str, found: Option<Found<'_>>) -> String {
    let place = found.map_or_else(
        || "default".to_owned(),
        |found| format!("[{}] line {}", found.section, found.line),
    );
    format!("  {key} = {value}   ({place})")
}
