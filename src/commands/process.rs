//! What the process asks of the system for itself, before its first thread: descriptors, and that nobody looks inside.
//!
//! Nothing here is needed to work: where the system says no, it goes on without.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors are kept at least for everything but mail connections: listeners, log, store, token requests,
/// pages, commands.
const OTHERS: u64 = 64;

/// The part of all descriptors that is kept for them: with many logins at once there are many of these.
const SHARE: u64 = 40;

/// How many connections may be served where the system does not limit descriptors.
const PLENTY: usize = 1_000_000;

/// Raises the limit of open files as far as it goes; lets no core file and no other process of this user show memory,
/// and no program that might be started gain rights.
pub(super) fn prepare() {
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    // Whatever is refused stays as it was.
    setrlimit(Resource::Nofile, all).ok();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).ok();
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
        rustix::thread::set_no_new_privs(true).ok();
    }
}

/// Returns how many connections the limit of open files allows: each needs two, one to each side.
pub(super) fn room() -> usize {
    getrlimit(Resource::Nofile).current.map_or(PLENTY, |files| {
        let others = OTHERS.max(files / SHARE);
        usize::try_from(files.saturating_sub(others) / 2).unwrap_or(PLENTY)
    })
}
