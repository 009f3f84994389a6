//! What token and device endpoints answer: tokens fit to be sent, or a reason that repeats no secret.
#![no_main]

use arbitrary::Arbitrary;
use emailproxy::oauth::fuzzing::{Came, Question, device_code, tokens};
use emailproxy::said::Said;
use emailproxy_fuzz::promises::{check_line, find};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "s3cr3t&+/=value";
const FORM: &str = "grant_type=refresh_token&client_id=app&refresh_token=r3fr3sh-t0ken&client_secret=s3cr3t%26%2B%2F%3Dvalue";

#[derive(Arbitrary, Debug)]
struct Answer<'a> {
    status: u8,
    header: u8,
    value: &'a [u8],
    mortal: bool,
    polling: bool,
    body: &'a [u8],
}

fuzz_target!(|answer: Answer<'_>| {
    let statuses = [200, 200, 200, 400, 401, 429, 500, 503, 302, 204, 304, 599];
    let names = [
        "content-type",
        "retry-after",
        "content-encoding",
        "location",
        "date",
    ];
    let came = Came {
        status: statuses[usize::from(answer.status) % statuses.len()],
        headers: vec![(
            names[usize::from(answer.header) % names.len()],
            answer.value,
        )],
        body: echo(answer.body),
    };
    let question = Question {
        form: FORM.as_bytes(),
        mortal: answer.mortal,
        polling: answer.polling,
    };
    match tokens(came.clone(), question) {
        Ok(tokens) => {
            let access = tokens.access.reveal();
            assert!((1..=16_384).contains(&access.len()));
            let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
            assert!(access.bytes().all(fit));
            assert!(tokens.lifetime.as_secs() <= 30 * 24 * 3_600);
            if let Some(refresh) = tokens.refresh {
                let refresh = refresh.reveal();
                assert!((1..=16_384).contains(&refresh.len()));
                assert!(refresh.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }
        Err(error) => check(&error.to_string()),
    }
    match device_code(came, question) {
        Ok(Ok((code, way))) => {
            for url in [&code.verification_url, &way] {
                assert!(
                    url.starts_with("https://") || url.starts_with("http://"),
                    "{url}"
                );
                check_line("an address", url);
            }
            check_line("a code", &code.user_code);
            assert!((5..=60).contains(&code.interval.as_secs()));
            assert!(code.good_for.as_secs() <= 30 * 60);
        }
        // Its one line is made by whoever words the whole reason.
        Ok(Err(fault)) => check(Said::new(fault).as_str()),
        Err(error) => check(&error.to_string()),
    }
});

/// Has the endpoint repeat what was sent to it wherever the body says so.
fn echo(body: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let coded = base64::prelude::BASE64_STANDARD.encode(FORM);
    let mut out = Vec::new();
    let mut rest = body;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            1 => out.extend_from_slice(SECRET.as_bytes()),
            2 => out.extend_from_slice(FORM.as_bytes()),
            3 => out.extend_from_slice(coded.as_bytes()),
            4 => out.extend_from_slice(b"r3fr3sh-t0ken"),
            byte => out.push(byte),
        }
    }
    out
}

fn check(error: &str) {
    check_line("an error", error);
    for secret in [SECRET, "r3fr3sh-t0ken", "s3cr3t%26%2B%2F%3Dvalue"] {
        assert!(
            find(error.as_bytes(), secret.as_bytes()).is_none(),
            "{error}"
        );
    }
}
