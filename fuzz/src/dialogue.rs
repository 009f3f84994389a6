//! A whole session: a client and servers of any manners, what they say interleaved and cut anyhow, through the program's
//! own session code; and the promises that must hold whatever they do.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arbitrary::Arbitrary;
use emailproxy::accounts::{self, Accounts};
use emailproxy::config::{Config, Protocol};
use emailproxy::oauth::{Error, Tokens};
use emailproxy::protocol::Dialogue;
use emailproxy::said::Said;
use emailproxy::secret::AccessToken;
use emailproxy::session::fuzzing::attend;
use emailproxy::session::{Desk, Door, seats::Seats, upstream::Upstreams};
use emailproxy::wire::Wire;
use emailproxy::wire::fuzzing::{HELLO, dial_by};
use emailproxy::wire::tls::{LocalTls, Trust};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::pipe::{Remote, pipe};
use crate::promises::{Kind, PASSWORD, TOKEN, check_open, check_relay, check_server, find, holds};
use crate::servers::{Reply, Script, serve};
use crate::{Bytes, locked, runtime, weighed};

/// The most one session may take, in bytes, beside what is said to it and what is logged.
const MOST: usize = 1024 * 1024;

/// How long a session may last before a login while its client stays and is silent: three times until nobody gave consent,
/// and the minute that a login may take.
const SILENT: Duration = Duration::from_secs(32 * 60);

/// How long a session may last once its client has left: the time that bytes may wait for a server which takes nothing.
const LEFT: Duration = Duration::from_secs(11 * 60);

/// What happens in one session.
#[derive(Arbitrary, Clone, Debug)]
pub struct Play {
    /// How the client comes in: plain, TLS, STARTTLS.
    door: u8,
    /// Whether the server's TLS begins by STARTTLS.
    starttls: bool,
    /// How the token endpoint answers, one after the other; well once it is used up.
    tokens: Vec<u8>,
    /// How much is read at once.
    width: u8,
    /// How many of the servers cannot be reached.
    unreachable: u8,
    /// Whether the client stays silent in the end rather than leave.
    stays: bool,
    /// What the servers do.
    servers: Vec<Reply>,
    /// What the client does.
    client: Vec<Act>,
}

/// What a client does.
#[derive(Arbitrary, Clone, Debug)]
pub enum Act {
    /// Says bytes.
    Say(Bytes),
    /// Says bytes and ends the line.
    Line(Bytes),
    /// Says one of the protocol's words.
    Word(u8),
    /// Logs in, in one of many ways.
    LogIn(u8),
    /// Begins TLS.
    Hello,
    /// Says the same byte again and again.
    Flood(u8, u16),
    /// Waits; what it said before is heard meanwhile.
    Wait(u8),
    /// Reads nothing, or again.
    Stick(bool),
    /// Says no more, but listens.
    End,
    /// Breaks the connection.
    Reset,
}

/// What went on in the world of one session.
struct World {
    kind: Kind,
    /// The servers' connections.
    servers: Vec<Remote>,
    /// Which of them was relayed, and how much it had heard then.
    relay: Option<(usize, usize)>,
    log: Vec<u8>,
}

/// The world of the session that runs at the moment: one at a time.
static WORLD: Mutex<Option<World>> = Mutex::new(None);

/// Plays a session and checks the promises.
pub fn run<D: Dialogue>(kind: Kind, play: Play) {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| rehearse::<D>(kind));
    run_once::<D>(kind, play);
}

/// Plays a good session, to see that one comes through and is seen to: with a relay that nobody noticed, most promises
/// would be empty.
fn rehearse<D: Dialogue>(kind: Kind) {
    listen_to_log();
    let good = Play {
        door: 0,
        starttls: true,
        tokens: Vec::new(),
        width: 255,
        unreachable: 0,
        stays: false,
        servers: Vec::new(),
        client: vec![
            Act::LogIn(0),
            Act::Wait(0),
            Act::Line(Bytes(b"n NOOP".to_vec())),
            Act::Wait(0),
        ],
    };
    let relayed = run_once::<D>(kind, good).expect("a good session comes to its relay");
    assert_eq!(relayed, b"n NOOP\r\n");
}

/// Plays a session and checks the promises; returns what passed in its relay, if it came to that.
fn run_once<D: Dialogue>(kind: Kind, play: Play) -> Option<Vec<u8>> {
    if play.servers.iter().any(Reply::knows_secret) {
        // Nothing can be kept from a server that knows it already, nor need the log hide what such a server says.
        return None;
    }
    *locked(&WORLD) = Some(World {
        kind,
        servers: Vec::new(),
        relay: None,
        log: Vec::new(),
    });
    let (client, stream) = pipe(match play.width {
        0..16 => usize::from(play.width) + 1,
        _ => usize::from(play.width) * 64,
    });
    let floods = play.client.iter().map(|act| match act {
        Act::Flood(_, count) => usize::from(*count),
        Act::Say(Bytes(bytes)) | Act::Line(Bytes(bytes)) => bytes.len(),
        _ => 100,
    });
    let replies = play.servers.iter().map(|reply| match reply {
        Reply::Flood(_, count) => usize::from(*count),
        Reply::Raw(bytes) | Reply::Behind(bytes) | Reply::Before(bytes) => bytes.0.len(),
        _ => 200,
    });
    let said_in_all: usize = floods.chain(replies).sum();
    let (door, starttls) = (play.door, play.starttls);
    let runtime = runtime();
    let (said, most) = weighed(|| {
        let said = runtime.block_on(play_out::<D>(kind, play, client.clone(), stream));
        drop(runtime);
        said
    });
    let world = locked(&WORLD).take()?;
    // The pretence keeps all that anybody heard.
    let servers = world.servers.iter().map(Remote::heard_length);
    let heard_in_all = servers.sum::<usize>() + client.heard_length();
    let budget = MOST + 16 * said_in_all + 4 * (world.log.len() + heard_in_all);
    assert!(most < budget, "{most} bytes for one session");
    let mut relayed = None;
    for (number, server) in world.servers.iter().enumerate() {
        let relay = world
            .relay
            .filter(|relay| relay.0 == number)
            .map(|relay| relay.1);
        let heard = server.heard();
        check_server(kind, !starttls, &heard, relay);
        if let Some(relay) = relay {
            check_relay(&heard[relay..], &said);
            relayed = Some(heard[relay..].to_vec());
        }
    }
    check_open("the log", &world.log, &[TOKEN, PASSWORD]);
    if world.relay.is_none() {
        // It may well hear its own tag again, whatever that is.
        check_open("what the client was told", &client.heard(), &[TOKEN]);
    }
    let needs_tls = door % 3 != 0;
    if needs_tls && find(&said, HELLO).is_none() {
        assert!(
            world.relay.is_none(),
            "a login without the TLS that it needs"
        );
        let showed = |server: &Remote| holds(&server.heard(), TOKEN);
        assert!(
            !world.servers.iter().any(showed),
            "a token for a client without TLS"
        );
    }
    relayed
}

/// Plays until the session has ended; returns all that the client said.
async fn play_out<D: Dialogue>(
    kind: Kind,
    play: Play,
    client: Remote,
    stream: crate::pipe::Stream,
) -> Vec<u8> {
    let script: Script = Arc::new(Mutex::new(play.servers.into_iter()));
    let (implicit, unreachable) = (!play.starttls, usize::from(play.unreachable));
    dial_by(Box::new(move |host, port| {
        let mut world = locked(&WORLD);
        let servers = &mut world.as_mut().ok_or("the session is over")?.servers;
        let (remote, stream) = pipe(64);
        servers.push(remote.clone());
        // Rarely the first ones, or nothing else would ever be seen.
        if unreachable > 200 && servers.len() <= unreachable - 200 {
            return Err("nobody is there".into());
        }
        tokio::spawn(serve(kind, implicit, remote, Arc::clone(&script)));
        Ok(Wire::new(stream, format!("{host}:{port}")))
    }));
    let (_stop, desk) = desk(kind, play.door, play.starttls, play.tokens);
    let session = tokio::spawn(async move {
        let wire = Wire::new(stream, "client:1");
        attend::<D>(wire, &desk).await
    });
    let mut said = Vec::new();
    for act in play.client {
        if session.is_finished() {
            break;
        }
        let say = |said: &mut Vec<u8>, bytes: &[u8]| {
            said.extend_from_slice(bytes);
            client.say(bytes);
        };
        match act {
            Act::Say(Bytes(bytes)) => say(&mut said, &bytes),
            Act::Line(Bytes(bytes)) => say(&mut said, &[&bytes[..], b"\r\n"].concat()),
            Act::Word(which) => say(&mut said, word(kind, which).as_bytes()),
            Act::LogIn(which) => say(&mut said, login(kind, which).as_bytes()),
            Act::Hello => say(&mut said, HELLO),
            Act::Flood(byte, count) => say(&mut said, &vec![byte; usize::from(count)]),
            Act::Wait(how_long) => sleep(wait(how_long)).await,
            Act::Stick(stuck) => client.stick(stuck),
            Act::End => client.end(),
            Act::Reset => client.reset(),
        }
    }
    sleep(Duration::from_millis(1)).await;
    let relays = || {
        locked(&WORLD)
            .as_ref()
            .is_some_and(|world| world.relay.is_some())
    };
    let leaves = !play.stays || relays();
    if leaves {
        client.end();
    }
    let mut session = session;
    let mut ended = timeout(if leaves { LEFT } else { SILENT }, &mut session).await;
    if ended.is_err() && !leaves && relays() {
        // It logged in while nobody looked; a relay lasts as long as its client.
        client.end();
        ended = timeout(LEFT, session).await;
    }
    assert!(ended.is_ok(), "the session does not end");
    said
}

fn wait(how_long: u8) -> Duration {
    match how_long {
        0..128 => Duration::from_millis(1),
        128..192 => Duration::from_millis(700),
        192..240 => Duration::from_secs(6),
        _ => Duration::from_secs(61),
    }
}

/// What every account, server and service of these sessions is.
const FILE: &str = "
[IMAP-1]
server_address = imap.example
server_port = 993
[IMAP-2]
server_address = imap.example
server_port = 143
server_starttls = True
[POP-3]
server_address = pop.example
server_port = 995
[POP-4]
server_address = pop.example
server_port = 110
server_starttls = True
[SMTP-5]
server_address = smtp.example
server_port = 465
[SMTP-6]
server_address = smtp.example
server_port = 587
server_starttls = True
[user@example.org]
token_url = https://idp.example/token
oauth2_flow = client_credentials
oauth2_scope = mail
client_id = app
client_secret = lo cal-Pa55 as well
[asks@example.org]
permission_url = https://idp.example/auth
token_url = https://idp.example/token
redirect_uri = http://localhost:1
oauth2_scope = mail
client_id = app
";

fn desk(kind: Kind, door: u8, starttls: bool, tokens: Vec<u8>) -> (watch::Sender<bool>, Desk) {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    static TLS: OnceLock<(Trust, LocalTls)> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let file = Config::parse(Path::new("emailproxy.ini"), FILE.as_bytes());
        Arc::new(file.expect("the file is good"))
    });
    let (trust, local) = TLS.get_or_init(|| {
        let trust = Trust::new(None).expect("roots can be read");
        (trust, LocalTls::pretended())
    });
    let protocol = match kind {
        Kind::Imap => Protocol::Imap,
        Kind::Pop => Protocol::Pop,
        Kind::Smtp => Protocol::Smtp,
    };
    let mut services = config.services.iter();
    let service = services
        .find(|service| service.protocol == protocol && service.server.starttls == starttls)
        .expect("there is a service of each kind");
    let answers = Mutex::new(tokens.into_iter());
    let accounts: Arc<Accounts> = accounts::fuzzing::open(
        Arc::clone(config),
        Box::new(move || answer(locked(&answers).next().unwrap_or(0))),
    )
    .expect("accounts can be opened");
    let (stop, stopped) = watch::channel(false);
    let desk = Desk {
        service: service.clone(),
        door: match door % 3 {
            0 => Door::Plain,
            1 => Door::Implicit(local.clone()),
            _ => Door::StartTls(local.clone()),
        },
        accounts,
        upstreams: Arc::new(Upstreams::new(trust.clone(), None)),
        servers: vec![service.server.clone()],
        seats: Arc::new(Seats::default()),
        most: 10,
        most_per_account: 10,
        regulars: None,
        stop: stopped,
    };
    (stop, desk)
}

fn answer(how: u8) -> Result<Tokens, Error> {
    match how % 8 {
        5 => Err(Error::Denied(Said::from("no"))),
        6 => Err(Error::GrantDead(Said::from("invalid_grant"))),
        7 => Err(Error::Unavailable(Said::from("down"))),
        n => Ok(Tokens {
            access: AccessToken::parse(&format!("{TOKEN}-{n}")).expect("a good token"),
            lifetime: Duration::from_secs(if n == 4 { 30 } else { 3_600 }),
            refresh: None,
            signed_in: None,
        }),
    }
}

/// The words of a protocol.
fn word(kind: Kind, which: u8) -> &'static str {
    let words: &[&str] = match kind {
        Kind::Imap => &[
            "a1 ",
            "CAPABILITY",
            "NOOP",
            "ID NIL",
            "LOGOUT",
            "STARTTLS",
            "LOGIN ",
            "AUTHENTICATE ",
            "PLAIN",
            "LOGIN",
            "XOAUTH2 ",
            "\r\n",
            " ",
            "{11}\r\n",
            "{11+}\r\n",
            "lo cal-Pa55",
            "user@example.org",
            "\"",
            "\\",
            "*",
            "SELECT INBOX",
            "FETCH 1 BODY[]",
            "APPEND x ",
            "COMPRESS DEFLATE",
            "IDLE\r\nDONE",
            "=",
            "{99999999999}\r\n",
        ],
        Kind::Pop => &[
            "USER user@example.org\r\n",
            "PASS lo cal-Pa55\r\n",
            "USER ",
            "PASS ",
            "AUTH ",
            "PLAIN",
            "LOGIN",
            "CAPA\r\n",
            "STLS\r\n",
            "QUIT\r\n",
            "NOOP\r\n",
            "\r\n",
            " ",
            "*",
            "=",
            "APOP x y\r\n",
            "STAT\r\n",
            "RETR 1\r\n",
            "XOAUTH2 ",
        ],
        Kind::Smtp => &[
            "EHLO client.example\r\n",
            "HELO x\r\n",
            "STARTTLS\r\n",
            "AUTH ",
            "PLAIN",
            "LOGIN",
            "XOAUTH2 ",
            "\r\n",
            " ",
            "*",
            "=",
            "MAIL FROM:<a@b>\r\n",
            "RCPT TO:<c@d>\r\n",
            "DATA\r\n",
            "mail\r\n.\r\n",
            "BDAT 5\r\n",
            "BDAT 5 LAST\r\n",
            "QUIT\r\n",
            "RSET\r\n",
            "NOOP\r\n",
            "VRFY x\r\n",
            "HELP\r\n",
            "EHLO lo cal-Pa55\r\n",
        ],
    };
    words[usize::from(which) % words.len()]
}

/// Ways to log in: the right password, another one, an account that asks for consent, one that there is not.
fn login(kind: Kind, which: u8) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let coded = |text: &str| BASE64_STANDARD.encode(text);
    let (user, password) = match which / 8 % 4 {
        0 => ("user@example.org", PASSWORD.to_owned()),
        1 => ("user@example.org", format!("{PASSWORD}2")),
        2 => ("asks@example.org", PASSWORD.to_owned()),
        _ => ("nobody@example.org", PASSWORD.to_owned()),
    };
    let plain = coded(&format!("\0{user}\0{password}"));
    let bearer = coded(&format!("user={user}\u{1}auth=Bearer {password}\u{1}\u{1}"));
    let begin = match kind {
        Kind::Imap => "A7 AUTHENTICATE",
        Kind::Pop | Kind::Smtp => "AUTH",
    };
    match (kind, which % 8) {
        (Kind::Imap, 0) => format!("A1 LOGIN {user} \"{password}\"\r\n"),
        (Kind::Imap, 1) => format!(
            "A2 LOGIN {{{}+}}\r\n{user} {{{}+}}\r\n{password}\r\n",
            user.len(),
            password.len()
        ),
        (Kind::Imap, 2) => format!(
            "A3 LOGIN \"{user}\" {{{}}}\r\n{password}\r\n",
            password.len()
        ),
        (Kind::Pop, 0 | 1) => format!("USER {user}\r\nPASS {password}\r\n"),
        (Kind::Pop, 2) => format!("PASS {password}\r\n"),
        (Kind::Smtp, 0) => format!("EHLO me\r\n{begin} PLAIN {plain}\r\n"),
        (_, 0..4) => format!("{begin} PLAIN {plain}\r\n"),
        (_, 4) => format!("{begin} PLAIN\r\n{plain}\r\n"),
        (_, 5) => format!(
            "{begin} LOGIN\r\n{}\r\n{}\r\n",
            coded(user),
            coded(&password)
        ),
        (_, 6) => format!("{begin} LOGIN {}\r\n{}\r\n", coded(user), coded(&password)),
        _ => format!("{begin} XOAUTH2 {bearer}\r\n"),
    }
}

/// Writes the program's log into the world of the session, and notes the moment at which the relay begins.
#[derive(Clone, Copy)]
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut world = locked(&WORLD);
        if let Some(world) = &mut *world {
            world.log.extend_from_slice(line);
            if find(line, b"next step step=\"relaying\"").is_some() {
                world.relay = world.relayed();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl World {
    /// Finds the server that the relay begins with: the last one that heard a login, as an earlier one may only have been
    /// asked what it offers.
    fn relayed(&self) -> Option<(usize, usize)> {
        let begin: &[u8] = match self.kind {
            Kind::Imap => b" AUTHENTICATE ",
            Kind::Pop | Kind::Smtp => b"AUTH ",
        };
        let heard = |server: &Remote| find(&server.heard(), begin).is_some();
        let number = self.servers.iter().rposition(heard)?;
        Some((number, self.servers[number].heard_length()))
    }
}

fn listen_to_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody listens yet");
    });
}
