//! Where a mail behind DATA ends: at `CR LF . CR LF` and nowhere else (RFC 5321 section 4.1.1.4).
//!
//! Knows nothing of what is in the mail.

use super::{Asked, Guard};

/// How much of `CR LF . CR LF` was seen of a mail's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Line,
    Cr,
    Start,
    Alone,
    Ending,
}

impl Dot {
    /// Passes through a mail up to its end, or as far as there is: how many bytes, and where it is then; `None` at the end.
    pub(super) fn pass(mut self, bytes: &[u8]) -> (usize, Option<Self>) {
        let mut at = 0;
        loop {
            if self == Self::Line {
                let rest = bytes.get(at..).unwrap_or_default();
                at += memchr::memchr(b'\r', rest).unwrap_or(rest.len());
            }
            let Some(byte) = bytes.get(at) else {
                return (bytes.len(), Some(self));
            };
            at += 1;
            self = match (self, byte) {
                (Self::Ending, b'\n') => return (at, None),
                (Self::Cr, b'\n') => Self::Start,
                (Self::Start, b'.') => Self::Alone,
                (Self::Alone, b'\r') => Self::Ending,
                (_, b'\r') => Self::Cr,
                _ => Self::Line,
            };
        }
    }
}

impl Guard {
    /// Notes how far a mail has come that nobody allowed yet, in case somebody does. A client that keeps to the rules
    /// waits.
    pub(super) fn note_mail(&mut self, bytes: &[u8]) {
        if let Asked::Mail(Some(dot)) = self.state.asked {
            self.state.asked = Asked::Mail(dot.pass(bytes).1);
        }
    }
}
