//! How a login's cost grows with what is open and what is configured, and how often it waits for the provider.

use std::time::{Duration, Instant};

use super::{direct, memory, proxied, short};
use crate::client::log_out;
use crate::proxy::account;
use crate::stage::Stage;

/// How long the provider takes for each answer, where waiting is counted.
const LATENCY: u64 = 50;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many sessions are open.
    #[arg(long, value_delimiter = ',', default_value = "0,2000,9500")]
    open: Vec<usize>,
    /// How many accounts are configured.
    #[arg(long, value_delimiter = ',', default_value = "1,10000")]
    accounts: Vec<usize>,
    /// How often each is measured; the middle counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Measures and prints.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    println!("| a login with | CPU ms | p50 ms |\n|---|---:|---:|");
    let stage = Stage::set(0).await?;
    for open in options.open {
        let proxy = stage.proxy(1, open + 100).await?;
        let way = proxied(&proxy);
        short::warm_up(&way).await?;
        let idle = memory::gather(&way, open).await?;
        let (cpu, time) = short::login_cost(&way, options.rounds).await?;
        println!("| open sessions: {open} | {cpu:.3} | {time:.3} |");
        drop(idle);
        proxy.end().await?;
    }
    for accounts in options.accounts {
        let proxy = stage.proxy(accounts, 1_000).await?;
        let way = proxied(&proxy);
        short::warm_up(&way).await?;
        let (cpu, time) = short::login_cost(&way, options.rounds).await?;
        println!("| accounts: {accounts} | {cpu:.3} | {time:.3} |");
        proxy.end().await?;
    }
    let stage = Stage::set(LATENCY).await?;
    let proxy = stage.proxy(1, 1_000).await?;
    for way in [direct(&stage), proxied(&proxy)] {
        short::warm_up(&way).await?;
        let begun = Instant::now();
        let wire = way.imap.imap(&account(0)).await?;
        let imap = begun.elapsed();
        log_out(wire).await?;
        let begun = Instant::now();
        let wire = way.smtp.smtp(&account(0)).await?;
        let smtp = begun.elapsed();
        short::quit(wire).await?;
        let answers = |time: Duration| time.as_millis() as u64 / LATENCY;
        println!(
            "{}: a login waits for {} answers by IMAP and {} by SMTP",
            way.name,
            answers(imap),
            answers(smtp)
        );
    }
    proxy.end().await
}
