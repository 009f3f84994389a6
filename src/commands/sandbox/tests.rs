//! The sandbox from within, in a process of its own: this test program, started anew.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{PermissionsExt as _, chroot, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::accounts::Place;
use crate::config::Config;

/// Tells a test that it is the process to be confined, and in which directory.
const INSIDE: &str = "EMAILPROXY_TEST_SANDBOX";

const SERVICE: &str = "[IMAP-1993]\nserver_address = imap.example.org\nserver_port = 993\n";

/// Runs one test of this file again, in a process that may confine itself to `home`.
fn again(test: &str, home: &Path) {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("commands::sandbox::tests::{test}")])
        .args(["--nocapture", "--test-threads=1"])
        .env(INSIDE, home)
        .env("HOME", home)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// Enters the sandbox of a configuration in `folder`, its store beside it.
fn enter(folder: &Path) -> (Sandbox, PathBuf) {
    let path = folder.join("emailproxy.ini");
    let config = Config::read(&path).unwrap();
    let store = Place::from(folder.join("tokens.json")).settled().unwrap();
    let needs = Needs {
        config: &config,
        store: &store,
        log: None,
        socket: None,
    };
    (Sandbox::enter(&needs), path)
}

fn is_denied<T>(tried: std::io::Result<T>) -> bool {
    tried.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// A kernel without Landlock proves nothing about it.
fn has_landlock(sandbox: &Sandbox) -> bool {
    if let Err(why) = &sandbox.files {
        eprintln!("skipped: no Landlock here ({why})");
    }
    sandbox.files.is_ok()
}

#[test]
fn r32_files_of_others_programs_and_rights_are_out_of_reach() {
    let Some(home) = inside() else {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("emailproxy.ini"), SERVICE).unwrap();
        fs::write(home.path().join("secret"), "of somebody else").unwrap();
        return again(
            "r32_files_of_others_programs_and_rights_are_out_of_reach",
            home.path(),
        );
    };
    let own = home.join("own");
    let (sandbox, _) = enter(&own);
    assert_eq!(sandbox.calls, Ok(()));

    // Programs, by this process or by another one.
    assert!(is_denied(Err::<(), _>(Command::new("/bin/true").exec())));
    assert!(is_denied(Command::new("/bin/true").spawn()));
    // Rights over files by their path, roots, sockets below IP.
    let store = own.join("tokens.json");
    fs::write(&store, "mine").unwrap();
    let open = fs::Permissions::from_mode(0o666);
    assert!(is_denied(fs::set_permissions(&store, open)));
    assert!(is_denied(chroot(&own)));
    for (domain, kind) in [
        (socket2::Domain::PACKET, socket2::Type::RAW),
        (socket2::Domain::VSOCK, socket2::Type::STREAM),
        (socket2::Domain::IPV4, socket2::Type::RAW),
    ] {
        assert!(is_denied(socket2::Socket::new(domain, kind, None)));
    }
    // What a proxy needs goes on: threads, the network, names.
    drop(TcpListener::bind("127.0.0.1:0").unwrap());
    assert!("localhost:1".to_socket_addrs().unwrap().next().is_some());

    if !has_landlock(&sandbox) {
        return;
    }
    let outside = home.join("outside");
    let tries = || {
        assert!(is_denied(File::open("/etc/shadow")));
        assert!(is_denied(fs::read(home.join("secret"))));
        assert!(is_denied(fs::write(&outside, "x")));
        assert!(is_denied(fs::write(home.join("secret"), "x")));
        assert!(is_denied(fs::rename(&store, &outside)));
        assert!(is_denied(fs::remove_file(home.join("secret"))));
        assert!(is_denied(symlink("/etc", own.join("link"))));
        assert!(is_denied(fs::read_dir(&home)));
    };
    tries();
    std::thread::scope(|scope| {
        // Whatever thread comes later.
        scope.spawn(tries);
    });
    let parent = rustix::process::getppid().unwrap();
    rustix::process::test_kill_process(parent).unwrap_err();
}

#[test]
fn what_a_proxy_replaces_can_be_replaced() {
    let Some(home) = inside() else {
        let home = tempfile::tempdir().unwrap();
        // The store behind a link to a directory, the configuration behind a link.
        for name in ["config", "elsewhere", "state"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        fs::write(home.path().join("elsewhere/real.ini"), SERVICE).unwrap();
        symlink(
            "../elsewhere/real.ini",
            home.path().join("config/emailproxy.ini"),
        )
        .unwrap();
        symlink("../state", home.path().join("config/link")).unwrap();
        return again("what_a_proxy_replaces_can_be_replaced", home.path());
    };
    let path = home.join("config/emailproxy.ini");
    let config = Config::read(&path).unwrap();
    let store = Place::from(home.join("config/link/new/tokens.json"));
    let store = store.settled().unwrap();
    let sandbox = Sandbox::enter(&Needs {
        config: &config,
        store: &store,
        log: Some(&home.join("state/log")),
        socket: None,
    });
    if !has_landlock(&sandbox) {
        return;
    }
    for folder in ["state/new", "state"] {
        let folder = home.join(folder);
        fs::create_dir(folder.join("leases")).unwrap();
        fs::write(folder.join("a.tmp"), "new").unwrap();
        fs::rename(folder.join("a.tmp"), folder.join("a")).unwrap();
        File::open(&folder).unwrap().sync_all().unwrap();
        fs::remove_file(folder.join("a")).unwrap();
    }
    // What others put in the configuration's place is read, and not written.
    assert!(fs::read(&path).is_ok());
    assert!(is_denied(fs::write(home.join("elsewhere/x"), "x")));
    assert!(is_denied(fs::write(home.join("config/x"), "x")));
    assert!(sandbox.outside(&path).is_empty());
}

#[test]
fn a_persons_home_is_not_opened_for_one_file_in_it() {
    let Some(home) = inside() else {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        fs::write(home.path().join(".ssh/key"), "secret").unwrap();
        fs::write(home.path().join("emailproxy.ini"), SERVICE).unwrap();
        let cache = "[me@example.com]\nrefresh_token = x\n";
        fs::write(home.path().join("tokens.json"), cache).unwrap();
        again(
            "a_persons_home_is_not_opened_for_one_file_in_it",
            home.path(),
        );
        return;
    };
    let (sandbox, path) = enter(&home);
    // A cache of the predecessor was taken over while that could be done.
    assert!(home.join("tokens.json.bak").exists());
    if !has_landlock(&sandbox) {
        return;
    }
    assert!(is_denied(fs::read(home.join(".ssh/key"))));
    assert!(is_denied(fs::write(home.join(".profile"), "x")));
    fs::write(home.join("tokens.json"), "written in place").unwrap();
    fs::write(home.join("tokens.json.leases/one"), "").unwrap();
    fs::remove_file(home.join("tokens.json.leases/one")).unwrap();
    assert!(sandbox.outside(&path).is_empty());
    fs::read(&path).unwrap();
    assert!(sandbox.is_alone(&home.join("log")));
}

#[test]
fn a_reload_that_wants_more_is_told_what_and_why() {
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("own");
    let other = home.path().join("other");
    for folder in [&own, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("ca.pem"), "x").unwrap();
    }
    let path = own.join("emailproxy.ini");
    let with = |ca: &Path| {
        let text = format!("{SERVICE}[emailproxy]\nca_file = {}\n", ca.display());
        fs::write(&path, text).unwrap();
    };
    with(&own.join("ca.pem"));
    let config = Config::read(&path).unwrap();
    let store = Place::from(own.join("tokens.json"));
    let needs = Needs {
        config: &config,
        store: &store,
        log: None,
        socket: None,
    };
    let mut sandbox = Sandbox {
        paths: Paths::of(&needs),
        files: Ok(String::new()),
        calls: Ok(()),
        wanted: true,
    };
    assert_eq!(sandbox.outside(&path), Vec::<String>::new());
    // One that comes later, in a directory that is open, and one behind a link there.
    with(&own.join("later.pem"));
    assert_eq!(sandbox.outside(&path), Vec::<String>::new());
    symlink(other.join("ca.pem"), own.join("link.pem")).unwrap();
    for outside in [other.join("ca.pem"), own.join("link.pem")] {
        with(&outside);
        let [told] = &sandbox.outside(&path)[..] else {
            panic!("{:?}", sandbox.outside(&path));
        };
        let outside = outside.display().to_string();
        for word in [
            "emailproxy.ini:5: ca_file",
            &outside,
            "lies outside",
            "restart",
        ] {
            assert!(told.contains(word), "{told}");
        }
    }
    sandbox.files = Err("no Landlock".to_owned());
    assert_eq!(sandbox.outside(&path), Vec::<String>::new());
}
