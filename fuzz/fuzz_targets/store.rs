//! The store file's text: what is read survives being written, torn documents hide no good one, and the predecessor's
//! cache file.
#![no_main]

use emailproxy::accounts::fuzzing::{import_cache, read_store, read_torn};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(read_store(bytes));
    read_torn(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(import_cache(text));
    }
});
