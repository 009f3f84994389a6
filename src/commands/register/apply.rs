//! A plan becomes changes to a file's text. What the file says otherwise is left alone unless forced.
//!
//! Pure: knows no files. Comments, order and everything the plan does not name stay.

use super::plan::Plan;
use super::servers::{Planned, switch};
use crate::config::edit::Sheet;
use crate::config::ini::DEFAULT;
use crate::config::keys::{self, OPTIONS_SECTION};
use crate::config::{GrantKind, Protocol};

/// Keys of an account that contradict a plan that does not set them.
const STALE_WITHOUT_CONSENT: [&str; 4] = [
    "permission_url",
    "redirect_uri",
    "redirect_listen_address",
    "redirect_list_address",
];

/// What proves an application in a secret's place.
const ASSERTIONS: [&str; 3] = [
    "client_assertion_file",
    "jwt_certificate_path",
    "jwt_key_path",
];

/// What proves an application by a secret.
const SECRETS: [&str; 2] = ["client_secret", "client_secret_encrypted"];

/// What is being written, and what stands in the way.
struct Work<'a> {
    sheet: Sheet,
    plan: &'a Plan,
    force: bool,
    contradictions: Vec<String>,
}

/// Returns the file's new text, or why it must not be written.
pub(super) fn apply(old: &str, plan: &Plan, force: bool) -> Result<String, String> {
    let sheet = Sheet::new(old.to_owned()).map_err(|faults| {
        let told: Vec<String> = faults
            .iter()
            .map(|fault| format!("line {}: {}", fault.line, fault.text))
            .collect();
        format!(
            "the file is broken and must be mended first: {}",
            told.join("; ")
        )
    })?;
    let mut work = Work {
        sheet,
        plan,
        force,
        contradictions: Vec::new(),
    };
    for service in &plan.services {
        work.service(service)?;
    }
    work.account()?;
    if plan.is_catch_all() {
        work.put(OPTIONS_SECTION, "allow_catch_all_accounts", "True", &[
            "Lets the sections [@] and [@domain] stand for addresses without a section of their own.",
        ])?;
    }
    if !work.contradictions.is_empty() {
        return Err(format!(
            "the file says otherwise already: {}; --force changes it, nothing was written",
            work.contradictions.join(", ")
        ));
    }
    Ok(work.sheet.text().to_owned())
}

impl Work<'_> {
    /// Sets a key, unless the file says otherwise and nothing is forced.
    fn put(&mut self, section: &str, key: &str, value: &str, about: &[&str]) -> Result<(), String> {
        if !self.sheet.has(section) {
            self.sheet.add_section(section, about)?;
        }
        match self.sheet.value(section, key) {
            Some(known) if same(key, &known, value) => Ok(()),
            Some(known) if !known.is_empty() && !self.force => {
                self.contradictions.push(format!("{key} in [{section}]"));
                Ok(())
            }
            _ => self.sheet.set(section, key, value),
        }
    }

    /// Takes away a key that would outweigh what the plan says.
    fn take(&mut self, section: &str, key: &str) -> Result<(), String> {
        match self.sheet.value(section, key) {
            Some(known) if !known.is_empty() && !self.force => {
                self.contradictions.push(format!("{key} in [{section}]"));
                Ok(())
            }
            Some(_) => self.sheet.remove(section, key),
            None => Ok(()),
        }
    }

    /// Writes a service. Where its port stands for another server already, a single mailbox names its own server instead.
    fn service(&mut self, service: &Planned) -> Result<(), String> {
        let section = service.section();
        let server = &service.server;
        let port = server.port.to_string();
        let starttls = if server.starttls { "True" } else { "False" };
        let known = |key| self.sheet.value(&section, key);
        let elsewhere = known("server_address")
            .is_some_and(|host| !same("server_address", &host, &server.host))
            || known("server_port").is_some_and(|known| known != port);
        if elsewhere && !self.force && !self.plan.is_catch_all() {
            let key = match service.protocol {
                Protocol::Imap => "imap_server",
                Protocol::Pop => "pop_server",
                Protocol::Smtp => "smtp_server",
            };
            let host = if server.host.contains(':') {
                format!("[{}]", server.host)
            } else {
                server.host.clone()
            };
            let suffix = if server.starttls { "/starttls" } else { "" };
            let account = self.plan.account.clone();
            return self.put(&account, key, &format!("{host}:{port}{suffix}"), &[]);
        }
        let about = match service.protocol {
            Protocol::Imap => "IMAP: what mail programs connect to instead of the provider.",
            Protocol::Pop => "POP: what mail programs connect to instead of the provider.",
            Protocol::Smtp => "SMTP: what mail programs send through instead of the provider.",
        };
        self.put(&section, "server_address", &server.host, &[about])?;
        self.put(&section, "server_port", &port, &[])?;
        let old_name = self.sheet.value(&section, "starttls");
        if server.starttls
            || old_name.is_some()
            || self.sheet.value(&section, "server_starttls").is_some()
        {
            self.put(&section, "server_starttls", starttls, &[])?;
        }
        if let Some(address) = &self.plan.local_address {
            self.put(&section, "local_address", address, &[])?;
        }
        Ok(())
    }

    /// Returns the sections that lend the account a value for this key.
    fn lenders(&self, key: &str) -> Vec<String> {
        let account = &self.plan.account;
        let domain = account
            .rsplit_once('@')
            .map(|(_, domain)| format!("@{domain}"));
        let lenders = [DEFAULT.to_owned(), "@".to_owned()]
            .into_iter()
            .chain(domain);
        lenders
            .filter(|section| section != account)
            .filter(|section| {
                self.sheet
                    .value(section, key)
                    .is_some_and(|value| !value.is_empty())
            })
            .collect()
    }

    /// Keeps the account from inheriting a key that the plan does not mean it to have: an empty value ends the search.
    /// A proof lent together with the same application's id is meant.
    fn mask(&mut self, key: &str) -> Result<(), String> {
        let account = self.plan.account.clone();
        let ours = self.plan.keys.iter().find(|(key, _)| *key == "client_id");
        let ours = ours.map(|(_, id)| id.clone());
        let stranger = |section: &String| {
            let proof = keys::is_secret(key) || ASSERTIONS.contains(&key);
            !proof || self.sheet.value(section, "client_id") != ours
        };
        if self.lenders(key).iter().any(stranger) && self.sheet.value(&account, key).is_none() {
            self.sheet.set(&account, key, "")?;
        }
        Ok(())
    }

    /// Writes the account.
    fn account(&mut self) -> Result<(), String> {
        let plan = self.plan;
        let section = plan.account.as_str();
        let about = match section {
            "@" => "Every mail address that has no section of its own.",
            _ if plan.is_catch_all() => {
                "Every address of this domain that has no section of its own."
            }
            _ => "One mail address.",
        };
        for (key, value) in &plan.keys {
            self.put(section, key, value, &[about])?;
        }
        if plan.grant != GrantKind::AuthorizationCode {
            for key in STALE_WITHOUT_CONSENT {
                if !plan.keys.iter().any(|(planned, _)| *planned == key) {
                    self.take(section, key)?;
                }
            }
        }
        if let Some((uri, said)) = &plan.redirect_uri {
            // A filled-in address never replaces one that is registered at the provider.
            if *said
                || self
                    .sheet
                    .value(section, "redirect_uri")
                    .is_none_or(|known| known.is_empty())
            {
                self.put(section, "redirect_uri", uri, &[])?;
            }
        }
        if let Some(secret) = &plan.secret {
            self.take(section, "client_secret_encrypted")?;
            for key in ASSERTIONS {
                self.take(section, key)?;
            }
            self.put(section, "client_secret", secret.reveal(), &[])?;
        }
        let planned = |key: &str| plan.keys.iter().any(|(planned, _)| *planned == key);
        if ASSERTIONS.iter().any(|key| planned(key)) {
            for key in SECRETS {
                self.take(section, key)?;
            }
        }
        if !planned("permission_url") {
            self.mask("permission_url")?;
        }
        if plan.grant == GrantKind::ManagedIdentity {
            for key in ["token_url", "client_id"]
                .iter()
                .filter(|key| !planned(key))
            {
                self.mask(key)?;
            }
        }
        // Somebody else's secret belongs to somebody else's application.
        for key in SECRETS
            .iter()
            .chain(&ASSERTIONS)
            .filter(|key| !planned(key))
        {
            self.mask(key)?;
        }
        let credentials = [
            "client_secret",
            "client_secret_encrypted",
            "client_assertion_file",
            "jwt_certificate_path",
        ];
        let proven = credentials
            .iter()
            .any(|key| match self.sheet.value(section, key) {
                Some(own) => !own.is_empty(),
                None => !self.lenders(key).is_empty(),
            });
        if plan.grant == GrantKind::ClientCredentials && !proven {
            return Err(
                "client credentials need the application's secret (add --oauth2-client-secret-file), a certificate \
                 (--jwt-certificate-path, --jwt-key-path) or a --client-assertion-file"
                    .into(),
            );
        }
        Ok(())
    }
}

/// Returns whether two values mean the same.
fn same(key: &str, known: &str, value: &str) -> bool {
    match key {
        "server_address" => known.eq_ignore_ascii_case(value),
        "server_starttls" | "allow_catch_all_accounts" | "use_pkce" => {
            switch(known) == switch(value)
        }
        _ => known == value,
    }
}
