//! An issuer's discovery document, and ID tokens: endpoints that secrets may go to, names that are addresses.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use emailproxy::oauth::fuzzing::{document, id_token};
use emailproxy_fuzz::promises::check_line;
use libfuzzer_sys::fuzz_target;

const ISSUERS: [&str; 4] = [
    "https://idp.example",
    "https://login.microsoftonline.com/common/v2.0",
    "http://127.0.0.1:9000/realm",
    "https://accounts.google.com",
];

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else {
        return;
    };
    let issuer = ISSUERS[usize::from(how >> 1) % ISSUERS.len()];
    if how & 1 == 0 {
        match document(issuer, body) {
            Some(Ok(endpoints)) => {
                for endpoint in endpoints.iter().flatten() {
                    let here = issuer.starts_with("http://");
                    let safe = endpoint.to_ascii_lowercase().starts_with("https:");
                    assert!(safe || here, "{endpoint}");
                    check_line("an endpoint", endpoint);
                }
            }
            Some(Err(why)) => check_line("a reason", &why),
            None => {}
        }
        return;
    }
    let coded = BASE64_URL_SAFE_NO_PAD.encode(body);
    let tokens = [
        String::from_utf8_lossy(body).into_owned(),
        format!("e30.{coded}.c2ln"),
    ];
    for token in tokens {
        match id_token(&token, "app", issuer) {
            Ok(Some(who)) => {
                assert!(!who.names.is_empty() && who.names.contains(&who.name));
                for name in &who.names {
                    assert_eq!(name.matches('@').count(), 1, "{name}");
                    assert!(
                        !name.chars().any(|c| c.is_control() || c.is_whitespace()),
                        "{name}"
                    );
                }
            }
            Ok(None) => {}
            Err(why) => check_line("a reason", why.as_str()),
        }
    }
});
