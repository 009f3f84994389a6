//! Text that somebody else said, made harmless before it reaches a client, a log or a page.
//!
//! The one sanitiser: printable ASCII stays, everything else is escaped, long texts are cut. HTML escaping is the
//! page's own duty. Where the error catalogue knows what is meant, that stands behind the words.

use std::fmt;

use crate::providers::catalogue::{Advice, Entry, Known};

/// The most a log line or a page shows of a remote text, in bytes.
const LONG: usize = 1_000;

/// The most a mail client is shown of a remote text, in bytes.
const SHORT: usize = 200;

/// The most that marks may take of it, in bytes.
const MARKS: usize = 160;

/// The least that a mail client is shown of the words themselves where advice stands behind them, in bytes.
const WORDS: usize = 110;

/// A remote side's text: one line of printable ASCII, at most 1,000 bytes. It may end in marks, such as the id of a case,
/// which are never cut away. `Display` has behind the words what the error catalogue knows about them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Said {
    text: String,
    /// How many bytes at the end are marks.
    marks: usize,
    advice: Option<Box<Advice>>,
}

impl Said {
    /// Makes a remote text harmless: control bytes and non-ASCII are escaped, line ends become blanks.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        Self {
            text: harmless(text.as_ref(), LONG),
            marks: 0,
            advice: None,
        }
    }

    /// The same with marks at the end, at most 160 bytes of them: where the text is cut, it is cut before these.
    pub fn with_marks(text: impl AsRef<[u8]>, marks: impl AsRef<[u8]>) -> Self {
        let marks = match marks.as_ref() {
            b"" => String::new(),
            marks => format!(" {}", harmless(marks, MARKS)),
        };
        Self {
            text: harmless(text.as_ref(), LONG - marks.len()) + &marks,
            marks: marks.len(),
            advice: None,
        }
    }

    /// Adds what the error catalogue knows about it.
    #[must_use]
    pub fn explained(self, entry: Option<&'static Entry>) -> Self {
        let advice = entry.map(|entry| Box::new(Advice::of(entry)));
        Self {
            advice: advice.or(self.advice),
            ..self
        }
    }

    /// Fills in what is known of the case.
    #[must_use]
    pub fn for_case(self, known: &Known) -> Self {
        let filled = |advice: Box<Advice>| Box::new(advice.for_case(known));
        Self {
            advice: self.advice.map(filled),
            ..self
        }
    }

    /// Returns what the error catalogue knows about it.
    pub fn advice(&self) -> Option<&Advice> {
        self.advice.as_deref()
    }

    /// Returns the words and marks alone, as a log or page may show them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the marks at its end.
    pub fn marks(&self) -> &str {
        self.parts().1
    }

    /// Returns the text as a mail client may be shown it: at most 200 bytes, and the marks.
    pub fn short(&self) -> String {
        self.short_behind("")
    }

    /// The same with an introduction of ours, which counts as part of the words. Of what is known about them the client is
    /// shown the remedy first, and the cause too where there is room.
    pub fn short_behind(&self, introduction: &str) -> String {
        let (text, marks) = self.parts();
        let text = format!("{introduction}{text}");
        let Some(advice) = &self.advice else {
            return cut(&text, SHORT) + marks;
        };
        let (text, both, remedy) = (stop(&text), advice.to_string(), advice.remedy());
        let whole = format!("{text}; {both}");
        if whole.len() <= SHORT {
            return whole + marks;
        }
        let room = SHORT.saturating_sub("; ".len());
        let words = cut(text, room.saturating_sub(remedy.len()).max(WORDS));
        let remedy = cut(&remedy, room.saturating_sub(words.len()));
        format!("{words}; {remedy}{marks}")
    }

    /// Returns what `Display` has behind the words: advice and marks.
    pub fn tail(&self) -> String {
        let marks = self.marks();
        match &self.advice {
            Some(advice) => format!("; {advice}{marks}"),
            None => marks.to_owned(),
        }
    }

    fn parts(&self) -> (&str, &str) {
        let end = self.text.len() - self.marks;
        self.text.split_at_checked(end).unwrap_or((&self.text, ""))
    }

    /// Returns whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(advice) = &self.advice else {
            return f.write_str(&self.text);
        };
        let (text, marks) = self.parts();
        write!(f, "{}; {advice}{marks}", stop(text))
    }
}

/// Takes the full stop off a text behind which more is to stand.
fn stop(text: &str) -> &str {
    text.trim_end_matches('.')
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Escapes what is not printable ASCII, and cuts what is longer than `most` bytes.
fn harmless(text: &[u8], most: usize) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => {}
                ' ' | '\n' | '\t' if out.is_empty() => {}
                '\n' | '\t' => out.push(' '),
                ' '..='~' => out.push(c),
                _ => out.extend(c.escape_unicode()),
            }
            if out.len() > most {
                return cut(&out, most);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
        if out.len() > most {
            return cut(&out, most);
        }
    }
    cut(out.trim_end(), most)
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
        assert_eq!(Said::new([0xff; 10_000]).as_str().len(), 1_000);
        // Once more changes nothing.
        let long = Said::new(format!("\n\t {}", "x".repeat(2_000)));
        assert_eq!(Said::new(long.as_str()), long);
        assert!(long.as_str().starts_with('x'));
        for exact in [199, 200] {
            assert_eq!(Said::new("x".repeat(exact)).short().len(), exact);
        }
        let whole = "x".repeat(1_000);
        assert_eq!(Said::new(&whole).as_str(), whole);
    }

    #[test]
    fn advice_stands_behind_the_words_and_is_shown_to_clients_first() {
        let entry = crate::providers::catalogue::token_error("invalid_client", Some(7_000_215), "");
        let said = Said::with_marks("no such secret.", "(trace_id 1)").explained(entry);
        let advice = said.advice().unwrap().clone();
        let shown = said.to_string();
        assert_eq!(shown, format!("no such secret; {advice} (trace_id 1)"));
        assert!(shown.ends_with(&said.tail()));
        assert_eq!(said.as_str(), "no such secret. (trace_id 1)");
        let long = Said::with_marks("x".repeat(10_000), "(trace_id 1)").explained(entry);
        let short = long.short_behind("it said: ");
        let (words, remedy) = short.split_once("...; ").unwrap();
        assert_eq!(words.len(), WORDS - "...".len());
        assert!(
            remedy.starts_with("put the client secret's Value, not its ID, into client_secret")
        );
        assert_eq!(short.len(), SHORT + " (trace_id 1)".len(), "{short}");
        let entry = crate::providers::catalogue::token_error("slow_down", None, "");
        let short = Said::new("slow").explained(entry).short();
        assert_eq!(short, format!("slow; {}", entry.unwrap().means));
        let known = Known {
            client_id: Some("app-1".into()),
            ..Default::default()
        };
        assert!(said.for_case(&known).to_string().contains("> app-1 >"));
    }

    #[test]
    fn marks_are_never_cut_away() {
        let id = "(trace_id 7f1d0c9e-0000-4000-8000-000000000001)";
        let long = Said::with_marks("x".repeat(10_000), format!(" {id}\r\n"));
        assert_eq!(long.as_str().len(), 1_000);
        assert!(long.as_str().ends_with(&format!("... {id}")), "{long}");
        assert_eq!(long.short().len(), 200 + 1 + id.len());
        assert!(long.short().ends_with(&format!("... {id}")));
        assert_eq!(Said::with_marks("no", "").short(), "no");
        let huge = Said::with_marks("x", "y".repeat(10_000));
        assert!(huge.as_str().len() <= 170, "{huge}");
    }
}
