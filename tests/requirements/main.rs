//! The requirements of docs/SECURITY.md, each with at least one test that is named after it (`r01_...`).
//!
//! Peers that mean harm are played here against the whole proxy; what a single room proves by itself lies with that room.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "this is a test"
)]

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod before_login;
mod browser;
#[cfg(target_os = "linux")]
mod budget;
mod devices;
mod endpoint;
mod names;
mod neighbours;
mod page;
mod passwords;
mod relay;
mod sandbox;
mod scene;
mod secrets;
mod server_logins;
mod servers;
mod squatters;
mod stage;
mod tokens;
mod transport;
mod upstream;
mod waiting;
