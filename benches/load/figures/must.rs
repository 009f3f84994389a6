//! What is asked of a figure, and whether it was reached.

use super::sheet::Row;

/// What is asked of the proxy's figure.
#[derive(Clone, Debug)]
pub(crate) enum Must {
    /// At most so many times another's.
    Most(f64, &'static str),
    /// At least so many times another's.
    Least(f64, &'static str),
    /// At most so much, and what that is.
    AtMost(f64, &'static str),
}

/// How a figure stands to what is asked of it.
pub(crate) struct Verdict {
    /// Its ratio to another's, in words, where it is compared.
    pub(crate) ratio: Option<String>,
    /// What is asked, in words.
    pub(crate) asked: String,
    /// Whether that was reached, where both were measured.
    pub(crate) met: Option<bool>,
}

impl Must {
    /// Judges a row.
    pub(crate) fn judge(&self, row: &Row) -> Verdict {
        let ours = row.middle(super::OURS);
        match *self {
            Self::Most(most, whom) => {
                let ratio = ours.zip(row.middle(whom)).map(|(ours, other)| ours / other);
                Verdict {
                    ratio: ratio.map(|ratio| format!("{} {whom}", word(ratio))),
                    asked: format!("≤ {} × {whom}", word(most)),
                    met: ratio.map(|ratio| ratio <= most),
                }
            }
            Self::Least(least, whom) => {
                let ratio = ours.zip(row.middle(whom)).map(|(ours, other)| ours / other);
                Verdict {
                    ratio: ratio.map(|ratio| format!("{} {whom}", word(ratio))),
                    asked: format!("≥ {} × {whom}", word(least)),
                    met: ratio.map(|ratio| ratio >= least),
                }
            }
            Self::AtMost(most, what) => Verdict {
                ratio: None,
                asked: if what.is_empty() {
                    format!("≤ {}", number(most, row.digits))
                } else {
                    format!("≤ {} ({what})", number(most, row.digits))
                },
                met: ours.map(|ours| ours <= most),
            },
        }
    }
}

/// Words a ratio so that it can be read: `1/450` rather than 0.0022.
fn word(ratio: f64) -> String {
    if ratio < 0.05 {
        format!("1/{:.0}", 1.0 / ratio)
    } else if ratio >= 20.0 {
        format!("{ratio:.0}")
    } else {
        number(ratio, 2)
    }
}

/// Words a number with so many digits behind the point, without idle ones.
fn number(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}
