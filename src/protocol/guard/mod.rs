//! What a client says after its login: a second login's arguments are kept from the server, all else passes.
//!
//! Follows the client's lines only as far as it takes to find their first words: past IMAP literals, mails behind DATA
//! and chunks behind BDAT. Where it is in doubt, bytes pass. Holds nothing back, copies nothing, allocates nothing; the
//! server itself refuses what is left of such a line, in its turn.

#[cfg(test)]
mod tests;

/// The longest verb that matters, `AUTHENTICATE`.
const VERB: usize = 12;

/// What a client may not say twice, and what moves it away from lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// IMAP: a tag, then the verb; literals.
    Imap,
    /// POP3: lines alone.
    Pop,
    /// SMTP: mails behind DATA, chunks behind BDAT.
    Smtp,
}

/// Where a client is in what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the first words of a line.
    Word(Word),
    /// Behind them, in what passes.
    Rest(Count),
    /// Behind a second login's verb, in what is kept back; `silent` where the line's end is, too.
    Cut { count: Count, silent: bool },
    /// In a literal or a chunk of so many bytes more.
    Block { left: u64, then: Then },
    /// In a mail behind DATA.
    Mail(Dot),
    /// In compressed talk, which nobody can follow.
    Through,
}

/// A word being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Word {
    place: u8,
    length: u8,
    text: [u8; VERB],
}

/// A number being read: a literal's `{n}` or `{n+}` at the end of a line, or a chunk's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Count {
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

/// What follows a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// More of the same command.
    More,
    /// More of a second login, kept back with the block.
    Less,
    /// A new line.
    Line,
}

/// How much of `CR LF . CR LF` was seen of a mail's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    Line,
    Cr,
    Start,
    Alone,
    Ending,
}

/// Follows one client after its login.
#[derive(Debug)]
pub struct Guard {
    speech: Speech,
    at: At,
    /// Whether DATA was said and a 354 would mean a mail.
    asked: bool,
    /// How much of `354` stands at the start of the server's line.
    reply: u8,
    /// Whether anything was ever kept back.
    pub held_back: bool,
}

impl Guard {
    /// Begins behind a login.
    pub fn new(speech: Speech) -> Self {
        Self {
            speech,
            at: LINE,
            asked: false,
            reply: 0,
            held_back: false,
        }
    }

    /// Returns how many of these bytes of the client share one fate, and whether they pass. At least 1 of 1 or more.
    pub fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut fate = None;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let before = (self.at, self.asked);
            let (count, passes) = self.step(rest);
            if *fate.get_or_insert(passes) != passes {
                (self.at, self.asked) = before;
                break;
            }
            done += count;
        }
        let passes = fate.unwrap_or(true);
        self.held_back |= !passes;
        (done, passes)
    }

    /// Hears what the server says: only a 354 makes DATA a mail (RFC 5321 section 4.3.2).
    pub fn hear(&mut self, bytes: &[u8]) {
        if self.speech != Speech::Smtp {
            return;
        }
        for byte in bytes {
            self.reply = match (self.reply, byte) {
                (_, b'\n') => 0,
                (0, b'3') => 1,
                (1, b'5') => 2,
                (2, b'4') => {
                    if std::mem::take(&mut self.asked) {
                        self.at = At::Mail(Dot::Start);
                    }
                    u8::MAX
                }
                _ => u8::MAX,
            };
        }
    }

    /// Takes one step: the bytes it covers, and whether they pass.
    fn step(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Some(&byte) = bytes.first() else {
            return (0, true);
        };
        match self.at {
            At::Through => (bytes.len(), true),
            At::Block { left, then } => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - here as u64;
                self.at = if left > 0 {
                    At::Block { left, then }
                } else {
                    then.after()
                };
                (here, then != Then::Less)
            }
            At::Mail(dot) => (self.mail(dot, bytes), true),
            At::Word(word) => {
                self.at = self.word(word, byte);
                (1, true)
            }
            At::Rest(count) => {
                self.at = match (byte, count) {
                    (b'\n', Count::Closed { size, .. }) => block(size, Then::More),
                    (b'\n', Count::Chunk(size) | Count::Sized(size)) => block(size, Then::Line),
                    (b'\n', _) => LINE,
                    _ => At::Rest(self.count(count, byte)),
                };
                (1, true)
            }
            At::Cut { count, silent } => {
                let ends = matches!(byte, b'\r' | b'\n');
                self.at = match (byte, count) {
                    // A literal that waits for no yes comes whatever the server says to the rest of the line.
                    (b'\n', Count::Closed { size, eager: true }) => block(size, Then::Less),
                    (b'\n', _) => LINE,
                    _ => At::Cut {
                        count: self.count(count, byte),
                        silent,
                    },
                };
                (1, ends && !silent)
            }
        }
    }

    /// Reads on in a line's first words.
    fn word(&mut self, mut word: Word, byte: u8) -> At {
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            if let Some(place) = word.text.get_mut(usize::from(word.length)) {
                *place = byte.to_ascii_uppercase();
            }
            word.length = word.length.saturating_add(1);
            return At::Word(word);
        }
        let verb_at = u8::from(self.speech == Speech::Imap);
        if byte == b'\n' && (word.place < verb_at || word.length == 0) {
            return LINE;
        }
        if word.place < verb_at && word.length > 0 && byte == b' ' {
            return At::Word(Word {
                place: word.place + 1,
                ..Word::default()
            });
        }
        let verb = word
            .text
            .get(..usize::from(word.length))
            .unwrap_or_default();
        let more = matches!(byte, b' ' | b'\t');
        match (self.speech, verb) {
            (Speech::Imap, b"LOGIN" | b"AUTHENTICATE")
            | (Speech::Pop, b"USER" | b"PASS" | b"APOP" | b"AUTH")
            | (Speech::Smtp, b"AUTH")
                if more =>
            {
                At::Cut {
                    count: Count::None,
                    silent: false,
                }
            }
            (Speech::Imap, b"COMPRESS") => At::Through,
            (Speech::Smtp, b"BDAT") if more => At::Rest(Count::Chunk(0)),
            (Speech::Smtp, b"DATA") => {
                self.asked = true;
                if byte == b'\n' {
                    LINE
                } else {
                    At::Rest(Count::None)
                }
            }
            _ if byte == b'\n' => LINE,
            _ => At::Rest(Count::None),
        }
    }

    /// Reads on in a number.
    fn count(&self, count: Count, byte: u8) -> Count {
        let digit = |size: u64| {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            size.saturating_mul(10).saturating_add(digit)
        };
        match (count, byte) {
            (Count::Chunk(size), b'0'..=b'9') => Count::Chunk(digit(size)),
            (Count::Chunk(size) | Count::Sized(size), _) => Count::Sized(size),
            (_, b'{') if self.speech == Speech::Imap => Count::Literal {
                size: 0,
                eager: false,
            },
            (Count::Literal { size, eager: false }, b'0'..=b'9') => Count::Literal {
                size: digit(size),
                eager: false,
            },
            (Count::Literal { size, .. }, b'+' | b'-') => Count::Literal { size, eager: true },
            (Count::Literal { size, eager }, b'}') => Count::Closed { size, eager },
            (Count::Closed { .. }, b'\r') => count,
            _ => Count::None,
        }
    }

    /// Passes through a mail up to its end, or as far as there is.
    fn mail(&mut self, dot: Dot, bytes: &[u8]) -> usize {
        let (mut dot, mut at) = (dot, 0);
        loop {
            if dot == Dot::Line {
                let rest = bytes.get(at..).unwrap_or_default();
                at += memchr::memchr(b'\r', rest).unwrap_or(rest.len());
            }
            let Some(byte) = bytes.get(at) else {
                break;
            };
            at += 1;
            dot = match (dot, byte) {
                (Dot::Ending, b'\n') => {
                    self.at = LINE;
                    return at;
                }
                (Dot::Cr, b'\n') => Dot::Start,
                (Dot::Start, b'.') => Dot::Alone,
                (Dot::Alone, b'\r') => Dot::Ending,
                (_, b'\r') => Dot::Cr,
                _ => Dot::Line,
            };
        }
        self.at = At::Mail(dot);
        bytes.len()
    }
}

/// The start of a line.
const LINE: At = At::Word(Word {
    place: 0,
    length: 0,
    text: [0; VERB],
});

impl Then {
    /// Returns where a client is behind a block.
    fn after(self) -> At {
        match self {
            Self::More => At::Rest(Count::None),
            Self::Less => At::Cut {
                count: Count::None,
                silent: true,
            },
            Self::Line => LINE,
        }
    }
}

/// Begins a block; one of no bytes is over at once.
fn block(left: u64, then: Then) -> At {
    if left == 0 {
        then.after()
    } else {
        At::Block { left, then }
    }
}
