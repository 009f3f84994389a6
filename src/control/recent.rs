//! The last lines of the log, kept for `emailproxy logs` wherever else they go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

/// How many lines are kept.
const LINES: usize = 10_000;

/// How many new lines a follower may fall behind before it misses some.
const BEHIND: usize = 1_024;

/// The last 10,000 log lines, and news of each further one. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Recent {
    lines: Arc<Mutex<VecDeque<Arc<str>>>>,
    news: broadcast::Sender<Arc<str>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            lines: Arc::default(),
            news: broadcast::channel(BEHIND).0,
        }
    }
}

impl Recent {
    /// Returns the lines kept, oldest first, and a receiver for those that follow them.
    pub fn lines(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        let lines = self.locked();
        (lines.iter().cloned().collect(), self.news.subscribe())
    }

    /// Keeps a line; its end may be there or not.
    pub fn keep(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let line: Arc<str> = Arc::from(text.trim_end());
        let mut lines = self.locked();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(Arc::clone(&line));
        // Nobody may be following.
        drop(self.news.send(line));
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_thousand_lines_are_kept_in_order() {
        let recent = Recent::default();
        for n in 0..10_005 {
            recent.keep(format!("line {n}\n").as_bytes());
        }
        let (lines, mut news) = recent.lines();
        assert_eq!(
            (lines.len(), lines[0].as_ref(), lines[9_999].as_ref()),
            (10_000, "line 5", "line 10004")
        );
        recent.keep(b"next");
        assert_eq!(news.try_recv().unwrap().as_ref(), "next");
    }
}
