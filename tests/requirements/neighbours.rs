//! Who else is on the machine and the network, and what one connection may cost the others, and
//! the control socket.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};
use tokio::process::Command;

use crate::program::Program;
use crate::support::client::{Client, PATIENCE, plain_response};
use crate::support::daemon::Plan;
use crate::support::provider::Provider;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct-horse";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

/// Writes a configuration and returns its directory and itself; the plan keeps them there.
fn written(plan: Plan) -> (Plan, PathBuf, String) {
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    fs::create_dir_all(home.join("run")).unwrap();
    set_mode(&home.join("run"), 0o700);
    (plan, home, file.display().to_string())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    came.unwrap_or_else(|_| panic!("{what}"));
}

/// Says what each protocol logs in with.
fn login(section: &str) -> String {
    match section {
        "IMAP-0" => format!("x LOGIN {USER} {PASSWORD}\r\n"),
        "POP-0" => format!("USER {USER}\r\nPASS {PASSWORD}\r\n"),
        _ => format!("AUTH PLAIN {}\r\n", plain_response(USER, PASSWORD)),
    }
}

#[tokio::test]
async fn r24_ports_are_on_loopback_and_a_wider_one_is_warned_about() {
    let provider = Provider::start().await;
    let text = |more: &str| {
        format!(
            "\n[IMAP-0]\nserver_address = localhost\nserver_port = {}\n{more}\n",
            provider.imap.port()
        )
    };
    let proxy = Plan::bare(&provider.world.authority)
        .section(&text(""))
        .start();
    for (_, at) in proxy.daemon.addresses() {
        assert!(at.ip().is_loopback(), "{at}");
    }
    let keys = "local_certificate_path = local.pem\nlocal_key_path = local.key\n";
    for (more, warned) in [
        ("", false),
        ("local_address = localhost", false),
        ("local_address = 127.0.0.1", false),
        ("local_address = 0.0.0.0", true),
        ("local_address = ::", true),
        ("local_address = 192.0.2.1", true),
    ] {
        for (keys, secure) in [("", false), (keys, true)] {
            let plan =
                Plan::bare(&provider.world.authority).section(&text(&format!("{more}\n{keys}")));
            let config = emailproxy::config::Config::read(&plan.write()).unwrap();
            let warnings = config.warnings.iter().map(ToString::to_string);
            let warnings: Vec<_> = warnings
                .filter(|text| text.contains("in clear text"))
                .collect();
            assert_eq!(
                !warnings.is_empty(),
                warned && !secure,
                "{more}: {warnings:?}"
            );
        }
    }
    // It is obeyed all the same.
    let plan = Plan::bare(&provider.world.authority).section(&text("local_address = 0.0.0.0"));
    let proxy = plan.start();
    assert!(proxy.at("IMAP-0").ip().is_unspecified());
    let mut client = Client::plain(SocketAddr::from((
        [127, 0, 0, 1],
        proxy.at("IMAP-0").port(),
    )))
    .await;
    assert!(client.line().await.starts_with("* OK"));
}

#[tokio::test]
async fn r25_what_the_caps_are_where_nobody_says() {
    let options = emailproxy::config::Options::default();
    assert_eq!(options.max_connections, 1_000);
    assert_eq!(options.max_connections_per_account, 100);
}

#[tokio::test]
async fn r25_a_proxy_without_descriptors_says_so_once_and_goes_on_when_it_has_some() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let at = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;
    let id = proxy.id().to_string();
    let limit = async |files: &str| {
        let mut limit = Command::new("prlimit");
        let limited = limit.args(["--pid", &id, &format!("--nofile={files}:")]);
        limited.status().await.is_ok_and(|status| status.success())
    };
    // What is open stays open; nothing more can be.
    if !limit("3").await {
        assert!(
            std::env::var_os("CI").is_none(),
            "prlimit (util-linux) is missing"
        );
        eprintln!("SKIPPED: prlimit (util-linux) is missing");
        return;
    }
    let mut waiting = Client::plain(at).await;
    proxy.says("the limit of open files is reached").await;
    // Some more tries fail without a word.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(limit("1024").await);
    assert!(waiting.line().await.starts_with("* OK"));
    let text = proxy.text();
    assert_eq!(
        text.matches("could not accept connections").count(),
        1,
        "{text}"
    );
    let said = waiting.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

/// Connects, says something, hears so many lines, and resets the connection.
async fn reset(at: SocketAddr, said: &[u8], lines: usize) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    // The proxy may have hung up by itself.
    drop(stream.write_all(said).await);
    let mut heard = 0;
    let mut byte = [0];
    while heard < lines && stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
        heard += usize::from(byte[0] == b'\n');
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test]
async fn r27_four_hundred_resets_leave_nothing_behind() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    let visit = async || {
        for section in SECTIONS {
            let mut client = Client::plain(proxy.at(section)).await;
            client.line().await;
            client.send(login(section)).await;
            client.line().await;
        }
    };
    // What stays for good (connections kept for the next token request, what servers offer) is there behind this.
    visit().await;
    until("sessions do not end", || provider.world.open() == 0).await;
    let (files, alive) = (descriptors(), tasks());
    let mut count = 0;
    while count < 400 {
        for section in SECTIONS {
            let (at, login) = (proxy.at(section), login(section));
            let half = login.len() / 2;
            // Without a word, behind the greeting, within a command, within a login, behind it, and while it is relayed.
            let welcome = if section == "POP-0" { 3 } else { 2 };
            for (said, lines) in [
                (&b""[..], 0),
                (b"", 1),
                (b"NOO", 1),
                (&login.as_bytes()[..half], 1),
                (login.as_bytes(), 1),
                (login.as_bytes(), welcome),
                (format!("{login}NOOP\r\n").as_bytes(), welcome + 1),
            ] {
                reset(at, said, lines).await;
                count += 1;
            }
        }
    }
    until("sessions leave tasks behind", || tasks() <= alive).await;
    until("sessions leave descriptors behind", || {
        descriptors() <= files
    })
    .await;
    until("connections to the server stay open", || {
        provider.world.open() == 0
    })
    .await;
    visit().await;
}

#[tokio::test]
async fn r27_whichever_side_closes_the_other_is_closed_within_five_seconds() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    for section in SECTIONS {
        let mut client = Client::plain(proxy.at(section)).await;
        client.line().await;
        client.send(login(section)).await;
        client.line().await;
        until("no session", || provider.world.open() == 1).await;
        let begun = Instant::now();
        drop(client);
        until("the server is not told", || provider.world.open() == 0).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{section}");
    }
    let mut clients = Vec::new();
    for section in SECTIONS {
        let mut client = Client::plain(proxy.at(section)).await;
        client.line().await;
        client.send(login(section)).await;
        client.line().await;
        clients.push(client);
    }
    until("no sessions", || provider.world.open() == 3).await;
    let begun = Instant::now();
    provider.vanish();
    for mut client in clients {
        client.rest().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Runs a command as a user who has nothing; nothing where that cannot be done here.
async fn as_nobody(command: &[&str], home: &Path) -> Option<(Option<i32>, String)> {
    if fs::metadata(home)
        .map(|about| std::os::unix::fs::MetadataExt::uid(&about))
        .ok()
        != Some(0)
    {
        eprintln!("SKIPPED: only root can play other users");
        return None;
    }
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(command)
        .env("RUNTIME_DIRECTORY", home.join("run"))
        .stdin(Stdio::null());
    let done = nobody.output().await;
    if done.is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "setpriv (util-linux) is missing"
        );
        eprintln!("SKIPPED: setpriv (util-linux) is missing");
    }
    let done = done.ok()?;
    let text = [done.stdout, done.stderr].concat();
    Some((
        done.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// What another user would say to the control socket at its argument.
const ASK: &str = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(20)\ntry:\n s.connect(sys.argv[1])\n \
                   s.sendall(b'{\"ask\":\"status\"}\\n')\n print('heard',s.recv(100))\nexcept OSError as e:\n print('no',e)\n";

#[tokio::test]
async fn r22_other_users_are_not_heard_at_the_control_socket() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let entry = fs::read_dir(home.join("run"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let socket = entry.path().display().to_string();
    assert_eq!(
        entry.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let ask = ["/usr/bin/python3", "-c", ASK, &socket];
    let Some((_, heard)) = as_nobody(&ask, &home).await else {
        return;
    };
    assert!(heard.contains("no "), "{heard}");
    // Even where directory and socket are opened to everybody by mistake, it is asked who comes.
    for (path, mode) in [
        (&home, 0o755),
        (&home.join("run"), 0o755),
        (&entry.path(), 0o666),
    ] {
        set_mode(path, mode);
    }
    let (_, heard) = as_nobody(&ask, &home).await.unwrap();
    assert!(
        heard.contains("heard b''") || heard.contains("no "),
        "{heard}"
    );
    proxy.says("a stranger asked at the control socket").await;
    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert_eq!(status.code, Some(0), "{}", status.printed);
}

#[tokio::test]
async fn r22_a_socket_that_somebody_else_put_there_is_told_no_password() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let run = home.join("run");
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let socket = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    proxy.signal("TERM").await;
    proxy.end().await;
    assert!(!socket.exists());
    // Whoever may write to that directory could have bound this.
    set_mode(&run, 0o777);
    let squatter = UnixListener::bind(&socket).unwrap();
    let said = tokio::spawn(async move {
        let (mut stream, _) = squatter.accept().await.unwrap();
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said).await);
        said
    });
    let set = ["password", USER, "--config-file", &file];
    let done = Program::done(&home, &set, "owner's choice\n").await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    said.abort();
    let said = said.await.unwrap_or_default();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));

    // Nor is such a directory used to listen in.
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let why = proxy.says("no commands are heard at ").await;
    assert!(why.contains("`chmod go-w "), "{why}");
    proxy.says("Initialised emailproxy").await;
}

/// Reads a file of the source tree.
fn source(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn r33_dependencies_are_pinned_and_there_is_one_tls_and_one_crypto_library() {
    let lock = source("Cargo.lock");
    // What the lock file names need not be used: some crates could use another library if they were asked to.
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--all-features"])
        .args(["--edges", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let used: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        used.contains(&"rustls") && used.contains(&"aws-lc-rs"),
        "{tree}"
    );
    for banned in [
        "openssl",
        "openssl-sys",
        "openssl-src",
        "native-tls",
        "ring",
        "boring",
    ] {
        assert!(!used.contains(&banned), "{banned} is used");
    }
    for origin in lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "))
    {
        assert!(
            origin.starts_with("\"registry+https://github.com/rust-lang/crates.io-index"),
            "{origin}"
        );
    }
    let packages = lock.matches("[[package]]").count();
    let sources = lock.matches("\nsource = ").count();
    let sums = lock.matches("\nchecksum = ").count();
    assert_eq!(
        (sources, sums),
        (packages - 1, packages - 1),
        "all but our own are pinned by a checksum"
    );

    let policy = source("deny.toml");
    for crate_name in ["openssl", "openssl-sys", "native-tls", "ring"] {
        assert!(
            policy.contains(&format!("{{ crate = \"{crate_name}\"")),
            "{crate_name} is not banned"
        );
    }
    for line in [
        "unknown-registry = \"deny\"",
        "unknown-git = \"deny\"",
        "wildcards = \"deny\"",
        "yanked = \"deny\"",
    ] {
        assert!(policy.contains(line), "deny.toml lost {line}");
    }
    let check = source(".ci/run");
    assert!(check.contains("check bans licenses sources"));
}

#[test]
fn r26_the_lints_forbid_unsafe_code_and_what_panics_on_a_peers_bytes() {
    let manifest = source("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for lint in [
        "unwrap_used",
        "panic",
        "unreachable",
        "indexing_slicing",
        "string_slice",
    ] {
        assert!(manifest.contains(&format!("\n{lint} = \"warn\"")), "{lint}");
    }
    assert!(
        source(".ci/run").contains("-D warnings"),
        "warnings are errors"
    );
    assert!(source("src/lib.rs").contains("#![warn(clippy::expect_used)]"));
    assert!(manifest.contains("overflow-checks = true"));
    assert!(
        !manifest.contains("panic = \"abort\""),
        "a session that breaks down must end alone"
    );
}
