//! What an SMTP server says: replies of one or more lines, each with the same code (RFC 5321 section 4.2).
//!
//! Knows the grammar and its bounds, not what a code means in which place.

use tokio::time::timeout;

use crate::protocol::{MAX_REPLY, MAX_REPLY_LINE, MAX_REPLY_LINES, SERVER_TIME, lost_server};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::{Lost, Wire};

/// One whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The code, 200 to 599.
    pub(super) code: u16,
    /// The text of each line behind its code and separator; at least one line.
    pub(super) lines: Vec<Vec<u8>>,
}

/// Hears one reply, within [`SERVER_TIME`] as a whole.
pub(super) async fn hear(server: &mut Wire) -> Result<Reply, Refusal> {
    match timeout(SERVER_TIME, read(server)).await {
        Ok(reply) => reply,
        Err(_) => Err(lost_server(server.peer(), &Lost::TimedOut)),
    }
}

/// Words what a server did against the protocol.
pub(super) fn misbehaved(server: &Wire, why: &str) -> Refusal {
    Refusal::ServerMisbehaved {
        server: server.peer().to_owned(),
        why: why.into(),
    }
}

impl Reply {
    /// Returns whether it is a "not now" (4yz).
    pub(super) fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Returns whether it is a definite "no" (5yz).
    pub(super) fn is_refusal(&self) -> bool {
        self.code >= 500
    }

    /// Returns code and text of all lines as one, an enhanced code that each line repeats only once.
    pub(super) fn words(&self) -> Said {
        let mut words = self.code.to_string().into_bytes();
        let mut enhanced: &[u8] = b"";
        for (index, line) in self.lines.iter().enumerate() {
            let mut text = line.trim_ascii();
            if index == 0 {
                enhanced = enhanced_code(text);
            } else if !enhanced.is_empty() {
                text = text.strip_prefix(enhanced).unwrap_or(text).trim_ascii();
            }
            if !text.is_empty() {
                words.push(b' ');
                words.extend_from_slice(text);
            }
        }
        Said::new(words)
    }

    /// Returns the reply as it came, each line ended by CRLF.
    pub(super) fn verbatim(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            bytes.extend_from_slice(self.code.to_string().as_bytes());
            bytes.push(if index == last { b' ' } else { b'-' });
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

async fn read(server: &mut Wire) -> Result<Reply, Refusal> {
    let mut lines = Vec::new();
    let mut room = MAX_REPLY;
    let mut code = None;
    while lines.len() < MAX_REPLY_LINES {
        let line = server
            .line(MAX_REPLY_LINE, SERVER_TIME)
            .await
            .map_err(|lost| lost_server(server.peer(), &lost))?;
        let left = room.checked_sub(line.len() + 2);
        room = left.ok_or_else(|| misbehaved(server, "its reply is longer than 32 KiB"))?;
        let (this, more, text) = parse(&line).map_err(|why| misbehaved(server, why))?;
        if code.is_some_and(|code| code != this) {
            return Err(misbehaved(server, "the lines of one reply differ in code"));
        }
        code = Some(this);
        lines.push(text.to_vec());
        if !more {
            return Ok(Reply { code: this, lines });
        }
    }
    Err(misbehaved(server, "a reply never ends"))
}

/// Reads one line: its code, whether more lines follow, and its text.
fn parse(line: &[u8]) -> Result<(u16, bool, &[u8]), &'static str> {
    if line.iter().any(|&b| b != b'\t' && b.is_ascii_control()) {
        return Err("a reply holds control bytes");
    }
    let (code, rest) = line
        .split_at_checked(3)
        .ok_or("a reply is shorter than a code")?;
    let code = std::str::from_utf8(code)
        .ok()
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|code| code.parse().ok())
        .filter(|code| (200..600).contains(code))
        .ok_or("a reply does not begin with a code from 200 to 599")?;
    match rest.split_first() {
        None => Ok((code, false, rest)),
        Some((b' ', text)) => Ok((code, false, text)),
        Some((b'-', text)) => Ok((code, true, text)),
        Some(_) => Err("a reply's code is not followed by a blank or a hyphen"),
    }
}

/// Returns the enhanced code (RFC 3463) a text begins with, or nothing.
fn enhanced_code(text: &[u8]) -> &[u8] {
    let word = text.split(|&byte| byte == b' ').next().unwrap_or_default();
    let parts: Vec<&[u8]> = word.split(|&byte| byte == b'.').collect();
    let numbers = |part: &&[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if parts.len() == 3 && parts.iter().all(numbers) {
        word
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    async fn heard(bytes: &[u8], crumb: usize) -> Result<Reply, Refusal> {
        let (ours, mut theirs) = duplex(crumb);
        let bytes = bytes.to_vec();
        let speak = tokio::spawn(async move {
            // A listener that has heard enough hangs up.
            drop(theirs.write_all(&bytes).await);
        });
        let mut wire = Wire::new(ours, "mail.example:587");
        let reply = hear(&mut wire).await;
        drop(wire);
        speak.await.unwrap();
        reply
    }

    #[tokio::test]
    async fn replies_of_every_shape_are_heard() {
        let table: &[(&str, u16, &[&str])] = &[
            ("250 host\r\n", 250, &["host"]),
            ("250\r\n", 250, &[""]),
            ("250 \n", 250, &[""]),
            ("334 \r\n", 334, &[""]),
            ("220-a\r\n220-\r\n220 b\r\n", 220, &["a", "", "b"]),
            ("250-a\r\n250\r\n", 250, &["a", ""]),
        ];
        for (bytes, code, lines) in table {
            for crumb in [1, 4096] {
                let reply = heard(bytes.as_bytes(), crumb).await.unwrap();
                assert_eq!(reply.code, *code, "{bytes:?}");
                let texts: Vec<String> = reply
                    .lines
                    .iter()
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect();
                assert_eq!(texts, *lines, "{bytes:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_reply_is_refused() {
        let endless = "250-more\r\n".repeat(1_000);
        let long = format!("250 {}\r\n", "x".repeat(100_000));
        for bad in [
            "\r\n",
            "25\r\n",
            "2x0 ok\r\n",
            "150 ok\r\n",
            "600 ok\r\n",
            "+25 ok\r\n",
            "250_ok\r\n",
            "2500 ok\r\n",
            "250-a\r\n251 b\r\n",
            "* OK IMAP4 ready\r\n",
            "+OK POP3\r\n",
            "250 a\0b\r\n",
            "250 a\rb\r\n",
            endless.as_str(),
            long.as_str(),
        ] {
            for crumb in [1, 4096] {
                let refusal = heard(bad.as_bytes(), crumb).await.unwrap_err();
                assert!(
                    matches!(refusal, Refusal::ServerMisbehaved { .. }),
                    "{refusal}"
                );
            }
        }
        assert!(matches!(
            heard(b"250-a\r\n", 1).await.unwrap_err(),
            Refusal::ServerUnavailable { .. }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_reply_ends_in_time() {
        let (ours, mut theirs) = duplex(64);
        let drip = tokio::spawn(async move {
            while theirs.write_all(b"250-x\r\n").await.is_ok() {
                tokio::time::sleep(SERVER_TIME / 3).await;
            }
        });
        let mut wire = Wire::new(ours, "mail.example:587");
        let begun = tokio::time::Instant::now();
        let refusal = hear(&mut wire).await.unwrap_err();
        assert!(
            matches!(refusal, Refusal::ServerUnavailable { .. }),
            "{refusal}"
        );
        assert_eq!(begun.elapsed(), SERVER_TIME);
        drop(wire);
        drip.await.unwrap();
    }

    #[test]
    fn words_join_the_lines_and_say_the_enhanced_code_once() {
        let reply = Reply {
            code: 535,
            lines: vec![
                b"5.7.8 Username and Password not accepted. For more, go to".to_vec(),
                b"5.7.8  https://support.google.com/mail/?p=BadCredentials id - gsmtp".to_vec(),
            ],
        };
        assert_eq!(
            reply.words().as_str(),
            "535 5.7.8 Username and Password not accepted. For more, go to \
             https://support.google.com/mail/?p=BadCredentials id - gsmtp"
        );
        assert_eq!(
            reply.verbatim(),
            b"535-5.7.8 Username and Password not accepted. For more, go to\r\n\
              535 5.7.8  https://support.google.com/mail/?p=BadCredentials id - gsmtp\r\n"
        );
    }
}
