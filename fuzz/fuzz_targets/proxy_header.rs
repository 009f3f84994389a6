//! A load balancer's header: the same address however it is cut, and nothing behind it taken.
#![no_main]

use emailproxy::session::fuzzing::proxy_header;
use emailproxy::wire::Wire;
use emailproxy_fuzz::pipe::pipe;
use emailproxy_fuzz::runtime;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let hear = |width: usize| {
        let (remote, stream) = pipe(width);
        remote.say(bytes);
        remote.end();
        let mut wire = Wire::new(stream, "balancer:1");
        let heard = runtime().block_on(proxy_header(&mut wire));
        let (mut rest, left) = (Vec::new(), remote.unread());
        rest.extend_from_slice(wire.waiting());
        rest.extend_from_slice(&left);
        (heard, rest)
    };
    let (whole, rest) = hear(8 * 1024);
    let (crumbs, _) = hear(1);
    match (whole, crumbs) {
        (Ok(client), Ok(other)) => assert_eq!(client, other),
        (Err(_), Err(_)) => return,
        (whole, crumbs) => panic!("{whole:?} is not {crumbs:?}"),
    }
    let taken = bytes.len() - rest.len();
    assert!(bytes.ends_with(&rest));
    assert!((8..=4_096).contains(&taken), "a header of {taken} bytes");
});
