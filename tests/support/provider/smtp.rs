//! The pretend submission server (RFC 5321, 4954, 3207, 3030).

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::knobs::{Manner, Step};
use super::mailbox::Envelope;
use super::talk::Talk;
use super::{World, sasl};

/// What is known of a client so far.
#[derive(Default)]
struct Session {
    helo: Option<String>,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    /// What BDAT brought so far.
    chunks: Vec<u8>,
}

impl Session {
    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
        self.chunks.clear();
    }
}

/// Serves one connection to its end, whose only sign is `None`.
pub async fn serve(mut talk: Talk, world: &Arc<World>, tls: &TlsAcceptor) -> Option<()> {
    talk.say("220 mail.example.com pretend ESMTP ready").await?;
    let mut session = Session::default();
    while let Some(line) = talk.line().await {
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        let done = match verb.as_str() {
            "EHLO" | "HELO" => {
                if world.hangs_up_at(Step::Offer) {
                    return None;
                }
                session.reset();
                session.helo = Some(rest.trim().to_owned());
                ehlo(&mut talk, world, &verb).await
            }
            "STARTTLS" if !talk.secured => {
                if world.hangs_up_at(Step::StartTls) {
                    return None;
                }
                talk.say("220 2.0.0 SMTP server ready").await?;
                talk = talk.begin_tls(tls).await?;
                session = Session::default();
                Some(())
            }
            "AUTH" => {
                if !talk.secured || session.helo.is_none() || session.user.is_some() {
                    talk.say("503 5.5.1 Bad sequence of commands").await
                } else {
                    match login(&mut talk, world, rest).await? {
                        Came::In(user) => {
                            session.user = Some(user);
                            Some(())
                        }
                        Came::Back => Some(()),
                    }
                }
            }
            "NOOP" => talk.say("250 2.0.0 OK").await,
            "RSET" => {
                session.reset();
                talk.say("250 2.0.0 Resetting").await
            }
            "QUIT" => {
                talk.say("221 2.0.0 Service closing transmission channel")
                    .await?;
                talk.hang_up().await;
                return None;
            }
            "MAIL" | "RCPT" | "DATA" | "BDAT" if session.user.is_none() => {
                talk.say("530 5.7.57 Client not authenticated to send mail.")
                    .await
            }
            "MAIL" => {
                session.reset();
                session.from = path(rest);
                match &session.from {
                    Some(_) => talk.say("250 2.1.0 Sender OK").await,
                    None => talk.say("501 5.5.4 Invalid arguments").await,
                }
            }
            "RCPT" if session.from.is_some() => match path(rest) {
                Some(to) => {
                    session.to.push(to);
                    talk.say("250 2.1.5 Recipient OK").await
                }
                None => talk.say("501 5.5.4 Invalid arguments").await,
            },
            "DATA" if !session.to.is_empty() => data(&mut talk, world, &mut session).await,
            "BDAT" if !session.to.is_empty() => bdat(&mut talk, world, &mut session, rest).await,
            "RCPT" | "DATA" | "BDAT" => talk.say("503 5.5.1 Bad sequence of commands").await,
            _ => talk.say("500 5.3.3 Unrecognized command").await,
        };
        done?;
    }
    None
}

async fn ehlo(talk: &mut Talk, world: &World, verb: &str) -> Option<()> {
    if verb == "HELO" {
        return talk.say("250 mail.example.com").await;
    }
    let mut lines = vec!["mail.example.com Hello".to_owned()];
    world.knob(|knobs| {
        lines.extend(knobs.smtp_offer.iter().map(ToString::to_string));
        lines.push(if talk.secured {
            format!("AUTH {}", knobs.mechanisms.join(" "))
        } else {
            "STARTTLS".into()
        });
    });
    let last = lines.pop()?;
    for line in lines {
        talk.put(&format!("250-{line}")).await?;
    }
    talk.say(&format!("250 {last}")).await
}

/// What came of a login.
enum Came {
    In(String),
    Back,
}

async fn login(talk: &mut Talk, world: &World, rest: &str) -> Option<Came> {
    if world.hangs_up_at(Step::Login) {
        return None;
    }
    let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    let mechanism = mechanism.to_ascii_uppercase();
    if !world.knob(|knobs| knobs.mechanisms.contains(&mechanism.as_str())) {
        talk.say("504 5.7.4 Unrecognized authentication type")
            .await?;
        return Some(Came::Back);
    }
    let response = if initial.is_empty() {
        talk.say("334 ").await?;
        talk.line().await?
    } else if initial.len() > 490 {
        // RFC 5321 section 4.5.3.1.4: a command line has at most 512 bytes.
        talk.say("500 5.5.2 Line too long").await?;
        return Some(Came::Back);
    } else {
        initial.to_owned()
    };
    if response == "*" {
        talk.say("501 5.7.0 Authentication cancelled").await?;
        return Some(Came::Back);
    }
    if world.hangs_up_at(Step::Token) {
        return None;
    }
    if let Some(no) = world.knob(|knobs| knobs.refusal.clone()) {
        for line in no.split('\n') {
            talk.put(line).await?;
        }
        talk.flush().await?;
        return Some(Came::Back);
    }
    let verdict = sasl::judge(world, &mechanism, &response, true);
    let no: &[&str] = match world.knob(|knobs| knobs.manner) {
        Manner::Honest if verdict.is_ok() => {
            let line = "235 2.7.0 Authentication successful";
            return match (talk.say(line).await, verdict) {
                (Some(()), Ok(user)) => Some(Came::In(user)),
                _ => None,
            };
        }
        Manner::Honest | Manner::Challenge => {
            if let Err(why) = verdict {
                talk.note(why);
            }
            let challenge = format!("334 {}", sasl::challenge(&mechanism));
            talk.say(&challenge).await?;
            talk.line().await?;
            &[
                "535-5.7.8 Username and Password not accepted. For more information, go to",
                "535 5.7.8  https://support.example.com/mail/?p=BadCredentials",
            ]
        }
        Manner::Curt => &[
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        ],
        Manner::Throttled => &["432 4.3.2 Concurrent connections limit exceeded."],
        Manner::Silent => {
            talk.note("silence");
            while talk.line().await.is_some() {}
            return None;
        }
    };
    for line in no {
        talk.put(line).await?;
    }
    talk.flush().await.map(|()| Came::Back)
}

/// Takes a mail up to the lonely dot, dots unstuffed.
async fn data(talk: &mut Talk, world: &World, session: &mut Session) -> Option<()> {
    talk.say("354 Start mail input; end with <CRLF>.<CRLF>")
        .await?;
    talk.quiet = true;
    let mut content = Vec::new();
    loop {
        let line = talk.bytes().await?;
        if line == b"." {
            break;
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        content.extend_from_slice(b"\r\n");
    }
    talk.quiet = false;
    accept(talk, world, session, content).await
}

/// Takes one chunk (RFC 3030); the last one ends the mail.
async fn bdat(talk: &mut Talk, world: &World, session: &mut Session, rest: &str) -> Option<()> {
    let mut words = rest.split_ascii_whitespace();
    let count: usize = words.next()?.parse().ok()?;
    let last = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
    let chunk = talk.octets(count).await?;
    session.chunks.extend(chunk);
    if !last {
        return talk
            .say(&format!("250 2.0.0 {count} octets received"))
            .await;
    }
    let content = std::mem::take(&mut session.chunks);
    accept(talk, world, session, content).await
}

async fn accept(
    talk: &mut Talk,
    world: &World,
    session: &mut Session,
    content: Vec<u8>,
) -> Option<()> {
    talk.note(format!("a mail of {} bytes", content.len()));
    world.mailboxes.deliver(Envelope {
        user: session.user.clone()?,
        helo: session.helo.clone()?,
        from: session.from.take()?,
        to: std::mem::take(&mut session.to),
        content: Arc::new(content),
    });
    session.reset();
    talk.say("250 2.6.0 Queued mail for delivery").await
}

/// Reads the path in `FROM:<path>` or `TO:<path>`.
fn path(rest: &str) -> Option<String> {
    let (_, path) = rest.split_once('<')?;
    let (path, _) = path.split_once('>')?;
    Some(path.to_owned())
}
