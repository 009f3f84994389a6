//! Where a mail behind DATA ends: at `CR LF . CR LF` and nowhere else (RFC 5321 section 4.1.1.4).
//!
//! Knows nothing of what is in the mail.

use memchr::memmem;

use super::{Asked, Guard};

/// What ends a mail.
const END: &[u8] = b"\r\n.\r\n";

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
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            if self == Self::Line {
                let Some(at) = memmem::find(rest, END) else {
                    // What went before the last bytes cannot belong to an end that is yet to come.
                    let last = rest.len().saturating_sub(END.len() - 1);
                    let last = rest.get(last..).unwrap_or_default();
                    let now = last
                        .iter()
                        .fold(self, |now, &byte| now.after(byte).unwrap_or(now));
                    return (bytes.len(), Some(now));
                };
                return (bytes.len() - rest.len() + at + END.len(), None);
            }
            rest = behind;
            match self.after(byte) {
                Some(now) => self = now,
                None => return (bytes.len() - rest.len(), None),
            }
        }
        (bytes.len(), Some(self))
    }

    /// Takes one byte; `None` at the end of the mail.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Ending, b'\n') => None,
            (Self::Cr, b'\n') => Some(Self::Start),
            (Self::Start, b'.') => Some(Self::Alone),
            (Self::Alone, b'\r') => Some(Self::Ending),
            (_, b'\r') => Some(Self::Cr),
            _ => Some(Self::Line),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_it_stands_and_however_it_is_cut() {
        const LENGTH: u32 = 8;
        for number in 0..4_usize.pow(LENGTH) {
            let mail: Vec<u8> = (0..LENGTH)
                .map(|place| b"\r\n.x"[number / 4_usize.pow(place) % 4])
                .collect();
            let end = mail
                .windows(END.len())
                .position(|here| here == END)
                .map(|at| at + END.len());
            for cut in 0..=mail.len() {
                let (first, second) = mail.split_at(cut);
                let found = match Dot::Line.pass(first) {
                    (count, None) => Some(count),
                    (count, Some(dot)) => {
                        assert_eq!(count, cut);
                        let (more, dot) = dot.pass(second);
                        dot.is_none().then_some(count + more)
                    }
                };
                assert_eq!(found, end, "{mail:?} cut at {cut}");
            }
        }
    }
}
