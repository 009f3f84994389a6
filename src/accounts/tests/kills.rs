//! Killed in the middle of it: processes that rotate tokens as fast as they can, shot hundreds of times, and disks in
//! trouble. The processes are this test program itself, started with the name of a test that does their part.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::super::clock;
use super::super::store::Store;
use super::*;

const CODE: &str = "code@example.org";
const TASK: &str = "EMAILPROXY_TEST_TASK";

/// What a provider does with a refresh token that it has seen before.
#[derive(Clone, Copy, PartialEq)]
enum Model {
    /// Honours the old token until its successor is used.
    Patient,
    /// Takes each token once, and revokes all when one comes again.
    Strict,
}

/// A provider that processes reach by TCP: a line in, a line out.
#[derive(Debug, Default)]
struct Register {
    /// The token used last, and the parent of each token.
    used: usize,
    parents: Vec<usize>,
    revoked: bool,
    rotations: usize,
    denials: usize,
    consents: usize,
}

impl Register {
    fn answer(&mut self, model: Model, line: &str) -> String {
        let token = line.trim().strip_prefix("refresh r");
        match token.and_then(|number| number.parse::<usize>().ok()) {
            Some(token) => {
                let newest = self.parents.len() - 1;
                let good = match model {
                    Model::Patient => token == self.used || self.parents[token] == self.used,
                    Model::Strict => token == newest && !self.revoked,
                };
                if !good {
                    self.revoked = true;
                    self.denials += 1;
                    return "dead\n".into();
                }
                self.used = token;
                self.rotations += 1;
            }
            None => {
                self.consents += 1;
                self.revoked = false;
                self.used = self.parents.len();
            }
        }
        self.parents.push(self.used);
        format!("r{}\n", self.parents.len() - 1)
    }
}

fn provider(model: Model) -> (u16, Arc<Mutex<Register>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let register = Arc::new(Mutex::new(Register::default()));
    let shared = Arc::clone(&register);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line).is_ok() && line.ends_with('\n') {
                let answer = locked(&shared).answer(model, &line);
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    (port, register)
}

/// The provider, seen from a process.
#[derive(Debug)]
struct Distant(u16);

impl Source for Distant {
    fn ask<'a>(
        &'a self,
        _account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a> {
        Box::pin(async move {
            let line = match grant {
                Grant::Refresh(token) => format!("refresh {}\n", token.reveal()),
                _ => "code\n".into(),
            };
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.0))
                .await
                .map_err(|_| DOWN())?;
            stream
                .write_all(line.as_bytes())
                .await
                .map_err(|_| DOWN())?;
            let mut answer = String::new();
            let mut reader = tokio::io::BufReader::new(stream);
            reader.read_line(&mut answer).await.map_err(|_| DOWN())?;
            match answer.trim_end() {
                "dead" => Err(DEAD()),
                "" => Err(DOWN()),
                token => Ok(Tokens {
                    access: AccessToken::parse(&format!("t-{token}")).unwrap(),
                    lifetime: Duration::ZERO,
                    refresh: Some(Secret::from(token)),
                    signed_in: None,
                }),
            }
        })
    }

    fn question<'a>(
        &'a self,
        _account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        Box::pin(async {
            Ok(Question {
                url: "https://idp.example/auth?state=s".into(),
                state: format!("s{:?}", std::time::Instant::now()),
                ..Question::default()
            })
        })
    }
}

fn accounts(port: u16, path: &Path, fixed: bool) -> Arc<Accounts> {
    let setup = Setup {
        store: path.into(),
        reach: Reach::default(),
        external_auth: true,
    };
    let store = if fixed {
        Store::fixed(path)
    } else {
        Store::open(&setup.store, &setup.reach)
    };
    let config = config(path.parent().unwrap(), "", USUAL);
    let source = Arc::new(Distant(port));
    Accounts::open_on(store.unwrap(), config, source, setup, Cost::CHEAP).unwrap()
}

/// Logs in; a person who is asked says yes.
async fn log_in(accounts: &Arc<Accounts>) -> Result<String, Refusal> {
    let mut pending = accounts.pending();
    let person = async {
        loop {
            pending.wait_for(|list| !list.is_empty()).await.unwrap();
            let states: Vec<_> = pending
                .borrow_and_update()
                .iter()
                .map(|one| one.account.clone())
                .collect();
            for account in states {
                let account = accounts.known(&account).unwrap();
                let purpose = account.state().purpose.clone();
                let Some(consent) = accounts.consents.of(&account.name, &purpose) else {
                    continue;
                };
                let answer = Answer {
                    state: consent.question.state.clone(),
                    code: Some(Secret::from("c")),
                    ..Answer::default()
                };
                accounts.finish(answer).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (password, owner) = (Password::from("pw"), Caller::OWNER);
    tokio::select! {
        admitted = accounts.token(CODE, &password, &owner) => {
            Ok(admitted?.token.reveal().to_owned())
        }
        () = person => unreachable!(),
    }
}

/// The part of the processes: logs in again and again, and says so.
#[test]
#[ignore = "a process of the other tests"]
fn rotating() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let mut words = task.splitn(3, ' ');
    let port = words.next().unwrap().parse().unwrap();
    let fixed = words.next().unwrap() == "fixed";
    let path = Path::new(words.next().unwrap()).to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let accounts = accounts(port, &path, fixed);
        loop {
            match log_in(&accounts).await {
                Ok(token) => println!("<in with {token}>"),
                Err(refusal) => println!("<refused: {refusal}>"),
            }
        }
    });
}

/// Starts such a process, and waits until it has logged in.
fn start(port: u16, path: &Path, fixed: bool) -> Child {
    let kind = if fixed { "fixed" } else { "free" };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "accounts::tests::kills::rotating",
            "--ignored",
            "--nocapture",
        ])
        .env(TASK, format!("{port} {kind} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("<in with") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the process ended");
        assert!(!line.contains("<refused"), "{line}");
    }
    // The rest is read, so that it does not stop at a full pipe.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    child
}

fn shoot(mut child: Child) {
    // Some rotations later, wherever it is then.
    std::thread::sleep(Duration::from_micros(u64::from(clock::dice()) * 60));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn killed_again_and_again(model: Model, fixed: bool, times: usize) -> Register {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let (port, register) = provider(model);
    for _ in 0..times {
        shoot(start(port, &path, fixed));
    }
    let last = start(port, &path, fixed);
    shoot(last);
    std::mem::take(&mut *locked(&register))
}

#[test]
fn no_authorisation_is_lost_with_a_patient_provider() {
    for fixed in [false, true] {
        let register = killed_again_and_again(Model::Patient, fixed, 120);
        assert_eq!(
            (register.denials, register.consents),
            (0, 1),
            "{register:?}"
        );
        assert!(register.rotations > 120, "{register:?}");
    }
}

#[test]
fn with_a_strict_provider_a_lost_answer_costs_one_consent_and_nothing_worse() {
    let register = killed_again_and_again(Model::Strict, false, 120);
    assert_eq!(register.consents, register.denials + 1, "{register:?}");
    assert!(
        register.denials <= 120 && register.rotations > 120,
        "{register:?}"
    );
}

#[test]
fn two_processes_on_one_file_never_spend_a_token_twice() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let (port, register) = provider(Model::Strict);
    let one = start(port, &path, false);
    let two = start(port, &path, false);
    while locked(&register).rotations < 300 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (denials, consents) = {
        let register = locked(&register);
        (register.denials, register.consents)
    };
    shoot(one);
    shoot(two);
    assert_eq!((denials, consents), (0, 1));
}

/// Whether this machine lets tests mount things; says so where not.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        println!("SKIPPED: mounting needs root");
    }
    may
}

/// Runs the test of this name, which is ignored otherwise, in a place where it may mount.
fn mounted(name: &str, path: &Path) {
    let (port, _register) = provider(Model::Patient);
    let done = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("accounts::tests::kills::{name}"),
            "--ignored",
            "--nocapture",
        ])
        .env(TASK, format!("{port} free {}", path.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn run(program: &str, arguments: &[&str]) {
    assert!(
        Command::new(program)
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}

fn task() -> Option<(u16, std::path::PathBuf)> {
    let task = std::env::var(TASK).ok()?;
    let mut words = task.splitn(3, ' ');
    let port = words.next()?.parse().ok()?;
    Some((port, words.nth(1)?.into()))
}

#[tokio::test]
#[ignore = "a process of the other tests"]
async fn bind_mounted() {
    let Some((port, path)) = task() else { return };
    let home = path.parent().unwrap();
    let real = home.join("real.json");
    std::fs::write(&real, "").unwrap();
    std::fs::write(&path, "").unwrap();
    run(
        "mount",
        &["--bind", real.to_str().unwrap(), path.to_str().unwrap()],
    );
    let open = accounts(port, &path, false);
    let mut last = String::new();
    for _ in 0..20 {
        last = log_in(&open).await.unwrap();
    }
    open.close(Duration::from_secs(5)).await;
    assert!(
        std::fs::read_to_string(&real)
            .unwrap()
            .contains("\"digest\"")
    );
    let open = accounts(port, &real, false);
    let next = log_in(&open).await.unwrap();
    assert_ne!(next, last);
}

#[tokio::test]
#[ignore = "a process of the other tests"]
async fn filled_up() {
    let Some((port, path)) = task() else { return };
    let home = path.parent().unwrap().to_str().unwrap().to_owned();
    run("mount", &["-t", "tmpfs", "-o", "size=64k", "none", &home]);
    let open = accounts(port, &path, false);
    log_in(&open).await.unwrap();
    let before = std::fs::read(&path).unwrap();
    // Nothing fits any more.
    let scrap = path.with_file_name("scrap");
    std::fs::write(&scrap, vec![0; 128 * 1024]).unwrap_err();
    for _ in 0..3 {
        log_in(&open).await.unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!path.with_file_name("tokens.json.tmp").exists());
    std::fs::remove_file(&scrap).unwrap();
    // Written by itself, as soon as there is room.
    while std::fs::read(&path).unwrap() == before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And the same where the file system lets nobody write.
    run("mount", &["-o", "remount,ro", &home]);
    let before = std::fs::read(&path).unwrap();
    log_in(&open).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let refused = Store::open(&path.as_path().into(), &Reach::default()).unwrap_err();
    assert!(refused.contains("must be writable"), "{refused}");
    run("mount", &["-o", "remount,rw", &home]);
    open.close(Duration::from_secs(5)).await;
    assert_ne!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn disks_in_trouble_cost_no_token() {
    if !may_mount() {
        return;
    }
    for name in ["bind_mounted", "filled_up"] {
        let home = tempfile::tempdir().unwrap();
        mounted(name, &home.path().join("tokens.json"));
    }
}
