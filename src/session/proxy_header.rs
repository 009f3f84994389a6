//! The header by which a load balancer tells whom it speaks for: the PROXY protocol, versions 1 and 2.
//!
//! Takes the header from the wire and nothing behind it. Knows neither who may send one nor what the address is used for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::time::Instant;

use crate::wire::{Lost, Wire};

/// How long a load balancer may take for all of its header.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// The longest header of version 2, in bytes: addresses and whatever else is told of the connection.
const MAX_HEADER: usize = 4 * 1024;

/// The longest header of version 1, in bytes with its line end (section 2.1).
const MAX_LINE: usize = 107;

/// How a header of version 1 begins (section 2.1).
const TEXT: &[u8] = b"PROXY ";

/// How a header of version 2 begins (section 2.2).
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of a header of version 2 up to its addresses, in bytes.
const BINARY_HEAD: usize = 16;

/// Version 2 and the command LOCAL.
const LOCAL: u8 = 0x20;

/// What came first on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A header that names the client.
    Client(SocketAddr),
    /// A header that names nobody: the load balancer looks whether we live, or speaks for something without an address.
    Nobody,
    /// Nothing: it hung up, as the simplest health checks do.
    Silence,
    /// No header.
    NoHeader(&'static str),
}

/// How far a header has come.
enum Read {
    Whole(usize, Option<SocketAddr>),
    Partly,
    Never(&'static str),
}

/// Takes the header that must come first, within 5 s.
pub(super) async fn hear(wire: &mut Wire) -> First {
    let until = Instant::now() + HEADER_TIME;
    let mut seen = 0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let waiting = match wire.listen_beyond(seen, left).await {
            Ok(waiting) => waiting,
            Err(Lost::TimedOut) => return First::NoHeader("no whole PROXY header came within 5 s"),
            Err(_) if seen == 0 => return First::Silence,
            Err(_) => return First::NoHeader("the connection ended within the PROXY header"),
        };
        seen = waiting.len();
        match read(waiting) {
            Read::Partly => {}
            Read::Never(why) => return First::NoHeader(why),
            Read::Whole(length, client) => {
                // All of it is there already, so that this waits for nothing.
                return match wire.octets(length, HEADER_TIME).await {
                    Ok(_) => client.map_or(First::Nobody, First::Client),
                    Err(_) => First::NoHeader("the connection ended within the PROXY header"),
                };
            }
        }
    }
}

/// Reads what has come so far.
fn read(bytes: &[u8]) -> Read {
    let begins = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    if !begins(TEXT) && !begins(BINARY) {
        return Read::Never("something else came instead of a PROXY header");
    }
    if bytes.starts_with(BINARY)
        && let (Some(&LOCAL), Some(&[high, low])) = (bytes.get(12), bytes.get(14..BINARY_HEAD))
    {
        // Whatever family a LOCAL header names is to be ignored (section 2.2).
        let length = BINARY_HEAD + usize::from(u16::from_be_bytes([high, low]));
        return match bytes.len() {
            _ if length > MAX_HEADER => Read::Never(TOO_LONG),
            there if there >= length => Read::Whole(length, None),
            _ => Read::Partly,
        };
    }
    let settings = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    match ProxyHeader::parse(bytes, settings) {
        Ok((_, length)) if length > MAX_HEADER => Read::Never(TOO_LONG),
        Ok((_, length)) if length > MAX_LINE && bytes.starts_with(TEXT) => Read::Never(NO_SENSE),
        Ok((header, length)) => {
            let client = header.proxied_address().map(|told| told.source);
            Read::Whole(length, client.map(canonical))
        }
        Err(Error::BufferTooShort) if bytes.len() < MAX_HEADER => Read::Partly,
        Err(Error::BufferTooShort) => Read::Never(TOO_LONG),
        Err(_) => Read::Never(NO_SENSE),
    }
}

const NO_SENSE: &str = "the PROXY header makes no sense";

const TOO_LONG: &str = "the PROXY header is longer than 4,096 bytes";

/// An IPv4 client may be told of in IPv6's clothes.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// What follows a header, and must stay.
    const REST: &[u8] = b"EHLO PROXY\r\n";

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, block].concat()
    }

    /// Has `bytes` said in pieces of `width`, and returns what was heard and what is left.
    async fn heard(bytes: &[u8], width: usize) -> (First, Vec<u8>) {
        let (mut client, ours) = duplex(width);
        let bytes = bytes.to_vec();
        let speak = tokio::spawn(async move { drop(client.write_all(&bytes).await) });
        let mut wire = Wire::new(ours, "test");
        let first = hear(&mut wire).await;
        let mut rest = Vec::new();
        if !matches!(first, First::NoHeader(_)) {
            while let Ok(byte) = wire.octets(1, HEADER_TIME).await {
                rest.extend(byte);
            }
        }
        drop(wire);
        speak.await.unwrap();
        (first, rest)
    }

    fn client(address: &str) -> First {
        First::Client(address.parse().unwrap())
    }

    fn v4() -> Vec<u8> {
        [
            &[192, 0, 2, 7][..],
            &[127, 0, 0, 1],
            &[0x30, 0x39, 0x07, 0xd1],
        ]
        .concat()
    }

    fn v6() -> Vec<u8> {
        let far: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
        [&far.octets()[..], &[0; 16], &[0x30, 0x39, 0x07, 0xd1]].concat()
    }

    #[tokio::test]
    async fn headers_are_taken_whole_and_nothing_behind_them_even_in_crumbs() {
        let tlvs = [&v4()[..], &[0x03, 0, 4, 1, 2, 3, 4], &[0x20, 0, 1, 9]].concat();
        let large = [v4(), vec![4; MAX_HEADER - BINARY_HEAD - 12]].concat();
        let mapped: std::net::Ipv6Addr = "::ffff:192.0.2.7".parse().unwrap();
        let mapped = [&mapped.octets()[..], &[0; 16], &[0x30, 0x39, 0x07, 0xd1]].concat();
        let table: Vec<(Vec<u8>, First)> = vec![
            (
                b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 2001\r\n".to_vec(),
                client("192.0.2.7:12345"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 12345 2001\r\n".to_vec(),
                client("[2001:db8::7]:12345"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), First::Nobody),
            (
                b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(),
                First::Nobody,
            ),
            (binary(0x21, 0x11, &v4()), client("192.0.2.7:12345")),
            (binary(0x21, 0x21, &v6()), client("[2001:db8::7]:12345")),
            (binary(0x21, 0x21, &mapped), client("192.0.2.7:12345")),
            (binary(0x21, 0x11, &tlvs), client("192.0.2.7:12345")),
            (binary(0x21, 0x11, &large), client("192.0.2.7:12345")),
            (binary(0x21, 0x00, b""), First::Nobody),
            (binary(0x21, 0x00, &[0x04, 0, 1, 0]), First::Nobody),
            (binary(0x21, 0x31, &[0; 216]), First::Nobody),
            (binary(0x20, 0x00, b""), First::Nobody),
            // What a LOCAL header says of addresses does not count, even where it makes no sense.
            (binary(0x20, 0x11, &v4()), First::Nobody),
            (binary(0x20, 0xff, b"xyz"), First::Nobody),
        ];
        for (header, expected) in table {
            for width in [1, 7, 8192] {
                let found = heard(&[&header, REST].concat(), width).await;
                let shown = String::from_utf8_lossy(&header);
                assert_eq!(found, (expected, REST.to_vec()), "{shown}");
            }
        }
    }

    #[tokio::test]
    async fn anything_else_is_no_header() {
        let giant = binary(0x21, 0x11, &[v4(), vec![4; MAX_HEADER]].concat());
        for bytes in [
            &b"EHLO client\r\n"[..],
            b"PASS secret\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"\r\n",
            b"PROXYTCP4 192.0.2.7 127.0.0.1 12345 2001\r\n",
            b"proxy TCP4 192.0.2.7 127.0.0.1 12345 2001\r\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 12345\r\n",
            b"PROXY TCP4 192.0.2.700 127.0.0.1 12345 2001\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 12345 2001\r\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 123456 2001\r\n",
            b"PROXY TCP4  192.0.2.7 127.0.0.1 12345 2001\r\n",
            b"PROXY UDP4 192.0.2.7 127.0.0.1 12345 2001\r\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 2001\n\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1",
            b"PROXY TCP4 \xef \0\0\0 192.0.2.7 127.0.0.1",
            &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
            &[b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
            &binary(0x31, 0x11, &v4()),
            &binary(0x2f, 0x11, &v4()),
            &binary(0x21, 0x51, &v4()),
            &binary(0x21, 0x11, b"short"),
            &binary(0x21, 0x11, b""),
            &binary(0x21, 0x21, &v4()),
            &binary(0x21, 0x11, &v4())[..20],
            &giant,
            &binary(0x20, 0x00, &[0; MAX_HEADER]),
        ] {
            for width in [1, 8192] {
                let (first, _) = heard(bytes, width).await;
                let shown = String::from_utf8_lossy(bytes);
                assert!(matches!(first, First::NoHeader(_)), "{shown}: {first:?}");
            }
        }
        assert_eq!(heard(b"", 8).await.0, First::Silence);
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_has_five_seconds_however_it_dawdles() {
        let (mut client, ours) = duplex(64);
        let begun = Instant::now();
        let dawdle = tokio::spawn(async move {
            for byte in b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 2001\r\n" {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if client.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        });
        let first = hear(&mut Wire::new(ours, "test")).await;
        assert!(matches!(first, First::NoHeader(_)), "{first:?}");
        assert_eq!(begun.elapsed(), HEADER_TIME);
        dawdle.await.unwrap();
    }

    proptest! {
        #[test]
        fn nonsense_is_judged_and_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            kind in 0_usize..3,
        ) {
            let begin = [TEXT, BINARY, b""][kind];
            let whole = [begin, &bytes[..]].concat();
            if let Read::Whole(length, _) = read(&whole) {
                prop_assert!(length <= whole.len());
            }
        }
    }
}
