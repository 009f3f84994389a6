//! Text that somebody else said, made harmless before it reaches a client, a log or a page.
//!
//! The one sanitiser: printable ASCII stays, everything else is escaped, long texts are cut. HTML escaping is the
//! page's own duty.

use std::fmt;

/// The most a log line or a page shows of a remote text, in bytes.
const LONG: usize = 1_000;

/// The most a mail client is shown of a remote text, in bytes.
const SHORT: usize = 200;

/// A remote side's text: one line of printable ASCII, at most 1,000 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Said(String);

impl Said {
    /// Makes a remote text harmless: control bytes and non-ASCII are escaped, line ends become blanks.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let mut out = String::new();
        for chunk in text.as_ref().utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\r' => {}
                    '\n' | '\t' => out.push(' '),
                    ' '..='~' => out.push(c),
                    _ => out.extend(c.escape_unicode()),
                }
                if out.len() > LONG {
                    return Self(cut(&out, LONG));
                }
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        Self(cut(out.trim(), LONG))
    }

    /// Returns the text as a log or page may show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as a mail client may be shown it: at most 200 bytes.
    pub fn short(&self) -> String {
        cut(&self.0, SHORT)
    }

    /// Returns whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Cuts printable ASCII at `most` bytes, showing that it was cut.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_comes_through() {
        assert_eq!(Said::new("a\r\nb\tc").as_str(), "a b c");
        assert_eq!(Said::new("\u{1b}[31mred").as_str(), "\\u{1b}[31mred");
        assert_eq!(Said::new(b"caf\xe9").as_str(), "caf\\xe9");
        assert_eq!(Said::new("é").as_str(), "\\u{e9}");
    }

    #[test]
    fn long_texts_are_cut_visibly() {
        let long = Said::new("x".repeat(10_000));
        assert_eq!(long.as_str().len(), 1_000);
        assert_eq!(long.short().len(), 200);
        assert!(long.short().ends_with("..."));
        assert!(Said::new("é".repeat(10_000)).as_str().len() <= 1_000);
    }
}
