//! Everything side by side: the whole table of docs/PERFORMANCE.md and its pictures, in one run.

use std::path::PathBuf;

use super::must::Must;
use super::sheet::{self, Row};
use super::{
    FIGURES, Way, direct, growth, measure, memory, peers, plots, proxied, relayed, short, start,
};
use crate::client::{command, log_out};
use crate::idle;
use crate::proxy::account;
use crate::stage::Stage;

/// With how many idle sessions memory is looked at.
const CURVE: [usize; 7] = [500, 1_000, 2_000, 4_000, 6_000, 8_000, 9_500];

/// The same where time is short.
const SHORT_CURVE: [usize; 3] = [100, 200, 400];

/// Which of those stand in the table.
const ROWS: [usize; 2] = [2_000, 9_500];

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Do a fraction of the work, to see whether everything works.
    #[arg(long)]
    short: bool,
    /// Do only these parts.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "figures,memory,start,growth,trips,burst,throughput"
    )]
    parts: Vec<Part>,
    /// How often each figure is measured; the middle counts.
    #[arg(long)]
    rounds: Option<usize>,
    /// Draw the pictures into this directory.
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// A part of the whole, with servers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What exchanges cost.
    Figures,
    /// What idle sessions hold.
    Memory,
    /// What a start takes.
    Start,
    /// How a login's cost grows.
    Growth,
    /// How often a login waits for the provider.
    Trips,
    /// A crowd that comes at once and then rests.
    Burst,
    /// Throughput against connections, for the picture alone.
    Throughput,
}

/// How much is done.
struct Work {
    rounds: usize,
    effort: f64,
    curve: &'static [usize],
    rows: &'static [usize],
    open: usize,
    accounts: usize,
    rest: u64,
}

const WHOLE: Work = Work {
    rounds: 7,
    effort: 0.25,
    curve: &CURVE,
    rows: &ROWS,
    open: 9_500,
    accounts: 10_000,
    rest: 30,
};

const SHORT: Work = Work {
    rounds: 1,
    effort: 0.04,
    curve: &SHORT_CURVE,
    rows: &SHORT_CURVE,
    open: 400,
    accounts: 1_000,
    rest: 3,
};

/// Measures and prints the table.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let work = if options.short { SHORT } else { WHOLE };
    let rounds = options.rounds.unwrap_or(work.rounds);
    let wanted = |part| options.parts.contains(&part);
    if let Some(home) = &options.plots {
        std::fs::create_dir_all(home)?;
    }
    println!("{}", sheet::head());
    let mut known = Vec::new();
    // First, as memory tells most where nothing was done before.
    let mut held = Vec::new();
    if wanted(Part::Memory) {
        let curves = memory::look(&memory::Options {
            sessions: work.curve.to_vec(),
            peers: true,
        })
        .await?;
        if let Some(home) = &options.plots {
            plots::memory(home, &curves)?;
        }
        held = memory::rows(&curves, work.rows);
    }
    if wanted(Part::Figures) || wanted(Part::Throughput) {
        known = side_by_side(&options, rounds, &work).await?;
    }
    sheet::print(&held);
    if wanted(Part::Start) {
        let (rounds, accounts) = (rounds, work.accounts);
        sheet::print(&start::rows(start::Options { rounds, accounts }).await?);
    }
    if wanted(Part::Growth) {
        let (open, accounts) = (work.open, work.accounts);
        let options = growth::Options {
            open,
            accounts,
            rounds,
        };
        sheet::print(&growth::rows(options).await?);
    }
    if wanted(Part::Trips) {
        sheet::print(&growth::round_trips().await?);
    }
    if wanted(Part::Burst) {
        sheet::print(&burst(&work).await?);
    }
    for known in known {
        println!("\n{known}");
    }
    Ok(())
}

/// Measures all who are there in alternation, and returns how each of them encrypts towards the provider.
async fn side_by_side(
    options: &Options,
    rounds: usize,
    work: &Work,
) -> anyhow::Result<Vec<String>> {
    let stage = Stage::set(0).await?;
    let peers = peers(&stage).await?;
    let proxy = stage.proxy(1, 1_000)?;
    let mut ways = vec![direct(&stage), proxied(&proxy)];
    ways.extend(peers.iter().map(relayed));
    for way in &ways {
        short::warm_up(way).await?;
    }
    let mut login: Vec<Row> = Vec::new();
    if options.parts.contains(&Part::Figures) {
        for figure in &FIGURES {
            let row = measure(figure, &ways, rounds, work.effort).await?;
            sheet::print(std::slice::from_ref(&row));
            if login.len() < 2 {
                login.push(row);
            }
        }
    }
    if let (Some(home), [one, eight]) = (&options.plots, &login[..]) {
        plots::logins(home, one, eight)?;
    }
    if let (Some(home), true) = (&options.plots, options.parts.contains(&Part::Throughput)) {
        plots::throughput(home, &ways, rounds.min(3), work.effort).await?;
    }
    let mut known = Vec::new();
    for way in &ways {
        known.push(encryption(way).await?);
    }
    for peer in peers {
        peer.end().await?;
    }
    proxy.end().await?;
    Ok(known)
}

/// Asks the provider how a way's connection to it is encrypted.
async fn encryption(way: &Way) -> anyhow::Result<String> {
    let mut wire = way.imap.imap(&account(0)).await?;
    wire.say("a XTLS").await?;
    let known = wire.line().await?;
    wire.line().await?;
    command(&mut wire, "NOOP").await?;
    log_out(wire).await?;
    let known = known.trim_start_matches("* ");
    Ok(format!("- TLS with the provider, {}: {known}", way.name))
}

/// Has a crowd come at once, more than ever waited, and rest.
async fn burst(work: &Work) -> anyhow::Result<Vec<Row>> {
    let stage = Stage::set(0).await?;
    let options = idle::Options {
        sessions: work.open,
        logins: 0,
        seconds: 0,
        rest: work.rest,
        accounts: 20,
    };
    let held = idle::hold(&stage, options).await?;
    let sessions = work.open;
    let resting = held.resting_cpu.as_secs_f64() * 1e3;
    Ok(vec![
        Row::ours(
            format!("refused of {sessions} that come at once"),
            0,
            vec![(sessions - held.opened) as f64],
        )
        .asking(Must::AtMost(0.0, "")),
        Row::ours(
            format!("CPU ms per second with {sessions} idle"),
            2,
            vec![resting],
        )
        .asking(Must::AtMost(5.0, "")),
    ])
}
