//! Tokens for the owner of the machine, who shows no password.

use super::tokens::{authorised, past_its_end};
use super::*;

async fn lent(house: &House, user: &str) -> Result<String, Refusal> {
    let admitted = house.accounts.lend(user).await?;
    Ok(admitted.token.reveal().to_owned())
}

/// Returns the words of a refusal.
async fn refused(house: &House, user: &str) -> String {
    lent(house, user).await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn an_account_that_somebody_logged_in_to_lends_its_token_and_renews_it_once_for_all() {
    let house = authorised("r1", 3_600).await;
    assert_eq!(lent(&house, "code@example.org").await.unwrap(), "one");
    past_its_end(&house, "one").await;
    house.fake.grants("two", 3_600, Some("r2"));
    let before = house.fake.asked().len();
    let all = futures::future::join_all((0..20).map(|_| lent(&house, "code@example.org"))).await;
    assert!(all.into_iter().all(|token| token.unwrap() == "two"));
    assert_eq!(house.fake.asked().len(), before + 1);
    let token = AccessToken::parse("two").unwrap();
    let left = house.accounts.time_left("code@example.org", &token);
    assert!(left.is_some_and(|left| left.as_secs() > 3_590), "{left:?}");
    let other = AccessToken::parse("other").unwrap();
    assert_eq!(house.accounts.time_left("code@example.org", &other), None);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_password_opens_is_not_lent_and_the_remedy_is_named() {
    let house = authorised("r1", 3_600).await.restart().await;
    let why = refused(&house, "code@example.org").await;
    for remedy in ["log in once", "--password-stdin", "store_key"] {
        assert!(why.contains(remedy), "{why}");
    }
    // Not even a first password could be told from nobody's.
    let why = refused(&house, "app@example.org").await;
    assert!(why.contains("is locked"), "{why}");
    assert_eq!(house.fake.asked().len(), 1);
    house.log_in("code@example.org", "pw").await.unwrap();
    assert_eq!(lent(&house, "code@example.org").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn with_a_store_key_tokens_are_lent_from_start() {
    let house = House::with("store_key = file:store.key", USUAL);
    house.fake.grants("one", 3_600, None);
    assert_eq!(lent(&house, "app@example.org").await.unwrap(), "one");
    let house = house.restart().await;
    assert_eq!(lent(&house, "app@example.org").await.unwrap(), "one");
    let why = refused(&house, "code@example.org").await;
    assert!(
        why.contains("emailproxy authorize code@example.org"),
        "{why}"
    );
    let asked = house.accounts.begin("code@example.org").await.unwrap();
    let why = refused(&house, "code@example.org").await;
    assert!(why.contains(&asked.url), "{why}");
    let why = refused(&house, "ropc@example.org").await;
    assert!(why.contains("--password-stdin"), "{why}");
    assert!(matches!(
        lent(&house, "nobody@example.org").await,
        Err(Refusal::NotAdmitted(NotAdmitted::UnknownAccount))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_good_is_lent_through_a_bad_hour() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(3_100)).await;
    house.fake.fails(DOWN());
    assert_eq!(lent(&house, "code@example.org").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(1_000)).await;
    house.fake.fails(DOWN());
    assert!(matches!(
        lent(&house, "code@example.org").await,
        Err(Refusal::TokenUnavailable(_))
    ));
}
