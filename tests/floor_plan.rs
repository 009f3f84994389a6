//! Holds the floor plan of docs/ARCHITECTURE.md: which room may name which, how a file begins, how long it may be.
//!
//! Reads the sources as text; knows no more of Rust than paths, groups in braces and line comments. What unit tests name
//! is their own affair.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test that cannot read the sources must fail"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may name besides itself and the leaves.
const ROOMS: [(&str, &[&str]); 9] = [
    (
        "commands",
        &[
            "session", "protocol", "wire", "accounts", "oauth", "config", "web", "control",
        ],
    ),
    ("session", &["protocol", "accounts", "wire", "config"]),
    ("protocol", &["wire"]),
    ("wire", &[]),
    ("web", &["accounts", "config", "control"]),
    ("control", &["accounts", "config"]),
    ("accounts", &["oauth", "config"]),
    ("oauth", &["config"]),
    ("config", &[]),
];

/// What anybody may name; leaves name only each other.
const LEAVES: [&str; 6] = ["secret", "refusal", "said", "providers", "lookup", "meter"];

/// The most lines of one file.
const MAX_LINES: usize = 500;

#[test]
fn rooms_name_only_what_the_plan_allows() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let (built, _tests) = text
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&text, ""));
        for (line, named) in names(built, depth(&path)) {
            if !allows(&room(&path), &named) {
                let path = path.display();
                offences.push(format!("src/{path}:{line} names crate::{named}"));
            }
        }
    }
    assert!(
        offences.is_empty(),
        "docs/ARCHITECTURE.md has the plan:\n{}",
        offences.join("\n")
    );
}

#[test]
fn the_plan_knows_every_room() {
    let unknown: Vec<String> = sources()
        .iter()
        .map(|(path, _)| room(path))
        .filter(|room| room != "lib" && room != "main")
        .filter(|room| !is_room(room) && !LEAVES.contains(&room.as_str()))
        .collect();
    assert!(unknown.is_empty(), "rooms without a plan: {unknown:?}");
}

#[test]
fn files_say_their_duty_first_and_stay_short() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        let path = path.display();
        if !text.starts_with("//!") {
            offences.push(format!("src/{path} does not open with `//!`"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            offences.push(format!(
                "src/{path} has {lines} lines; {MAX_LINES} is the most"
            ));
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    let text = "\
//! Not crate::config, which is only talked of.
use crate::wire::{Lost, Wire};
use crate::{
    accounts::{Accounts, config::Nothing},
    oauth, // crate::session
    secret::Secret,
};
fn f() { let _ = crate::web::page(mycrate::control::x()); } // crate::control
use super::super::config::Config;
use super::protocol;
use super::tests;
use crate::*;
";
    let found = names(text, 2);
    let expected = [
        (2, "wire"),
        (4, "accounts"),
        (5, "oauth"),
        (6, "secret"),
        (8, "web"),
        (9, "config"),
        (12, "*"),
    ];
    assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
    // At the door of a room one `super` is enough to leave it.
    assert_eq!(names("use super::protocol;", 1), [(1, "protocol".into())]);
    assert_eq!(names("use super::imap;", 1), []);
    assert_eq!(
        names("emailproxy::commands::run()", 0),
        [(1, "commands".into())]
    );
}

#[test]
fn the_vault_is_out_of_reach_of_hostile_bytes() {
    for forbidden in ["accounts", "config", "oauth", "session", "*"] {
        assert!(!allows("protocol", forbidden));
        assert!(!allows("wire", forbidden));
    }
    assert!(allows("protocol", "wire") && allows("protocol", "secret"));
    assert!(!allows("secret", "wire") && !allows("main", "accounts"));
}

/// Returns every file of src, as its path below src and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut places = vec![src.clone()];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                places.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&src).unwrap().to_owned(), text));
            }
        }
    }
    assert!(files.len() > 10, "where are the sources?");
    files.sort();
    files
}

/// Returns the room a file stands in: its folder, or its own name.
fn room(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// Returns how many `super`s lead from a file to the crate's root.
fn depth(path: &Path) -> usize {
    let parts = path.iter().count();
    let is_door = ["mod.rs", "lib.rs", "main.rs"]
        .iter()
        .any(|door| path.ends_with(door));
    parts - usize::from(is_door)
}

/// Returns whether a file is all tests: those may build the world around their room.
fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn allows(room: &str, named: &str) -> bool {
    if named == room || LEAVES.contains(&named) || room == "lib" {
        return true;
    }
    if room == "main" {
        return named == "commands";
    }
    ROOMS
        .iter()
        .any(|(name, may)| *name == room && may.contains(&named))
}

/// Finds what a file names at the crate's root, with the line it stands in.
fn names(text: &str, depth: usize) -> Vec<(usize, String)> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    for root in ["crate::", "emailproxy::"] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(is_word) {
                found.extend(heads(&code, at + root.len()));
            }
        }
    }
    if depth > 0 {
        // Deeper chains come from modules within a file; only a room's name tells that they reach the root.
        let climb = "super::".repeat(depth);
        for (at, _) in code.match_indices(&climb) {
            found.extend(
                heads(&code, at + climb.len())
                    .into_iter()
                    .filter(|(_, name)| is_room(name)),
            );
        }
    }
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .map(|(at, name)| (code[..at].matches('\n').count() + 1, name))
        .collect()
}

/// Returns the first word of a path, or of each path of a group in braces, with its place.
fn heads(code: &str, at: usize) -> Vec<(usize, String)> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut expected = true;
    let mut word_end = at;
    for (offset, c) in code[at..].char_indices() {
        let here = at + offset;
        if here < word_end {
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expected = true,
            '*' if expected => heads.push((here, "*".to_owned())),
            _ if expected && is_word(c) => {
                let rest = &code[here..];
                let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
                word_end = here + word.len();
                heads.push((here, word.to_owned()));
                expected = false;
            }
            _ => {}
        }
        if depth == 0 && !c.is_whitespace() {
            break;
        }
    }
    heads
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
