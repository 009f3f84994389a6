//! Files are read exactly as Python's `configparser` reads them: the same files accepted, the same values, in the same
//! order. Needs `python3`; skips without it, but not in CI.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use emailproxy::config::edit::Sheet;
use emailproxy::config::ini::{DEFAULT, Ini};

/// Own values of a file: `DEFAULT` first, then the sections in order. Nothing where the file is refused.
type Listing = Option<Vec<(String, Vec<(String, String)>)>>;

/// Reads a JSON list of texts and answers with a JSON list of listings.
const SCRIPT: &str = r"
import configparser, io, json, sys
answers = []
for text in json.load(sys.stdin):
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_file(io.TextIOWrapper(io.BytesIO(text.encode()), encoding='utf-8'))
    except configparser.Error:
        answers.append(None)
        continue
    listing = [[parser.default_section, list(parser._defaults.items())]]
    listing += [[name, list(keys.items())] for name, keys in parser._sections.items()]
    answers.append(listing)
json.dump(answers, sys.stdout)
";

/// Asks Python; nothing where there is none.
fn python(texts: &[String]) -> Option<Vec<Listing>> {
    let child = Command::new("python3")
        .args(["-I", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "python3 must be there in CI: {error}"
            );
            println!("skipped: python3 is not installed");
            return None;
        }
    };
    let question = serde_json::to_vec(texts).unwrap();
    child.stdin.take().unwrap().write_all(&question).unwrap();
    let answer = child.wait_with_output().unwrap();
    assert!(answer.status.success());
    Some(serde_json::from_slice(&answer.stdout).unwrap())
}

fn ours(text: &str) -> Listing {
    let mut listing = Ini::parse(text).ok()?.listing();
    let at = listing.iter().position(|(name, _)| name == DEFAULT);
    let default = at.map_or_else(|| (DEFAULT.to_owned(), Vec::new()), |at| listing.remove(at));
    listing.insert(0, default);
    Some(listing)
}

/// Compares and returns how many of the texts are accepted.
fn compare(texts: &[String]) -> Option<usize> {
    let answers = python(texts)?;
    assert_eq!(answers.len(), texts.len());
    for (text, theirs) in texts.iter().zip(&answers) {
        assert_eq!(&ours(text), theirs, "{text:?}");
    }
    Some(answers.iter().flatten().count())
}

#[test]
fn odd_cases_are_read_alike() {
    let cases = [
        "",
        "\n\n# nothing\n",
        "[a]\n",
        "[a]\nb=1",
        "[a]\nb = 1\r\nc: 2\rd\t=\t3\n",
        "[a]\nb : c = d\ne = f : g\n",
        "[a]\nb = 1 ; no comment\nc = 2 # no comment\n;d = 3\n  # e = 4\n",
        "[a]\nb = x\n  [c]\n [d\nf = g\n",
        "[a]\nb = x\n\n\n  y\n\n\n[c]\n",
        "[a]\nb =\n\n  y\n",
        "[a]\nb =\n  \t\n  y\n  # gone\n  z\n",
        "[a]\nb = x\n# between\n  y\n",
        "[a]\n  b = 1\n  c = 2\n    d = 3\n e = 4\n",
        "  [a]\n  b = 1\n[c]\n",
        "[a]\n    b = 1\n  [c]\n  d = 2\n",
        "[a]\n\t[b]\nc = d\n",
        "[a] ; tail\nb = 1\n",
        "[a]b]\nc = 1\n",
        "[ a ]\nb = 1\n[a]\n",
        "[]\n",
        "[]\na = 1\n",
        "[a]\n[]= 1\n",
        "[]]\na = 1\n",
        "[a]\n[b = 1\n",
        "[a]\n[x] = 1\n",
        "[A@b]\nc = 1\n[a@b]\nc = 2\n",
        "[a]\nb = 1\n[a]\nc = 2\n",
        "[a]\nb = 1\nB = 2\n",
        "[DEFAULT]\na = 1\n[b]\n[DEFAULT]\nc = 2\n",
        "[DEFAULT]\na = 1\n[DEFAULT]\nA = 2\n",
        "[default]\na = 1\n[Default]\n",
        "a = 1\n[b]\n",
        "  \n; c\n= 1\n[b]\n",
        "[a]\nno delimiter\n",
        "[a]\nb = {\n  \"k\": 1\n}\n",
        "[a]\nb = {\n  \"k\": 1\n  }\n",
        "[a]\n= 1\n",
        "[a]\n: 1\n",
        "[a]\nb\u{a0}=\u{a0}1\u{2003}\n",
        "[a]\nb = \u{1c}1\u{1f}\n\u{1d}c = 2\n",
        "[a]\nb = 1\u{85}2\u{2028}3\u{b}4\u{c}5\n",
        "[a]\nÄÖ = ÜÉ\nİ = ẞ\nΣΑΣ = ς\n",
        "[a]\nb = %(c)s $d %%\nsecret = ~!@#$%^&*()_+;'\"<>?,./\n",
        "[a]\nb = \"quoted\"\nc = 'x'\n",
        "[a]\nb = \u{e000}x\n  \u{e000}y\n\u{e000}c = 1\n[\u{e000}d\u{e000}]\n\u{e000}\u{e000}e\u{e000} = \u{e000}\n",
        "[a]\nb = 1\n\0 = 2\nc\0d = \0\n",
        "[IMAP-1993]\nserver_address = h\n  server_port = 993\n",
        "[a]\nb = -\n  = continued\n  : too\n",
        "[a]\n b = 1\nc\n d = 2\n",
    ];
    let texts: Vec<String> = cases.iter().map(ToString::to_string).collect();
    if let Some(accepted) = compare(&texts) {
        assert!(accepted > 25, "only {accepted} are accepted");
    }
}

#[test]
fn fixtures_and_the_example_are_read_alike() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::fs::read_dir(root.join("tests/fixtures/config")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let files = files.chain([root.join("emailproxy.example.ini")]);
    let texts: Vec<String> = files
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    assert!(texts.len() > 1);
    if let Some(accepted) = compare(&texts) {
        assert_eq!(accepted, texts.len());
    }
}

/// A small generator (xorshift) of always the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Makes a file; the tamer, the fewer lines that break it.
    fn file(&mut self, tame: bool) -> String {
        let mut text = String::new();
        let end = self.one_of(&["\n", "\n", "\n", "\r\n", "\r"]);
        for number in 0..=self.below(14) {
            let indent = if tame && number == 0 {
                ""
            } else {
                self.one_of(&["", "", "", "", " ", "  ", "\t", "\t ", "\u{a0}"])
            };
            let line = match self.below(if tame { 10 } else { 14 }) {
                _ if number == 0 && tame => "[first]".to_owned(),
                0 => format!("[s{number}@e]"),
                1 => self.one_of(&["", "  ", "# c", " ; c = 1", "\t"]).to_owned(),
                2 => format!("[x{number}] {}", self.one_of(&["; t", "]", "= 1", ""])),
                3..=7 => format!(
                    "{}{number}{}{}",
                    self.one_of(&["k", "K", "a b", "[k", "é"]),
                    self.one_of(&["=", " = ", ":", " : ", "\t=", "= "]),
                    self.one_of(&[
                        "", "v", "v = w", "[v]", "; v", "# v", " v  ", "\"v\"", "%(v)s"
                    ])
                ),
                8 => "[DEFAULT]".to_owned(),
                9 => format!("d{number} = {}", self.one_of(&["[", "]", "x:y", "="])),
                10 => self.one_of(&["[a]", "[A]", "[ a]", "[]"]).to_owned(),
                11 => self.one_of(&["k = 1", "K: 2", "k"]).to_owned(),
                12 => self
                    .one_of(&["}", "[", "]", "=", ":", "= v", "plain"])
                    .to_owned(),
                _ => self.one_of(&["[a]b]", "[[a]]", "]a[", "[a"]).to_owned(),
            };
            text.push_str(indent);
            text.push_str(&line);
            text.push_str(end);
        }
        if self.below(4) == 0 {
            text.pop();
        }
        text
    }
}

#[test]
fn random_files_are_read_alike() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let texts: Vec<String> = (0..1_500).map(|n| dice.file(n % 3 != 0)).collect();
    if let Some(accepted) = compare(&texts) {
        assert!(
            (300..1_400).contains(&accepted),
            "{accepted} of 1,500 are accepted, too one-sided to mean much"
        );
    }
}

#[test]
fn edited_files_are_read_alike_and_no_simple_edit_is_refused() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut texts = Vec::new();
    while texts.len() < 600 {
        let file = dice.file(true);
        let Ok(mut sheet) = Sheet::new(file.clone()) else {
            continue;
        };
        let listing = Ini::parse(&file).unwrap().listing();
        let (section, keys) = &listing[dice.below(listing.len())];
        let mut unholdable = false;
        let edited = match keys.first() {
            Some((key, _)) if dice.below(2) == 0 => sheet.remove(section, key),
            Some((key, _)) if dice.below(2) == 0 => {
                // Its second line would be read as a comment.
                unholdable = true;
                sheet.set(section, key, "[v]\n; = w")
            }
            _ => sheet.set(section, "fresh", dice.one_of(&["", "v", "[v]", "v\nw"])),
        };
        assert_eq!(edited.is_err(), unholdable, "{edited:?}: {file:?}");
        assert_eq!(sheet.text() == file, unholdable, "{file:?}");
        texts.push(sheet.text().to_owned());
    }
    if let Some(accepted) = compare(&texts) {
        assert_eq!(accepted, texts.len());
    }
}
