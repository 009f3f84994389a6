//! One connection of a browser: one request, one answer, each bounded in length and time.
//!
//! Every answer leaves here with the same headers, also where no request could be read. What a request means is
//! `callback`'s; who is let in is `listener`'s.

use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tracing::debug;
use zeroize::Zeroizing;

use super::head::{self, Head};
use super::pages::page;

/// The longest head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// How long a body may be, in bytes: an account, a password, a pasted address.
pub(super) const MAX_BODY: usize = 20 * 1024;

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(5);

/// How long an answer may take to be read, and how long what the other side still sends is thrown away afterwards, so that
/// it gets to read the answer at all.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much is thrown away, in bytes.
const MAX_REST: u64 = 256 * 1024;

/// A request that came whole.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its head.
    pub(super) parts: Parts,
    /// Its body; empty but for POST. It may hold a password.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Asked {
    /// Returns whether the body is a form's.
    pub(super) fn is_form(&self) -> bool {
        let kind = self.parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }
}

/// Reads the one request of a connection. The error is the status to refuse it with; none where nothing was said at all:
/// browsers open connections in advance, and an answer to no request might be taken for that to the next.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    within: Duration,
) -> Result<Asked, Option<StatusCode>> {
    let mut bytes = Vec::new();
    let heard = match timeout(within, hear_head(stream, &mut bytes)).await {
        Ok(heard) => heard,
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    };
    match heard {
        Ok((parts, length)) => Ok(hear_body(stream, parts, bytes, length).await?),
        Err(_) if bytes.is_empty() => Err(None),
        Err(status) => Err(Some(status)),
    }
}

/// Reads the rest of a request, of which `body` came with its head.
async fn hear_body(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    parts: Parts,
    body: Vec<u8>,
    length: usize,
) -> Result<Asked, StatusCode> {
    let mut body = Zeroizing::new(body);
    if parts.method != Method::POST {
        body.clear();
        return Ok(Asked { parts, body });
    }
    if length > MAX_BODY {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    body.truncate(length);
    let missing = length - body.len();
    body.reserve_exact(missing);
    let mut rest = stream.take(u64::try_from(missing).unwrap_or_default());
    let arriving = timeout(BODY, rest.read_to_end(&mut body)).await;
    match arriving {
        Ok(Ok(_)) if body.len() == length => Ok(Asked { parts, body }),
        Ok(_) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Reads a head and how long it says its body is; what came of that is left in `bytes`.
async fn hear_head(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<(Parts, usize), StatusCode> {
    let mut some = [0; 4096];
    loop {
        let count = stream.read(&mut some).await.unwrap_or_default();
        let news = some.get(..count).unwrap_or_default();
        if news.is_empty() {
            return Err(StatusCode::BAD_REQUEST);
        }
        let first = bytes.is_empty();
        bytes.extend_from_slice(news);
        // A head that drips in is not read again for each byte.
        if first || news.contains(&b'\n') {
            match head::read(bytes) {
                Head::Unfinished => {}
                Head::Refused(status) => return Err(status),
                Head::Whole { length, .. } if length > MAX_HEAD => break,
                Head::Whole {
                    parts,
                    length,
                    body,
                } => {
                    bytes.drain(..length);
                    return Ok((*parts, body));
                }
            }
        }
        if bytes.len() > MAX_HEAD {
            break;
        }
    }
    Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// Makes the answer to what was no request.
pub(super) fn refuse(status: StatusCode) -> Response<String> {
    page(status, "This is no request for emailproxy", &[])
}

/// Sends an answer, the only one of its connection.
pub(super) async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &Response<String>,
    with_body: bool,
) {
    let mut text = head_of(answer);
    let length = answer.body().len();
    text.extend_from_slice(
        format!("content-length: {length}\r\nconnection: close\r\n\r\n").as_bytes(),
    );
    if with_body {
        text.extend_from_slice(answer.body().as_bytes());
    }
    let saying = async {
        stream.write_all(&text).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MAX_REST), &mut tokio::io::sink()).await
    };
    match timeout(LAST_WORDS, saying).await {
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(error)) => debug!("a browser's connection ended early: {error}"),
    }
}

/// Words the status and the headers of an answer, without the blank line behind them.
pub(super) fn head_of<B>(answer: &Response<B>) -> Vec<u8> {
    let status = answer.status();
    let mut text = format!(
        "HTTP/1.1 {} {}\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or_default()
    )
    .into_bytes();
    for (name, value) in answer.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text
}
