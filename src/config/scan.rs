//! The lines of an ini text: which are headers, keys, continuations or comments, and where they stand.
//!
//! The grammar is that of Python's `configparser` without interpolation, in its strict mode. Knows no meaning of any
//! section or key, and never repeats a line's content in a fault: it may be a secret.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The section whose values all others inherit.
pub const DEFAULT: &str = "DEFAULT";

/// Put before names and value lines in the guarded text. Any private-use character does.
pub(super) const GUARD: &str = "\u{e000}";

/// Something that breaks the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

/// A section and where it stands. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name, blanks kept.
    pub name: String,
    /// The header's line.
    pub line: usize,
    /// The keys, in order.
    pub keys: Vec<Key>,
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name in lower case.
    pub name: String,
    /// Its line.
    pub line: usize,
    /// The last line of its value.
    pub end: usize,
}

/// A text whose every line has its place.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// The bytes of each line with its line end.
    pub(super) lines: Vec<Range<usize>>,
    /// The sections in order. `DEFAULT` may be opened again; its keys are then together in its first entry.
    pub(super) sections: Vec<Section>,
    /// The same content in a shape that any ini reader takes alike.
    pub(super) guarded: String,
}

/// What Python's `str.strip` takes for a blank.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Cuts blanks from both ends as Python does.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// Shows a key in a message, unless it may be a piece of a secret that was pasted without indentation.
pub(super) fn key_shown(name: &str) -> String {
    const LONGEST: usize = 32;
    let word =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b' ');
    if name.len() <= LONGEST && name.bytes().all(word) {
        format!("`{name}`")
    } else {
        "what stands before the `=`".to_owned()
    }
}

/// Returns the name in a header line, up to its last `]`.
fn header(content: &str) -> Option<&str> {
    let (name, _) = content.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// Finds each line with its line end: LF, CR LF or CR.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let end = match byte {
            b'\r' if bytes.next_if(|&(_, next)| next == b'\n').is_some() => at + 2,
            b'\r' | b'\n' => at + 1,
            _ => continue,
        };
        lines.push(start..end);
        start = end;
    }
    if start < text.len() {
        lines.push(start..text.len());
    }
    lines
}

/// Where the scan is.
#[derive(Default)]
struct Place {
    /// The index of the open section.
    section: Option<usize>,
    /// Whether a key is open that a deeper line continues.
    in_value: bool,
    /// How deep the last header or key was indented, in characters.
    indent: usize,
}

impl Scan {
    /// Adds a line to the guarded text.
    fn guard(&mut self, parts: &[&str]) {
        for part in parts {
            self.guarded.push_str(part);
        }
        self.guarded.push('\n');
    }

    /// Finds every line's place, or all that is wrong. A byte order mark before the first line is passed over.
    pub(super) fn of(text: &str) -> Result<Self, Vec<Fault>> {
        let lines = lines(text);
        let mut scan = Self {
            lines: Vec::new(),
            sections: Vec::new(),
            guarded: String::with_capacity(text.len() * 2),
        };
        let mut faults = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut seen: HashSet<(usize, Cow<'_, str>)> = HashSet::new();
        let mut place = Place::default();
        let mut lost = false;
        for (line, range) in (1..).zip(&lines) {
            let raw = text.get(range.clone()).unwrap_or_default();
            let raw = if line == 1 {
                raw.trim_start_matches('\u{feff}')
            } else {
                raw
            };
            let content = strip(raw);
            let mut fault = |text: String| faults.push(Fault { line, text });
            if content.starts_with(['#', ';']) {
                continue;
            }
            if content.is_empty() {
                if place.in_value {
                    scan.guarded.push('\n');
                }
                continue;
            }
            let indent = raw.chars().take_while(|&c| is_blank(c)).count();
            if place.in_value && indent > place.indent {
                scan.guard(&["\t", GUARD, content]);
                let section = place.section.and_then(|at| scan.sections.get_mut(at));
                if let Some(key) = section.and_then(|section| section.keys.last_mut()) {
                    key.end = line;
                }
                continue;
            }
            place.indent = indent;
            if let Some(name) = header(content) {
                let at = *known.entry(name).or_insert_with(|| {
                    scan.sections.push(Section {
                        name: name.to_owned(),
                        line,
                        keys: Vec::new(),
                    });
                    scan.sections.len() - 1
                });
                let first = scan.sections.get(at).map_or(line, |section| section.line);
                if first != line && name != DEFAULT {
                    fault(format!(
                        "the section [{name}] is here a second time (first in line {first}); join the two"
                    ));
                }
                scan.guard(&["[", GUARD, name, GUARD, "]"]);
                place.section = Some(at);
                place.in_value = false;
                continue;
            }
            let Some(at) = place.section else {
                if !lost {
                    fault("the file must begin with a section header such as [SMTP-2465]".into());
                    lost = true;
                }
                continue;
            };
            let Some((name, value)) = content.split_once(['=', ':']) else {
                fault(
                    "this line has no `=`; if it belongs to the value above it must be indented deeper than its key"
                        .into(),
                );
                continue;
            };
            let spelt = strip(name);
            let lower = |c: u8| c.is_ascii() && !c.is_ascii_uppercase();
            let name = if spelt.bytes().all(lower) {
                Cow::Borrowed(spelt)
            } else {
                Cow::Owned(spelt.to_lowercase())
            };
            if name.is_empty() {
                fault("this line has nothing before its `=`; write `key = value`".into());
                continue;
            }
            if !seen.insert((at, name.clone())) {
                let section = scan.sections.get(at);
                let first =
                    section.and_then(|section| section.keys.iter().find(|k| *k.name == *name));
                let first = first.map_or(0, |key| key.line);
                let name = key_shown(&name);
                fault(format!(
                    "{name} is set a second time in this section (first in line {first}); remove one of the two"
                ));
            }
            scan.guard(&[GUARD, &name, " = ", GUARD, strip(value)]);
            if let Some(section) = scan.sections.get_mut(at) {
                section.keys.push(Key {
                    name: name.into_owned(),
                    line,
                    end: line,
                });
            }
            place.in_value = true;
        }
        scan.lines = lines;
        if faults.is_empty() {
            Ok(scan)
        } else {
            Err(faults)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(usize, String)> {
        let faults = Scan::of(text).err().unwrap_or_default();
        faults.into_iter().map(|f| (f.line, f.text)).collect()
    }

    #[test]
    fn lines_end_in_any_of_three_ways() {
        assert_eq!(lines("a\r\nb\rc\n\nd"), [0..3, 3..5, 5..7, 7..8, 8..9]);
        assert_eq!(lines(""), Vec::<Range<usize>>::new());
    }

    #[test]
    fn keys_know_their_lines() {
        let scan = Scan::of("[a]\nb = 1\n  2\n\n  # no value\n  3\n\nc: 4\n").unwrap();
        let places: Vec<_> = scan.sections[0]
            .keys
            .iter()
            .map(|key| (key.name.as_str(), key.line, key.end))
            .collect();
        assert_eq!(places, [("b", 2, 6), ("c", 8, 8)]);
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_no_content_with_it() {
        let found = faults("[a]\nhunter2\n= hunter2\nb = hunter2\nB : hunter2\n[a]\n");
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 5, 6]);
        assert!(found.iter().all(|(_, text)| !text.contains("hunter2")));
        assert_eq!(faults("a = 1\nb = 2\n[c]\n").len(), 1);
    }
}
