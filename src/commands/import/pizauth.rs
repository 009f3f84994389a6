//! The settings of pizauth: `account "NAME" { key = value; ... }`.
//!
//! Pure. Its tokens live in its memory, or in a dump that only it can read.

use std::iter::Peekable;
use std::str::Chars;

use super::found::Found;
use crate::secret::Secret;

/// One word of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// `account`, a key, or a time.
    Bare(String),
    /// `"..."`
    Quoted(String),
    /// One of `= , : ; { } [ ]`.
    Sign(char),
}

/// A value.
enum Value {
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// Reads the accounts; nothing where the text is no such file.
pub(super) fn read(text: &str) -> Option<Vec<Found>> {
    let mut words = words(text)?.into_iter().peekable();
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        match (word, words.next()?) {
            (Word::Bare(key), Word::Quoted(name)) if key == "account" => {
                take(&mut words, '{')?;
                all.push(account(name, &mut words)?);
            }
            (Word::Bare(_), Word::Sign('=')) => {
                value(&mut words)?;
                take(&mut words, ';')?;
            }
            _ => return None,
        }
    }
    (!all.is_empty()).then_some(all)
}

/// Reads one account up to its closing brace.
fn account(name: String, words: &mut Peekable<impl Iterator<Item = Word>>) -> Option<Found> {
    let mut found = Found::default();
    loop {
        match words.next()? {
            Word::Sign('}') => break,
            Word::Bare(key) => {
                take(words, '=')?;
                let value = value(words)?;
                take(words, ';')?;
                note(&mut found, &key, value);
            }
            _ => return None,
        }
    }
    if found.account.is_none() && name.contains('@') {
        found.account = Some(name);
    } else {
        found.application = Some(format!("pizauth {name}"));
    }
    Some(found)
}

fn note(found: &mut Found, key: &str, value: Value) {
    match (key, value) {
        ("auth_uri", Value::Text(text)) => found.permission_url = Some(text),
        ("token_uri", Value::Text(text)) => found.token_url = Some(text),
        ("client_id", Value::Text(text)) => found.client_id = Some(text),
        ("client_secret", Value::Text(text)) => found.client_secret = Some(Secret::new(text)),
        ("redirect_uri", Value::Text(text)) => found.redirect_uri = Some(text),
        ("login_hint", Value::Text(text)) => found.account = Some(text),
        ("scopes", Value::List(scopes)) => found.scope = Some(scopes.join(" ")),
        ("auth_uri_fields", Value::Pairs(pairs)) => {
            for (name, text) in pairs {
                if name == "login_hint" {
                    found.account = Some(text);
                } else {
                    found.left.push(format!(
                        "the field `{}` of auth_uri_fields",
                        crate::said::Said::new(&name)
                    ));
                }
            }
        }
        // How often it refreshes is decided here by the token's own life.
        (key, _) if key.starts_with("refresh_") => {}
        (key, _) => found
            .left
            .push(format!("`{}`", crate::said::Said::new(key))),
    }
}

fn take(words: &mut impl Iterator<Item = Word>, sign: char) -> Option<()> {
    (words.next()? == Word::Sign(sign)).then_some(())
}

fn value(words: &mut Peekable<impl Iterator<Item = Word>>) -> Option<Value> {
    match words.next()? {
        Word::Quoted(text) | Word::Bare(text) => Some(Value::Text(text)),
        Word::Sign('[') => {
            let mut list = Vec::new();
            loop {
                match words.next()? {
                    Word::Sign(']') => return Some(Value::List(list)),
                    Word::Sign(',') => {}
                    Word::Quoted(text) => list.push(text),
                    _ => return None,
                }
            }
        }
        Word::Sign('{') => {
            let mut pairs = Vec::new();
            loop {
                match words.next()? {
                    Word::Sign('}') => return Some(Value::Pairs(pairs)),
                    Word::Sign(',') => {}
                    Word::Quoted(key) => {
                        take(words, ':')?;
                        let Word::Quoted(text) = words.next()? else {
                            return None;
                        };
                        pairs.push((key, text));
                    }
                    _ => return None,
                }
            }
        }
        Word::Sign(_) => None,
    }
}

/// Splits a text into words; nothing where a sign belongs to no such file.
fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            _ if c.is_whitespace() => {}
            '/' if rest.next_if_eq(&'/').is_some() => {
                while rest.next_if(|&c| c != '\n').is_some() {}
            }
            '"' => words.push(Word::Quoted(quoted(&mut rest)?)),
            '=' | ',' | ':' | ';' | '{' | '}' | '[' | ']' => words.push(Word::Sign(c)),
            _ if is_bare(c) => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|&c| is_bare(c)) {
                    word.push(c);
                }
                words.push(Word::Bare(word));
            }
            _ => return None,
        }
    }
    Some(words)
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads to the closing quote; a backslash makes the next quote or backslash ordinary.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => match rest.next_if(|c| matches!(c, '"' | '\\')) {
                Some(c) => text.push(c),
                None => text.push('\\'),
            },
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"
// how people are told
auth_notify_cmd = "notify-send \"$PIZAUTH_ACCOUNT\"";
auth_notify_interval = 15m;
account "office" {
    auth_uri = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize";
    token_uri = "https://login.microsoftonline.com/common/oauth2/v2.0/token";
    client_id = "abc"; // ours
    client_secret = "s\\e\"c";
    scopes = [
        "https://outlook.office365.com/IMAP.AccessAsUser.All",
        "offline_access",
    ];
    auth_uri_fields = { "login_hint": "u@example.org", "prompt": "select_account" };
    refresh_at_least = 90m;
}
account "v@example.org" { token_uri = "https://t.example/"; client_id = "x"; redirect_uri = "http://localhost:1/"; }
account "bare" { client_id = "y"; }
"#;

    #[test]
    fn accounts_are_taken_with_what_they_say() {
        let all = read(FILE).unwrap();
        let names: Vec<_> = all.iter().map(|found| found.account.as_deref()).collect();
        assert_eq!(names, [Some("u@example.org"), Some("v@example.org"), None]);
        assert_eq!(all[0].client_secret.as_ref().unwrap().reveal(), "s\\e\"c");
        assert_eq!(
            all[0].scope.as_deref(),
            Some("https://outlook.office365.com/IMAP.AccessAsUser.All offline_access")
        );
        assert_eq!(all[0].left, ["the field `prompt` of auth_uri_fields"]);
        assert_eq!(all[1].redirect_uri.as_deref(), Some("http://localhost:1/"));
        assert!(all[1].left.is_empty());
    }

    #[test]
    fn other_texts_are_not_taken() {
        for text in [
            "",
            "account",
            "account \"x\"",
            "account \"x\" {",
            "account \"x\" { client_id }",
            "account \"x\" { client_id = \"y\" }",
            "account \"x\" { scopes = [ y ]; }",
            "http_listen = \"127.0.0.1:0\";",
            "[section]\nkey = value\n",
            "{\"a\": \"b\"}",
            "account \"unclosed",
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(text in "[ac\\\\\"{}\\[\\]=;:,/ \n]{0,80}") {
            drop(read(&text));
            drop(read(&format!("account \"x\" {{{text}")));
        }
    }
}
