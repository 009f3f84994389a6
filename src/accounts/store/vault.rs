//! The store in `HashiCorp` Vault (and `OpenBao`), secrets engine KV version 2: one secret an account, one more for its lease.
//!
//! The engine's own `cas` decides who is first, its version is our revision. Sees sealed values only. Source: Vault's API
//! documentation, "KV secrets engine - version 2 (API)".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use reqwest::header::{DATE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::{Host, Url};

use super::backend::{All, Backend, Change, Doing, Kept, LEASE, Lease, Swapped};
use super::http::{Answer, Carrier};
use super::vault_login::{self, Entry, Way};
use super::{Reach, Record, address, contact};
use crate::accounts::locked;
use crate::said::Said;
use crate::secret::Secret;

/// How many secrets are read at once.
const AT_ONCE: usize = 8;

/// The store in Vault.
#[derive(Clone)]
pub(super) struct VaultStore(std::sync::Arc<Shared>);

struct Shared {
    /// The server, such as `https://vault.example:8200/`.
    server: Url,
    mount: String,
    path: String,
    namespace: Option<HeaderValue>,
    way: Way,
    carrier: Carrier,
    token: Mutex<Option<Secret<String>>>,
}

/// A secret's newest version.
struct Version {
    number: u64,
    /// What it holds; nothing where it was deleted.
    data: Option<Value>,
    /// The server's clock when it said so, in seconds since 1970.
    now: u64,
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VaultStore").field(&self.name()).finish()
    }
}

impl VaultStore {
    /// Reads `https://HOST[:PORT]/MOUNT/PATH[?...]`; reaches nothing. Plain HTTP is for a Vault on this machine.
    pub(super) fn at(text: &str, reach: &Reach) -> Result<Self, String> {
        let mut known = vault_login::SETTINGS.to_vec();
        known.push("namespace");
        let (rest, mut settings) = address::split(text, &known)?;
        address::complain_of_rest(&rest, &known)?;
        let mut url = Url::parse(&rest).map_err(|error| format!("it is no address: {error}"))?;
        let here = match url.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err("it names no host".into()),
        };
        match url.scheme() {
            "https" => {}
            "http" if here => {}
            _ => {
                return Err("a Vault is reached by https://, or by http:// on this machine".into());
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "Vault knows no user and password in its address; use token_file or a role".into(),
            );
        }
        let whole = url.path().trim_matches('/').to_owned();
        let (mount, path) = whole
            .split_once('/')
            .filter(|(mount, path)| !mount.is_empty() && !path.is_empty())
            .ok_or(
                "behind the host stand the engine's mount and a path, such as /secret/emailproxy",
            )?;
        url.set_path("/");
        let namespace = settings.remove("namespace").or_else(|| {
            std::env::var("VAULT_NAMESPACE")
                .ok()
                .filter(|name| !name.is_empty())
        });
        let namespace = namespace.map(HeaderValue::try_from).transpose();
        Ok(Self(std::sync::Arc::new(Shared {
            server: url,
            mount: mount.to_owned(),
            path: path.to_owned(),
            namespace: namespace.map_err(|_| "the namespace holds odd characters")?,
            way: Way::chosen(&mut settings)?,
            carrier: Carrier::new(reach)?,
            token: Mutex::default(),
        })))
    }

    /// Sends a request with our token, and once more after a new login where that is no longer believed.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, String> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let held = locked(&self.0.token).clone();
        if let Some(token) = held {
            let answer = self.send(method.clone(), path, Some(&token), &body).await?;
            if answer.status != 403 {
                return Ok(answer);
            }
        }
        let token = self.log_in().await?;
        let answer = self.send(method, path, Some(&token), &body).await?;
        if answer.status == 403 {
            return Err(format!(
                "{} (docs/FLEET.md lists what the policy must allow)",
                words(&answer)
            ));
        }
        *locked(&self.0.token) = Some(token);
        Ok(answer)
    }

    async fn log_in(&self) -> Result<Secret<String>, String> {
        let (path, body) = match self.0.way.entry()? {
            Entry::Token(token) => return Ok(token),
            Entry::Ask(path, body) => (path, body),
        };
        let answer = self.send(Method::POST, &path, None, body.reveal()).await?;
        let fail = || format!("could not log in at {path}: {}", words(&answer));
        if answer.status != 200 {
            return Err(fail());
        }
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| fail())?;
        let token = value.pointer("/auth/client_token").and_then(Value::as_str);
        token.map(Secret::from).ok_or_else(fail)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret<String>>,
        body: &str,
    ) -> Result<Answer, String> {
        let url = self.0.server.join(&format!("v1/{path}"));
        let url = url.map_err(|error| format!("the path {path} is odd: {error}"))?;
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.0.namespace {
            headers.insert("x-vault-namespace", namespace.clone());
        }
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(token.reveal())
                .map_err(|_| "the token holds odd characters")?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        self.0
            .carrier
            .send(method, url, headers, body.as_bytes().to_vec())
            .await
    }

    fn data(&self, kind: &str, account: &str) -> String {
        let (mount, path) = (&self.0.mount, &self.0.path);
        format!("{mount}/data/{path}/{kind}/{}", hex(account))
    }

    /// Reads a secret's newest version; nothing where there never was one.
    async fn read(&self, path: &str) -> Result<Version, String> {
        let answer = self.ask(Method::GET, path, None).await?;
        let now = clock(&answer.headers);
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let number = value
            .pointer("/data/metadata/version")
            .and_then(Value::as_u64);
        match (answer.status, number) {
            (200, Some(number)) => Ok(Version {
                number,
                data: value
                    .pointer("/data/data")
                    .cloned()
                    .filter(|data| !data.is_null()),
                now,
            }),
            // Deleted, but its versions go on counting.
            (404, number) => Ok(Version {
                number: number.unwrap_or(0),
                data: None,
                now,
            }),
            _ => Err(words(&answer)),
        }
    }

    /// Writes a secret's next version where `cas` is its newest one; nothing where it is not.
    async fn write(&self, path: &str, cas: u64, data: Value) -> Result<Option<u64>, String> {
        let body = json!({"options": {"cas": cas}, "data": data});
        let answer = self.ask(Method::POST, path, Some(body)).await?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let number = value.pointer("/data/version").and_then(Value::as_u64);
        match (answer.status, number) {
            (200, Some(number)) => Ok(Some(number)),
            (400, _) if words(&answer).contains("check-and-set") => Ok(None),
            _ => Err(words(&answer)),
        }
    }

    async fn kept(&self, account: &str) -> Result<(Option<Kept>, u64), String> {
        let version = self.read(&self.data("tokens", account)).await?;
        let Some(data) = version.data else {
            return Ok((None, version.number));
        };
        let record = data.get("record").cloned().unwrap_or_default();
        let record: Record = serde_json::from_value(record).map_err(|error| {
            format!(
                "the record of account {} makes no sense: {error}",
                Said::new(account)
            )
        })?;
        let revision = version.number;
        Ok((Some(Kept { record, revision }), revision))
    }

    async fn change(&self, change: Change) -> Result<Swapped, String> {
        let path = self.data("tokens", &change.account);
        let record = serde_json::to_value(&change.record)
            .map_err(|error| format!("a record could not be put into words: {error}"))?;
        let data = json!({"account": change.account, "record": record});
        let mut cas = change.expected;
        for _ in 0..3 {
            if let Some(revision) = self.write(&path, cas, data.clone()).await? {
                return Ok(Swapped::Done(revision));
            }
            let (kept, newest) = self.kept(&change.account).await?;
            if kept.is_some() || change.expected != 0 {
                return Ok(Swapped::Conflict(kept));
            }
            // There was a record once, and it was deleted: its versions go on counting.
            cas = newest;
        }
        Err("the secret of an account keeps changing".into())
    }

    /// Reads all records, some at a time.
    async fn all(&self) -> Result<All, String> {
        let path = format!("{}/metadata/{}/tokens?list=true", self.0.mount, self.0.path);
        let answer = self.ask(Method::GET, &path, None).await?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let keys = match (answer.status, value.pointer("/data/keys")) {
            (200, Some(Value::Array(keys))) => keys.iter().filter_map(Value::as_str).collect(),
            (404, _) => Vec::new(),
            _ => return Err(words(&answer)),
        };
        let mut names = keys.into_iter().filter_map(unhex);
        let mut all = All::new();
        let mut reading = JoinSet::new();
        loop {
            while reading.len() < AT_ONCE
                && let Some(name) = names.next()
            {
                let store = self.clone();
                reading.spawn(async move { (store.kept(&name).await, name) });
            }
            let Some(done) = reading.join_next().await else {
                return Ok(all);
            };
            let (kept, name) = done.map_err(|_| "reading broke off")?;
            if let (Some(kept), _) = kept? {
                all.insert(name, kept);
            }
        }
    }

    async fn take(&self, lease: &Lease) -> Result<bool, String> {
        let path = self.data("leases", &lease.account);
        let there = self.read(&path).await?;
        let until = |data: &Value| data.get("until").and_then(Value::as_u64);
        if there
            .data
            .as_ref()
            .and_then(until)
            .is_some_and(|until| until > there.now)
        {
            return Ok(false);
        }
        // The clock tells whole seconds; a lease is rather too long than too short.
        let until = there.now + LEASE.as_secs() + 1;
        let data = json!({"holder": lease.holder, "until": until});
        Ok(self.write(&path, there.number, data).await?.is_some())
    }

    async fn give_back(&self, lease: Lease) -> Result<(), String> {
        let path = self.data("leases", &lease.account);
        let there = self.read(&path).await?;
        let holder = there
            .data
            .as_ref()
            .and_then(|data| data.get("holder"))
            .and_then(Value::as_str);
        if holder == Some(lease.holder.as_str()) {
            self.write(&path, there.number, json!({"holder": "", "until": 0}))
                .await?;
        }
        Ok(())
    }
}

impl Backend for VaultStore {
    fn name(&self) -> String {
        let server = self.0.server.as_str().trim_end_matches('/');
        format!("Vault at {server}, {}/{}", self.0.mount, self.0.path)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(self.all())
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(async move { Ok(self.kept(account).await?.0) })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(async {
            let all = self.all().await?;
            Ok(all
                .into_iter()
                .map(|(account, kept)| (account, kept.revision))
                .collect())
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        Box::pin(async move {
            let mut swapped = Vec::new();
            for change in changes {
                swapped.push(self.change(change).await?);
            }
            Ok(swapped)
        })
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            let lease = contact::lease_for(account)?;
            Ok(self.take(&lease).await?.then_some(lease))
        })
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        Box::pin(self.give_back(lease))
    }
}

/// Spells an account's name so that it may stand in a path.
fn hex(account: &str) -> String {
    let mut text = String::new();
    for byte in account.bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Reads a name that [`hex`] spelt; nothing where somebody else put something there.
fn unhex(text: &str) -> Option<String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    String::from_utf8(pairs.iter().map(|[high, low]| high * 16 + low).collect()).ok()
}

/// Returns the server's clock, so that leases do not depend on ours; ours where it does not tell.
fn clock(headers: &HeaderMap) -> u64 {
    let told = headers.get(DATE).and_then(|date| date.to_str().ok());
    let now = told
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(SystemTime::now);
    now.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// Words what the server complains of.
fn words(answer: &Answer) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = value.get("errors").and_then(Value::as_array);
    let errors: Vec<&str> = errors
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::trim)
        .collect();
    if errors.is_empty() {
        return format!("it answered with status {}", answer.status);
    }
    format!(
        "it answered with status {}: {}",
        answer.status,
        errors.join("; ")
    )
}
