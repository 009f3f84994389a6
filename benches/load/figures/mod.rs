//! The figures of docs/PERFORMANCE.md: each is measured for the proxy, for a mail program that goes straight to the
//! provider, and for whatever else is there, in alternation.

use std::fmt::Write as _;
use std::pin::Pin;

use crate::client::Door;
use crate::peers::{Kind, Peer};
use crate::process::Meter;
use crate::proxy::Proxy;
use crate::stage::Stage;

mod bulk;
pub(crate) mod growth;
pub(crate) mod memory;
mod short;
pub(crate) mod start;

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
    /// Which part of the work is done, for those who are slow.
    pub(crate) share: f64,
}

/// A figure that can be measured.
struct Figure {
    name: &'static str,
    /// How many digits behind the point make sense.
    digits: usize,
    measure: for<'a> fn(&'a Way, f64) -> Measuring<'a>,
}

/// A measurement under way.
type Measuring<'a> = Pin<Box<dyn Future<Output = anyhow::Result<f64>> + Send + 'a>>;

const FIGURES: [Figure; 12] = [
    Figure {
        name: "CPU ms per login, one at once",
        digits: 3,
        measure: |way, effort| Box::pin(short::login_cpu(way, effort, 1)),
    },
    Figure {
        name: "CPU ms per login, eight at once",
        digits: 3,
        measure: |way, effort| Box::pin(short::login_cpu(way, effort, 8)),
    },
    Figure {
        name: "logins per second, eight at once",
        digits: 0,
        measure: |way, effort| Box::pin(short::login_rate(way, effort)),
    },
    Figure {
        name: "CPU ms per SMTP submission of 4 KiB",
        digits: 3,
        measure: |way, effort| Box::pin(short::submission_cpu(way, effort)),
    },
    Figure {
        name: "mails of 4 KiB per second, one connection",
        digits: 0,
        measure: |way, effort| Box::pin(short::mail_rate(way, effort)),
    },
    Figure {
        name: "IMAP NOOP, p50 us",
        digits: 1,
        measure: |way, effort| Box::pin(short::noop_time(way, effort)),
    },
    Figure {
        name: "IMAP NOOP, CPU us",
        digits: 1,
        measure: |way, effort| Box::pin(short::noop_cpu(way, effort)),
    },
    Figure {
        name: "CPU s per GiB, IMAP FETCH",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::fetch_cpu(way, effort)),
    },
    Figure {
        name: "CPU s per GiB, IMAP APPEND",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::append_cpu(way, effort)),
    },
    Figure {
        name: "CPU s per GiB, POP RETR",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::retr_cpu(way, effort)),
    },
    Figure {
        name: "CPU s per GiB, SMTP DATA",
        digits: 2,
        measure: |way, effort| Box::pin(bulk::data_cpu(way, effort)),
    },
    Figure {
        name: "MiB/s of one stream, down",
        digits: 0,
        measure: |way, effort| Box::pin(bulk::fetch_rate(way, effort)),
    },
];

/// Measures all figures and prints the table.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let stage = Stage::set(0).await?;
    let proxy = stage.proxy(1, 1_000).await?;
    let peers = if options.peers {
        peers(&stage).await?
    } else {
        Vec::new()
    };
    let mut ways = vec![direct(&stage), proxied(&proxy)];
    ways.extend(peers.iter().map(relayed));
    for way in &ways {
        // What is paid once: a first password and its token, the first connection of each kind.
        short::warm_up(way).await?;
    }
    println!("{}", table(&ways, &options).await?);
    for peer in peers {
        peer.end().await?;
    }
    proxy.end().await
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
        name: "emailproxy",
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

/// The way through a peer. One that logs in itself is as slow as it is; a hundredth of the work shows that.
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
        share: if logs_in { 0.01 } else { 1.0 },
    }
}

/// Measures and words a table in Markdown, a column for each way.
async fn table(ways: &[Way], options: &Options) -> anyhow::Result<String> {
    let mut text = String::from("| measure |");
    for way in ways {
        write!(text, " {} |", way.name)?;
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(ways.len()));
    for figure in &FIGURES {
        let only = options.only.as_deref().unwrap_or_default();
        if !figure.name.contains(only) {
            continue;
        }
        let mut taken = vec![Vec::new(); ways.len()];
        for _ in 0..options.rounds {
            for (way, taken) in ways.iter().zip(&mut taken) {
                taken.push((figure.measure)(way, options.effort * way.share).await?);
            }
        }
        write!(text, "\n| {} |", figure.name)?;
        for taken in taken {
            write!(text, " {:.*} |", figure.digits, middle(taken))?;
        }
        eprintln!("{}", text.lines().last().unwrap_or_default());
    }
    Ok(text)
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
