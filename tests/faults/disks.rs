//! Disks that are full, cannot be written, or are gone for a while, below the log and below the store.

use std::fs;
use std::path::{Path, PathBuf};

use super::machine::{Machine, OTHER, is_root, run};
use super::support::daemon::read;

/// A small file system of its own, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    async fn mounted(size: &str) -> (tempfile::TempDir, Self) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("disk");
        fs::create_dir(&path).unwrap();
        let size = format!("size={size},mode=700");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "none", path.to_str().unwrap()],
        )
        .await;
        (place, Self(path))
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[0; 1024]).is_ok() {}
    }

    /// Gives the room back.
    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open keeps it.
        std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status()
            .ok();
    }
}

/// Makes a disk read-only, as soon as nobody is writing there.
async fn closed(path: &str) {
    let mut close = tokio::process::Command::new("mount");
    close.args(["-o", "remount,ro", path]);
    while !close.output().await.unwrap().status.success() {}
}

#[tokio::test]
async fn a_full_disk_below_the_log_costs_lines_which_are_counted() {
    if !is_root("mounting a small disk") {
        return;
    }
    let (_place, disk) = Disk::mounted("256k").await;
    let log = disk.file("mail.log");
    let machine = Machine::start_as(&[], &["--log-file", &log], |plan, _| plan).await;
    let mut bystander = machine.bystander().await;
    machine.assert_serves().await;
    disk.fill();
    let complaint = format!("could not write log lines to the log file {log}");
    // What is left of a block takes some lines yet.
    while machine.says(&complaint) == 0 {
        machine.assert_serves().await;
    }
    for _ in 0..3 {
        machine.assert_serves().await;
    }
    bystander.assert_well().await;
    assert_eq!(machine.says(&complaint), 1, "{}", machine.log());
    machine.tells("No space left").await;
    disk.empty();
    while machine.says(&format!("the log file {log} takes log lines again")) == 0 {
        machine.assert_serves().await;
    }
    machine
        .until("came back", |_| {
            read(Path::new(&log)).contains("takes log lines again")
        })
        .await;
    let whole = read(Path::new(&log));
    assert!(
        whole.lines().all(|line| line.starts_with("20")),
        "a torn line: {whole}"
    );
}

#[tokio::test]
async fn a_log_whose_directory_is_gone_is_taken_up_again_when_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let (here, away) = (place.path().join("log"), place.path().join("away"));
    fs::create_dir(&here).unwrap();
    let log = here.join("mail.log");
    let name = log.display().to_string();
    let machine = Machine::start_as(&[], &["--log-file", &name], |plan, _| plan).await;
    let mut bystander = machine.bystander().await;
    fs::rename(&here, &away).unwrap();
    let complaint = format!("could not write log lines to the log file {name}: No such file");
    while machine.says(&complaint) == 0 {
        machine.assert_serves().await;
    }
    bystander.assert_well().await;
    fs::rename(&away, &here).unwrap();
    while !read(&log).contains("takes log lines again") {
        machine.assert_serves().await;
    }
    assert_eq!(machine.says(&complaint), 1, "{}", machine.log());
}

#[tokio::test]
async fn a_store_that_cannot_be_written_keeps_nobody_out_and_gets_everything_later() {
    if !is_root("mounting a small disk") {
        return;
    }
    for trouble in ["full", "read-only"] {
        let (_place, disk) = Disk::mounted("64k").await;
        let store = disk.file("tokens.json");
        let machine = Machine::start_as(&[], &["--cache-store", &store], |plan, _| plan).await;
        let mut bystander = machine.bystander().await;
        let path = disk.0.to_str().unwrap();
        let why = if trouble == "full" {
            disk.fill();
            "No space left"
        } else {
            closed(path).await;
            "Read-only file system"
        };
        let heard = machine.converse("IMAP-0", OTHER).await;
        assert!(
            heard.is_in() && heard.goodbye,
            "{trouble}: {heard:?}\n{}",
            machine.log()
        );
        machine.tells(why).await;
        machine.assert_serves().await;
        bystander.assert_well().await;
        assert!(!read(Path::new(&store)).contains(OTHER), "{trouble}");
        if trouble == "full" {
            disk.empty();
        } else {
            run("mount", &["-o", "remount,rw", path]).await;
        }
        let heard = machine.converse("IMAP-0", OTHER).await;
        assert!(heard.is_in(), "{trouble}: {heard:?}\n{}", machine.log());
        machine
            .until("wrote the store", |_| {
                read(Path::new(&store)).contains(OTHER)
            })
            .await;
        assert!(machine.says(why) <= 2, "{trouble}:\n{}", machine.log());
    }
}
