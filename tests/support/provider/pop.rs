//! The pretend POP3 server (RFC 1939, 2449, 2595).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::knobs::{Manner, Step};
use super::mailbox::Mail;
use super::talk::Talk;
use super::{World, sasl};

/// Serves one connection to its end, whose only sign is `None`.
pub async fn serve(mut talk: Talk, world: &Arc<World>, tls: &TlsAcceptor) -> Option<()> {
    talk.say("+OK The pretend POP3 service is ready.").await?;
    while let Some(line) = talk.line().await {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let done = match verb.as_str() {
            "CAPA" => {
                if world.hangs_up_at(Step::Offer) {
                    return None;
                }
                capa(&mut talk, world).await
            }
            "STLS" if !talk.secured => {
                if world.hangs_up_at(Step::StartTls) {
                    return None;
                }
                talk.say("+OK begin TLS").await?;
                talk = talk.begin_tls(tls).await?;
                Some(())
            }
            "AUTH" if talk.secured => {
                let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
                match login(&mut talk, world, &mechanism, words.next()).await? {
                    Came::In(user) => return maildrop(talk, world, &user).await,
                    Came::Back => Some(()),
                }
            }
            "QUIT" => {
                talk.say("+OK pretend POP3 signs off").await?;
                talk.hang_up().await;
                return None;
            }
            _ => talk.say("-ERR Command is not valid in this state.").await,
        };
        done?;
    }
    None
}

async fn capa(talk: &mut Talk, world: &World) -> Option<()> {
    let (offer, mechanisms) =
        world.knob(|knobs| (knobs.pop_offer.clone(), knobs.mechanisms.clone()));
    talk.put("+OK").await?;
    for line in offer {
        talk.put(line).await?;
    }
    if talk.secured {
        talk.put(&format!("SASL {}", mechanisms.join(" "))).await?;
    } else {
        talk.put("STLS").await?;
    }
    talk.say(".").await
}

/// What came of a login.
enum Came {
    In(String),
    Back,
}

async fn login(
    talk: &mut Talk,
    world: &World,
    mechanism: &str,
    initial: Option<&str>,
) -> Option<Came> {
    if world.hangs_up_at(Step::Login) {
        return None;
    }
    if !world.knob(|knobs| knobs.mechanisms.contains(&mechanism)) {
        talk.say("-ERR unsupported authentication mechanism")
            .await?;
        return Some(Came::Back);
    }
    let response = if let Some(initial) = initial {
        // RFC 2449 section 4: a command line has at most 255 bytes.
        if initial.len() > 230 {
            talk.say("-ERR command line too long").await?;
            return Some(Came::Back);
        }
        initial.to_owned()
    } else {
        talk.say("+ ").await?;
        talk.line().await?
    };
    if response == "*" {
        talk.say("-ERR cancelled").await?;
        return Some(Came::Back);
    }
    if world.hangs_up_at(Step::Token) {
        return None;
    }
    if let Some(no) = world.knob(|knobs| knobs.refusal.clone()) {
        talk.say(&no).await?;
        return Some(Came::Back);
    }
    let verdict = sasl::judge(world, mechanism, &response, false);
    let no = match world.knob(|knobs| knobs.manner) {
        Manner::Honest if verdict.is_ok() => {
            let line = "+OK User successfully authenticated.";
            return match (talk.say(line).await, verdict) {
                (Some(()), Ok(user)) => Some(Came::In(user)),
                _ => None,
            };
        }
        Manner::Honest | Manner::Challenge => {
            if let Err(why) = verdict {
                talk.note(why);
            }
            let challenge = format!("+ {}", sasl::challenge(mechanism));
            talk.say(&challenge).await?;
            talk.line().await?;
            "-ERR [AUTH] Invalid credentials"
        }
        Manner::Curt => "-ERR Authentication failure: unknown user name or bad password.",
        Manner::Throttled => "-ERR [SYS/TEMP] too many sessions, try again later",
        Manner::Silent => {
            talk.note("silence");
            while talk.line().await.is_some() {}
            return None;
        }
    };
    talk.say(no).await.map(|()| Came::Back)
}

/// Serves a user who is logged in.
async fn maildrop(mut talk: Talk, world: &World, user: &str) -> Option<()> {
    let mail = world.mailboxes.look(user, "INBOX");
    let mut deleted: BTreeSet<usize> = BTreeSet::new();
    while let Some(line) = talk.line().await {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let number: Option<usize> = words.next().and_then(|word| word.parse().ok());
        let lines: Option<usize> = words.next().and_then(|word| word.parse().ok());
        let left: Vec<(usize, &Mail)> = mail
            .iter()
            .enumerate()
            .map(|(at, mail)| (at + 1, mail))
            .filter(|(number, _)| !deleted.contains(number))
            .collect();
        let chosen = number.and_then(|number| left.iter().find(|(at, _)| *at == number));
        let size = |mail: &Mail| mail.content.len();
        let done = match (verb.as_str(), number, chosen) {
            ("CAPA", ..) => capa(&mut talk, world).await,
            ("NOOP", ..) => talk.say("+OK").await,
            ("RSET", ..) => {
                deleted.clear();
                talk.say("+OK").await
            }
            ("STAT", ..) => {
                let sum: usize = left.iter().map(|(_, mail)| size(mail)).sum();
                talk.say(&format!("+OK {} {sum}", left.len())).await
            }
            ("QUIT", ..) => {
                let gone: Vec<u32> = deleted.iter().map(|&at| mail[at - 1].uid).collect();
                world.mailboxes.change(user, "INBOX", |mail| {
                    mail.retain(|mail| !gone.contains(&mail.uid));
                });
                talk.say("+OK pretend POP3 signs off").await?;
                talk.hang_up().await;
                return None;
            }
            ("LIST", None, _) => {
                let mut lines = String::new();
                for (number, mail) in &left {
                    write!(lines, "{number} {}\r\n", size(mail)).unwrap();
                }
                talk.say(&format!("+OK\r\n{lines}.")).await
            }
            ("UIDL", None, _) => {
                let mut lines = String::new();
                for (number, mail) in &left {
                    write!(lines, "{number} uid-{}\r\n", mail.uid).unwrap();
                }
                talk.say(&format!("+OK\r\n{lines}.")).await
            }
            ("LIST", _, Some((number, mail))) => {
                talk.say(&format!("+OK {number} {}", size(mail))).await
            }
            ("UIDL", _, Some((number, mail))) => {
                talk.say(&format!("+OK {number} uid-{}", mail.uid)).await
            }
            ("RETR", _, Some((_, mail))) => show(&mut talk, &mail.content, None).await,
            ("TOP", _, Some((_, mail))) => show(&mut talk, &mail.content, lines.or(Some(0))).await,
            ("DELE", _, Some((number, _))) => {
                deleted.insert(*number);
                talk.say("+OK marked for deletion").await
            }
            ("LIST" | "UIDL" | "RETR" | "TOP" | "DELE", ..) => {
                talk.say("-ERR no such message").await
            }
            _ => talk.say("-ERR Command is not valid in this state.").await,
        };
        done?;
    }
    None
}

/// Sends a mail with its dots stuffed; of its body only so many lines.
async fn show(talk: &mut Talk, content: &[u8], mut lines: Option<usize>) -> Option<()> {
    talk.put(&format!("+OK {} octets", content.len())).await?;
    let mut out = Vec::with_capacity(content.len() + content.len() / 64);
    let mut in_body = false;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if in_body && let Some(left) = &mut lines {
            if *left == 0 {
                break;
            }
            *left -= 1;
        }
        in_body = in_body || line == b"\r\n";
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    talk.send(&out).await
}
