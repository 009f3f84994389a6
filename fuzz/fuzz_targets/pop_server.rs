//! A server up to its answer to our login: every reply that it may give.
#![no_main]

use emailproxy::protocol::pop::Pop;
use emailproxy_fuzz::lines::server;
use emailproxy_fuzz::promises::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| server::<Pop>(Kind::Pop, input));
