//! For the fuzzer alone: the store file's text, and the predecessor's. No other program is built with this.

use std::path::Path;

use super::text::{Held, is_documented, parse, render, render_line};
use crate::accounts::store::import;

const AT: &str = "tokens.json";

/// Reads a store's text as the file at start is read. What was read must be the same after it was written in either form.
pub fn read_store(bytes: &[u8]) -> Result<(), String> {
    let held = parse(Path::new(AT), bytes)?;
    for text in [
        render(&held.rows, held.sequence)?,
        render_line(&held.rows, held.sequence)?,
    ] {
        let again = parse(Path::new(AT), text.as_bytes())?;
        assert!(same(&held, &again), "what was written is not what is read");
    }
    Ok(())
}

/// Reads a good document in a file that another was being written into when the machine stopped: the good one must count.
///
/// The fuzzer can find the right digest of anything; what bears it is not torn.
pub fn read_torn(torn: &[u8]) {
    if is_documented(torn) {
        return;
    }
    let good = parse(
        Path::new(AT),
        br#"{"version":1,"accounts":{"u@x":{"provider":"p"}}}"#,
    );
    let good = good.expect("a good document is read");
    let line = render_line(&good.rows, 7).expect("rows can be written");
    let mut file = line.into_bytes();
    file.extend_from_slice(torn);
    let held = parse(Path::new(AT), &file).expect("a torn document hides no other");
    let kept = Held {
        sequence: 7,
        ..good
    };
    assert!(same(&held, &kept), "a torn document counts");
}

/// Reads the predecessor's cache file.
pub fn import_cache(text: &str) -> Result<usize, String> {
    if !import::looks_like_ini(text) {
        return Ok(0);
    }
    import::read(Path::new(AT), text).map(|accounts| accounts.len())
}

fn same(one: &Held, other: &Held) -> bool {
    let rows = one.rows.iter().zip(&other.rows);
    one.sequence == other.sequence
        && one.rows.len() == other.rows.len()
        && rows.into_iter().all(|((name, row), (named, rowed))| {
            name == named && row.revision == rowed.revision && row.record == rowed.record
        })
}
