//! How long it takes from a start to open ports, and what is resident then.

use super::must::Must;
use super::sheet::{self, Row};
use super::{OURS, middle};
use crate::peers::Kind;
use crate::process::Meter;
use crate::proxy;
use crate::stage::Stage;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each is started; the middle counts.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// How many accounts the large configuration has.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) accounts: usize,
}

/// Measures and prints.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    println!("{}", sheet::head());
    sheet::print(&rows(options).await?);
    Ok(())
}

/// Starts everybody in alternation. Peers listen once all their ports take a connection, the proxy once it says so.
pub(crate) async fn rows(options: Options) -> anyhow::Result<Vec<Row>> {
    let stage = Stage::set(0).await?;
    let whom = Kind::ALL.map(Kind::name);
    let mut times: Vec<_> = whom.iter().map(|name| (*name, Vec::new())).collect();
    let mut memory: Vec<_> = times.clone();
    let (mut ours, mut ours_memory, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        for (accounts, times) in [(1, &mut ours), (options.accounts, &mut many)] {
            let proxy = stage.proxy(accounts, 1_000)?;
            times.push(proxy.started.as_secs_f64() * 1e3);
            if accounts == 1 {
                ours_memory.push(mib(proxy.meter())?);
            }
            proxy.end().await?;
        }
        for (kind, (times, memory)) in Kind::ALL.iter().zip(times.iter_mut().zip(&mut memory)) {
            if let Some(peer) = kind.start(&stage).await? {
                times.1.push(peer.started.as_secs_f64() * 1e3);
                memory.1.push(mib(peer.meter())?);
                peer.end().await?;
            }
        }
    }
    let one = middle(ours.clone());
    let more = many.iter().map(|time| time - one).collect();
    times.push((OURS, ours));
    memory.push((OURS, ours_memory));
    let accounts = options.accounts;
    let size = std::fs::metadata(proxy::program())?.len() as f64 / 1024.0 / 1024.0;
    Ok(vec![
        Row {
            name: "ms from start to listening".to_owned(),
            digits: 1,
            taken: times,
            musts: vec![Must::Most(0.5, "nginx")],
        },
        Row {
            name: "MiB resident then".to_owned(),
            digits: 1,
            taken: memory,
            musts: vec![Must::AtMost(12.0, "")],
        },
        Row::ours(format!("ms more with {accounts} accounts"), 0, more)
            .asking(Must::AtMost(200.0, "")),
        Row::ours("MiB of the program itself", 1, vec![size]).asking(Must::AtMost(12.0, "")),
    ])
}

fn mib(meter: Meter) -> anyhow::Result<f64> {
    Ok(meter.resident()? as f64 / 1024.0)
}
