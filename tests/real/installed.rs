//! Which programs this machine has.
//!
//! Knows names and where to look, not what the programs are for.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What every test of this suite starts.
pub(crate) const SERVERS: &[&str] = &[
    "root",
    "setpriv",
    "node",
    "oidc-provider",
    "dovecot",
    "postfix",
];

/// Tells whether everything in `needed` is here; says in one line what is not. With `CI=true` absence is a failure.
pub(crate) fn all(test: &str, needed: &[&str]) -> bool {
    let Some(absent) = needed.iter().find(|what| !present(what)) else {
        return true;
    };
    let reason = match *absent {
        "root" => "Dovecot and Postfix can only be started by root".to_owned(),
        other => format!("{other} is not installed"),
    };
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test}: {reason}, and CI=true allows no skipping"
    );
    // Written past the test runner's capture: a skip that nobody sees looks like a success.
    writeln!(std::io::stderr(), "skipped: {test}: {reason}").ok();
    false
}

/// Returns the Python interpreter that has Django, or `python3`.
pub(crate) fn python() -> PathBuf {
    let venv = target().join("real/venv/bin/python");
    if venv.exists() {
        venv
    } else {
        "python3".into()
    }
}

/// Returns the folder of the OAuth2 server's script.
pub(crate) fn oidc_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/oidc")
}

fn present(what: &str) -> bool {
    match what {
        "root" => std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0),
        "oidc-provider" => oidc_folder().join("node_modules/oidc-provider").is_dir(),
        "Django" => runs(Command::new(python()).args(["-c", "import django"])),
        "php-imap" => {
            runs(Command::new("php").args(["-r", "exit(function_exists('imap_open') ? 0 : 1);"]))
        }
        "sasl-xoauth2" => std::fs::read_dir("/usr/lib").is_ok_and(|folders| {
            let mut folders = folders.flatten();
            folders.any(|folder| folder.path().join("sasl2/libkdexoauth2.so").exists())
        }),
        "PHPMailer" => Path::new(PHPMAILER).exists(),
        program => find(program).is_some(),
    }
}

/// Where Debian puts PHPMailer.
const PHPMAILER: &str = "/usr/share/php/libphp-phpmailer/src/PHPMailer.php";

/// Returns where a program is, looking where daemons live too.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Returns a command for a program, wherever it is.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

fn runs(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns Cargo's target folder.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .to_owned()
}
