//! Figures: what a process uses, and a small table of them for people.

use std::fs::{File, read_to_string};
use std::io::Write as _;

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Memory that is really there now, in KiB.
    pub(crate) memory: u64,
    /// The most there ever was, in KiB.
    pub(crate) peak: u64,
    /// Processor time since its start, in seconds.
    pub(crate) seconds: f64,
    /// Open files.
    pub(crate) files: usize,
}

impl Usage {
    /// Asks the system.
    pub(crate) fn of(process: u32) -> Self {
        let status = read_to_string(format!("/proc/{process}/status")).unwrap();
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.trim_end_matches(" kB").trim().parse().ok());
            number.unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        let stat = read_to_string(format!("/proc/{process}/stat")).unwrap();
        // The second field is the program's name in parentheses; user and system time are the 14th and the 15th, in
        // hundredths of a second (proc(5)).
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
        let ticks: Vec<f64> = fields
            .skip(11)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        Self {
            memory: kibibytes("VmRSS:"),
            peak: kibibytes("VmHWM:"),
            seconds: ticks.iter().sum::<f64>() / 100.0,
            files: files.count(),
        }
    }

    /// Fails the test where memory has grown since an earlier look, beyond what an allocator may keep.
    pub(crate) fn assert_flat_since(&self, earlier: &Self) {
        let most = earlier.memory + earlier.memory / 4 + 8 * 1024;
        assert!(
            self.memory <= most,
            "memory has grown from {} to {} KiB",
            earlier.memory,
            self.memory
        );
    }
}

/// Writes KiB as people read them.
pub(crate) fn mebibytes(kibibytes: u64) -> String {
    let tenths = kibibytes * 10 / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A table of figures.
#[derive(Debug)]
pub(crate) struct Table(String);

impl Table {
    /// Begins one.
    pub(crate) fn new(title: &str) -> Self {
        Self(format!("\n| {title} | |\n| --- | --- |\n"))
    }

    /// Adds a figure.
    pub(crate) fn row(mut self, what: &str, figure: impl std::fmt::Display) -> Self {
        self.0.push_str(&format!("| {what} | {figure} |\n"));
        self
    }

    /// Prints it, and adds it to the file that `LOAD_REPORT` names.
    pub(crate) fn publish(self) {
        eprintln!("{}", self.0);
        if let Some(report) = std::env::var_os("LOAD_REPORT") {
            let file = File::options().create(true).append(true).open(report);
            file.unwrap().write_all(self.0.as_bytes()).unwrap();
        }
    }
}
