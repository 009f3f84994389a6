//! The way to the page: a link that is good once, in files beside the control socket that only their owner can read.
//!
//! There are two, one with the bare link and one that leads a browser there: on a browser's command line the link itself
//! would be seen by other users. Knows neither what the link opens nor when it changes.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::candidates;
use super::place::judge;

/// The longest link, in bytes.
const MAX_LINK: u64 = 8 * 1024;

/// How the two files end.
const TEXT: &str = "web";
const HTML: &str = "html";

/// The files of a running proxy. Dropping them takes them away.
#[derive(Debug)]
pub struct LinkFile {
    text: PathBuf,
    html: PathBuf,
}

/// The link of a running proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The address to visit.
    pub url: String,
    /// A file that leads a browser there.
    pub html: PathBuf,
}

impl LinkFile {
    /// Names the files beside a control socket.
    pub fn beside(socket: &Path) -> Self {
        Self {
            text: socket.with_extension(TEXT),
            html: socket.with_extension(HTML),
        }
    }

    /// Puts a link into them, in place of the one before. It must need no escaping in HTML.
    pub fn write(&self, link: &str) -> io::Result<()> {
        replace(&self.text, link)?;
        replace(
            &self.html,
            &format!(
                "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
                 <meta http-equiv=\"refresh\" content=\"0;url={link}\"><title>emailproxy</title>\
                 <p><a href=\"{link}\">Open emailproxy</a></p>"
            ),
        )
    }
}

impl Drop for LinkFile {
    fn drop(&mut self) {
        // Nothing is lost if somebody else removed it first.
        drop(fs::remove_file(&self.text));
        drop(fs::remove_file(&self.html));
    }
}

/// Writes a file as a whole, for its owner alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    // Left behind by a process that was killed.
    drop(fs::remove_file(&new));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

/// Reads the link of the proxy that runs with this configuration file; none where it has no page.
pub fn read_link(config: &Path) -> Option<Link> {
    candidates(config).iter().find_map(|socket| {
        judge(socket.parent()?).ok()?;
        let file = socket.with_extension(TEXT);
        let about = fs::symlink_metadata(&file).ok()?;
        let (own, folder) = (geteuid().as_raw(), fs::metadata(socket.parent()?).ok()?);
        let whose = about.uid();
        let trusted = whose == own || whose == 0 || (own == 0 && whose == folder.uid());
        if !about.is_file() || !trusted {
            return None;
        }
        let mut text = String::new();
        let file = fs::File::open(&file).ok()?;
        file.take(MAX_LINK).read_to_string(&mut text).ok()?;
        let url = text.trim().to_owned();
        let html = socket.with_extension(HTML);
        (!url.is_empty()).then_some(Link { url, html })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn r16_the_link_rests_in_a_file_of_its_owner_alone_and_goes_with_the_proxy() {
        let dir = tempfile::tempdir().unwrap();
        let file = LinkFile::beside(&dir.path().join("x.sock"));
        for link in [
            "http://127.0.0.1:1/open?key=a",
            "http://127.0.0.1:1/open?key=b",
        ] {
            file.write(link).unwrap();
            assert_eq!(fs::read_to_string(&file.text).unwrap(), link);
            assert!(fs::read_to_string(&file.html).unwrap().contains(link));
            for path in [&file.text, &file.html] {
                let mode = fs::metadata(path).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o600);
            }
        }
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
