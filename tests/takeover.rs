//! The predecessor's files, taken over as they are: nobody consents again, no token is fetched that is not needed, and
//! the files stay as they were.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use support::client::plain_response;
use support::daemon::{Plan, Proxy, free_port, person, read, redirected};
use support::logs::Logs;
use support::predecessor::Seal;
use support::provider::{CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};

/// An end that lies far away, and one that is long past.
const FRESH: &str = "4000000000";
const ENDED: &str = "1700000000";

/// How a mail program logs in.
#[derive(Clone, Copy, Debug)]
enum Way {
    ImapQuoted,
    ImapLiteral,
    ImapPlain,
    Pop,
    SmtpPlain,
    SmtpLogin,
}

/// Somebody who used the predecessor.
struct Moved {
    name: &'static str,
    password: &'static str,
    /// The password as the predecessor understood it: it left doubled backslashes in quoted strings as they were.
    understood: &'static str,
    rounds: u32,
    way: Way,
}

const EVERYBODY: [Moved; 7] = [
    Moved {
        name: "quoted@example.com",
        password: r#"a\b€ä"c"#,
        understood: r#"a\\b€ä"c"#,
        rounds: 1_200_000,
        way: Way::ImapQuoted,
    },
    Moved {
        name: "knotted@example.com",
        password: r#"tr\\x\""#,
        understood: r#"tr\\\\x\\""#,
        rounds: 100_000,
        way: Way::ImapQuoted,
    },
    Moved {
        name: "literal@example.com",
        password: r#"lit \"ä€"#,
        understood: r#"lit \"ä€"#,
        rounds: 870_000,
        way: Way::ImapLiteral,
    },
    Moved {
        name: "plain@example.com",
        password: r#"pl\\ä€""#,
        understood: r#"pl\\ä€""#,
        rounds: 100_000,
        way: Way::ImapPlain,
    },
    Moved {
        name: "pop@example.com",
        password: r#"pop \ä€" x"#,
        understood: r#"pop \ä€" x"#,
        rounds: 870_000,
        way: Way::Pop,
    },
    Moved {
        name: "smtp@example.com",
        password: r#"sm \ä€" x"#,
        understood: r#"sm \ä€" x"#,
        rounds: 1_200_000,
        way: Way::SmtpPlain,
    },
    Moved {
        name: "prompted@example.com",
        password: "pr\u{f6}mpt",
        understood: "pr\u{f6}mpt",
        rounds: 100_000,
        way: Way::SmtpLogin,
    },
];

/// Logs in and returns the last word and whether it was yes.
async fn log_in(proxy: &Proxy, way: Way, user: &str, password: &str) -> (bool, String) {
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    match way {
        Way::ImapQuoted | Way::ImapLiteral | Way::ImapPlain => {
            let mut client = proxy.imap().await;
            match way {
                Way::ImapQuoted => {
                    let quoted = password.replace('\\', r"\\").replace('"', "\\\"");
                    client.say(&format!("x LOGIN {user} \"{quoted}\"")).await;
                }
                Way::ImapLiteral => {
                    client.ask(&format!("x LOGIN {{{}}}", user.len())).await;
                    client.ask(&format!("{user} {{{}}}", password.len())).await;
                    client.say(password).await;
                }
                _ => {
                    client.ask("x AUTHENTICATE PLAIN").await;
                    client.say(&plain_response(user, password)).await;
                }
            }
            let said = client.until_tagged("x").await.pop().unwrap();
            (said.starts_with("OK"), said)
        }
        Way::Pop => {
            let mut client = proxy.pop().await;
            client.ask(&format!("USER {user}")).await;
            let said = client.ask(&format!("PASS {password}")).await;
            (said.starts_with("+OK"), said)
        }
        Way::SmtpPlain | Way::SmtpLogin => {
            let mut client = proxy.smtp().await;
            let said = if matches!(way, Way::SmtpPlain) {
                let response = plain_response(user, password);
                client.ask(&format!("AUTH PLAIN {response}")).await
            } else {
                client.ask("AUTH LOGIN").await;
                client.ask(&base64(user)).await;
                client.ask(&base64(password)).await
            };
            (said.starts_with("235"), said)
        }
    }
}

/// Consents as the predecessor had its user do, and returns the access and the refresh token.
async fn tokens(provider: &Provider, user: &str) -> (String, String) {
    let redirect = "http://localhost:1";
    let question = [
        ("client_id", CLIENT_ID),
        ("redirect_uri", redirect),
        ("scope", SCOPE),
        ("response_type", "code"),
        ("login_hint", user),
        ("state", "s"),
    ];
    let url = url::Url::parse_with_params(&provider.permission_url(), question).unwrap();
    let end = url::Url::parse(&redirected(url.as_str()).await).unwrap();
    let code = end.query_pairs().find(|(key, _)| key == "code").unwrap().1;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("redirect_uri", redirect),
        ("code", &code),
    ];
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = browser.post(provider.token_url()).form(&form).send().await;
    let answer: serde_json::Value = answer.unwrap().json().await.unwrap();
    let text = |key: &str| answer[key].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

/// What the predecessor wrote down for everybody, account by account.
async fn cached(provider: &Provider, until: &str) -> Vec<String> {
    let mut all = Vec::new();
    for moved in &EVERYBODY {
        let (access, refresh) = tokens(provider, moved.name).await;
        let seal = Seal::new(moved.understood, moved.rounds);
        all.push(format!(
            "{}access_token = {}\naccess_token_expiry = {until}\nrefresh_token = {}\nlast_activity = 1700000000\n",
            seal.lines(),
            seal.close(&access),
            seal.close(&refresh)
        ));
    }
    all
}

fn with_sections(provider: &Provider, mut plan: Plan, cached: &[String]) -> Plan {
    for (at, moved) in EVERYBODY.iter().enumerate() {
        let section = person(provider, moved.name, free_port());
        let cached = cached.get(at).map_or("", String::as_str);
        plan = plan.section(&format!("{section}{cached}"));
    }
    plan
}

/// Takes the cached values out of a configuration file, as somebody does who tidies up.
fn tidy(path: &Path) {
    let cached = ["token_", "access_token", "refresh_token", "last_activity"];
    let mut kept = String::new();
    for line in read(path).lines() {
        if line.starts_with("token_url") || !cached.iter().any(|key| line.starts_with(key)) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    std::fs::write(path, kept).unwrap();
}

async fn everybody_logs_in(proxy: &Proxy) {
    for moved in &EVERYBODY {
        let (yes, said) = log_in(proxy, moved.way, moved.name, moved.password).await;
        assert!(yes, "{}: {said}", moved.name);
    }
}

#[tokio::test]
async fn cached_tokens_are_used_as_they_are_and_nobody_is_asked() {
    let logs = Logs::catch();
    let provider = Provider::start().await;
    let cached = cached(&provider, FRESH).await;
    let asked = provider.world.register.requests().len();
    let proxy = with_sections(&provider, Plan::for_provider(&provider), &cached).start();
    let file = read(&proxy.path);
    let stranger = &EVERYBODY[0];
    let (yes, said) = log_in(&proxy, stranger.way, stranger.name, "wrong").await;
    assert!(
        !yes && said.starts_with("NO [AUTHENTICATIONFAILED]"),
        "{said}"
    );
    everybody_logs_in(&proxy).await;
    everybody_logs_in(&proxy).await;
    assert_eq!(read(&proxy.path), file);

    // From now on our own store is enough.
    tidy(&proxy.path);
    let proxy = proxy.restart().await;
    let (yes, said) = log_in(&proxy, stranger.way, stranger.name, "wrong").await;
    assert!(!yes, "{said}");
    everybody_logs_in(&proxy).await;
    assert_eq!(provider.world.register.requests().len(), asked);
    assert!(!logs.hold("Please visit"), "{}", logs.text());
}

#[tokio::test]
async fn ended_tokens_are_refreshed_once_each() {
    let provider = Provider::start().await;
    provider.world.turn(|knobs| knobs.rotate = true);
    let cached = cached(&provider, ENDED).await;
    let asked = provider.world.register.requests().len();
    let proxy = with_sections(&provider, Plan::for_provider(&provider), &cached).start();
    let file = read(&proxy.path);
    everybody_logs_in(&proxy).await;
    everybody_logs_in(&proxy).await;
    assert_eq!(read(&proxy.path), file);
    let proxy = proxy.restart().await;
    everybody_logs_in(&proxy).await;
    let requests = provider.world.register.requests().split_off(asked);
    assert_eq!(requests.len(), EVERYBODY.len());
    assert!(
        requests
            .iter()
            .all(|form| form["grant_type"] == "refresh_token")
    );
}

#[tokio::test]
async fn a_cache_file_of_its_own_is_taken_over_and_kept() {
    let provider = Provider::start().await;
    let cached = cached(&provider, FRESH).await;
    let asked = provider.world.register.requests().len();
    let plan = with_sections(&provider, Plan::for_provider(&provider), &[]);
    let store = plan.write().parent().unwrap().join("tokens.json");
    let mut text = String::new();
    for (moved, cached) in EVERYBODY.iter().zip(&cached) {
        text.push_str(&format!("[{}]\n{cached}\n", moved.name));
    }
    std::fs::write(&store, &text).unwrap();
    let proxy = plan.start();
    everybody_logs_in(&proxy).await;
    let proxy = proxy.restart().await;
    everybody_logs_in(&proxy).await;
    assert_eq!(provider.world.register.requests().len(), asked);
    assert_eq!(read(&store.with_extension("json.bak")), text);
}

#[tokio::test]
async fn a_secret_sealed_for_a_whole_domain_opens_with_its_password_alone() {
    let provider = Provider::start().await;
    let seal = Seal::new("shared", 870_000);
    let section = format!(
        "[@]\ntoken_url = {}\noauth2_flow = client_credentials\noauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\n\
         {}client_secret_encrypted = {}\n",
        provider.token_url(),
        seal.lines(),
        seal.close(CLIENT_SECRET)
    );
    let proxy = Plan::for_provider(&provider)
        .option("allow_catch_all_accounts = True")
        .section(&section)
        .start();
    let file = read(&proxy.path);
    for user in ["one@example.com", "two@example.org"] {
        let (yes, said) = log_in(&proxy, Way::Pop, user, "other").await;
        assert!(!yes, "{said}");
    }
    assert_eq!(provider.world.register.requests().len(), 0);
    for user in ["one@example.com", "two@example.org"] {
        for way in [Way::Pop, Way::SmtpLogin] {
            let (yes, said) = log_in(&proxy, way, user, "shared").await;
            assert!(yes, "{said}");
        }
    }
    let proxy = proxy.restart().await;
    for (user, password, right) in [
        ("one@example.com", "other", false),
        ("one@example.com", "shared", true),
    ] {
        let (yes, said) = log_in(&proxy, Way::Pop, user, password).await;
        assert_eq!(yes, right, "{said}");
    }
    assert_eq!(provider.world.register.requests().len(), 2);
    assert_eq!(read(&proxy.path), file);
}

#[tokio::test]
async fn a_plain_secret_outweighs_a_sealed_one() {
    let provider = Provider::start().await;
    let seal = Seal::new("shared", 100_000);
    let sealed = seal.close("another secret");
    let lent = format!("[@]\n{}client_secret_encrypted = {sealed}\n", seal.lines());
    let proxy = Plan::for_provider(&provider)
        .option("allow_catch_all_accounts = True")
        .section(&lent)
        .app(&provider, "one@example.com")
        .start();
    let (yes, said) = log_in(&proxy, Way::Pop, "one@example.com", "my own").await;
    assert!(yes, "{said}");
    let form = provider.world.register.requests().pop().unwrap();
    assert_eq!(form["client_secret"], CLIENT_SECRET);
    let proxy = proxy.restart().await;
    for (password, right) in [("shared", false), ("my own", true)] {
        let (yes, said) = log_in(&proxy, Way::Pop, "one@example.com", password).await;
        assert_eq!(yes, right, "{said}");
    }
}
