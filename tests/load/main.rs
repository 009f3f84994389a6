//! Much at once, and nothing lost: the program between many clients and a real Postfix and Dovecot.
//!
//! Each test has a short form, which is what `cargo test` runs, and a long one: `tests/load.sh` chooses that by the
//! variables read in [`amount`], with a release build, and prints the figures. The servers are those of `tests/real`, and
//! so is the rule for machines on which they are not installed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test that meets the unexpected shall stop there"
)]
#[path = "../real/ca.rs"]
mod ca;
#[path = "../real/daemon.rs"]
mod daemon;
#[path = "../real/dovecot.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod dovecot;
#[path = "../real/installed.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod installed;
#[path = "../real/log.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod log;
#[path = "../real/oidc.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod oidc;
#[path = "../real/ports.rs"]
mod ports;
#[path = "../real/postfix.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod postfix;
#[path = "../real/proxy.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod proxy;
#[path = "../real/stage.rs"]
#[allow(dead_code, reason = "tests/real uses the rest")]
mod stage;

mod chaos;
mod dice;
mod figures;
mod letter;
mod mailboxes;
mod outbox;
mod sender;
mod sink;
mod submissions;
mod talk;
mod tally;

/// In whose name mail is submitted.
const USER: &str = "ann@example.com";

/// The mail password of everybody.
const PASSWORD: &str = "any-password-you-like";

/// Returns how much of something this run is to do: what the variable says, or what suits a run among other tests.
fn amount(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(said) => said
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={said} is no number")),
        Err(_) => usual,
    }
}
