//! `emailproxy token`: tokens for programs that log in at the provider themselves.
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
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use program::Program;
use support::client::Client;
use support::daemon::{Plan, free_port, visit};
use support::provider::Provider;
use tokio::io::AsyncWriteExt as _;

#[path = "support/program.rs"]
mod program;
mod support;

const USER: &str = "person@example.com";
const PASSWORD: &str = "any-password-you-like";

/// How a run of `emailproxy token` ended.
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Where a configuration is, as long as its plan lives.
struct Home {
    _plan: Plan,
    dir: PathBuf,
    file: String,
}

fn written(plan: Plan) -> Home {
    let file = plan.write();
    let dir = file.parent().unwrap().to_owned();
    fs::create_dir_all(dir.join("run")).unwrap();
    fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    Home {
        _plan: plan,
        dir,
        file: file.display().to_string(),
    }
}

impl Home {
    async fn token(&self, arguments: &[&str], input: &str) -> Told {
        let dir: &Path = &self.dir;
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_emailproxy"))
            .args(["token", USER, "--config-file", &self.file])
            .args(arguments)
            .current_dir(dir)
            .env("RUNTIME_DIRECTORY", dir.join("run"))
            .env_remove("STATE_DIRECTORY")
            .env("HOME", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that failed already reads nothing.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let done = child.wait_with_output().await.unwrap();
        Told {
            code: done.status.code(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    fn proxy(&self) -> Program {
        Program::start(&self.dir, &["run", "--debug", "--config-file", &self.file])
    }
}

async fn log_in(at: SocketAddr) {
    let mut client = Client::plain(at).await;
    client.line().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

/// Returns whether the provider's IMAP server believes a SASL message.
async fn is_believed(provider: &Provider, mechanism: &str, message: &str) -> bool {
    let mut client = Client::tls(provider.imap, provider.world.authority.client()).await;
    client.line().await;
    client.say(&format!("x AUTHENTICATE {mechanism}")).await;
    assert!(client.line().await.starts_with('+'));
    client.say(message).await;
    client.line().await.starts_with("x OK")
}

#[tokio::test]
async fn the_running_proxy_lends_what_a_login_opened_and_prints_nothing_else() {
    let provider = Provider::start().await;
    let home = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = home.proxy();
    let imap = proxy.listens("IMAP").await;

    let locked = home.token(&[], "").await;
    assert_eq!((locked.code, locked.out.as_str()), (Some(1), ""));
    assert!(locked.err.contains("is locked"), "{}", locked.err);

    log_in(imap).await;
    let bare = home.token(&[], "").await;
    assert_eq!((bare.code, bare.err.as_str()), (Some(0), ""));
    let token = bare.out.strip_suffix('\n').unwrap();
    assert!(
        !token.is_empty() && !token.contains(char::is_whitespace),
        "{token}"
    );

    let xoauth2 = home.token(&["--xoauth2"], "").await.out;
    let message = BASE64_STANDARD.decode(xoauth2.trim_end()).unwrap();
    let wanted = format!("user={USER}\u{1}auth=Bearer {token}\u{1}\u{1}");
    assert_eq!(String::from_utf8(message).unwrap(), wanted);
    assert!(is_believed(&provider, "XOAUTH2", xoauth2.trim_end()).await);

    let told = home
        .token(
            &[
                "--oauthbearer",
                "--host",
                "imap.example.com",
                "--port",
                "993",
            ],
            "",
        )
        .await;
    let message = BASE64_STANDARD.decode(told.out.trim_end()).unwrap();
    let wanted = format!(
        "n,a={USER},\u{1}host=imap.example.com\u{1}port=993\u{1}auth=Bearer {token}\u{1}\u{1}"
    );
    assert_eq!(String::from_utf8(message).unwrap(), wanted);

    let json = home.token(&["--json"], "").await.out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["token"].as_str(), json["user"].as_str()),
        (Some(token), Some(USER))
    );
    assert!(
        json["expires_in"].as_u64().is_some_and(|left| left > 0),
        "{json}"
    );

    let unknown = home.token(&["--oauthbearer"], "").await;
    assert_eq!(unknown.code, Some(2), "host and port are needed");
    assert_eq!(provider.world.register.requests().len(), 1);
    assert!(!proxy.text().contains(token), "the token is in the log");
    let logs = Program::done(&home.dir, &["logs", "--config-file", &home.file], "").await;
    assert!(!logs.printed.contains(token), "the token is in the log");
}

#[tokio::test]
async fn a_password_opens_what_is_locked() {
    let provider = Provider::start().await;
    let home = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = home.proxy();
    log_in(proxy.listens("IMAP").await).await;
    proxy.signal("TERM").await;
    proxy.end().await;
    let mut proxy = home.proxy();
    proxy.listens("IMAP").await;
    let wrong = home.token(&["--password-stdin"], "wrong\n").await;
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(1), ""));
    assert!(wrong.err.contains("password"), "{}", wrong.err);
    let right = home
        .token(&["--password-stdin"], &format!("{PASSWORD}\n"))
        .await;
    assert_eq!(right.code, Some(0), "{}", right.err);
    // From now on it is open.
    let again = home.token(&[], "").await;
    assert_eq!(again.out, right.out);
    assert!(!proxy.text().contains(PASSWORD));
}

#[tokio::test]
async fn without_a_proxy_it_takes_a_password_or_the_store_key() {
    let provider = Provider::start().await;
    let home = written(Plan::for_provider(&provider).app(&provider, USER));
    let none = home.token(&[], "").await;
    assert_eq!((none.code, none.out.as_str()), (Some(1), ""));
    assert!(none.err.contains("emailproxy run"), "{}", none.err);
    let alone = home
        .token(&["--password-stdin"], &format!("{PASSWORD}\n"))
        .await;
    assert_eq!(alone.code, Some(0), "{}", alone.err);
    let message = format!(
        "user={USER}\u{1}auth=Bearer {}\u{1}\u{1}",
        alone.out.trim_end()
    );
    assert!(is_believed(&provider, "XOAUTH2", &BASE64_STANDARD.encode(message)).await);

    let keyed = Plan::for_provider(&provider)
        .option("store_key = file:store.key")
        .app(&provider, USER);
    let keyed = written(keyed);
    let first = keyed.token(&[], "").await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert_eq!(keyed.token(&[], "").await.out, first.out);
}

#[tokio::test]
async fn who_must_sign_in_first_is_told_where() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider)
        .option("store_key = file:store.key")
        .person(&provider, USER, free_port());
    let home = written(plan);
    let mut proxy = home.proxy();
    proxy.listens("IMAP").await;
    let told = home.token(&[], "").await;
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""));
    assert!(told.err.contains("emailproxy authorize"), "{}", told.err);
    let told = home
        .token(&["--password-stdin"], &format!("{PASSWORD}\n"))
        .await;
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""));
    let (_, url) = told.err.trim_end().rsplit_once(' ').unwrap();
    assert!(url.starts_with(&provider.permission_url()), "{}", told.err);
    visit(url).await;
    let told = home.token(&[], "").await;
    assert_eq!(told.code, Some(0), "{}", told.err);
}
