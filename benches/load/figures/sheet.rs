//! The table of all figures, in Markdown.

use super::must::Must;
use super::{OURS, middle};

/// Who stands in the table, in this order.
const COLUMNS: [&str; 6] = ["direct", "nginx", "HAProxy", "stunnel", "predecessor", OURS];

/// One measure.
pub(crate) struct Row {
    /// What was measured, in which unit.
    pub(crate) name: String,
    /// How many digits behind the point make sense.
    pub(crate) digits: usize,
    /// Who was measured, and what came out each time.
    pub(crate) taken: Vec<(&'static str, Vec<f64>)>,
    /// What is asked.
    pub(crate) musts: Vec<Must>,
}

impl Row {
    /// A row of the proxy's own.
    pub(crate) fn ours(name: impl Into<String>, digits: usize, taken: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            digits,
            taken: vec![(OURS, taken)],
            musts: Vec::new(),
        }
    }

    /// Asks something of it.
    pub(crate) fn asking(mut self, must: Must) -> Self {
        self.musts.push(must);
        self
    }

    /// Returns the middle of what came out for one.
    pub(crate) fn middle(&self, whom: &str) -> Option<f64> {
        let (_, taken) = self.taken.iter().find(|(name, _)| *name == whom)?;
        (!taken.is_empty()).then(|| middle(taken.clone()))
    }

    /// Returns the least and the most that came out for the proxy, where there was more than one.
    fn spread(&self) -> Option<(f64, f64)> {
        let (_, taken) = self.taken.iter().find(|(name, _)| *name == OURS)?;
        let least = taken.iter().copied().min_by(f64::total_cmp)?;
        let most = taken.iter().copied().max_by(f64::total_cmp)?;
        (taken.len() > 1).then_some((least, most))
    }

    /// Words it.
    fn line(&self) -> String {
        let digits = self.digits;
        let mut text = format!("| {} |", self.name);
        for column in COLUMNS {
            match self.middle(column) {
                Some(middle) => text.push_str(&format!(" {middle:.digits$} |")),
                None => text.push_str(" |"),
            }
        }
        match self.spread() {
            Some((least, most)) => text.push_str(&format!(" {least:.digits$}–{most:.digits$} |")),
            None => text.push_str(" |"),
        }
        let verdicts: Vec<_> = self.musts.iter().map(|must| must.judge(self)).collect();
        let ratios: Vec<_> = verdicts
            .iter()
            .filter_map(|verdict| verdict.ratio.clone())
            .collect();
        let asked: Vec<_> = verdicts
            .iter()
            .map(|verdict| verdict.asked.clone())
            .collect();
        let met: Vec<_> = verdicts
            .iter()
            .map(|verdict| match verdict.met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "–",
            })
            .collect();
        let [ratios, asked, met] = [ratios.join(", "), asked.join(", "), met.join(", ")];
        text.push_str(&format!(" {ratios} | {asked} | {met} |"));
        text
    }
}

/// Returns the table's head.
pub(crate) fn head() -> String {
    format!(
        "| measure | {} | spread | ratio | must | met |\n|---{}|:---:|---|---|---|",
        COLUMNS.join(" | "),
        "|---:".repeat(COLUMNS.len())
    )
}

/// Prints rows as they come.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        println!("{}", row.line());
    }
}
