//! Several proxies on one store: a real Redis, a real `PostgreSQL`, and moto in the place of AWS.
//!
//! The servers are started from what is installed. A test whose programs are not installed says so in one line and
//! passes; with `CI=true` it fails. `.ci/run` installs what is needed. Without the cargo features there is nothing to try.
#![cfg(all(feature = "redis", feature = "postgres", feature = "aws"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall stop there"
)]

mod balancer;
mod fleet;
mod outage;
mod processes;
#[path = "../support/program.rs"]
mod program;
#[allow(dead_code, reason = "the unit tests of the stores use the rest")]
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use emailproxy::accounts::{Accounts, Outcome};
use servers::{Postgres, Redis};
use std::sync::Arc;
use support::client::Client;
use support::daemon::{Plan, Proxy, redirected};
use support::provider::Provider;

/// The local password of every account.
const PASSWORD: &str = "any-password-you-like";

/// A server that keeps tokens.
enum Server {
    Redis(Redis),
    Postgres(Postgres),
}

impl Server {
    /// Starts each kind that is installed.
    fn each(test: &str) -> Vec<Self> {
        let mut servers = Vec::new();
        if servers::is_here(test, "redis-server") {
            servers.push(Self::Redis(Redis::start()));
        }
        if servers::is_here(test, "postgres") {
            servers.push(Self::Postgres(Postgres::start()));
        }
        servers
    }

    fn url(&self) -> String {
        match self {
            Self::Redis(redis) => redis.url(),
            Self::Postgres(postgres) => postgres.url(),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Redis(redis) => redis.end(),
            Self::Postgres(postgres) => postgres.end(),
        }
    }

    fn begin(&mut self) {
        match self {
            Self::Redis(redis) => redis.begin(),
            Self::Postgres(postgres) => postgres.begin(),
        }
    }

    /// Counts the records that it keeps.
    fn records(&self) -> usize {
        match self {
            Self::Redis(redis) => {
                let said = redis.ask("HLEN emailproxy:records").unwrap();
                said.trim_start_matches(':').parse().unwrap()
            }
            Self::Postgres(postgres) => {
                let said = postgres.psql("SELECT count(*) FROM emailproxy_tokens");
                said.unwrap().parse().unwrap()
            }
        }
    }
}

/// The accounts' names.
fn name(n: usize) -> String {
    format!("person{n}@example.com")
}

/// Plans a proxy with so many accounts of persons, and one that needs nobody.
fn plan(provider: &Provider, persons: usize) -> Plan {
    let mut plan = Plan::for_provider(provider).external_auth();
    for n in 0..persons {
        plan = plan.person(provider, &name(n), 8825);
    }
    plan.app(provider, "app@example.com")
}

/// Logs in by IMAP and returns the connection and the answer.
async fn log_in(at: SocketAddr, user: &str, password: &str) -> (Client, String) {
    let mut client = Client::plain(at).await;
    assert!(client.line().await.starts_with("* OK"));
    let said = client.imap(&format!("LOGIN {user} {password}")).await;
    (client, said.last().unwrap().clone())
}

/// Says yes to the consent that is asked for an account.
async fn consent(accounts: &Arc<Accounts>, user: &str) {
    let mut pending = accounts.pending();
    let url = {
        let asked = pending
            .wait_for(|all| all.iter().any(|one| one.account == user))
            .await;
        let asked = asked.unwrap();
        asked
            .iter()
            .find(|one| one.account == user)
            .unwrap()
            .url
            .clone()
    };
    let end = accounts
        .finish_pasted(&redirected(&url).await)
        .await
        .unwrap();
    assert!(matches!(end, Outcome::Authorised { .. }), "{end:?}");
}

/// Has a person authorise an account by a login at this proxy.
async fn authorise(proxy: &Proxy, user: &str) -> Client {
    let at = proxy.at("IMAP-0");
    let ((client, said), ()) = tokio::join!(
        log_in(at, user, PASSWORD),
        consent(&proxy.daemon.accounts, user)
    );
    assert!(said.starts_with("OK"), "{said}");
    client
}
