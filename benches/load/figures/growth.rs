//! How a login's cost grows with what is open and what is configured, and how often it waits for the provider.

use std::time::{Duration, Instant};

use super::must::Must;
use super::sheet::{self, Row};
use super::{Way, direct, memory, middle, proxied, short};
use crate::client::log_out;
use crate::proxy::account;
use crate::stage::Stage;

/// How far away the provider is, where waiting is counted, in milliseconds.
const LATENCY: u64 = 50;

/// How much dearer a login may become: a tenth.
const FLAT: f64 = 1.1;

/// How many logins show what one costs.
const LOGINS: usize = 500;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many sessions are open.
    #[arg(long, default_value_t = 9_500)]
    pub(crate) open: usize,
    /// How many accounts are configured.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) accounts: usize,
    /// How often each is measured; the middle counts.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
}

/// Measures and prints.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    println!("{}", sheet::head());
    sheet::print(&rows(options).await?);
    sheet::print(&round_trips().await?);
    Ok(())
}

/// Measures three proxies in alternation: an empty one, one with open sessions, one with many accounts.
pub(crate) async fn rows(options: Options) -> anyhow::Result<Vec<Row>> {
    let Options { open, accounts, .. } = options;
    let stage = Stage::set(0).await?;
    let empty = stage.proxy_in("empty", 1, 1_000)?;
    let full = stage.proxy_in("full", 1, open + 100)?;
    let wide = stage.proxy_in("wide", accounts, 1_000)?;
    let ways = [&empty, &full, &wide].map(proxied);
    for way in &ways {
        short::warm_up(way).await?;
    }
    let [_, crowded, _] = &ways;
    let mut idle = Vec::new();
    memory::gather(crowded, open, &mut idle).await?;
    let mut taken = [const { (Vec::new(), Vec::new()) }; 3];
    for round in 0..options.rounds {
        for turn in 0..ways.len() {
            let at = (round + turn) % ways.len();
            let (Some(way), Some((cpus, times))) = (ways.get(at), taken.get_mut(at)) else {
                continue;
            };
            let (cpu, time) = short::login_cost(way, LOGINS).await?;
            cpus.push(cpu);
            times.push(time);
        }
    }
    drop(idle);
    for proxy in [empty, full, wide] {
        proxy.end().await?;
    }
    let [(cpu, time), full, wide] = taken;
    let cases = [
        (format!("{open} open sessions"), full),
        (format!("{accounts} accounts"), wide),
    ];
    let limits = [middle(cpu.clone()) * FLAT, middle(time.clone()) * FLAT];
    let [most_cpu, most_time] = limits.map(|limit| Must::AtMost(limit, "1.1 × one"));
    let mut rows = vec![
        Row::ours("CPU ms per login, one session, one account", 3, cpu),
        Row::ours("p50 ms of a login, one session, one account", 3, time),
    ];
    for (with, (cpu, time)) in cases {
        let name = format!("CPU ms per login with {with}");
        rows.push(Row::ours(name, 3, cpu).asking(most_cpu.clone()));
        let name = format!("p50 ms of a login with {with}");
        rows.push(Row::ours(name, 3, time).asking(most_time.clone()));
    }
    Ok(rows)
}

/// Counts the round trips of a login at a provider that is far away, from connecting to the yes: those of TLS, the
/// greeting and the dialogue. That of the connection itself is not among them.
pub(crate) async fn round_trips() -> anyhow::Result<Vec<Row>> {
    let stage = Stage::set(LATENCY).await?;
    let proxy = stage.proxy(1, 1_000)?;
    let ways = [direct(&stage), proxied(&proxy)];
    let mut rows = Vec::new();
    for way in &ways {
        short::warm_up(way).await?;
    }
    for protocol in ["IMAP", "POP", "SMTP"] {
        let mut taken = Vec::new();
        for way in &ways {
            let trips = log_in(way, protocol).await?.as_millis() as u64 / LATENCY;
            taken.push((way.name, vec![trips as f64]));
        }
        rows.push(Row {
            name: format!("round trips to the provider, {protocol} login"),
            digits: 0,
            taken,
            musts: vec![Must::Most(1.0, "direct")],
        });
    }
    proxy.end().await?;
    Ok(rows)
}

/// Returns how long a login takes. A proxy's own first words do not wait for anybody.
async fn log_in(way: &Way, protocol: &str) -> anyhow::Result<Duration> {
    let user = account(0);
    let begun = Instant::now();
    let time = match protocol {
        "IMAP" => {
            let wire = way.imap.imap(&user).await?;
            let time = begun.elapsed();
            log_out(wire).await?;
            time
        }
        "POP" => {
            let wire = way.pop.pop(&user).await?;
            let time = begun.elapsed();
            short::quit(wire).await?;
            time
        }
        _ => {
            let wire = way.smtp.smtp(&user).await?;
            let time = begun.elapsed();
            short::quit(wire).await?;
            time
        }
    };
    Ok(time)
}
