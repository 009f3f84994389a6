//! The background: tokens renewed before anybody asks, never in a hurry.

use super::super::clock::pretended::Wall;
use super::tokens::authorised;
use super::*;

const CODE: &str = "code@example.org";
const DAY: u64 = 86_400;

/// Lets time pass in small steps, so that the background gets its turns.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_in_use_are_renewed_ahead_of_time() {
    let house = authorised("r1", 3_600).await;
    house.fake.grants("two", 3_600, Some("r2"));
    pass(2_840).await;
    assert_eq!(house.fake.asked().len(), 1, "not before its margin");
    pass(170).await;
    assert_eq!(house.fake.asked().len(), 2);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn locked_accounts_are_left_in_peace() {
    let house = authorised("r1", 3_600).await.restart().await;
    pass(4_000).await;
    assert_eq!(house.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn failing_renewals_come_at_longer_and_longer_intervals() {
    let house = authorised("r1", 3_600).await;
    for _ in 0..1_000 {
        house.fake.fails(DOWN());
    }
    pass(3_600 + 3_600).await;
    let asked = house.fake.asked().len() - 1;
    assert!(
        (6..=12).contains(&asked),
        "{asked} requests in some 4,200 s"
    );
    locked(&house.fake.answers).clear();
    house.fake.grants("two", 3_600, None);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn short_lived_tokens_are_renewed_twice_a_minute_at_most() {
    let house = authorised("r1", 10).await;
    for _ in 0..1_000 {
        house.fake.grants("next", 10, None);
    }
    pass(600).await;
    let asked = house.fake.asked().len() - 1;
    assert!((15..=20).contains(&asked), "{asked} requests in 600 s");
}

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_begins_no_consent_behind_anybodys_back() {
    let house = authorised("r1", 3_600).await;
    house.fake.fails(DEAD());
    pass(4_000).await;
    assert_eq!(house.fake.asked().len(), 2);
    assert!(house.accounts.pending().borrow().is_empty());
    let state = house.state("code@example.org");
    assert_eq!(state.state, "needs consent");
    assert!(state.last_error.unwrap().contains("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn client_credentials_are_renewed_too_but_not_with_a_password_nobody_brought() {
    let options = "use_login_password_as_client_credentials_secret = True";
    let house = House::with(options, USUAL);
    house.fake.grants("one", 3_600, None);
    house.fake.grants("bare", 3_600, None);
    house.log_in("app@example.org", "pw").await.unwrap();
    house.log_in("bare@example.org", "pw").await.unwrap();
    house.fake.grants("two", 36_000, None);
    pass(3_600).await;
    assert_eq!(
        house.fake.asked(),
        ["client s3cret", "client pw", "client s3cret"]
    );
}

/// Lets days pass, a minute at a time.
async fn pass_days(days: u64) {
    for _ in 0..days * 1_440 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_waits_two_seconds_at_most_while_its_token_lives() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(3_050)).await;
    house.fake.hold();
    let before = tokio::time::Instant::now();
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    // The request goes on, and its answer is there for the next.
    house.fake.grants("two", 3_600, None);
    house.fake.go_on();
    pass(1).await;
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_with_less_than_a_minute_left_waits_for_its_token() {
    let house = authorised("r1", 3_600).await;
    house.fake.hold();
    tokio::time::advance(Duration::from_secs(3_545)).await;
    let login = house.wait(CODE, "pw");
    pass(9).await;
    assert!(!login.is_finished());
    house.fake.grants("two", 3_600, None);
    house.fake.go_on();
    assert_eq!(login.await.unwrap().unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_wants_to_be_left_in_peace_is() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(3_050)).await;
    let busy = |seconds| Error::Throttled {
        said: Said::new("HTTP 429"),
        wait: Duration::from_secs(seconds),
    };
    house.fake.fails(busy(500));
    // Answered from memory while the token lives, ...
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    pass(490).await;
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked().len(), 2);
    // ... and refused for now behind its end, without asking.
    house.fake.fails(busy(86_400));
    pass(100).await;
    assert_eq!(house.fake.asked().len(), 3);
    let refusal = house.log_in(CODE, "pw").await.unwrap_err();
    assert!(matches!(refusal, Refusal::TokenUnavailable(_)), "{refusal}");
    assert_eq!(house.fake.asked().len(), 3);
    // Nobody is left in peace for longer than 15 minutes.
    house.fake.grants("two", 3_600, None);
    pass(910).await;
    assert_eq!(house.fake.asked().len(), 4);
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_all_at_once_is_spread_and_logins_go_first() {
    let people = 160;
    let mut sections = String::new();
    for n in 0..people {
        sections.push_str(&format!(
            "[u{n}@example.org]\ntoken_url = https://idp.example/token\noauth2_flow = client_credentials\noauth2_scope = mail\nclient_id = app\nclient_secret = s\n"
        ));
    }
    let house = House::with("", &sections);
    for n in 0..people {
        house.fake.grants("one", 3_600, None);
        house
            .log_in(&format!("u{n}@example.org"), "pw")
            .await
            .unwrap();
    }
    // A night of sleep: all of them are over at once.
    for _ in 0..people {
        house.fake.grants("two", 3_600, None);
    }
    house.fake.hold();
    let before = house.fake.asked().len();
    tokio::time::advance(Duration::from_secs(40_000)).await;
    pass(5).await;
    assert_eq!(house.fake.asked().len() - before, 8, "at once");
    let login = house.wait("u159@example.org", "pw");
    let login_too = house.wait("u158@example.org", "pw");
    pass(1).await;
    assert_eq!(house.fake.asked().len() - before, 10);
    house.fake.go_on();
    login.await.unwrap().unwrap();
    login_too.await.unwrap().unwrap();
    // Some 32 a second.
    pass(2).await;
    let asked = house.fake.asked().len() - before;
    assert!((40..=110).contains(&asked), "{asked} requests in 3 s");
    pass(10).await;
    assert_eq!(house.fake.asked().len() - before, people, "each once");
}

#[tokio::test(start_paused = true)]
async fn an_account_nobody_uses_any_more_is_kept_alive_only() {
    let _wall = Wall::set();
    let house = authorised("r1", 3_600).await;
    for n in 0..1_000 {
        house
            .fake
            .grants("more", 3_600, Some(&format!("r{}", n + 2)));
    }
    pass_days(7).await;
    let in_use = house.fake.asked().len();
    assert!((168..=260).contains(&in_use), "{in_use} requests in 7 days");
    pass_days(60).await;
    let kept = house.fake.asked().len() - in_use;
    // Every 10 days at the latest: nothing is known of this provider.
    assert!((6..=8).contains(&kept), "{kept} requests in 60 days");
}

#[tokio::test(start_paused = true)]
async fn with_a_store_key_an_account_is_kept_alive_from_start_without_any_login() {
    let wall = Wall::set();
    let house = House::with("store_key = file:store.key", USUAL);
    let login = house.wait(CODE, "pw");
    house.urls(1).await;
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    login.await.unwrap().unwrap();
    wall.forward(Duration::from_secs(9 * DAY));
    let house = house.restart().await;
    pass(7_200).await;
    assert_eq!(house.fake.asked().len(), 1, "nobody uses it any more");
    wall.forward(Duration::from_secs(DAY));
    house.fake.grants("two", 3_600, Some("r2"));
    pass(120).await;
    assert_eq!(house.fake.asked().len(), 2);
    pass(7_200).await;
    assert_eq!(house.fake.asked().len(), 2);
    house.fake.grants("three", 3_600, None);
    house.log_in(CODE, "pw").await.unwrap();
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r2 s3cret");
}

#[tokio::test(start_paused = true)]
async fn a_locked_account_near_its_end_is_spoken_of_once_and_a_login_mends_it() {
    let wall = Wall::set();
    let (log, _guard) = Log::begin();
    let house = authorised("r1", 3_600).await;
    assert_eq!(house.state(CODE).state, "authorised");
    let house = house.restart().await;
    wall.forward(Duration::from_secs(19 * DAY));
    pass(3_700).await;
    assert_eq!(house.state(CODE).state, "locked until the next login");
    assert!(!log.text().contains("because nobody uses it"));
    wall.forward(Duration::from_secs(2 * DAY));
    pass(2 * 3_700).await;
    let words = "the sign-in of account code@example.org ends in about 8 days";
    assert_eq!(log.text().matches(words).count(), 1, "{}", log.text());
    assert!(house.state(CODE).state.contains("ends in about 8 days"));
    assert_eq!(house.fake.asked().len(), 1);
    house.fake.grants("two", 3_600, Some("r2"));
    house.log_in(CODE, "pw").await.unwrap();
    let house = house.restart().await;
    assert_eq!(house.state(CODE).state, "locked until the next login");
}
