//! `emailproxy web` against the program itself, in its sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::USER;
use crate::program::Program;
use crate::support::browser::{header, raw};
use crate::support::daemon::Plan;
use crate::support::provider::Provider;

#[tokio::test]
async fn r16_the_command_shows_a_way_in_that_is_good_once() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider).app(&provider, USER).page();
    let file = plan.write();
    let home = file.parent().unwrap().to_owned();
    let run = home.join("run");
    fs::create_dir_all(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
    let file = file.display().to_string();
    let arguments = ["web", "--print", "--config-file", &file];
    let none = Program::done(&home, &arguments, "").await;
    assert_eq!(none.code, Some(1));
    assert!(none.printed.contains("emailproxy run"), "{}", none.printed);

    let mut proxy = Program::start(&home, &["run", "--config-file", &file]);
    proxy.says("Initialised emailproxy").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let link = loop {
            // The next link is written a moment after the last one was used.
            let shown = Program::done(&home, &arguments, "").await;
            assert_eq!(shown.code, Some(0), "{}", shown.printed);
            let link = shown.printed.trim().to_owned();
            if !seen.contains(&link) {
                break link;
            }
        };
        let url = url::Url::parse(&link).unwrap();
        let at = url.socket_addrs(|| None).unwrap()[0];
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        let get = format!("GET {target} HTTP/1.1\nHost: {at}\n\n");
        let answer = raw(at, &get).await;
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        let cookie = header(&answer, "set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let shown = raw(
            at,
            &format!("GET / HTTP/1.1\nHost: {at}\nCookie: {cookie}\n\n"),
        )
        .await;
        // The log is there too, and no key in it.
        assert!(
            shown.contains(USER) && shown.contains("Initialised emailproxy"),
            "{shown}"
        );
        let (_, key) = link.split_once("key=").unwrap();
        assert!(!proxy.text().contains(key), "the log holds the link's key");
        for entry in fs::read_dir(&run).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        let again = raw(at, &get).await;
        assert!(again.starts_with("HTTP/1.1 403 "), "{again}");
        seen.push(link);
    }
    proxy.signal("TERM").await;
    proxy.end().await;
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
}
