//! Password guessers and first comers. What is slow by design is measured from below only.

use std::time::{Duration, Instant};

use crate::support::client::{Client, plain_response, xoauth2_response};
use crate::support::daemon::{Plan, Proxy, app, free_port};
use crate::support::provider::Provider;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "correct horse";
const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

/// Connects and hears the greeting.
async fn greeted(proxy: &Proxy, section: &str) -> Client {
    let mut client = Client::plain(proxy.at(section)).await;
    client.line().await;
    client
}

/// Tries a password and returns the answer to it; nothing where the proxy hung up instead.
async fn try_in(client: &mut Client, section: &str, user: &str, password: &str) -> Option<String> {
    match section {
        "IMAP-0" => {
            client.say(&format!("x LOGIN {user} \"{password}\"")).await;
        }
        "POP-0" => {
            client.say(&format!("USER {user}")).await;
            client.hear().await?;
            client.say(&format!("PASS {password}")).await;
        }
        _ => {
            let response = plain_response(user, password);
            client.say(&format!("AUTH PLAIN {response}")).await;
        }
    }
    // What the server offers may come before the answer.
    loop {
        let line = client.hear().await?;
        if !line.starts_with("* CAPABILITY") {
            return Some(line);
        }
    }
}

/// Tries a password on a connection of its own.
async fn try_once(proxy: &Proxy, section: &str, user: &str, password: &str) -> String {
    let mut client = greeted(proxy, section).await;
    let answer = try_in(&mut client, section, user, password).await;
    answer.expect("no answer")
}

fn is_welcome(answer: &str) -> bool {
    ["x OK", "+OK", "235 "]
        .iter()
        .any(|yes| answer.starts_with(yes))
}

fn is_refusal(answer: &str) -> bool {
    let refusals = ["x NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]", "535 5.7.8"];
    refusals.iter().any(|no| answer.starts_with(no))
}

#[tokio::test]
async fn r18_a_wrong_password_changes_nothing_and_asks_nobody() {
    let provider = Provider::start().await;
    let plan = Plan::for_provider(&provider);
    let proxy = plan.person(&provider, USER, free_port()).start();
    let person = proxy.say_yes();
    assert!(is_welcome(
        &try_once(&proxy, "IMAP-0", USER, PASSWORD).await
    ));
    person.await.unwrap();
    let proxy = proxy.restart().await;
    let before = (
        std::fs::read(proxy.store()).unwrap(),
        provider.world.register.requests().len(),
    );
    let mut tries = tokio::task::JoinSet::new();
    // Each has waited for its turn before it is looked at; what comes first is not decided here.
    let proxy = std::sync::Arc::new(proxy);
    for (section, guess) in SECTIONS
        .into_iter()
        .zip(["correct hors", "Correct horse", "x"])
    {
        let proxy = std::sync::Arc::clone(&proxy);
        tries.spawn(async move { try_once(&proxy, section, USER, guess).await });
    }
    for answer in tries.join_all().await {
        assert!(is_refusal(&answer), "{answer}");
    }
    assert!(proxy.daemon.accounts.pending().borrow().is_empty());
    assert_eq!(std::fs::read(proxy.store()).unwrap(), before.0);
    assert_eq!(provider.world.register.requests().len(), before.1);
    assert!(is_welcome(&try_once(&proxy, "POP-0", USER, PASSWORD).await));
}

#[tokio::test]
async fn r18_who_comes_first_from_elsewhere_sets_no_password() {
    let provider = Provider::start().await;
    let proxy = Plan::bare(&provider.world.authority)
        .service("IMAP-0", provider.imap, "proxy_protocol_from = 127.0.0.0/8")
        .section(&app(&provider, USER))
        .start();
    for (from, welcome) in [
        ("192.0.2.7", false),
        ("127.0.0.1", true),
        ("192.0.2.7", true),
    ] {
        let mut client = Client::plain(proxy.at("IMAP-0")).await;
        client
            .send(format!("PROXY TCP4 {from} 127.0.0.1 4711 1993\r\n"))
            .await;
        client.line().await;
        let answer = try_in(&mut client, "IMAP-0", USER, PASSWORD).await.unwrap();
        assert_eq!(is_welcome(&answer), welcome, "{from}: {answer}");
        assert!(welcome || is_refusal(&answer), "{answer}");
    }
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn r19_guesses_are_slowed_down_over_connections_and_protocols() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    assert!(is_welcome(
        &try_once(&proxy, "IMAP-0", USER, PASSWORD).await
    ));
    let begun = Instant::now();
    for (section, due) in SECTIONS.into_iter().zip([0, 2, 6]) {
        let mut guesser = greeted(&proxy, section).await;
        let guess = try_in(&mut guesser, section, USER, "guess");
        tokio::pin!(guess);
        // The owner is served while the guess is held back.
        let owner = async {
            for section in SECTIONS {
                let answer = try_once(&proxy, section, USER, PASSWORD).await;
                assert!(is_welcome(&answer), "{section}: {answer}");
            }
        };
        if due == 0 {
            owner.await;
        } else {
            tokio::select! {
                biased;
                () = owner => {}
                answer = &mut guess => panic!("the guess was answered first: {answer:?}"),
            }
        }
        let answer = guess.await.unwrap();
        assert!(is_refusal(&answer), "{answer}");
        assert!(begun.elapsed() >= Duration::from_secs(due), "{section}");
    }
    assert_eq!(provider.world.register.requests().len(), 1);
}

#[tokio::test]
async fn r19_a_connection_is_closed_behind_its_third_failure() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    let connection = async |section: &'static str, user: &'static str| {
        let mut client = greeted(&proxy, section).await;
        for n in 0..3 {
            let answer = try_in(&mut client, section, user, &format!("guess {n}")).await;
            assert!(
                answer.as_deref().is_some_and(is_refusal),
                "{section}: {answer:?}"
            );
        }
        let rest = client.rest().await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(!rest.contains("OK"), "{section}: {rest}");
        client.try_send(b"NOOP\r\n").await;
        assert!(client.rest().await.is_empty(), "{section}");
    };
    // Names of their own, so that all three need six seconds and not more.
    tokio::join!(
        connection("IMAP-0", "nobody@example.com"),
        connection("POP-0", "no.one@example.com"),
        connection("SMTP-0", "none@example.com"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_sixteen_guessers_keep_no_owner_waiting() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    let proxy = std::sync::Arc::new(proxy);
    assert!(is_welcome(
        &try_once(&proxy, "IMAP-0", USER, PASSWORD).await
    ));
    let guessers: Vec<_> = (0..16)
        .map(|n| {
            let proxy = std::sync::Arc::clone(&proxy);
            tokio::spawn(async move {
                for round in 0.. {
                    let section = SECTIONS[(n + round) % 3];
                    let guess = format!("guess {n} {round}");
                    assert!(is_refusal(&try_once(&proxy, section, USER, &guess).await));
                }
            })
        })
        .collect();
    for _ in 0..10 {
        for section in SECTIONS {
            let answer = try_once(&proxy, section, USER, PASSWORD).await;
            assert!(is_welcome(&answer), "{section}: {answer}");
        }
    }
    for guesser in guessers {
        assert!(!guesser.is_finished());
        guesser.abort();
    }
}

#[tokio::test]
async fn r20_unknown_incomplete_wrong_and_foreign_sound_alike() {
    let provider = Provider::start().await;
    let elsewhere = app(&provider, "elsewhere@example.com") + "allow_from = 192.0.2.0/24\n";
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .section(&elsewhere)
        .section("[half@example.com]\ntoken_url = https://idp.example.com/token\n")
        .start();
    assert!(is_welcome(
        &try_once(&proxy, "IMAP-0", USER, PASSWORD).await
    ));
    for section in SECTIONS {
        let mut answers = Vec::new();
        for user in [
            USER,
            "half@example.com",
            "who@example.com",
            "elsewhere@example.com",
        ] {
            let mut client = greeted(&proxy, section).await;
            let answer = try_in(&mut client, section, user, "guess").await.unwrap();
            assert!(is_refusal(&answer), "{section} {user}: {answer}");
            answers.push(answer.replace(user, "USER"));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{section}: {answers:?}");
    }
}

#[tokio::test]
async fn r20_an_incomplete_entry_is_shown_out_like_one_that_is_not_there() {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .app(&provider, USER)
        .section("[half@example.com]\ntoken_url = https://idp.example.com/token\n")
        .start();
    let last_words = async |user: &str| {
        let mut client = greeted(&proxy, "SMTP-0").await;
        for n in 0..3 {
            let guess = xoauth2_response(user, &format!("guess {n}"));
            client.say(&format!("AUTH XOAUTH2 {guess}")).await;
            client.line().await;
        }
        let rest = client.rest().await;
        String::from_utf8_lossy(&rest).replace(user, "USER")
    };
    let (half, none) = tokio::join!(last_words("half@example.com"), last_words("no@example.com"));
    assert_eq!(half, none);
    assert!(half.starts_with("421 "), "{half}");
}
