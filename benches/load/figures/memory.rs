//! What an idle session holds. Memory that was used once is not always given back, so each way is measured in a process
//! that did nothing else.

use std::io;

use tokio::task::JoinSet;

use super::{Way, direct, proxied, relayed, short};
use crate::client::{Door, ask};
use crate::peers::Kind;
use crate::proxy::account;
use crate::stage::Stage;
use crate::wire::Wire;

/// How many come at once.
const CROWD: usize = 100;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many sessions are idle.
    #[arg(long, default_value_t = 2_000)]
    sessions: usize,
    /// Measure nginx, `HAProxy` and stunnel beside it, those that are installed.
    #[arg(long)]
    peers: bool,
}

/// Measures and prints what an idle session holds.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let count = options.sessions;
    let stage = Stage::set(0).await?;
    // First, as nothing was done here yet.
    let direct = idle(&direct(&stage), count).await?;
    let proxy = stage.proxy(1, count + 100).await?;
    let proxied = idle(&proxied(&proxy), count).await?;
    proxy.end().await?;
    println!("| KiB resident per idle session of {count} | |\n|---|---:|");
    println!("| direct | {direct:.1} |\n| emailproxy | {proxied:.1} |");
    for kind in Kind::ALL {
        // The predecessor would take an hour to let thousands in.
        if options.peers
            && kind != Kind::Predecessor
            && let Some(peer) = kind.start(&stage).await?
        {
            println!(
                "| {} | {:.1} |",
                kind.name(),
                idle(&relayed(&peer), count).await?
            );
            peer.end().await?;
        }
    }
    Ok(())
}

/// Returns what each of so many idle sessions holds, in KiB.
async fn idle(way: &Way, count: usize) -> anyhow::Result<f64> {
    short::warm_up(way).await?;
    let before = way.meter.resident()?;
    let idle = gather(way, count).await?;
    let after = way.meter.resident()?;
    drop(idle);
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

/// Opens so many idle sessions.
pub(super) async fn gather(way: &Way, count: usize) -> anyhow::Result<Vec<Wire>> {
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let mut coming = JoinSet::new();
        for _ in 0..CROWD.min(count - idle.len()) {
            coming.spawn(come(way.imap.clone()));
        }
        while let Some(came) = coming.join_next().await {
            idle.push(came??);
        }
    }
    Ok(idle)
}

async fn come(door: Door) -> io::Result<Wire> {
    let mut wire = door.imap(&account(0)).await?;
    ask(&mut wire, "a IDLE", "+").await?;
    Ok(wire)
}
