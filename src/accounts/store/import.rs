//! A cache file in the predecessor's format, taken over once: an ini file of account sections with its seven keys.
//!
//! Moves values as they are; only the owner's password can open them later.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use configparser::ini::{Ini, IniDefault};

use super::{Record, file};
use crate::accounts::predecessor::Carried;

/// Returns whether a text is an ini file rather than our own JSON.
pub(super) fn looks_like_ini(text: &str) -> bool {
    let first = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line.starts_with('[') && line.contains('@') && line.ends_with(']'))
}

/// Reads the accounts of a cache file.
pub(super) fn read(path: &Path, text: &str) -> Result<BTreeMap<String, Record>, String> {
    let fail = |why: String| {
        let at = path.display();
        format!(
            "could not import the cache file {at}: {why}; {}",
            file::LEFT_ALONE
        )
    };
    let mut rules = IniDefault::default();
    rules.case_sensitive = true;
    rules.multiline = true;
    rules.delimiters = vec!['=', ':'];
    rules.comment_symbols = vec!['#', ';'];
    rules.enable_inline_comments = false;
    let mut ini = Ini::new_from_defaults(rules);
    let sections = ini
        .read(text.trim_start_matches('\u{feff}').to_owned())
        .map_err(fail)?;
    let mut accounts = BTreeMap::new();
    for (name, values) in sections {
        if !name.contains('@') {
            return Err(fail(format!(
                "it has a section [{}], so it is no cache file (perhaps the configuration file?)",
                crate::said::Said::new(&name)
            )));
        }
        let value = |key: &str| {
            let found = values.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
            found
                .and_then(|(_, value)| value.as_deref())
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        if let Some(record) = carried(value) {
            accounts.insert(name, record);
        }
    }
    Ok(accounts)
}

/// Makes a record of one account's values, wherever they come from; nothing where there are none.
pub(super) fn carried(value: impl Fn(&str) -> Option<String>) -> Option<Record> {
    let carried = Carried {
        token_salt: value("token_salt"),
        token_iterations: value("token_iterations").and_then(|n| n.parse().ok()),
        access_token: value("access_token"),
        access_token_expiry: value("access_token_expiry").and_then(|n| n.parse().ok()),
        refresh_token: value("refresh_token"),
        client_secret_encrypted: value("client_secret_encrypted"),
    };
    (carried != Carried::default()).then(|| Record {
        predecessor: Some(carried),
        ..Record::default()
    })
}

/// Keeps the old file as `.bak` (or `.bak.1`, ... where that is taken).
pub(super) fn keep(path: &Path) -> Result<PathBuf, String> {
    let fail = |at: &Path, error: &std::io::Error| {
        format!(
            "could not keep the old cache file as {}: {error}",
            at.display()
        )
    };
    let old = std::fs::read(path).map_err(|error| fail(path, &error))?;
    for n in 0..1_000 {
        let ending = if n == 0 {
            ".bak".to_owned()
        } else {
            format!(".bak.{n}")
        };
        let at = file::beside(path, &ending);
        match file::private(OpenOptions::new().write(true).create_new(true)).open(&at) {
            Ok(mut file) => {
                file.write_all(&old)
                    .and_then(|()| file.sync_all())
                    .map_err(|error| fail(&at, &error))?;
                return Ok(at);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(&at, &error)),
        }
    }
    Err(format!(
        "could not keep {}: a thousand copies exist",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::store::{Place, Reach, Store};

    const CACHE: &str = "[u@example.org]\ntoken_salt = AAECAwQFBgcICQoLDA0ODw==\ntoken_iterations = 1200000\naccess_token = gAAAAAa\naccess_token_expiry = 1700003600\nrefresh_token = gAAAAAb\nlast_activity = 1700000000\n\n[Other@Example.org]\nclient_secret_encrypted = gAAAAAc\n\n";

    #[test]
    fn a_cache_file_is_imported_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.config");
        std::fs::write(&path, CACHE).unwrap();
        std::fs::write(file::beside(&path, ".bak"), "older").unwrap();
        for _ in 0..2 {
            let store = Store::open(&Place::from(path.as_path()), &Reach::default()).unwrap();
            let one = store.record("u@example.org").unwrap().predecessor.unwrap();
            assert_eq!(one.token_iterations, Some(1_200_000));
            assert_eq!(one.access_token_expiry, Some(1_700_003_600));
            assert_eq!(one.refresh_token.as_deref(), Some("gAAAAAb"));
            let other = store.record("Other@Example.org").unwrap();
            assert!(other.predecessor.unwrap().client_secret_encrypted.is_some());
        }
        let read = |ending| std::fs::read_to_string(file::beside(&path, ending)).unwrap();
        assert_eq!(
            (read(".bak"), read(".bak.1")),
            ("older".into(), CACHE.into())
        );
        assert!(!file::beside(&path, ".bak.2").exists());
        assert!(read("").starts_with('{'));
    }

    #[test]
    fn a_configuration_file_is_not_taken_for_a_cache() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("emailproxy.config");
        let text = format!("{CACHE}[IMAP-1993]\nserver_address = x\n");
        std::fs::write(&path, &text).unwrap();
        assert!(
            Store::open(&Place::from(path.as_path()), &Reach::default())
                .unwrap_err()
                .contains("no cache file")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
