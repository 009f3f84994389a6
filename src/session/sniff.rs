//! Strangers at the door: clients whose first bytes are TLS, HTTP or a PROXY header on a port that speaks mail.
//!
//! Only looks; nothing is taken from the wire, so that a mail client finds its first line untouched.

use crate::protocol::{CLIENT_TIME, Farewell};
use crate::wire::{Lost, Wire};

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
    loop {
        let first = match client.listen_beyond(seen, CLIENT_TIME).await {
            Ok(first) => first,
            Err(Lost::TimedOut) => return Err(Lost::TimedOut),
            // A client that leaves is the dialogue's to deal with.
            Err(_) => return Ok(None),
        };
        // A TLS record of a handshake: type 22, version 3.x.
        if first.first() == Some(&0x16) && first.get(1).is_none_or(|&major| major == 3) {
            return Ok(Some(Farewell::WantsTls));
        }
        if let Some((_, why)) = OPENINGS
            .iter()
            .find(|(opening, _)| first.starts_with(opening))
        {
            return Ok(Some(*why));
        }
        if !OPENINGS
            .iter()
            .any(|(opening, _)| opening.starts_with(first))
        {
            return Ok(None);
        }
        seen = first.len();
    }
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
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_once() {
        let (_client, ours) = duplex(64);
        let begun = tokio::time::Instant::now();
        let first = stranger(&mut Wire::new(ours, "test")).await;
        assert!(matches!(first, Err(Lost::TimedOut)));
        assert_eq!(begun.elapsed(), CLIENT_TIME);
    }
}
