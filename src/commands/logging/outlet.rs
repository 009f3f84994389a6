//! Lines on their way to something slow: whoever logs never waits, and what the far end does not take in time is lost and
//! counted.
//!
//! Lines that come close together are written together: to wake a thread and to write costs more than to word a line. Does
//! not know what stands in a line, nor what the far end is.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// How much may wait, in bytes. Beyond it lines are lost until half of it is gone.
const MOST: usize = 1024 * 1024;

/// How much is written at once, in bytes, unless a single line is longer.
const TOGETHER: usize = 16 * 1024;

/// How long the first line waits for others.
const GATHER: Duration = Duration::from_millis(20);

/// How long a far end that failed is left alone; lines that come meanwhile are lost.
const PAUSE: Duration = Duration::from_secs(1);

/// How often at most it is said that a far end fails.
const REMINDER: Duration = Duration::from_secs(60);

/// How long the end of the program waits for what is still to be written.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where lines end up.
pub(super) trait FarEnd: Send + 'static {
    /// Writes whole lines, all of them, or fails; may block.
    fn put(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// Puts lines on their way. Cloning shares it.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Queue>);

/// The thread that writes. Dropping it has what waits written, for 1 s at most.
pub(super) struct Writing {
    queue: Arc<Queue>,
    done: mpsc::Receiver<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Whether the thread that writes has to be woken.
    sleeps: bool,
    /// Whether lines are being lost.
    overflows: bool,
    lost: u64,
    closed: bool,
}

/// Lines that are written together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

/// Begins to write to a far end; `name` stands for it in the log.
pub(super) fn begin(name: String, far: impl FarEnd) -> io::Result<(Outlet, Writing)> {
    let queue = Arc::new(Queue::default());
    let (tell, done) = mpsc::channel();
    let lines = Arc::clone(&queue);
    thread::Builder::new().name("log".into()).spawn(move || {
        write(&lines, &name, far);
        // Whoever waited for this may have given up.
        tell.send(()).ok();
    })?;
    let outlet = Outlet(Arc::clone(&queue));
    Ok((outlet, Writing { queue, done }))
}

fn write(queue: &Queue, name: &str, mut far: impl FarEnd) {
    let mut missing: u64 = 0;
    let mut failed: Option<Instant> = None;
    let mut said: Option<Instant> = None;
    while let Some((batch, lost)) = queue.next() {
        if lost > 0 {
            warn!("{name} did not take log lines in time; {lost} lines are missing there");
        }
        if failed.is_some_and(|at| at.elapsed() < PAUSE) {
            missing += batch.lines;
            continue;
        }
        match far.put(&batch.text) {
            Ok(()) if failed.take().is_some() => {
                info!("{name} takes log lines again; {missing} are missing there");
                missing = 0;
            }
            Ok(()) => {}
            Err(error) => {
                missing += batch.lines;
                failed = Some(Instant::now());
                if said.is_none_or(|at| at.elapsed() >= REMINDER) {
                    said = Some(Instant::now());
                    warn!(
                        "could not write log lines to {name}: {error}; they are missing there until that works again"
                    );
                }
            }
        }
    }
}

impl Queue {
    /// Takes a line along, unless too much waits already.
    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        let full = if waiting.overflows { MOST / 2 } else { MOST };
        waiting.overflows = waiting.bytes + line.len() > full;
        if waiting.overflows {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += line.len();
        match waiting.batches.back_mut() {
            Some(last) if last.text.len() + line.len() <= TOGETHER => {
                last.text.extend_from_slice(line);
                last.lines += 1;
            }
            _ => waiting.batches.push_back(Batch {
                text: line.to_vec(),
                lines: 1,
            }),
        }
        let sleeps = std::mem::take(&mut waiting.sleeps);
        drop(waiting);
        if sleeps {
            self.news.notify_one();
        }
    }

    /// Waits for the next lines, and returns with them how many were lost before the far end caught up; `None` at the end.
    fn next(&self) -> Option<(Batch, u64)> {
        let mut waiting = self.waiting();
        loop {
            if let Some(batch) = waiting.batches.pop_front() {
                waiting.bytes -= batch.text.len();
                // What is said of it must find room.
                let caught_up = waiting.bytes < MOST / 4;
                let lost = if caught_up {
                    std::mem::take(&mut waiting.lost)
                } else {
                    0
                };
                return Some((batch, lost));
            }
            if waiting.closed {
                return None;
            }
            waiting.sleeps = true;
            waiting = self
                .news
                .wait_while(waiting, |waiting| waiting.sleeps && !waiting.closed)
                .unwrap_or_else(PoisonError::into_inner);
            let gathered = self
                .news
                .wait_timeout_while(waiting, GATHER, |waiting| !waiting.closed);
            waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.queue.waiting().closed = true;
        self.queue.news.notify_one();
        // A far end that takes nothing must not keep the program from ending.
        self.done.recv_timeout(GOODBYE).ok();
    }
}

impl Outlet {
    /// Puts a line on its way.
    pub(super) fn push(&self, line: &[u8]) {
        self.0.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a line whenever it is allowed to, and says what came of it.
    struct Slow {
        may: mpsc::Receiver<io::Result<()>>,
        taken: mpsc::Sender<String>,
    }

    impl FarEnd for Slow {
        fn put(&mut self, line: &[u8]) -> io::Result<()> {
            // After the test everything goes.
            let done = self.may.recv().unwrap_or(Ok(()));
            self.taken
                .send(String::from_utf8_lossy(line).into_owned())
                .ok();
            done
        }
    }

    #[test]
    fn a_far_end_that_blocks_costs_lines_and_never_time() {
        let (allow, may) = mpsc::channel();
        let (taken, heard) = mpsc::channel();
        let (outlet, writing) = begin("the pipe".into(), Slow { may, taken }).unwrap();
        let line = [b'x'; 1024];
        for _ in 0..2 * MOST / line.len() {
            outlet.push(&line);
        }
        {
            let waiting = writing.queue.waiting();
            assert!(waiting.bytes <= MOST && waiting.bytes > MOST - 2 * line.len());
            let lost = usize::try_from(waiting.lost).unwrap();
            assert!(lost >= MOST / line.len() - 1, "{lost}");
        }
        // The end does not wait for it either.
        let begin = Instant::now();
        drop(writing);
        assert!(begin.elapsed() < GOODBYE * 5);
        drop(allow);
        let lines = heard.iter().take(10).count();
        assert_eq!(lines, 10, "what was kept is written once there is a way");
    }

    #[test]
    fn lost_lines_are_counted_once_the_far_end_catches_up() {
        let queue = Queue::default();
        let line = vec![b'x'; MOST / 8];
        for _ in 0..10 {
            queue.push(&line);
        }
        let told: Vec<u64> = (0..8).map(|_| queue.next().unwrap().1).collect();
        assert_eq!(told, [0, 0, 0, 0, 0, 0, 2, 0]);
        queue.push(b"more");
        assert_eq!(queue.next().unwrap().1, 0);
    }

    #[test]
    fn lines_that_come_together_are_written_together() {
        let queue = Queue::default();
        let long = vec![b'x'; TOGETHER];
        for line in [&b"one\n"[..], b"two\n", &long, b"three\n"] {
            queue.push(line);
        }
        let (batch, _) = queue.next().unwrap();
        assert_eq!(
            (batch.text.as_slice(), batch.lines),
            (&b"one\ntwo\n"[..], 2)
        );
        assert_eq!(queue.next().unwrap().0.lines, 1);
        assert_eq!(queue.next().unwrap().0.text, b"three\n");
        // What waits at the end is written without waiting for more.
        queue.push(b"last\n");
        queue.waiting().closed = true;
        assert_eq!(queue.next().unwrap().0.text, b"last\n");
        assert!(queue.next().is_none());
    }
}
