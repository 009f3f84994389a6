//! The head of one HTTP request: bytes in, its parts out. Pure; what a request means is `callback`'s.
//!
//! Strict where two readers could differ: one `Host`, one length, no other framing, HTTP/1.0 and 1.1 only.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, StatusCode, Version};

/// The most header lines.
const MAX_LINES: usize = 64;

/// What came so far.
#[derive(Debug)]
pub(super) enum Head {
    /// Not all of it.
    Unfinished,
    /// All of it.
    Whole {
        /// What it says.
        parts: Box<Parts>,
        /// How many bytes it took.
        length: usize,
        /// How long its body says it is, in bytes.
        body: usize,
    },
    /// No request that is answered, and the status to say so with.
    Refused(StatusCode),
}

/// Reads a request's head from the first bytes of a connection.
pub(super) fn read(bytes: &[u8]) -> Head {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut read = httparse::Request::new(&mut lines);
    match read.parse(bytes) {
        Ok(httparse::Status::Partial) => Head::Unfinished,
        Ok(httparse::Status::Complete(length)) => match parts(&read) {
            Some((parts, body)) => Head::Whole {
                parts: Box::new(parts),
                length,
                body,
            },
            None => Head::Refused(StatusCode::BAD_REQUEST),
        },
        Err(httparse::Error::TooManyHeaders) => {
            Head::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        Err(httparse::Error::Version) => Head::Refused(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => Head::Refused(StatusCode::BAD_REQUEST),
    }
}

/// Takes over what was read, with the length of the body; nothing where it can be read in two ways.
fn parts(read: &httparse::Request<'_, '_>) -> Option<(Parts, usize)> {
    let mut request = Request::builder()
        .method(read.method?)
        .uri(read.path?)
        .version(match read.version? {
            0 => Version::HTTP_10,
            _ => Version::HTTP_11,
        })
        .body(())
        .ok()?;
    for line in read.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(line.value).ok()?;
        request.headers_mut().append(name, value);
    }
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() || headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let body = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some(length), None) => number(length.as_bytes())?,
        (Some(_), Some(_)) => return None,
    };
    Some((request.into_parts().0, body))
}

/// Reads digits and nothing else.
fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()?
        .parse()
        .ok()
        .filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> Option<u16> {
        match read(request.replace('\n', "\r\n").as_bytes()) {
            Head::Refused(status) => Some(status.as_u16()),
            Head::Whole { .. } => Some(200),
            Head::Unfinished => None,
        }
    }

    #[test]
    fn r16_a_request_is_read_in_one_way_or_not_at_all() {
        let many = "X: y\n".repeat(65);
        for (request, expected) in [
            ("GET / HTTP/1.1\nHost: a\n\n", Some(200)),
            ("GET / HTTP/1.0\nHost: a\n\n", Some(200)),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
                Some(200),
            ),
            ("GET / HTTP/1.1\nHost: a\n", None),
            ("GET / HTT", None),
            ("GET / HTTP/1.1\n\n", Some(400)),
            ("GET / HTTP/1.1\nHost: a\nHost: a\n\n", Some(400)),
            (
                "GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: identity\n\nabc",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nContent-Length: 3\n\nabc",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: 3, 3\n\nabc",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: +3\n\nabc",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: -1\n\nabc",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999999\n\n",
                Some(400),
            ),
            ("GET / HTTP/1.1\nHost : a\n\n", Some(400)),
            ("GET / HTTP/1.1\nHost: a\n b\n\n", Some(400)),
            ("GET / HTTP/1.1\nHost: a\nX: \u{0}\n\n", Some(400)),
            ("GET /\n", Some(400)),
            ("GET / HTTP/2.0\n\n", Some(505)),
            ("PRI * HTTP/2.0\n\nSM\n\n", Some(505)),
            ("EHLO localhost\n", Some(400)),
            ("a1 LOGIN x y\n", Some(505)),
            ("\u{16}\u{3}\u{1}", Some(400)),
            (&format!("GET / HTTP/1.1\nHost: a\n{many}\n"), Some(431)),
        ] {
            assert_eq!(status(request), expected, "{request:?}");
        }
    }
}
