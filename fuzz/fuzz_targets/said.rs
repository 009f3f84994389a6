//! Other people's words come out as one line of printable ASCII.
#![no_main]

use emailproxy::said::Said;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let said = Said::new(bytes);
    let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(printable(said.as_str()) && printable(&said.short()));
    assert!(said.as_str().len() <= 1_000 && said.short().len() <= 200);
    // Saying it again changes nothing, so that a text may pass twice.
    assert_eq!(Said::new(said.as_str()), said);
    let (text, marks) = bytes.split_at(bytes.len() / 2);
    let marked = Said::with_marks(text, marks);
    assert!(printable(marked.as_str()) && printable(&marked.short()));
    assert!(marked.as_str().len() <= 1_000 && marked.short().len() <= 361);
});
