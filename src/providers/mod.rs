//! What is known about mail providers: hosts, endpoints, scopes and habits, as data.
//!
//! Knows no accounts and asks nobody. There are no client ids here: who runs the proxy registers their own application.

pub mod catalogue;
mod microsoft;
mod others;

use std::time::Duration;

/// A mail server of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its host name.
    pub host: &'static str,
    /// Its port.
    pub port: u16,
    /// Whether TLS begins by STARTTLS rather than with the first byte.
    pub starttls: bool,
}

impl Server {
    /// A server that speaks TLS from the first byte.
    const fn implicit(host: &'static str, port: u16) -> Self {
        Self {
            host,
            port,
            starttls: false,
        }
    }

    /// A server where TLS begins by STARTTLS.
    const fn starttls(host: &'static str, port: u16) -> Self {
        Self {
            host,
            port,
            starttls: true,
        }
    }
}

/// Which redirect addresses a provider accepts for an application of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Loopback addresses; the port is not compared (RFC 8252 section 7.3).
    LoopbackAnyPort,
    /// Loopback addresses, exactly as registered.
    Loopback,
    /// Only `https://` addresses, exactly as registered.
    HttpsOnly,
}

/// One provider. Endpoints may hold `{tenant}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Other names it is known by.
    pub aliases: &'static [&'static str],
    /// The hosts its endpoints live on.
    pub endpoint_hosts: &'static [&'static str],
    /// The authorization endpoint.
    pub authorize: &'static str,
    /// The token endpoint.
    pub token: &'static str,
    /// The issuer (`OpenID` Connect Discovery, RFC 8414), where the provider is known to publish what it can do.
    pub issuer: Option<&'static str>,
    /// The device authorization endpoint, where mail scopes may be asked for there.
    pub device: Option<&'static str>,
    /// What stands for `{tenant}` where nobody names one.
    pub tenant: Option<&'static str>,
    /// Its IMAP server.
    pub imap: Option<Server>,
    /// Its POP server.
    pub pop: Option<Server>,
    /// Its submission server.
    pub smtp: Option<Server>,
    /// More names of its mail servers, where the same tokens and habits hold.
    pub other_servers: &'static [&'static str],
    /// The scope that opens IMAP.
    pub scope_imap: &'static str,
    /// The scope that opens POP; empty where OAuth2 does not open POP.
    pub scope_pop: &'static str,
    /// The scope that opens submission.
    pub scope_smtp: &'static str,
    /// The scope for client credentials, where the provider has that grant for mail.
    pub scope_app_only: Option<&'static str>,
    /// Whether `offline_access` must be among the scopes for a refresh token to come.
    pub wants_offline_access: bool,
    /// Parameters the authorization address needs beyond the standard ones.
    pub extra_authorize_params: &'static [(&'static str, &'static str)],
    /// Whether PKCE is understood.
    pub pkce: bool,
    /// Whether an application needs a secret even for authorization code.
    pub needs_secret: bool,
    /// Which redirect addresses it accepts.
    pub redirect: Redirect,
    /// After how many days a refresh token dies that nobody has used, where that is known.
    pub idle_days: Option<u32>,
    /// How long before their end access tokens must be renewed because the servers refuse them earlier than they say.
    pub least_margin: Option<Duration>,
    /// Whether submission wants the name of whoever signed in, even for mail of a mailbox shared with them.
    pub smtp_wants_signed_in_user: bool,
    /// What to know when registering an application there, in one line.
    pub registration: &'static str,
}

impl Provider {
    /// What every entry begins with.
    const PLAIN: Self = Self {
        name: "",
        title: "",
        aliases: &[],
        endpoint_hosts: &[],
        authorize: "",
        token: "",
        issuer: None,
        device: None,
        tenant: None,
        imap: None,
        pop: None,
        smtp: None,
        other_servers: &[],
        scope_imap: "",
        scope_pop: "",
        scope_smtp: "",
        scope_app_only: None,
        wants_offline_access: false,
        extra_authorize_params: &[],
        pkce: true,
        needs_secret: false,
        redirect: Redirect::Loopback,
        idle_days: None,
        least_margin: None,
        smtp_wants_signed_in_user: false,
        registration: "",
    };

    /// Returns the scopes that open the wanted protocols, space separated, each once, with `offline_access` where the
    /// provider gives no refresh token without it.
    pub fn scope(&self, imap: bool, pop: bool, smtp: bool) -> String {
        let wanted = [
            imap.then_some(self.scope_imap),
            pop.then_some(self.scope_pop),
            smtp.then_some(self.scope_smtp),
            self.wants_offline_access.then_some("offline_access"),
        ];
        let mut scopes: Vec<&str> = Vec::new();
        for word in wanted.into_iter().flatten().flat_map(str::split_whitespace) {
            if !scopes.contains(&word) {
                scopes.push(word);
            }
        }
        scopes.join(" ")
    }

    /// Fills `{tenant}` into one of the endpoints. Endpoints without it are returned as they are.
    pub fn at_tenant(&self, endpoint: &str, tenant: Option<&str>) -> String {
        endpoint.replace("{tenant}", tenant.or(self.tenant).unwrap_or_default())
    }
}

/// Returns all providers.
pub fn all() -> impl Iterator<Item = &'static Provider> {
    microsoft::PROVIDERS.iter().chain(others::PROVIDERS)
}

/// Returns the provider of that name or alias, in any case.
pub fn named(name: &str) -> Option<&'static Provider> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    all().find(|provider| is(provider.name) || provider.aliases.iter().any(|alias| is(alias)))
}

/// Returns the provider whose endpoint this address is. Where several share a host, the first in the table: they have
/// the same habits.
pub fn by_endpoint(url: &str) -> Option<&'static Provider> {
    let url = url::Url::parse(url.trim()).ok()?;
    let host = url.host_str()?;
    all().find(|provider| {
        let mut hosts = provider.endpoint_hosts.iter();
        hosts.any(|known| known.eq_ignore_ascii_case(host))
    })
}

/// Returns the provider whose mail server this host is.
pub fn by_server(host: &str) -> Option<&'static Provider> {
    all().find(|provider| {
        let servers = [provider.imap, provider.pop, provider.smtp];
        let servers = servers.iter().flatten().map(|server| server.host);
        let mut names = servers.chain(provider.other_servers.iter().copied());
        names.any(|name| name.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_found_by_name_alias_endpoint_and_server() {
        assert_eq!(named("Gmail").unwrap().name, "gmail");
        assert_eq!(named("google").unwrap().name, "gmail");
        assert_eq!(named("office365").unwrap().name, "microsoft365");
        assert!(named("nobody").is_none());

        let entra =
            by_endpoint("https://login.microsoftonline.com/common/oauth2/v2.0/authorize").unwrap();
        assert!(entra.wants_offline_access);
        let google = by_endpoint("https://accounts.google.com/o/oauth2/auth").unwrap();
        assert_eq!(
            google.extra_authorize_params,
            [("access_type", "offline"), ("prompt", "consent")]
        );
        assert!(by_endpoint("https://oauth2.googleapis.com/token").is_some());
        assert!(by_endpoint("https://login.microsoftonline.com.example/x").is_none());
        assert!(by_endpoint("not an address").is_none());
        assert_eq!(by_server("SMTP.gmail.com").unwrap().name, "gmail");
        assert_eq!(by_server("imap.yandex.ru").unwrap().name, "yandex");
        assert!(by_server("mail.example.org").is_none());
    }

    #[test]
    fn habits_are_found_by_endpoint_and_server() {
        let entra = by_endpoint("https://login.partner.microsoftonline.cn/x/oauth2/token").unwrap();
        assert_eq!(entra.idle_days, Some(90));
        let google = by_endpoint("https://oauth2.googleapis.com/token").unwrap();
        assert_eq!(google.idle_days, Some(180));
        for (host, signed_in, minutes) in [
            ("smtp.office365.com", true, None),
            ("outlook.office365.us", true, None),
            ("smtp.hve.mx.microsoft", true, Some(20)),
            ("smtp-hve.office365.com", true, Some(20)),
            ("smtp.gmail.com", false, None),
        ] {
            let provider = by_server(host).unwrap();
            assert_eq!(provider.smtp_wants_signed_in_user, signed_in, "{host}");
            let margin = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            assert_eq!(provider.least_margin, margin, "{host}");
        }
    }

    #[test]
    fn scopes_are_asked_for_once_and_only_for_what_is_used() {
        let entra = named("microsoft365").unwrap();
        assert_eq!(
            entra.scope(true, false, true),
            "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access"
        );
        assert_eq!(
            named("gmail").unwrap().scope(true, true, true),
            "https://mail.google.com/"
        );
    }

    #[test]
    fn every_entry_is_complete_and_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for provider in all() {
            let name = provider.name;
            names.push(name);
            names.extend(provider.aliases);
            for endpoint in [provider.authorize, provider.token]
                .into_iter()
                .chain(provider.device)
                .chain(provider.issuer)
            {
                let filled = provider.at_tenant(endpoint, None);
                let url = url::Url::parse(&filled).unwrap();
                assert_eq!(url.scheme(), "https", "{name}");
                assert!(!filled.contains(['{', '}']), "{name}: {filled}");
                assert!(
                    provider.endpoint_hosts.contains(&url.host_str().unwrap()),
                    "{name}: {filled}"
                );
            }
            for endpoint in [provider.authorize, provider.token]
                .into_iter()
                .chain(provider.issuer)
            {
                assert_eq!(
                    endpoint.contains("{tenant}"),
                    provider.tenant.is_some(),
                    "{name}: {endpoint}"
                );
            }
            assert!(!provider.title.is_empty(), "{name}");
            assert!(!provider.registration.is_empty(), "{name}");
            assert!(!provider.scope(true, true, true).is_empty(), "{name}");
            for (server, scope) in [
                (provider.imap, provider.scope_imap),
                (provider.smtp, provider.scope_smtp),
            ] {
                assert_eq!(server.is_some(), !scope.is_empty(), "{name}");
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is used twice");
    }
}
