//! The store in AWS Secrets Manager: one secret, one JSON text of all accounts, for one proxy.
//!
//! The service knows no compare-and-swap, and a version of a secret is costly. So only what must outlive the process is
//! written (a new refresh token, a new password), and access tokens alone stay in memory. Sees sealed values only.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::backend::{All, Backend, Change, Doing, Kept, Lease, Swapped};
use super::http::Carrier;
use super::{Reach, Record, aws_http, contact, import};
use crate::said::Said;

/// The most bytes of a secret (AWS Secrets Manager User Guide, "Quotas").
const MOST: usize = 65_536;

/// The label under which the predecessor's content is kept when ours is first written.
const LABEL: &str = "EMAIL-OAUTH2-PROXY";

/// The secret's whole content.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    accounts: BTreeMap<String, Record>,
}

/// The store in AWS Secrets Manager.
pub(super) struct AwsStore {
    secret: String,
    profile: Option<String>,
    carrier: Carrier,
    client: OnceCell<Client>,
    known: Mutex<Option<Known>>,
}

/// What is known of the secret.
#[derive(Debug, Default)]
struct Known {
    /// The version last read or written; none where the secret does not exist yet or is empty.
    version: Option<String>,
    /// What that version holds.
    written: BTreeMap<String, Record>,
    /// Whether the predecessor wrote it.
    foreign: bool,
    /// What is right now, written or not.
    all: All,
}

impl fmt::Debug for AwsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AwsStore").field(&self.name()).finish()
    }
}

impl AwsStore {
    /// Reads `[PROFILE||]NAME` or an ARN; reaches nothing.
    pub(super) fn at(text: &str, reach: &Reach) -> Result<Self, String> {
        let (profile, secret) = match text.split_once("||") {
            Some((profile, secret)) => (Some(profile.trim()), secret.trim()),
            None => (None, text.trim()),
        };
        let fit = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:".contains(c);
        if secret.is_empty() || !secret.chars().all(fit) {
            return Err(
                "behind `aws:` stands the name or ARN of a secret, or PROFILE||NAME".into(),
            );
        }
        if profile.is_some_and(str::is_empty) {
            return Err("before `||` stands the name of a profile".into());
        }
        Ok(Self {
            secret: secret.to_owned(),
            profile: profile.map(str::to_owned),
            carrier: Carrier::new(reach)?,
            client: OnceCell::new(),
            known: Mutex::default(),
        })
    }

    /// Asks for a secret by a client that is there already.
    #[cfg(test)]
    pub(super) fn by(client: Client, secret: &str) -> Result<Self, String> {
        Ok(Self {
            client: OnceCell::new_with(Some(client)),
            ..Self::at(secret, &Reach::default())?
        })
    }

    /// Finds credentials and region as every AWS program does; an ARN names its region itself.
    async fn client(&self) -> &Client {
        let make = || async {
            let http = aws_http::over(self.carrier.clone());
            let mut loader =
                aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http);
            if let Some(profile) = &self.profile {
                loader = loader.profile_name(profile);
            }
            if let Some(region) = region_of(&self.secret) {
                loader = loader.region(Region::new(region));
            }
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(make).await
    }

    /// Reads the secret where it was never read, and returns what is known.
    async fn known<'k>(&self, known: &'k mut Option<Known>) -> Result<&'k mut Known, String> {
        if known.is_none() {
            let mut fresh = Known::default();
            self.read(&mut fresh).await?;
            if fresh.foreign {
                tracing::info!(
                    "took over the cached tokens of {} accounts from {}",
                    fresh.written.len(),
                    self.name()
                );
            }
            *known = Some(fresh);
        }
        known.as_mut().ok_or_else(|| "nothing is known".to_owned())
    }

    /// Reads the secret; where somebody wrote it since, theirs counts.
    async fn read(&self, known: &mut Known) -> Result<(), String> {
        let got = self
            .client()
            .await
            .get_secret_value()
            .secret_id(&self.secret)
            .send()
            .await;
        let (version, text) = match got {
            Ok(got) => (got.version_id, got.secret_string.unwrap_or_default()),
            Err(error) if is_missing(&error) => (None, String::new()),
            Err(error) => return Err(words(&error)),
        };
        if known.version == version {
            return Ok(());
        }
        let (written, foreign) = parse(&text)?;
        for (account, record) in &written {
            if known.written.get(account) != Some(record) {
                let revision = known.all.get(account).map_or(0, |kept| kept.revision) + 1;
                let record = record.clone();
                known.all.insert(account.clone(), Kept { record, revision });
            }
        }
        for account in known
            .written
            .keys()
            .filter(|account| !written.contains_key(*account))
        {
            known.all.remove(account);
        }
        known.version = version;
        known.written = written;
        known.foreign = foreign;
        Ok(())
    }

    /// Takes over changes, and writes the secret where something of them must outlive the process.
    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Swapped>, String> {
        let mut known = self.known.lock().await;
        let known = self.known(&mut known).await?;
        let lasts = |change: &Change| {
            let written = known.written.get(&change.account);
            written.is_none_or(|written| lasting(written) != lasting(&change.record))
        };
        let must_write = changes.iter().any(lasts);
        if must_write {
            self.read(known).await?;
        }
        let mut all = known.all.clone();
        let mut swapped = Vec::new();
        for change in changes {
            let there = all.get(&change.account);
            if there.map_or(0, |kept| kept.revision) != change.expected {
                swapped.push(Swapped::Conflict(there.cloned()));
                continue;
            }
            let (record, revision) = (change.record, change.expected + 1);
            all.insert(change.account, Kept { record, revision });
            swapped.push(Swapped::Done(revision));
        }
        if must_write {
            self.write(known, &all).await?;
        }
        known.all = all;
        Ok(swapped)
    }

    async fn write(&self, known: &mut Known, all: &All) -> Result<(), String> {
        let record = |(account, kept): (&String, &Kept)| (account.clone(), kept.record.clone());
        let content = Content {
            version: 1,
            accounts: all.iter().map(record).collect(),
        };
        let text = serde_json::to_string(&content)
            .map_err(|error| format!("the records could not be put into words: {error}"))?;
        if text.len() > MOST {
            return Err(format!(
                "the tokens of {} accounts take {} bytes, and a secret holds {MOST} at most; keep them in Redis, PostgreSQL or a file",
                all.len(),
                text.len()
            ));
        }
        let client = self.client().await;
        let put = client
            .put_secret_value()
            .secret_id(&self.secret)
            .secret_string(&text);
        let version = match put.send().await {
            Ok(put) => put.version_id,
            Err(error) if is_missing(&error) && !self.secret.starts_with("arn:") => {
                let made = client
                    .create_secret()
                    .name(&self.secret)
                    .description("tokens kept by emailproxy, sealed")
                    .secret_string(&text);
                made.send().await.map_err(|error| words(&error))?.version_id
            }
            Err(error) => return Err(words(&error)),
        };
        if known.foreign {
            self.keep_foreign(client, known.version.as_deref()).await;
        }
        known.version = version;
        known.written = content.accounts;
        known.foreign = false;
        Ok(())
    }

    /// Puts a label on the version that the predecessor wrote, without which AWS would soon forget it.
    async fn keep_foreign(&self, client: &Client, version: Option<&str>) {
        let labelled = client
            .update_secret_version_stage()
            .secret_id(&self.secret)
            .version_stage(LABEL)
            .set_move_to_version_id(version.map(str::to_owned));
        match labelled.send().await {
            Ok(_) => tracing::info!(
                "{} now holds records of this program; what the predecessor wrote is its version with the label {LABEL}",
                self.name()
            ),
            Err(error) => tracing::warn!(
                "{} now holds records of this program; what the predecessor wrote is its version AWSPREVIOUS until the next change, because it could not be labelled: {}",
                self.name(),
                Said::new(words(&error))
            ),
        }
    }
}

impl Backend for AwsStore {
    fn name(&self) -> String {
        format!("AWS Secrets Manager, {}", self.secret)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(async {
            let mut known = self.known.lock().await;
            Ok(self.known(&mut known).await?.all.clone())
        })
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(async move {
            let mut known = self.known.lock().await;
            Ok(self.known(&mut known).await?.all.get(account).cloned())
        })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(async {
            let mut known = self.known.lock().await;
            let all = &self.known(&mut known).await?.all;
            Ok(all
                .iter()
                .map(|(account, kept)| (account.clone(), kept.revision))
                .collect())
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        Box::pin(self.change(changes))
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        // There is one proxy only, and that has one request in flight by itself.
        Box::pin(async move { contact::lease_for(account).map(Some) })
    }

    fn release(&self, _lease: Lease) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Returns what of a record must outlive the process: all but the access token.
fn lasting(record: &Record) -> Record {
    let mut lasting = record.clone();
    lasting.sealed.remove("access_token");
    lasting.servers.clear();
    lasting.serial = 0;
    lasting.refreshed_at = None;
    lasting
}

/// Reads a secret's text: ours, or the predecessor's object of accounts with its seven keys. Tells which.
fn parse(text: &str) -> Result<(BTreeMap<String, Record>, bool), String> {
    if text.trim().is_empty() {
        return Ok((BTreeMap::new(), false));
    }
    let broken = |why: &str| format!("the secret's text makes no sense: {why}; it is left alone");
    let value: Value = serde_json::from_str(text).map_err(|error| broken(&error.to_string()))?;
    let Value::Object(members) = &value else {
        return Err(broken("it is no JSON object"));
    };
    match members.get("version") {
        Some(Value::Number(version)) if version.as_u64() == Some(1) => {
            let content: Content =
                serde_json::from_value(value).map_err(|error| broken(&error.to_string()))?;
            return Ok((content.accounts, false));
        }
        Some(Value::Number(_)) => return Err(broken("a newer emailproxy wrote it")),
        _ => {}
    }
    let mut accounts = BTreeMap::new();
    for (account, values) in members {
        let Value::Object(values) = values else {
            return Err(broken("its members are no accounts"));
        };
        let carried = import::carried(|key| match values.get(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        if let Some(record) = carried {
            accounts.insert(account.clone(), record);
        }
    }
    let foreign = !accounts.is_empty();
    Ok((accounts, foreign))
}

/// Returns the region that an ARN names.
fn region_of(secret: &str) -> Option<String> {
    let mut parts = secret.strip_prefix("arn:")?.split(':');
    let region = parts.nth(2)?;
    (!region.is_empty()).then(|| region.to_owned())
}

/// Returns whether the secret, or a value of it, does not exist.
fn is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("ResourceNotFoundException")
}

/// Words an error of the service or on the way there.
fn words<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    if let (Some(code), message) = (error.code(), error.message()) {
        return format!("{code}: {}", message.unwrap_or("no more is said"));
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predecessors_content_is_read() {
        let text = r#"{"u@example.org": {"token_salt": "c2FsdA==", "token_iterations": 1200000,
            "access_token": "gAAAAAa", "access_token_expiry": "1700003600", "refresh_token": "gAAAAAb",
            "last_activity": "1700000000"}, "idle@example.org": {"last_activity": "1"}}"#;
        let (accounts, foreign) = parse(text).unwrap();
        assert!(foreign);
        assert_eq!(accounts.len(), 1);
        let carried = accounts["u@example.org"].predecessor.clone().unwrap();
        assert_eq!(carried.token_iterations, Some(1_200_000));
        assert_eq!(carried.access_token_expiry, Some(1_700_003_600));
        assert_eq!(carried.refresh_token.as_deref(), Some("gAAAAAb"));
        for empty in ["", "{}", r#"{"version":1,"accounts":{}}"#] {
            assert_eq!(parse(empty), Ok((BTreeMap::new(), false)));
        }
        for bad in [
            "[]",
            "words",
            r#"{"version":2}"#,
            r#"{"password":"hunter2"}"#,
        ] {
            assert!(!parse(bad).unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn an_access_token_alone_is_not_worth_a_version() {
        let record = |access: &str, refresh: &str| Record {
            sealed: [("access_token", access), ("refresh_token", refresh)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Record::default()
        };
        assert_eq!(lasting(&record("a", "r")), lasting(&record("b", "r")));
        assert_ne!(lasting(&record("a", "r")), lasting(&record("a", "s")));
    }

    #[test]
    fn an_arn_names_its_region() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-AbCdEf";
        assert_eq!(region_of(arn).as_deref(), Some("eu-west-1"));
        assert_eq!(region_of("mail"), None);
    }
}
