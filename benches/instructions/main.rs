//! How many instructions the hot paths take, counted by valgrind and held below bounds:
//! `cargo run --release --example instructions`.
//!
//! Unlike times, counts are the same on a busy machine. A case runs twice, for few and for many repetitions; the
//! difference is what one repetition takes. Without valgrind nothing is counted, which is a failure where `CI` says that
//! everything must be there.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

use std::env::args;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

mod cases;

use cases::{CASES, Case};

/// How often a case is repeated, first and then.
const FEW: u64 = 4;
const MANY: u64 = 20;

fn main() -> anyhow::Result<ExitCode> {
    let mut words = args().skip(1);
    if let (Some(name), Some(times)) = (words.next(), words.next()) {
        let case = CASES.iter().find(|case| case.name == name);
        (case.context("no such case")?.run)(times.parse()?);
        return Ok(ExitCode::SUCCESS);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed, so that instructions are not counted");
        let wanted = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        return Ok(ExitCode::from(u8::from(wanted)));
    }
    println!("| what | instructions | at most | |\n|---|---:|---:|---|");
    let mut broken = 0_u8;
    for case in &CASES {
        let taken = (count(case, MANY)? - count(case, FEW)?) / (MANY - FEW);
        let word = if taken > case.most {
            broken += 1;
            "TOO MANY"
        } else if taken * 2 < case.most {
            // A bound that far away guards nothing.
            "the bound can come down"
        } else {
            ""
        };
        println!("| {} | {taken} | {} | {word} |", case.name, case.most);
    }
    if broken > 0 {
        eprintln!(
            "{broken} of these take more instructions than benches/instructions/cases.rs allows"
        );
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}

/// Counts what this program takes to repeat a case so often.
fn count(case: &Case, times: u64) -> anyhow::Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([case.name, &times.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        bail!("{}: {said}", case.name);
    }
    // "==123== Collected : 456"
    let count = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.with_context(|| format!("valgrind counts nothing: {said}"))?;
    Ok(count.trim().parse()?)
}
