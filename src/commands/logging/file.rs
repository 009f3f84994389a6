//! The log file: a new one begins when it is full, the last ten are kept, and it comes back by itself when it can be
//! written again.
//!
//! Does not know what stands in a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::outlet::FarEnd;
use crate::config::ownership;

/// When a file is full, in bytes; the predecessor's figure.
const FULL: u64 = 32 * 1024 * 1024;

/// How many full files are kept.
const KEPT: usize = 10;

/// How often is looked whether the file is still at its place: it may have been moved, or its directory is gone.
const LOOK: Duration = Duration::from_secs(1);

/// A log file and the full ones beside it: `PATH.1` is the newest of these.
pub(super) struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    full: u64,
}

/// The file while it is open.
struct Open {
    file: File,
    /// How long it is with whole lines only.
    len: u64,
    /// Up to which length it goes on although it is full: it could not be moved.
    tolerated: u64,
    looked: Instant,
}

impl LogFile {
    /// Opens the file, to write behind what is in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut log = Self {
            path: path.to_owned(),
            open: None,
            full: FULL,
        };
        log.open = Some(log.begin()?);
        Ok(log)
    }

    fn begin(&self) -> io::Result<Open> {
        ownership::judge_way("the log file", &self.path).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        let len = file.metadata()?.len();
        Ok(Open {
            file,
            len,
            tolerated: 0,
            looked: Instant::now(),
        })
    }

    /// Moves the full files on by one, the oldest out.
    fn rotate(&self) -> io::Result<()> {
        for n in (1..KEPT).rev() {
            match fs::rename(self.kept(n), self.kept(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.kept(1))
    }

    fn kept(&self, n: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    }
}

impl FarEnd for LogFile {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let known = self.open.take().and_then(|open| open.at(&self.path));
        let mut open = match known {
            Some(open) => open,
            None => self.begin()?,
        };
        let len = lines.len() as u64;
        if open.len > 0 && open.len + len > self.full.max(open.tolerated) {
            open = match self.rotate() {
                Ok(()) => self.begin()?,
                // A file that is too long is better than none.
                Err(_) => Open {
                    tolerated: open.len + self.full,
                    ..open
                },
            };
        }
        let written = open.file.write_all(lines);
        if written.is_ok() {
            open.len += len;
        } else {
            // Of lines that found no room, the beginning is taken back.
            open.file.set_len(open.len).ok();
        }
        self.open = Some(open);
        written
    }
}

impl Open {
    /// Returns the file as long as it is the one at `path`, which is looked at once a second at most.
    fn at(mut self, path: &Path) -> Option<Self> {
        if self.looked.elapsed() < LOOK {
            return Some(self);
        }
        self.looked = Instant::now();
        let ours = identity(&self.file.metadata().ok()?);
        let there = identity(&fs::metadata(path).ok()?);
        (ours == there).then_some(self)
    }
}

#[cfg(unix)]
fn identity(about: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (about.dev(), about.ino())
}

/// Where files cannot be told apart, whatever is there is ours.
#[cfg(not(unix))]
fn identity(_about: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_file_makes_room_for_a_new_one_and_ten_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mail.log");
        fs::write(&path, "before\n").unwrap();
        let mut log = LogFile::open(&path).unwrap();
        log.full = 16;
        for n in 0..30 {
            log.put(format!("line {n:02}\n").as_bytes()).unwrap();
        }
        assert_eq!(text(&path), "line 29\n");
        assert_eq!(text(&log.kept(1)), "line 27\nline 28\n");
        assert_eq!(text(&log.kept(10)), "line 09\nline 10\n");
        assert!(!log.kept(11).exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_begins_anew_and_one_without_a_directory_waits_for_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("log");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("mail.log");
        let mut log = LogFile::open(&path).unwrap();
        let later = |log: &mut LogFile| {
            let long_ago = Instant::now().checked_sub(LOOK).unwrap();
            log.open.as_mut().unwrap().looked = long_ago;
        };
        log.put(b"one\n").unwrap();
        fs::rename(&path, folder.join("taken.log")).unwrap();
        later(&mut log);
        log.put(b"two\n").unwrap();
        assert_eq!(text(&folder.join("taken.log")), "one\n");
        assert_eq!(text(&path), "two\n");
        fs::rename(&folder, home.path().join("gone")).unwrap();
        later(&mut log);
        let error = log.put(b"three\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::rename(home.path().join("gone"), &folder).unwrap();
        log.put(b"four\n").unwrap();
        assert_eq!(text(&path), "two\nfour\n");
    }

    #[test]
    fn a_file_that_cannot_be_moved_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mail.log");
        let mut log = LogFile::open(&path).unwrap();
        log.full = 8;
        // Two directories that are not empty stand in the way.
        for n in [9, 10] {
            fs::create_dir_all(log.kept(n).join("x")).unwrap();
        }
        for _ in 0..3 {
            log.put(b"a line\n").unwrap();
        }
        assert_eq!(text(&path), "a line\n".repeat(3));
    }
}
