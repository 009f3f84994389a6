//! What happens, told to an open page as it happens (server-sent events): new log lines, and that something changed.
//!
//! A page that reads too slowly misses lines, or is left. Knows nothing of what the page does with it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, interval_at, timeout};

use super::{POLICY, with_headers};
use crate::accounts::Pending;
use crate::web::exchange::head_of;
use crate::web::pages::Policy;

/// How long a page may take to read what was written to it.
const SLOW: Duration = Duration::from_secs(5);

/// How often something is written, so that a page that is gone is noticed.
const PULSE: Duration = Duration::from_secs(20);

/// How long one connection is told. The page asks again by itself, and has to be allowed to then.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The longest line that is told, in bytes.
const MOST: usize = 4 * 1024;

/// What one page is told.
pub(in crate::web) struct Events {
    pub(super) lines: broadcast::Receiver<Arc<str>>,
    pub(super) pending: watch::Receiver<Vec<Pending>>,
    /// Its place among those who may listen.
    pub(super) seat: OwnedSemaphorePermit,
}

impl Events {
    /// Tells until the page is gone, too slow, or long enough there.
    pub(in crate::web) async fn tell(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        drop(timeout(LONGEST, self.tell_all(stream)).await);
    }

    async fn tell_all(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        let (mut hears, mut speaks) = tokio::io::split(stream);
        let head = with_headers(
            StatusCode::OK,
            "text/event-stream; charset=utf-8",
            Policy::Shows(POLICY),
            (),
        );
        let mut text = head_of(&head);
        text.extend_from_slice(b"connection: close\r\n\r\nretry: 3000\n\n");
        write(&mut speaks, &text).await?;
        let mut pulse = interval_at(Instant::now() + PULSE, PULSE);
        let mut more = [0; 64];
        // A change that came before is on the page already.
        self.pending.mark_unchanged();
        loop {
            let said = tokio::select! {
                line = self.lines.recv() => match line {
                    Ok(line) => event("log", &line),
                    Err(RecvError::Lagged(missed)) => event("log", &format!("({missed} lines were missed)")),
                    Err(RecvError::Closed) => break,
                },
                changed = self.pending.changed() => match changed {
                    Ok(()) => event("change", ""),
                    Err(_) => break,
                },
                _ = pulse.tick() => ":\n\n".to_owned(),
                // A page has nothing more to say; it goes.
                _ = hears.read(&mut more) => break,
            };
            write(&mut speaks, said.as_bytes()).await?;
        }
        drop(self.seat);
        Ok(())
    }
}

/// Words an event. The text becomes one line: lines are what an event is made of.
fn event(kind: &str, text: &str) -> String {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    let text = text.replace(|c: char| c.is_control(), " ");
    format!("event: {kind}\ndata: {text}\n\n")
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    timeout(SLOW, async {
        to.write_all(bytes).await?;
        to.flush().await
    })
    .await
    .map_err(|_| std::io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_end_its_event() {
        assert_eq!(
            event("log", "one\n\nevent: change\r\ndata: x\u{1b}[31m"),
            "event: log\ndata: one  event: change  data: x [31m\n\n"
        );
        assert_eq!(event("log", &"ä".repeat(5_000)).len(), MOST + 19);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_too_slowly_is_left() {
        let (lines, receiver) = broadcast::channel(1_024);
        let pending = watch::channel(Vec::new());
        let seats = Arc::new(tokio::sync::Semaphore::new(1));
        let events = Events {
            lines: receiver,
            pending: pending.1,
            seat: Arc::clone(&seats).try_acquire_owned().unwrap(),
        };
        // Nobody reads the other end.
        let (near, far) = tokio::io::duplex(2_048);
        let telling = tokio::spawn(events.tell(near));
        for _ in 0..10 {
            lines.send(Arc::from("x".repeat(1_000))).unwrap();
        }
        telling.await.unwrap();
        assert_eq!(seats.available_permits(), 1);
        drop(far);
    }
}
