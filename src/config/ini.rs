//! An ini text as sections, keys and values, read exactly as Python's `configparser` reads it.
//!
//! The `configparser` crate reads the values. It takes some lines for what Python does not (a continuation line that
//! begins with `[` opens a section, duplicates pass), so the strict scanner goes first and hands it a text in which
//! nothing can be mistaken. Knows no meaning of any section or key.

use std::collections::HashMap;
use std::fmt;

use configparser::ini::{Ini as Reader, IniDefault};

pub use super::scan::{DEFAULT, Fault, Key, Section};
use super::scan::{GUARD, Scan};

/// An ini text, read. Its values may be secrets, so that it prints without them.
#[derive(Clone)]
pub struct Ini {
    values: Reader,
    sections: Vec<Section>,
    places: HashMap<String, usize>,
}

impl fmt::Debug for Ini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ini")
            .field("sections", &self.sections)
            .finish_non_exhaustive()
    }
}

/// A value and where it stands. The value may be a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The value; lines of a multi-line value are joined by LF.
    pub value: &'a str,
    /// The section it came from.
    pub section: &'a str,
    /// Its line, counted from 1.
    pub line: usize,
}

/// Returns a reader with Python's settings.
fn reader() -> Reader {
    let mut settings = IniDefault::default();
    DEFAULT.clone_into(&mut settings.default_section);
    settings.case_sensitive = true;
    settings.multiline = true;
    settings.enable_inline_comments = false;
    let words = |words: [&str; 4]| words.map(String::from).to_vec();
    settings.boolean_values = HashMap::from([
        (true, words(["1", "yes", "true", "on"])),
        (false, words(["0", "no", "false", "off"])),
    ]);
    Reader::new_from_defaults(settings)
}

/// Takes the guard off a name or a value of one line.
fn bare(mut text: String) -> String {
    if text.starts_with(GUARD) {
        text.drain(..GUARD.len());
    }
    text
}

/// Takes the guards off a value.
fn bare_value(value: String) -> String {
    if !value.contains('\n') {
        return bare(value);
    }
    let lines: Vec<&str> = value
        .lines()
        .map(|line| line.strip_prefix(GUARD).unwrap_or(line))
        .collect();
    lines.join("\n")
}

impl Ini {
    /// Reads a text, or tells all that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let scan = Scan::of(text)?;
        let refused = |error: String| {
            vec![Fault {
                line: 0,
                text: error,
            }]
        };
        let mut values = reader();
        values.read(scan.guarded).map_err(refused)?;
        let guarded = std::mem::take(values.get_mut_map());
        for (section, keys) in guarded {
            let keys = keys.into_iter();
            let keys = keys.map(|(key, value)| (bare(key), value.map(bare_value)));
            let mut name = bare(section);
            if name.ends_with(GUARD) {
                name.truncate(name.len() - GUARD.len());
            }
            values.get_mut_map().insert(name, keys.collect());
        }
        let places = scan.sections.iter().enumerate();
        let places = places.map(|(at, section)| (section.name.clone(), at));
        Ok(Self {
            values,
            places: places.collect(),
            sections: scan.sections,
        })
    }

    /// Returns the sections in order, `DEFAULT` among them.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Returns a section by its exact name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.places.get(name).and_then(|&at| self.sections.get(at))
    }

    /// Returns a section's own value, without inheritance.
    pub fn own(&self, section: &str, key: &str) -> Option<Found<'_>> {
        let &at = self.places.get(section)?;
        let place = self.sections.get(at)?;
        let number = place.keys.iter().position(|k| k.name == key)?;
        // Sections and keys stand in the order of the file here as there.
        let (_, keys) = self.values.get_map_ref().get_index(at)?;
        let (_, value) = keys.get_index(number)?;
        Some(Found {
            value: value.as_deref()?,
            section: &place.name,
            line: place.keys.get(number)?.line,
        })
    }

    /// Returns a section's value, its own or that of `DEFAULT`. A section that is not there inherits nothing.
    pub fn value(&self, section: &str, key: &str) -> Option<Found<'_>> {
        self.section(section)?;
        self.own(section, key).or_else(|| self.own(DEFAULT, key))
    }

    /// Returns whether a found value means yes, or nothing where it means neither yes nor no.
    pub fn flag(&self, found: Found<'_>, key: &str) -> Option<bool> {
        self.values.getboolcoerce(found.section, key).ok().flatten()
    }

    /// Lists everything, section by section in order.
    pub fn listing(&self) -> Vec<(String, Vec<(String, String)>)> {
        let listed = |section: &Section| {
            let keys = section.keys.iter().filter_map(|key| {
                let found = self.own(&section.name, &key.name)?;
                Some((key.name.clone(), found.value.to_owned()))
            });
            (section.name.clone(), keys.collect())
        };
        self.sections.iter().map(listed).collect()
    }
}

/// Reads a whole number as Python's `int` does: blanks around it, a sign, single underscores between digits.
pub fn whole_number(text: &str) -> Option<i64> {
    let text = super::scan::strip(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    well_formed.then(|| text.replace('_', "").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        let ini = Ini::parse(text).unwrap();
        ini.own(section, key).map(|found| found.value.to_owned())
    }

    #[test]
    fn a_continuation_line_never_opens_a_section() {
        let text = "[a]\nb = see the\n  [evil@example.org] and\n\n  [x]\nc = 1\n";
        let ini = Ini::parse(text).unwrap();
        assert_eq!(ini.sections().len(), 1);
        assert_eq!(
            ini.own("a", "b").unwrap().value,
            "see the\n[evil@example.org] and\n\n[x]"
        );
        assert_eq!(ini.own("a", "c").unwrap().line, 6);
    }

    #[test]
    fn values_are_taken_literally() {
        let text = "[a]\nsecret = x ; y # z%(b)s\nquoted = \"q\"\nempty =\nk:v=w\n";
        assert_eq!(value(text, "a", "secret").unwrap(), "x ; y # z%(b)s");
        assert_eq!(value(text, "a", "quoted").unwrap(), "\"q\"");
        assert_eq!(value(text, "a", "empty").unwrap(), "");
        assert_eq!(value(text, "a", "k").unwrap(), "v=w");
    }

    #[test]
    fn default_is_inherited_by_sections_that_exist() {
        let ini = Ini::parse("[DEFAULT]\na = 1\n[b]\n[DEFAULT]\nc = 2\n").unwrap();
        assert_eq!(ini.value("b", "a").unwrap().value, "1");
        assert_eq!(ini.value("b", "c").unwrap().section, DEFAULT);
        assert!(ini.value("nobody", "a").is_none());
    }

    #[test]
    fn numbers_and_switches_are_pythons() {
        for (text, number) in [
            ("993", Some(993)),
            (" +1_000 ", Some(1000)),
            ("-5", Some(-5)),
            ("0993", Some(993)),
            ("993 ; imap", None),
            ("1__0", None),
            ("_1", None),
            ("", None),
            ("0x10", None),
        ] {
            assert_eq!(whole_number(text), number, "{text:?}");
        }
        let ini = Ini::parse("[a]\nb = oN\nc = t\nd = 0\n").unwrap();
        let flag = |key| ini.flag(ini.own("a", key).unwrap(), key);
        assert_eq!(
            (flag("b"), flag("c"), flag("d")),
            (Some(true), None, Some(false))
        );
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
        let text = "\u{feff}[a]\r\nb = 1\r\n  2\r\n";
        assert_eq!(value(text, "a", "b").unwrap(), "1\n2");
    }
}
