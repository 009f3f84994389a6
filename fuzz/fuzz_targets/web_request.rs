//! What a browser sends to the callback's port: only a proper return is handed over, and no page repeats a tag.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use emailproxy::accounts::{Outcome, Pending};
use emailproxy::said::Said;
use emailproxy::web::{Callbacks, Confirm, Ears, Finish};
use emailproxy_fuzz::pipe::pipe;
use emailproxy_fuzz::promises::find;
use emailproxy_fuzz::{runtime, weighed};
use libfuzzer_sys::fuzz_target;
use tokio::sync::watch;

/// The most that one request may take, in bytes.
const MOST: usize = 512 * 1024;

fuzz_target!(|input: &[u8]| {
    let [width, request @ ..] = input else {
        return;
    };
    let (remote, stream) = pipe(usize::from(*width) * 16 + 1);
    remote.say(request);
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (returns, confirms) = (Arc::clone(&taken), Arc::clone(&taken));
    let finish: Finish = Arc::new(move |answer| {
        assert!(!answer.state.is_empty());
        assert!(answer.code.is_some() || answer.error.is_some());
        returns.lock().unwrap().push("GET ".into());
        let (state, said) = (answer.state, answer.error_description);
        Box::pin(async move {
            match said {
                None if state.len() > 20 => Outcome::Unknown,
                None => Outcome::Authorised { account: state },
                Some(why) if state.len() > 5 => Outcome::Failed {
                    account: state,
                    why,
                },
                Some(why) => Outcome::Differs {
                    account: state,
                    signed_in: why,
                    confirm: "once".into(),
                },
            }
        })
    });
    let confirm: Confirm = Arc::new(move |value, _| {
        assert!(!value.is_empty());
        confirms.lock().unwrap().push("POST ".into());
        Box::pin(async move {
            Outcome::Failed {
                account: value,
                why: Said::from("no"),
            }
        })
    });
    let pending = Pending {
        account: "user@example.org".into(),
        url: "https://idp.example/auth".into(),
        redirect_uri: Some("http://mail.example:8825/back".into()),
        redirect_listen_address: Some("127.0.0.1:8825".into()),
        listen: true,
        code: None,
        doubt: None,
    };
    let (_pending, pending) = watch::channel(vec![pending]);
    let callbacks = Callbacks::new(pending, Ears { finish, confirm });
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8825));
    let ((), most) = weighed(|| runtime().block_on(callbacks.hear_one(stream, local)));
    assert!(
        most < MOST + 8 * request.len(),
        "{most} bytes for one request"
    );

    let answer = remote.heard();
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(!text.contains("<q"), "a tag is repeated: {text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head.to_ascii_lowercase();
    if !body.is_empty() {
        for header in [
            "cache-control: no-store",
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            // A form's page says where it is from.
            if head.starts_with("http/1.1 409") {
                "referrer-policy: same-origin"
            } else {
                "referrer-policy: no-referrer"
            },
        ] {
            assert!(head.contains(header), "no {header} in {head}");
        }
    }
    let taken = taken.lock().unwrap();
    assert!(taken.len() <= 1);
    let Some(method) = taken.first() else {
        return;
    };
    // Told once more, by other means, whether that was meant for us.
    let asked = String::from_utf8_lossy(request).into_owned();
    let asked = asked.trim_start_matches(['\r', '\n']);
    assert!(asked.starts_with(method.as_str()), "{asked}");
    let lower = asked.to_ascii_lowercase();
    let end = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"]
        .iter()
        .filter_map(|end| find(lower.as_bytes(), end))
        .min();
    let lower = lower.get(..end.unwrap_or(lower.len())).unwrap_or_default();
    let hosts: Vec<&str> = lower
        .lines()
        .filter_map(|line| line.strip_prefix("host:"))
        .map(|host| host.trim())
        .collect();
    assert_eq!(hosts.len(), 1, "{asked}");
    let known = ["localhost", "127.", "[::1]", "mail.example"];
    assert!(
        known.iter().any(|name| hosts[0].starts_with(name)),
        "{asked}"
    );
    if method == "POST " {
        let sites = lower
            .lines()
            .filter_map(|line| line.strip_prefix("sec-fetch-site:"));
        assert!(
            sites.map(str::trim).all(|site| site == "same-origin"),
            "{asked}"
        );
    }
});
