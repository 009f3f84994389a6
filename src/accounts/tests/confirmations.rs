//! Who signed in: stored where expected, held for a yes where not, dropped at a no.

use super::*;
use crate::accounts::{Admitted, Outcome, Pending};
use crate::config::Protocol;

const USER: &str = "code@example.org";

/// Lets a login wait and somebody sign in for it.
async fn signed_in(house: &House, state: &str, who: &str) -> Outcome {
    house.fake.grants_to("one", 3_600, who);
    house.answers(state, "c").await
}

fn confirm_value(outcome: &Outcome) -> String {
    let Outcome::Differs { confirm, .. } = outcome else {
        panic!("{outcome:?}")
    };
    confirm.clone()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_expected_is_stored_without_asking() {
    let file = USUAL.replace(
        "redirect_uri",
        "sign_in_as = Delegate@Example.org\nredirect_uri",
    );
    for (file, who) in [
        (USUAL, "Code@EXAMPLE.org"),
        (USUAL, ""),
        (file.as_str(), "delegate@example.org"),
        (file.as_str(), "code@example.org"),
    ] {
        let house = House::with("", file);
        let login = house.wait(USER, "pw");
        house.urls(1).await;
        assert_eq!(
            signed_in(&house, "s0", who).await,
            Outcome::Authorised {
                account: USER.into()
            },
            "{who}"
        );
        assert_eq!(login.await.unwrap().unwrap(), "one");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_else_waits_for_a_yes_and_logins_wait_on() {
    let (log, _guard) = Log::begin();
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let outcome = signed_in(&house, "s0", "delegate@example.org").await;
    let confirm = confirm_value(&outcome);
    assert_eq!(confirm.len(), 43);
    assert!(
        matches!(&outcome, Outcome::Differs { account, signed_in, .. }
            if account == USER && signed_in.as_str() == "delegate@example.org"),
        "{outcome:?}"
    );
    let text = log.text();
    assert!(
        text.contains("WARN delegate@example.org signed in for account code@example.org")
            && text.contains("sign_in_as = delegate@example.org"),
        "{text}"
    );
    let state = house.state(USER);
    assert_eq!(state.state, "waiting for a yes to who signed in");
    assert!(house.has_nothing_at_rest());
    // Who logs in now waits for the same yes, and is not sent to an address that is used up.
    let late = house.wait(USER, "pw");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!login.is_finished() && !late.is_finished());
    assert_eq!(house.fake.questions.load(Ordering::SeqCst), 1);
    let doubt = house.accounts.pending().borrow()[0].doubt.clone().unwrap();
    assert_eq!(doubt.confirm, confirm);

    for forged in ["", "x", "s0"] {
        assert_eq!(house.accounts.confirm(forged, true).await, Outcome::Unknown);
    }
    let outcome = house.accounts.confirm(&confirm, true).await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
    assert_eq!(login.await.unwrap().unwrap(), "one");
    assert_eq!(late.await.unwrap().unwrap(), "one");
    assert_eq!(
        house.accounts.confirm(&confirm, true).await,
        Outcome::Unknown,
        "good once"
    );
    let left = house.state(USER).expires_in.unwrap();
    assert!(left <= 3_300, "the wait counts: {left}");
    assert_eq!(house.state(USER).last_error, None);
    // It rests, with who it is; and the same person need not be confirmed again.
    let house = house.restart().await;
    let admitted = house
        .accounts
        .token(USER, &Password::from("pw"), &Caller::OWNER)
        .await
        .unwrap();
    assert_eq!(admitted.signed_in.unwrap().name, "delegate@example.org");
    house.accounts.begin(USER).await.unwrap();
    let outcome = signed_in(&house, "s1", "Delegate@example.org").await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_no_drops_the_tokens_and_asks_anew() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let outcome = signed_in(&house, "s0", "else@example.org").await;
    let confirm = confirm_value(&outcome);
    let Outcome::Again(anew) = house.accounts.confirm(&confirm, false).await else {
        panic!("not asked anew")
    };
    assert_eq!(anew.url, "https://idp.example/auth?state=s1");
    assert_eq!(
        house.accounts.confirm(&confirm, true).await,
        Outcome::Unknown
    );
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s1"]);
    let outcome = signed_in(&house, "s1", USER).await;
    assert!(matches!(outcome, Outcome::Authorised { .. }), "{outcome:?}");
    assert_eq!(login.await.unwrap().unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_tokens_are_dropped_after_ten_minutes() {
    let (log, _guard) = Log::begin();
    let house = House::with("authorisation_timeout = 1200", USUAL);
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let confirm = confirm_value(&signed_in(&house, "s0", "else@example.org").await);
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(
        house.accounts.confirm(&confirm, true).await,
        Outcome::Unknown
    );
    let mut pending = house.accounts.pending();
    let anew = |list: &Vec<Pending>| list.iter().any(|one| one.url.ends_with("s1"));
    pending.wait_for(anew).await.unwrap();
    assert!(log.text().contains("those tokens are dropped"));
    let refusal = login.await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::ConsentTimedOut { waited: 1_200 });
}

#[tokio::test(start_paused = true)]
async fn new_settings_make_a_yes_void() {
    let house = House::new();
    house.accounts.begin(USER).await.unwrap();
    let confirm = confirm_value(&signed_in(&house, "s0", "else@example.org").await);
    let other = USUAL.replace("client_id = app", "client_id = other");
    let config = config(house.home.path(), "", &other);
    let source: Arc<dyn Source> = Arc::clone(&house.fake) as _;
    house.accounts.reload_with(&config, source);
    assert_eq!(
        house.accounts.confirm(&confirm, true).await,
        Outcome::Unknown
    );
}

/// What a login is, with these lines in its section and whoever signed in.
fn admitted(lines: &str, who: Option<&str>) -> Admitted {
    let home = tempfile::tempdir().unwrap();
    let sections = format!(
        "[shared@example.org]\ntoken_url = https://idp.example/token\noauth2_scope = mail\nclient_id = app\n{lines}\n"
    );
    let config = config(home.path(), "", &sections);
    Admitted {
        settings: Arc::new(config.account("shared@example.org").unwrap()),
        user: "shared@example.org".into(),
        signed_in: who.map(|who| SignedIn {
            name: who.into(),
            ..SignedIn::default()
        }),
        token: AccessToken::parse("one").unwrap(),
        was_refused: false,
    }
}

#[test]
fn names_at_the_server_follow_file_server_and_token() {
    const EXCHANGE: &str = "smtp.office365.com";
    let code = "permission_url = https://idp.example/auth";
    let device = "permission_url = https://idp.example/auth\noauth2_flow = device";
    let app = "oauth2_flow = client_credentials\nclient_secret = x";
    let set = format!("{code}\nsmtp_user = set@example.org\nimap_user = box@example.org");
    let hint = format!("{code}\nsign_in_as = hint@example.org");
    let (shared, me) = ("shared@example.org", Some("me@example.org"));
    let smtp = Protocol::Smtp;
    for (lines, who, protocol, host, expected) in [
        (code, me, smtp, EXCHANGE, "me@example.org"),
        (device, me, smtp, "SMTP.office365.com", "me@example.org"),
        (code, me, Protocol::Imap, "outlook.office365.com", shared),
        (code, me, Protocol::Pop, "outlook.office365.com", shared),
        (code, me, smtp, "smtp.gmail.com", shared),
        (code, me, smtp, "mail.example.org", shared),
        (code, None, smtp, EXCHANGE, shared),
        (code, Some(""), smtp, EXCHANGE, shared),
        (app, me, smtp, EXCHANGE, shared),
        (&set, me, smtp, EXCHANGE, "set@example.org"),
        (&set, me, Protocol::Imap, EXCHANGE, "box@example.org"),
        (&set, me, Protocol::Pop, EXCHANGE, shared),
        (&hint, None, smtp, EXCHANGE, "hint@example.org"),
        (&hint, me, smtp, EXCHANGE, "me@example.org"),
    ] {
        let admitted = admitted(lines, who);
        let name = admitted.identity(protocol, host);
        assert_eq!(name, expected, "{lines}, {who:?}, {protocol:?} at {host}");
    }
    // Without an ID token the access token may tell it: {"upn":"jwt@example.org"}.
    let mut admitted = admitted(code, None);
    admitted.token = AccessToken::parse("e30.eyJ1cG4iOiJqd3RAZXhhbXBsZS5vcmcifQ.x").unwrap();
    assert_eq!(admitted.identity(smtp, EXCHANGE), "jwt@example.org");
    assert_eq!(admitted.identity(Protocol::Imap, EXCHANGE), shared);
}
