//! What is counted, and how much it may take. Each bound is a quarter above what was counted when it was set.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emailproxy::protocol::guard::{Guard, Speech};
use emailproxy::protocol::sasl::{self, OneMessage};
use emailproxy::session::splice::{Traffic, splice};
use emailproxy::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// Something that is repeated and counted.
pub(crate) struct Case {
    /// What it is.
    pub(crate) name: &'static str,
    /// How many instructions one repetition may take.
    pub(crate) most: u64,
    /// Repeats it.
    pub(crate) run: fn(u64),
}

/// How much a pipe holds: as much as a relay moves at once.
const PIPE: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;

const SOON: Duration = Duration::from_secs(60);

pub(crate) const CASES: [Case; 10] = [
    Case {
        name: "line of 80 bytes, one of many",
        most: 1_680,
        run: |times| within(lines(times, 80, PIPE)),
    },
    Case {
        name: "line of 1000 bytes, in crumbs of one",
        most: 8_290_000,
        run: |times| within(lines(times, 1_000, 1)),
    },
    Case {
        name: "SASL PLAIN",
        most: 3_190,
        run: |times| {
            let line = BASE64_STANDARD.encode("\0user@example.com\0correct horse");
            repeat(times, || sasl::plain(line.as_bytes()).is_ok());
        },
    },
    Case {
        name: "SASL LOGIN, both answers",
        most: 3_780,
        run: |times| {
            let [user, word] =
                ["user@example.com", "correct horse"].map(|part| BASE64_STANDARD.encode(part));
            repeat(times, || {
                sasl::login_user(user.as_bytes()).is_ok()
                    && sasl::login_password(word.as_bytes()).is_ok()
            });
        },
    },
    Case {
        name: "SASL XOAUTH2",
        most: 4_150,
        run: |times| {
            let line = BASE64_STANDARD
                .encode("user=user@example.com\x01auth=Bearer correct horse\x01\x01");
            repeat(times, || OneMessage::Xoauth2.read(line.as_bytes()).is_ok());
        },
    },
    Case {
        name: "relay of a MiB down, IMAP",
        most: 5_480_000,
        run: |times| within(relay(times, Speech::Imap, down)),
    },
    Case {
        name: "relay of a MiB up, IMAP literal",
        most: 5_500_000,
        run: |times| within(relay(times, Speech::Imap, literal)),
    },
    Case {
        name: "relay of a MiB up, SMTP mail",
        most: 9_080_000,
        run: |times| within(relay(times, Speech::Smtp, mail)),
    },
    Case {
        name: "relay of a MiB up, IMAP commands",
        most: 138_000_000,
        run: |times| within(relay(times, Speech::Imap, commands)),
    },
    Case {
        name: "relay of a NOOP and its answer",
        most: 20_700,
        run: |times| within(relay(times, Speech::Imap, noop)),
    },
];

fn repeat(times: u64, mut what: impl FnMut() -> bool) {
    for _ in 0..times {
        assert!(std::hint::black_box(what()), "this is understood");
    }
}

fn within(what: impl Future<Output = anyhow::Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    runtime.block_on(what).expect("all of it works");
}

/// Reads lines of a length that come in pieces of a size.
async fn lines(times: u64, length: usize, piece: usize) -> anyhow::Result<()> {
    let (mut far, near) = duplex(piece);
    let line = ["x".repeat(length), "\r\n".to_owned()].concat();
    let writing = async {
        for _ in 0..times {
            far.write_all(line.as_bytes()).await?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        let mut wire = Wire::new(near, "far");
        for _ in 0..times {
            assert_eq!(
                wire.line(length, SOON).await?.len(),
                length,
                "the line is whole"
            );
        }
        anyhow::Ok(())
    };
    tokio::try_join!(writing, reading).map(drop)
}

/// The two ends that a relay joins.
struct Ends {
    client: DuplexStream,
    server: DuplexStream,
}

/// Relays what `talk` has both ends say.
async fn relay(
    times: u64,
    speech: Speech,
    talk: impl AsyncFn(&mut Ends, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (client, from_client) = duplex(PIPE);
    let (server, from_server) = duplex(PIPE);
    let talking = async {
        let mut ends = Ends { client, server };
        talk(&mut ends, times).await
    };
    let relaying = async {
        let (client, server) = (
            Wire::new(from_client, "client"),
            Wire::new(from_server, "server"),
        );
        let (mut guard, mut traffic) = (Guard::new(speech), Traffic::default());
        splice(client, server, &mut guard, &mut traffic).await?;
        anyhow::Ok(())
    };
    tokio::try_join!(talking, relaying).map(drop)
}

async fn down(ends: &mut Ends, times: u64) -> anyhow::Result<()> {
    let body = body();
    for _ in 0..times {
        pass(&mut ends.server, &mut ends.client, &body).await?;
    }
    Ok(())
}

async fn literal(ends: &mut Ends, times: u64) -> anyhow::Result<()> {
    let append = [
        format!("a APPEND Sent {{{MIB}+}}\r\n").as_bytes(),
        &body(),
        b"\r\n",
    ]
    .concat();
    for _ in 0..times {
        pass(&mut ends.client, &mut ends.server, &append).await?;
    }
    Ok(())
}

async fn mail(ends: &mut Ends, times: u64) -> anyhow::Result<()> {
    let mail = [&body()[..], b"\r\n.\r\n"].concat();
    for _ in 0..times {
        pass(&mut ends.client, &mut ends.server, b"DATA\r\n").await?;
        pass(&mut ends.server, &mut ends.client, b"354 go on\r\n").await?;
        pass(&mut ends.client, &mut ends.server, &mail).await?;
        pass(&mut ends.server, &mut ends.client, b"250 2.0.0 fine\r\n").await?;
    }
    Ok(())
}

async fn commands(ends: &mut Ends, times: u64) -> anyhow::Result<()> {
    let command = b"a UID FETCH 4711 (FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)])\r\n";
    let commands = command.repeat(MIB / command.len());
    for _ in 0..times {
        pass(&mut ends.client, &mut ends.server, &commands).await?;
    }
    Ok(())
}

async fn noop(ends: &mut Ends, times: u64) -> anyhow::Result<()> {
    for _ in 0..times {
        pass(&mut ends.client, &mut ends.server, b"a NOOP\r\n").await?;
        pass(&mut ends.server, &mut ends.client, b"a OK NOOP done\r\n").await?;
    }
    Ok(())
}

/// A MiB of lines.
fn body() -> Vec<u8> {
    let line = ["x".repeat(76), "\r\n".to_owned()].concat();
    let mut body = line.into_bytes().repeat(MIB / 78 + 1);
    body.truncate(MIB);
    body
}

/// Says something at one end and hears all of it at the other.
async fn pass(from: &mut DuplexStream, to: &mut DuplexStream, what: &[u8]) -> anyhow::Result<()> {
    let mut left = what.len();
    let mut space = vec![0; PIPE.min(left)];
    let hearing = async {
        while left > 0 {
            let room = space.len().min(left);
            let read = to.read(space.get_mut(..room).unwrap_or_default()).await?;
            anyhow::ensure!(read > 0, "the relay ended");
            left -= read;
        }
        Ok(())
    };
    let saying = async { Ok(from.write_all(what).await?) };
    tokio::try_join!(saying, hearing).map(drop)
}
