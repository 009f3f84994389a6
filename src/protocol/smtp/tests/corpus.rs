//! Bytes without sense, from a fixed seed: nothing panics, hangs, or is taken for a yes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::protocol::smtp::Smtp;
use crate::protocol::{Dialogue as _, Heard, Identity, Local, Login, Offer, Opened};
use crate::refusal::Refusal;
use crate::secret::AccessToken;
use crate::wire::Wire;

/// A small generator (xorshift64): the same bytes in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    /// Words of the protocol, cut, joined and mixed with any bytes.
    fn babble(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut babble = Vec::new();
        for _ in 0..=self.roll(30) {
            match self.roll(4) {
                0 => babble.push(u8::try_from(self.roll(256)).unwrap()),
                1 => babble.extend_from_slice(b"\r\n"),
                _ => {
                    let word = words[self.roll(words.len())];
                    let cut = self.roll(word.len() * 4);
                    babble.extend_from_slice(&word[..cut.min(word.len())]);
                }
            }
        }
        babble
    }
}

const CLIENT: &[&[u8]] = &[
    b"\r\nAUTH PLAIN AHUAcA==\r\n",
    b"\r\nAUTH LOGIN dQ==\r\ncA==\r\n",
    b"\r\nAUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHAB\r\n",
    b"OAUTHBEARER ",
    b"EHLO ",
    b"client",
    b"AUTH ",
    b"PLAIN ",
    b"LOGIN ",
    b"AHUAcA==",
    b"=",
    b"*",
    b"MAIL FROM:<>",
    b"BDAT 3",
    b"STARTTLS",
    b"QUIT",
    b"RSET\r\n",
    b"NOOP\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\xff\xfb",
    b"GET / ",
];

const SERVER: &[&[u8]] = &[
    b"334 \r\n235 ok\r\n",
    b"220 ",
    b"250-",
    b"250 ",
    b"334 ",
    b"235-",
    b"535 ",
    b"421 4.3.2 ",
    b"host",
    b"AUTH XOAUTH2",
    b"AUTH=",
    b"eyJzdGF0dXMiOiI0MDAifQ==",
    b"\0",
    b"\r",
    b"\xe9",
    b"-",
    b"99",
];

#[tokio::test(start_paused = true)]
async fn clients_may_say_anything() {
    let mut dice = Dice(0x5eed_0000_0000_0001);
    let offer = Offer::default();
    let mut logins = 0;
    for round in 0..3_000 {
        let babble = dice.babble(CLIENT);
        let (ours, mut theirs) = duplex([1, 7, 4096][round % 3]);
        let speak = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut theirs);
            let said = async {
                drop(write.write_all(&babble).await);
                drop(write.shutdown().await);
            };
            let mut heard = Vec::new();
            tokio::join!(said, async { drop(read.read_to_end(&mut heard).await) });
            heard
        });
        let mut client = Wire::new(ours, "client");
        let mut smtp = Smtp::new();
        let local = Local {
            offer: &offer,
            starttls: round % 5 == 0,
            onlooker: None,
        };
        while let Ok(heard) = smtp.hear(&mut client, &local).await {
            let Heard::Login(login) = heard else { break };
            assert!(!local.starttls, "a login was heard before TLS");
            logins += 1;
            if smtp
                .refuse(
                    &mut client,
                    &login,
                    &Refusal::Busy("too many logins at once"),
                )
                .await
                .is_err()
            {
                break;
            }
        }
        drop(client);
        let heard = speak.await.unwrap();
        for line in heard.split_inclusive(|&byte| byte == b'\n') {
            let code = line.get(..3).unwrap_or_default();
            assert!(
                code.iter().all(u8::is_ascii_digit),
                "{}",
                heard.escape_ascii()
            );
            assert!(line.ends_with(b"\r\n"), "{}", heard.escape_ascii());
        }
    }
    assert!(
        logins > 0,
        "the babble never made a login: it proves too little"
    );
}

#[tokio::test(start_paused = true)]
async fn servers_may_say_anything() {
    let mut dice = Dice(0x5eed_0000_0000_0002);
    let token = AccessToken::parse("token").unwrap();
    let identity = Identity {
        user: "u",
        token: &token,
        host: "h",
        port: 25,
    };
    let login = Login {
        user: "u".into(),
        password: "p".into(),
        tag: String::new(),
        verb: "AUTH",
    };
    let (mut opens, mut logins) = (0, 0);
    for round in 0..3_000 {
        let mut babble = dice.babble(SERVER);
        if round % 2 == 0 {
            babble.splice(..0, *b"220 x\r\n250 x\r\n");
        }
        let (ours, mut theirs) = duplex([1, 7, 4096][round % 3]);
        let speak = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut theirs);
            let said = async {
                drop(write.write_all(&babble).await);
                // Half of them stay silent instead of hanging up.
                if round % 4 < 2 {
                    drop(write.shutdown().await);
                }
            };
            let mut heard = Vec::new();
            tokio::join!(said, async { drop(read.read_to_end(&mut heard).await) });
        });
        let opened: Result<Opened, Refusal> = Smtp::new()
            .open(Wire::new(ours, "server").pretend_secured(), None, None)
            .await;
        if let Ok(mut opened) = opened {
            opens += 1;
            let welcome = Smtp::new()
                .authenticate(&mut opened, identity, &login)
                .await;
            if let Ok(welcome) = welcome {
                logins += 1;
                assert!(
                    welcome.0.starts_with(b"235"),
                    "{}",
                    welcome.0.escape_ascii()
                );
                assert!(welcome.0.ends_with(b"\r\n"), "{}", welcome.0.escape_ascii());
            }
            Smtp::leave(opened.server).await;
        }
        speak.await.unwrap();
    }
    assert!(
        opens > 0 && logins > 0,
        "the babble never came through: it proves too little"
    );
}

/// Servers that never come to an end give a refusal, and no more memory than one reply may take.
#[tokio::test(start_paused = true)]
async fn endless_servers_are_refused() {
    for endless in [
        b"220-more\r\n".as_slice(),
        b"220 hello\r\n250-more\r\n",
        b"220",
        b"\0",
        b"\r\n",
        b"2",
        b"999 no\r\n",
    ] {
        let (ours, mut theirs) = duplex(4096);
        let flood = endless.repeat(100);
        let speak = tokio::spawn(async move { while theirs.write_all(&flood).await.is_ok() {} });
        let refusal = Smtp::new()
            .open(Wire::new(ours, "server"), None, None)
            .await
            .unwrap_err();
        assert!(
            matches!(refusal, Refusal::ServerMisbehaved { .. }),
            "{}: {refusal}",
            endless.escape_ascii()
        );
        speak.await.unwrap();
    }
}
