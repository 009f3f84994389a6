//! Tokens: one request for many, rotation that lasts, what a bad answer does and does not do.

use super::*;

#[tokio::test(start_paused = true)]
async fn fifty_first_logins_make_one_request() {
    let house = House::new();
    house.fake.hold();
    let logins: Vec<_> = (0..50)
        .map(|_| house.wait("app@example.org", "pw"))
        .collect();
    while house.fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    house.fake.grants("one", 3_600, None);
    house.fake.go_on();
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap(), "one");
    }
    assert_eq!(house.fake.asked(), ["client s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn fifty_logins_share_one_refusal() {
    let house = House::new();
    house.fake.hold();
    house.fake.fails(DOWN());
    let logins: Vec<_> = (0..50)
        .map(|_| house.wait("app@example.org", "pw"))
        .collect();
    while house.fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    // All fifty wait for the one request before it is answered.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    house.fake.go_on();
    for login in logins {
        let refusal = login.await.unwrap().unwrap_err();
        assert!(matches!(refusal, Refusal::TokenUnavailable(_)), "{refusal}");
    }
    assert_eq!(house.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_again_until_its_margin() {
    let house = House::new();
    house.fake.grants("one", 3_600, None);
    house.fake.grants("two", 3_600, None);
    for _ in 0..3 {
        assert_eq!(house.log_in("app@example.org", "pw").await.unwrap(), "one");
    }
    tokio::time::advance(Duration::from_secs(3_005)).await;
    assert_eq!(house.log_in("app@example.org", "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_hangs_up_does_not_cut_off_its_request() {
    let house = House::new();
    house.fake.hold();
    let login = house.wait("app@example.org", "pw");
    while house.fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    login.abort();
    login.await.unwrap_err();
    house.fake.grants("one", 3_600, None);
    house.fake.go_on();
    assert_eq!(house.log_in("app@example.org", "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_rests_as_the_same_bytes() {
    let house = authorised("r1", 60).await;
    let sealed = |house: &House, field: &str| {
        let text = std::fs::read_to_string(house.home.path().join("tokens.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["accounts"]["code@example.org"]["sealed"][field].clone()
    };
    let before = ["access_token", "refresh_token"].map(|field| sealed(&house, field));
    tokio::time::advance(Duration::from_secs(50)).await;
    house.fake.grants("two", 3_600, None);
    house.log_in("code@example.org", "pw").await.unwrap();
    let after = ["access_token", "refresh_token"].map(|field| sealed(&house, field));
    assert!(before[0].is_string() && before[0] != after[0]);
    assert!(before[1].is_string() && before[1] == after[1]);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_on_disk_before_it_is_used() {
    let house = authorised("r1", 60).await;
    tokio::time::advance(Duration::from_secs(50)).await;
    house.fake.grants("two", 3_600, Some("r2"));
    let before = house.on_disk();
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert_ne!(house.on_disk(), before);
    // Nothing is written at the end: what was on disk at the login is what a restart finds.
    let copy = std::fs::read(house.home.path().join("tokens.json")).unwrap();
    let house = house.restart().await;
    assert_eq!(
        std::fs::read(house.home.path().join("tokens.json")).unwrap(),
        copy
    );
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    past_its_end(&house, "two").await;
    house.fake.grants("three", 3_600, None);
    assert_eq!(
        house.log_in("code@example.org", "pw").await.unwrap(),
        "three"
    );
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r2 s3cret");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_comes_while_a_rotation_is_written_waits_for_the_disk() {
    let house = authorised("r1", 60).await;
    tokio::time::advance(Duration::from_secs(50)).await;
    house.fake.grants("two", 3_600, Some("r2"));
    let before = house.on_disk();
    let account = house.accounts.known("code@example.org").unwrap();
    let first = house.wait("code@example.org", "pw");
    let held = || {
        let state = account.state();
        state.fresh().is_some_and(|token| token.reveal() == "two")
    };
    while !held() {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert_ne!(house.on_disk(), before);
    assert_eq!(first.await.unwrap().unwrap(), "two");
    // However fast the disk is: who finds something on the shelf sees to it first.
    account.state().unwritten = true;
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert!(!account.state().unwritten);
}

#[tokio::test(start_paused = true)]
async fn a_failing_disk_fails_no_login_and_loses_no_token() {
    let house = authorised("r1", 60).await;
    let path = house.home.path().join("tokens.json");
    // A directory in the file's place cannot be replaced by a file, whoever asks.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    tokio::time::advance(Duration::from_secs(50)).await;
    house.fake.grants("two", 60, Some("r2"));
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    std::fs::remove_dir(&path).unwrap();
    // The background tries again by itself.
    while !path.is_file() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let house = house.restart().await;
    past_its_end(&house, "two").await;
    house.fake.grants("three", 60, None);
    house.log_in("code@example.org", "pw").await.unwrap();
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r2 s3cret");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_away_does_not_spoil_a_token_that_is_still_good() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(3_100)).await;
    house.fake.fails(DOWN());
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "one");
    assert!(
        house
            .state("code@example.org")
            .last_error
            .unwrap()
            .contains("no answer")
    );
    tokio::time::advance(Duration::from_secs(600)).await;
    house.fake.fails(DOWN());
    let refusal = house.log_in("code@example.org", "pw").await.unwrap_err();
    assert!(matches!(refusal, Refusal::TokenUnavailable(_)), "{refusal}");
    house.fake.grants("two", 3_600, None);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert!(
        house
            .fake
            .asked()
            .iter()
            .skip(1)
            .all(|a| a == "refresh r1 s3cret")
    );
    assert_eq!(house.state("code@example.org").last_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_definite_no_is_passed_on_and_nothing_is_dropped() {
    let house = authorised("r1", 60).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    house
        .fake
        .fails(Error::Denied(Said::new("invalid_client; expired")));
    let refusal = house.log_in("code@example.org", "pw").await.unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TokenRefused(Said::new("invalid_client; expired"))
    );
    house.fake.grants("two", 60, None);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r1 s3cret");
}

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_is_dropped_for_good_and_consent_asked_for() {
    let house = authorised("r1", 60).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    house.fake.fails(DEAD());
    let login = house.wait("code@example.org", "pw");
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s1"]);
    assert!(
        house.on_disk()["accounts"]["code@example.org"]["sealed"]
            .get("refresh_token")
            .is_none()
    );
    house.fake.grants("two", 60, Some("r2"));
    house.answers("s1", "c").await;
    assert_eq!(login.await.unwrap().unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn the_password_grant_hands_the_password_in() {
    let house = House::new();
    house.fake.grants("one", 60, None);
    assert_eq!(house.log_in("ropc@example.org", "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked(), ["password pw -"]);
}

#[tokio::test(start_paused = true)]
async fn going_down_sends_waiting_logins_home_and_saves_what_is_under_way() {
    let house = authorised("r1", 60).await;
    house.fake.hold();
    tokio::time::advance(Duration::from_secs(100)).await;
    house.fake.grants("two", 60, Some("r2"));
    let login = house.wait("code@example.org", "pw");
    let waiting = house.wait("code@example.org", "pw");
    while house.fake.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    let accounts = Arc::clone(&house.accounts);
    let closing = tokio::spawn(async move { accounts.close(Duration::from_secs(5)).await });
    assert_eq!(login.await.unwrap().unwrap_err(), Refusal::ShuttingDown);
    waiting.await.unwrap().unwrap_err();
    house.fake.go_on();
    closing.await.unwrap();
    let refusal = house.log_in("code@example.org", "pw").await.unwrap_err();
    assert_eq!(refusal, Refusal::ShuttingDown);
    let house = house.restart().await;
    past_its_end(&house, "two").await;
    house.fake.grants("three", 60, None);
    house.log_in("code@example.org", "pw").await.unwrap();
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r2 s3cret");
}

/// Uses the token that rests in the store, and lets its time pass. The clock on the wall does not stand still in tests,
/// so a restart finds it good.
pub(super) async fn past_its_end(house: &House, token: &str) {
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), token);
    tokio::time::advance(Duration::from_secs(4_000)).await;
}

/// A house whose `code@example.org` is authorised with token `one`.
pub(super) async fn authorised(refresh: &str, life: u64) -> House {
    let house = House::new();
    let login = house.wait("code@example.org", "pw");
    house.urls(1).await;
    house.fake.grants("one", life, Some(refresh));
    house.answers("s0", "c0").await;
    assert_eq!(login.await.unwrap().unwrap(), "one");
    house
}
