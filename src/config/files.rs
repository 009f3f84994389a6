//! Which files a configuration names: under which key, in which line.
//!
//! Looks at the text alone, whether or not the rest of it can be used. Opens nothing.

use std::path::{Path, PathBuf};

use super::account::Chain;
use super::ini::{DEFAULT, Ini};
use super::{StoreKey, oddities, options, value};

/// Keys whose values name files that are read.
const READ: [&str; 7] = [
    "ca_file",
    "local_certificate_path",
    "local_key_path",
    "local_client_ca_path",
    "jwt_certificate_path",
    "jwt_key_path",
    "client_assertion_file",
];

/// A file that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The section, without brackets.
    pub section: String,
    /// The key.
    pub key: &'static str,
    /// The line of the value, counted from 1.
    pub line: usize,
    /// The file: as named, or beside the configuration file.
    pub path: PathBuf,
}

/// Lists the files that the text of `config` names now. Nothing where it cannot be read or is no ini text.
pub fn named_in(config: &Path) -> Vec<NamedFile> {
    let text = std::fs::read_to_string(config).ok();
    let ini = text.and_then(|text| Ini::parse(&text).ok());
    ini.map(|ini| named(&ini, config)).unwrap_or_default()
}

/// Lists the files that an ini names. `config` is where it is.
pub(super) fn named(ini: &Ini, config: &Path) -> Vec<NamedFile> {
    let mut files = Vec::new();
    for section in ini.sections() {
        if section.name != DEFAULT && oddities::kind(&section.name).is_none() {
            continue;
        }
        for key in &section.keys {
            let Some(found) = ini.own(&section.name, &key.name) else {
                continue;
            };
            if found.value.is_empty() || value::is_placeholder(found.value) {
                continue;
            }
            let path = if key.name == "store_key" {
                match options::store_key(found.value, config) {
                    Ok(StoreKey::File(path)) => Some(("store_key", path)),
                    _ => None,
                }
            } else {
                let known = READ.into_iter().find(|read| *read == key.name);
                known.map(|key| (key, value::file(found.value, config)))
            };
            files.extend(path.map(|(key, path)| NamedFile {
                section: section.name.clone(),
                key,
                line: found.line,
                path,
            }));
        }
        files.extend(service_account_key(ini, &section.name, config));
    }
    files
}

/// Finds the file with a service account's key, which an account may also inherit.
fn service_account_key(ini: &Ini, section: &str, config: &Path) -> Option<NamedFile> {
    let somebody = match section.strip_prefix('@') {
        Some("") => "*".to_owned(),
        Some(domain) => format!("*@{domain}"),
        None => section.to_owned(),
    };
    let chain = Chain::of(ini, &somebody, true)?;
    let (grant, _) = chain.grant().ok()?;
    let path = chain.key_file(grant, config)?;
    let found = chain.find("client_secret")?;
    Some(NamedFile {
        section: found.section.to_owned(),
        key: "client_secret",
        line: found.line,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_with_key_and_line() {
        let text = "\
[IMAP-1]
local_certificate_path = /c/cert.pem
local_key_path =
[@example.com]
oauth2_flow = service_account
client_id = file
client_secret = /k/key.json
[me@example.org]
client_assertion_file = /a/token
client_secret = hunter2
[emailproxy]
ca_file = /ca/ca.pem
store_key = file:/s/store.key
[notes]
ca_file = /not/meant
";
        let ini = Ini::parse(text).unwrap();
        let found = named(&ini, Path::new("/e/emailproxy.ini"));
        let found: Vec<_> = found
            .iter()
            .map(|file| (file.key, file.line, file.path.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("local_certificate_path", 2, "/c/cert.pem"),
                ("client_secret", 7, "/k/key.json"),
                ("client_assertion_file", 9, "/a/token"),
                ("ca_file", 12, "/ca/ca.pem"),
                ("store_key", 13, "/s/store.key"),
            ]
        );
    }
}
