//! What the server says, as far as it decides what the client's next bytes are: 354 to DATA, a yes or no to a command that
//! announced a literal or COMPRESS.
//!
//! Hears the beginnings of lines only. A server's literals may hold lines that look like its answers; then a client that
//! logs in twice is the worse for it, and no other.

use super::{Asked, At, Guard, LINE, Speech, Then};

/// Where a server is in what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ear {
    /// At the start of a line.
    Start,
    /// Within the first word, of this digest.
    Tag(u64),
    /// Behind the tag of the command that waits.
    Verdict,
    /// Behind `3` and `35`.
    Code(u8),
    /// In what does not matter.
    Rest,
}

impl Guard {
    /// Hears what the server says.
    pub fn hear(&mut self, bytes: &[u8]) {
        if self.state.asked == Asked::Nothing {
            if let Some(last) = bytes.last() {
                self.ear = if *last == b'\n' {
                    Ear::Start
                } else {
                    Ear::Rest
                };
            }
            return;
        }
        for &byte in bytes {
            self.ear = match (self.ear, byte) {
                (_, b'\n') => Ear::Start,
                (Ear::Start, b'3') if self.speech == Speech::Smtp => Ear::Code(1),
                (Ear::Code(1), b'5') => Ear::Code(2),
                (Ear::Code(2), b'4') => {
                    self.mail_allowed();
                    Ear::Rest
                }
                (Ear::Start, b'*' | b'+') => Ear::Rest,
                (Ear::Start, _) if self.speech == Speech::Imap => Ear::Tag(digest(0, true, byte)),
                (Ear::Tag(tag), b' ') if self.waits_under(tag) => Ear::Verdict,
                (Ear::Tag(tag), byte) if byte != b' ' => Ear::Tag(digest(tag, false, byte)),
                (Ear::Verdict, _) => {
                    self.answered(byte.eq_ignore_ascii_case(&b'O'));
                    Ear::Rest
                }
                _ => Ear::Rest,
            };
        }
    }

    /// Only a 354 makes DATA a mail (RFC 5321 section 4.3.2).
    fn mail_allowed(&mut self) {
        if let Asked::Mail(come) = self.state.asked {
            self.state.asked = Asked::Nothing;
            if let Some(dot) = come {
                self.state.at = At::Mail(dot);
            }
        }
    }

    fn waits_under(&self, tag: u64) -> bool {
        matches!(
            self.state.asked,
            Asked::Literal { tag: asked, .. } | Asked::Compress { tag: asked } if asked == tag
        )
    }

    /// The command that waited is over: no literal comes any more that has not begun yet.
    fn answered(&mut self, yes: bool) {
        match (self.state.asked, self.state.at) {
            (Asked::Compress { .. }, _) if yes => self.state.at = At::Through,
            (Asked::Literal { size, .. }, At::Block { left, then }) if left == size => {
                self.state.at = if then == Then::Less {
                    self.doubtful_line()
                } else {
                    LINE
                };
            }
            _ => {}
        }
        self.state.asked = Asked::Nothing;
    }
}

/// Adds a byte of a tag to its digest (FNV-1a), which begins anew where it is the `first`.
pub(super) fn digest(so_far: u64, first: bool, byte: u8) -> u64 {
    let so_far = if first { 0xcbf2_9ce4_8422_2325 } else { so_far };
    (so_far ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}
