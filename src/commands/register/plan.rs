//! What is to stand in the file: flags, trimmed and proven, with the provider's facts filled in.
//!
//! Pure: knows neither files nor terminals. What makes no sense is refused with a reason.

use super::RegisterArgs;
use super::credentials::Credentials;
use super::servers::{Planned, services};
use crate::config::{GrantKind, Protocol, keys, value};
use crate::providers::{self, Provider, Redirect};
use crate::said::Said;
use crate::secret::Secret;

/// The redirect URI of a fresh registration.
const REDIRECT: &str = "http://localhost:8825";

/// The same where a provider accepts nothing but https: the final address is then pasted.
const REDIRECT_HTTPS: &str = "https://localhost:8825";

/// What is to stand in the file.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The services.
    pub(super) services: Vec<Planned>,
    /// The local address new services listen on, where one was named.
    pub(super) local_address: Option<String>,
    /// The account's section: a mail address, `@domain` or `@`.
    pub(super) account: String,
    /// The grant that will be used.
    pub(super) grant: GrantKind,
    /// The account's keys without the secret, in the order to write them.
    pub(super) keys: Vec<(&'static str, String)>,
    /// The application's secret.
    pub(super) secret: Option<Secret<String>>,
    /// The redirect URI, for authorization code, and whether it was named rather than filled in.
    pub(super) redirect_uri: Option<(String, bool)>,
    /// The provider, where it is known.
    pub(super) provider: Option<&'static Provider>,
    /// What the person should know though it is no reason to refuse.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// Returns whether the account stands for more than one mailbox.
    pub(super) fn is_catch_all(&self) -> bool {
        self.account.starts_with('@')
    }

    /// Proves the flags.
    pub(super) fn of(args: &RegisterArgs, secret: Option<Secret<String>>) -> Result<Self, String> {
        let mut notes = Vec::new();
        let account = account(args)?;
        let (provider, named) = provider(args)?;
        let services = services(args, provider.filter(|_| named))?;
        let tenant = tenant(args, provider)?;

        let permission = text(
            args.oauth2_permission_url.as_ref(),
            "--oauth2-permission-url",
        )?;
        let flow = flow(args, permission.is_some() || provider.is_some())?;
        let filled = |endpoint: &str| provider.map(|p| p.at_tenant(endpoint, tenant.as_deref()));
        let permission_url = permission.clone().or_else(|| match flow {
            GrantKind::AuthorizationCode => filled(provider?.authorize),
            GrantKind::Device => filled(provider?.device?),
            _ => None,
        });
        let token_url = text(args.oauth2_token_url.as_ref(), "--oauth2-token-url")?;
        let token_is_said = token_url.is_some();
        // A machine's identity is asked for where it says itself; a service account's key names its endpoint.
        let token_url = token_url.or_else(|| match flow {
            GrantKind::ManagedIdentity => None,
            _ => filled(provider?.token),
        });
        let alone = matches!(flow, GrantKind::ManagedIdentity | GrantKind::ServiceAccount);
        if token_url.is_none() && !alone {
            return Err(
                "--oauth2-token-url (or --provider) must say where tokens are fetched".into(),
            );
        }
        let grant = match (&permission_url, flow) {
            (Some(_), GrantKind::Device) => GrantKind::Device,
            (Some(_), _) => GrantKind::AuthorizationCode,
            (None, GrantKind::AuthorizationCode | GrantKind::Device) => {
                return Err(format!(
                    "--oauth2-permission-url (or --provider) must say where consent is asked for; the flow {} needs it",
                    flow.as_str()
                ));
            }
            (None, flow) => flow,
        };
        if grant != flow {
            notes.push(format!(
                "a permission URL is given, so that authorization_code is used and not {}; leave \
                 --oauth2-permission-url out if that is not meant",
                flow.as_str()
            ));
        }
        for (flag, url) in [
            ("--oauth2-permission-url", permission_url.as_deref()),
            ("--oauth2-token-url", token_url.as_deref()),
        ] {
            let check = match grant {
                GrantKind::ManagedIdentity => value::web_address,
                _ => value::endpoint,
            };
            url.map_or(Ok(()), check)
                .map_err(|fault| format!("{flag}: {fault}"))?;
        }
        if grant == GrantKind::ClientCredentials
            && tenant.is_none()
            && !token_is_said
            && provider.is_some_and(|p| p.tenant.is_some())
        {
            return Err("client credentials need a tenant of their own: add --tenant".into());
        }

        let resource = text(args.oauth2_resource.as_ref(), "--oauth2-resource")?;
        let scope = text(args.oauth2_scope.as_ref(), "--oauth2-scope")?
            .map(|scope| scope.split_whitespace().collect::<Vec<_>>().join(" "))
            .or_else(|| usual_scope(provider.filter(|_| resource.is_none())?, grant, &services));
        let stands_in = matches!(grant, GrantKind::Password | GrantKind::ManagedIdentity);
        if scope.is_none() && !(stands_in && resource.is_some()) {
            return Err("--oauth2-scope must say what the token is for".into());
        }
        let credentials = Credentials::of(args, grant)?;
        if grant == GrantKind::AuthorizationCode
            && secret.is_none()
            && credentials.keys.is_empty()
            && provider.is_some_and(|p| p.needs_secret)
        {
            notes.push(
                "this provider wants a client secret as well; add --oauth2-client-secret-file"
                    .into(),
            );
        }

        let redirect_uri = redirect_uri(args, provider, grant)?;
        let mut keys = Vec::new();
        keys.extend(permission_url.map(|url| ("permission_url", url)));
        keys.extend(token_url.map(|url| ("token_url", url)));
        keys.extend(scope.map(|scope| ("oauth2_scope", scope)));
        keys.extend(resource.map(|resource| ("oauth2_resource", resource)));
        keys.push(("oauth2_flow", flow.as_str().to_owned()));
        keys.extend(credentials.client_id.map(|id| ("client_id", id)));
        keys.extend(credentials.keys);
        keys.extend(listen_address(args)?.map(|address| ("redirect_listen_address", address)));
        if grant == GrantKind::AuthorizationCode && provider.is_some_and(|p| !p.pkce) {
            keys.push(("use_pkce", "False".to_owned()));
        }
        Ok(Self {
            services,
            local_address: local_address(args)?,
            account,
            grant,
            keys,
            secret: secret.or(credentials.key_file),
            redirect_uri,
            provider,
            notes,
        })
    }
}

/// Trims a flag's value; a blank one is none. Control characters are refused.
pub(super) fn text(given: Option<&String>, flag: &str) -> Result<Option<String>, String> {
    let Some(trimmed) = given
        .map(|given| given.trim())
        .filter(|given| !given.is_empty())
    else {
        return Ok(None);
    };
    if trimmed.contains(char::is_control) {
        return Err(format!(
            "{flag}: the value has control characters or line ends in it"
        ));
    }
    Ok(Some(trimmed.to_owned()))
}

/// Returns the account's section.
fn account(args: &RegisterArgs) -> Result<String, String> {
    let Some(account) = text(args.account.as_ref(), "--account")? else {
        return Ok("@".to_owned());
    };
    let fit = |c: char| !c.is_whitespace() && !matches!(c, '[' | ']');
    if !account.contains('@') || !account.chars().all(fit) || account.len() > 320 {
        return Err(format!(
            "--account: `{}` is neither a mail address nor @domain",
            Said::from(account.as_str()).short()
        ));
    }
    Ok(account)
}

/// Finds the provider, and whether it was named rather than recognised by its endpoints.
fn provider(args: &RegisterArgs) -> Result<(Option<&'static Provider>, bool), String> {
    if let Some(name) = text(args.provider.as_ref(), "--provider")? {
        if let Some(provider) = providers::named(&name) {
            return Ok((Some(provider), true));
        }
        let names: Vec<&str> = providers::all().map(|provider| provider.name).collect();
        let near = keys::nearest(&name, names.iter().copied());
        return Err(match near {
            Some(near) => {
                format!("--provider: nothing is known by this name; did you mean {near}?")
            }
            None => format!(
                "--provider: nothing is known by this name; known are {}",
                names.join(", ")
            ),
        });
    }
    let urls = [&args.oauth2_token_url, &args.oauth2_permission_url];
    let hosts = [
        &args.imap_server_address,
        &args.pop_server_address,
        &args.smtp_server_address,
    ];
    let by_url = urls
        .iter()
        .find_map(|url| providers::by_endpoint(url.as_ref()?));
    let by_host = || {
        hosts
            .iter()
            .find_map(|host| providers::by_server(host.as_ref()?.trim()))
    };
    // An endpoint of somebody unknown must not be paired with a known server's facts.
    let unknown = urls.iter().any(|url| url.is_some());
    Ok((
        by_url.or_else(|| if unknown { None } else { by_host() }),
        false,
    ))
}

/// Reads the tenant.
fn tenant(args: &RegisterArgs, provider: Option<&Provider>) -> Result<Option<String>, String> {
    let Some(tenant) = text(args.tenant.as_ref(), "--tenant")? else {
        return Ok(None);
    };
    if provider.is_none_or(|provider| provider.tenant.is_none()) {
        return Err("--tenant means something only with one of Microsoft's providers; add --provider microsoft365".into());
    }
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !tenant.chars().all(fit) {
        return Err("--tenant must be an id or a domain".into());
    }
    Ok(Some(tenant))
}

/// Reads the flow; where none is named, authorization code if consent can be asked for.
fn flow(args: &RegisterArgs, consent_possible: bool) -> Result<GrantKind, String> {
    let known = [
        GrantKind::AuthorizationCode,
        GrantKind::ClientCredentials,
        GrantKind::Device,
        GrantKind::Password,
        GrantKind::ServiceAccount,
        GrantKind::ManagedIdentity,
    ];
    let Some(flow) = text(args.oauth2_flow.as_ref(), "--oauth2-flow")? else {
        return if consent_possible {
            Ok(GrantKind::AuthorizationCode)
        } else {
            Err("--oauth2-permission-url or --oauth2-flow must say how tokens are got".into())
        };
    };
    let found = known.into_iter().find(|kind| kind.as_str() == flow);
    found.ok_or_else(|| {
        let names = known.map(GrantKind::as_str);
        format!("--oauth2-flow must be one of {}", names.join(", "))
    })
}

/// Returns the scopes a provider usually wants.
fn usual_scope(provider: &Provider, grant: GrantKind, services: &[Planned]) -> Option<String> {
    if matches!(
        grant,
        GrantKind::ClientCredentials | GrantKind::ManagedIdentity
    ) {
        return provider.scope_app_only.map(str::to_owned);
    }
    let uses = |protocol| services.iter().any(|service| service.protocol == protocol);
    let scope = provider.scope(
        uses(Protocol::Imap),
        uses(Protocol::Pop),
        uses(Protocol::Smtp),
    );
    (!scope.is_empty()).then_some(scope)
}

/// Reads the local address.
fn local_address(args: &RegisterArgs) -> Result<Option<String>, String> {
    let Some(address) = text(args.local_address.as_ref(), "--local-address")? else {
        return Ok(None);
    };
    value::local_addresses(&address).map_err(|fault| format!("--local-address: {fault}"))?;
    Ok(Some(address))
}

/// Reads or fills in the redirect URI.
fn redirect_uri(
    args: &RegisterArgs,
    provider: Option<&Provider>,
    grant: GrantKind,
) -> Result<Option<(String, bool)>, String> {
    let said = text(args.redirect_uri.as_ref(), "--redirect-uri")?;
    let Some(said) = said else {
        let https = provider.is_some_and(|provider| provider.redirect == Redirect::HttpsOnly);
        let usual = if https { REDIRECT_HTTPS } else { REDIRECT };
        let wanted = grant == GrantKind::AuthorizationCode;
        return Ok(wanted.then(|| (usual.to_owned(), false)));
    };
    let url = web_address(&said).map_err(|fault| format!("--redirect-uri {fault}"))?;
    if url.fragment().is_some() {
        return Err("--redirect-uri must have no # in it".into());
    }
    Ok(Some((said, true)))
}

/// Reads where the browser's return is heard.
fn listen_address(args: &RegisterArgs) -> Result<Option<String>, String> {
    let flag = "--redirect-listen-address";
    let Some(said) = text(args.redirect_listen_address.as_ref(), flag)? else {
        return Ok(None);
    };
    let address = if said.contains("://") {
        said
    } else {
        format!("http://{said}")
    };
    let url = web_address(&address).map_err(|fault| format!("{flag} {fault}"))?;
    if url.scheme() == "http" {
        Ok(Some(address))
    } else {
        Err(format!(
            "{flag} must begin with http://; TLS is the reverse proxy's part"
        ))
    }
}

/// Reads an address with a host.
fn web_address(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| format!("is no web address ({error})"))?;
    if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() {
        Ok(url)
    } else {
        Err("must begin with http:// or https://".into())
    }
}
