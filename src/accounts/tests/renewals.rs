//! Tokens that the mail server refuses: which are replaced at once, which by the next login, which not at all.

use super::tokens::authorised;
use super::*;

/// The server's plain no.
fn no() -> Refusal {
    said("AUTHENTICATE failed.")
}

fn said(words: &str) -> Refusal {
    Refusal::ServerRefused {
        server: "imap.example:993".into(),
        said: Said::new(words),
    }
}

impl House {
    /// What a session gets for a token that the server refused.
    async fn renew(
        &self,
        user: &str,
        token: &str,
        why: &Refusal,
    ) -> Result<Option<String>, Refusal> {
        let refused = super::super::Admitted {
            settings: Arc::new(self.accounts.world().config.account(user).unwrap()),
            user: user.to_owned(),
            signed_in: None,
            token: AccessToken::parse(token).unwrap(),
            was_refused: false,
        };
        let password = Password::from("pw");
        let renewed = self.accounts.renew(&refused, &password, why).await?;
        Ok(renewed.map(|renewed| renewed.token.reveal().to_owned()))
    }
}

const CODE: &str = "code@example.org";
const APP: &str = "app@example.org";

#[tokio::test(start_paused = true)]
async fn an_old_token_that_is_refused_is_replaced_at_once() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    house.fake.grants("two", 3_600, Some("r2"));
    let renewed = house.renew(CODE, "one", &no()).await.unwrap();
    assert_eq!(renewed.unwrap(), "two");
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r1 s3cret");
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_young_token_that_is_refused_is_the_next_logins_affair() {
    let house = House::new();
    house.fake.grants("one", 3_600, None);
    house.fake.grants("two", 3_600, None);
    house.log_in(APP, "pw").await.unwrap();
    // Not the one that is held: somebody else's, or nobody's.
    assert_eq!(
        house.renew(APP, "other", &no()).await.unwrap().unwrap(),
        "one"
    );
    assert_eq!(house.renew(CODE, "one", &no()).await, Ok(None));
    assert_eq!(house.log_in(APP, "pw").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(house.renew(APP, "one", &no()).await, Ok(None));
    assert_eq!(house.fake.asked().len(), 1);
    assert_eq!(house.log_in(APP, "pw").await.unwrap(), "two");
    // Fresh and refused again: more tokens would not help, so the endpoint is left in peace.
    assert_eq!(house.renew(APP, "two", &no()).await, Ok(None));
    assert_eq!(house.log_in(APP, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_too_soon_is_replaced_even_if_it_is_young() {
    let house = House::new();
    house.fake.grants("one", 3_600, None);
    house.fake.grants("two", 3_600, None);
    house.log_in(APP, "pw").await.unwrap();
    let soon = said("5.7.142 Token will expire soon");
    assert_eq!(
        house.renew(APP, "one", &soon).await.unwrap().unwrap(),
        "two"
    );
    // Once.
    assert_eq!(house.renew(APP, "two", &soon).await, Ok(None));
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn words_that_name_another_reason_cost_no_token() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    let off = said("5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled");
    assert_eq!(house.renew(CODE, "one", &off).await, Ok(None));
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_refused_logins_share_one_request() {
    let house = Arc::new(authorised("r1", 3_600).await);
    tokio::time::advance(Duration::from_secs(600)).await;
    house.fake.hold();
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let house = Arc::clone(&house);
            tokio::spawn(async move { house.renew(CODE, "one", &no()).await })
        })
        .collect();
    while house.fake.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    house.fake.grants("two", 3_600, Some("r2"));
    house.fake.go_on();
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap().unwrap(), "two");
    }
    // And one that hears of it late.
    assert_eq!(
        house.renew(CODE, "one", &no()).await.unwrap().unwrap(),
        "two"
    );
    assert_eq!(house.fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_does_not_come_back_when_the_endpoint_is_away() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    house.fake.fails(DOWN());
    let refusal = house.renew(CODE, "one", &no()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::TokenUnavailable(_)), "{refusal}");
    // A reload reads the store again, where it still rests.
    let config = Arc::clone(&house.accounts.world().config);
    let source: Arc<dyn Source> = Arc::clone(&house.fake) as _;
    house.accounts.reload_with(&config, source);
    house.fake.grants("two", 3_600, None);
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn where_only_a_person_can_help_the_token_is_dropped_and_the_refusal_stands() {
    let house = House::new();
    let login = house.wait(CODE, "pw");
    house.urls(1).await;
    house.fake.grants("one", 3_600, None);
    house.answers("s0", "c0").await;
    login.await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(house.renew(CODE, "one", &no()).await, Ok(None));
    assert_eq!(house.fake.asked().len(), 1);
    let login = house.wait(CODE, "pw");
    assert_eq!(house.urls(1).await, ["https://idp.example/auth?state=s1"]);
    login.abort();
}

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_is_found_out_and_the_refusal_stands() {
    let house = authorised("r1", 3_600).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    house.fake.fails(DEAD());
    assert_eq!(house.renew(CODE, "one", &no()).await, Ok(None));
    assert_eq!(house.state(CODE).state, "needs consent");
}

#[tokio::test(start_paused = true)]
async fn new_tokens_that_fare_no_better_come_at_longer_and_longer_intervals() {
    let house = House::new();
    for n in 0..1_000 {
        house.fake.grants(&format!("t{n}"), 3_600, None);
    }
    let mut held = house.log_in(APP, "pw").await.unwrap();
    // A client that comes every 65 s for a day: each token is old enough, and none is any good.
    for _ in 0..1_329 {
        tokio::time::advance(Duration::from_secs(65)).await;
        held = house.log_in(APP, "pw").await.unwrap();
        house.renew(APP, &held, &no()).await.unwrap();
    }
    let asked = house.fake.asked().len();
    assert!((90..=130).contains(&asked), "{asked} requests in a day");
    // One that worked for long is replaced at once.
    tokio::time::advance(Duration::from_secs(1_200)).await;
    let before = house.fake.asked().len();
    let renewed = house.renew(APP, &held, &no()).await.unwrap();
    assert!(renewed.is_some());
    assert_eq!(house.fake.asked().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_from_disk_is_as_old_as_it_is() {
    let wall = super::super::clock::pretended::Wall::set();
    let house = authorised("r1", 3_600).await.restart().await;
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    assert_eq!(house.renew(CODE, "one", &no()).await, Ok(None));
    house.fake.grants("two", 3_600, None);
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    let house = house.restart().await;
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    house.fake.grants("three", 3_600, None);
    let renewed = house.renew(CODE, "two", &no()).await.unwrap();
    assert_eq!(renewed.unwrap(), "three");
    drop(wall);
}
