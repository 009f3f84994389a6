//! The background: tokens renewed before anybody asks, never in a hurry.

use super::tokens::authorised;
use super::*;

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
