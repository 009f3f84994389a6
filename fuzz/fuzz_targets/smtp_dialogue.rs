//! A whole session, from the client's first byte to the end of the relay.
#![no_main]

use emailproxy::protocol::smtp::Smtp;
use emailproxy_fuzz::dialogue::{Play, run};
use emailproxy_fuzz::promises::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|play: Play| run::<Smtp>(Kind::Smtp, play));
