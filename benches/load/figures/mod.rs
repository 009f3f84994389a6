//! The figures of docs/PERFORMANCE.md: each is measured for the proxy, for a mail program that goes straight to the
//! provider, and for whatever else is there, in alternation.

use std::pin::Pin;

use crate::client::Door;
use crate::peers::{Kind, Peer};
use crate::process::Meter;
use crate::proxy::Proxy;
use crate::stage::Stage;

use must::Must;
use sheet::Row;

mod bulk;
pub(crate) mod compare;
pub(crate) mod growth;
pub(crate) mod memory;
mod must;
mod plots;
mod sheet;
mod short;
pub(crate) mod start;
mod svg;

/// The proxy under test in the table.
const OURS: &str = "emailproxy";

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each figure is measured; the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure only figures whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// How much to do: 1.0 is a minute or two for each round.
    #[arg(long, default_value_t = 1.0)]
    effort: f64,
    /// Measure nginx, `HAProxy`, stunnel and the predecessor beside it, those that are installed.
    #[arg(long)]
    peers: bool,
}

/// One way from a mail program to the provider.
#[derive(Clone)]
pub(crate) struct Way {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How IMAP gets in.
    pub(crate) imap: Door,
    /// How POP gets in.
    pub(crate) pop: Door,
    /// How SMTP gets in.
    pub(crate) smtp: Door,
    /// Whose cost counts: who stands between, or the mail program itself where nobody does.
    pub(crate) meter: Meter,
    /// Which part of the logins is done, for those who are slow.
    pub(crate) share: f64,
}

/// A figure that can be measured.
struct Figure {
    name: &'static str,
    /// How many digits behind the point make sense.
    digits: usize,
    measure: for<'a> fn(&'a Way, f64) -> Measuring<'a>,
    /// What is asked of the proxy.
    musts: &'static [Must],
}

/// A measurement under way.
type Measuring<'a> = Pin<Box<dyn Future<Output = anyhow::Result<f64>> + Send + 'a>>;

const FIGURES: [Figure; 12] = [
    Figure {
        name: "CPU ms per login, one at once",
        digits: 3,
        measure: |way, effort| Box::pin(short::login_cpu(way, effort, 1)),
        musts: &[
            Must::Most(0.6, "nginx"),
            Must::Most(0.45, "HAProxy"),
            Must::Most(1.0 / 450.0, "predecessor"),
        ],
    },
    Figure {
        name: "CPU ms per login, eight at once",
        digits: 3,
        measure: |way, effort| Box::pin(short::login_cpu(way, effort, 8)),
        musts: &[
            Must::Most(0.6, "nginx"),
            Must::Most(0.45, "HAProxy"),
            Must::Most(1.0 / 450.0, "predecessor"),
        ],
    },
    Figure {
        name: "logins per second, eight at once",
        digits: 0,
        measure: |way, effort| Box::pin(short::login_rate(way, effort, 8)),
        musts: &[Must::Least(1.3, "nginx"), Must::Least(300.0, "predecessor")],
    },
    Figure {
        name: "CPU ms per SMTP submission of 4 KiB",
        digits: 3,
        measure: |way, effort| Box::pin(short::submission_cpu(way, effort)),
        musts: &[Must::Most(0.6, "nginx")],
    },
    Figure {
        name: "mails of 4 KiB per second, one connection",
        digits: 0,
        measure: |way, effort| Box::pin(short::mail_rate(way, effort)),
        musts: &[Must::Least(1.1, "stunnel")],
    },
    Figure {
        name: "IMAP NOOP, p50 us",
        digits: 1,
        measure: |way, effort| Box::pin(short::noop_time(way, effort)),
        musts: &[Must::Most(0.82, "nginx")],
    },
    Figure {
        name: "IMAP NOOP, CPU us",
        digits: 1,
        measure: |way, effort| Box::pin(short::noop_cpu(way, effort)),
        musts: &[Must::Most(0.82, "nginx")],
    },
    Figure {
        name: "CPU s per GiB, IMAP FETCH",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::fetch_cpu(way, effort)),
        musts: &[Must::Most(0.8, "nginx"), Must::Most(1.3, "direct")],
    },
    Figure {
        name: "CPU s per GiB, IMAP APPEND",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::append_cpu(way, effort)),
        musts: &[Must::Most(0.8, "nginx"), Must::Most(1.3, "direct")],
    },
    Figure {
        name: "CPU s per GiB, POP RETR",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::retr_cpu(way, effort)),
        musts: &[Must::Most(0.8, "nginx"), Must::Most(1.3, "direct")],
    },
    Figure {
        name: "CPU s per GiB, SMTP DATA",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::data_cpu(way, effort)),
        musts: &[Must::Most(0.8, "nginx"), Must::Most(1.3, "direct")],
    },
    Figure {
        name: "MiB/s of one stream, down",
        digits: 0,
        measure: |way, effort| Box::pin(bulk::fetch_rate(way, effort)),
        musts: &[Must::Least(1.2, "nginx")],
    },
];

/// Measures the figures and prints the table.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    println!("{}", sheet::head());
    let only = options.only.as_deref().unwrap_or_default();
    let stage = Stage::set(0).await?;
    let peers = if options.peers {
        peers(&stage).await?
    } else {
        Vec::new()
    };
    let proxy = stage.proxy(1, 1_000)?;
    let mut ways = vec![direct(&stage), proxied(&proxy)];
    ways.extend(peers.iter().map(relayed));
    for way in &ways {
        // What is paid once: a first password and its token, the first connection of each kind.
        short::warm_up(way).await?;
    }
    for figure in FIGURES.iter().filter(|figure| figure.name.contains(only)) {
        let row = measure(figure, &ways, options.rounds, options.effort).await?;
        sheet::print(&[row]);
    }
    for peer in peers {
        peer.end().await?;
    }
    proxy.end().await
}

/// Measures one figure of all ways in alternation, so that noise hits all alike; each round begins with another.
async fn measure(figure: &Figure, ways: &[Way], rounds: usize, effort: f64) -> anyhow::Result<Row> {
    let mut taken: Vec<_> = ways.iter().map(|way| (way.name, Vec::new())).collect();
    for round in 0..rounds {
        for turn in 0..ways.len() {
            let at = (round + turn) % ways.len();
            let (Some(way), Some((_, taken))) = (ways.get(at), taken.get_mut(at)) else {
                continue;
            };
            taken.push((figure.measure)(way, effort).await?);
        }
    }
    Ok(Row {
        name: figure.name.to_owned(),
        digits: figure.digits,
        taken,
        musts: figure.musts.to_vec(),
    })
}

/// The way of a mail program that goes straight to the provider.
fn direct(stage: &Stage) -> Way {
    let provider = stage.provider;
    Way {
        name: "direct",
        imap: stage.direct(provider.imap),
        pop: stage.direct(provider.pop),
        smtp: stage.direct(provider.smtp),
        meter: Meter::own(),
        share: 1.0,
    }
}

/// The way through the proxy under test.
fn proxied(proxy: &Proxy) -> Way {
    Way {
        name: OURS,
        imap: Stage::proxied(proxy.imap),
        pop: Stage::proxied(proxy.pop),
        smtp: Stage::proxied(proxy.smtp),
        meter: proxy.meter(),
        share: 1.0,
    }
}

/// Starts all peers that are installed.
async fn peers(stage: &Stage) -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for kind in Kind::ALL {
        match kind.start(stage).await? {
            Some(peer) => peers.push(peer),
            None => eprintln!("{} is not installed", kind.name()),
        }
    }
    Ok(peers)
}

/// The way through a peer. One that logs in itself is so slow that a fiftieth of the logins shows it.
fn relayed(peer: &Peer) -> Way {
    let logs_in = peer.kind == Kind::Predecessor;
    let door = if logs_in {
        Stage::proxied
    } else {
        Stage::relayed
    };
    let [imap, pop, smtp] = peer.at.map(door);
    Way {
        name: peer.kind.name(),
        imap,
        pop,
        smtp,
        meter: peer.meter(),
        share: if logs_in { 0.02 } else { 1.0 },
    }
}

/// Returns how much of `amount` such an effort means.
fn part(amount: usize, effort: f64) -> usize {
    ((amount as f64 * effort) as usize).max(1)
}

/// Returns the middle one.
fn middle(mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN)
}
