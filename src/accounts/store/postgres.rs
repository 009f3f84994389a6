//! The store in `PostgreSQL`: one table of sealed records, one of leases.
//!
//! Every call is one statement without a name and leaves no state in the session, so that a pool that hands out a
//! connection per transaction (`PgBouncer`) may stand between. Sees sealed values only.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::backend::{All, Backend, Change, Doing, Kept, LEASE, Lease, Swapped};
use super::line::Line;
use super::place::host;
use super::{Reach, Record, address, contact};
use crate::said::Said;

/// What the address may say besides what the client library knows.
const SETTINGS: &[&str] = &["sslmode", "schema", "password_file"];

/// Parameters of a statement, with their types, so that it need not be prepared.
type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// The store in `PostgreSQL`.
pub(super) struct PostgresStore {
    name: String,
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    password_file: Option<String>,
    /// The schema, with a point behind, or nothing.
    schema: String,
    line: Line<Arc<Client>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.name).finish()
    }
}

impl PostgresStore {
    /// Reads `postgres://[USER[:PASSWORD]@]HOST[:PORT][,...]/DATABASE[?...]`; reaches nothing.
    ///
    /// Without `sslmode` the server's certificate is checked, unless the server is this machine.
    pub(super) fn at(text: &str, reach: &Reach) -> Result<Self, String> {
        let (rest, mut settings) = address::split(text, SETTINGS)?;
        let mut config: Config = rest.parse().map_err(|error| words(&error))?;
        if config.get_hosts().is_empty() {
            return Err("it names no host".into());
        }
        let here = config.get_hosts().iter().all(is_this_machine);
        let encrypted = match settings.remove("sslmode").as_deref() {
            None => !here,
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => {
                return Err(
                    "sslmode is `disable`, or `require` or `verify-full` (both check the server's certificate); there is no mode that falls back to plain text".into(),
                );
            }
        };
        let tls = encrypted
            .then(|| reach.tls.clone().ok_or("TLS is not at hand"))
            .transpose()?;
        let mode = if encrypted {
            SslMode::Require
        } else {
            SslMode::Disable
        };
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("emailproxy");
        }
        let schema = match settings.remove("schema") {
            None => String::new(),
            Some(name) if is_plain(&name) => format!("{name}."),
            Some(_) => {
                return Err("`schema` is made of lower-case letters, digits and _".into());
            }
        };
        Ok(Self {
            name: format!("PostgreSQL at {}", host(text)),
            config,
            tls,
            password_file: settings.remove("password_file"),
            schema,
            line: Line::default(),
        })
    }

    fn dial(&self) -> Doing<'_, Arc<Client>> {
        Box::pin(async {
            let mut config = self.config.clone();
            if let Some(path) = &self.password_file {
                config.password(address::read_password(path.as_ref())?.reveal());
            }
            let client = if let Some(tls) = &self.tls {
                let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
                let (client, connection) = config.connect(tls).await.map_err(|e| words(&e))?;
                // Its end shows at the client's next call.
                tokio::spawn(async move { drop(connection.await) });
                client
            } else {
                let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
                tokio::spawn(async move { drop(connection.await) });
                client
            };
            self.prepare(&client).await?;
            Ok(Arc::new(client))
        })
    }

    /// Makes the tables where they are not there yet.
    async fn prepare(&self, client: &Client) -> Result<(), String> {
        let records = format!("{}emailproxy_tokens", self.schema);
        let leases = format!("{}emailproxy_leases", self.schema);
        let there = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL";
        let names: Parameters<'_> = &[(&records, Type::TEXT), (&leases, Type::TEXT)];
        for _ in 0..3 {
            let rows = client
                .query_typed(there, names)
                .await
                .map_err(|e| words(&e))?;
            if rows
                .first()
                .is_some_and(|row| row.try_get(0).unwrap_or(false))
            {
                return Ok(());
            }
            match client.batch_execute(&self.tables()).await {
                Ok(()) => {
                    tracing::info!("made the tables {records} and {leases} in {}", self.name);
                    return Ok(());
                }
                // Another proxy makes them at the same moment.
                Err(error) if is_race(&error) => {}
                Err(error) => {
                    return Err(format!(
                        "the tables {records} and {leases} are not there and could not be made: {}; docs/FLEET.md has the statements for your administrator",
                        words(&error)
                    ));
                }
            }
        }
        Err("the tables come and go".into())
    }

    /// The statements of docs/FLEET.md.
    fn tables(&self) -> String {
        TABLES.replace("emailproxy_", &format!("{}emailproxy_", self.schema))
    }

    /// Runs one statement.
    async fn query(
        &self,
        client: &Client,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, String> {
        let statement = statement.replace("emailproxy_", &format!("{}emailproxy_", self.schema));
        let rows = client.query_typed(&statement, parameters).await;
        rows.map_err(|error| words(&error))
    }
}

/// What a database must hold.
const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS emailproxy_tokens (
    account text PRIMARY KEY,
    revision bigint NOT NULL,
    record text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS emailproxy_leases (
    account text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);
";

/// Writes each change where its revision is the expected one. Where two come at once, one waits for the other's end and
/// then sees its revision. A revision is the server's clock in ms where that is later than the one before, so that it
/// grows even over a loss of data.
const SWAP: &str = "\
WITH wish AS (
    SELECT * FROM unnest($1, $2, $3) AS w(account, expected, record)
), clock AS (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
), new AS (
    INSERT INTO emailproxy_tokens (account, revision, record)
    SELECT account, ms, record FROM wish, clock WHERE expected = 0 ORDER BY account
    ON CONFLICT (account) DO NOTHING
    RETURNING account, revision
), old AS (
    UPDATE emailproxy_tokens AS t
    SET revision = greatest(t.revision + 1, ms), record = wish.record, updated_at = now()
    FROM wish, clock
    WHERE t.account = wish.account AND expected > 0 AND t.revision = expected
    RETURNING t.account, t.revision
)
SELECT account, revision FROM new UNION ALL SELECT account, revision FROM old";

/// Asked twice, it gives the same holder the same lease.
const TAKE: &str = "\
INSERT INTO emailproxy_leases AS l (account, holder, until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE l.until < clock_timestamp() OR l.holder = excluded.holder
RETURNING account";

impl Backend for PostgresStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Doing<'_, All> {
        let ask = move |client: Arc<Client>| -> Doing<'_, All> {
            Box::pin(async move {
                let all = "SELECT account, revision, record FROM emailproxy_tokens";
                let rows = self.query(&client, all, &[]).await?;
                rows.iter().map(kept).collect()
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        let ask = move |client: Arc<Client>| -> Doing<'a, Option<Kept>> {
            Box::pin(async move {
                let one =
                    "SELECT account, revision, record FROM emailproxy_tokens WHERE account = $1";
                let rows = self.query(&client, one, &[(&account, Type::TEXT)]).await?;
                Ok(rows.first().map(kept).transpose()?.map(|(_, kept)| kept))
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        let ask = move |client: Arc<Client>| -> Doing<'_, BTreeMap<String, u64>> {
            Box::pin(async move {
                let all = "SELECT account, revision FROM emailproxy_tokens";
                let rows = self.query(&client, all, &[]).await?;
                rows.iter().map(revision).collect()
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        let changes = Arc::new(changes);
        let ask = move |client: Arc<Client>| -> Doing<'_, Vec<Swapped>> {
            let changes = Arc::clone(&changes);
            Box::pin(async move { self.change(&client, &changes).await })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            let lease = contact::lease_for(account)?;
            let ask = |client: Arc<Client>| -> Doing<'_, bool> {
                let (holder, seconds) = (&lease.holder, LEASE.as_secs_f64());
                Box::pin(async move {
                    let parameters: Parameters<'_> = &[
                        (&account, Type::TEXT),
                        (holder, Type::TEXT),
                        (&seconds, Type::FLOAT8),
                    ];
                    Ok(!self.query(&client, TAKE, parameters).await?.is_empty())
                })
            };
            let taken = self.line.ask(|| self.dial(), ask).await?;
            Ok(taken.then_some(lease))
        })
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        Box::pin(async move {
            let ask = |client: Arc<Client>| -> Doing<'_, ()> {
                let (account, holder) = (&lease.account, &lease.holder);
                Box::pin(async move {
                    let ours = "DELETE FROM emailproxy_leases WHERE account = $1 AND holder = $2";
                    let parameters: Parameters<'_> = &[(account, Type::TEXT), (holder, Type::TEXT)];
                    self.query(&client, ours, parameters).await.map(drop)
                })
            };
            self.line.ask(|| self.dial(), ask).await
        })
    }
}

impl PostgresStore {
    /// Writes changes, then reads what was there instead of those that came too late.
    async fn change(&self, client: &Client, changes: &[Change]) -> Result<Vec<Swapped>, String> {
        let accounts: Vec<&str> = changes.iter().map(|c| c.account.as_str()).collect();
        let expected: Result<Vec<i64>, _> =
            changes.iter().map(|c| i64::try_from(c.expected)).collect();
        let expected = expected.map_err(|_| "a revision is too large")?;
        let records: Result<Vec<String>, _> = changes
            .iter()
            .map(|c| serde_json::to_string(&c.record))
            .collect();
        let records =
            records.map_err(|error| format!("a record could not be put into words: {error}"))?;
        let parameters: Parameters<'_> = &[
            (&accounts, Type::TEXT_ARRAY),
            (&expected, Type::INT8_ARRAY),
            (&records, Type::TEXT_ARRAY),
        ];
        let rows = self.query(client, SWAP, parameters).await?;
        let done: BTreeMap<String, u64> = rows.iter().map(revision).collect::<Result<_, _>>()?;
        let late: Vec<&str> = accounts
            .into_iter()
            .filter(|account| !done.contains_key(*account))
            .collect();
        let mut there = All::new();
        if !late.is_empty() {
            let some =
                "SELECT account, revision, record FROM emailproxy_tokens WHERE account = ANY($1)";
            let rows = self
                .query(client, some, &[(&late, Type::TEXT_ARRAY)])
                .await?;
            there = rows.iter().map(kept).collect::<Result<_, _>>()?;
        }
        let swapped = changes
            .iter()
            .map(|change| match done.get(&change.account) {
                Some(revision) => Swapped::Done(*revision),
                None => Swapped::Conflict(there.remove(&change.account)),
            });
        Ok(swapped.collect())
    }
}

/// Reads a row of account, revision and record.
fn kept(row: &Row) -> Result<(String, Kept), String> {
    let (account, revision) = revision(row)?;
    let text: String = row.try_get(2).map_err(|error| words(&error))?;
    let record: Record = serde_json::from_str(&text).map_err(|error| {
        format!(
            "the record of account {} makes no sense: {error}",
            Said::new(&account)
        )
    })?;
    Ok((account, Kept { record, revision }))
}

/// Reads a row that begins with account and revision.
fn revision(row: &Row) -> Result<(String, u64), String> {
    let account = row.try_get(0).map_err(|error| words(&error))?;
    let revision: i64 = row.try_get(1).map_err(|error| words(&error))?;
    let revision = u64::try_from(revision).map_err(|_| "a revision is below 0")?;
    Ok((account, revision))
}

/// Returns whether a host cannot be overheard.
fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            name.eq_ignore_ascii_case("localhost")
                || bare
                    .parse()
                    .is_ok_and(|address: IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// Returns whether a schema's name needs no quotes.
fn is_plain(name: &str) -> bool {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(fit) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns whether two made the same table at the same moment.
fn is_race(error: &Error) -> bool {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
    ];
    error.code().is_some_and(|code| races.contains(code))
}

/// Words an error with its causes; the server's own words are among them.
fn words(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.to_string();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(because) = cause {
        text.push_str(&format!(": {because}"));
        cause = because.source();
    }
    text
}
