//! What the end-to-end tests and the demo share: a pretend provider, a scripted host, a tiny client, the proxy itself.
//!
//! Everything runs in this process, on loopback, on ports that the system picks.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test program uses its own part of this"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::missing_panics_doc,
    reason = "a surprise in the test's own equipment shall stop the test where it happens"
)]

pub mod browser;
pub mod client;
pub mod daemon;
pub mod logs;
pub mod predecessor;
pub mod provider;
pub mod script;
