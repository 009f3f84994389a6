//! First passwords: from where they are taken.

use super::*;

fn from(address: &str) -> Caller {
    Caller {
        service: "IMAP-2993".into(),
        address: Some(address.parse().unwrap()),
    }
}

async fn log_in(house: &House, user: &str, password: &str, at: &str) -> Result<String, Refusal> {
    let password = Password::from(password);
    let admitted = house.accounts.token(user, &password, &from(at)).await?;
    Ok(admitted.token.reveal().to_owned())
}

#[tokio::test(start_paused = true)]
async fn r18_a_first_password_is_not_taken_from_the_network() {
    let house = House::new();
    let (log, _guard) = Log::begin();
    for user in [
        "code@example.org",
        "app@example.org",
        "ropc@example.org",
        "bare@example.org",
    ] {
        let refusal = log_in(&house, user, "pw", "192.168.1.7").await;
        assert_eq!(refusal.unwrap_err(), wrong(), "{user}");
        let known = house.state(user).last_error.unwrap();
        assert!(known.contains("emailproxy password"), "{known}");
    }
    assert!(house.accounts.pending().borrow().is_empty());
    assert!(house.fake.asked().is_empty());
    let text = log.text();
    for words in ["192.168.1.7 on IMAP-2993", "first_use_from = 192.168.1.7"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn this_machine_and_the_named_networks_set_first_passwords() {
    for (at, option, good) in [
        ("127.0.0.1", "", true),
        ("127.9.9.9", "", true),
        ("::1", "", true),
        ("::ffff:127.0.0.1", "", true),
        ("10.1.2.3", "first_use_from = 10.0.0.0/8, fd00::/8", true),
        (
            "::ffff:10.1.2.3",
            "first_use_from = 10.0.0.0/8, fd00::/8",
            true,
        ),
        ("fd00::7", "first_use_from = 10.0.0.0/8, fd00::/8", true),
        ("11.1.2.3", "first_use_from = 10.0.0.0/8, fd00::/8", false),
        ("192.0.2.1", "", false),
    ] {
        let house = House::with(option, USUAL);
        house.fake.grants("one", 60, None);
        let done = log_in(&house, "app@example.org", "pw", at).await;
        assert_eq!(done.is_ok(), good, "{at} {option}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_it_is_set_it_is_good_from_everywhere() {
    let house = House::new();
    house.fake.grants("one", 3_600, None);
    log_in(&house, "app@example.org", "pw", "127.0.0.1")
        .await
        .unwrap();
    assert_eq!(
        log_in(&house, "app@example.org", "pw", "192.0.2.1")
            .await
            .unwrap(),
        "one"
    );
    let house = house.restart().await;
    assert_eq!(
        log_in(&house, "app@example.org", "pw", "192.0.2.1")
            .await
            .unwrap(),
        "one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_join_a_first_login_that_waits() {
    let house = House::new();
    let first = house.wait("code@example.org", "pw");
    house.urls(1).await;
    let refusal = log_in(&house, "code@example.org", "pw", "192.0.2.1").await;
    assert_eq!(refusal.unwrap_err(), wrong());
    house.fake.grants("one", 60, None);
    house.answers("s0", "c").await;
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn catch_all_accounts_are_no_exception() {
    let sections = USUAL.replace("[code@example.org]", "[@example.org]");
    let house = House::with("allow_catch_all_accounts = True", &sections);
    let refusal = log_in(&house, "any@example.org", "pw", "192.0.2.1").await;
    assert_eq!(refusal.unwrap_err(), wrong());
    assert!(house.accounts.pending().borrow().is_empty());
}
