//! What a client says behind its login: the same passes however it is cut into pieces, nothing else and nothing in another
//! order; and where nobody logs in a second time, everything does.
#![no_main]

use arbitrary::Arbitrary;
use emailproxy::protocol::guard::{Guard, Speech};
use emailproxy_fuzz::Bytes;
use emailproxy_fuzz::promises::check_relay;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Talk {
    speech: u8,
    /// Pieces of the client, and of the server where true.
    pieces: Vec<(bool, Bytes)>,
}

/// What a second login begins with, in any protocol.
const LOGINS: [&[u8]; 5] = [b"LOGIN", b"AUTH", b"USER", b"PASS", b"APOP"];

fuzz_target!(|talk: Talk| {
    let speech = [Speech::Imap, Speech::Pop, Speech::Smtp][usize::from(talk.speech % 3)];
    let (mut whole, mut crumbs) = (Guard::new(speech), Guard::new(speech));
    let (mut passed, mut crumbled, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for (is_server, Bytes(piece)) in &talk.pieces {
        if *is_server {
            whole.hear(piece);
            for byte in piece {
                crumbs.hear(std::slice::from_ref(byte));
            }
            continue;
        }
        said.extend_from_slice(piece);
        pass(&mut whole, piece, &mut passed);
        for byte in piece {
            pass(&mut crumbs, std::slice::from_ref(byte), &mut crumbled);
        }
    }
    assert_eq!(
        passed.escape_ascii().to_string(),
        crumbled.escape_ascii().to_string(),
        "cutting changes what passes"
    );
    check_relay(&passed, &said);
    let capitals = said.to_ascii_uppercase();
    let logs_in = LOGINS
        .iter()
        .any(|login| memchr::memmem::find(&capitals, login).is_some());
    if !logs_in {
        assert_eq!(
            passed.escape_ascii().to_string(),
            said.escape_ascii().to_string(),
            "what is no login is kept back"
        );
        assert!(!whole.held_back);
    }
});

fn pass(guard: &mut Guard, mut rest: &[u8], into: &mut Vec<u8>) {
    while !rest.is_empty() {
        let (count, passes) = guard.next(rest);
        assert!((1..=rest.len()).contains(&count));
        let (here, behind) = rest.split_at(count);
        if passes {
            into.extend_from_slice(guard.released());
            into.extend_from_slice(here);
        }
        rest = behind;
    }
}
