//! What a login uses: the account sections and their inheritance.
//!
//! A value is looked for in `[user]`, then in `[@domain]`, then in `[@]`; behind each of these that exists stands
//! `[DEFAULT]`. The last two count only with `allow_catch_all_accounts`. User names match section names exactly, in
//! this case. An empty value ends the search and counts as absent.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::ini::{Found, Ini, whole_number};
use super::{
    AccountError, AccountSettings, AssertionAlgorithm, Cached, Certificate, Config, GrantKind,
    Upstream, keys, value,
};
use crate::secret::Secret;

/// The sections a user's values are looked for in, in that order.
#[derive(Clone, Debug)]
pub(super) struct Chain<'a> {
    ini: &'a Ini,
    sections: Vec<&'a str>,
}

impl<'a> Chain<'a> {
    /// Finds the sections of a user, or nothing where none fits.
    pub(super) fn of(ini: &'a Ini, user: &str, catch_all: bool) -> Option<Self> {
        if user.is_empty() || user.starts_with('@') {
            return None;
        }
        let mut names = Vec::new();
        // Services and options are sections too, but nobody's account.
        if user.contains('@') {
            names.push(user.to_owned());
        }
        if catch_all {
            if let Some((_, domain)) = user.rsplit_once('@') {
                names.push(format!("@{domain}"));
            }
            names.push("@".to_owned());
        }
        let sections: Vec<&str> = names
            .iter()
            .filter_map(|name| ini.section(name))
            .map(|section| section.name.as_str())
            .collect();
        (!sections.is_empty()).then_some(Self { ini, sections })
    }

    /// Returns the section that makes the account valid.
    pub(super) fn section(&self) -> &'a str {
        self.sections.first().copied().unwrap_or_default()
    }

    /// Finds a value and where it came from. An empty value is none.
    pub(super) fn find(&self, key: &str) -> Option<Found<'a>> {
        let ini = self.ini;
        let mut found = self.sections.iter().filter_map(|name| ini.value(name, key));
        found.next().filter(|found| !found.value.is_empty())
    }

    /// Finds a value that no other section may lend.
    pub(super) fn find_own(&self, key: &str) -> Option<Found<'a>> {
        // A user name never begins with an @, a catch-all section always does.
        let own = Some(self.section()).filter(|section| !section.starts_with('@'))?;
        self.ini
            .own(own, key)
            .filter(|found| !found.value.is_empty())
    }

    /// Finds a value under a key or under the key's other spelling.
    fn find_either(&self, key: &str, other: &str) -> Option<Found<'a>> {
        self.find(key).or_else(|| self.find(other))
    }

    /// Lists every value a login uses, with where it came from.
    pub(super) fn settings(&self) -> Vec<(&'static str, Found<'a>)> {
        let own = [
            "access_token",
            "access_token_expiry",
            "refresh_token",
            "last_activity",
        ];
        keys::of(keys::Kind::Account)
            .filter_map(|key| {
                let found = match key {
                    "redirect_listen_address" => self.find_either(key, "redirect_list_address"),
                    _ if own.contains(&key) => self.find_own(key),
                    _ => self.find(key),
                };
                Some((key, found?))
            })
            .collect()
    }

    /// Says that something is missing or wrong, with section and line.
    fn incomplete(&self, what: &str) -> AccountError {
        let section = self.section();
        let line = self.ini.section(section).map_or(0, |section| section.line);
        AccountError::Incomplete(format!("the section [{section}] (line {line}) {what}"))
    }

    /// Chooses the grant, and says why.
    pub(super) fn grant(&self) -> Result<(GrantKind, &'static str), AccountError> {
        let asked = self.find("permission_url").is_some();
        let flow = self.find("oauth2_flow").map(|found| found.value);
        let known = [
            GrantKind::AuthorizationCode,
            GrantKind::ClientCredentials,
            GrantKind::Device,
            GrantKind::Password,
            GrantKind::ServiceAccount,
            GrantKind::ManagedIdentity,
        ];
        let meant = flow.map(|flow| known.into_iter().find(|kind| kind.as_str() == flow));
        match (asked, meant) {
            (true, Some(Some(GrantKind::Device))) => {
                Ok((GrantKind::Device, "oauth2_flow says so"))
            }
            (true, None | Some(Some(GrantKind::AuthorizationCode))) => {
                Ok((GrantKind::AuthorizationCode, "permission_url is set"))
            }
            (true, Some(_)) => Ok((
                GrantKind::AuthorizationCode,
                "permission_url is set, which outweighs oauth2_flow",
            )),
            (false, None | Some(Some(GrantKind::AuthorizationCode))) if self.find("issuer").is_some() => {
                Ok((GrantKind::AuthorizationCode, "issuer is set"))
            }
            (false, Some(Some(GrantKind::Device))) if self.find("issuer").is_some() => {
                Ok((GrantKind::Device, "oauth2_flow says so"))
            }
            (false, Some(Some(GrantKind::Device))) => Err(self.incomplete(
                "has oauth2_flow = device but neither permission_url, where the device code is asked for, nor an issuer, \
                 where that is found",
            )),
            (false, Some(Some(GrantKind::AuthorizationCode))) => Err(self.incomplete(
                "has oauth2_flow = authorization_code but neither permission_url nor an issuer, where that is found",
            )),
            (false, Some(Some(kind))) => Ok((kind, "oauth2_flow says so")),
            (false, Some(None)) => {
                let names = known.map(GrantKind::as_str);
                let near = keys::nearest(flow.unwrap_or_default(), names);
                let near = near.map_or_else(|| names.join(", "), ToString::to_string);
                Err(self.incomplete(&format!(
                    "has no permission_url and an oauth2_flow that is not known; did you mean {near}?"
                )))
            }
            (false, None) => {
                Err(self.incomplete("has neither permission_url nor oauth2_flow; one of them must say how to get a token"))
            }
        }
    }

    /// Lists the keys without which nothing goes and that still hold a sample file's placeholder.
    fn placeholders(&self) -> Vec<&'static str> {
        let needed = ["permission_url", "token_url", "client_id", "issuer"].into_iter();
        let unfilled = |key: &&str| {
            self.find(key)
                .is_some_and(|found| value::is_placeholder(found.value))
        };
        needed.filter(unfilled).collect()
    }

    /// Checks that what no grant can do without is there.
    pub(super) fn check(&self) -> Result<(), AccountError> {
        let has = |key| self.find(key).is_some();
        let password = self
            .find("oauth2_flow")
            .is_some_and(|f| f.value == "password");
        let grant = self.grant().ok().map(|(grant, _)| grant);
        let machine = grant == Some(GrantKind::ManagedIdentity);
        // The key of a service account names its token endpoint.
        let service = grant == Some(GrantKind::ServiceAccount);
        let scope = has("oauth2_scope") || ((password || machine) && has("oauth2_resource"));
        let missing: Vec<&str> = [
            (
                "token_url",
                has("token_url") || has("issuer") || machine || service,
            ),
            ("client_id", has("client_id") || machine),
            ("oauth2_scope", scope),
        ]
        .into_iter()
        .filter_map(|(key, there)| (!there).then_some(key))
        .collect();
        if !missing.is_empty() {
            return Err(self.incomplete(&format!("has no value for {}", missing.join(", "))));
        }
        self.grant()?;
        let unfilled = self.placeholders();
        if !unfilled.is_empty() {
            let keys = unfilled.join(", ");
            return Err(self.incomplete(&format!("still holds a placeholder for {keys}")));
        }
        for key in ["permission_url", "token_url"] {
            let check = if machine {
                value::web_address
            } else {
                value::endpoint
            };
            if let Some(Err(fault)) = self.find(key).map(|found| check(found.value)) {
                return Err(self.incomplete(&format!("cannot work: {key}: {fault}")));
            }
        }
        let id = self.find("client_id").map(|found| found.value);
        if service && !matches!(id, Some("file" | "key")) {
            return Err(self.incomplete(
                "cannot work: client_id: with oauth2_flow = service_account it is `file` (client_secret names the JSON \
                 key file) or `key` (client_secret is the key's text)",
            ));
        }
        Ok(())
    }

    /// Finds the file with a service account's key, where the account names one.
    pub(super) fn key_file(&self, grant: GrantKind, config: &Path) -> Option<PathBuf> {
        let named = self.find("client_id").is_some_and(|id| id.value == "file");
        let secret = self.find("client_secret")?;
        (grant == GrantKind::ServiceAccount && named).then(|| value::file(secret.value, config))
    }

    /// Brings together what a login as `user` uses. `config` is the configuration file.
    pub(super) fn resolve(
        &self,
        user: &str,
        config: &Path,
    ) -> Result<AccountSettings, AccountError> {
        self.check()?;
        self.draft(user, config)
    }

    /// Brings together what is there, whether or not it suffices; only the grant must be clear.
    pub(super) fn draft(&self, user: &str, config: &Path) -> Result<AccountSettings, AccountError> {
        let (grant, grant_reason) = self.grant()?;
        let text = |key| self.find(key).map(|found| found.value.to_owned());
        let own = |key| self.find_own(key).map(|found| found.value.to_owned());
        let number = |found: Option<Found<'_>>| found.and_then(|found| whole_number(found.value));
        let upstream = |key| -> Option<Upstream> { value::upstream(self.find(key)?.value).ok() };
        let certificate = self
            .find("jwt_certificate_path")
            .zip(self.find("jwt_key_path"));
        let assertion_file = self.find("client_assertion_file");
        // An assertion is the stronger proof, and nobody names one without meaning it: no secret counts beside it, and
        // none has to be opened.
        let asserted = match grant {
            GrantKind::ServiceAccount => false,
            // Nothing proves a machine but that it is the one that asks.
            GrantKind::ManagedIdentity => true,
            _ => assertion_file.is_some() || certificate.is_some(),
        };
        let client_secret = self.find("client_secret").filter(|_| !asserted);
        let client_secret = client_secret.map(|found| match self.key_file(grant, config) {
            Some(file) => Secret::new(file.display().to_string()),
            None => Secret::from(found.value),
        });
        // Where both are there the plain secret counts, as it did for the predecessor: then the other is nothing that
        // a password has to open.
        let sealed_secret =
            text("client_secret_encrypted").filter(|_| client_secret.is_none() && !asserted);
        let pkce = self.find("use_pkce");
        let pkce = pkce.and_then(|found| self.ini.flag(found, "use_pkce"));
        Ok(AccountSettings {
            name: user.to_owned(),
            section: self.section().to_owned(),
            grant,
            grant_reason,
            permission_url: text("permission_url"),
            token_url: text("token_url").unwrap_or_default(),
            scope: text("oauth2_scope").unwrap_or_default(),
            resource: text("oauth2_resource"),
            redirect_uri: text("redirect_uri"),
            redirect_listen_address: self
                .find_either("redirect_listen_address", "redirect_list_address")
                .map(|found| found.value.to_owned()),
            client_id: text("client_id").unwrap_or_default(),
            client_secret,
            assertion_algorithm: match self.find("jwt_algorithm") {
                Some(found) if found.value.eq_ignore_ascii_case("RS256") => {
                    AssertionAlgorithm::Rs256
                }
                _ => AssertionAlgorithm::Ps256,
            },
            assertion_file: assertion_file.map(|found| value::file(found.value, config)),
            issuer: text("issuer"),
            sign_in_as: text("sign_in_as"),
            allow_from: self
                .find("allow_from")
                .and_then(|found| value::networks(found.value).ok())
                .unwrap_or_default(),
            imap_user: text("imap_user"),
            pop_user: text("pop_user"),
            smtp_user: text("smtp_user"),
            assertion_certificate: certificate.map(|(certificate, key)| Certificate {
                certificate: value::file(certificate.value, config),
                key: value::file(key.value, config),
            }),
            pkce,
            imap_server: upstream("imap_server"),
            pop_server: upstream("pop_server"),
            smtp_server: upstream("smtp_server"),
            cached: Cached {
                token_salt: text("token_salt"),
                token_iterations: number(self.find("token_iterations"))
                    .and_then(|rounds| u32::try_from(rounds).ok()),
                access_token: own("access_token"),
                access_token_expiry: number(self.find_own("access_token_expiry")),
                refresh_token: own("refresh_token"),
                client_secret_encrypted: sealed_secret,
            },
        })
    }
}

impl Config {
    /// Returns whether a user name is an account's, or at least an address in a domain where there are accounts.
    pub fn may_be_account(&self, user: &str) -> bool {
        let Some(wanted) = domain(user).filter(|domain| !domain.is_empty()) else {
            return false;
        };
        let anybody = self.options.allow_catch_all_accounts && wanted.contains('.');
        self.domains.contains(&wanted) || (anybody && self.domains.contains(""))
    }
}

/// Lists the domains of the account sections, in lower case.
pub(super) fn domains(ini: &Ini) -> HashSet<String> {
    let names = ini.sections().iter().map(|section| &section.name);
    names.filter_map(|name| domain(name)).collect()
}

/// Returns what stands behind a name's last `@`, in lower case.
fn domain(name: &str) -> Option<String> {
    let (_, domain) = name.rsplit_once('@')?;
    Some(domain.to_ascii_lowercase())
}
