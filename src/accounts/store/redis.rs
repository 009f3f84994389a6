//! The store in Redis: two hashes, one of sealed records and one of their revisions, and a key for each lease.
//!
//! Compare-and-swap is a script that runs there, so that two proxies are never both first. Sees sealed values only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Script};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::backend::{All, Backend, Change, Doing, Kept, LEASE, Lease, Swapped};
use super::line::Line;
use super::{Reach, Record, address, contact};
use crate::secret::Secret;

/// What the address may say besides host, port, user, password and database.
const SETTINGS: &[&str] = &["prefix", "password_file"];

/// KEYS: revisions, records. ARGV: account, expected and record of each change. Answers, for each, `1` and the new
/// revision, or `0`, the revision and the record that are there.
///
/// A revision is the server's clock in ms where that is later than the one before, so that it grows even over a loss of
/// data.
const SWAP: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answers = {}
for i = 1, #ARGV, 3 do
  local record = redis.call('HGET', KEYS[2], ARGV[i])
  local revision = record and tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0') or 0
  if string.format('%.0f', revision) == ARGV[i + 1] then
    local new = string.format('%.0f', math.max(revision + 1, now))
    redis.call('HSET', KEYS[1], ARGV[i], new)
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
    answers[#answers + 1] = {'1', new, ''}
  else
    answers[#answers + 1] = {'0', string.format('%.0f', revision), record or ''}
  end
end
return answers
";

/// KEYS: revisions, records. ARGV: account. Answers revision and record, both empty where there is none.
const FETCH: &str = r"
return {redis.call('HGET', KEYS[1], ARGV[1]) or '', redis.call('HGET', KEYS[2], ARGV[1]) or ''}
";

/// KEYS: revisions, records. Answers both hashes.
const LOAD: &str = r"
return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
";

/// KEYS: lease. ARGV: holder, ms. Asked twice, it gives the same holder the same lease.
const TAKE: &str = r"
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
";

/// KEYS: lease. ARGV: holder.
const GIVE_BACK: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
";

/// A connection, which ends when the last of its users lets go.
#[derive(Clone, Debug)]
struct Connection {
    asks: MultiplexedConnection,
    _task: Arc<Task>,
}

/// The task that drives a connection.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The store in Redis.
pub(super) struct RedisStore {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    user: Option<String>,
    password: Option<Secret<String>>,
    password_file: Option<String>,
    database: i64,
    prefix: String,
    line: Line<Connection>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.name()).finish()
    }
}

impl RedisStore {
    /// Reads `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=...&password_file=...]`; reaches nothing.
    pub(super) fn at(text: &str, reach: &Reach) -> Result<Self, String> {
        let (rest, mut settings) = address::split(text, SETTINGS)?;
        address::complain_of_rest(&rest, SETTINGS)?;
        let url = Url::parse(&rest).map_err(|error| format!("it is no address: {error}"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("it names no host")?.to_owned();
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls = if url.scheme() == "rediss" {
            let tls = reach.tls.clone().ok_or("TLS is not at hand")?;
            let name = ServerName::try_from(bare.clone())
                .map_err(|_| format!("{host} is no host name a certificate could carry"))?;
            Some((TlsConnector::from(tls), name))
        } else {
            None
        };
        let decoded = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| "its user or password is not UTF-8".to_owned())
        };
        let user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decoded).transpose()?.map(Secret::new);
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| "behind the host stands the number of a database, such as /0")?,
        };
        Ok(Self {
            port: url.port().unwrap_or(6379),
            host: bare,
            tls,
            user,
            password,
            password_file: settings.remove("password_file"),
            database,
            prefix: settings
                .remove("prefix")
                .unwrap_or_else(|| "emailproxy:".to_owned()),
            line: Line::default(),
        })
    }

    fn dial(&self) -> Doing<'_, Connection> {
        Box::pin(async {
            let password = match &self.password_file {
                Some(path) => Some(address::read_password(path.as_ref())?),
                None => self.password.clone(),
            };
            let mut info = RedisConnectionInfo::default().set_db(self.database);
            if let Some(user) = &self.user {
                info = info.set_username(user);
            }
            if let Some(password) = password {
                info = info.set_password(password.reveal());
            }
            // The whole call is bounded; a limit of its own would only be another one.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let found = crate::lookup::addresses(&self.host, self.port).await;
            let found = found.map_err(|error| error.to_string())?;
            let stream = TcpStream::connect(found.as_slice())
                .await
                .map_err(|error| error.to_string())?;
            stream
                .set_nodelay(true)
                .map_err(|error| error.to_string())?;
            let (asks, task) = if let Some((tls, name)) = &self.tls {
                let stream = tls.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| format!("TLS: {error}"))?;
                let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
                let (asks, drive) = made.map_err(explain)?;
                (asks, tokio::spawn(drive).abort_handle())
            } else {
                let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
                let (asks, drive) = made.map_err(explain)?;
                (asks, tokio::spawn(drive).abort_handle())
            };
            Ok(Connection {
                asks,
                _task: Arc::new(Task(task)),
            })
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs a script over the two hashes.
    async fn over_records<T: redis::FromRedisValue>(
        &self,
        connection: &Connection,
        script: &str,
        arguments: &[&str],
    ) -> Result<T, String> {
        let script = Script::new(script);
        let mut call = script.key(self.key("revisions"));
        call.key(self.key("records"));
        for argument in arguments {
            call.arg(*argument);
        }
        let mut asks = connection.asks.clone();
        call.invoke_async(&mut asks).await.map_err(explain)
    }

    /// Runs a script over the key of one lease.
    async fn over_lease(
        &self,
        connection: &Connection,
        script: &str,
        account: &str,
        arguments: &[&str],
    ) -> Result<bool, String> {
        let script = Script::new(script);
        let mut call = script.key(self.key(&format!("lease:{account}")));
        for argument in arguments {
            call.arg(*argument);
        }
        let mut asks = connection.asks.clone();
        let answer: u8 = call.invoke_async(&mut asks).await.map_err(explain)?;
        Ok(answer == 1)
    }
}

impl Backend for RedisStore {
    fn name(&self) -> String {
        format!("Redis at {}:{}", self.host, self.port)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Doing<'_, All> {
        let ask = move |connection: Connection| -> Doing<'_, All> {
            Box::pin(async move {
                type Hashes = (BTreeMap<String, u64>, BTreeMap<String, String>);
                let (revisions, records): Hashes =
                    self.over_records(&connection, LOAD, &[]).await?;
                let mut all = All::new();
                for (account, text) in records {
                    if let Some(revision) = revisions.get(&account) {
                        let record = read(&account, &text)?;
                        all.insert(
                            account,
                            Kept {
                                record,
                                revision: *revision,
                            },
                        );
                    }
                }
                Ok(all)
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        let ask = move |connection: Connection| -> Doing<'a, Option<Kept>> {
            Box::pin(async move {
                let (revision, text): (String, String) =
                    self.over_records(&connection, FETCH, &[account]).await?;
                kept(account, &revision, &text)
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        let ask = move |connection: Connection| -> Doing<'_, BTreeMap<String, u64>> {
            Box::pin(async move {
                let mut asks = connection.asks.clone();
                redis::cmd("HGETALL")
                    .arg(self.key("revisions"))
                    .query_async(&mut asks)
                    .await
                    .map_err(explain)
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        let changes = Arc::new(changes);
        let ask = move |connection: Connection| -> Doing<'_, Vec<Swapped>> {
            let changes = Arc::clone(&changes);
            Box::pin(async move {
                let mut arguments = Vec::new();
                for change in changes.iter() {
                    arguments.push(change.account.clone());
                    arguments.push(change.expected.to_string());
                    arguments.push(write(change)?);
                }
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let answers: Vec<(u8, String, String)> =
                    self.over_records(&connection, SWAP, &arguments).await?;
                let mut swapped = Vec::new();
                for (change, (done, revision, text)) in changes.iter().zip(answers) {
                    swapped.push(match done {
                        1 => Swapped::Done(number(&revision)?),
                        _ => Swapped::Conflict(kept(&change.account, &revision, &text)?),
                    });
                }
                Ok(swapped)
            })
        };
        Box::pin(self.line.ask(|| self.dial(), ask))
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            let lease = contact::lease_for(account)?;
            let ms = LEASE.as_millis().to_string();
            let ask = |connection: Connection| -> Doing<'_, bool> {
                let arguments = [lease.holder.as_str(), ms.as_str()];
                Box::pin(async move {
                    self.over_lease(&connection, TAKE, account, &arguments)
                        .await
                })
            };
            let taken = self.line.ask(|| self.dial(), ask).await?;
            Ok(taken.then_some(lease))
        })
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        Box::pin(async move {
            let ask = |connection: Connection| -> Doing<'_, bool> {
                let (account, holder) = (lease.account.as_str(), lease.holder.as_str());
                Box::pin(async move {
                    self.over_lease(&connection, GIVE_BACK, account, &[holder])
                        .await
                })
            };
            self.line.ask(|| self.dial(), ask).await.map(drop)
        })
    }
}

/// Words a record for the hash.
fn write(change: &Change) -> Result<String, String> {
    serde_json::to_string(&change.record)
        .map_err(|error| format!("a record could not be put into words: {error}"))
}

/// Reads a record from the hash.
fn read(account: &str, text: &str) -> Result<Record, String> {
    serde_json::from_str(text).map_err(|error| {
        format!(
            "the record of account {} makes no sense: {error}",
            crate::said::Said::new(account)
        )
    })
}

/// Reads a record and its revision; a record counts only with its revision, and the other way round.
fn kept(account: &str, revision: &str, text: &str) -> Result<Option<Kept>, String> {
    if revision.is_empty() || text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Kept {
        record: read(account, text)?,
        revision: number(revision)?,
    }))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "a revision is no number".to_owned())
}

/// Words an error of the connection or of the server.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn explain(error: RedisError) -> String {
    let text = error.to_string();
    match error.code() {
        Some("NOAUTH") => {
            format!("{text}; put the password into the address, or name a password_file there")
        }
        Some("NOPERM") => format!("{text}; docs/FLEET.md lists what the user must be allowed"),
        Some("OOM") => format!("{text}; Redis is full, see maxmemory"),
        Some("READONLY") => format!("{text}; this is a replica, name the primary"),
        _ => text,
    }
}
