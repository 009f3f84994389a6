//! Each entry of the error catalogue, met by a login: the provider's real words go in at the token endpoint, the browser's
//! return or the mail server, and the remedy comes out in log, reply and status.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use emailproxy::accounts::AccountState;
use emailproxy::providers::catalogue::{
    Advice, By, Class, Entry, Known, Meaning, Sign, all, fill, handbook, own,
};
use support::client::{Client, plain_response};
use support::daemon::{Plan, Proxy, free_port};
use support::logs::Logs;
use support::provider::{CLIENT_ID, Fault, Provider, SCOPE};

const APPLICATION: &str = "application@example.com";
const PERSON: &str = "person@example.com";
const PASSWORD: &str = "secret";

/// Where a login is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Imap,
    Pop,
    Smtp,
}

impl Speaks {
    const ALL: [Self; 3] = [Self::Imap, Self::Pop, Self::Smtp];

    /// Whose words these are.
    fn of(said: &str) -> Self {
        match said.split([' ', '-']).next().unwrap() {
            "NO" | "BAD" => Self::Imap,
            "" => Self::Pop,
            _ => Self::Smtp,
        }
    }

    /// How a refusal begins that may pass.
    fn later(self) -> &'static str {
        match self {
            Self::Imap => "NO [UNAVAILABLE] ",
            Self::Pop => "-ERR [SYS/TEMP] ",
            Self::Smtp => "454 4.7.0 ",
        }
    }
}

/// A proxy with an account that is an application's and one that is a person's, both of which need nobody to sign in.
async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    provider.world.register.set_password(PERSON, PASSWORD);
    let person = format!(
        "[{PERSON}]\ntoken_url = {}\noauth2_flow = password\noauth2_scope = {SCOPE}\nclient_id = {CLIENT_ID}\n",
        provider.token_url()
    );
    let proxy = Plan::for_provider(&provider)
        .app(&provider, APPLICATION)
        .section(&person)
        .start();
    (provider, proxy)
}

/// Logs in and returns the last line of the reply, without a tag.
async fn log_in(proxy: &Proxy, speaks: Speaks, user: &str, password: &str) -> String {
    match speaks {
        Speaks::Imap => {
            let said = proxy
                .imap()
                .await
                .imap(&format!("LOGIN {user} {password}"))
                .await;
            said.last().unwrap().clone()
        }
        Speaks::Pop => {
            let mut client = proxy.pop().await;
            client.ask(&format!("USER {user}")).await;
            client.ask(&format!("PASS {password}")).await
        }
        Speaks::Smtp => {
            let mut client: Client = proxy.smtp().await;
            let response = plain_response(user, password);
            let said = client.smtp(&format!("AUTH PLAIN {response}")).await;
            said.last().unwrap().clone()
        }
    }
}

fn state(proxy: &Proxy, user: &str) -> AccountState {
    let all = proxy.daemon.accounts.snapshot();
    all.into_iter().find(|state| state.account == user).unwrap()
}

fn known(user: &str, server: Option<&str>) -> Known {
    Known {
        account: Some(user.to_owned()),
        client_id: Some(CLIENT_ID.to_owned()),
        tenant: None,
        server: server.map(str::to_owned),
        by: By::Anybody,
    }
}

/// What a client must see of a remedy: all of it where it is short, else its beginning.
fn beginning(remedy: &str) -> &str {
    remedy.get(..70).unwrap_or(remedy)
}

/// Holds log, reply and status against an entry.
fn hold(
    entry: &Entry,
    known: &Known,
    speaks: Speaks,
    logs: &Logs,
    reply: &str,
    state: &AccountState,
) {
    let (cause, remedy) = (
        fill(entry.means.cause, known),
        fill(entry.means.remedy, known),
    );
    let both = format!("; {cause}; {remedy}");
    assert!(logs.hold(&both), "{entry:?}\n{both}\n{}", logs.text());
    assert!(reply.contains(beginning(&remedy)), "{entry:?}\n{reply}");
    assert!(
        reply.len() <= 400 && !reply.contains(['\r', '\n']),
        "{reply}"
    );
    assert_eq!(
        reply.starts_with(speaks.later()),
        entry.means.temporary,
        "{entry:?}: {reply}"
    );
    assert_eq!(state.class, Some(entry.means.class), "{entry:?}: {state:?}");
    assert_eq!(state.cause.as_deref(), Some(&*cause), "{entry:?}");
    assert_eq!(state.remedy.as_deref(), Some(&*remedy), "{entry:?}");
    let words = state.last_error.as_ref().unwrap();
    assert!(!words.contains(&*remedy), "{words}");
}

/// The `error` word and the HTTP status that an entry's error comes with at a token endpoint.
fn at_endpoint(entry: &Entry) -> Option<(&'static str, u16)> {
    let status = if entry.means.temporary { 503 } else { 400 };
    match entry.sign {
        Sign::Entra { error, .. } => Some((error, 400)),
        Sign::Word { error, .. } => Some((error, status)),
        Sign::Server { .. } | Sign::Own => None,
    }
}

#[tokio::test]
async fn what_token_endpoints_say_is_explained_in_log_reply_and_status() {
    let (provider, proxy) = ready().await;
    let mut met = 0;
    let errors = all().filter_map(|entry| Some((entry, at_endpoint(entry)?)));
    for (turn, (entry, (error, status))) in errors.enumerate() {
        let fault = Fault::json(status, error, entry.said);
        provider
            .world
            .turn(|knobs| knobs.token_faults = [fault].into());
        let speaks = Speaks::ALL[turn % 3];
        let logs = Logs::catch();
        let reply = log_in(&proxy, speaks, APPLICATION, PASSWORD).await;
        let left = provider.world.knob(|knobs| knobs.token_faults.len());
        assert_eq!(left, 0, "{entry:?} was not asked for: {reply}");
        let now = state(&proxy, APPLICATION);
        hold(
            entry,
            &known(APPLICATION, None),
            speaks,
            &logs,
            &reply,
            &now,
        );
        met += 1;
    }
    assert!(met > 200, "{met}");
}

#[tokio::test]
async fn what_mail_servers_say_is_explained_in_log_reply_and_status() {
    let (provider, proxy) = ready().await;
    let mut met = 0;
    for entry in all() {
        let Sign::Server { by, .. } = entry.sign else {
            continue;
        };
        let user = match by {
            By::Person => PERSON,
            By::Anybody | By::Application => APPLICATION,
        };
        let speaks = Speaks::of(entry.said);
        provider
            .world
            .turn(|knobs| knobs.refusal = Some(entry.said.to_owned()));
        let logs = Logs::catch();
        let reply = log_in(&proxy, speaks, user, PASSWORD).await;
        let now = state(&proxy, user);
        let known = known(user, Some("127.0.0.1"));
        hold(entry, &known, speaks, &logs, &reply, &now);
        if speaks != Speaks::Smtp && !entry.means.temporary {
            let code = match (entry.means.class, speaks) {
                (Class::ReAuthorise, Speaks::Imap) => "NO [AUTHENTICATIONFAILED] ",
                (Class::ReAuthorise, _) => "-ERR [AUTH] ",
                (_, Speaks::Imap) => "NO [CONTACTADMIN] ",
                _ => "-ERR [SYS/PERM] ",
            };
            assert!(reply.starts_with(code), "{entry:?}: {reply}");
        }
        met += 1;
    }
    assert!(met > 60, "{met}");

    // Who is let in again is no trouble any more, but only where that happened.
    provider
        .world
        .turn(|knobs| knobs.refusal = Some("NO AUTHENTICATE failed.".into()));
    log_in(&proxy, Speaks::Imap, APPLICATION, PASSWORD).await;
    provider.world.turn(|knobs| knobs.refusal = None);
    log_in(&proxy, Speaks::Smtp, APPLICATION, PASSWORD).await;
    assert!(state(&proxy, APPLICATION).remedy.is_some());
    log_in(&proxy, Speaks::Imap, APPLICATION, PASSWORD).await;
    let now = state(&proxy, APPLICATION);
    assert_eq!((now.last_error, now.class, now.remedy), (None, None, None));
}

#[tokio::test]
async fn what_a_browser_brings_back_is_explained_in_log_reply_and_status() {
    for (error, description) in [
        (
            "access_denied",
            "AADSTS65004: User declined to consent to access the app.",
        ),
        ("access_denied", ""),
        ("admin_policy_enforced", ""),
        ("org_internal", ""),
        (
            "invalid_request",
            "AADSTS50011: The redirect URI does not match.",
        ),
        (
            "interaction_required",
            "AADSTS16000: does not exist in tenant",
        ),
        ("temporarily_unavailable", ""),
    ] {
        let provider = Provider::start().await;
        provider
            .world
            .turn(|knobs| knobs.consent_error = Some((error, description)));
        let proxy = Plan::for_provider(&provider)
            .person(&provider, PERSON, free_port())
            .start();
        let entry =
            emailproxy::providers::catalogue::authorization_error(error, description).unwrap();
        let logs = Logs::catch();
        let asked = async {
            let url = proxy.asked().await;
            drop(reqwest::get(url).await);
        };
        let (reply, ()) = tokio::join!(log_in(&proxy, Speaks::Imap, PERSON, PASSWORD), asked);
        let advice = Advice::of(entry).for_case(&known(PERSON, None));
        assert!(logs.hold(&advice.to_string()), "{error}: {}", logs.text());
        assert!(
            reply.contains(beginning(&advice.remedy())),
            "{error}: {reply}"
        );
        let now = state(&proxy, PERSON);
        assert_eq!(now.class, Some(advice.class()), "{error}");
        assert_eq!(now.remedy, Some(advice.remedy()), "{error}");
    }
}

/// Returns the entry of ours that has this meaning.
fn ours(means: &Meaning) -> &'static Entry {
    let mut own = all().filter(|entry| entry.sign == Sign::Own);
    own.find(|entry| entry.means == means).unwrap()
}

#[tokio::test]
async fn what_emailproxy_refuses_itself_is_explained_as_far_as_a_stranger_may_know() {
    let (provider, proxy) = ready().await;
    let mut met = Vec::new();
    log_in(&proxy, Speaks::Imap, APPLICATION, PASSWORD).await;

    // A stranger learns the same of all three, the log tells them apart.
    let same = "the user name or password for account";
    for (user, means) in [
        ("nobody@example.com", &own::UNKNOWN_ACCOUNT),
        (APPLICATION, &own::WRONG_PASSWORD),
    ] {
        let logs = Logs::catch();
        let reply = log_in(&proxy, Speaks::Imap, user, "wrong").await;
        assert!(logs.hold(&means.to_string()), "{means:?}: {}", logs.text());
        assert!(
            reply.contains(same) && !reply.contains(means.remedy),
            "{reply}"
        );
        met.push(means);
    }
    let logs = Logs::catch();
    let reply = log_in(&proxy, Speaks::Imap, APPLICATION, "\"\"").await;
    assert!(reply.contains("no password provided"), "{reply}");
    assert!(logs.hold(&own::NO_PASSWORD.to_string()), "{}", logs.text());
    met.push(&own::NO_PASSWORD);

    // What nobody knows is told in the provider's own words.
    let faults = [
        (400, "never_heard_of", &own::TOKEN_REFUSED),
        (503, "never_heard_of", &own::TOKEN_UNAVAILABLE),
    ];
    for (status, error, means) in faults {
        let (provider, proxy) = ready().await;
        let fault = Fault::json(status, error, "a mystery");
        provider
            .world
            .turn(|knobs| knobs.token_faults = [fault].into());
        let reply = log_in(&proxy, Speaks::Pop, APPLICATION, PASSWORD).await;
        assert!(
            reply.contains(ours(means).said) && reply.contains("a mystery"),
            "{reply}"
        );
        assert_eq!(
            state(&proxy, APPLICATION).remedy.as_deref(),
            Some(means.remedy)
        );
        met.push(means);
    }
    for (said, means) in [
        ("-ERR a mystery", &own::SERVER_REFUSED),
        ("-ERR a mystery with backoff", &own::SERVER_BUSY),
        ("what?", &own::SERVER_MISBEHAVED),
    ] {
        provider
            .world
            .turn(|knobs| knobs.refusal = Some(said.into()));
        let logs = Logs::catch();
        let reply = log_in(&proxy, Speaks::Pop, APPLICATION, PASSWORD).await;
        assert!(reply.contains(ours(means).said), "{reply}");
        assert!(logs.hold(ours(means).said), "{}", logs.text());
        let remedy = fill(means.remedy, &known(APPLICATION, None));
        assert_eq!(state(&proxy, APPLICATION).remedy, Some(remedy));
        met.push(means);
    }
    provider.vanish();
    let reply = log_in(&proxy, Speaks::Imap, APPLICATION, PASSWORD).await;
    let means = &own::SERVER_UNAVAILABLE;
    assert!(reply.contains(ours(means).said), "{reply}");
    assert_eq!(state(&proxy, APPLICATION).class, Some(means.class));
    met.push(means);

    // These need a scene of their own: `tests/consent.rs`, `tests/limits.rs`, `tests/config.rs`, `tests/commands.rs`.
    let elsewhere = [
        &own::INCOMPLETE,
        &own::CONSENT_TIMED_OUT,
        &own::CONSENT_REFUSED,
        &own::MISCONFIGURED,
        &own::BUSY,
        &own::SHUTTING_DOWN,
    ];
    for entry in all().filter(|entry| entry.sign == Sign::Own) {
        let seen = met
            .iter()
            .chain(&elsewhere)
            .any(|means| *means == entry.means);
        assert!(seen, "{entry:?} is met by no login");
    }
}

#[tokio::test]
async fn hostile_words_are_harmless() {
    let (provider, proxy) = ready().await;
    let huge = "x".repeat(60_000);
    for hostile in [
        "AADSTS7000215: <script>alert(1)</script>",
        "AADSTS7000215: \u{1b}[2J\u{1b}]0;owned\u{7}",
        "AADSTS7000215: a\r\n250 OK\r\n* BYE b",
        "AADSTS7000215: {account} {client_id} $(reboot) `reboot`",
        &format!("AADSTS7000215: {huge}"),
        &format!("{huge} AADSTS7000215"),
        "AADSTS99999999999999999999: \u{202e}",
    ] {
        for (turn, speaks) in Speaks::ALL.into_iter().enumerate() {
            let fault = Fault::json(400, "invalid_client", hostile);
            provider
                .world
                .turn(|knobs| knobs.token_faults = [fault].into());
            let logs = Logs::catch();
            let reply = log_in(&proxy, speaks, APPLICATION, PASSWORD).await;
            let text = logs.text();
            let plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
            assert!(
                reply.chars().all(plain) && text.chars().all(plain),
                "{reply:?}"
            );
            assert!(reply.len() < 500, "{reply}");
            assert!(text.lines().all(|line| line.len() < 3_000));
            assert!(turn > 0 || reply.contains("client"), "{reply}");
            let now = state(&proxy, APPLICATION);
            assert_eq!(now.class, Some(Class::FixConfiguration));
            assert!(now.last_error.unwrap().len() < 1_200);
        }
    }
    // Ten million bytes are not even read.
    let whole = Fault {
        status: 400,
        content_type: "application/json",
        body: format!(
            r#"{{"error":"invalid_client","error_description":"{}"}}"#,
            "y".repeat(10_000_000)
        ),
    };
    provider
        .world
        .turn(|knobs| knobs.token_faults = [whole].into());
    let reply = log_in(&proxy, Speaks::Smtp, APPLICATION, PASSWORD).await;
    assert!(
        reply.starts_with("454 ") && reply.contains("longer than"),
        "{reply}"
    );
    // A mail server's as well, even with a code that is known.
    for hostile in ["535 5.7.139 \u{1b}[2J", "535 5.7.139 <b>{client_id}</b>"] {
        provider
            .world
            .turn(|knobs| knobs.refusal = Some(hostile.into()));
        let logs = Logs::catch();
        let reply = log_in(&proxy, Speaks::Smtp, APPLICATION, PASSWORD).await;
        assert!(reply.is_ascii() && !reply.contains('\u{1b}'), "{reply:?}");
        assert!(!logs.hold("\u{1b}"));
    }
}

#[tokio::test]
async fn what_a_stranger_typed_is_not_made_a_command() {
    let provider = Provider::start().await;
    let catch_all = support::daemon::app(&provider, "@example.com");
    let proxy = Plan::for_provider(&provider)
        .option("allow_catch_all_accounts = True")
        .section(&catch_all)
        .start();
    provider.world.turn(|knobs| {
        knobs.refusal = Some("NO AUTHENTICATE failed.".into());
    });
    let logs = Logs::catch();
    log_in(
        &proxy,
        Speaks::Imap,
        "\"x;$(reboot)@example.com\"",
        PASSWORD,
    )
    .await;
    let text = logs.text();
    let command = text.split("Add-MailboxPermission -Identity ").nth(1);
    assert!(command.unwrap().starts_with("<account> "), "{text}");
}

#[test]
fn the_troubleshooting_page_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/TROUBLESHOOTING.md");
    if std::env::var_os("EMAILPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, handbook()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == handbook(),
        "docs/TROUBLESHOOTING.md is not what the catalogue says: EMAILPROXY_WRITE_DOCS=1 cargo test --test catalogue"
    );
}
