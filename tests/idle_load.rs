//! The short form of the load that `cargo bench --bench load -- idle` holds: the program keeps idle sessions while others
//! come and go, loses none and takes no more memory.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "this is a test, with equipment of which it uses a part"
)]

#[path = "../benches/load/client.rs"]
mod client;
#[path = "../benches/load/idle.rs"]
mod idle;
#[path = "../benches/load/process.rs"]
mod process;
#[path = "../benches/load/proxy.rs"]
mod proxy;
#[path = "../benches/load/stage.rs"]
mod stage;
#[path = "../benches/load/upstream/mod.rs"]
mod upstream;
#[path = "../benches/load/wire.rs"]
mod wire;

#[path = "support/provider/authority.rs"]
#[allow(unreachable_pub, reason = "shared with the library of the tests")]
mod authority;

/// How much more memory may be resident than with all sessions idle, in KiB: what an allocator keeps at hand.
const ALLOWANCE: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_are_kept_while_others_come_and_go() {
    process::raise_descriptors();
    let stage = stage::Stage::set_here().unwrap();
    let options = idle::Options {
        sessions: 200,
        logins: 20,
        seconds: 5,
        rest: 0,
        accounts: 4,
    };
    let held = idle::hold(&stage, options).await.unwrap();
    assert_eq!(held.failures.count, 0, "{held}\n{}", stage.log());
    assert_eq!(
        (held.opened, held.logins.len(), held.answered),
        (200, 100, 200),
        "{held}"
    );
    let most = held.memory.iter().max().unwrap();
    assert!(*most < held.memory[1] + ALLOWANCE, "{held}");
}
