//! A mail server that answers as it should, unless its script has it do something else.

use std::sync::{Arc, Mutex};

use arbitrary::Arbitrary;
use emailproxy::wire::fuzzing::HELLO;

use crate::pipe::Remote;
use crate::promises::{Kind, PASSWORD, TOKEN, holds};
use crate::{Bytes, locked};

/// What a server does when it was spoken to.
#[derive(Arbitrary, Clone, Debug)]
pub enum Reply {
    /// What it should.
    Proper,
    /// Something else.
    Raw(Bytes),
    /// One of the answers that servers give in trouble.
    Trouble(u8),
    /// What it should, and something behind it.
    Behind(Bytes),
    /// Something, and then what it should.
    Before(Bytes),
    /// What it heard last, behind one of several beginnings.
    Echo(u8),
    /// The same byte again and again.
    Flood(u8, u16),
    /// Nothing.
    Silence,
    /// It hangs up.
    HangUp,
    /// It breaks the connection.
    Reset,
    /// It reads no more.
    Stick,
}

impl Reply {
    /// Returns whether a secret is said that was never shown.
    pub fn knows_secret(&self) -> bool {
        match self {
            Self::Raw(Bytes(bytes)) | Self::Behind(Bytes(bytes)) | Self::Before(Bytes(bytes)) => {
                holds(bytes, TOKEN) || holds(bytes, PASSWORD)
            }
            _ => false,
        }
    }
}

/// What all servers do, one after the other; properly once it is used up.
pub type Script = Arc<Mutex<std::vec::IntoIter<Reply>>>;

/// Plays one server's connection until the program hangs up.
pub async fn serve(kind: Kind, implicit: bool, remote: Remote, script: Script) {
    let mut server = Server {
        kind,
        remote,
        script,
        tag: String::new(),
        in_login: false,
    };
    let mut seen = 0;
    if !implicit {
        server.act(b"", server.greeting());
    }
    while let Some(heard) = server.remote.listen(seen).await {
        loop {
            let rest = &heard[seen..];
            if let Some(at) = rest.strip_prefix(HELLO) {
                seen = heard.len() - at.len();
                let mut reply = HELLO.to_vec();
                if implicit {
                    reply.extend_from_slice(&server.greeting());
                }
                server.act(b"", reply);
            } else if let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
                let line = rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]);
                seen += at + 1;
                let reply = server.proper(line);
                server.act(line, reply);
            } else {
                // Half a hello or line: more is to come.
                break;
            }
        }
        let known = heard.len();
        if seen < known && server.remote.listen(known).await.is_none() {
            return;
        }
    }
}

struct Server {
    kind: Kind,
    remote: Remote,
    script: Script,
    tag: String,
    /// Whether the next line is a login's message.
    in_login: bool,
}

impl Server {
    fn act(&self, heard: &[u8], proper: Vec<u8>) {
        let next = locked(&self.script).next().unwrap_or(Reply::Proper);
        let remote = &self.remote;
        match next {
            Reply::Proper => remote.say(&proper),
            Reply::Raw(Bytes(bytes)) => remote.say(&bytes),
            Reply::Trouble(which) => remote.say(&self.trouble(which)),
            Reply::Behind(Bytes(bytes)) => remote.say(&[proper, bytes].concat()),
            Reply::Before(Bytes(bytes)) => remote.say(&[bytes, proper].concat()),
            Reply::Echo(which) => {
                let beginnings: &[&str] = match self.kind {
                    Kind::Imap => &["+ ", "* ", "T NO ", "* BYE ", "T BAD "],
                    Kind::Pop => &["+ ", "+OK ", "-ERR ", "-ERR [SYS/TEMP] ", ""],
                    Kind::Smtp => &["334 ", "235 ", "535 5.7.8 ", "454 4.7.0 ", "535-"],
                };
                let beginning = beginnings[usize::from(which) % beginnings.len()];
                let beginning = beginning.replace("T ", &format!("{} ", self.tag));
                remote.say(&[beginning.as_bytes(), heard, b"\r\n"].concat());
            }
            Reply::Flood(byte, count) => remote.say(&vec![byte; usize::from(count)]),
            Reply::Silence => {}
            Reply::HangUp => remote.end(),
            Reply::Reset => remote.reset(),
            Reply::Stick => remote.stick(true),
        }
    }

    fn greeting(&self) -> Vec<u8> {
        let text: &[u8] = match self.kind {
            Kind::Imap => b"* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS AUTH=XOAUTH2] ready\r\n",
            Kind::Pop => b"+OK ready\r\n",
            Kind::Smtp => b"220 mail.example ready\r\n",
        };
        text.to_vec()
    }

    /// Returns what a server should answer.
    fn proper(&mut self, line: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(line).into_owned();
        let after_message = std::mem::take(&mut self.in_login);
        match self.kind {
            Kind::Imap => {
                if after_message {
                    return format!("{} OK logged in\r\n", self.tag).into_bytes();
                }
                let mut words = text.split(' ');
                self.tag = words.next().unwrap_or_default().to_owned();
                let tag = &self.tag;
                let verb = words.next().unwrap_or_default();
                match (verb, words.count()) {
                    ("CAPABILITY", _) => {
                        format!("* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 IDLE\r\n{tag} OK\r\n")
                    }
                    ("AUTHENTICATE", 1) => {
                        self.in_login = true;
                        "+ \r\n".into()
                    }
                    ("LOGOUT", _) => format!("* BYE\r\n{tag} OK\r\n"),
                    _ => format!("{tag} OK done\r\n"),
                }
            }
            Kind::Pop => match text.as_str() {
                "CAPA" => "+OK\r\nSTLS\r\nSASL XOAUTH2\r\nUIDL\r\n.\r\n".into(),
                "AUTH XOAUTH2" => {
                    self.in_login = true;
                    "+ \r\n".into()
                }
                _ => "+OK\r\n".into(),
            },
            Kind::Smtp => match text.split(' ').next().unwrap_or_default() {
                _ if after_message => "235 2.7.0 in\r\n".into(),
                "EHLO" => {
                    "250-mail.example\r\n250-STARTTLS\r\n250-CHUNKING\r\n250 AUTH XOAUTH2\r\n"
                        .into()
                }
                "STARTTLS" => "220 go\r\n".into(),
                "AUTH" => {
                    self.in_login = true;
                    "334 \r\n".into()
                }
                "DATA" => "354 go\r\n".into(),
                "QUIT" => "221 bye\r\n".into(),
                _ => "250 ok\r\n".into(),
            },
        }
        .into_bytes()
    }

    /// Returns one of the answers that servers give in trouble.
    fn trouble(&self, which: u8) -> Vec<u8> {
        let challenge = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=";
        let known: [&str; 10] = match self.kind {
            Kind::Imap => [
                "T NO [AUTHENTICATIONFAILED] no\r\n",
                "T NO [UNAVAILABLE] later\r\n",
                "T BAD what\r\n",
                "+ C\r\n",
                "* BYE overloaded\r\n",
                "* PREAUTH welcome\r\n",
                "X9 OK logged in\r\n",
                "* CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER\r\nT OK\r\n",
                "* OK hello {5}\r\nabcde\r\nT OK\r\n",
                "T OK [CAPABILITY IMAP4rev1] in\r\n",
            ],
            Kind::Pop => [
                "-ERR [AUTH] no\r\n",
                "-ERR [SYS/TEMP] later\r\n",
                "-ERR\r\n",
                "+ C\r\n",
                "+OK\r\nSASL OAUTHBEARER\r\n.\r\n",
                "+OK\r\n.\r\n",
                "+\r\n",
                "-ERR [IN-USE] busy\r\n",
                "+OK in\r\n+OK again\r\n",
                "-ERR throttled\r\n",
            ],
            Kind::Smtp => [
                "535 5.7.8 no\r\n",
                "454 4.7.0 later\r\n",
                "421 4.3.2 down\r\n",
                "334 C\r\n",
                "250-x\r\n250 AUTH OAUTHBEARER\r\n",
                "250 x\r\n",
                "235 2.7.0 already\r\n",
                "550-many\r\n550 lines\r\n",
                "354 go\r\n",
                "502 5.5.1 what\r\n",
            ],
        };
        let text = known[usize::from(which) % known.len()];
        let text = match text.strip_prefix("T ") {
            Some(rest) => format!("{} {rest}", self.tag),
            None => text.replace("\nT ", &format!("\n{} ", self.tag)),
        };
        text.replace(" C\r", &format!(" {challenge}\r"))
            .into_bytes()
    }
}
