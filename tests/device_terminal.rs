//! Device codes as a person at a terminal sees them: address, code, picture and the time that is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use program::Program;
use support::client::PATIENCE;
use support::daemon::{Plan, visit};
use support::provider::{CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};
use tokio::io::AsyncReadExt as _;

#[path = "support/program.rs"]
mod program;
mod support;

const USER: &str = "person@example.com";
const PASSWORD: &str = "any-password-you-like";

/// A configuration with one account that is signed in by device code.
fn plan(provider: &Provider) -> Plan {
    Plan::for_provider(provider).section(&format!(
        "[{USER}]\npermission_url = http://{}/devicecode\ntoken_url = {}\noauth2_flow = device\n\
         oauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n",
        provider.oauth,
        provider.token_url()
    ))
}

/// Writes it for the program, with a place for its control socket.
fn written(provider: &Provider) -> (Plan, PathBuf, String) {
    let plan = plan(provider);
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    fs::create_dir_all(home.join("run")).unwrap();
    fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    (plan, home, file.display().to_string())
}

#[tokio::test]
async fn the_terminal_shows_the_code_through_the_running_proxy() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(&provider);
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let mut person = Program::start(&home, &["authorize", USER, "--config-file", &file]);
    let url = person
        .says(&format!("to authenticate account {USER}: "))
        .await;
    let rest = person.says("Visit ").await;
    let code = rest.split_once(" and use code ").unwrap().1.to_owned();
    assert!(url.ends_with(&code), "{url}: {code}");
    person
        .says("\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}")
        .await;
    person
        .says(&format!("account {USER}: code {code} at "))
        .await;
    assert!(person.text().contains(" 10 min left"), "{}", person.text());
    // The log draws it too, and `status` names the code.
    proxy.says("\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}").await;
    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert!(
        status.printed.contains(&format!("and use code {code}")),
        "{}",
        status.printed
    );
    visit(&url).await;
    let done = person.end().await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    assert!(
        done.printed
            .contains(&format!("account {USER} is authorised")),
        "{}",
        done.printed
    );
}

#[tokio::test]
async fn the_terminal_shows_the_code_where_no_proxy_runs() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(&provider);
    let mut person = Program::start(&home, &["authorize", USER, "--config-file", &file]);
    person.paste(&format!("{PASSWORD}\n")).await;
    let url = person
        .says(&format!("to authenticate account {USER}: "))
        .await;
    person.says("Visit ").await;
    visit(&url).await;
    let done = person.end().await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    assert!(done.printed.contains("is authorised"), "{}", done.printed);
}

#[tokio::test]
async fn on_a_real_terminal_the_time_left_is_counted_down() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(&provider);
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let program = env!("CARGO_BIN_EXE_emailproxy");
    // util-linux's `script` lends a terminal.
    let mut script = tokio::process::Command::new("script")
        .arg("-qec")
        .arg(format!("{program} authorize {USER} --config-file {file}"))
        .arg("/dev/null")
        .env("RUNTIME_DIRECTORY", home.join("run"))
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("util-linux's script");
    let mut screen = script.stdout.take().unwrap();
    let counted = async {
        let (mut shown, mut bytes) = (String::new(), [0; 4096]);
        loop {
            let count = screen.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "it ended: {shown}");
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
            let times: HashSet<_> = shown
                .split('\r')
                .filter_map(|line| line.strip_suffix(" left ")?.rsplit_once(": "))
                .map(|(_, left)| left.to_owned())
                .collect();
            if times.len() >= 2 {
                return (shown, times);
            }
        }
    };
    let (shown, times) = tokio::time::timeout(PATIENCE, counted)
        .await
        .expect("nothing is counted down");
    for left in &times {
        let (minutes, seconds) = left.split_once(':').unwrap();
        assert!(["9", "10"].contains(&minutes), "{times:?}");
        assert_eq!(seconds.len(), 2, "{times:?}");
    }
    // Black on white, whatever the terminal's colours are.
    assert!(shown.contains("\u{1b}[38;5;16;48;5;231m"), "{shown}");
}
