//! A mail program with a new password: asked about once, changed by the person's yes alone.

use super::*;
use crate::accounts::{NewPassword, Outcome};

const USER: &str = "code@example.org";
const WANTED: &str = "delete_account_token_on_password_error = True";

fn at(address: &str) -> Caller {
    Caller {
        service: "IMAP-2993".into(),
        address: Some(address.parse().unwrap()),
    }
}

/// A house that was signed in with `pw`, with these options.
async fn signed_in(options: &str) -> House {
    let house = House::with(options, USUAL);
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    login.await.unwrap().unwrap();
    house
}

impl House {
    /// Lets a login from this machine wait in a task of its own.
    fn knock(&self, password: &str) -> tokio::task::JoinHandle<Result<String, Refusal>> {
        self.knock_from(password, "127.0.0.1")
    }

    fn knock_from(
        &self,
        password: &str,
        address: &str,
    ) -> tokio::task::JoinHandle<Result<String, Refusal>> {
        let (accounts, password, caller) = (
            Arc::clone(&self.accounts),
            Password::from(password),
            at(address),
        );
        tokio::spawn(async move {
            let admitted = accounts.token(USER, &password, &caller).await?;
            Ok(admitted.token.reveal().to_owned())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_password_counts_once_somebody_signed_in_for_it() {
    for restarted in [false, true] {
        let mut house = signed_in(WANTED).await;
        if restarted {
            house = house.restart().await;
        }
        let before = house.on_disk();
        let (log, _guard) = Log::begin();
        let login = house.knock("new");
        let urls = house.urls(1).await;
        let text = log.text();
        for words in [
            "the mail program at 127.0.0.1 on IMAP-2993 sent a new password for code@example.org",
            "ignore this if it was not you",
            &urls[0],
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(house.state(USER).state.contains("a new password"));
        // Until then nothing changes, and the right password goes on undisturbed.
        assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
        assert_eq!(house.on_disk(), before);
        let second = house.knock("new");
        house.fake.grants("two", 3_600, Some("r2"));
        house.answers("s1", "c1").await;
        assert_eq!(login.await.unwrap().unwrap(), "two");
        assert_eq!(second.await.unwrap().unwrap(), "two");
        assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
        let house = house.restart().await;
        assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
        assert_eq!(house.log_in(USER, "new").await.unwrap(), "two");
        let account = house.accounts.known(USER).unwrap();
        assert_eq!(account.state().refresh.as_ref().unwrap().reveal(), "r2");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_for_those_who_asked_for_it_and_for_programs_that_are_near() {
    let near = format!("{WANTED}\nfirst_use_from = 10.0.0.0/8");
    for (options, address, asks) in [
        ("", "127.0.0.1", false),
        (
            "delete_account_token_on_password_error = False",
            "127.0.0.1",
            false,
        ),
        (WANTED, "10.1.2.3", false),
        (near.as_str(), "10.1.2.3", true),
        (near.as_str(), "11.1.2.3", false),
        (WANTED, "::1", true),
    ] {
        let house = signed_in(options).await;
        let login = house.knock_from("new", address);
        if asks {
            house.urls(1).await;
            login.abort();
        } else {
            assert_eq!(
                login.await.unwrap().unwrap_err(),
                wrong(),
                "{options} {address}"
            );
            assert!(
                house.accounts.pending().borrow().is_empty(),
                "{options} {address}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn grants_that_need_nobody_are_never_asked_for() {
    let house = House::with(WANTED, USUAL);
    house.fake.grants("one", 3_600, None);
    house.log_in("app@example.org", "pw").await.unwrap();
    let password = Password::from("new");
    let refusal = house
        .accounts
        .token("app@example.org", &password, &at("127.0.0.1"))
        .await;
    assert_eq!(refusal.unwrap_err(), wrong());
    assert!(house.accounts.pending().borrow().is_empty());
    assert_eq!(house.log_in("app@example.org", "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_one_in_thirty_seconds() {
    let house = signed_in(WANTED).await;
    let first = house.knock("first");
    let urls = house.urls(1).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    // While somebody waits, no other takes the place.
    assert_eq!(house.knock("second").await.unwrap().unwrap_err(), wrong());
    first.abort();
    first.await.unwrap_err();
    // Nobody waits any more: the next has a question of its own, and the old address is good for nothing.
    let second = house.knock("second-2");
    while house.urls(1).await == urls {
        // It waits for its turn: the first one and the second were wrong.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(house.answers("s1", "c1").await, Outcome::Unknown);
    second.abort();
    second.await.unwrap_err();
    // Within 30 s nobody is asked again.
    assert_eq!(house.knock("third").await.unwrap().unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_comes_after_the_program_hung_up_counts_for_its_password() {
    let house = signed_in(WANTED).await;
    let login = house.knock("new");
    house.urls(1).await;
    login.abort();
    login.await.unwrap_err();
    house.fake.grants("two", 3_600, None);
    house.answers("s1", "c1").await;
    assert_eq!(house.knock("new").await.unwrap().unwrap(), "two");
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
}

#[tokio::test(start_paused = true)]
async fn a_no_and_the_owners_own_sign_in_leave_all_as_it_was() {
    let house = signed_in(WANTED).await;
    let before = house.on_disk();
    let login = house.knock("new");
    house.urls(1).await;
    house
        .accounts
        .finish(Answer {
            state: "s1".into(),
            error: Some(Said::new("access_denied")),
            ..Answer::default()
        })
        .await;
    assert!(matches!(
        login.await.unwrap().unwrap_err(),
        Refusal::ConsentRefused(_)
    ));
    assert_eq!(house.on_disk(), before);
    assert_eq!(house.knock("new").await.unwrap().unwrap_err(), wrong());
    tokio::time::advance(Duration::from_secs(30)).await;
    let login = house.knock("new");
    house.urls(1).await;
    // The owner signs in for the account itself: that is no yes to the new password.
    let asked = house.accounts.begin(USER).await.unwrap();
    assert!(asked.url.ends_with("s3"), "{}", asked.url);
    assert_eq!(login.await.unwrap().unwrap_err(), wrong());
    house.fake.grants("two", 3_600, Some("r2"));
    house.answers("s3", "c3").await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "two");
    assert_eq!(house.log_in(USER, "new").await.unwrap_err(), wrong());
}

#[tokio::test(start_paused = true)]
async fn named_passwords_survive_or_stand_in_the_way() {
    let house = signed_in(WANTED).await;
    let phone = NewPassword {
        name: Some("phone".into()),
        services: Vec::new(),
        from: Vec::new(),
        password: Password::from("pw-phone"),
        current: None,
    };
    house.accounts.set_password(USER, phone).await.unwrap();
    // Locked, they could not be kept.
    let house = house.restart().await;
    let (log, _guard) = Log::begin();
    assert_eq!(house.knock("new").await.unwrap().unwrap_err(), wrong());
    assert!(
        log.text().contains("it has named passwords"),
        "{}",
        log.text()
    );
    assert_eq!(house.log_in(USER, "pw-phone").await.unwrap(), "one");
    let login = house.knock("newer");
    house.urls(1).await;
    house.fake.grants("two", 3_600, Some("r2"));
    house.answers("s1", "c1").await;
    assert_eq!(login.await.unwrap().unwrap(), "two");
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw-phone").await.unwrap(), "two");
    assert_eq!(house.log_in(USER, "newer").await.unwrap(), "two");
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
}

#[tokio::test(start_paused = true)]
async fn the_owners_command_ends_what_a_mail_program_began() {
    let house = signed_in(WANTED).await;
    let login = house.knock("new");
    house.urls(1).await;
    let set = NewPassword {
        name: None,
        services: Vec::new(),
        from: Vec::new(),
        password: Password::from("owner's"),
        current: None,
    };
    house.accounts.set_password(USER, set).await.unwrap();
    house.answers("s1", "c1").await;
    login.await.unwrap().unwrap_err();
    assert_eq!(house.log_in(USER, "owner's").await.unwrap(), "one");
    assert_eq!(house.log_in(USER, "new").await.unwrap_err(), wrong());
}
