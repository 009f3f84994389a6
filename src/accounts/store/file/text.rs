//! The store's file in words: one JSON document, or several where the file cannot be replaced and the newest counts.
//!
//! Touches no disk. Of several documents each stands on a line of its own with a digest of itself, so that a torn one is
//! known for what it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::LEFT_ALONE;
use crate::accounts::store::Record;
use crate::accounts::store::backend::{All, Kept};

/// How a document with a digest begins; 64 hexadecimal digits follow, then [`REST`].
const BEGIN: &str = "{\"version\":1,\"digest\":\"";

/// How it goes on behind them. The digest is over all from the next character on.
const REST: &str = "\",";

/// One account's record. Rows are shared between the versions of a store that are in memory for a moment.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) record: Arc<Record>,
    pub(super) revision: u64,
}

/// All records.
pub(super) type Rows = BTreeMap<String, Row>;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) rows: Rows,
    /// Grows with each writing; 1 in files from before it was counted.
    pub(super) sequence: u64,
    /// Where the document that counts lies in the file.
    pub(super) place: Range<u64>,
}

/// The file's content, read.
#[derive(Deserialize)]
struct Content {
    #[serde(default = "one")]
    sequence: u64,
    /// Those that are not 1.
    #[serde(default)]
    revisions: BTreeMap<String, u64>,
    accounts: BTreeMap<String, Record>,
}

fn one() -> u64 {
    1
}

impl Held {
    /// Returns everything as the room knows it.
    pub(super) fn all(&self) -> All {
        let kept = |(name, row): (&String, &Row)| (name.clone(), row.kept());
        self.rows.iter().map(kept).collect()
    }
}

impl Row {
    /// Returns the record with its revision.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            record: (*self.record).clone(),
            revision: self.revision,
        }
    }
}

/// Reads a file's content. The error is for a person.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Held, String> {
    /// The part that every version has.
    #[derive(Deserialize)]
    struct Any {
        version: u32,
    }
    let at = path.display();
    let broken = |error: &dyn std::fmt::Display| {
        format!("could not read the store {at}: {error}; {LEFT_ALONE}")
    };
    let (document, start) = match newest(bytes) {
        Some((start, document)) => (document, start),
        None if bytes.iter().all(u8::is_ascii_whitespace) => return Ok(Held::default()),
        None => (only(bytes).map_err(|why| broken(&why))?, 0),
    };
    let Any { version } = serde_json::from_slice(document).map_err(|error| broken(&error))?;
    if version != 1 {
        return Err(format!(
            "could not read the store {at}: it has version {version} and this emailproxy knows version 1; use a newer emailproxy or another --cache-store"
        ));
    }
    let content: Content = serde_json::from_slice(document).map_err(|error| broken(&error))?;
    let Content {
        sequence,
        revisions,
        accounts,
    } = content;
    let rows = accounts.into_iter().map(|(name, record)| {
        let revision = revisions.get(&name).copied().unwrap_or(1).max(1);
        let record = Arc::new(record);
        (name, Row { record, revision })
    });
    Ok(Held {
        rows: rows.collect(),
        sequence,
        place: start as u64..(start + document.len()) as u64,
    })
}

/// Returns whether there is a whole document with a digest.
pub(super) fn is_documented(bytes: &[u8]) -> bool {
    newest(bytes).is_some()
}

/// Finds the newest whole document among those with a digest, and where it begins.
fn newest(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut start = 0;
    let mut found: Option<(u64, usize, &[u8])> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(sequence) = whole(line)
            && found.is_none_or(|(newest, ..)| sequence > newest)
        {
            found = Some((sequence, start, line));
        }
        start += line.len() + 1;
    }
    found.map(|(_, start, line)| (start, line))
}

/// Returns the sequence number of a line that is a whole document with its digest.
fn whole(line: &[u8]) -> Option<u64> {
    let (told, rest) = line.strip_prefix(BEGIN.as_bytes())?.split_at_checked(64)?;
    let rest = rest.strip_prefix(REST.as_bytes())?;
    if told != sum(rest).as_bytes() {
        return None;
    }
    let number = rest.strip_prefix(b"\"sequence\":")?;
    let end = number.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(number.get(..end)?).ok()?.parse().ok()
}

/// Returns the one document of an ordinary file. Behind it may be the beginning of another that was never finished.
fn only(bytes: &[u8]) -> Result<&[u8], String> {
    let mut values =
        serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
    let first = values.next();
    let end = values.byte_offset();
    if let Some(Err(error)) = first {
        return Err(match std::str::from_utf8(bytes) {
            Ok(_) => error.to_string(),
            Err(_) => "it is not UTF-8 text".into(),
        });
    }
    let (document, behind) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let behind = behind.trim_ascii();
    let torn = behind.starts_with(BEGIN.as_bytes()) || BEGIN.as_bytes().starts_with(behind);
    if torn && !document.starts_with(BEGIN.as_bytes()) {
        Ok(document)
    } else {
        Err("it does not end where its content does, or is damaged".into())
    }
}

/// Words the store as a document of its own file.
pub(super) fn render(rows: &Rows, sequence: u64) -> Result<String, String> {
    Ok(format!("{{\"version\":1,{}\n", body(rows, sequence)?))
}

/// Returns how a document of its own file begins.
pub(super) fn head(sequence: u64) -> String {
    format!("{{\"version\":1,\"sequence\":{sequence},")
}

/// Words the store as one of several documents.
pub(super) fn render_line(rows: &Rows, sequence: u64) -> Result<String, String> {
    let body = body(rows, sequence)?;
    Ok(format!("{BEGIN}{}{REST}{body}\n", sum(body.as_bytes())))
}

/// Words all but the version, without the brace that begins it. JSON has no line ends in it unless asked for.
fn body(rows: &Rows, sequence: u64) -> Result<String, String> {
    #[derive(Serialize)]
    struct View<'a> {
        sequence: u64,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        revisions: BTreeMap<&'a str, u64>,
        accounts: BTreeMap<&'a str, &'a Record>,
    }
    let counted = rows.iter().filter(|(_, row)| row.revision != 1);
    let view = View {
        sequence,
        revisions: counted
            .map(|(name, row)| (name.as_str(), row.revision))
            .collect(),
        accounts: rows
            .iter()
            .map(|(name, row)| (name.as_str(), &*row.record))
            .collect(),
    };
    let text = serde_json::to_string(&view)
        .map_err(|error| format!("could not put the store into words: {error}"))?;
    Ok(text.strip_prefix('{').unwrap_or(&text).to_owned())
}

fn sum(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(word: &str) -> Rows {
        let record = Arc::new(Record {
            provider: word.into(),
            ..Record::default()
        });
        Rows::from([(
            "ü@example.org".into(),
            Row {
                record,
                revision: 7,
            },
        )])
    }

    fn word(bytes: &[u8]) -> Result<String, String> {
        let held = parse(Path::new("tokens.json"), bytes)?;
        let row = held.rows.get("ü@example.org");
        Ok(row
            .map(|row| format!("{} {} {}", row.record.provider, row.revision, held.sequence))
            .unwrap_or_default())
    }

    #[test]
    fn what_was_written_is_read() {
        for text in [render(&rows("one"), 9), render_line(&rows("one"), 9)] {
            let text = text.unwrap();
            assert_eq!(word(text.as_bytes()).unwrap(), "one 7 9");
            assert_eq!(text.lines().count(), 1);
        }
        let old = "{\n  \"version\": 1,\n  \"accounts\": {\"ü@example.org\": {\"provider\": \"old\"}}\n}\n";
        assert_eq!(word(old.as_bytes()).unwrap(), "old 1 1");
        assert_eq!(word(b" \n").unwrap(), "");
    }

    #[test]
    fn a_torn_document_never_counts_and_never_hides_another() {
        let ordinary = render(&rows("one"), 1).unwrap();
        let older = render_line(&rows("one"), 1).unwrap();
        let newer = render_line(&rows("two"), 2).unwrap();
        for first in [&ordinary, &older] {
            for cut in 0..newer.len() - 1 {
                let mut torn = first.clone().into_bytes();
                torn.extend_from_slice(&newer.as_bytes()[..cut]);
                assert_eq!(word(&torn).unwrap(), "one 7 1", "cut at {cut}");
            }
            assert_eq!(
                word((first.clone() + &newer).as_bytes()).unwrap(),
                "two 7 2"
            );
        }
        // A newer one written over a dead one in front of the current one.
        let newest = render_line(&rows("six"), 3).unwrap();
        let whole = older.clone() + &newer;
        for cut in 0..=newest.len() {
            let mut torn = whole.clone().into_bytes();
            torn[..cut].copy_from_slice(&newest.as_bytes()[..cut]);
            // Its last bytes may be those that lie there already.
            let complete = torn.starts_with(newest.trim_end().as_bytes());
            let expected = if complete { "six 7 3" } else { "two 7 2" };
            assert_eq!(word(&torn).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let one = render_line(&rows("one"), 1).unwrap();
        let ordinary = render(&rows("one"), 1).unwrap();
        for bad in [
            one.replace("one", "two"),
            one.chars().take(one.len() / 2).collect(),
            ordinary.chars().take(ordinary.len() / 2).collect(),
            ordinary.clone() + "{}",
            ordinary.clone() + &ordinary,
        ] {
            assert!(
                word(bad.as_bytes()).unwrap_err().contains("left as it is"),
                "{bad}"
            );
        }
    }
}
