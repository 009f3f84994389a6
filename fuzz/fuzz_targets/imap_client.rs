//! A client before its login: every line that it may say.
#![no_main]

use emailproxy::protocol::imap::Imap;
use emailproxy_fuzz::lines::client;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| client::<Imap>(input));
