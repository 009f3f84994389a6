//! Refresh tokens that other programs obtained.

use super::*;

const USER: &str = "code@example.org";

async fn entrusted(
    house: &House,
    token: &str,
    password: Option<&str>,
    force: bool,
) -> Result<(), String> {
    let password = password.map(Password::from);
    let token = Secret::from(token);
    house
        .accounts
        .entrust(USER, token, password.as_ref(), force)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_token_is_closed_with_a_first_password_and_used_at_the_next_login() {
    let house = House::new();
    let why = entrusted(&house, "r0", None, false).await.unwrap_err();
    assert!(
        why.contains("mail password") && why.contains("store_key"),
        "{why}"
    );
    entrusted(&house, "r1", Some("pw"), false).await.unwrap();
    let why = entrusted(&house, "r2", Some("pw"), false)
        .await
        .unwrap_err();
    assert!(why.contains("--force"), "{why}");
    let house = house.restart().await;
    let why = entrusted(&house, "r2", Some("wrong"), true)
        .await
        .unwrap_err();
    assert!(why.contains("password"), "{why}");
    house.fake.grants("one", 3_600, None);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    assert_eq!(house.log_in(USER, "other").await.unwrap_err(), wrong());
    assert_eq!(house.fake.asked().len(), 1);
    assert!(
        house.fake.asked()[0].contains("r1"),
        "{:?}",
        house.fake.asked()
    );
    assert!(house.accounts.pending().borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_a_store_key_no_password_is_needed() {
    let house = House::with("store_key = file:store.key", USUAL);
    entrusted(&house, "r1", None, false).await.unwrap();
    let house = house.restart().await;
    house.fake.grants("one", 3_600, Some("r2"));
    assert_eq!(
        house.accounts.lend(USER).await.unwrap().token.reveal(),
        "one"
    );
    entrusted(&house, "r3", None, true).await.unwrap();
    let account = house.accounts.known(USER).unwrap();
    assert_eq!(account.state().refresh.as_ref().unwrap().reveal(), "r3");
}
