//! A mail program that submits: every way of handing a mail over that submission servers know.
//!
//! With DATA and with BDAT, waiting for each answer or not (RFC 5321, RFC 2920, RFC 3030), in one piece or in many.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dice::Dice;
use crate::letter::Letter;
use crate::talk::Talk;
use crate::{PASSWORD, USER};

/// What a client knows of a mail after it tried to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the server's now, under this number in its queue.
    Accepted(String),
    /// The server, or the proxy for it, said no.
    Refused(String),
    /// The connection ended before an answer came.
    Cut,
}

/// Why there is no session.
#[derive(Clone, Debug)]
pub(crate) enum Setback {
    /// A word said no.
    Refused(String),
    /// The connection ended.
    Cut,
}

impl Setback {
    /// Returns the word, if there was one.
    pub(crate) fn refusal(&self) -> Option<&String> {
        match self {
            Self::Refused(text) => Some(text),
            Self::Cut => None,
        }
    }
}

impl From<io::Error> for Setback {
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

/// An answer.
struct Reply {
    code: u16,
    text: String,
}

/// A connection on which the login is done.
#[derive(Debug)]
pub(crate) struct Sender(Talk);

impl Sender {
    /// Connects and logs in.
    pub(crate) async fn open(port: u16, dice: &mut Dice) -> Result<Self, Setback> {
        let mut sender = Self(Talk::open(port).await?);
        sender.hears(220).await?;
        sender.says("EHLO load.example.com", 250).await?;
        let whole = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
        match dice.between(0, 2) {
            0 => {
                sender.says(&format!("AUTH PLAIN {whole}"), 235).await?;
            }
            1 => {
                sender.says("AUTH PLAIN", 334).await?;
                sender.says(&whole, 235).await?;
            }
            _ => {
                sender.says("AUTH LOGIN", 334).await?;
                sender.says(&STANDARD.encode(USER), 334).await?;
                sender.says(&STANDARD.encode(PASSWORD), 235).await?;
            }
        }
        if dice.once_in(2) {
            sender.says("EHLO load.example.com", 250).await?;
        }
        Ok(sender)
    }

    /// Sends mails, in one of the ways; what became of each, in their order.
    pub(crate) async fn submit(&mut self, letters: &[Letter], dice: &mut Dice) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let ended = match dice.between(0, 3) {
            0 => self.step_by_step(letters, dice, &mut verdicts).await,
            1 => self.chained(letters, dice, &mut verdicts).await,
            2 => self.in_chunks(letters, dice, &mut verdicts).await,
            _ => self.in_one_volley(letters, dice, &mut verdicts).await,
        };
        assert!(ended.is_err() || verdicts.len() == letters.len());
        verdicts.resize(letters.len(), Verdict::Cut);
        verdicts
    }

    /// Says goodbye and waits for the end, or just leaves.
    pub(crate) async fn leave(mut self, dice: &mut Dice) -> io::Result<()> {
        if dice.once_in(4) {
            return Ok(());
        }
        self.0.send(b"QUIT\r\n").await?;
        let reply = self.reply().await?;
        let silent = self.0.end().await?;
        assert!(reply.code == 221 && silent, "{}", reply.text);
        Ok(())
    }

    /// Waits for every answer.
    async fn step_by_step(
        &mut self,
        letters: &[Letter],
        dice: &mut Dice,
        verdicts: &mut Vec<Verdict>,
    ) -> io::Result<()> {
        for letter in letters {
            let lines = [mail_from(letter, dice), rcpt_to(letter), "DATA\r\n".into()];
            let mut last = None;
            for line in lines {
                self.0.send(line.as_bytes()).await?;
                let reply = self.reply().await?;
                let refused = reply.code >= 400;
                last = Some(reply);
                if refused {
                    break;
                }
            }
            let mut reply = last.unwrap();
            if reply.code == 354 {
                self.0.scatter(&letter.stuffed(), dice).await?;
                reply = self.reply().await?;
            }
            verdicts.push(verdict(reply));
        }
        Ok(())
    }

    /// Sends the envelope as a group, and the next mail's right behind the end of the one before.
    async fn chained(
        &mut self,
        letters: &[Letter],
        dice: &mut Dice,
        verdicts: &mut Vec<Verdict>,
    ) -> io::Result<()> {
        let group = |letter: &Letter, dice: &mut Dice| {
            format!("{}{}DATA\r\n", mail_from(letter, dice), rcpt_to(letter)).into_bytes()
        };
        let first = group(&letters[0], dice);
        self.0.scatter(&first, dice).await?;
        for (place, letter) in letters.iter().enumerate() {
            let next = letters.get(place + 1).map(|next| group(next, dice));
            let next = next.unwrap_or_default();
            self.reply().await?;
            self.reply().await?;
            let reply = self.reply().await?;
            if reply.code != 354 {
                verdicts.push(verdict(reply));
                self.0.scatter(&next, dice).await?;
                continue;
            }
            let bytes = [letter.stuffed(), next].concat();
            self.0.scatter(&bytes, dice).await?;
            verdicts.push(verdict(self.reply().await?));
        }
        Ok(())
    }

    /// Sends chunks and waits for the answer to each.
    async fn in_chunks(
        &mut self,
        letters: &[Letter],
        dice: &mut Dice,
        verdicts: &mut Vec<Verdict>,
    ) -> io::Result<()> {
        for letter in letters {
            self.0.send(mail_from(letter, dice).as_bytes()).await?;
            self.reply().await?;
            self.0.send(rcpt_to(letter).as_bytes()).await?;
            let mut reply = self.reply().await?;
            for chunk in chunks(letter, dice) {
                if reply.code >= 400 {
                    break;
                }
                self.0.scatter(&chunk, dice).await?;
                reply = self.reply().await?;
            }
            verdicts.push(verdict(reply));
        }
        Ok(())
    }

    /// Sends several mails in chunks without waiting for anything.
    async fn in_one_volley(
        &mut self,
        letters: &[Letter],
        dice: &mut Dice,
        verdicts: &mut Vec<Verdict>,
    ) -> io::Result<()> {
        let mut volley = Vec::new();
        let mut answers = Vec::new();
        for letter in letters {
            volley.extend_from_slice(mail_from(letter, dice).as_bytes());
            volley.extend_from_slice(rcpt_to(letter).as_bytes());
            let chunks = chunks(letter, dice);
            answers.push(2 + chunks.len());
            volley.extend(chunks.concat());
        }
        self.0.scatter(&volley, dice).await?;
        for count in answers {
            let mut last = self.reply().await?;
            for _ in 1..count {
                last = self.reply().await?;
            }
            verdicts.push(verdict(last));
        }
        Ok(())
    }

    async fn says(&mut self, line: &str, wanted: u16) -> Result<(), Setback> {
        self.0.send(format!("{line}\r\n").as_bytes()).await?;
        self.hears(wanted).await
    }

    async fn hears(&mut self, wanted: u16) -> Result<(), Setback> {
        let reply = self.reply().await?;
        if reply.code == wanted {
            Ok(())
        } else {
            Err(Setback::Refused(reply.text))
        }
    }

    /// Hears an answer to its last line.
    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let text = self.0.line().await?;
            let code = text.get(..3).and_then(|code| code.parse().ok());
            let code = code.unwrap_or_else(|| panic!("no reply: {text:?}"));
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
        }
    }
}

/// Words the first line of an envelope, with parameters that servers may use or leave.
fn mail_from(letter: &Letter, dice: &mut Dice) -> String {
    let size = letter.bytes.len();
    let parameters = [
        String::new(),
        " BODY=8BITMIME".into(),
        format!(" SIZE={size}"),
        format!(" SIZE={size} BODY=8BITMIME"),
    ];
    format!("MAIL FROM:<{USER}>{}\r\n", dice.pick(&parameters))
}

fn rcpt_to(letter: &Letter) -> String {
    format!("RCPT TO:<{}>\r\n", letter.recipient)
}

/// Cuts a mail into chunks with their commands; now and then the last holds nothing, as it may be where no other may.
fn chunks(letter: &Letter, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut rest = letter.bytes.as_slice();
    let mut parts = Vec::new();
    for _ in 0..dice.between(0, 3) {
        if rest.len() < 2 {
            break;
        }
        let (part, behind) = rest.split_at(dice.between(1, rest.len() - 1));
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    if dice.once_in(4) {
        parts.push(b"");
    }
    let last = parts.len() - 1;
    let command = |(place, part): (usize, &&[u8])| {
        let end = if place == last { " LAST" } else { "" };
        let command = format!("BDAT {}{end}\r\n", part.len());
        [command.as_bytes(), part].concat()
    };
    parts.iter().enumerate().map(command).collect()
}

/// Reads the answer to a mail's end; Postfix names the number under which it lies in the queue.
fn verdict(reply: Reply) -> Verdict {
    match reply.text.split_once(" queued as ") {
        Some((_, number)) if reply.code == 250 => Verdict::Accepted(number.trim().to_owned()),
        _ if reply.code >= 400 => Verdict::Refused(reply.text),
        _ => panic!("neither yes nor no: {}", reply.text),
    }
}
