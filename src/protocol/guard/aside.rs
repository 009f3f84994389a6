//! A line right behind a second login: a command passes, anything else may be the rest of that login and does not.
//!
//! Clients say user name and password on lines of their own, and some do so without waiting for a yes. Knows no more of a
//! command than its first word.

use super::server::digest;
use super::{At, Count, Guard, LINE, Speech, Word};

/// How much of a line is held until it shows what it is, in bytes. No tag or verb is longer.
const ROOM: usize = 64;

/// The commands that are one word, in POP and SMTP.
const BARE: [&[u8]; 17] = [
    b"STAT",
    b"LIST",
    b"NOOP",
    b"RSET",
    b"QUIT",
    b"UIDL",
    b"LAST",
    b"CAPA",
    b"STLS",
    b"UTF8",
    b"LANG",
    b"DATA",
    b"HELP",
    b"EXPN",
    b"TURN",
    b"STARTTLS",
    b"XACK",
];

/// The beginning of a line, held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aside {
    text: [u8; ROOM],
    length: usize,
    released: usize,
}

impl Default for Aside {
    fn default() -> Self {
        Self {
            text: [0; ROOM],
            length: 0,
            released: 0,
        }
    }
}

impl Aside {
    fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> bool {
        let Some(place) = self.text.get_mut(self.length) else {
            return false;
        };
        *place = byte;
        self.length += 1;
        true
    }

    pub(super) fn released(&mut self) -> &[u8] {
        let count = std::mem::take(&mut self.released);
        self.text.get(..count).unwrap_or_default()
    }
}

/// What a line turned out to be.
enum Line {
    /// Nobody knows yet.
    Open,
    /// A command.
    Command,
    /// More of the login.
    Login,
}

impl Guard {
    /// Holds bytes until it shows what their line is, and returns how many. The byte that shows a command is not among
    /// them.
    pub(super) fn doubt(&mut self, bytes: &[u8]) -> usize {
        for (held, &byte) in bytes.iter().enumerate() {
            match self.tell(byte) {
                Line::Command => {
                    self.state.continuations = 0;
                    self.state.at = self.reread();
                    self.aside.released = self.aside.length;
                    self.aside.length = 0;
                    return held;
                }
                Line::Login => {
                    self.held_back = true;
                    self.aside.length = 0;
                    self.state.at = if byte == b'\n' {
                        self.doubtful_line()
                    } else {
                        At::Cut {
                            count: Count::None.after(self.speech, byte),
                            silent: true,
                        }
                    };
                    return held + 1;
                }
                Line::Open => {}
            }
        }
        bytes.len()
    }

    fn tell(&mut self, byte: u8) -> Line {
        let held = self.aside.text();
        let word = held.trim_ascii_end();
        let ends = matches!(byte, b'\r' | b'\n');
        let blank = matches!(byte, b' ' | b'\t');
        let command = |is: bool| if is { Line::Command } else { Line::Login };
        match self.speech {
            _ if held.is_empty() && ends => Line::Command,
            _ if held.is_empty() && blank => Line::Login,
            Speech::Imap if ends => command(word.eq_ignore_ascii_case(b"DONE")),
            // Behind the blank: a verb is a word of letters.
            Speech::Imap if word.len() < held.len() && !blank => {
                command(byte.is_ascii_alphabetic())
            }
            Speech::Pop | Speech::Smtp if ends => {
                command(BARE.iter().any(|bare| word.eq_ignore_ascii_case(bare)))
            }
            Speech::Pop | Speech::Smtp if blank => {
                command(word.len() <= super::VERB && word.iter().all(u8::is_ascii_alphabetic))
            }
            _ if self.aside.push(byte) => Line::Open,
            _ => Line::Login,
        }
    }

    /// Reads what was held as a command's first words.
    fn reread(&mut self) -> At {
        let held = self.aside.text().trim_ascii_end();
        if self.speech == Speech::Imap && held.len() < self.aside.length {
            let tag = held.iter().fold(None, |tag: Option<u64>, &byte| {
                Some(digest(tag.unwrap_or(0), tag.is_none(), byte))
            });
            self.state.tag = tag.unwrap_or(0);
            return At::Word(Word {
                place: 1,
                ..Word::default()
            });
        }
        let mut word = Word::default();
        for &byte in held {
            word.push(byte);
        }
        if word.length == 0 {
            LINE
        } else {
            At::Word(word)
        }
    }
}
