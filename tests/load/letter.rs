//! Mails that are hard to carry, each made again from its number by whoever wants to compare.
//!
//! The recipient tells the mail and the attempt at it. Lines end with CRLF and have up to 998 characters (RFC 5322 section
//! 2.1.1); a bare CR or LF is not in them, since servers may refuse those.

use crate::dice::Dice;

/// How long a line may be, in bytes, without its end.
const LONGEST: usize = 998;

/// The smallest and the largest body, in bytes; some are empty besides.
const SIZES: (usize, usize) = (1024, 64 * 1024);

/// What looks like something else to whoever loses count.
const WORDS: [&str; 16] = [
    "AUTH PLAIN AGFubgBzZWNyZXQ=",
    "AUTH LOGIN",
    "DATA",
    "BDAT 10 LAST",
    "BDAT 0",
    "QUIT",
    "RSET",
    "MAIL FROM:<mallory@example.org>",
    "354 go ahead",
    "250 2.0.0 Ok: queued as NOTHING",
    "STARTTLS",
    "From ann@example.com Mon Nov 24 10:00:00 2025",
    ">From",
    "a LOGIN ann secret",
    "=2E=0D=0A.=0D=0A",
    "--=_boundary",
];

/// Which mail it is, and which attempt at sending it.
pub(crate) type Name = (u64, u32);

/// A mail to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Which it is.
    pub(crate) name: Name,
    /// To whom it goes.
    pub(crate) recipient: String,
    /// The whole of it, as it should arrive.
    pub(crate) bytes: Vec<u8>,
}

impl Letter {
    /// Writes it.
    pub(crate) fn write(seed: u64, name: Name) -> Self {
        let (mail, attempt) = name;
        let mut dice = Dice::new(seed, mail);
        let recipient = format!("load.{mail}.{attempt}@example.com");
        let mut bytes = format!(
            "From: <ann@example.com>\r\nTo: <{recipient}>\r\nSubject: load {mail}\r\n\
             Date: Mon, 24 Nov 2025 10:00:00 +0000\r\nMessage-ID: <{mail}.{attempt}@load.example.com>\r\n\r\n"
        )
        .into_bytes();
        if !dice.once_in(20) {
            let size = bytes.len() + dice.scaled(SIZES.0, SIZES.1);
            let all_alike = dice.once_in(8).then(|| dice.between(0, 7));
            while bytes.len() < size {
                let kind = all_alike.unwrap_or_else(|| dice.between(0, 12));
                line(&mut bytes, kind, &mut dice);
            }
        }
        Self {
            name,
            recipient,
            bytes,
        }
    }

    /// Reads a recipient's name.
    pub(crate) fn name_of(recipient: &str) -> Option<Name> {
        let (mail, attempt) = recipient
            .strip_prefix("load.")?
            .strip_suffix("@example.com")?
            .split_once('.')?;
        Some((mail.parse().ok()?, attempt.parse().ok()?))
    }

    /// Returns it as it goes behind DATA: dots doubled at the beginning of lines, and the final one (RFC 5321 section
    /// 4.5.2).
    pub(crate) fn stuffed(&self) -> Vec<u8> {
        let mut stuffed = Vec::with_capacity(self.bytes.len() + 64);
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        stuffed
    }
}

/// Writes one line of a kind.
fn line(bytes: &mut Vec<u8>, kind: usize, dice: &mut Dice) {
    match kind {
        0 => bytes.extend_from_slice(b"."),
        1 => bytes.extend_from_slice(&vec![b'.'; dice.between(2, LONGEST)]),
        2 => bytes.extend_from_slice(format!(".{}", dice.pick(&WORDS)).as_bytes()),
        3 => bytes.extend_from_slice(dice.pick(&WORDS).as_bytes()),
        4 => {}
        5 => bytes.extend_from_slice(&vec![b'x'; LONGEST]),
        6 => noise(bytes, LONGEST, dice),
        7 => bytes.extend_from_slice(b" \t trailing blanks \t "),
        _ => noise(bytes, dice.between(1, 200), dice),
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Writes bytes of any value but those that end lines, and NUL, which no mail may hold (RFC 5322 section 4).
fn noise(bytes: &mut Vec<u8>, count: usize, dice: &mut Dice) {
    let from = bytes.len();
    bytes.resize(from + count, 0);
    dice.fill(&mut bytes[from..]);
    for byte in &mut bytes[from..] {
        if matches!(*byte, 0 | b'\r' | b'\n') {
            *byte = b'~';
        }
    }
}
