//! A file being proven: its ini, and what was found wrong or odd so far.
//!
//! Knows how to find and read one value and how to complain; what a section needs is told by `service`, `options` and
//! `account`.

use std::path::{Path, PathBuf};

use super::Complaint;
use super::ini::{Found, Ini};
use super::value;

/// A file being proven.
#[derive(Debug)]
pub(super) struct Proof<'a> {
    /// What the file says.
    pub(super) ini: &'a Ini,
    /// Where it is.
    pub(super) path: &'a Path,
    /// What is wrong.
    pub(super) complaints: Vec<Complaint>,
    /// What is odd.
    pub(super) warnings: Vec<Complaint>,
}

impl<'a> Proof<'a> {
    /// Begins with nothing said.
    pub(super) fn new(ini: &'a Ini, path: &'a Path) -> Self {
        Self {
            ini,
            path,
            complaints: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Says that something is wrong.
    pub(super) fn complain(&mut self, line: usize, text: impl Into<String>) {
        self.complaints.push(Complaint {
            path: self.path.to_owned(),
            line,
            text: text.into(),
        });
    }

    /// Says that something is odd.
    pub(super) fn warn(&mut self, line: usize, text: impl Into<String>) {
        self.warnings.push(Complaint {
            path: self.path.to_owned(),
            line,
            text: text.into(),
        });
    }

    /// Finds a section's value, inherited from `DEFAULT` if need be. An empty value is none.
    pub(super) fn find(&self, section: &str, key: &str) -> Option<Found<'a>> {
        self.ini
            .value(section, key)
            .filter(|found| !found.value.is_empty())
    }

    /// Reads a value by `read`; what is wrong with it is complained about with key and line.
    pub(super) fn read<T>(
        &mut self,
        section: &str,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(section, key)?;
        match read(found.value) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.complain(found.line, format!("{key}: {fault}"));
                None
            }
        }
    }

    /// Reads a switch.
    pub(super) fn flag(&mut self, section: &str, key: &str) -> Option<bool> {
        let found = self.find(section, key)?;
        let flag = self.ini.flag(found, key);
        if flag.is_none() {
            let value = value::shown(found.value);
            self.complain(
                found.line,
                format!("{key}: {value} is neither True nor False"),
            );
        }
        flag
    }

    /// Reads the path of a file that must be there.
    pub(super) fn file(&mut self, section: &str, key: &str) -> Option<PathBuf> {
        let path = self.path;
        self.read(section, key, |text| {
            let file = value::file(text, path);
            value::unreadable(text, &file).map_or(Ok(file), Err)
        })
    }
}
