//! Consents: shared by all who wait, good once and for ten minutes, unmoved by strangers.

use super::*;
use crate::accounts::Outcome;

const USER: &str = "code@example.org";

#[tokio::test(start_paused = true)]
async fn all_waiting_logins_share_one_consent_and_its_lines_in_the_log() {
    let (log, _guard) = Log::begin();
    let house = House::new();
    let logins: Vec<_> = (0..20).map(|_| house.wait(USER, "pw")).collect();
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s0"]);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let shown = house.accounts.pending().borrow()[0].clone();
    assert_eq!(shown.redirect_uri.as_deref(), Some("http://localhost:8825"));
    assert!(shown.listen);
    let state = house.state(USER);
    assert_eq!(state.state, "waiting for consent");
    assert_eq!(
        state.url.as_deref(),
        Some("https://idp.example/auth?state=s0")
    );
    house.fake.grants("one", 3_600, Some("r1"));
    let outcome = house.answers("s0", "c0").await;
    assert_eq!(
        outcome,
        Outcome::Authorised {
            account: USER.into()
        }
    );
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap(), "one");
    }
    assert_eq!(house.fake.asked(), ["code c0 s3cret"]);
    assert!(house.urls(0).await.is_empty());
    assert_eq!(house.state(USER).state, "authorised");
    let text = log.text();
    let once = |line: &str| assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
    once("Authorisation request received for code@example.org (local server auth mode)\n");
    once(
        "Please visit the following URL to authenticate account code@example.org: https://idp.example/auth?state=s0\n",
    );
}

#[tokio::test(start_paused = true)]
async fn forged_used_and_empty_states_move_nothing() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    for forged in ["", "s", "s1", "s00", "S0"] {
        assert_eq!(house.answers(forged, "evil").await, Outcome::Unknown);
    }
    assert_eq!(house.urls(1).await.len(), 1);
    house.fake.grants("one", 3_600, None);
    house.answers("s0", "c0").await;
    assert_eq!(house.answers("s0", "c0").await, Outcome::Unknown);
    login.await.unwrap().unwrap();
    assert_eq!(house.fake.asked(), ["code c0 s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn r15_an_answer_that_does_not_fit_in_every_point_takes_nothing() {
    let (log, _guard) = Log::begin();
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let answer = |came_to: &[&str]| Answer {
        state: "s0".into(),
        code: Some(Secret::from("c0")),
        came_to: Some(came_to.iter().map(|at| (*at).to_owned()).collect()),
        ..Answer::default()
    };
    for elsewhere in [&[][..], &["other@example.org"]] {
        let outcome = house.accounts.finish(answer(elsewhere)).await;
        assert_eq!(outcome, Outcome::Unknown);
    }
    assert!(
        log.text().contains("another account's redirect address"),
        "{}",
        log.text()
    );
    house.fake.grants("one", 3_600, None);
    let here = answer(&["other@example.org", USER]);
    assert!(matches!(
        house.accounts.finish(here).await,
        Outcome::Authorised { .. }
    ));
    assert_eq!(login.await.unwrap().unwrap(), "one");
    assert_eq!(house.fake.asked(), ["code c0 s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn a_denied_consent_ends_the_wait_with_the_reason() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let outcome = house
        .accounts
        .finish(Answer {
            state: "s0".into(),
            error: Some(Said::new("access_denied")),
            error_description: Some(Said::new("the user said no")),
            ..Answer::default()
        })
        .await;
    let settings = house.accounts.world().config.account(USER).unwrap();
    let why = crate::oauth::of_browser("access_denied", "the user said no");
    let why = why.for_case(&settings.known());
    assert!(
        why.to_string()
            .starts_with("access_denied: the user said no; ")
    );
    assert_eq!(
        outcome,
        Outcome::Failed {
            account: USER.into(),
            why: why.clone()
        }
    );
    assert_eq!(
        login.await.unwrap().unwrap_err(),
        Refusal::ConsentRefused(why)
    );
    assert!(house.fake.asked().is_empty());
    let noted = house.state(USER).last_error.unwrap();
    assert!(noted.contains("the user said no"), "{noted}");
    // The next login asks anew.
    let login = house.wait(USER, "pw");
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s1"]);
    let empty = Answer {
        state: "s1".into(),
        ..Answer::default()
    };
    assert!(matches!(
        house.accounts.finish(empty).await,
        Outcome::Failed { .. }
    ));
    assert!(matches!(
        login.await.unwrap().unwrap_err(),
        Refusal::ConsentRefused(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_code_is_never_tried_twice() {
    for (error, temporary) in [(DEAD(), false), (DOWN(), true)] {
        let house = House::new();
        let login = house.wait(USER, "pw");
        house.urls(1).await;
        house.fake.fails(error);
        assert!(matches!(
            house.answers("s0", "c0").await,
            Outcome::Failed { .. }
        ));
        assert_eq!(login.await.unwrap().unwrap_err().is_temporary(), temporary);
        assert_eq!(house.answers("s0", "c0").await, Outcome::Unknown);
        assert_eq!(house.fake.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_consent_is_kept_for_the_next_login_and_rests_at_once() {
    let house = House::with("authorisation_timeout = 60", USUAL);
    let begin = tokio::time::Instant::now();
    let refusal = house.log_in(USER, "pw").await.unwrap_err();
    assert_eq!(refusal, Refusal::ConsentTimedOut { waited: 60 });
    assert_eq!(begin.elapsed().as_secs(), 60);
    tokio::time::advance(Duration::from_secs(530)).await;
    assert_eq!(house.urls(1).await.len(), 1);
    house.fake.grants("one", 3_600, Some("r1"));
    assert!(matches!(
        house.answers("s0", "c").await,
        Outcome::Authorised { .. }
    ));
    assert_eq!(house.log_in(USER, "other").await.unwrap_err(), wrong());
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn r15_after_ten_minutes_a_consent_lapses_and_the_next_login_asks_anew() {
    let house = House::with("authorisation_timeout = 60", USUAL);
    house.log_in(USER, "pw").await.unwrap_err();
    // The background takes it from the list by itself.
    let begin = tokio::time::Instant::now();
    house.urls(0).await;
    assert!(
        (535..605).contains(&begin.elapsed().as_secs()),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(house.answers("s0", "c").await, Outcome::Unknown);
    // Whoever asked for it by a command is told.
    let noted = house.state(USER).last_error.unwrap();
    assert!(noted.starts_with("nobody signed in"), "{noted}");
    let login = house.wait(USER, "pw");
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s1"]);
    login.abort();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_outlasts_its_consent_meets_a_new_one() {
    let house = House::with("authorisation_timeout = 300", USUAL);
    house.log_in(USER, "pw").await.unwrap_err();
    tokio::time::advance(Duration::from_secs(200)).await;
    let login = house.wait(USER, "pw");
    let mut pending = house.accounts.pending();
    pending
        .wait_for(|list| list.iter().any(|pending| pending.url.ends_with("s1")))
        .await
        .unwrap();
    house.fake.grants("one", 60, None);
    house.answers("s1", "c").await;
    assert_eq!(login.await.unwrap().unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_consent_without_a_login_waits_in_memory_for_the_first_one() {
    let house = House::new();
    let pending = house.accounts.begin(USER).await.unwrap();
    assert_eq!(house.accounts.begin(USER).await.unwrap(), pending);
    house.fake.grants("one", 3_600, Some("r1"));
    assert!(matches!(
        house.answers("s0", "c").await,
        Outcome::Authorised { .. }
    ));
    assert_eq!(
        house.state(USER).state,
        "authorised, not yet sealed: waiting for the next login"
    );
    assert!(house.has_nothing_at_rest());
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    assert_eq!(house.state(USER).state, "authorised");
    assert_eq!(house.log_in(USER, "other").await.unwrap_err(), wrong());
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consent_for_a_locked_account_wins_over_what_rests() {
    let house = tokens::authorised("r1", 3_600).await.restart().await;
    house.accounts.begin(USER).await.unwrap();
    house.fake.grants("new", 3_600, Some("r2"));
    house.answers("s1", "c").await;
    assert_eq!(house.log_in(USER, "other").await.unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "new");
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn two_accounts_can_wait_at_once() {
    let two = format!("{USUAL}\n{}", USUAL.replace("@example.org", "@example.net"));
    let house = House::with("", &two);
    let one = house.wait(USER, "pw");
    house.urls(1).await;
    let other = house.wait("code@example.net", "pw");
    house.urls(2).await;
    house.fake.grants("for-net", 60, None);
    house.answers("s1", "c1").await;
    assert_eq!(other.await.unwrap().unwrap(), "for-net");
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s0"]);
    house.fake.grants("for-org", 60, None);
    house.answers("s0", "c0").await;
    assert_eq!(one.await.unwrap().unwrap(), "for-org");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_leaves_does_not_lose_the_code() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    house.fake.hold();
    let accounts = Arc::clone(&house.accounts);
    let browser = tokio::spawn(async move {
        let code = Some(Secret::from("c0"));
        let answer = Answer {
            state: "s0".into(),
            code,
            ..Answer::default()
        };
        accounts.finish(answer).await
    });
    while house.fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    browser.abort();
    browser.await.unwrap_err();
    // Who logs in while the code is redeemed joins in.
    let late = house.wait(USER, "pw");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    house.fake.grants("one", 60, None);
    house.fake.go_on();
    assert_eq!(login.await.unwrap().unwrap(), "one");
    assert_eq!(late.await.unwrap().unwrap(), "one");
    assert_eq!(house.fake.questions.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pasted_address_must_be_the_right_one() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let paste = async |text: &str| house.accounts.finish_pasted(text).await;
    assert!(paste("http://example.com/?code=c&state=s0").await.is_err());
    assert!(paste("http://localhost:8825/").await.is_err());
    assert_eq!(
        paste("http://localhost:8825/?code=c&state=s9").await,
        Ok(Outcome::Unknown)
    );
    assert_eq!(house.urls(1).await.len(), 1);
    house.fake.grants("one", 60, None);
    let outcome = paste("https://127.0.0.1:8825/?code=c%2B1&state=s0&session_state=x").await;
    assert_eq!(
        outcome,
        Ok(Outcome::Authorised {
            account: USER.into()
        })
    );
    assert_eq!(house.fake.asked(), ["code c+1 s3cret"]);
    login.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_accounts_that_need_consent_can_begin_one() {
    let house = House::new();
    let refusal = house.accounts.begin("app@example.org").await.unwrap_err();
    assert!(
        refusal.to_string().contains("client_credentials"),
        "{refusal}"
    );
    assert!(house.accounts.begin("who@example.org").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn strangers_who_ask_and_leave_shut_nobody_out() {
    let catch_all = USUAL.replace("[code@example.org]", "[@example.org]");
    let house = House::with("allow_catch_all_accounts = True", &catch_all);
    let login = house.wait("first@example.org", "pw");
    house.urls(1).await;
    for n in 0..1_500 {
        tokio::time::advance(Duration::from_millis(1)).await;
        house
            .accounts
            .begin(&format!("u{n}@example.org"))
            .await
            .unwrap();
    }
    let pending = house.accounts.pending().borrow().clone();
    assert_eq!(pending.len(), 1_000);
    let waits = |name: &str| pending.iter().any(|consent| consent.account == name);
    assert!(waits("first@example.org"), "somebody waits for it");
    assert!(waits("u1499@example.org"), "the youngest stays");
    assert!(!waits("u0@example.org"), "the oldest made room");
    house.fake.grants("one", 3_600, None);
    house.answers("s0", "c0").await;
    assert_eq!(login.await.unwrap().unwrap(), "one");
}
