//! A load for a proxy of mail: `cargo bench --bench load -- --help` tells what it measures.
//!
//! Three processes: this one plays the mail programs and prints, a second of this program plays the provider, and the
//! third is the proxy under test, so that its processor time and memory are its own.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program for people at a terminal, which prints rounded figures"
)]

use clap::{Parser, Subcommand};

mod client;
mod figures;
mod idle;
mod peers;
mod process;
mod proxy;
mod stage;
mod upstream;
mod wire;

#[path = "../../tests/support/provider/authority.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared with the tests, which stop where their equipment fails"
)]
mod authority;

/// What to do.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Plays the provider until standard input ends; says where it listens.
    Upstream(upstream::Options),
    /// Holds idle IMAP sessions while others log in and out, and says what that cost.
    Idle(idle::Options),
    /// Measures what logins, mails and idle sessions cost, and prints a table.
    Figures(figures::Options),
    /// Measures everything, beside all others who are installed, and prints the whole table.
    Compare(figures::compare::Options),
    /// Measures what an idle session holds.
    Memory(figures::memory::Options),
    /// Measures how a login's cost grows with open sessions and accounts, and how often it waits for the provider.
    Growth(figures::growth::Options),
    /// Measures how long a start takes.
    Start(figures::start::Options),
}

fn main() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    process::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let what = Arguments::parse().what;
    runtime.block_on(async {
        match what {
            Some(What::Upstream(options)) => upstream::play(options).await,
            Some(What::Idle(options)) => idle::report(options).await,
            Some(What::Figures(options)) => figures::report(options).await,
            Some(What::Compare(options)) => figures::compare::report(options).await,
            Some(What::Memory(options)) => figures::memory::report(options).await,
            Some(What::Growth(options)) => figures::growth::report(options).await,
            Some(What::Start(options)) => figures::start::report(options).await,
            // `cargo bench` without words of its own.
            None => idle::report(idle::Options::default()).await,
        }
    })
}
