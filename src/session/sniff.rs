//! Strangers at the door: clients whose first words are TLS, HTTP or a PROXY header on a port that speaks mail.
//!
//! Only looks; nothing is taken from the wire, so that a mail client finds its first line untouched. A client that says
//! nothing is waited for no longer than for any line.

use std::time::Duration;

use crate::protocol::{Farewell, MAX_LINE};
use crate::wire::{LINE_TIME, Lost, Wire};

/// How long more is waited for where an empty line may be the beginning of a PROXY header, which comes in one piece.
const PIECE: Duration = Duration::from_secs(1);

/// What an HTTP request or a PROXY header begins with. No mail command begins like these.
const OPENINGS: [(&[u8], Farewell); 12] = [
    (b"GET ", Farewell::Http),
    (b"POST ", Farewell::Http),
    (b"HEAD ", Farewell::Http),
    (b"PUT ", Farewell::Http),
    (b"DELETE ", Farewell::Http),
    (b"OPTIONS ", Farewell::Http),
    (b"CONNECT ", Farewell::Http),
    (b"PATCH ", Farewell::Http),
    (b"TRACE ", Farewell::Http),
    (b"PRI * HTTP/2.0", Farewell::Http),
    (b"PROXY ", Farewell::ProxyHeader),
    (b"\r\n\r\n\0\r\nQUIT\n", Farewell::ProxyHeader),
];

/// Looks at a client's first bytes and tells whether it speaks no mail at all.
pub(super) async fn stranger(client: &mut Wire) -> Result<Option<Farewell>, Lost> {
    let mut seen = 0;
    let mut within = LINE_TIME;
    loop {
        let first = match client.listen_beyond(seen, within).await {
            Ok(first) => first,
            Err(Lost::TimedOut) if within == PIECE => return Ok(None),
            Err(Lost::TimedOut) => return Err(Lost::TimedOut),
            // A client that leaves is the dialogue's to deal with.
            Err(_) => return Ok(None),
        };
        if is_tls(first) {
            return Ok(Some(Farewell::WantsTls));
        }
        if let Some((_, why)) = OPENINGS
            .iter()
            .find(|(opening, _)| first.starts_with(opening))
        {
            return Ok(Some(*why));
        }
        let may_open = OPENINGS
            .iter()
            .any(|(opening, _)| opening.starts_with(first));
        if !may_open {
            let mut lines = first.split(|&byte| byte == b'\n');
            if let (Some(line), Some(_)) = (lines.next(), lines.next()) {
                return Ok(is_request(line).then_some(Farewell::Http));
            }
            if first.len() > MAX_LINE {
                return Ok(None);
            }
        } else if first.ends_with(b"\n") {
            within = PIECE;
        }
        seen = first.len();
    }
}

/// Returns whether bytes begin a TLS record (version 3.x), or the hello of SSL 2 that old clients begin with.
fn is_tls(first: &[u8]) -> bool {
    match first {
        [0x14..=0x17] | [0x14..=0x17, 3, ..] => true,
        [size, _, 1, version, ..] => size & 0x80 != 0 && matches!(version, 0 | 2 | 3),
        _ => false,
    }
}

/// Returns whether a line is an HTTP request's, whatever its method.
fn is_request(line: &[u8]) -> bool {
    let last = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next();
    last.and_then(|word| word.get(..5))
        .is_some_and(|word| word.eq_ignore_ascii_case(b"HTTP/"))
}

/// Says what such a client did and what to change.
pub(super) fn advice(why: Farewell) -> &'static str {
    match why {
        Farewell::WantsTls => {
            "the client began TLS on a port that begins in plain text; switch SSL/TLS off in the client, or set \
             local_certificate_path and local_key_path for this service"
        }
        Farewell::Http => {
            "a browser or web client connected to a mail port; check the port number it uses"
        }
        Farewell::ProxyHeader => {
            "the client sent a PROXY header, which this port does not take; switch the PROXY protocol off in the load \
             balancer"
        }
        _ => "the client does not speak this protocol",
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    async fn first(bytes: &'static [u8], width: usize) -> Option<Farewell> {
        let (mut client, ours) = duplex(width);
        let speak = tokio::spawn(async move {
            // The other side may have made up its mind before all is said.
            drop(client.write_all(bytes).await);
            client
        });
        let mut wire = Wire::new(ours, "client");
        let found = stranger(&mut wire).await.unwrap();
        drop(wire);
        drop(speak.await.unwrap());
        found
    }

    #[tokio::test]
    async fn strangers_are_told_from_mail_clients_even_in_crumbs() {
        for width in [1, 64] {
            assert_eq!(
                first(b"\x16\x03\x01\x02\x00\x01", width).await,
                Some(Farewell::WantsTls)
            );
            assert_eq!(
                first(b"GET / HTTP/1.1\r\n", width).await,
                Some(Farewell::Http)
            );
            assert_eq!(
                first(b"POST /x HTTP/1.1\r\n", width).await,
                Some(Farewell::Http)
            );
            for line in [
                &b"PROPFIND / HTTP/1.1\r\n"[..],
                b"get /x http/1.0\n",
                b"M-SEARCH * HTTP/1.1\r\n",
            ] {
                assert_eq!(first(line, width).await, Some(Farewell::Http));
            }
            for bytes in [
                &b"\x80\x2e\x01\x00\x02\x00\x15"[..],
                b"\x15\x03\x01\x00\x02\x02\x28",
            ] {
                assert_eq!(first(bytes, width).await, Some(Farewell::WantsTls));
            }
            assert_eq!(
                first(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", width).await,
                Some(Farewell::ProxyHeader)
            );
            assert_eq!(
                first(b"\r\n\r\n\0\r\nQUIT\n\x21\x11", width).await,
                Some(Farewell::ProxyHeader)
            );
            assert_eq!(first(b"a1 CAPABILITY\r\n", width).await, None);
            assert_eq!(first(b"PASS x\r\n", width).await, None);
            assert_eq!(first(b"HELP\r\n", width).await, None);
            assert_eq!(first(b"\r\nEHLO x\r\n", width).await, None);
            assert_eq!(first(b"\xff\xfd\x01\xff\xfd\x03\r\n", width).await, None);
            assert_eq!(first(b"\xff\xfb\x1fUSER u\r\n", width).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r08_a_client_has_ten_seconds_for_its_first_line() {
        for dribbles in [false, true] {
            let (mut client, ours) = duplex(64);
            let begun = tokio::time::Instant::now();
            let dribble = tokio::spawn(async move {
                for byte in *b"PRI * HTTP/2.0" {
                    tokio::time::sleep(Duration::from_secs(9)).await;
                    if dribbles && client.write_all(&[byte]).await.is_err() {
                        break;
                    }
                }
            });
            let first = stranger(&mut Wire::new(ours, "test")).await;
            assert!(matches!(first, Err(Lost::TimedOut)));
            let wanted = if dribbles { 19 } else { 10 };
            assert_eq!(begun.elapsed().as_secs(), wanted);
            drop(dribble);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_line_is_not_mistaken_for_a_header() {
        let (mut client, ours) = duplex(64);
        client.write_all(b"\r\n").await.unwrap();
        let begun = tokio::time::Instant::now();
        let first = stranger(&mut Wire::new(ours, "test")).await.unwrap();
        assert_eq!((first, begun.elapsed()), (None, PIECE));
    }
}
