//! Where log lines go: standard output, a file that is rotated, and the last lines kept for `emailproxy logs`.
//!
//! Whoever does not take the lines loses some; mail is never held up by that.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use tracing::Subscriber;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, reload};

use super::LogFormat;
use crate::control::Recent;
use file::LogFile;
use outlet::{FarEnd, Outlet, Writing};

mod file;
mod outlet;

/// The log while the program runs. Dropping it writes what is still waiting.
pub(super) struct Logging {
    filter: reload::Handle<Targets, Registry>,
    debug: bool,
    _writers: Vec<Writing>,
}

/// Begins to log.
pub(super) fn begin(
    format: LogFormat,
    file: Option<&Path>,
    debug: bool,
    recent: &Recent,
) -> anyhow::Result<Logging> {
    let (filter, handle) = reload::Layer::new(level(debug));
    let thread = "could not start a thread for the log";
    let (out, writing) = outlet::begin("standard output".into(), io::stdout()).context(thread)?;
    let mut writers = vec![writing];
    let to_file = match file {
        None => None,
        Some(path) => {
            let name = format!("the log file {}", path.display());
            let log = LogFile::open(path).with_context(|| format!("could not open {name}"))?;
            let (writer, writing) = outlet::begin(name, log).context(thread)?;
            writers.push(writing);
            Some(writer)
        }
    };
    // The journal puts its own time before each line.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Places that want the same words share them.
    let text = format == LogFormat::Text;
    let out_alike = text && timed && !colours;
    let shared = Places {
        recent: Some(recent.clone()),
        out: out_alike.then(|| out.clone()),
        file: to_file.clone().filter(|_| text),
    };
    let out = (!out_alike).then(|| lines::<0, _>(format, Places::out(out), colours, timed));
    let to_file = to_file.filter(|_| !text);
    let to_file = to_file.map(|file| lines::<1, _>(format, Places::file(file), false, true));
    tracing_subscriber::registry()
        .with(filter)
        .with(out)
        .with(to_file)
        .with(lines::<2, _>(LogFormat::Text, shared, false, true))
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
fn level(debug: bool) -> Targets {
    let own = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("emailproxy", own)
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

/// Where the same words go.
#[derive(Default)]
struct Places {
    recent: Option<Recent>,
    out: Option<Outlet>,
    file: Option<Outlet>,
}

impl Places {
    fn out(outlet: Outlet) -> Self {
        Self {
            out: Some(outlet),
            ..Self::default()
        }
    }

    fn file(outlet: Outlet) -> Self {
        Self {
            file: Some(outlet),
            ..Self::default()
        }
    }
}

impl<'a> MakeWriter<'a> for Places {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Each call is one line: so it is formatted.
impl io::Write for &Places {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for outlet in [&self.out, &self.file].into_iter().flatten() {
            outlet.push(line);
        }
        if let Some(recent) = &self.recent {
            recent.keep(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines<const PLACE: usize, S>(
    format: LogFormat,
    places: Places,
    colours: bool,
    timed: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields::<PLACE>(DefaultFields::new()))
        .with_writer(places)
        .with_ansi(colours)
        .with_target(false);
    match (format, timed) {
        (LogFormat::Json, _) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
    }
}

/// A pipe, a terminal, the journal or a file; a line that is there in part is finished by the next.
impl FarEnd for io::Stdout {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(lines)?;
        out.flush()
    }
}
