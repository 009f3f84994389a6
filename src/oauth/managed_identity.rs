//! Azure managed identity: the machine's own metadata service is asked for a token, over plain HTTP by design.
//!
//! The service answers nobody but this machine, so that no secret is needed; it must never be asked through a proxy.
//! Facts from learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token and
//! learn.microsoft.com/azure/app-service/overview-managed-identity. Knows nothing of mail.

use oauth2::http::{HeaderName, HeaderValue};
use url::Url;

use super::answer::{Asked, straighten};
use super::asking::{Asking, read};
use super::post::Request;
use super::quiet::Quiet;
use super::{Error, Tokens};
use crate::config::AccountSettings;
use crate::said::Said;

/// Where a virtual machine's metadata service is.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Where the service is, and how it wants to be asked.
#[derive(Debug)]
struct Service {
    address: String,
    version: &'static str,
    header: (HeaderName, HeaderValue),
    /// What must not be repeated.
    quiet: Quiet,
}

impl Service {
    /// A virtual machine's service.
    fn machine(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            version: "2018-02-01",
            header: (
                HeaderName::from_static("metadata"),
                HeaderValue::from_static("true"),
            ),
            quiet: Quiet::default(),
        }
    }

    /// The service of App Service and Container Apps, as their two environment variables tell it.
    fn container(address: &str, secret: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::from_str(secret).map_err(|_| {
            Error::Misconfigured("the variable IDENTITY_HEADER fits into no header".to_owned())
        })?;
        value.set_sensitive(true);
        let mut quiet = Quiet::default();
        quiet.learn(secret);
        Ok(Self {
            address: address.to_owned(),
            version: "2019-08-01",
            header: (HeaderName::from_static("x-identity-header"), value),
            quiet,
        })
    }
}

/// Finds the service: what the file says goes before what the surroundings say, and that before the usual place.
fn service(token_url: &str, surroundings: Option<(String, String)>) -> Result<Service, Error> {
    match (token_url, surroundings) {
        ("", Some((address, secret))) => Service::container(&address, &secret),
        ("", None) => Ok(Service::machine(MACHINE)),
        (said, _) => Ok(Service::machine(said)),
    }
}

/// Returns what App Service and Container Apps tell their programs.
fn surroundings() -> Option<(String, String)> {
    let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    said("IDENTITY_ENDPOINT").zip(said("IDENTITY_HEADER"))
}

/// Asks for a token in this machine's name.
pub(super) async fn ask(asking: &Asking<'_>, account: &AccountSettings) -> Result<Tokens, Error> {
    let service = service(&account.token_url, surroundings())?;
    let url = address(&service, account)
        .map_err(|why| Error::Misconfigured(format!("[{}] {why}", account.section)))?;
    let asked = Asked {
        key: asking.key,
        quiet: service.quiet,
        ..Asked::default()
    };
    let request = Request {
        url: &url,
        form: None,
        headers: &[service.header],
        once: asking.once,
        direct: true,
        key: asking.key,
    };
    let answer = asking.send(&request, &asked.quiet).await;
    let answer = answer.map_err(|error| match error {
        Error::Unavailable(why) => Error::Unavailable(Said::new(format!(
            "{why}; managed identities exist on machines in Azure alone"
        ))),
        other => other,
    })?;
    let status = answer.status().as_u16();
    if matches!(status, 404 | 410) {
        // So it answers for about a minute while it is being updated.
        return Err(Error::Unavailable(Said::new(format!(
            "HTTP {status}: the machine's identity service is not ready just now; a later login asks it again"
        ))));
    }
    read(&straighten(&answer, &asked)?)
}

/// Puts the address together.
fn address(service: &Service, account: &AccountSettings) -> Result<Url, String> {
    let mut url = Url::parse(&service.address)
        .map_err(|error| format!("the managed identity's `token_url` is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(
            "the managed identity's `token_url` must begin with http:// or https://".into(),
        );
    }
    let resource = resource(account).ok_or(
        "uses a managed identity, which needs `oauth2_resource`, or an `oauth2_scope` that ends in /.default",
    )?;
    let mut query = url.query_pairs_mut();
    query.append_pair("api-version", service.version);
    query.append_pair("resource", resource);
    if !account.client_id.is_empty() {
        query.append_pair("client_id", &account.client_id);
    }
    drop(query);
    Ok(url)
}

/// Returns what the token is for: the older endpoints know resources where the newer ones know scopes.
fn resource(account: &AccountSettings) -> Option<&str> {
    let mut scopes = account.scope.split_whitespace();
    let from_scope = || scopes.find_map(|scope| scope.strip_suffix("/.default"));
    account.resource.as_deref().or_else(from_scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::account;

    #[test]
    fn the_file_goes_before_the_surroundings() {
        let env = || {
            Some((
                "http://127.0.0.1:41741/msi/token/".to_owned(),
                "853b9a84".to_owned(),
            ))
        };
        let usual = service("", None).unwrap();
        assert_eq!(
            (usual.address.as_str(), usual.version),
            (MACHINE, "2018-02-01")
        );
        let container = service("", env()).unwrap();
        assert_eq!(container.address, "http://127.0.0.1:41741/msi/token/");
        assert_eq!(container.header.0, "x-identity-header");
        assert!(!format!("{container:?}").contains("853b9a84"));
        let said = service("http://10.0.0.7/token", env()).unwrap();
        assert_eq!(said.address, "http://10.0.0.7/token");
        assert_eq!(said.header.0, "metadata");
    }

    #[test]
    fn the_resource_comes_from_the_scope_where_none_is_said() {
        let mut account = account("");
        account.client_id.clear();
        account.scope = "offline_access https://outlook.office365.com/.default".into();
        let usual = service("", None).unwrap();
        assert_eq!(
            address(&usual, &account).unwrap().as_str(),
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https%3A%2F%2Foutlook.office365.com"
        );
        account.resource = Some("https://a.example/".into());
        account.client_id = "me".into();
        let env = Some(("http://localhost:1/t?x=y".to_owned(), "s".to_owned()));
        assert_eq!(
            address(&service("", env).unwrap(), &account)
                .unwrap()
                .as_str(),
            "http://localhost:1/t?x=y&api-version=2019-08-01&resource=https%3A%2F%2Fa.example%2F&client_id=me"
        );
        account.resource = None;
        account.scope = "https://outlook.office.com/SMTP.Send".into();
        assert!(
            address(&usual, &account)
                .unwrap_err()
                .contains("oauth2_resource")
        );
        account.resource = Some("r".into());
        for bad in ["file:///etc/passwd", "nonsense"] {
            assert!(address(&Service::machine(bad), &account).is_err(), "{bad}");
        }
    }
}
