//! What is odd in a file but no reason to stop: misspelt names, settings in the wrong place, unfinished accounts.
//!
//! Sections that are none of the proxy's (prose under a heading of its own) pass in silence.

use super::account::Chain;
use super::ini::{DEFAULT, Section, whole_number};
use super::keys::{self, Kind, OPTIONS_SECTION};
use super::proof::Proof;
use super::{Options, credentials, scan, service, value};

/// Looks for everything odd.
pub(super) fn look(proof: &mut Proof<'_>, options: &Options) {
    for section in proof.ini.sections() {
        match kind(&section.name) {
            Some(kind) => {
                // What keeps an account from working is said once, of the account as a whole.
                let refused = kind == Kind::Account && account(proof, section, options);
                for key in &section.keys {
                    spelling(proof, key.line, &key.name, kind);
                    content(proof, section, &key.name, refused);
                }
            }
            None if section.name == DEFAULT => {
                for key in &section.keys {
                    if keys::home(&key.name).is_none() && !keys::is_free_text(&key.name) {
                        unknown(proof, key.line, &key.name, None);
                    }
                    content(proof, section, &key.name, false);
                }
            }
            None => stranger(proof, section),
        }
    }
}

/// Returns what a section is for, by its name.
pub(super) fn kind(name: &str) -> Option<Kind> {
    if name == OPTIONS_SECTION {
        Some(Kind::Options)
    } else if service::name(name).is_some() {
        Some(Kind::Service)
    } else if name.contains('@') {
        Some(Kind::Account)
    } else {
        None
    }
}

/// Looks at a key's name.
fn spelling(proof: &mut Proof<'_>, line: usize, key: &str, kind: Kind) {
    if keys::is_free_text(key) {
        return;
    }
    match keys::home(key) {
        Some(home) if !keys::belongs(key, kind) => proof.warn(
            line,
            format!(
                "`{key}` has no effect here; it belongs into {}",
                home.words()
            ),
        ),
        Some(_) if key == "plugins" => {
            proof.warn(line, "plugins are not supported; `plugins` has no effect");
        }
        Some(_) => {}
        None => unknown(proof, line, key, Some(kind)),
    }
}

/// Warns of a key nobody knows.
fn unknown(proof: &mut Proof<'_>, line: usize, key: &str, kind: Option<Kind>) {
    let all = [Kind::Options, Kind::Service, Kind::Account];
    let here: &[Kind] = kind.as_ref().map_or(&all, std::slice::from_ref);
    let near = keys::nearest(key, here.iter().flat_map(|&kind| keys::of(kind)));
    let key = scan::key_shown(key);
    proof.warn(
        line,
        match near {
            Some(near) => format!("{key} is not known and has no effect; did you mean `{near}`?"),
            None => format!("{key} is not known and has no effect"),
        },
    );
}

/// Looks at a value that is there but makes no sense. Placeholders of an account that is `refused` were spoken of.
fn content(proof: &mut Proof<'_>, section: &Section, key: &str, refused: bool) {
    let Some(found) = proof.ini.own(&section.name, key) else {
        return;
    };
    if keys::home(key).is_none() || found.value.is_empty() {
        return;
    }
    let fault = match key {
        "imap_server" | "pop_server" | "smtp_server" => value::upstream(found.value).err(),
        "allow_from" => value::networks(found.value).err(),
        "issuer" if !value::is_placeholder(found.value) => value::issuer(found.value).err(),
        "jwt_algorithm" if !["PS256", "RS256"].contains(&&*found.value.to_ascii_uppercase()) => {
            Some(format!(
                "{} is neither PS256 nor RS256",
                value::shown(found.value)
            ))
        }
        "use_pkce" if proof.ini.flag(found, key).is_none() => Some(format!(
            "{} is neither True nor False",
            value::shown(found.value)
        )),
        _ => None,
    };
    let number = ["token_iterations", "access_token_expiry"].contains(&key);
    if number && whole_number(found.value).is_none() {
        proof.warn(
            found.line,
            format!(
                "{key}: {} is no whole number and has no effect",
                value::shown(found.value)
            ),
        );
    }
    if let Some(fault) = fault {
        proof.complain(found.line, format!("{key}: {fault}"));
    } else if value::is_placeholder(found.value) {
        if !refused {
            proof.warn(
                found.line,
                format!("`{key}` still holds a placeholder; put your own value there"),
            );
        }
    } else if found.value.len() > 1 && found.value.starts_with('"') && found.value.ends_with('"') {
        proof.warn(
            found.line,
            format!(
                "the quotes around `{key}` are part of its value; remove them if they are not meant"
            ),
        );
    }
}

/// Looks at what an account section comes to as a whole; returns whether its logins will be refused.
fn account(proof: &mut Proof<'_>, section: &Section, options: &Options) -> bool {
    let name = &section.name;
    if name.starts_with('@') {
        if !options.allow_catch_all_accounts {
            proof.warn(
                section.line,
                format!("[{name}] has no effect while allow_catch_all_accounts is not True in [emailproxy]"),
            );
            return false;
        }
        let somebody = if name == "@" {
            "*".to_owned()
        } else {
            format!("*{name}")
        };
        if let Some(chain) = Chain::of(proof.ini, &somebody, true) {
            credentials::look(proof, &chain);
        }
        return false;
    }
    let Some(chain) = Chain::of(proof.ini, name, options.allow_catch_all_accounts) else {
        return false;
    };
    credentials::look(proof, &chain);
    let refused = chain.check();
    if let Err(why) = &refused {
        proof.warn(
            section.line,
            format!("logins as {name} will be refused: {why}"),
        );
    }
    refused.is_err()
}

/// Looks at a section whose name means nothing: perhaps it was to mean something.
fn stranger(proof: &mut Proof<'_>, section: &Section) {
    let shown = value::shown(&section.name);
    if let Some(meant) = meant(&section.name) {
        proof.warn(
            section.line,
            format!("the section {shown} has no effect; did you mean [{meant}]?"),
        );
        return;
    }
    let telling = |key: &str| match key {
        "server_address" | "server_port" => Some("a service's name is like IMAP-2993"),
        "client_id" | "token_url" => Some("an account's name has an @"),
        _ => None,
    };
    if let Some(rule) = section.keys.iter().find_map(|key| telling(&key.name)) {
        proof.warn(
            section.line,
            format!("the section {shown} has no effect under this name: {rule}"),
        );
    }
}

/// Returns the name a misspelt section name was to be.
fn meant(name: &str) -> Option<String> {
    let compact: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let upper = compact.to_ascii_uppercase();
    for word in ["IMAP", "POP3", "POP", "SMTP"] {
        let Some(rest) = upper.strip_prefix(word) else {
            continue;
        };
        let digits = rest.strip_prefix('S').unwrap_or(rest);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            let word = if word == "POP3" { "POP" } else { word };
            return Some(format!("{word}-{digits}"));
        }
    }
    if upper == DEFAULT {
        return Some(DEFAULT.to_owned());
    }
    keys::nearest(&compact, [OPTIONS_SECTION]).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_sections_are_recognised() {
        for (name, right) in [
            ("imap-1993", Some("IMAP-1993")),
            ("IMAP-1993 ", Some("IMAP-1993")),
            ("imap 1993", Some("IMAP-1993")),
            ("IMAP_1993", Some("IMAP-1993")),
            ("POP3-1995", Some("POP-1995")),
            ("SMTPS-1465", Some("SMTP-1465")),
            ("Emailproxy", Some("emailproxy")),
            ("email proxy", Some("emailproxy")),
            ("default", Some("DEFAULT")),
            ("Server setup", None),
            ("IMAP-", None),
        ] {
            assert_eq!(meant(name).as_deref(), right, "{name:?}");
        }
    }
}
