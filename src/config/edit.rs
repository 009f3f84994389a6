//! Changing a file in place: one key or section at a time, every other byte left as it is.
//!
//! After each change the text is read again; if it does not say exactly what it should, the change is refused. Knows no
//! meaning of any section or key, and no file but in [`replace_key`].

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::durable;
use super::ini::{Fault, Ini};
use super::scan::{self, Key, Scan, Section};

/// A file's text while it is being changed.
#[derive(Clone)]
pub struct Sheet {
    text: String,
}

/// What a text says, to compare with.
type Listing = Vec<(String, Vec<(String, String)>)>;

impl Sheet {
    /// Takes a text that can be read.
    pub fn new(text: String) -> Result<Self, Vec<Fault>> {
        Ini::parse(&text)?;
        Ok(Self { text })
    }

    /// Returns the text as it is now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns a section's own value.
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        let ini = Ini::parse(&self.text).ok()?;
        ini.own(section, key).map(|found| found.value.to_owned())
    }

    /// Returns whether there is a section of this name.
    pub fn has(&self, section: &str) -> bool {
        Ini::parse(&self.text).is_ok_and(|ini| ini.section(section).is_some())
    }

    /// Adds an empty section at the end, with lines of comment above it.
    pub fn add_section(&mut self, name: &str, comments: &[&str]) -> Result<(), String> {
        let mut listing = self.listing()?;
        if listing.iter().any(|(known, _)| known == name) {
            return Err(format!("the section [{name}] is already there"));
        }
        listing.push((name.to_owned(), Vec::new()));
        let end = self.line_end();
        let mut text = self.text.clone();
        if !text.is_empty() {
            if !text.ends_with(['\n', '\r']) {
                text.push_str(end);
            }
            text.push_str(end);
        }
        for comment in comments {
            text.push_str(&format!("# {comment}{end}"));
        }
        text.push_str(&format!("[{name}]{end}"));
        self.accept(text, &listing)
    }

    /// Sets a key to a value: in its place where it is, else behind the last key of its section, which is added where
    /// it is missing.
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> Result<(), String> {
        if !self.has(section) {
            self.add_section(section, &[])?;
        }
        let key = key.to_lowercase();
        let mut listing = self.listing()?;
        let entry = listing.iter_mut().find(|(name, _)| name == section);
        let (_, keys) = entry.ok_or_else(|| format!("the section [{section}] is not there"))?;
        match keys.iter_mut().find(|(name, _)| *name == key) {
            Some((_, known)) => value.clone_into(known),
            None => keys.push((key.clone(), value.to_owned())),
        }
        let scan = self.scan()?;
        let (place, known) = find(&scan, section, &key)?;
        let text = match known {
            Some(known) => self.with_value(&scan, known, value),
            None => self.with_key(&scan, place, &key, value),
        };
        self.accept(text, &listing)
    }

    /// Returns the text with another value for a key that is there.
    fn with_value(&self, scan: &Scan, known: &Key, value: &str) -> String {
        let line = self.line(scan, known.line);
        let spelt = line.split(['=', ':']).next().unwrap_or_default();
        let new = self.entry(spelt.trim_end_matches(scan::is_blank), value);
        let new = new + &self.comments_within(scan, known);
        self.replaced(scan, known.line, known.end, &new)
    }

    /// Returns the text with a new key at the end of a section.
    fn with_key(&self, scan: &Scan, place: &Section, key: &str, value: &str) -> String {
        let last = place.keys.last();
        let model = last.map_or_else(|| self.next_content(scan, place.line), |key| Some(key.line));
        let line = model.map_or("", |line| self.line(scan, line));
        let kept = line.len() - line.trim_start_matches(scan::is_blank).len();
        let indent = line.get(..kept).unwrap_or_default();
        let new = self.entry(&format!("{indent}{key}"), value);
        self.inserted(scan, last.map_or(place.line, |key| key.end), &new)
    }

    /// Removes a key and its value; comments among its lines stay.
    pub fn remove(&mut self, section: &str, key: &str) -> Result<(), String> {
        let mut listing = self.listing()?;
        for (name, keys) in &mut listing {
            if name == section {
                keys.retain(|(name, _)| name != key);
            }
        }
        let scan = self.scan()?;
        let (_, known) = find(&scan, section, key)?;
        let known = known.ok_or_else(|| format!("[{section}] does not set {key}"))?;
        let kept = self.comments_within(&scan, known);
        let text = self.replaced(&scan, known.line, known.end, &kept);
        self.accept(text, &listing)
    }

    /// Takes over a changed text if it says what it should.
    fn accept(&mut self, text: String, listing: &Listing) -> Result<(), String> {
        let said = Ini::parse(&text).map(|ini| ini.listing());
        if said.as_ref() != Ok(listing) {
            return Err(
                "could not change the file so that only this one thing changes; a value or name may hold line ends \
                 or outer blanks that a configuration file cannot hold"
                    .into(),
            );
        }
        self.text = text;
        Ok(())
    }

    fn listing(&self) -> Result<Listing, String> {
        let ini = Ini::parse(&self.text).map_err(|faults| told(&faults))?;
        Ok(ini.listing())
    }

    fn scan(&self) -> Result<Scan, String> {
        Scan::of(&self.text).map_err(|faults| told(&faults))
    }

    /// Returns the line end the text uses.
    fn line_end(&self) -> &'static str {
        let before = self.text.split('\n').next().unwrap_or_default();
        if self.text.contains('\n') && before.ends_with('\r') {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// Words a key (with its indentation) and its value.
    fn entry(&self, spelt: &str, value: &str) -> String {
        let end = self.line_end();
        let kept = spelt.len() - spelt.trim_start_matches(scan::is_blank).len();
        let indent = spelt.get(..kept).unwrap_or_default();
        let mut lines = value.split('\n');
        let first = lines.next().unwrap_or_default();
        let mut entry = format!("{spelt} = {first}");
        entry.truncate(entry.trim_end_matches(' ').len());
        entry.push_str(end);
        for line in lines {
            entry.push_str(&format!("{indent}\t{line}{end}"));
        }
        entry
    }

    fn line(&self, scan: &Scan, line: usize) -> &str {
        let range = line.checked_sub(1).and_then(|at| scan.lines.get(at));
        range
            .and_then(|range| self.text.get(range.clone()))
            .unwrap_or_default()
    }

    /// Returns the next line that is neither blank nor a comment. If it is a header, a key put before it must stand as
    /// deep, or the header becomes part of the key's value.
    fn next_content(&self, scan: &Scan, line: usize) -> Option<usize> {
        (line + 1..=scan.lines.len()).find(|&line| {
            let content = scan::strip(self.line(scan, line));
            !content.is_empty() && !content.starts_with(['#', ';'])
        })
    }

    /// Returns the comment lines within a value.
    fn comments_within(&self, scan: &Scan, key: &Key) -> String {
        (key.line + 1..=key.end)
            .map(|line| self.line(scan, line))
            .filter(|line| scan::strip(line).starts_with(['#', ';']))
            .collect()
    }

    /// Returns the text with other lines in the place of `first` to `last`.
    fn replaced(&self, scan: &Scan, first: usize, last: usize, new: &str) -> String {
        let before: String = (1..first).map(|line| self.line(scan, line)).collect();
        let after: String = (last + 1..=scan.lines.len())
            .map(|line| self.line(scan, line))
            .collect();
        before + new + &after
    }

    /// Returns the text with lines behind `line`.
    fn inserted(&self, scan: &Scan, line: usize, new: &str) -> String {
        let last = self.line(scan, line);
        let mut lines = last.to_owned();
        if !last.ends_with(['\n', '\r']) {
            lines.push_str(self.line_end());
        }
        lines.push_str(new);
        self.replaced(scan, line, line, &lines)
    }
}

/// Finds a section and, where it is there, a key of it.
fn find<'a>(
    scan: &'a Scan,
    section: &str,
    key: &str,
) -> Result<(&'a Section, Option<&'a Key>), String> {
    let place = scan.sections.iter().find(|place| place.name == section);
    let place = place.ok_or_else(|| format!("the section [{section}] is not there"))?;
    Ok((place, place.keys.iter().find(|known| known.name == key)))
}

/// Words the faults of a text in one line.
fn told(faults: &[Fault]) -> String {
    let told: Vec<String> = faults
        .iter()
        .map(|fault| format!("line {}: {}", fault.line, fault.text))
        .collect();
    told.join("; ")
}

/// Puts other keys in the place of one, in a file: durably, comments and order kept.
///
/// The error says why it could not be done; the file is then as it was.
pub fn replace_key(
    path: &Path,
    section: &str,
    old_key: &str,
    new_pairs: &[(&str, &str)],
) -> Result<(), String> {
    // Two accounts may want this at once; each must see what the other wrote.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read {shown}: {error}"))?;
    let mut sheet = Sheet::new(text)
        .map_err(|faults| format!("could not change {shown}: {}", told(&faults)))?;
    for (key, value) in new_pairs {
        sheet.set(section, key, value)?;
    }
    sheet.remove(section, old_key)?;
    durable::write(path, sheet.text().as_bytes(), durable::Mode::Keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(text: &str) -> Sheet {
        Sheet::new(text.to_owned()).ok().unwrap()
    }

    #[test]
    fn one_key_changes_and_nothing_else() {
        let mut sheet = sheet(
            "# top\n[a]\n# about b\n  B : 1\n    2\n  # inside\n    3\n\n  c = 4\n\n[d]\n# end",
        );
        sheet.set("a", "b", "new").unwrap();
        assert_eq!(
            sheet.text(),
            "# top\n[a]\n# about b\n  B = new\n  # inside\n\n  c = 4\n\n[d]\n# end"
        );
        sheet.set("a", "e", "x\ny").unwrap();
        sheet.set("d", "f", "").unwrap();
        assert_eq!(
            sheet.text(),
            "# top\n[a]\n# about b\n  B = new\n  # inside\n\n  c = 4\n  e = x\n  \ty\n\n[d]\nf =\n# end"
        );
        sheet.remove("a", "b").unwrap();
        sheet.remove("a", "e").unwrap();
        assert_eq!(
            sheet.text(),
            "# top\n[a]\n# about b\n  # inside\n\n  c = 4\n\n[d]\nf =\n# end"
        );
    }

    #[test]
    fn a_key_never_swallows_the_header_behind_it() {
        let mut sheet = sheet("[a]\n  [b]\n  c = 1\n");
        sheet.set("a", "k", "v").unwrap();
        assert_eq!(sheet.text(), "[a]\n  k = v\n  [b]\n  c = 1\n");
    }

    #[test]
    fn sections_are_added_at_the_end_in_the_files_own_line_ends() {
        let mut crlf = sheet("\u{feff}[a]\r\nb = 1");
        crlf.set("c@d", "e", "f").unwrap();
        assert_eq!(
            crlf.text(),
            "\u{feff}[a]\r\nb = 1\r\n\r\n[c@d]\r\ne = f\r\n"
        );
        let mut empty = sheet("");
        empty.add_section("a", &["why", "and how"]).unwrap();
        assert_eq!(empty.text(), "# why\n# and how\n[a]\n");
        assert!(empty.add_section("a", &[]).is_err());
    }

    #[test]
    fn what_a_file_cannot_hold_is_refused_and_leaves_no_trace() {
        let mut sheet = sheet("[a]\nb = 1\n");
        for value in [
            " x",
            "x ",
            "x\n",
            "x\n\ny\n[z]\n ",
            "x\n# y",
            "x\n  y",
            "x\ry",
            "x\r\ny = z",
        ] {
            assert!(sheet.set("a", "b", value).is_err(), "{value:?}");
        }
        assert!(sheet.set("a\nb", "c", "d").is_err());
        assert!(sheet.set("a", "k=v", "d").is_err());
        assert!(sheet.set("a", "#k", "d").is_err());
        assert!(sheet.remove("a", "nothing").is_err());
        assert_eq!(sheet.text(), "[a]\nb = 1\n");
        sheet.set("a", "b", "[c]; # %(d)s").unwrap();
        assert_eq!(sheet.value("a", "b").unwrap(), "[c]; # %(d)s");
    }

    #[test]
    fn a_secret_is_replaced_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("emailproxy.ini");
        std::fs::write(&path, "[u@e]\n; keep\nclient_secret = x\nclient_id = y\n").unwrap();
        let pairs = [("token_salt", "AA=="), ("client_secret_encrypted", "gAAA")];
        replace_key(&path, "u@e", "client_secret", &pairs).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "[u@e]\n; keep\nclient_id = y\ntoken_salt = AA==\nclient_secret_encrypted = gAAA\n"
        );
        assert!(replace_key(&path, "u@e", "client_secret", &pairs).is_err());
        assert!(replace_key(&path, "v@e", "client_secret", &pairs).is_err());
    }

    #[test]
    fn two_who_change_a_file_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("emailproxy.ini");
        let sections = (0..8).map(|n| format!("[u{n}@e]\nclient_secret = x\n"));
        std::fs::write(&path, sections.collect::<String>()).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let pair = [("client_secret_encrypted", "gAAA")];
                    replace_key(path, &format!("u{n}@e"), "client_secret", &pair).unwrap();
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.matches("client_secret_encrypted = gAAA").count(),
            8,
            "{text}"
        );
        assert!(!text.contains("client_secret = "), "{text}");
    }
}
