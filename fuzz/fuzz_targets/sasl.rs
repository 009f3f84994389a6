//! SASL messages of clients: PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, and what is accepted of them.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emailproxy::protocol::sasl::{
    Credentials, Nonsense, OneMessage, login_password, login_user, plain,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [how, message @ ..] = input else {
        return;
    };
    // Half of the time as it is, else in base64, without which little would be reached.
    let line = if how & 1 == 0 {
        message.to_vec()
    } else {
        BASE64_STANDARD.encode(message).into_bytes()
    };
    check(plain(&line));
    for name in [&b"PLAIN"[..], b"XOAUTH2", b"OAUTHBEARER"] {
        let one = OneMessage::named(name).expect("a mechanism of one message");
        one.is_yet_to_come(&line);
        check(one.read(&line));
    }
    if let Ok(user) = login_user(&line) {
        check_user(&user);
    }
    if let Ok(password) = login_password(&line) {
        check_password(password.reveal());
    }
    if how & 1 == 1
        && let Ok(found) = plain(&line)
    {
        // What was read is what was sent.
        let parts: Vec<&[u8]> = message.split(|&byte| byte == 0).collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[0].is_empty() || parts[0] == parts[1]);
        assert_eq!(found.user.as_bytes(), parts[1]);
        assert_eq!(found.password.reveal(), parts[2]);
    }
});

fn check(read: Result<Credentials, Nonsense>) {
    match read {
        Ok(Credentials { user, password }) => {
            check_user(&user);
            check_password(password.reveal());
        }
        Err(why) => assert!(why.0.bytes().all(|byte| (b' '..=b'~').contains(&byte))),
    }
}

fn check_user(user: &str) {
    assert!((1..=320).contains(&user.len()));
    assert!(!user.bytes().any(|byte| byte < 0x21 || byte == 0x7f));
}

fn check_password(password: &[u8]) {
    assert!(password.len() <= 1024);
    assert!(
        !password
            .iter()
            .any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
    );
}
