//! Passwords: the first becomes the account's own, a wrong one changes nothing.

use super::tokens::{authorised, past_its_end};
use super::*;

#[tokio::test(start_paused = true)]
async fn no_password_and_no_account_are_refused_at_once() {
    let house = House::new();
    assert_eq!(
        house.log_in("app@example.org", "").await.unwrap_err(),
        Refusal::NoPassword
    );
    for user in ["who@example.org", "app@example.org\r\nx", ""] {
        let refusal = house.log_in(user, "pw").await.unwrap_err();
        assert_eq!(refusal, Refusal::NotAdmitted(NotAdmitted::UnknownAccount));
    }
    let refusal = house.log_in("half@example.org", "pw").await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::NotAdmitted(NotAdmitted::Incomplete(_))),
        "{refusal}"
    );
    assert!(house.fake.asked().is_empty());
    assert!(house.has_nothing_at_rest());
}

#[tokio::test(start_paused = true)]
async fn r18_a_wrong_password_changes_nothing_and_asks_nobody() {
    let mut house = authorised("r1", 3_600).await;
    let before = house.on_disk();
    for round in ["while open", "after a restart"] {
        for guess in ["pW", "", "pw ", "x", "pW"] {
            let refusal = house.log_in("code@example.org", guess).await.unwrap_err();
            let expected = if guess.is_empty() {
                Refusal::NoPassword
            } else {
                wrong()
            };
            assert_eq!(refusal, expected, "{round}");
        }
        assert_eq!(house.on_disk(), before, "{round}");
        assert!(house.accounts.pending().borrow().is_empty(), "{round}");
        house = house.restart().await;
    }
    assert_eq!(house.fake.asked(), ["code c0 s3cret"]);
    assert_eq!(
        house.state("code@example.org").state,
        "locked until the next login"
    );
    past_its_end(&house, "one").await;
    house.fake.grants("two", 60, None);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r1 s3cret");
}

#[tokio::test(start_paused = true)]
async fn r19_wrong_passwords_are_answered_later_and_later_but_the_owner_is_not() {
    let house = authorised("r1", 3_600).await;
    let begin = tokio::time::Instant::now();
    let mut waits = Vec::new();
    for guess in ["a", "b", "b", "c", "d"] {
        let asked = tokio::time::Instant::now();
        house.log_in("code@example.org", guess).await.unwrap_err();
        waits.push(asked.elapsed().as_secs());
        let asked = tokio::time::Instant::now();
        let guessing = house.wait("code@example.org", guess);
        house.log_in("code@example.org", "pw").await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
        guessing.abort();
    }
    assert_eq!(waits, [0, 2, 4, 8, 15]);
    assert_eq!(begin.elapsed().as_secs(), 29);
}

#[tokio::test(start_paused = true)]
async fn r20_a_name_without_an_account_costs_and_waits_like_a_wrong_password() {
    let house = authorised("r1", 3_600).await;
    let mut stories = Vec::new();
    for user in ["code@example.org", "who@example.org", "half@example.org"] {
        let mut story = Vec::new();
        // The same wrong password is checked once, whoever is asked for.
        for guess in ["a", "a", "b", "c", "b", "d"] {
            let made = || house.accounts.prover.made.load(Ordering::Relaxed);
            let (begun, before) = (tokio::time::Instant::now(), made());
            house.log_in(user, guess).await.unwrap_err();
            story.push((begun.elapsed().as_secs(), made() - before));
        }
        stories.push(story);
    }
    let expected = [(0, 1), (2, 0), (4, 1), (8, 1), (15, 0), (15, 1)];
    for story in stories {
        assert_eq!(story, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn r19_a_guess_whose_login_hangs_up_early_is_never_looked_at() {
    let house = authorised("r1", 3_600).await.restart().await;
    for guess in ["a", "b", "c", "d"] {
        house.log_in("code@example.org", guess).await.unwrap_err();
    }
    let made = house.accounts.prover.made.load(Ordering::Relaxed);
    for n in 0..50 {
        let password = Password::from(&*format!("guess {n}"));
        let owner = Caller::OWNER;
        let guess = house.accounts.token("code@example.org", &password, &owner);
        let hasty = tokio::time::timeout(Duration::from_secs(14), guess).await;
        hasty.unwrap_err();
    }
    assert_eq!(house.accounts.prover.made.load(Ordering::Relaxed), made);
    // The owner, whose password was not proven since the start, waits for a moment as well.
    let begun = tokio::time::Instant::now();
    house.log_in("code@example.org", "pw").await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_first_password_that_got_no_token() {
    let house = House::new();
    house.fake.fails(Error::Denied(Said::new("no")));
    house.log_in("app@example.org", "first").await.unwrap_err();
    assert!(house.has_nothing_at_rest());
    house.fake.grants("one", 60, None);
    house.log_in("app@example.org", "second").await.unwrap();
    assert_eq!(
        house.log_in("app@example.org", "first").await.unwrap_err(),
        wrong()
    );
}

#[tokio::test(start_paused = true)]
async fn while_a_first_password_waits_no_other_gets_in() {
    let house = House::new();
    let first = house.wait("code@example.org", "first");
    house.urls(1).await;
    assert_eq!(
        house.log_in("code@example.org", "other").await.unwrap_err(),
        wrong()
    );
    house.fake.grants("one", 60, None);
    house.answers("s0", "c").await;
    first.await.unwrap().unwrap();
    assert_eq!(
        house.log_in("code@example.org", "other").await.unwrap_err(),
        wrong()
    );
    assert_eq!(
        house.log_in("code@example.org", "first").await.unwrap(),
        "one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_first_password_can_be_mended_after_hanging_up() {
    let house = House::new();
    let first = house.wait("code@example.org", "tpyo");
    let urls = house.urls(1).await;
    first.abort();
    first.await.unwrap_err();
    let second = house.wait("code@example.org", "typo");
    while house.accounts.consents.peek("s0").unwrap().is_lonely() {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.urls(1).await, urls, "the same consent");
    house.fake.grants("one", 60, None);
    house.answers("s0", "c").await;
    assert_eq!(second.await.unwrap().unwrap(), "one");
    assert_eq!(
        house.log_in("code@example.org", "tpyo").await.unwrap_err(),
        wrong()
    );
}

const AS_SECRET: &str = "use_login_password_as_client_credentials_secret = True";

#[tokio::test(start_paused = true)]
async fn the_login_password_can_be_the_applications_secret() {
    let house = House::with(AS_SECRET, USUAL);
    house.fake.fails(Error::Denied(Said::new("invalid_client")));
    let refusal = house.log_in("bare@example.org", "guess").await.unwrap_err();
    assert!(matches!(refusal, Refusal::TokenRefused(_)), "{refusal}");
    house.fake.grants("one", 60, None);
    assert_eq!(
        house.log_in("bare@example.org", "old").await.unwrap(),
        "one"
    );
    // The secret is replaced at the provider: the new one proves itself there, and the old one is out.
    house.fake.fails(Error::Denied(Said::new("invalid_client")));
    let refusal = house.log_in("bare@example.org", "guess").await;
    assert_eq!(refusal.unwrap_err(), wrong());
    // Within 30 s nobody is asked again.
    let refusal = house.log_in("bare@example.org", "new").await;
    assert_eq!(refusal.unwrap_err(), wrong());
    tokio::time::advance(Duration::from_secs(30)).await;
    house.fake.grants("two", 3_600, None);
    let token = house.log_in("bare@example.org", "new").await;
    assert_eq!(token.unwrap(), "two");
    tokio::time::advance(Duration::from_secs(30)).await;
    house.fake.fails(Error::Denied(Said::new("invalid_client")));
    for _ in 0..2 {
        let refusal = house.log_in("bare@example.org", "old").await;
        assert_eq!(refusal.unwrap_err(), wrong());
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    let asked = ["guess", "old", "guess", "new", "old"].map(|secret| format!("client {secret}"));
    assert_eq!(house.fake.asked(), asked);
    let house = house.restart().await;
    assert_eq!(
        house.log_in("bare@example.org", "new").await.unwrap(),
        "two"
    );
}

#[tokio::test(start_paused = true)]
async fn a_password_changed_at_the_provider_becomes_the_accounts_own() {
    let house = House::new();
    house.fake.grants("one", 0, None);
    house.log_in("ropc@example.org", "old").await.unwrap();
    let denied = Error::Denied(Said::new("unauthorized_client"));
    house.fake.fails(denied);
    let refusal = house.log_in("ropc@example.org", "new").await.unwrap_err();
    assert!(matches!(refusal, Refusal::TokenRefused(_)), "{refusal}");
    tokio::time::advance(Duration::from_secs(30)).await;
    house.fake.grants("two", 3_600, None);
    let token = house.log_in("ropc@example.org", "new").await;
    assert_eq!(token.unwrap(), "two");
    let house = house.restart().await;
    house.fake.fails(DEAD());
    let refusal = house.log_in("ropc@example.org", "old").await;
    assert_eq!(refusal.unwrap_err(), wrong());
    let token = house.log_in("ropc@example.org", "new").await;
    assert_eq!(token.unwrap(), "two");
    let asked = ["old", "new", "new", "old"].map(|password| format!("password {password} -"));
    assert_eq!(house.fake.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn an_account_without_any_secret_asks_without_one() {
    let house = House::new();
    house.fake.grants("one", 60, None);
    house.log_in("bare@example.org", "pw").await.unwrap();
    assert_eq!(house.fake.asked(), ["client -"]);
}

#[tokio::test(start_paused = true)]
async fn r21_no_secret_reaches_the_log() {
    let (log, _guard) = Log::begin();
    let house = authorised("refresh-r1", 60).await;
    house
        .log_in("code@example.org", "guess-pW")
        .await
        .unwrap_err();
    tokio::time::advance(Duration::from_secs(100)).await;
    house.fake.fails(DEAD());
    let login = house.wait("code@example.org", "pw");
    house.urls(1).await;
    house.fake.grants("access-two", 60, Some("refresh-r2"));
    house.answers("s1", "the-code").await;
    login.await.unwrap().unwrap();
    // What was typed in a name's place is nobody's to read, unless it may be meant as a name.
    for (typed, shown) in [
        ("hunter-2", false),
        ("hunter-2@", false),
        ("hunter@2", false),
        ("typo@example.org", true),
        ("Code@Example.ORG", true),
    ] {
        house.log_in(typed, "pw").await.unwrap_err();
        assert_eq!(log.text().contains(typed), shown, "{typed}: {}", log.text());
    }
    let text = log.text();
    assert!(
        text.contains("wrong password for account code@example.org"),
        "{text}"
    );
    for secret in [
        "guess-pW",
        "refresh-r1",
        "access-two",
        "refresh-r2",
        "the-code",
        "s3cret",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let house = format!(
        "{:?} {:?}",
        house.accounts,
        house.fake.asked.lock().unwrap().len()
    );
    assert!(!house.contains("s3cret"));
}
