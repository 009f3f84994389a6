//! The program from outside: what a person types, what a service manager signals, and what comes of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use program::Program;
use support::client::Client;
use support::daemon::{Plan, free_port, redirected, visit};
use support::provider::Provider;

#[path = "support/program.rs"]
mod program;
mod support;

const USER: &str = "person@example.com";
const PASSWORD: &str = "any-password-you-like";

/// Writes a configuration and returns its directory and itself; the plan keeps them there.
fn written(plan: Plan) -> (Plan, PathBuf, String) {
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    fs::create_dir_all(home.join("run")).unwrap();
    fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    (plan, home, file.display().to_string())
}

async fn logs_in(at: std::net::SocketAddr) -> (Client, String) {
    let mut client = Client::plain(at).await;
    assert!(client.line().await.starts_with("* OK"));
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    (client, said.last().unwrap().clone())
}

#[tokio::test]
async fn the_running_proxy_answers_status_and_logs() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let none = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert_eq!(none.code, Some(1));
    assert!(none.printed.contains("emailproxy run"), "{}", none.printed);

    // The predecessor's flags, and no command: every existing unit file works.
    let mut proxy = Program::start(
        &home,
        &["--no-gui", "--local-server-auth", "--config-file", &file],
    );
    let imap = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;
    let (_client, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");

    let status = Program::done(&home, &["status", "--config-file", &file], "").await;
    assert_eq!(status.code, Some(0), "{}", status.printed);
    for words in ["IMAP-0", &imap.to_string(), USER, "client_credentials"] {
        assert!(
            status.printed.contains(words),
            "{words}: {}",
            status.printed
        );
    }
    let json = Program::done(&home, &["status", "--json", "--config-file", &file], "").await;
    let json: serde_json::Value = serde_json::from_str(&json.printed).unwrap();
    assert_eq!(json["accounts"][0]["account"], USER);

    let logs = Program::done(&home, &["logs", "--config-file", &file], "").await;
    assert!(
        logs.printed
            .contains("Successfully authenticated IMAP connection"),
        "{}",
        logs.printed
    );
    let mut follower = Program::start(&home, &["logs", "--follow", "--config-file", &file]);
    follower.says("Initialised emailproxy").await;
    proxy.signal("USR1").await;
    follower.says("debug lines are switched on").await;
    proxy.signal("TERM").await;
    assert_eq!(proxy.end().await.code, Some(0));
    follower.end().await;
    assert!(
        fs::read_dir(home.join("run")).unwrap().next().is_none(),
        "the control socket is left behind"
    );
}

#[tokio::test]
async fn a_stop_says_goodbye_in_each_protocol_and_lets_relayed_sessions_finish() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let (imap, pop, smtp) = (
        proxy.listens("IMAP").await,
        proxy.listens("POP").await,
        proxy.listens("SMTP").await,
    );
    let (mut relayed, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    let mut waiting = Vec::new();
    for (at, goodbye) in [(imap, "* BYE"), (pop, "+OK"), (smtp, "421 ")] {
        let mut client = Client::plain(at).await;
        client.line().await;
        waiting.push((client, goodbye));
    }
    proxy.signal("TERM").await;
    for (mut client, goodbye) in waiting {
        let heard = client.line().await;
        assert!(heard.starts_with(goodbye), "{heard}");
    }
    let said = relayed.imap("NOOP").await;
    assert!(
        said.last().unwrap().starts_with("OK"),
        "a relayed session goes on: {said:?}"
    );
    relayed.imap("LOGOUT").await;
    drop(relayed);
    assert_eq!(proxy.end().await.code, Some(0));
}

#[tokio::test]
async fn a_reload_opens_and_closes_services_and_drops_no_session_and_no_consent() {
    let provider = Provider::start().await;
    let redirect = free_port();
    let plan = Plan::for_provider(&provider).person(&provider, USER, redirect);
    let (_plan, home, file) = written(plan);
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let imap = proxy.listens("IMAP").await;
    let mut waiting = Client::plain(imap).await;
    waiting.line().await;
    waiting.say(&format!("w LOGIN {USER} {PASSWORD}")).await;
    let url = proxy
        .says(&format!("to authenticate account {USER}: "))
        .await;

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\nnonsense without a delimiter\n")).unwrap();
    proxy.signal("HUP").await;
    proxy
        .says("was not reloaded, everything stays as it was")
        .await;

    let more = text.replace("[POP-0]", &format!("[POP-{}]", free_port()));
    fs::write(&file, more).unwrap();
    proxy.signal("HUP").await;
    proxy.says("Reloaded ").await;

    assert!(visit(&url).await.contains("succeeded"));
    let said = waiting.until_tagged("w").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    let (_again, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(proxy.text().matches("Starting POP server").count(), 2);
    proxy.signal("INT").await;
    drop(waiting);
    assert_eq!(proxy.end().await.code, Some(0));
}

#[tokio::test]
async fn a_person_signs_in_through_the_running_proxy_before_any_login() {
    let provider = Provider::start().await;
    let (_plan, home, file) =
        written(Plan::for_provider(&provider).person(&provider, USER, free_port()));
    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let imap = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;
    let mut sign_in = Program::start(&home, &["authorize", USER, "--config-file", &file]);
    let url = sign_in.says("to authenticate account").await;
    let url = url.split_once(": ").unwrap().1.to_owned();
    assert!(visit(&url).await.contains("succeeded"));
    let ended = sign_in.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.printed);
    let (_client, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(
        provider.world.register.visits().len(),
        1,
        "the kept consent was used"
    );

    let unknown = Program::done(
        &home,
        &["authorize", "nobody@example.com", "--config-file", &file],
        "",
    )
    .await;
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.printed.contains("no account section fits"),
        "{}",
        unknown.printed
    );
}

#[tokio::test]
async fn a_person_signs_in_alone_and_pastes_the_final_address() {
    let provider = Provider::start().await;
    let (_plan, home, file) =
        written(Plan::for_provider(&provider).person(&provider, USER, free_port()));
    let arguments = ["authorize", "--external-auth", USER, "--config-file", &file];
    let mut sign_in = Program::start(&home, &arguments);
    sign_in.paste(&format!("{PASSWORD}\n")).await;
    let url = sign_in.says("to authenticate account").await;
    let final_address = redirected(url.split_once(": ").unwrap().1).await;
    sign_in
        .paste("http://localhost/?state=forged&code=x\n")
        .await;
    sign_in.says("belongs to no sign-in").await;
    sign_in.paste(&format!("{final_address}\n")).await;
    let ended = sign_in.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.printed);
    assert!(!ended.printed.contains(PASSWORD));

    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    let imap = proxy.listens("IMAP").await;
    let (_client, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(provider.world.register.visits().len(), 1);
    let store = fs::metadata(home.join("emailproxy.tokens.json")).unwrap();
    assert_eq!(store.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn external_auth_takes_the_final_address_on_standard_input() {
    let provider = Provider::start().await;
    let (_plan, home, file) =
        written(Plan::for_provider(&provider).person(&provider, USER, free_port()));
    let mut proxy = Program::start(
        &home,
        &["--no-gui", "--external-auth", "--config-file", &file],
    );
    let imap = proxy.listens("IMAP").await;
    let mut client = Client::plain(imap).await;
    client.line().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    let url = proxy
        .says(&format!("to authenticate account {USER}: "))
        .await;
    proxy.paste(&format!("{}\n", redirected(&url).await)).await;
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn what_cannot_work_is_said_and_nothing_is_opened() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let run = |arguments: Vec<String>| {
        let home = home.path().to_owned();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Program::done(&home, &arguments, "").await
        }
    };
    let missing = run(vec!["run".into(), "--config-file".into(), at("none.ini")]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.printed.contains("none.ini"), "{}", missing.printed);
    let nowhere = run(vec!["run".into()]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere.printed.contains("emailproxy register"),
        "{}",
        nowhere.printed
    );

    fs::write(
        at("bad.ini"),
        "[IMAP-0]\nserver_address = x\nserver_port = many\n[SMTP-0]\n",
    )
    .unwrap();
    let bad = run(vec!["run".into(), "--config-file".into(), at("bad.ini")]).await;
    assert_eq!(bad.code, Some(1));
    assert!(bad.printed.contains("bad.ini:3:"), "{}", bad.printed);
    assert!(
        bad.printed.contains("SMTP-0"),
        "all complaints come at once: {}",
        bad.printed
    );
    assert!(!bad.printed.contains("Starting"), "{}", bad.printed);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!("[IMAP-{port}]\nserver_address = localhost\nserver_port = 993\n");
    fs::write(at("taken.ini"), text).unwrap();
    let taken = run(vec!["run".into(), "--config-file".into(), at("taken.ini")]).await;
    assert_eq!(taken.code, Some(1));
    assert!(
        taken.printed.contains("already running"),
        "{}",
        taken.printed
    );

    fs::write(
        at("good.ini"),
        "[IMAP-0]\nserver_address = localhost\nserver_port = 993\n",
    )
    .unwrap();
    // A service that this program was built for is reached later; one that cannot be named is refused at once.
    let (store, words) = if cfg!(feature = "redis") {
        ("redis://127.0.0.1:port", "redis")
    } else {
        ("redis://127.0.0.1", "--features redis")
    };
    let odd = [
        "run",
        "--cache-store",
        store,
        "--config-file",
        &at("good.ini"),
    ]
    .map(String::from);
    let odd = run(odd.to_vec()).await;
    assert_eq!(odd.code, Some(1), "{}", odd.printed);
    assert!(
        odd.printed.to_lowercase().contains(words),
        "{}",
        odd.printed
    );
    assert!(!Path::new(&at(store)).exists());

    let version = run(vec!["--version".into()]).await;
    assert_eq!(
        (version.code, version.printed.trim()),
        (Some(0), concat!("emailproxy ", env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn each_broken_file_is_refused_with_its_line_before_anything_opens() {
    let service = "[IMAP-0]\nserver_address = localhost\nserver_port = 993\n";
    let cases = [
        ("no delimiter\n", 4, "no `=`"),
        ("Server_Port = 5\n", 4, "a second time"),
        ("[IMAP-0]\n", 4, "a second time"),
        ("server_starttls = maybe\n", 4, "neither True nor False"),
        (
            "server_starttls = True ; always\n",
            4,
            "neither True nor False",
        ),
        (
            "[POP-0]\nserver_address = h\n  server_port = 995\n",
            4,
            "needs a value for server_port",
        ),
        (
            "[POP-0]\nserver_address = h\nserver_port = \"995\"\n",
            6,
            "quotes are part",
        ),
        (
            "[a@e.example]\nclient_secret = {\n  \"k\": 1\n}\n",
            7,
            "no `=`",
        ),
        (
            "[POP-99999]\nserver_address = h\nserver_port = 1\n",
            4,
            "at most 65535",
        ),
        (
            "[emailproxy]\nallow_catch_all_accounts = ja\n",
            5,
            "neither True nor False",
        ),
    ];
    for (text, line, why) in cases {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("emailproxy.config");
        fs::write(&file, format!("{service}{text}")).unwrap();
        let ended = Program::done(home.path(), &["--no-gui"], "").await;
        assert_eq!(ended.code, Some(1), "{text:?}");
        let place = format!("emailproxy.config:{line}: ");
        let named = |said: &str| said.contains(&place) && said.contains(why);
        assert!(
            ended.printed.lines().any(named),
            "{text:?}: {}",
            ended.printed
        );
        assert!(!ended.printed.contains("Starting"), "{}", ended.printed);
        let left: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[tokio::test]
async fn every_place_of_the_log_names_the_account_once_a_line() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let log = home.join("proxy.log").display().to_string();
    let arguments = ["run", "--log-file", &log, "--config-file", &file];
    let mut proxy = Program::start(&home, &arguments);
    let imap = proxy.listens("IMAP").await;
    let (mut client, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    client.imap("LOGOUT").await;
    proxy.says("Closing IMAP connection").await;
    let kept = Program::done(&home, &["logs", "--config-file", &file], "").await;
    proxy.signal("TERM").await;
    let printed = proxy.end().await.printed;
    let written = fs::read_to_string(Path::new(&log)).unwrap();
    let field = format!("account=\"{USER}\"");
    for text in [printed, written, kept.printed] {
        let mut counts = text.lines().map(|line| line.matches(&field).count());
        assert!(counts.clone().any(|count| count == 1), "{text}");
        assert!(counts.all(|count| count < 2), "{text}");
    }
}

#[tokio::test]
async fn log_lines_go_to_a_private_file_too_and_may_be_json() {
    let provider = Provider::start().await;
    let (_plan, home, file) = written(Plan::for_provider(&provider).app(&provider, USER));
    let log = home.join("proxy.log").display().to_string();
    let arguments = [
        "run",
        "--debug",
        "--log-format",
        "json",
        "--log-file",
        &log,
        "--config-file",
        &file,
    ];
    let mut proxy = Program::start(&home, &arguments);
    let imap = proxy.listens("IMAP").await;
    let (mut client, said) = logs_in(imap).await;
    assert!(said.starts_with("OK"), "{said}");
    client.imap("LOGOUT").await;
    proxy.says("Closing IMAP connection").await;
    proxy.signal("TERM").await;
    let ended = proxy.end().await;
    let written = fs::read_to_string(Path::new(&log)).unwrap();
    for line in written.lines().chain(ended.printed.lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["message"].is_string(), "{line}");
    }
    assert!(written.contains("Closing IMAP connection") && !written.contains(PASSWORD));
    assert_eq!(
        fs::metadata(&log).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
