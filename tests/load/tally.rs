//! What clients were told against what arrived.

use std::collections::{HashMap, HashSet};

use crate::letter::Name;
use crate::sender::Verdict;

/// The account of a run, attempt by attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Accepted, and arrived once.
    pub(crate) arrived: usize,
    /// Accepted, and never arrived.
    pub(crate) lost: usize,
    /// Arrived under more than one number of Postfix's queue, or under another than was told.
    pub(crate) duplicated: usize,
    /// Refused, or cut with no answer.
    pub(crate) unanswered: usize,
    /// Cut with no answer, and yet arrived, once: the uncertainty that SMTP has (RFC 1047).
    pub(crate) arrived_unanswered: usize,
    /// Refused in words, and yet arrived.
    pub(crate) arrived_refused: usize,
    /// Arrived, and nobody sent it.
    pub(crate) unheard_of: usize,
    /// Delivered again by Postfix, under the same number, since it was killed during the first time.
    pub(crate) redelivered: usize,
}

impl Tally {
    /// Draws it up.
    pub(crate) fn draw_up(
        verdicts: &HashMap<Name, Verdict>,
        arrivals: &HashMap<Name, Vec<String>>,
    ) -> Self {
        let mut tally = Self::default();
        for (name, verdict) in verdicts {
            let came = arrivals.get(name).map(Vec::as_slice).unwrap_or_default();
            let numbers: HashSet<&str> = came.iter().map(String::as_str).collect();
            tally.redelivered += came.len() - numbers.len();
            match verdict {
                Verdict::Accepted(number) => {
                    let as_told = numbers.contains(number.as_str());
                    tally.lost += usize::from(numbers.is_empty());
                    tally.arrived += usize::from(numbers.len() == 1 && as_told);
                    tally.duplicated +=
                        usize::from(numbers.len() > 1 || (!numbers.is_empty() && !as_told));
                }
                Verdict::Refused(_) | Verdict::Cut => {
                    let refused = matches!(verdict, Verdict::Refused(_));
                    tally.unanswered += 1;
                    tally.duplicated += usize::from(numbers.len() > 1);
                    tally.arrived_refused += usize::from(refused && !numbers.is_empty());
                    tally.arrived_unanswered += usize::from(!refused && numbers.len() == 1);
                }
            }
        }
        let strange = arrivals.keys().filter(|name| !verdicts.contains_key(name));
        tally.unheard_of = strange.count();
        tally
    }

    /// Fails the test where a promise was broken.
    pub(crate) fn assert_kept(&self, mails: u64) {
        let broken = [
            self.lost,
            self.duplicated,
            self.arrived_refused,
            self.unheard_of,
        ];
        assert!(broken == [0; 4], "{self:?}");
        assert_eq!(u64::try_from(self.arrived).unwrap(), mails, "{self:?}");
    }
}

#[test]
fn broken_promises_are_seen() {
    let accepted = |number: &str| Verdict::Accepted(number.into());
    let verdicts = HashMap::from([
        ((1, 1), accepted("A")),
        ((2, 1), accepted("B")),
        ((3, 1), accepted("C")),
        ((4, 1), accepted("D")),
        ((5, 1), Verdict::Cut),
        ((6, 1), Verdict::Cut),
        ((7, 1), Verdict::Refused("451 no".into())),
        ((8, 1), Verdict::Cut),
    ]);
    let came = |numbers: &[&str]| numbers.iter().map(|&number| number.to_owned()).collect();
    let arrivals = HashMap::from([
        ((1, 1), came(&["A", "A"])),
        ((3, 1), came(&["C", "X"])),
        ((4, 1), came(&["Y"])),
        ((5, 1), came(&["E"])),
        ((7, 1), came(&["F"])),
        ((8, 1), came(&["G", "H"])),
        ((9, 1), came(&["I"])),
    ]);
    let tally = Tally::draw_up(&verdicts, &arrivals);
    let expected = Tally {
        arrived: 1,
        lost: 1,
        duplicated: 3,
        unanswered: 4,
        arrived_unanswered: 1,
        arrived_refused: 1,
        unheard_of: 1,
        redelivered: 1,
    };
    assert_eq!(tally, expected);
}
