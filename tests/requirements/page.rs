//! The page of requirements: none is left without a test.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below a folder of the project.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn each_requirement_of_the_page_has_a_test_named_after_it() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("docs/SECURITY.md")).unwrap();
    let mut files = Vec::new();
    sources(&project.join("tests"), &mut files);
    sources(&project.join("src"), &mut files);
    let tests: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for number in 1..=33 {
        let row = format!("| R-{number:02} |");
        assert!(page.contains(&row), "docs/SECURITY.md has no row {row}");
        let name = format!("fn r{number:02}_");
        assert!(tests.contains(&name), "no test is named {name}...");
    }
}
