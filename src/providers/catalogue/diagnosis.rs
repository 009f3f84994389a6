//! One failure, told apart into what happened, whose move it is, why, and what to do: for `status`, pages and programs.

use std::fmt;

use super::{Class, Known, Meaning, fill};

/// A failure as it is told apart from the log: what happened, whose move it is, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What happened, in the provider's words where they are its own.
    pub words: String,
    /// Whose move it is.
    pub class: Class,
    /// Why.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl Diagnosis {
    /// Makes one of our own words.
    pub fn of(words: impl Into<String>, means: &'static Meaning, known: &Known) -> Self {
        Self {
            words: words.into(),
            class: means.class,
            cause: fill(means.cause, known),
            remedy: fill(means.remedy, known),
        }
    }
}

/// All in one line. Where the words hold the remedy already, they stand alone.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.contains(&self.remedy) {
            return f.write_str(&self.words);
        }
        write!(f, "{}; {}; {}", self.words, self.cause, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::catalogue::own;

    #[test]
    fn nothing_is_said_twice() {
        let nothing = Known::default();
        let one = Diagnosis::of("it broke", &own::NO_PASSWORD, &nothing);
        assert_eq!(one.to_string(), format!("it broke; {}", own::NO_PASSWORD));
        let same = Diagnosis::of(own::NO_PASSWORD.to_string(), &own::NO_PASSWORD, &nothing);
        assert_eq!(same.to_string(), own::NO_PASSWORD.to_string());
    }
}
