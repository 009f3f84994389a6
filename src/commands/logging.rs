//! Where log lines go: standard output, a file that is rotated, and the last lines kept for `emailproxy logs`.
//!
//! A reader that blocks the pipe loses lines; it never holds up mail.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::LogFormat;
use crate::control::Recent;

/// When a log file is full, in bytes; the predecessor's figure.
const FILE_SIZE: usize = 32 * 1024 * 1024;

/// How many full log files are kept.
const FILES: usize = 10;

/// How many lines may wait for a slow reader.
const WAITING: usize = 16_384;

/// The log while the program runs. Dropping it writes what is still waiting.
pub(super) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    debug: bool,
    _writers: Vec<WorkerGuard>,
}

/// Begins to log.
pub(super) fn begin(
    format: LogFormat,
    file: Option<&Path>,
    debug: bool,
    recent: &Recent,
) -> anyhow::Result<Logging> {
    let (filter, handle) = reload::Layer::new(level(debug));
    let (out, out_guard) = unblocked(io::stdout());
    let mut writers = vec![out_guard];
    let to_file = match file {
        None => None,
        Some(path) => {
            let (writer, guard) = unblocked(rotated(path)?);
            writers.push(guard);
            Some(lines::<1, _, _>(format, writer, false, true))
        }
    };
    // The journal puts its own time before each line.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::registry()
        .with(filter)
        .with(lines::<0, _, _>(format, out, colours, timed))
        .with(to_file)
        .with(lines::<2, _, _>(
            LogFormat::Text,
            recent.clone(),
            false,
            true,
        ))
        .try_init()
        .context("could not begin logging")?;
    Ok(Logging {
        filter: handle,
        debug,
        _writers: writers,
    })
}

impl Logging {
    /// Switches debug lines on or off.
    pub(super) fn toggle_debug(&mut self) {
        self.debug = !self.debug;
        // The handle is gone only when the subscriber is.
        drop(self.filter.reload(level(self.debug)));
        tracing::info!(
            "debug lines are switched {}",
            if self.debug { "on" } else { "off" }
        );
    }
}

/// Our own lines from `info` or `debug` on, those of libraries from `warn` on. Libraries never log more: their lower
/// levels may hold what must not be seen.
fn level(debug: bool) -> EnvFilter {
    let own = if debug {
        "emailproxy=debug"
    } else {
        "emailproxy=info"
    };
    EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse_lossy(own)
}

/// A span's fields as one place of the log words them.
///
/// What a span was told is kept by type. Places of one type would share it: each would add the same fields again, and
/// a file would show the terminal's colours.
struct Fields<const PLACE: usize>(DefaultFields);

impl<'w, const PLACE: usize> FormatFields<'w> for Fields<PLACE> {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

fn lines<const PLACE: usize, S, W>(
    format: LogFormat,
    writer: W,
    colours: bool,
    timed: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields::<PLACE>(DefaultFields::new()))
        .with_writer(writer)
        .with_ansi(colours)
        .with_target(false);
    match (format, timed) {
        (LogFormat::Json, _) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
    }
}

fn unblocked(writer: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .finish(writer)
}

fn rotated(path: &Path) -> anyhow::Result<FileRotate<AppendCount>> {
    let mut open = std::fs::OpenOptions::new();
    open.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    // The rotating writer panics where a file cannot be opened, so that is found out first.
    drop(
        open.open(path)
            .with_context(|| format!("could not open the log file {}", path.display()))?,
    );
    let limit = ContentLimit::BytesSurpassed(FILE_SIZE);
    Ok(FileRotate::new(
        path,
        AppendCount::new(FILES),
        limit,
        Compression::None,
        Some(open),
    ))
}
