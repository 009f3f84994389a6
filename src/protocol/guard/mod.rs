//! What a client says after its login: a second login's arguments are kept from the server, all else passes.
//!
//! Follows the client's lines only as far as it takes to find their first words: past IMAP literals, mails behind DATA
//! and chunks behind BDAT. Where it is in doubt, bytes pass, but for the lines right behind a second login: those are kept
//! back unless they begin a command. Allocates nothing; the server itself refuses what is left of such a login, in its
//! turn.

mod aside;
mod count;
mod mail;
mod server;
#[cfg(test)]
mod tests;

use aside::Aside;
use count::Count;
use mail::Dot;
use server::Ear;

/// The longest verb that matters, `AUTHENTICATE`.
const VERB: usize = 12;

/// How many lines behind a second login may belong to it: user name, password, and one for good measure.
const CONTINUATIONS: u8 = 3;

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
    /// At the start of a line that may belong to a second login; it is held until that shows.
    Doubt,
    /// Behind the first words, in what passes.
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

/// What waits for the server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing.
    Nothing,
    /// DATA, which a 354 makes a mail; how far one has come already, `None` where its end was said too.
    Mail(Option<Dot>),
    /// A literal of so many bytes, in the command of this tag.
    Literal { tag: u64, size: u64 },
    /// COMPRESS, in the command of this tag.
    Compress { tag: u64 },
}

/// All that a byte of the client changes.
#[derive(Clone, Copy, Debug)]
struct State {
    at: At,
    asked: Asked,
    /// The digest of the command's tag.
    tag: u64,
    /// How many lines more may belong to a second login.
    continuations: u8,
}

/// Follows one client after its login.
#[derive(Debug)]
pub struct Guard {
    speech: Speech,
    state: State,
    ear: Ear,
    aside: Aside,
    /// Whether anything was ever kept back.
    pub held_back: bool,
}

impl Guard {
    /// Begins behind a login.
    pub fn new(speech: Speech) -> Self {
        Self {
            speech,
            state: State {
                at: LINE,
                asked: Asked::Nothing,
                tag: 0,
                continuations: 0,
            },
            ear: Ear::Start,
            aside: Aside::default(),
            held_back: false,
        }
    }

    /// Returns how many of these bytes of the client share one fate, and whether they pass. At least 1 of 1 or more.
    /// What was [`released`](Self::released) goes before bytes that pass.
    pub fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.state.at == At::Doubt {
            let held = self.doubt(bytes);
            if held > 0 {
                return (held, false);
            }
        }
        let mut fate = None;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let before = self.state;
            if before.at == At::Doubt {
                break;
            }
            let (count, passes) = self.step(rest);
            if *fate.get_or_insert(passes) != passes {
                self.state = before;
                break;
            }
            self.note_mail(rest.get(..count).unwrap_or_default());
            done += count;
        }
        let passes = fate.unwrap_or(true);
        self.held_back |= !passes;
        (done, passes)
    }

    /// Returns what was held and passes after all, before what [`next`](Self::next) just let pass. Empty the next time.
    pub fn released(&mut self) -> &[u8] {
        self.aside.released()
    }

    /// Takes one step: the bytes it covers, and whether they pass.
    fn step(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Some(&byte) = bytes.first() else {
            return (0, true);
        };
        match self.state.at {
            At::Through | At::Doubt => (bytes.len(), true),
            At::Block { left, then } => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - here as u64;
                self.state.at = if left > 0 {
                    At::Block { left, then }
                } else {
                    then.after()
                };
                (here, then != Then::Less)
            }
            At::Mail(dot) => {
                let (count, dot) = dot.pass(bytes);
                self.state.at = dot.map_or(LINE, At::Mail);
                (count, true)
            }
            At::Word(word) => {
                self.state.at = self.word(word, byte);
                (1, true)
            }
            At::Rest(count) => {
                self.state.at = match (byte, count) {
                    (b'\n', Count::Closed { size, .. }) => {
                        let tag = self.state.tag;
                        self.state.asked = Asked::Literal { tag, size };
                        block(size, Then::More)
                    }
                    (b'\n', Count::Chunk(size) | Count::Sized(size)) => block(size, Then::Line),
                    (b'\n', _) => LINE,
                    _ => At::Rest(count.after(self.speech, byte)),
                };
                (1, true)
            }
            At::Cut { count, silent } => {
                self.state.at = match (byte, count) {
                    // Such a literal may come whatever the server says to the rest of the line.
                    (b'\n', Count::Closed { size, eager }) => {
                        if !eager && !silent {
                            let tag = self.state.tag;
                            self.state.asked = Asked::Literal { tag, size };
                        }
                        block(size, Then::Less)
                    }
                    (b'\n', _) => self.doubtful_line(),
                    _ => At::Cut {
                        count: count.after(self.speech, byte),
                        silent,
                    },
                };
                let ends = matches!(byte, b'\r' | b'\n');
                (1, ends && !silent)
            }
        }
    }

    /// Reads on in a line's first words.
    fn word(&mut self, mut word: Word, byte: u8) -> At {
        let is_tag = self.speech == Speech::Imap && word.place == 0;
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            if is_tag {
                self.state.tag = server::digest(self.state.tag, word.length == 0, byte);
            }
            word.push(byte);
            return At::Word(word);
        }
        if word.length == 0 {
            // Blanks before a word make it no other word.
            return if byte == b'\n' { LINE } else { At::Word(word) };
        }
        let more = matches!(byte, b' ' | b'\t');
        match (self.speech, word.verb()) {
            // Also where a client forgot the tag.
            (Speech::Imap, b"LOGIN" | b"AUTHENTICATE")
            | (Speech::Pop, b"USER" | b"PASS" | b"APOP" | b"AUTH")
            | (Speech::Smtp, b"AUTH")
                if more =>
            {
                self.state.continuations = CONTINUATIONS;
                return At::Cut {
                    count: Count::None,
                    silent: false,
                };
            }
            _ if is_tag && more => {
                return At::Word(Word {
                    place: 1,
                    ..Word::default()
                });
            }
            (Speech::Imap, b"COMPRESS") if !is_tag => {
                let tag = self.state.tag;
                self.state.asked = Asked::Compress { tag };
            }
            (Speech::Smtp, b"BDAT") if more => return At::Rest(Count::Chunk(0)),
            (Speech::Smtp, b"DATA") => self.state.asked = Asked::Mail(Some(Dot::Cr)),
            _ => {}
        }
        if byte == b'\n' {
            LINE
        } else {
            At::Rest(Count::None)
        }
    }

    /// Begins a line behind a second login.
    fn doubtful_line(&mut self) -> At {
        let left = self.state.continuations.checked_sub(1);
        self.state.continuations = left.unwrap_or(0);
        if left.is_some() { At::Doubt } else { LINE }
    }
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.length)) {
            *place = byte.to_ascii_uppercase();
        }
        self.length = self.length.saturating_add(1);
    }

    /// Returns the word in upper case; nothing where it is longer than any that matters.
    fn verb(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.length))
            .unwrap_or_default()
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
