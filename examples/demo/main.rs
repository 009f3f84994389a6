//! A mail's way through the proxy, before your eyes: `cargo run --release --example demo`.
//!
//! Starts a pretend provider that believes nothing but OAuth2 tokens, runs the real proxy in front of it with a real
//! configuration file, sends a mail through the plain SMTP port and reads it back by plain IMAP and POP. Then it stays
//! up for your own mail client; with `-- --once` it ends, with status 0 only if the mail came back unchanged.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a demo is there to be read"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod stage;
mod trip;

use std::process::ExitCode;

use stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    let mut once = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--once" => once = true,
            "-h" | "--help" => {
                println!("usage: cargo run --release --example demo [-- --once]");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("the demo knows --once, not {other}");
                return ExitCode::from(2);
            }
        }
    }
    let stage = Stage::build().await;
    let unchanged = trip::make(&stage).await;
    if !once {
        stage.invite();
        drop(tokio::signal::ctrl_c().await);
    }
    stage.clear().await;
    if unchanged {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
