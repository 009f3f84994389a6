//! Which refresh tokens are taken.

use super::answers::judge;
use crate::oauth::Error;

#[test]
fn refresh_tokens_of_any_printable_ascii_up_to_16_kib_are_taken() {
    let judge = |refresh: &str| {
        let refresh = serde_json::to_string(refresh).unwrap();
        let body = format!(r#"{{"access_token":"a","refresh_token":{refresh}}}"#);
        judge(200, &body).map(|tokens| tokens.refresh.unwrap().reveal().clone())
    };
    let all: String = (' '..='~').collect();
    for good in [all.clone(), "~".repeat(16_384)] {
        assert_eq!(judge(&good).unwrap(), good);
    }
    for bad in [
        "~".repeat(16_385),
        "a\u{1}b".into(),
        "a\r\nb".into(),
        "\u{e9}".into(),
    ] {
        assert!(matches!(judge(&bad), Err(Error::Denied(_))));
    }
}
