//! What the fuzz targets share: a remote side of any manners, and what is promised whatever it says.

pub mod dialogue;
pub mod lines;
pub mod pipe;
pub mod promises;
pub mod servers;

use std::sync::{Mutex, MutexGuard, PoisonError};

use arbitrary::{Arbitrary, Unstructured};
use peak_alloc::PeakAlloc;
use tokio::runtime::{Builder, Runtime};

/// Counts what is allocated, so that memory can be bounded.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Does something, and returns how many bytes it had allocated at its peak more than before.
pub fn weighed<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = what();
    (done, MEMORY.peak_usage().saturating_sub(before))
}

/// Makes a runtime of one thread whose clock goes on only while nothing else can happen.
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made")
}

/// Bytes that stand in one piece in the fuzzer's input, so that words of a dictionary can be put there.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

impl<'a> Arbitrary<'a> for Bytes {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(<&[u8]>::arbitrary(input)?.to_vec()))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
