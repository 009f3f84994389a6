//! How long it takes from a start to open ports and to a login that comes at once, and what is resident then.

use std::time::Duration;

use super::{middle, proxied};
use crate::client::log_out;
use crate::peers::Kind;
use crate::process::Meter;
use crate::proxy::account;
use crate::stage::Stage;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each is started; the middle counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How many accounts the large configuration has.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
}

/// Measures and prints.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let stage = Stage::set(0).await?;
    println!(
        "| start | ms until it listens | MiB resident then | ms until a first login is through |\n|---|---:|---:|---:|"
    );
    for accounts in [1, options.accounts] {
        let (mut taken, mut logins) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let proxy = stage.proxy(accounts, 1_000).await?;
            taken.push(look(proxy.started, proxy.meter())?);
            // An account that is new needs its slow proof and a token too.
            let wire = proxied(&proxy).imap.imap(&account(0)).await?;
            logins.push(proxy.begun.elapsed().as_secs_f64() * 1e3);
            log_out(wire).await?;
            proxy.end().await?;
        }
        let login = format!("{:.1}", middle(logins));
        print(&format!("emailproxy, accounts: {accounts}"), taken, &login);
    }
    for kind in Kind::ALL {
        let mut taken = Vec::new();
        for _ in 0..options.rounds {
            if let Some(peer) = kind.start(&stage).await? {
                taken.push(look(peer.started, peer.meter())?);
                peer.end().await?;
            }
        }
        print(kind.name(), taken, "-");
    }
    Ok(())
}

fn look(started: Duration, meter: Meter) -> anyhow::Result<(Duration, u64)> {
    Ok((started, meter.resident()?))
}

fn print(name: &str, mut taken: Vec<(Duration, u64)>, login: &str) {
    taken.sort_unstable();
    if let Some((time, memory)) = taken.get(taken.len() / 2) {
        let (time, memory) = (time.as_secs_f64() * 1e3, *memory as f64 / 1024.0);
        println!("| {name} | {time:.1} | {memory:.1} | {login} |");
    }
}
