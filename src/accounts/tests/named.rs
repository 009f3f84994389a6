//! Passwords that the owner sets: named, limited, revoked, and never at the price of tokens.

use super::tokens::authorised;
use super::*;
use crate::accounts::{NewPassword, Passwords};

const USER: &str = "code@example.org";

fn new(password: &str) -> NewPassword {
    NewPassword {
        name: None,
        services: Vec::new(),
        from: Vec::new(),
        password: Password::from(password),
        current: None,
    }
}

fn named(name: &str, password: &str) -> NewPassword {
    NewPassword {
        name: Some(name.into()),
        ..new(password)
    }
}

impl House {
    async fn set(&self, new: NewPassword) -> Result<String, String> {
        self.accounts.set_password(USER, new).await
    }

    async fn remove(&self, name: &str, force: bool) -> Result<String, String> {
        self.accounts.remove_password(USER, name, force).await
    }

    async fn passwords(&self) -> Passwords {
        self.accounts.passwords(USER).await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let all = self.passwords().await.all;
        all.into_iter().map(|password| password.name).collect()
    }

    async fn log_in_at(
        &self,
        password: &str,
        service: &str,
        from: &str,
    ) -> Result<String, Refusal> {
        let caller = Caller {
            service: service.into(),
            address: Some(from.parse().unwrap()),
        };
        let password = Password::from(password);
        let admitted = self.accounts.token(USER, &password, &caller).await?;
        Ok(admitted.token.reveal().to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn each_device_has_a_password_of_its_own_and_one_can_go() {
    let mut house = authorised("r1", 3_600).await;
    house.set(named("phone", "pw-phone")).await.unwrap();
    house.set(named("laptop", "pw-laptop")).await.unwrap();
    for round in ["while open", "after a restart"] {
        assert_eq!(
            house.names().await,
            ["default", "phone", "laptop"],
            "{round}"
        );
        for good in ["pw", "pw-phone", "pw-laptop"] {
            assert_eq!(
                house.log_in(USER, good).await.unwrap(),
                "one",
                "{round} {good}"
            );
        }
        house = house.restart().await;
    }
    house.log_in(USER, "pw-phone").await.unwrap();
    house.remove("phone", false).await.unwrap();
    for _ in 0..2 {
        // Even one that was proven a moment ago.
        assert_eq!(house.log_in(USER, "pw-phone").await.unwrap_err(), wrong());
        assert_eq!(house.log_in(USER, "pw-laptop").await.unwrap(), "one");
        assert_eq!(house.names().await, ["default", "laptop"]);
        house = house.restart().await;
    }
    let error = house.remove("phone", false).await.unwrap_err();
    assert!(error.contains("it has default, laptop"), "{error}");
    assert_eq!(house.fake.asked(), ["code c0 s3cret"], "nobody was asked");
}

#[tokio::test(start_paused = true)]
async fn a_changed_password_keeps_the_tokens() {
    let house = authorised("r1", 3_600).await;
    house.log_in(USER, "new").await.unwrap_err();
    let said = house.set(new("new")).await.unwrap();
    assert!(said.contains("changed"), "{said}");
    // Refuted a moment ago, right now.
    assert_eq!(house.log_in(USER, "new").await.unwrap(), "one");
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "new").await.unwrap(), "one");
    let account = house.accounts.known(USER).unwrap();
    assert_eq!(account.state().refresh.as_ref().unwrap().reveal(), "r1");
}

#[tokio::test(start_paused = true)]
async fn limits_hold_for_each_login_whatever_was_proven_before() {
    let mut house = authorised("r1", 36_000).await;
    let limited = NewPassword {
        services: vec!["IMAP".into()],
        from: vec!["10.0.0.0/8, 192.168.1.7".into()],
        ..named("phone", "pw-phone")
    };
    house.set(limited).await.unwrap();
    let listed = house.passwords().await.all.pop().unwrap();
    assert_eq!(listed.services, ["imap"]);
    assert_eq!(listed.from, ["10.0.0.0/8", "192.168.1.7/32"]);
    for _ in 0..2 {
        let (log, _guard) = Log::begin();
        for (service, from, good) in [
            ("SMTP-2465", "10.1.1.1", false),
            ("IMAP-2993", "10.1.1.1", true),
            ("SMTP-2465", "10.1.1.1", false),
            ("IMAP-2993", "192.168.1.7", true),
            ("IMAP-2993", "192.168.1.8", false),
            ("IMAP-2993", "127.0.0.1", false),
        ] {
            let done = house.log_in_at("pw-phone", service, from).await;
            assert_eq!(done.is_ok(), good, "{service} {from}");
            if let Err(refusal) = done {
                assert_eq!(refusal, wrong(), "a stranger learns nothing");
            }
            assert!(house.log_in_at("pw", service, from).await.is_ok());
        }
        assert!(
            log.text().contains("`phone` is not for SMTP-2465"),
            "{}",
            log.text()
        );
        house = house.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_password_under_two_names_is_good_for_both() {
    let house = authorised("r1", 3_600).await;
    for (name, service) in [("a", "imap"), ("b", "smtp")] {
        let limited = NewPassword {
            services: vec![service.into()],
            ..named(name, "shared")
        };
        house.set(limited).await.unwrap();
    }
    let house = house.restart().await;
    for service in ["IMAP-2993", "SMTP-2465"] {
        house
            .log_in_at("shared", service, "127.0.0.1")
            .await
            .unwrap();
    }
    house.remove("b", false).await.unwrap();
    house
        .log_in_at("shared", "IMAP-2993", "127.0.0.1")
        .await
        .unwrap();
    house
        .log_in_at("shared", "SMTP-2465", "127.0.0.1")
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_locked_account_wants_a_password_that_is_good_already() {
    let house = authorised("r1", 3_600).await.restart().await;
    assert!(house.passwords().await.locked);
    let error = house.set(named("phone", "pw-phone")).await.unwrap_err();
    assert!(error.contains("is locked"), "{error}");
    let with = |current: &str| NewPassword {
        current: Some(Password::from(current)),
        ..named("phone", "pw-phone")
    };
    let error = house.set(with("guess")).await.unwrap_err();
    assert!(error.contains("current password"), "{error}");
    assert_eq!(house.names().await, ["default"]);
    house.set(with("pw")).await.unwrap();
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw-phone").await.unwrap(), "one");
    // Taking one away needs none: the store's owner could do that anyway.
    let house = house.restart().await;
    house.remove("default", false).await.unwrap();
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "pw-phone").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_first_password_that_is_set_closes_first_use() {
    let house = House::new();
    assert!(!house.passwords().await.locked);
    // A login waits with a password of its own; the owner's word counts.
    let waiting = house.wait(USER, "mine");
    house.urls(1).await;
    let said = house.set(new("pw")).await.unwrap();
    assert!(said.contains("is set"), "{said}");
    assert_eq!(house.log_in(USER, "other").await.unwrap_err(), wrong());
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    assert_eq!(waiting.await.unwrap().unwrap_err(), wrong());
    assert_eq!(
        house
            .log_in_at("pw", "IMAP-2993", "192.0.2.1")
            .await
            .unwrap(),
        "one"
    );
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "mine").await.unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn the_last_password_goes_only_with_the_tokens() {
    let house = authorised("r1", 3_600).await;
    let before = house.on_disk();
    let error = house.remove("default", false).await.unwrap_err();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(house.on_disk(), before);
    let said = house.remove("default", true).await.unwrap();
    assert!(said.contains("tokens are forgotten"), "{said}");
    let house = house.restart().await;
    assert_eq!(house.state(USER).state, "needs consent");
    assert_eq!(house.state(USER).passwords, 0);
}

#[tokio::test(start_paused = true)]
async fn with_a_store_key_nothing_else_is_needed() {
    let house = House::with("store_key = file:store.key", USUAL);
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    login.await.unwrap().unwrap();
    let house = house.restart().await;
    assert!(!house.passwords().await.locked);
    assert!(house.state(USER).unattended);
    house.set(new("new")).await.unwrap();
    assert_eq!(house.log_in(USER, "new").await.unwrap(), "one");
    assert_eq!(house.log_in(USER, "pw").await.unwrap_err(), wrong());
    let said = house.remove("default", false).await.unwrap();
    assert!(said.contains("first login"), "{said}");
    let house = house.restart().await;
    assert_eq!(house.state(USER).state, "authorised");
    assert_eq!(house.log_in(USER, "another").await.unwrap(), "one");
    assert_eq!(house.log_in(USER, "new").await.unwrap_err(), wrong());
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused() {
    let house = authorised("r1", 3_600).await;
    let before = house.on_disk();
    let bad = [
        (new(""), "1 to 1024 bytes"),
        (new(&"x".repeat(1_025)), "1 to 1024 bytes"),
        (new("a\nb"), "line ends"),
        (named("", "pw"), "name"),
        (named("a\tb", "pw"), "name"),
        (
            NewPassword {
                services: vec!["IMAP-1".into()],
                ..named("a", "pw")
            },
            "IMAP-2993",
        ),
        (
            NewPassword {
                from: vec!["home".into()],
                ..named("a", "pw")
            },
            "no network",
        ),
    ];
    for (new, words) in bad {
        let error = house.set(new).await.unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    for account in ["who@example.org", "half@example.org"] {
        house
            .accounts
            .set_password(account, new("pw"))
            .await
            .unwrap_err();
    }
    let error = house
        .accounts
        .set_password("ropc@example.org", new("pw"))
        .await;
    assert!(error.unwrap_err().contains("credential at the provider"));
    assert_eq!(house.on_disk(), before);
    for n in 0..15 {
        house.set(named(&n.to_string(), "pw")).await.unwrap();
    }
    let error = house.set(named("16", "pw")).await.unwrap_err();
    assert!(error.contains("16 passwords"), "{error}");
    // One that is there may still be changed.
    house.set(named("3", "other")).await.unwrap();
}
