//! What an idle session holds. Memory that was used once is not always given back, so each way is measured in a process
//! that did nothing else.

use std::io;

use tokio::task::JoinSet;

use super::must::Must;
use super::sheet::{self, Row};
use super::{Way, direct, proxied, relayed, short};
use crate::client::{Door, ask};
use crate::peers::Kind;
use crate::proxy::account;
use crate::stage::Stage;
use crate::wire::Wire;

/// How many come at once.
const CROWD: usize = 100;

/// Of how many sessions the predecessor holds one: letting thousands in would take it an hour.
const FEW: usize = 50;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// With how many idle sessions memory is looked at, in ascending order.
    #[arg(long, value_delimiter = ',', default_value = "2000")]
    pub(crate) sessions: Vec<usize>,
    /// Measure nginx, `HAProxy`, stunnel and the predecessor beside it, those that are installed.
    #[arg(long)]
    pub(crate) peers: bool,
}

/// Memory against connections: whose, and for each number of idle sessions what was resident, in KiB, first without any.
pub(crate) type Curves = Vec<(&'static str, Vec<(usize, u64)>)>;

/// Measures and prints what an idle session holds.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let curves = look(&options).await?;
    println!("{}", sheet::head());
    sheet::print(&rows(&curves, &options.sessions));
    Ok(())
}

/// Opens more and more idle sessions by each way and looks at the memory of who stands between.
pub(crate) async fn look(options: &Options) -> anyhow::Result<Curves> {
    let most = options.sessions.iter().copied().max().unwrap_or_default();
    let stage = Stage::set(0).await?;
    // First, as nothing was done here yet.
    let mut curves = vec![curve(&direct(&stage), &options.sessions).await?];
    let proxy = stage.proxy(1, most + 100)?;
    curves.push(curve(&proxied(&proxy), &options.sessions).await?);
    proxy.end().await?;
    for kind in Kind::ALL {
        let few = [most / FEW];
        let sessions = match kind {
            Kind::Predecessor => &few[..],
            _ => &options.sessions,
        };
        if options.peers
            && let Some(peer) = kind.start(&stage).await?
        {
            curves.push(curve(&relayed(&peer), sessions).await?);
            peer.end().await?;
        }
    }
    Ok(curves)
}

/// Returns a row for each number of sessions: what each of them holds.
pub(crate) fn rows(curves: &Curves, sessions: &[usize]) -> Vec<Row> {
    let row = |count: usize| {
        let each = |points: &[(usize, u64)]| {
            let (_, before) = points.first()?;
            let few = points.last().filter(|(most, _)| *most < count);
            let at = points.iter().find(|(open, _)| *open == count);
            let (open, kib) = at.or(few)?;
            Some(kib.saturating_sub(*before) as f64 / *open as f64)
        };
        let taken = curves
            .iter()
            .map(|(name, points)| (*name, each(points).into_iter().collect()))
            .collect();
        Row {
            name: format!("KiB resident per idle session of {count}"),
            digits: 1,
            taken,
            musts: vec![Must::AtMost(14.0, "")],
        }
    };
    sessions.iter().copied().map(row).collect()
}

/// Looks at one way's memory.
async fn curve(way: &Way, sessions: &[usize]) -> anyhow::Result<(&'static str, Vec<(usize, u64)>)> {
    short::warm_up(way).await?;
    let mut points = vec![(0, way.meter.resident()?)];
    let mut idle = Vec::new();
    for count in sessions {
        gather(way, *count, &mut idle).await?;
        points.push((*count, way.meter.resident()?));
    }
    Ok((way.name, points))
}

/// Opens idle sessions until there are so many.
pub(super) async fn gather(way: &Way, count: usize, idle: &mut Vec<Wire>) -> anyhow::Result<()> {
    while idle.len() < count {
        let mut coming = JoinSet::new();
        for _ in 0..CROWD.min(count - idle.len()) {
            coming.spawn(come(way.imap.clone()));
        }
        while let Some(came) = coming.join_next().await {
            idle.push(came??);
        }
    }
    Ok(())
}

async fn come(door: Door) -> io::Result<Wire> {
    let mut wire = door.imap(&account(0)).await?;
    ask(&mut wire, "a IDLE", "+").await?;
    Ok(wire)
}
