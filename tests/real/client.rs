//! A mail client: a program run to its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::installed;

/// How long one client may take in all.
const PATIENCE: Duration = Duration::from_secs(150);

/// Returns the path of a script in `tests/real/clients`.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real/clients")
        .join(name)
}

/// Runs a Python script of `tests/real/clients`, which must succeed, with its settings; returns what it printed.
pub(crate) async fn python(name: &str, settings: &Value) -> String {
    let mut command = Command::new(installed::python());
    command
        .arg("-u")
        .arg(script(name))
        .arg(settings.to_string());
    succeed(name, &mut command).await
}

/// Runs a Python script as [`python`] does, with no other roots than those in `ca`.
pub(crate) async fn python_trusting(name: &str, settings: &Value, ca: &Path) -> String {
    let mut command = Command::new(installed::python());
    command
        .arg("-u")
        .arg(script(name))
        .arg(settings.to_string())
        .env("SSL_CERT_FILE", ca);
    succeed(name, &mut command).await
}

/// Runs a Python script of `tests/real/clients`, which must fail; returns what it printed.
pub(crate) async fn python_fails(name: &str, settings: &Value) -> String {
    let mut command = Command::new(installed::python());
    command
        .arg("-u")
        .arg(script(name))
        .arg(settings.to_string());
    fail(name, &mut command).await
}

/// Runs a PHP script of `tests/real/clients`, which must succeed, with its settings; returns what it printed.
pub(crate) async fn php(name: &str, settings: &Value) -> String {
    let mut command = Command::new("php");
    command.arg(script(name)).arg(settings.to_string());
    succeed(name, &mut command).await
}

/// Runs a program that must succeed and returns both its outputs as one text.
pub(crate) async fn succeed(name: &str, command: &mut Command) -> String {
    let output = run(name, command).await;
    let said = both(&output);
    assert!(
        output.status.success(),
        "{name} failed ({}):\n{said}",
        output.status
    );
    said
}

/// Runs a program that must fail and returns both its outputs as one text.
pub(crate) async fn fail(name: &str, command: &mut Command) -> String {
    let output = run(name, command).await;
    let said = both(&output);
    assert!(
        !output.status.success(),
        "{name} succeeded where it should not:\n{said}"
    );
    said
}

/// Runs a program that reads `file` as its standard input and must succeed.
pub(crate) async fn feed(name: &str, command: &mut Command, file: &Path) -> String {
    let output = finish(name, command.stdin(File::open(file).unwrap())).await;
    let said = both(&output);
    assert!(
        output.status.success(),
        "{name} failed ({}):\n{said}",
        output.status
    );
    said
}

async fn run(name: &str, command: &mut Command) -> Output {
    finish(name, command.stdin(Stdio::null())).await
}

/// Waits for a program's end.
async fn finish(name: &str, command: &mut Command) -> Output {
    timeout(PATIENCE, command.kill_on_drop(true).output())
        .await
        .unwrap_or_else(|_| panic!("{name} did not end within {} s", PATIENCE.as_secs()))
        .unwrap_or_else(|error| panic!("could not run {name}: {error}"))
}

fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
