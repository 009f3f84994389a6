//! Many sessions at Dovecot at once: each reads a known mail, rests in IDLE and leaves, and memory stays where it was.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::figures::{Table, Usage, mebibytes};
use crate::letter::Letter;
use crate::oidc::Manners;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::talk::Talk;
use crate::{PASSWORD, amount};

/// How many sessions one account has, of the 100 that it may have.
const PER_ACCOUNT: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_read_a_known_mail_and_memory_stays() {
    let sessions = amount("LOAD_SESSIONS", 50);
    let cycles = amount("LOAD_CYCLES", 3);
    let seed = amount("LOAD_SEED", 20_261_124);
    let test = "many_sessions_read_a_known_mail_and_memory_stays";
    let Some(stage) = Stage::set(test, &[], Manners::default()).await else {
        return;
    };
    let services = [
        Service::imap(stage.dovecot.imaps),
        Service::imap(stage.dovecot.imap).starttls(),
    ];
    let ports = services.clone().map(|service| service.port());
    let everybody = stage.oidc.application("@example.com");
    let proxy = Proxy::start_quietly(
        &stage,
        "allow_catch_all_accounts = True\n",
        &services,
        &everybody,
    )
    .await;

    let accounts = sessions.div_ceil(PER_ACCOUNT);
    let letters: Vec<_> = (0..accounts)
        .map(|account| Arc::new(Letter::write(seed, (account, 1))))
        .collect();
    for (account, letter) in letters.iter().enumerate() {
        let mut reader = Reader::open(ports[0], account).await.unwrap();
        reader.append(&letter.bytes).await.unwrap();
        reader.leave().await.unwrap();
    }
    let begun = Instant::now();
    let before = Usage::of(proxy.id());
    let mut full = Vec::new();
    for _ in 0..cycles {
        let rest = Arc::new(Barrier::new(usize::try_from(sessions).unwrap() + 1));
        let mut all = JoinSet::new();
        for nth in 0..usize::try_from(sessions).unwrap() {
            let account = nth % letters.len();
            let (letter, rest) = (Arc::clone(&letters[account]), Arc::clone(&rest));
            let port = ports[nth / letters.len() % ports.len()];
            all.spawn(async move { stay(port, account, &letter, &rest).await.unwrap() });
        }
        // Twice: when all have come to rest, and when all may go.
        for looks in [true, false] {
            tokio::select! {
                _ = rest.wait() => {}
                Some(ended) = all.join_next() => {
                    ended.expect("a session failed");
                    panic!("a session ended before its time");
                }
            }
            if looks {
                full.push(Usage::of(proxy.id()));
            }
        }
        while let Some(ended) = all.join_next().await {
            ended.expect("a session failed");
        }
    }
    let after = Usage::of(proxy.id());
    // The first times an allocator takes what it keeps afterwards.
    let (early, last) = (full[full.len() / 3], full[full.len() - 1]);
    last.assert_flat_since(&early);
    let each_time: Vec<_> = full
        .iter()
        .map(|at| (at.memory / 1024).to_string())
        .collect();
    let each = last.memory.saturating_sub(before.memory) / sessions;
    Table::new("IMAP sessions at Dovecot")
        .row("sessions at once, times", format!("{sessions}, {cycles}"))
        .row("errors, mails read changed", "0, 0")
        .row("time", format!("{:.0} s", begun.elapsed().as_secs_f64()))
        .row("memory of the proxy with none", mebibytes(before.memory))
        .row("with all of them, each time, in MiB", each_time.join(", "))
        .row("for each session", format!("{each} KiB"))
        .row("with none again", mebibytes(after.memory))
        .row("open files with all of them", last.files)
        .row(
            "processor time of the proxy",
            format!("{:.1} s", after.seconds),
        )
        .publish();
}

/// Logs in, reads, rests with all the others, reads again and leaves.
async fn stay(port: u16, account: usize, letter: &Letter, rest: &Barrier) -> io::Result<()> {
    let mut reader = Reader::open(port, account).await?;
    let selected = reader.ask("SELECT INBOX").await?;
    assert!(
        selected.lines.contains(&"* 1 EXISTS".to_owned()),
        "{selected:?}"
    );
    reader.finds(letter).await?;
    reader.ask("NOOP").await?;
    reader.idle().await?;
    rest.wait().await;
    rest.wait().await;
    reader.wake().await?;
    reader.finds(letter).await?;
    reader.leave().await
}

/// A mail program that reads.
struct Reader {
    talk: Talk,
    tag: u32,
}

/// What came before an OK.
#[derive(Debug, Default)]
struct Answer {
    lines: Vec<String>,
    literals: Vec<Vec<u8>>,
}

impl Reader {
    /// Connects and logs in as one of the accounts.
    async fn open(port: u16, account: usize) -> io::Result<Self> {
        let talk = Talk::open(port).await?;
        let mut reader = Self { talk, tag: 0 };
        let greeting = reader.talk.line().await?;
        assert!(greeting.starts_with("* OK"), "{greeting}");
        let login = format!("LOGIN load{account}@example.com {PASSWORD}");
        reader.ask(&login).await?;
        Ok(reader)
    }

    /// Gives a command, which must be answered with OK.
    async fn ask(&mut self, command: &str) -> io::Result<Answer> {
        self.say(command).await?;
        self.answer().await
    }

    async fn say(&mut self, command: &str) -> io::Result<()> {
        self.tag += 1;
        let line = format!("{} {command}\r\n", self.tag);
        self.talk.send(line.as_bytes()).await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        let tagged = format!("{} ", self.tag);
        loop {
            let line = self.talk.line().await?;
            if let Some(end) = line.strip_prefix(&tagged) {
                assert!(end.starts_with("OK"), "{line}");
                return Ok(answer);
            }
            if let Some(size) = literal(&line) {
                answer.literals.push(self.talk.octets(size).await?);
            }
            answer.lines.push(line);
        }
    }

    async fn goes_on(&mut self) -> io::Result<()> {
        let line = self.talk.line().await?;
        assert!(line.starts_with('+'), "{line}");
        Ok(())
    }

    async fn append(&mut self, mail: &[u8]) -> io::Result<()> {
        self.say(&format!("APPEND INBOX {{{}}}", mail.len()))
            .await?;
        self.goes_on().await?;
        self.talk.send(&[mail, b"\r\n"].concat()).await?;
        self.answer().await.map(drop)
    }

    /// Reads the first mail, which must be this.
    async fn finds(&mut self, letter: &Letter) -> io::Result<()> {
        let fetched = self.ask("FETCH 1 BODY.PEEK[]").await?;
        assert!(
            fetched.literals == [letter.bytes.clone()],
            "the mail has changed"
        );
        Ok(())
    }

    async fn idle(&mut self) -> io::Result<()> {
        self.say("IDLE").await?;
        self.goes_on().await
    }

    async fn wake(&mut self) -> io::Result<()> {
        self.talk.send(b"DONE\r\n").await?;
        self.answer().await.map(drop)
    }

    async fn leave(mut self) -> io::Result<()> {
        let farewell = self.ask("LOGOUT").await?;
        assert!(farewell.lines.iter().any(|line| line.starts_with("* BYE")));
        assert!(self.talk.end().await?, "more was said after the end");
        Ok(())
    }
}

/// Returns the size of the literal that a line ends with.
fn literal(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
