//! The pretend IMAP server: IMAP4rev1 as far as common clients need it.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::knobs::{Manner, Step};
use super::talk::Talk;
use super::{World, sasl};

mod fetch;
mod folder;
mod words;

use words::Command;

/// Serves one connection to its end, whose only sign is `None`.
pub async fn serve(mut talk: Talk, world: &Arc<World>, tls: &TlsAcceptor) -> Option<()> {
    let greeting = if world.knob(|knobs| knobs.imap_greets_with_capabilities) {
        format!(
            "* OK [CAPABILITY {}] pretend IMAP ready",
            offer(world, &talk, None)
        )
    } else {
        "* OK The pretend IMAP4 service is ready. [ZABlAG0AbwA=]".into()
    };
    talk.say(&greeting).await?;
    while let Some(command) = words::hear(&mut talk).await {
        let tag = &command.tag;
        let done = match command.verb.as_str() {
            "CAPABILITY" => {
                if world.hangs_up_at(Step::Offer) {
                    return None;
                }
                let offer = format!("* CAPABILITY {}", offer(world, &talk, None));
                talk.put(&offer).await?;
                talk.say(&format!("{tag} OK CAPABILITY completed.")).await
            }
            "NOOP" | "ID" => talk.say(&format!("{tag} OK done")).await,
            "LOGOUT" => {
                talk.put("* BYE pretend IMAP signs off").await?;
                talk.say(&format!("{tag} OK LOGOUT completed.")).await?;
                talk.hang_up().await;
                return None;
            }
            "STARTTLS" if !talk.secured => {
                if world.hangs_up_at(Step::StartTls) {
                    return None;
                }
                talk.say(&format!("{tag} OK begin TLS now")).await?;
                talk = talk.begin_tls(tls).await?;
                Some(())
            }
            "AUTHENTICATE" if talk.secured => match login(&mut talk, world, &command).await? {
                Came::In(user) => {
                    folder::serve(talk, world, &user).await;
                    return None;
                }
                Came::Back => Some(()),
            },
            "AUTHENTICATE" | "LOGIN" => {
                talk.say(&format!("{tag} NO [PRIVACYREQUIRED] not like this"))
                    .await
            }
            _ => talk.say(&format!("{tag} BAD Command Error. 12")).await,
        };
        done?;
    }
    None
}

/// What came of a login.
enum Came {
    In(String),
    Back,
}

/// Lists what the server offers at this moment.
fn offer(world: &World, talk: &Talk, user: Option<&str>) -> String {
    let mut words = vec!["IMAP4rev1".to_owned()];
    world.knob(|knobs| {
        if !talk.secured {
            words.extend(["STARTTLS".into(), "LOGINDISABLED".into()]);
        } else if user.is_none() {
            words.extend(knobs.mechanisms.iter().map(|name| format!("AUTH={name}")));
        }
        words.extend(knobs.imap_offer.iter().map(ToString::to_string));
    });
    words.join(" ")
}

async fn login(talk: &mut Talk, world: &World, command: &Command) -> Option<Came> {
    if world.hangs_up_at(Step::Login) {
        return None;
    }
    let tag = &command.tag;
    let mechanism = command.text(0).to_ascii_uppercase();
    if !world.knob(|knobs| knobs.mechanisms.contains(&mechanism.as_str())) {
        talk.say(&format!("{tag} NO unsupported authentication mechanism"))
            .await?;
        return Some(Came::Back);
    }
    let response = if command.words.len() > 1 {
        if !world.knob(|knobs| knobs.imap_offer.contains(&"SASL-IR")) {
            talk.say(&format!("{tag} BAD Command Argument Error. 11"))
                .await?;
            return Some(Came::Back);
        }
        command.text(1)
    } else {
        talk.say("+ ").await?;
        talk.line().await?
    };
    if response == "*" {
        talk.say(&format!("{tag} BAD cancelled")).await?;
        return Some(Came::Back);
    }
    if world.hangs_up_at(Step::Token) {
        return None;
    }
    if let Some(no) = world.knob(|knobs| knobs.refusal.clone()) {
        talk.say(&format!("{tag} {no}")).await?;
        return Some(Came::Back);
    }
    let verdict = sasl::judge(world, &mechanism, &response, false);
    let no = match world.knob(|knobs| knobs.manner) {
        Manner::Honest => match verdict {
            Ok(user) => {
                let offer = offer(world, talk, Some(&user));
                let line = format!("{tag} OK [CAPABILITY {offer}] AUTHENTICATE completed.");
                return talk.say(&line).await.map(|()| Came::In(user));
            }
            Err(why) => {
                talk.note(why);
                challenge(talk, &mechanism).await?;
                "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
            }
        },
        Manner::Challenge => {
            challenge(talk, &mechanism).await?;
            "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
        }
        Manner::Curt => "NO AUTHENTICATE failed.",
        Manner::Throttled => "BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds",
        Manner::Silent => {
            talk.note("silence");
            while talk.line().await.is_some() {}
            return None;
        }
    };
    talk.say(&format!("{tag} {no}")).await.map(|()| Came::Back)
}

/// Sends the error challenge and waits for the empty line it wants.
async fn challenge(talk: &mut Talk, mechanism: &str) -> Option<()> {
    talk.say(&format!("+ {}", sasl::challenge(mechanism)))
        .await?;
    talk.line().await?;
    Some(())
}
