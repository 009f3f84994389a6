//! Local passwords and the store key from outside: set, listed, limited and revoked by commands, used by mail clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use program::{Ended, Program};
use support::client::Client;
use support::daemon::{Plan, free_port, visit};
use support::provider::Provider;

#[path = "support/program.rs"]
mod program;
mod support;

const USER: &str = "person@example.com";

/// Writes a configuration and returns its directory and itself; the plan keeps them there.
fn written(plan: Plan) -> (Plan, PathBuf, String) {
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    fs::create_dir_all(home.join("run")).unwrap();
    fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    (plan, home, file.display().to_string())
}

/// Runs `emailproxy password USER ...`.
async fn password(home: &Path, file: &str, arguments: &[&str], input: &str) -> Ended {
    let mut all = vec!["password", USER, "--config-file", file];
    all.extend(arguments);
    Program::done(home, &all, input).await
}

/// Logs in by IMAP and returns the server's word.
async fn imap(at: SocketAddr, password: &str) -> String {
    let mut client = Client::plain(at).await;
    assert!(client.line().await.starts_with("* OK"));
    let said = client.imap(&format!("LOGIN {USER} {password}")).await;
    said.last().unwrap().clone()
}

/// Logs in by POP and returns the server's word.
async fn pop(at: SocketAddr, password: &str) -> String {
    let mut client = Client::plain(at).await;
    client.line().await;
    client.send(&format!("USER {USER}\r\n")).await;
    client.line().await;
    client.send(&format!("PASS {password}\r\n")).await;
    client.line().await
}

async fn stopped(proxy: Program) {
    proxy.signal("TERM").await;
    assert_eq!(proxy.end().await.code, Some(0));
}

#[tokio::test]
async fn the_running_proxy_sets_limits_and_revokes_passwords() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let (at_imap, at_pop) = (proxy.listens("IMAP").await, proxy.listens("POP").await);

    // Set before anybody logged in: nobody else can set the first one.
    let set = password(&home, &file, &[], "owner's-choice\n").await;
    assert_eq!(set.code, Some(0), "{}", set.printed);
    assert!(imap(at_imap, "first-come").await.starts_with("NO"));
    assert!(imap(at_imap, "owner's-choice").await.starts_with("OK"));

    let made = password(
        &home,
        &file,
        &["--name", "phone", "--service", "imap", "--generate"],
        "",
    )
    .await;
    assert_eq!(made.code, Some(0), "{}", made.printed);
    let phone = made
        .printed
        .lines()
        .find(|line| line.len() == 24 && !line.contains(' '));
    let phone = phone
        .unwrap_or_else(|| panic!("no password in {}", made.printed))
        .to_owned();
    assert!(imap(at_imap, &phone).await.starts_with("OK"));
    assert!(pop(at_pop, &phone).await.starts_with("-ERR"));
    assert!(pop(at_pop, "owner's-choice").await.starts_with("+OK"));

    let far = ["--name", "far", "--from", "192.0.2.0/24"];
    assert_eq!(
        password(&home, &file, &far, "far-away\n").await.code,
        Some(0)
    );
    assert!(imap(at_imap, "far-away").await.starts_with("NO"));

    let list = password(&home, &file, &["--list"], "").await;
    for words in [
        "default",
        "phone",
        "for imap, from everywhere",
        "from 192.0.2.0/24",
    ] {
        assert!(list.printed.contains(words), "{words}: {}", list.printed);
    }
    let gone = password(&home, &file, &["--remove", "phone"], "").await;
    assert_eq!(gone.code, Some(0), "{}", gone.printed);
    assert!(imap(at_imap, &phone).await.starts_with("NO"));

    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert!(
        status.printed.contains("2 local passwords"),
        "{}",
        status.printed
    );
    assert!(
        status
            .printed
            .contains("from the first login after a start"),
        "{}",
        status.printed
    );
    let log = proxy.text();
    assert!(log.contains("the password `phone` of account"), "{log}");
    for secret in ["owner's-choice", "far-away", &phone] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    let store = fs::read_to_string(home.join("emailproxy.tokens.json")).unwrap();
    assert!(!store.contains(&phone) && !store.contains("owner's-choice"));
    stopped(proxy).await;
}

#[tokio::test]
async fn without_a_running_proxy_the_command_opens_the_store_itself() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let set = password(&home, &file, &[], "one\n").await;
    assert_eq!(set.code, Some(0), "{}", set.printed);
    // What rests is locked: one that is good already is needed.
    let set = password(&home, &file, &["--name", "b"], "two\n").await;
    assert_eq!(set.code, Some(1));
    assert!(
        set.printed.contains("--current-password-stdin"),
        "{}",
        set.printed
    );
    let with = ["--name", "b", "--current-password-stdin"];
    let set = password(&home, &file, &with, "wrong\ntwo\n").await;
    assert_eq!(set.code, Some(1), "{}", set.printed);
    let set = password(&home, &file, &with, "one\ntwo\n").await;
    assert_eq!(set.code, Some(0), "{}", set.printed);
    let last = password(&home, &file, &["--remove", "default"], "").await;
    assert_eq!(last.code, Some(0), "{}", last.printed);
    let last = password(&home, &file, &["--remove", "b"], "").await;
    assert_eq!(last.code, Some(1), "{}", last.printed);
    assert!(last.printed.contains("--force"), "{}", last.printed);

    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let at = proxy.listens("IMAP").await;
    assert!(imap(at, "one").await.starts_with("NO"));
    assert!(imap(at, "two").await.starts_with("OK"));
    stopped(proxy).await;
    let unknown = Program::done(
        &home,
        &[
            "password",
            "nobody@example.net",
            "--config-file",
            &file,
            "--list",
        ],
        "",
    )
    .await;
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.printed.contains("no account nobody@example.net"),
        "{}",
        unknown.printed
    );
}

/// Signs the user in while a login waits, and returns the login's word.
async fn signed_in(proxy: &mut Program, at: SocketAddr, password: &str) -> String {
    let login = imap(at, password);
    let person = async {
        let words = format!("Please visit the following URL to authenticate account {USER}: ");
        let url = proxy.says(&words).await;
        visit(&url).await
    };
    tokio::join!(login, person).0
}

#[tokio::test]
async fn with_a_store_key_everything_goes_on_from_the_start() {
    let provider = Provider::start().await;
    provider.world.turn(|knobs| knobs.lifetime = Some(3));
    let plan = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .option("store_key = file:store.key");
    let (_plan, home, file) = written(plan);
    let run = ["run", "--debug", "--config-file", &file];
    let mut proxy = Program::start(&home, &run);
    let at = proxy.listens("IMAP").await;
    proxy.says("made a new store key").await;
    let key = home.join("store.key");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(signed_in(&mut proxy, at, "first").await.starts_with("OK"));
    stopped(proxy).await;

    // Nobody logs in, and the token is renewed all the same.
    let before = provider.world.register.count("refresh_token");
    let mut proxy = Program::start(&home, &run);
    let at = proxy.listens("IMAP").await;
    proxy.says("the store key opened 1 accounts").await;
    proxy.says("obtained a token for account").await;
    assert_eq!(provider.world.register.count("refresh_token"), before + 1);
    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    for words in [
        "authorised",
        "1 local password",
        "from the start, by the store key",
    ] {
        assert!(
            status.printed.contains(words),
            "{words}: {}",
            status.printed
        );
    }
    // A password is changed without the old one and without a new sign-in.
    let set = password(&home, &file, &[], "second\n").await;
    assert_eq!(set.code, Some(0), "{}", set.printed);
    assert!(imap(at, "first").await.starts_with("NO"));
    assert!(imap(at, "second").await.starts_with("OK"));
    stopped(proxy).await;
    assert_eq!(provider.world.register.visits().len(), 1);

    // A key that is lost is not replaced, and one that is open to others is not used.
    fs::rename(&key, home.join("away")).unwrap();
    let lost = Program::done(&home, &run, "").await;
    assert_eq!(lost.code, Some(1), "{}", lost.printed);
    assert!(
        lost.printed.contains("bring that key back"),
        "{}",
        lost.printed
    );
    assert!(!key.exists());
    fs::rename(home.join("away"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = Program::done(&home, &run, "").await;
    assert_eq!(open.code, Some(1), "{}", open.printed);
    assert!(open.printed.contains("chmod 600"), "{}", open.printed);
}

#[tokio::test]
async fn a_systemd_credential_is_a_store_key_and_a_missing_keyring_is_said_in_one_line() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider)
        .app(&provider, USER)
        .option("store_key = credential:emailproxy-key");
    let (_plan, home, file) = written(plan);
    let run = ["run", "--config-file", &file];
    let none = Program::done(&home, &run, "").await;
    assert_eq!(none.code, Some(1), "{}", none.printed);
    assert!(
        none.printed.contains("LoadCredentialEncrypted="),
        "{}",
        none.printed
    );
    let folder = home.join("credentials");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("emailproxy-key"), [5; 32]).unwrap();
    let mode = fs::Permissions::from_mode(0o400);
    fs::set_permissions(folder.join("emailproxy-key"), mode).unwrap();
    let credentials = [("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())];
    let mut proxy = Program::start_in(&home, &run, &credentials);
    let at = proxy.listens("IMAP").await;
    assert!(imap(at, "pw").await.starts_with("OK"));
    stopped(proxy).await;
    let store = fs::read_to_string(home.join("emailproxy.tokens.json")).unwrap();
    assert!(store.contains("\"by\":\"store\""), "{store}");

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("credential:emailproxy-key", "keyring")).unwrap();
    let headless = Program::done(&home, &run, "").await;
    assert_eq!(headless.code, Some(1), "{}", headless.printed);
    let said: Vec<&str> = headless
        .printed
        .lines()
        .filter(|line| line.contains("keyring"))
        .collect();
    assert_eq!(said.len(), 1, "{}", headless.printed);
    for words in ["credential:NAME", "file:PATH"] {
        assert!(said[0].contains(words), "{words}: {}", headless.printed);
    }
    eprintln!("{}", said[0]);
}
