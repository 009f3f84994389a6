//! A new configuration: what did not change stays, what is for something else goes nowhere.

use super::tokens::authorised;
use super::*;
use crate::accounts::Outcome;

const USER: &str = "code@example.org";

fn reload(house: &House, sections: &str) {
    let config = config(house.home.path(), "", sections);
    let source: Arc<dyn Source> = Arc::clone(&house.fake) as _;
    house.accounts.reload_with(&config, source);
}

#[tokio::test(start_paused = true)]
async fn tokens_and_consents_of_unchanged_accounts_stay() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    reload(
        &house,
        &format!("{USUAL}\n[new@example.org]\ntoken_url = x\n"),
    );
    house.fake.grants("one", 3_600, None);
    house.answers("s0", "c").await;
    assert_eq!(login.await.unwrap().unwrap(), "one");
    reload(&house, USUAL);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_not_sent_to_another_provider() {
    let other = USUAL.replace("idp.example/token", "other.example/token");
    let house = authorised("r1", 3_600).await;
    reload(&house, &other);
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    login.abort();
    // Taken back: what rests in the store is good again.
    reload(&house, USUAL);
    house.urls(0).await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    // The same across a restart.
    let elsewhere = config(house.home.path(), "", &other);
    let house = house.restart_with(elsewhere).await;
    assert_eq!(house.log_in(USER, "pW").await.unwrap_err(), wrong());
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    house.fake.grants("two", 3_600, Some("r2"));
    house.answers("s2", "c").await;
    assert_eq!(login.await.unwrap().unwrap(), "two");
    assert_eq!(
        house.fake.asked(),
        [
            "code c0 s3cret",
            "https://other.example/token code c s3cret"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_access_token_is_not_sent_to_other_servers() {
    let house = authorised("r1", 3_600).await;
    let moved = USUAL.replace(
        "client_id = app\nclient_secret",
        "imap_server = evil.example:993\nclient_id = app\nclient_secret",
    );
    reload(&house, &moved);
    house.fake.grants("two", 3_600, None);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked()[1], "refresh r1 s3cret");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_login_follows_its_accounts_change() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    reload(
        &house,
        &USUAL.replace("oauth2_scope = mail", "oauth2_scope = mail more"),
    );
    let mut pending = house.accounts.pending();
    pending
        .wait_for(|list| list.iter().any(|pending| pending.url.ends_with("s1")))
        .await
        .unwrap();
    assert_eq!(house.answers("s0", "c").await, Outcome::Unknown);
    house.fake.grants("one", 60, None);
    house.answers("s1", "c").await;
    assert_eq!(login.await.unwrap().unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_gone_lets_its_logins_go() {
    let house = House::new();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    reload(&house, "");
    house.urls(0).await;
    let refusal = login.await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::NotAdmitted(NotAdmitted::UnknownAccount));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_a_change_is_not_used() {
    let house = House::new();
    house.fake.hold();
    let login = house.wait("app@example.org", "pw");
    while house.fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    reload(
        &house,
        &USUAL.replace("idp.example/token", "other.example/token"),
    );
    house.fake.grants("of-idp", 60, None);
    house.fake.grants("of-other", 60, None);
    house.fake.go_on();
    assert_eq!(login.await.unwrap().unwrap(), "of-other");
}
