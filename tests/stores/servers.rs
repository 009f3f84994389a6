//! Redis and `PostgreSQL` from what is installed, on free loopback ports, in directories that vanish afterwards.
//!
//! The unit tests of the stores include this file too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to come up or go down.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells whether a program is here; where it is not, the test says so in one line and passes, but not with `CI=true`.
pub(crate) fn is_here(test: &str, program: &str) -> bool {
    if find(program).is_some() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test}: {program} is not installed, and CI=true allows no skipping"
    );
    // Written past the test runner's capture: a skip that nobody sees looks like a success.
    writeln!(
        std::io::stderr(),
        "skipped: {test}: {program} is not installed"
    )
    .ok();
    false
}

/// Returns where a program is, looking where Debian puts `PostgreSQL`'s.
fn find(program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|at| at.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.push("/usr/sbin".into());
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real/venv/bin"));
    let places = folders.into_iter().map(|folder| folder.join(program));
    places.into_iter().find(|file| file.is_file())
}

/// Finds a port where nobody listens, outside the range that the system gives out by itself.
pub(crate) fn free_port() -> u16 {
    loop {
        let mut dice = [0; 2];
        aws_lc_rs::rand::fill(&mut dice).unwrap();
        let port = 12_000 + u16::from_be_bytes(dice) % 18_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that ends with its test.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A Redis without persistence.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    /// Another port, where TLS begins at once.
    tls: Option<u16>,
    dir: TempDir,
    running: Option<Running>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let mut redis = Self {
            port: free_port(),
            tls: None,
            dir: TempDir::new().unwrap(),
            running: None,
        };
        redis.begin();
        redis
    }

    /// Starts one that speaks TLS too, with this certificate and key.
    pub(crate) fn start_with_tls(certificate: &str, key: &str) -> Self {
        let mut redis = Self {
            port: free_port(),
            tls: Some(free_port()),
            dir: TempDir::new().unwrap(),
            running: None,
        };
        std::fs::write(redis.dir.path().join("cert.pem"), certificate).unwrap();
        std::fs::write(redis.dir.path().join("key.pem"), key).unwrap();
        redis.begin();
        redis
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.tls.unwrap())
    }

    /// Starts it again at the same place, empty.
    pub(crate) fn begin(&mut self) {
        let mut command = Command::new(find("redis-server").unwrap());
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.dir.path());
        if let Some(port) = self.tls {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]);
            command.args(["--tls-ca-cert-file", "cert.pem"]);
            command.current_dir(self.dir.path());
        }
        self.running = Some(Running::start(&mut command, &self.dir.path().join("log")));
        until("Redis answers", || {
            self.ask("PING").is_some_and(|said| said == "+PONG")
        });
    }

    /// Ends it as a crash does.
    pub(crate) fn end(&mut self) {
        self.running = None;
    }

    /// Says one line and returns the answer, where that is one line long.
    pub(crate) fn ask(&self, line: &str) -> Option<String> {
        let talk = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        talk.set_read_timeout(Some(PATIENCE)).ok()?;
        (&talk).write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = BufReader::new(&talk).lines();
        let first = answer.next()?.ok()?;
        // A text's length comes before it.
        if first.starts_with('$') {
            answer.next()?.ok()
        } else {
            Some(first)
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// A `PostgreSQL` cluster with one database; whoever comes from this machine is believed.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) port: u16,
    dir: TempDir,
    running: Option<Running>,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        if let Some(owner) = owner() {
            std::os::unix::fs::chown(dir.path(), Some(owner), None).unwrap();
        }
        let data = dir.path().join("data");
        let mut command = as_owner("initdb");
        command.args(["--auth=trust", "--username=mail", "--no-sync", "--locale=C"]);
        command.args(["--encoding=UTF8", "-D"]).arg(&data);
        let made = command.current_dir(dir.path()).output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut postgres = Self {
            port: free_port(),
            dir,
            running: None,
        };
        postgres.begin();
        postgres
    }

    /// Starts one that speaks TLS too, with this certificate and key.
    pub(crate) fn start_with_tls(certificate: &str, key: &str) -> Self {
        let postgres = Self::start();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = postgres.dir.path().join("data").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some(owner) = owner() {
                std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
            }
        }
        postgres.psql("ALTER SYSTEM SET ssl = on").unwrap();
        postgres.psql("SELECT pg_reload_conf()").unwrap();
        until("PostgreSQL speaks TLS", || {
            postgres.psql("SHOW ssl").is_some_and(|ssl| ssl == "on")
        });
        postgres
    }

    /// Starts it again at the same place, with what it kept.
    pub(crate) fn begin(&mut self) {
        let data = self.dir.path().join("data");
        let mut command = as_owner("postgres");
        command.arg("-D").arg(&data).arg("-k").arg(self.dir.path());
        command.args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "max_connections=50",
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir(self.dir.path());
        self.running = Some(Running::start(&mut command, &self.dir.path().join("log")));
        until("PostgreSQL answers", || self.psql("SELECT 1").is_some());
    }

    /// Ends it, and with it all its connections.
    pub(crate) fn end(&mut self) {
        if let Some(running) = &mut self.running {
            // The postmaster's children end by themselves when it is gone, but take a moment.
            let mut stop = as_owner("pg_ctl");
            stop.args(["stop", "-m", "immediate", "-D"])
                .arg(self.dir.path().join("data"));
            stop.current_dir(self.dir.path());
            assert!(stop.output().unwrap().status.success());
            running.0.wait().unwrap();
        }
        self.running = None;
    }

    /// Runs statements and returns what they printed, if they could be run.
    pub(crate) fn psql(&self, statements: &str) -> Option<String> {
        let mut command = Command::new(find("psql").unwrap());
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "mail",
            "-d",
            "postgres",
        ]);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-c",
            statements,
        ]);
        let done = command.output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        done.status.success().then(|| text.trim().to_owned())
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://mail@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// What others wrote to stand in for AWS: moto, from the tests' Python environment.
#[derive(Debug)]
pub(crate) struct Moto {
    pub(crate) port: u16,
    _dir: TempDir,
    _running: Running,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let (port, dir) = (free_port(), TempDir::new().unwrap());
        let mut command = Command::new(find("moto_server").unwrap());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let running = Running::start(&mut command, &dir.path().join("log"));
        until("moto answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            port,
            _dir: dir,
            _running: running,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Returns whose `PostgreSQL` has to be, because it refuses root.
fn owner() -> Option<u32> {
    std::fs::metadata("/proc/self")
        .is_ok_and(|own| own.uid() == 0)
        .then_some(65_534)
}

/// Returns a command that runs one of `PostgreSQL`'s programs as somebody it accepts.
fn as_owner(program: &str) -> Command {
    let program = find(program).unwrap();
    let Some(owner) = owner() else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={owner}"),
        &format!("--regid={owner}"),
        "--clear-groups",
    ]);
    command.arg(program);
    command
}
