//! What the running process gave up, and that everything goes on without it: R-23 (the process) and R-32.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Program;
use crate::support::client::Client;
use crate::support::daemon::{Plan, free_port, person, visit};
use crate::support::provider::{Authority, Provider};

const USER: &str = "person@example.com";
const PASSWORD: &str = "any-password-you-like";

/// A configuration in a directory of its own, beside which others are.
struct Stage {
    home: PathBuf,
    file: String,
    _plan: Plan,
}

impl Stage {
    fn set(plan: Plan) -> Self {
        let file = plan.write();
        let home = file.parent().unwrap().to_owned();
        fs::create_dir_all(home.join("run")).unwrap();
        fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            home,
            file: file.display().to_string(),
            _plan: plan,
        }
    }

    fn run(&self, more: &[&str]) -> Program {
        let arguments = [&["run", "--config-file", &self.file], more].concat();
        Program::start(&self.home, &arguments)
    }

    /// Replaces the configuration as editors do: a new file, renamed.
    fn replace(&self, change: impl FnOnce(String) -> String) {
        let text = change(fs::read_to_string(&self.file).unwrap());
        renew(Path::new(&self.file), &text);
    }
}

/// Puts a new file in the place of an old one.
fn renew(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

async fn log_in(at: std::net::SocketAddr, user: &str) -> String {
    let mut client = Client::plain(at).await;
    client.line().await;
    let said = client.imap(&format!("LOGIN {user} {PASSWORD}")).await;
    said.last().unwrap().clone()
}

/// Reads a value of `/proc/ID/status` of each thread.
fn status_of_threads(id: u32, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let statuses =
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let value = |status: String| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    statuses.map(value).collect()
}

/// Returns whether the log says that files are confined; where the kernel cannot, nothing can be proven of it.
fn has_landlock(proxy: &Program) -> bool {
    let has = proxy
        .text()
        .contains("sandboxed: files of its own only (Landlock");
    if !has {
        eprintln!("skipped: this kernel has no Landlock");
    }
    has
}

#[tokio::test]
async fn r23_no_core_no_tracer_and_no_new_rights() {
    let provider = Provider::start().await;
    let stage = Stage::set(Plan::for_provider(&provider).app(&provider, USER));
    let mut proxy = stage.run(&[]);
    proxy.says("Initialised emailproxy").await;
    let id = proxy.id();
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
    for threads in ["NoNewPrivs:", "Seccomp:"].map(|field| status_of_threads(id, field)) {
        assert!(threads.len() > 1, "{threads:?}");
    }
    assert!(
        status_of_threads(id, "NoNewPrivs:")
            .iter()
            .all(|set| set == "1")
    );
    let given = fs::read(format!("/proc/{id}/environ")).unwrap();
    let given = String::from_utf8_lossy(&given).into_owned();
    let said = fs::read(format!("/proc/{id}/cmdline")).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    for secret in [PASSWORD, crate::support::provider::CLIENT_SECRET] {
        assert!(!given.contains(secret) && !said.contains(secret));
    }
}

#[tokio::test]
async fn r23_other_processes_of_the_same_user_cannot_look_inside() {
    // As root everything is root's: somebody else has to own the process.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let home = tempfile::tempdir().unwrap();
    let nobody = 65_534;
    let program = home.path().join("emailproxy");
    fs::copy(env!("CARGO_BIN_EXE_emailproxy"), &program).unwrap();
    let file = home.path().join("own/emailproxy.ini");
    let folder = file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    let text = "[IMAP-0]\nserver_address = 127.0.0.1\nserver_port = 9\n";
    fs::write(&file, text).unwrap();
    let mut command = Command::new(&program);
    if is_root {
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(folder, Some(nobody), Some(nobody)).unwrap();
        std::os::unix::fs::chown(&file, Some(nobody), Some(nobody)).unwrap();
        command.uid(nobody).gid(nobody);
    }
    let mut child = command
        .args(["run", "--config-file"])
        .arg(&file)
        .current_dir(folder)
        .env("RUNTIME_DIRECTORY", folder)
        .env("HOME", folder)
        .env_remove("STATE_DIRECTORY")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(out);
    assert!(lines.any(|line| line.unwrap().contains("Initialised emailproxy")));
    let inside = format!("/proc/{}", child.id());
    let owner = |what: &str| fs::metadata(format!("{inside}{what}")).unwrap().uid();
    assert_ne!((is_root, owner("")), (true, 0));
    let owners = ["/environ", "/mem", "/maps", "/fd"].map(owner);
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel gives what is not to be looked at to root.
    assert_eq!(owners, [0; 4]);
}

#[tokio::test]
async fn r32_every_thread_is_confined_and_a_link_out_leads_nowhere() {
    let provider = Provider::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("token"), "of.somebody.else").unwrap();
    let app = crate::support::daemon::app(&provider, USER);
    let secret = format!(
        "client_secret = {}",
        crate::support::provider::CLIENT_SECRET
    );
    let app = app.replace(&secret, "client_assertion_file = token");
    let stage = Stage::set(Plan::for_provider(&provider).section(&app));
    fs::write(stage.home.join("token"), "mine").unwrap();
    let mut proxy = stage.run(&[]);
    let imap = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;
    let seccomp = status_of_threads(proxy.id(), "Seccomp:");
    assert!(seccomp.iter().all(|mode| mode == "2"), "{seccomp:?}");
    if !has_landlock(&proxy) {
        return;
    }
    let said = log_in(imap, USER).await;
    assert!(said.contains("no signed token in it"), "{said}");
    fs::remove_file(stage.home.join("token")).unwrap();
    symlink(elsewhere.path().join("token"), stage.home.join("token")).unwrap();
    let said = log_in(imap, USER).await;
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn r32_a_reload_that_names_a_path_outside_is_refused_with_that_reason() {
    let provider = Provider::start().await;
    let stage = Stage::set(Plan::for_provider(&provider).app(&provider, USER));
    let elsewhere = tempfile::tempdir().unwrap();
    let ca = elsewhere.path().join("ca.pem");
    fs::copy(stage.home.join("ca.pem"), &ca).unwrap();
    let mut proxy = stage.run(&[]);
    let imap = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;
    if !has_landlock(&proxy) {
        return;
    }
    let before = fs::read_to_string(&stage.file).unwrap();
    let own = stage.home.join("ca.pem").display().to_string();
    stage.replace(|text| text.replace(&own, &ca.display().to_string()));
    proxy.signal("HUP").await;
    let why = proxy.says("emailproxy.ini:2: ca_file: ").await;
    for word in [
        &ca.display().to_string(),
        "lies outside",
        "restart emailproxy",
    ] {
        assert!(why.contains(word), "{why}");
    }
    proxy
        .says("was not reloaded, everything stays as it was")
        .await;
    let said = log_in(imap, USER).await;
    assert!(said.starts_with("OK"), "{said}");

    // A file that was not there at the start, in a directory that was.
    fs::copy(&ca, stage.home.join("later.pem")).unwrap();
    stage.replace(|_| before.replace("ca.pem", "later.pem"));
    proxy.signal("HUP").await;
    proxy.says("Reloaded ").await;
    let said = log_in(imap, USER).await;
    assert!(said.starts_with("OK"), "{said}");
}

#[tokio::test]
async fn r32_the_proxys_own_work_goes_on() {
    let provider = Provider::start().await;
    let redirect = free_port();
    let plan = Plan::for_provider(&provider)
        .local_tls(false)
        .section(&person(&provider, USER, redirect));
    let stage = Stage::set(plan);
    // Names have to be found, for which the system's library loads others at that moment.
    stage.replace(|text| {
        text.replace("server_address = 127.0.0.1", "server_address = localhost")
            .replace(&format!("{}/", stage.home.display()), "")
    });
    // The store is in a directory that is not there yet, behind a link; the log is full. All paths are relative.
    fs::create_dir_all(stage.home.join("far/away")).unwrap();
    symlink("far/away", stage.home.join("state")).unwrap();
    fs::create_dir(stage.home.join("logs")).unwrap();
    let log = fs::File::create(stage.home.join("logs/log")).unwrap();
    log.set_len(33 * 1024 * 1024).unwrap();
    let arguments = [
        "run",
        "--config-file",
        "emailproxy.ini",
        "--cache-store",
        "state/new/tokens.json",
        "--log-file",
        "logs/log",
    ];
    let mut proxy = Program::start(&stage.home, &arguments);
    let imap = proxy.listens("IMAP").await;
    proxy.says("Initialised emailproxy").await;

    let mut sign_in = Program::start(
        &stage.home,
        &["authorize", USER, "--config-file", "emailproxy.ini"],
    );
    let url = sign_in.says("to authenticate account").await;
    let url = url.split_once(": ").unwrap().1.to_owned();
    assert!(visit(&url).await.contains("succeeded"));
    assert_eq!(sign_in.end().await.code, Some(0));
    let login = async |authority: &Authority| {
        let mut client = Client::tls(imap, authority.client()).await;
        client.line().await;
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        said.last().unwrap().clone()
    };
    let said = login(&provider.world.authority).await;
    assert!(said.starts_with("OK"), "{said}");
    let store = stage.home.join("far/away/new/tokens.json");
    assert!(fs::read_to_string(&store).unwrap().contains(USER));
    assert!(
        stage.home.join("logs/log.1").exists(),
        "the log was rotated"
    );

    // A renewed certificate, by somebody else, and a configuration saved anew.
    let renewed = Authority::found();
    renew(&stage.home.join("local.pem"), &renewed.certificate);
    renew(&stage.home.join("local.key"), &renewed.key);
    stage.replace(|text| text + "# saved\n");
    proxy.signal("HUP").await;
    proxy.says("Reloaded ").await;
    let said = login(&renewed).await;
    assert!(said.starts_with("OK"), "{said}");
    proxy.signal("TERM").await;
    assert_eq!(proxy.end().await.code, Some(0));
    assert!(
        fs::read_dir(stage.home.join("run"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn r32_the_sandbox_can_be_switched_off_with_a_warning() {
    let provider = Provider::start().await;
    let stage = Stage::set(
        Plan::for_provider(&provider)
            .app(&provider, USER)
            .option("sandbox = no"),
    );
    let mut proxy = stage.run(&[]);
    proxy.says("sandbox = no: ").await;
    proxy.says("Initialised emailproxy").await;
    let seccomp = status_of_threads(proxy.id(), "Seccomp:");
    // Whoever runs the tests may be filtered too.
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    let ours = ours
        .lines()
        .find(|line| line.starts_with("Seccomp:"))
        .unwrap();
    assert!(
        seccomp.iter().all(|mode| ours.ends_with(mode)),
        "{seccomp:?}"
    );
}

#[tokio::test]
async fn r32_the_notice_command_is_run_outside_once_for_each_account() {
    let provider = Provider::start().await;
    let device = format!(
        "[other@example.com]\noauth2_flow = device\npermission_url = {}/devicecode\ntoken_url = {}\noauth2_scope = {}\nclient_id = {}\n",
        provider.issuer(),
        provider.token_url(),
        crate::support::provider::SCOPE,
        crate::support::provider::CLIENT_ID
    );
    let plan = Plan::for_provider(&provider)
        .section(&person(&provider, USER, free_port()))
        .section(&device)
        .option("notify_command = ./tell 'two words' \"$HOME;x\"");
    let stage = Stage::set(plan);
    let script = stage.home.join("tell");
    // Beside the configuration's directory the proxy itself could not write.
    let told = tempfile::tempdir().unwrap();
    let at = told.path().display();
    let text = format!(
        "#!/bin/sh\n{{ printf '%s|' \"$@\"; env; echo; ls -l /proc/self/fd; }} >> {at}/told\n\
         [ \"$EMAILPROXY_KIND\" = consent ] || {{ echo no such pager >&2; exit 3; }}\n"
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let mut proxy = Program::start_in(
        &stage.home,
        &["run", "--config-file", &stage.file],
        &[("SECRET_OF_THE_SERVICE", "hunter2")],
    );
    let imap = proxy.listens("IMAP").await;
    let mut waiting = Vec::new();
    for user in [USER, USER, "other@example.com"] {
        let mut client = Client::plain(imap).await;
        client.line().await;
        client.say(&format!("w LOGIN {user} {PASSWORD}")).await;
        waiting.push(client);
        proxy
            .says(
                &format!("notify_command for account {user} failed: ").replace(
                    &format!("for account {USER} failed: "),
                    &format!("was run for account {USER}"),
                ),
            )
            .await;
    }
    let failed = proxy
        .says("notify_command for account other@example.com failed: ")
        .await;
    assert!(
        failed.contains("exit status: 3; it said: no such pager"),
        "{failed}"
    );
    let text = fs::read_to_string(told.path().join("told")).unwrap();
    assert_eq!(
        text.matches(&format!("EMAILPROXY_ACCOUNT={USER}\n"))
            .count(),
        1,
        "{text}"
    );
    assert!(text.starts_with("two words|$HOME;x|"), "{text}");
    let url = proxy
        .says(&format!("to authenticate account {USER}: "))
        .await;
    assert!(text.contains(&format!("EMAILPROXY_URL={url}\n")), "{text}");
    assert!(text.contains("EMAILPROXY_KIND=device\n"), "{text}");
    let code = text
        .lines()
        .filter_map(|line| line.strip_prefix("EMAILPROXY_CODE="))
        .nth(1);
    assert!(
        proxy
            .text()
            .contains(&format!("use code {}", code.unwrap())),
        "{text}"
    );
    for strange in ["hunter2", "socket:", PASSWORD, "RUNTIME_DIRECTORY"] {
        assert!(!text.contains(strange), "{strange}: {text}");
    }
    proxy.signal("TERM").await;
    drop(waiting);
    assert_eq!(proxy.end().await.code, Some(0));
}
