//! The program between real clients and real servers.
//!
//! Dovecot, Postfix and oidc-provider are started from what is installed, on free loopback ports, in directories that
//! vanish afterwards; curl, swaks, msmtp, mbsync, fetchmail, Python, PHP, a second Postfix and a load balancer are the
//! clients. The mail
//! servers accept XOAUTH2 and OAUTHBEARER only and ask the OAuth2 server about every token.
//!
//! A test whose programs are not installed says so in one line and passes; with `CI=true` it fails. `.ci/run` installs
//! what is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test that meets the unexpected shall stop there"
)]
mod browser;
mod ca;
mod chromium;
mod client;
#[allow(dead_code, reason = "tests/load uses the rest")]
mod daemon;
mod desk;
mod dovecot;
mod installed;
mod log;
mod oidc;
mod ports;
#[allow(dead_code, reason = "tests/load uses the rest")]
mod postfix;
#[allow(dead_code, reason = "tests/load uses the rest")]
mod proxy;
mod stage;

mod applications;
mod broker;
mod command_line;
mod consent;
mod grants;
mod load_balancer;
mod older_devices;
mod openid;
mod round_trip;
mod servers_alone;
mod smarthost;
mod volume;
mod web_page;

/// Whose mailbox the tests use.
const USER: &str = "ann@example.com";

/// The mail password the tests use, with the characters that quoting goes wrong over.
const PASSWORD: &str = r#"pass "word\ %20 {3}"#;
