//! One side of a dialogue alone: a client of any manners before its login, or a server of any manners up to ours.

use std::cell::Cell;

use emailproxy::protocol::{Dialogue, Heard, Identity, Local, Login, Offer, StartTls};
use emailproxy::refusal::{NotAdmitted, Refusal};
use emailproxy::secret::{AccessToken, Password};
use emailproxy::wire::Wire;
use emailproxy::wire::fuzzing::HELLO;
use emailproxy::wire::tls::Trust;

use crate::pipe::pipe;
use crate::promises::{Kind, TOKEN, check_line, check_open, check_server, holds};
use crate::{runtime, weighed};

/// The most that hearing a client may take, in bytes: two lines of the greatest length, decoded, and what was read.
const MOST: usize = 256 * 1024;

/// Splits off the bytes that say how a run goes.
fn manners(input: &[u8]) -> Option<(u8, usize, &[u8])> {
    let [flags, width, rest @ ..] = input else {
        return None;
    };
    let width = match width {
        0..16 => usize::from(*width) + 1,
        _ => usize::from(*width) * 64,
    };
    Some((*flags, width, rest))
}

/// Has a dialogue hear a client that says `input` and refuses whatever it logs in with.
pub fn client<D: Dialogue>(input: &[u8]) {
    let Some((flags, width, bytes)) = manners(input) else {
        return;
    };
    let (remote, stream) = pipe(width);
    remote.say(bytes);
    remote.end();
    let offer = Offer(vec!["PIPELINING".into(), "IDLE".into(), "SIZE 1000".into()]);
    let mut starttls = flags & 1 != 0;
    let listen = async {
        let mut client = Wire::new(stream, "client:1");
        let mut dialogue = D::new();
        let local = |starttls| Local {
            offer: &offer,
            starttls,
            onlooker: None,
        };
        let mut lost = dialogue.greet(&mut client, &local(starttls)).await.is_err();
        for _ in 0..20 {
            if lost {
                break;
            }
            match dialogue.hear(&mut client, &local(starttls)).await {
                Ok(Heard::Login(login)) => {
                    check_login(&login);
                    let refusal = Refusal::NotAdmitted(NotAdmitted::WrongPassword);
                    lost = dialogue
                        .refuse(&mut client, &login, &refusal)
                        .await
                        .is_err();
                }
                Ok(Heard::StartTls) => {
                    assert!(starttls, "TLS was begun that was not offered");
                    starttls = false;
                    client = client.pretend_secured();
                }
                Ok(Heard::Left | Heard::ShownOut(_)) | Err(_) => lost = true,
            }
        }
    };
    let ((), most) = weighed(|| runtime().block_on(listen));
    assert!(most < MOST + bytes.len() * 2, "{most} bytes for one client");
    let told = remote.heard();
    assert!(told.is_empty() || told.ends_with(b"\r\n"));
    for line in told
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line = line.strip_suffix(b"\r").expect("a bare LF was sent");
        check_line("an answer", std::str::from_utf8(line).expect("ASCII"));
    }
}

fn check_login(login: &Login) {
    assert!((1..=320).contains(&login.user.len()));
    assert!(!login.user.bytes().any(|byte| byte < 0x21 || byte == 0x7f));
    let password = login.password.reveal();
    assert!(password.len() <= 1024);
    assert!(
        !password
            .iter()
            .any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
    );
    assert!(login.tag.bytes().all(|byte| byte.is_ascii_graphic()));
}

/// Has a dialogue log in at a server that says a piece of `input` whenever it was spoken to; pieces end at bytes of 255.
pub fn server<D: Dialogue>(kind: Kind, input: &[u8]) {
    let Some((flags, width, bytes)) = manners(input) else {
        return;
    };
    let starttls = flags & 1 != 0;
    let (remote, stream) = pipe(width);
    let token = AccessToken::parse(&format!("{TOKEN}-1")).expect("a good token");
    let identity = Identity {
        user: "user@example.org",
        token: &token,
        host: "mail.example",
        port: 993,
    };
    let login = Login {
        user: "user@example.org".into(),
        password: Password::from("unused"),
        tag: if flags & 2 != 0 { "A1" } else { "" }.into(),
        verb: "LOGIN",
    };
    let trust = TRUST.with(Clone::clone);
    // Nothing can be kept from a server that says the token before it was shown it.
    let knew = Cell::new(false);
    let speak = async {
        let mut seen = 0;
        let mut said = Vec::new();
        for (number, piece) in bytes.split(|&byte| byte == 255).enumerate() {
            if number > 0 {
                let Some(heard) = remote.listen(seen).await else {
                    return;
                };
                if heard.ends_with(HELLO) {
                    remote.say(HELLO);
                }
                seen = heard.len();
            }
            said.extend_from_slice(piece);
            if holds(&said, TOKEN) && !holds(&remote.heard(), TOKEN) {
                knew.set(true);
            }
            remote.say(piece);
        }
        remote.end();
    };
    let log_in = async {
        let mut server = Wire::new(stream, "mail.example:993");
        if !starttls {
            server = server.pretend_secured();
        }
        let how = starttls.then_some(StartTls {
            trust: &trust,
            host: "mail.example",
        });
        let dialogue = D::new();
        let mut opened = dialogue.open(server, how, None).await?;
        for entry in &opened.abilities.offer.0 {
            check_line("an offer", entry);
        }
        let done = dialogue.authenticate(&mut opened, identity, &login).await;
        if done.is_err() {
            D::leave(opened.server).await;
        }
        done
    };
    let ((done, ()), most) = weighed(|| runtime().block_on(async { tokio::join!(log_in, speak) }));
    assert!(most < MOST + bytes.len() * 2, "{most} bytes for one server");
    if knew.get() {
        return;
    }
    let heard = remote.heard();
    if starttls {
        check_server(kind, false, &heard, None);
    } else {
        let secured = [HELLO, heard.as_slice()].concat();
        check_server(kind, true, &secured, None);
    }
    match done {
        Ok(welcome) => assert!(welcome.0.ends_with(b"\r\n")),
        Err(refusal) => {
            let said = refusal.to_string();
            check_line("a refusal", &said);
            check_open("a refusal", said.as_bytes(), &[TOKEN]);
            check_line("a client's reason", &refusal.to_client("user@example.org"));
        }
    }
}

thread_local! {
    static TRUST: Trust = Trust::new(None).expect("roots can be read");
}
