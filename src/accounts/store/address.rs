//! The address of a store that is a service: what is in it besides host and port, and the password it leads to.
//!
//! Reaches nothing. No complaint repeats the address, because it may hold a password.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;

/// The longest password file, in bytes.
const MOST: u64 = 64 * 1024;

/// Takes the settings named in `ours` out of an address' query; the rest of the address is returned with them.
pub(super) fn split(
    text: &str,
    ours: &[&str],
) -> Result<(String, BTreeMap<String, String>), String> {
    let Some((before, query)) = text.split_once('?') else {
        return Ok((text.to_owned(), BTreeMap::new()));
    };
    let mut taken = BTreeMap::new();
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !ours.contains(&name) {
            rest.push(pair);
            continue;
        }
        let value = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| format!("the value of `{name}` in the address is not UTF-8"))?;
        if value.is_empty() {
            return Err(format!("`{name}` in the address has no value"));
        }
        if taken.insert(name.to_owned(), value.into_owned()).is_some() {
            return Err(format!("`{name}` stands twice in the address"));
        }
    }
    let mut address = before.to_owned();
    if !rest.is_empty() {
        address = format!("{before}?{}", rest.join("&"));
    }
    Ok((address, taken))
}

#[cfg(any(feature = "redis", feature = "vault"))]
/// Names the first setting left in an address that nobody knows, and those that there are.
pub(super) fn complain_of_rest(address: &str, ours: &[&str]) -> Result<(), String> {
    let Some((_, query)) = address.split_once('?') else {
        return Ok(());
    };
    let name = query.split(['=', '&']).next().unwrap_or_default();
    Err(format!(
        "the address has an unknown setting `{}`; known are {}",
        crate::said::Said::new(name).short(),
        ours.join(", ")
    ))
}

/// Reads a password that rests in a file of its own, one line. Read anew for every connection, so that it can be changed.
pub(super) fn read_password(path: &Path) -> Result<Secret<String>, String> {
    let fail = |why: &str| format!("could not read a password from {}: {why}", path.display());
    let mut text = zeroize::Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| fail(&error.to_string()))?;
    file.take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| fail(&error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(fail("its first line is empty"));
    }
    Ok(Secret::from(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_ours_are_taken_out() {
        let (rest, taken) = split("a://h/p?x=1&prefix=a%3Ab&y=2", &["prefix"]).unwrap();
        assert_eq!(rest, "a://h/p?x=1&y=2");
        assert_eq!(taken["prefix"], "a:b");
        #[cfg(any(feature = "redis", feature = "vault"))]
        {
            let why = complain_of_rest(&rest, &["prefix"]).unwrap_err();
            assert!(why.contains("`x`") && why.contains("prefix"), "{why}");
        }
        assert_eq!(split("a://h?prefix=x", &["prefix"]).unwrap().0, "a://h");
        for bad in [
            "a://h?prefix",
            "a://h?prefix=%ff",
            "a://h?prefix=1&prefix=2",
        ] {
            split(bad, &["prefix"]).unwrap_err();
        }
    }

    #[test]
    fn a_password_file_holds_one_line() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(read_password(&path).unwrap().reveal(), "hunter2");
        std::fs::write(&path, "\n").unwrap();
        assert!(read_password(&path).unwrap_err().contains("empty"));
        assert!(read_password(&home.path().join("none")).is_err());
    }
}
