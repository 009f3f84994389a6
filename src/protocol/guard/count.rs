//! The number at a line's end that says how many bytes behind it are no lines: an IMAP literal's, an SMTP chunk's.
//!
//! Knows neither what the line says nor what is done with the bytes.

use super::Speech;

/// A number being read: a literal's `{n}` or `{n+}` at the end of a line, or a chunk's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Count {
    /// None begun.
    #[default]
    None,
    /// Within `{...`.
    Literal { size: u64, eager: bool },
    /// Behind `}`.
    Closed { size: u64, eager: bool },
    /// Within BDAT's first argument.
    Chunk(u64),
    /// Behind it.
    Sized(u64),
}

impl Count {
    /// Reads on.
    pub(super) fn after(self, speech: Speech, byte: u8) -> Self {
        let digit = |size: u64| {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            size.saturating_mul(10).saturating_add(digit)
        };
        match (self, byte) {
            (Self::Chunk(size), b'0'..=b'9') => Self::Chunk(digit(size)),
            // Blanks before a chunk's number, or behind one that is nothing; a literal's last CR.
            (Self::Chunk(0), b' ' | b'\t') | (Self::Closed { .. }, b'\r') => self,
            (Self::Chunk(size) | Self::Sized(size), _) => Self::Sized(size),
            (_, b'{') if speech == Speech::Imap => Self::Literal {
                size: 0,
                eager: false,
            },
            (Self::Literal { size, eager: false }, b'0'..=b'9') => Self::Literal {
                size: digit(size),
                eager: false,
            },
            (Self::Literal { size, eager: false }, b'+') => Self::Literal { size, eager: true },
            (Self::Literal { size, eager }, b'}') => Self::Closed { size, eager },
            _ => Self::None,
        }
    }
}
