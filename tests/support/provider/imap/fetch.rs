//! What FETCH gives: the items asked for, and the answer's bytes.

use super::super::mailbox::Mail;
use super::words;

/// One thing asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `FLAGS`.
    Flags,
    /// `UID`.
    Uid,
    /// `RFC822.SIZE`.
    Size,
    /// `INTERNALDATE`.
    Date,
    /// `BODY[..]` and its relatives.
    Body {
        /// How the answer calls it.
        name: String,
        /// What stands in the brackets, upper case.
        section: String,
        /// `<from.count>`.
        part: Option<(usize, usize)>,
        /// Whether looking leaves `\Seen` alone.
        peek: bool,
    },
}

impl Item {
    /// Returns whether fetching it sets `\Seen`.
    pub fn marks_seen(&self) -> bool {
        matches!(self, Self::Body { peek: false, .. })
    }
}

/// Reads what is asked for. What this server does not know is left out.
pub fn items(text: &str, by_uid: bool) -> Vec<Item> {
    let inner = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(text);
    let mut items = Vec::new();
    if by_uid {
        items.push(Item::Uid);
    }
    for word in words::split(inner.as_bytes()) {
        let word = String::from_utf8_lossy(&word).into_owned();
        match word.to_ascii_uppercase().as_str() {
            "FLAGS" => items.push(Item::Flags),
            "UID" if by_uid => {}
            "UID" => items.push(Item::Uid),
            "RFC822.SIZE" => items.push(Item::Size),
            "INTERNALDATE" => items.push(Item::Date),
            "ALL" | "FAST" | "FULL" => {
                items.extend([Item::Flags, Item::Date, Item::Size]);
            }
            "RFC822" => items.push(whole("RFC822", "", false)),
            "RFC822.HEADER" => items.push(whole("RFC822.HEADER", "HEADER", true)),
            "RFC822.TEXT" => items.push(whole("RFC822.TEXT", "TEXT", false)),
            _ => items.extend(body(&word)),
        }
    }
    items
}

fn whole(name: &str, section: &str, peek: bool) -> Item {
    Item::Body {
        name: name.into(),
        section: section.into(),
        part: None,
        peek,
    }
}

/// Reads `BODY[section]<from.count>` and `BODY.PEEK[..]`.
fn body(word: &str) -> Option<Item> {
    let (kind, rest) = word.split_once('[')?;
    let peek = kind.eq_ignore_ascii_case("BODY.PEEK");
    if !peek && !kind.eq_ignore_ascii_case("BODY") {
        return None;
    }
    let (section, part) = rest.rsplit_once(']')?;
    let part = match part.strip_prefix('<') {
        None => None,
        Some(part) => {
            let (from, count) = part.strip_suffix('>')?.split_once('.')?;
            Some((from.parse().ok()?, count.parse().ok()?))
        }
    };
    let from = part.map_or(String::new(), |(from, _)| format!("<{from}>"));
    Some(Item::Body {
        name: format!("BODY[{section}]{from}"),
        section: section.to_ascii_uppercase(),
        part,
        peek,
    })
}

/// Makes the answer for one message.
pub fn answer(number: usize, mail: &Mail, items: &[Item]) -> Vec<u8> {
    let mut out = format!("* {number} FETCH (").into_bytes();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        match item {
            Item::Flags => out.extend(format!("FLAGS ({})", mail.flags.join(" ")).bytes()),
            Item::Uid => out.extend(format!("UID {}", mail.uid).bytes()),
            Item::Size => out.extend(format!("RFC822.SIZE {}", mail.content.len()).bytes()),
            Item::Date => out.extend_from_slice(br#"INTERNALDATE "01-Jan-2026 12:00:00 +0000""#),
            Item::Body {
                name,
                section,
                part,
                ..
            } => {
                let whole = cut(&mail.content, section);
                let shown = match *part {
                    None => &whole[..],
                    Some((from, count)) => {
                        let from = from.min(whole.len());
                        &whole[from..(from + count).min(whole.len())]
                    }
                };
                out.extend(format!("{name} {{{}}}\r\n", shown.len()).bytes());
                out.extend_from_slice(shown);
            }
        }
    }
    out.extend_from_slice(b")\r\n");
    out
}

/// Cuts a section out of a mail. Parts of a multipart are not told apart.
fn cut(content: &[u8], section: &str) -> Vec<u8> {
    let split = content
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(content.len(), |at| at + 4);
    let (header, text) = content.split_at(split);
    if let Some(fields) = section.strip_prefix("HEADER.FIELDS") {
        let wanted: Vec<&str> = fields
            .trim_matches([' ', '(', ')'])
            .split_whitespace()
            .collect();
        let mut out = Vec::new();
        let mut keep = false;
        for line in header.split_inclusive(|&byte| byte == b'\n') {
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
                let name = String::from_utf8_lossy(name).to_ascii_uppercase();
                keep = wanted.contains(&name.as_str());
            }
            if keep {
                out.extend_from_slice(line);
            }
        }
        out.extend_from_slice(b"\r\n");
        return out;
    }
    match section {
        "HEADER" => header.to_vec(),
        "TEXT" | "1" => text.to_vec(),
        _ => content.to_vec(),
    }
}
