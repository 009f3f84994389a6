//! Secrets at rest, in the log and in what other users see of a process, with the program itself.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::program::Program;
use crate::support::client::{Client, plain_response, xoauth2_response};
use crate::support::daemon::{Plan, app};
use crate::support::predecessor::Seal;
use crate::support::provider::{CLIENT_SECRET, Provider};

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct-horse-battery";

/// What a client sends in any place of any command, and nobody may find afterwards.
const SECRET: &str = "Tr0ub4dor-and-3";

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

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Says everything at once, and hears what comes back.
async fn say(at: SocketAddr, bytes: &[u8]) {
    let mut client = Client::plain(at).await;
    client.try_send(bytes).await;
    client.rest().await;
}

/// Words logins of each protocol in which the secret stands where it should and where it should not.
fn commands() -> [(&'static str, Vec<String>); 3] {
    let s = SECRET;
    let (wrong, swapped) = (plain_response(USER, s), plain_response(s, USER));
    let (user64, s64) = (BASE64_STANDARD.encode(USER), BASE64_STANDARD.encode(s));
    let bearer = xoauth2_response(USER, s);
    let three = BASE64_STANDARD.encode(format!("{s}\0{USER}\0{s}"));
    let bare = BASE64_STANDARD.encode(s);
    let imap = vec![
        format!("a LOGIN {USER} {s}"),
        format!("a login\t{USER}\t{s}"),
        format!("a LoGiN \"{USER}\" \"{s}\" extra"),
        format!("a LOGIN {s} {USER}"),
        format!("a LOGIN {s}"),
        format!("a  LOGIN  {USER}  {s}"),
        format!("LOGIN {USER} {s}"),
        format!("{s} LOGIN {USER} x"),
        format!("a LOGIN {USER} \"{s}"),
        format!("a LOGIN {{{}+}}\r\n{s} {USER}", s.len()),
        format!("a LOGIN {USER} {{{}}}\r\n{s}", s.len()),
        format!("a AUTHENTICATE PLAIN {wrong}"),
        format!("a AUTHENTICATE PLAIN {swapped}"),
        format!("a AUTHENTICATE PLAIN {three}"),
        format!("a authenticate plain\r\n{wrong}"),
        format!("a AUTHENTICATE PLAIN\r\n{bare}"),
        format!("a AUTHENTICATE PLAIN\r\n{wrong}!!"),
        format!("a AUTHENTICATE LOGIN\r\n{user64}\r\n{s64}"),
        format!("a AUTHENTICATE LOGIN\r\n{s64}\r\n{s64}"),
        format!("a AUTHENTICATE LOGIN {s64}\r\n{s}"),
        format!("a AUTHENTICATE CRAM-MD5 {s}"),
        format!("a AUTHENTICATE {s}"),
        format!("a AUTHENTICATE XOAUTH2 {bearer}"),
        format!("a AUTHENTICATE OAUTHBEARER {bearer}"),
        format!("a {s}"),
        s.to_owned(),
        format!("a ID (\"name\" \"{s}\")"),
        format!("a LOGIN {USER} {s}\n"),
        format!("a LOGIN {USER}\0 {s}"),
    ];
    let pop = vec![
        format!("USER {USER}\r\nPASS {s}"),
        format!("user {USER}\r\npass {s}"),
        format!("USER {USER}\r\nPASS\t{s}"),
        format!("USER {s}\r\nPASS {USER}"),
        format!("PASS {s}"),
        format!("USER {USER} {s}\r\nPASS {s} {s}"),
        format!("APOP {USER} {s}"),
        format!("{s}\r\nQUIT"),
        format!("AUTH PLAIN {wrong}"),
        format!("auth plain\r\n{swapped}"),
        format!("AUTH PLAIN\r\n{bare}"),
        format!("AUTH LOGIN\r\n{user64}\r\n{s64}"),
        format!("AUTH LOGIN {s64}\r\n{s64}"),
        format!("AUTH CRAM-MD5\r\n{s}"),
        format!("AUTH {s}"),
        format!("AUTH XOAUTH2 {bearer}"),
        format!("USER {USER}\nPASS {s}\n"),
    ];
    let smtp = vec![
        format!("EHLO c\r\nAUTH PLAIN {wrong}"),
        format!("auth plain {wrong}"),
        format!("AUTH\tPLAIN\t{wrong}"),
        format!("AUTH PLAIN {swapped}"),
        format!("AUTH PLAIN {three}"),
        format!("AUTH PLAIN\r\n{bare}"),
        format!("AUTH PLAIN {wrong} {s}"),
        format!("AUTH PLAIN={wrong}"),
        format!("AUTH LOGIN\r\n{user64}\r\n{s64}"),
        format!("AUTH LOGIN {user64}\r\n{s64}"),
        format!("AUTH LOGIN {s64}\r\n{s64}"),
        format!("AUTH LOGIN {USER} {s}"),
        format!("AUTH CRAM-MD5 {s}"),
        format!("AUTH {s} {s}"),
        format!("AUTH XOAUTH2 {bearer}"),
        format!("LOGIN {USER} {s}"),
        format!("PASS {s}"),
        format!("{s}\r\nQUIT"),
        format!("MAIL FROM:<{s}>"),
        format!("VRFY {s}"),
        format!("AUTH PLAIN {wrong}\n"),
    ];
    [("IMAP", imap), ("POP", pop), ("SMTP", smtp)]
}

#[tokio::test]
async fn r21_no_secret_is_logged_whatever_a_client_sends() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let log = home.join("proxy.log");
    let mut proxy = Program::start_in(
        &home,
        &[
            "run",
            "--debug",
            "--config-file",
            &file,
            "--log-file",
            &log.display().to_string(),
        ],
        &[
            ("RUST_LOG", "trace"),
            ("EMAILPROXY_LOG", "trace"),
            ("RUST_BACKTRACE", "full"),
        ],
    );
    let mut at = Vec::new();
    for (protocol, lines) in commands() {
        at.push((protocol, proxy.listens(protocol).await, lines));
    }
    proxy.says("Initialised emailproxy").await;
    let imap = at[0].1;
    let mut client = Client::plain(imap).await;
    client.line().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    client.imap("NOOP").await;
    client.imap("LOGOUT").await;
    let mut saying = tokio::task::JoinSet::new();
    for (_, at, lines) in at {
        for line in lines {
            saying.spawn(async move {
                // The greeting need not be awaited; whoever speaks at once is heard as well.
                say(at, format!("{line}\r\n").as_bytes()).await;
            });
        }
    }
    saying.join_all().await;
    let shown = Program::done(&home, &["logs", "--config-file", &file], "").await;
    proxy.signal("TERM").await;
    let printed = proxy.end().await.printed;
    let kept = fs::read_to_string(&log).unwrap();
    let heard = provider.world.journal.heard("IMAP");
    let token = heard
        .iter()
        .find_map(|line| line.split(' ').find(|word| word.len() > 200));
    let token = token.expect("no token was shown to the server").to_owned();
    let secrets = [
        SECRET.to_owned(),
        BASE64_STANDARD.encode(SECRET),
        plain_response(USER, SECRET),
        plain_response(SECRET, USER),
        xoauth2_response(USER, SECRET),
        PASSWORD.to_owned(),
        plain_response(USER, PASSWORD),
        CLIENT_SECRET.to_owned(),
        token,
    ];
    for (place, text) in [
        ("printed", printed),
        ("file", kept),
        ("logs", shown.printed),
    ] {
        assert!(
            text.contains("wrong password for account"),
            "{place}: {text}"
        );
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{place} shows {secret}: {line:?}");
        }
    }
    assert_eq!(mode_of(&log), 0o600);
}

#[tokio::test]
async fn r22_a_store_that_others_may_read_is_refused_with_the_command_that_closes_it() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let set = ["password", USER, "--config-file", &file];
    let done = Program::done(&home, &set, "owner's choice\n").await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    let store = home.join("emailproxy.tokens.json");
    assert_eq!(mode_of(&store), 0o600);
    for arguments in [&["run", "--config-file", &file][..], &set] {
        for mode in [0o644, 0o640, 0o660, 0o666] {
            set_mode(&store, mode);
            let refused = Program::done(&home, arguments, "another\n").await;
            assert_eq!(refused.code, Some(1), "{}", refused.printed);
            let advice = format!("`chmod 600 {}`", store.canonicalize().unwrap().display());
            assert!(refused.printed.contains(&advice), "{}", refused.printed);
            assert_eq!(
                mode_of(&store),
                mode,
                "nothing is closed behind a person's back"
            );
        }
    }
    set_mode(&store, 0o600);
    set_mode(&home, 0o777);
    let refused = Program::done(&home, &["run", "--config-file", &file], "").await;
    assert_eq!(refused.code, Some(1), "{}", refused.printed);
    assert!(
        refused.printed.contains("`chmod o-w "),
        "{}",
        refused.printed
    );
    set_mode(&home, 0o700);
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    assert_eq!(mode_of(&store), 0o600);
}

#[tokio::test]
async fn r22_the_owners_own_file_is_warned_about_where_it_holds_secrets() {
    let provider = Provider::start().await;
    let account = app(&provider, USER);
    let bare = account.replace(&format!("client_secret = {CLIENT_SECRET}\n"), "");
    let lax = "use_login_password_as_client_credentials_secret = True";
    for (account, mode, warning) in [
        (
            &account,
            0o644,
            Some("everybody on this machine can read the secrets"),
        ),
        (&account, 0o640, None),
        (&account, 0o600, None),
        (&bare, 0o644, None),
        (
            &bare,
            0o666,
            Some("everybody on this machine can change this file"),
        ),
    ] {
        let plan = Plan::for_provider(&provider).option(lax).section(account);
        let (_plan, home, file) = written(plan);
        set_mode(Path::new(&file), mode);
        let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
        proxy.says("Initialised emailproxy").await;
        let text = proxy.text();
        assert_eq!(
            text.contains("everybody on this machine"),
            warning.is_some(),
            "{mode:o}: {text}"
        );
        assert!(
            warning.is_none_or(|warning| text.contains(warning)),
            "{text}"
        );
        assert_eq!(mode_of(Path::new(&file)), mode);
    }
}

#[tokio::test]
async fn r22_the_predecessors_open_files_go_on_to_work() {
    let provider = Provider::start().await;
    let seal = Seal::new(PASSWORD, 1_200);
    let token = "an-access-token-of-theirs".to_owned();
    let hour = std::time::Duration::from_secs(3_600);
    provider
        .world
        .register
        .admit(token.clone(), Some(USER.into()), hour);
    let cached = format!(
        "{}access_token = {}\naccess_token_expiry = 4000000000\n",
        seal.lines(),
        seal.close(&token),
    );
    let plan = Plan::for_provider(&provider).section(&(app(&provider, USER) + &cached));
    let (_plan, home, file) = written(plan);
    set_mode(Path::new(&file), 0o644);
    let before = fs::read(&file).unwrap();
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let at = proxy.listens("IMAP").await;
    proxy.says("can read the secrets in this file").await;
    let mut client = Client::plain(at).await;
    client.line().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    assert_eq!(provider.world.register.requests().len(), 0);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(mode_of(&home.join("emailproxy.tokens.json")), 0o600);
}

#[tokio::test]
async fn r23_no_secret_stands_in_arguments_or_environment() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    for place in [
        "postgres://proxy:s3cret@127.0.0.1/tokens",
        "redis://:s3cret@127.0.0.1/0",
        "postgres://127.0.0.1/tokens?password=s3cret",
    ] {
        let run = ["run", "--config-file", &file, "--cache-store", place];
        let refused = Program::done(&home, &run, "").await;
        assert_eq!(refused.code, Some(1), "{}", refused.printed);
        assert!(
            refused.printed.contains("password_file="),
            "{}",
            refused.printed
        );
        assert!(!refused.printed.contains("s3cret"), "{}", refused.printed);
    }
    // A password is asked for, or read from standard input: no command has a place for it.
    for arguments in [
        &["password", USER, "a-secret"][..],
        &["password", USER, "--password", "a-secret"],
        &["token", USER, "--password", "a-secret"],
        &["authorize", USER, "a-secret"],
    ] {
        let all = [arguments, &["--config-file", &file]].concat();
        let refused = Program::done(&home, &all, "").await;
        assert_eq!(refused.code, Some(2), "{}", refused.printed);
    }
    let secret = "from-standard-input";
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let set = ["password", USER, "--config-file", &file];
    let set = Program::done(&home, &set, &format!("{secret}\n")).await;
    assert_eq!(set.code, Some(0), "{}", set.printed);
    let id = proxy.id();
    for what in ["cmdline", "environ"] {
        // Of a process that cannot be dumped even its owner may not read the environment; root may.
        let shown = fs::read(format!("/proc/{id}/{what}")).unwrap_or_default();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        for secret in [secret, CLIENT_SECRET] {
            assert!(!shown.contains(secret), "{what}: {shown}");
        }
    }
}
