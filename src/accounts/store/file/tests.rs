//! The store in a file as processes see it: crashes, odd files, disks in trouble, and each other.

use std::fs;

use super::*;
use crate::accounts::store::{Place, Reach, Store};

fn open(path: &Path) -> Result<Store, String> {
    Store::open(&Place::from(path), &Reach::default())
}

/// Writes a file as we do: its owner's alone.
fn write(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    private(options.write(true).create(true).truncate(true))
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .unwrap();
}

fn some(text: &str) -> Record {
    Record {
        provider: text.into(),
        ..Record::default()
    }
}

#[tokio::test]
async fn what_was_flushed_is_there_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep/er/tokens.json");
    let store = Arc::new(open(&path).unwrap());
    assert!(!store.is_behind());
    store.put("u@example.org", some("one"));
    store.put("u@example.org", some("two"));
    assert!(store.is_behind());
    store.flush(drop).await.unwrap();
    assert!(!store.is_behind());
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(store.record("u@example.org").unwrap().provider, "two");
    assert_eq!(store.names(), ["u@example.org"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
}

#[tokio::test]
async fn pieces_left_by_a_crash_are_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let store = Arc::new(open(&path).unwrap());
    store.put("u", some("one"));
    store.flush(drop).await.unwrap();
    fs::write(beside(&path, ".tmp"), "{\"version\":1,\"acc").unwrap();
    drop(store);
    let store = Arc::new(open(&path).unwrap());
    assert_eq!(store.record("u").unwrap().provider, "one");
    store.put("u", some("two"));
    store.flush(drop).await.unwrap();
    assert!(!beside(&path, ".tmp").exists());
}

#[test]
fn what_makes_no_sense_is_reported_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    for bad in [
        "{\"version\":1,\"accounts\":{\"u\":{\"wra",
        "{\"version\":2,\"accounts\":{}}",
        "{}",
        "[1]",
        "just words",
        "[IMAP-1993]\nserver_address = x\n",
    ] {
        fs::write(&path, bad).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.contains("tokens.json"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(open(&path).unwrap_err().contains("UTF-8"));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_and_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(open(&folder).unwrap_err().contains("is no file"));
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let other = open(Path::new("/dev/null")).unwrap_err();
    assert!(other.contains("is no file"), "{other}");
}

#[test]
fn an_empty_file_is_a_store_yet_to_be_filled() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    fs::write(&path, "\n").unwrap();
    assert!(open(&path).unwrap().names().is_empty());
}

#[tokio::test]
async fn a_failing_disk_loses_nothing_and_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state/tokens.json");
    let store = Arc::new(open(&path).unwrap());
    store.put("u", some("one"));
    store.flush(drop).await.unwrap();
    // Not even root can make a file in a directory that is away.
    fs::rename(home.path().join("state"), home.path().join("away")).unwrap();
    store.put("u", some("two"));
    assert!(
        store
            .flush(drop)
            .await
            .unwrap_err()
            .contains("could not write")
    );
    assert!(store.is_behind());
    fs::rename(home.path().join("away"), home.path().join("state")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("one"));
    store.flush(drop).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("two"));
}

#[tokio::test]
async fn a_link_stays_a_link() {
    let home = tempfile::tempdir().unwrap();
    let real = home.path().join("real.json");
    let text = "{\"version\":1,\"accounts\":{}}";
    write(&real, text);
    let link = home.path().join("link.json");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let store = Arc::new(open(&link).unwrap());
    store.put("u", some("one"));
    store.flush(drop).await.unwrap();
    assert!(fs::read_to_string(&real).unwrap().contains("one"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn r22_what_we_wrote_is_refused_where_it_is_open_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let is = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // Empty files and the predecessor's were not written by us.
    for text in ["", "[u@example.org]\nrefresh_token = gAAAAAb\n"] {
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
        let store = Arc::new(open(&path).unwrap());
        store.put("u", some("one"));
        store.flush(drop).await.unwrap();
        assert_eq!(is(&path), 0o600, "{text:?}");
        mode(&path, 0o640);
        let why = open(&path).unwrap_err();
        let advice = format!("`chmod 600 {}`", path.display());
        assert!(why.contains(&advice) && why.contains("0640"), "{why}");
        mode(&path, 0o600);
        open(&path).unwrap();
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(is(&home.path().join("tokens.json.bak")), 0o600);

    open(&path).unwrap();
    let leases = home.path().join("tokens.json.leases");
    fs::create_dir(&leases).unwrap();
    mode(&leases, 0o777);
    let why = open(&path).unwrap_err();
    assert!(why.contains("`chmod 700 "), "{why}");
    mode(&leases, 0o700);
    open(&path).unwrap();

    mode(home.path(), 0o777);
    let why = open(&path).unwrap_err();
    assert!(why.contains("`chmod o-w "), "{why}");
    mode(home.path(), 0o1777);
    open(&path).unwrap();
}

#[tokio::test]
async fn r22_what_belongs_to_others_is_refused_and_root_leaves_a_service_its_store() {
    use std::os::unix::fs::{MetadataExt as _, chown, lchown};
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let store = Arc::new(open(&path).unwrap());
    if chown(&path, Some(65_534), Some(65_534)).is_err() {
        return; // Only root can play others.
    }
    let why = open(&path).unwrap_err();
    assert!(why.contains("belongs to user id 65534"), "{why}");
    chown(home.path(), Some(65_534), None).unwrap();
    store.put("u", some("one"));
    store.flush(drop).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().uid(), 65_534);
    open(&path).unwrap();
    chown(home.path(), Some(0), None).unwrap();
    chown(&path, Some(0), None).unwrap();
    let link = home.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    open(&link).unwrap();
    lchown(&link, Some(65_534), None).unwrap();
    let why = open(&link).unwrap_err();
    assert!(why.contains("the link ") && why.contains("65534"), "{why}");
}

/// Two processes put records under the same and under other names at once.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_writes_by_two_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let stores = [
        Arc::new(open(&path).unwrap()),
        Arc::new(open(&path).unwrap()),
    ];
    let writers = (0..2).map(|at| {
        let store = Arc::clone(&stores[at]);
        tokio::spawn(async move {
            for n in 0..150 {
                store.put(&format!("{at}-{n}"), some("mine"));
                let name = "both".to_owned();
                let now = store.record(&name).unwrap_or_default();
                store.put(&name, count(&now));
                let again = Arc::clone(&store);
                let settle = move |conflict: crate::accounts::store::Conflict| {
                    let next = count(&conflict.theirs.record);
                    again.replace(&conflict.account, conflict.theirs);
                    again.put(&conflict.account, next);
                };
                while store.flush(settle.clone()).await.is_err() {}
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let store = open(&path).unwrap();
    assert_eq!(store.names().len(), 301);
    assert_eq!(store.record("both").unwrap().serial, 300);
}

fn count(record: &Record) -> Record {
    Record {
        serial: record.serial + 1,
        ..record.clone()
    }
}

#[tokio::test]
async fn what_another_process_wrote_is_news_even_within_a_tick() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let (one, two) = (Arc::new(open(&path).unwrap()), open(&path).unwrap());
    for n in 0..50 {
        one.put("u", some(&format!("{n:04}")));
        one.flush(drop).await.unwrap();
        let news = two.news().await.unwrap();
        assert_eq!(news.len(), 1, "{n}");
        for (name, kept) in news {
            assert!(two.learn(&name, kept));
        }
        assert_eq!(two.record("u").unwrap().provider, format!("{n:04}"));
        assert!(two.news().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_replaced_holds_the_newest_of_several_documents() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    write(
        &path,
        "{\n \"version\": 1,\n \"accounts\": {\"old\": {\"provider\": \"x\"}}}",
    );
    let mut most = 0;
    for n in 0..40_usize {
        let (store, _) = FileStore::open(&path).unwrap();
        store.fix();
        let word = "w".repeat(n * 37 % 200);
        let expected = locked(&store.known)
            .held
            .rows
            .get("u")
            .map_or(0, |row| row.revision);
        let change = Change {
            account: "u".into(),
            expected,
            record: some(&word),
        };
        let swapped = store.change(vec![change]).unwrap();
        assert!(matches!(swapped[..], [Swapped::Done(_)]), "{swapped:?}");
        // Somebody dies in the middle of the next one.
        let bytes = fs::read(&path).unwrap();
        let place = locked(&store.known).held.place.clone();
        let next = text::render_line(&locked(&store.known).held.rows, 9_999).unwrap();
        for cut in [1, next.len() / 2, next.len() - 2] {
            let mut torn = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let front = next.len() as u64 <= place.start;
            let at = if front { 0 } else { place.end + 1 };
            io::Seek::seek(&mut torn, io::SeekFrom::Start(at)).unwrap();
            io::Write::write_all(&mut torn, &next.as_bytes()[..cut]).unwrap();
            let again = open(&path).unwrap();
            assert_eq!(again.record("u").unwrap().provider, word, "{n} {cut}");
            assert_eq!(again.record("old").unwrap().provider, "x");
        }
        most = most.max(bytes.len());
    }
    assert!(most < 4 * 1_000, "{most} bytes");
    // Where it can be replaced again, it is one document again.
    let store = Arc::new(open(&path).unwrap());
    store.put("u", some("end"));
    store.flush(drop).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"end\""));
}

#[tokio::test]
#[ignore = "takes long and tells what a large store costs"]
async fn ten_thousand_accounts() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens.json");
    let store = Arc::new(open(&path).unwrap());
    let record = |n: usize| Record {
        serial: n as u64,
        sealed: [("access_token", 3_300), ("refresh_token", 1_600)]
            .map(|(field, len)| (field.to_owned(), "x".repeat(len)))
            .into(),
        ..Record::default()
    };
    for n in 0..10_000 {
        store.put(&format!("u{n}@example.org"), record(n));
    }
    let time = |what: &str, from: std::time::Instant| println!("{what}: {:?}", from.elapsed());
    let from = std::time::Instant::now();
    store.flush(drop).await.unwrap();
    time("all at once", from);
    println!("{} bytes", fs::metadata(&path).unwrap().len());
    let from = std::time::Instant::now();
    drop(open(&path).unwrap());
    time("open", from);
    let from = std::time::Instant::now();
    let logins = (0..100).map(|n| {
        let store = Arc::clone(&store);
        store.put(&format!("u{n}@example.org"), record(n + 1));
        tokio::spawn(async move { store.flush(drop).await })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap().unwrap();
    }
    time("100 logins at once", from);
    let from = std::time::Instant::now();
    assert!(store.fetch("u1@example.org").await.unwrap().is_some());
    time("a look", from);
    let from = std::time::Instant::now();
    let lease = store.lease("u1@example.org").await.unwrap().unwrap();
    store.release(lease).await.unwrap();
    time("a lease", from);
    let from = std::time::Instant::now();
    assert!(store.news().await.unwrap().is_empty());
    time("no news", from);
}
