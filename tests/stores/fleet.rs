//! Three proxies that share accounts: one of them asks the provider, all of them know.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::support::provider::Provider;
use super::{PASSWORD, Server, authorise, log_in, name, plan};

/// How many persons there are.
const PERSONS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_logins_of_twenty_accounts_make_twenty_refreshes() {
    for server in Server::each("two_hundred_logins_of_twenty_accounts_make_twenty_refreshes") {
        let provider = Provider::start().await;
        let start = || plan(&provider, PERSONS).stored_at(&server.url()).start();
        let proxies = [start(), start(), start()];
        // What persons authorise is over at once, so that the next logins are those at the moment of expiry.
        provider.world.turn(|knobs| knobs.lifetime = Some(1));
        for n in 0..PERSONS {
            authorise(&proxies[n % 3], &name(n)).await;
        }
        assert_eq!(provider.world.register.count("refresh_token"), 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        provider.world.turn(|knobs| {
            knobs.lifetime = Some(3600);
            knobs.token_delay = Duration::from_millis(300);
        });
        let logins: Vec<_> = (0..200)
            .map(|n| {
                let at = proxies[n % 3].at("IMAP-0");
                tokio::spawn(async move { log_in(at, &name(n % PERSONS), PASSWORD).await.1 })
            })
            .collect();
        for login in logins {
            let said = login.await.unwrap();
            assert!(said.starts_with("OK"), "{said}");
        }
        let mut spent = HashMap::<String, usize>::new();
        for form in provider.world.register.requests() {
            if let Some(token) = form.get("refresh_token") {
                *spent.entry(token.clone()).or_default() += 1;
            }
        }
        assert_eq!(spent.len(), PERSONS);
        assert!(spent.values().all(|times| *times == 1), "{spent:?}");
        assert_eq!(server.records(), PERSONS);
        // A stranger's password is good at none of them.
        for proxy in &proxies {
            let said = log_in(proxy.at("IMAP-0"), &name(0), "guessed").await.1;
            assert!(said.starts_with("NO [AUTHENTICATIONFAILED]"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_logins_at_three_proxies_at_once_end_with_one_record() {
    for server in Server::each("first_logins_at_three_proxies_at_once_end_with_one_record") {
        let provider = Provider::start().await;
        provider
            .world
            .turn(|knobs| knobs.token_delay = Duration::from_millis(300));
        let start = || plan(&provider, 0).stored_at(&server.url()).start();
        let proxies = [start(), start(), start()];
        let logins: Vec<_> = (0..9)
            .map(|n| {
                let at = proxies[n % 3].at("IMAP-0");
                tokio::spawn(async move { log_in(at, "app@example.com", PASSWORD).await.1 })
            })
            .collect();
        for login in logins {
            let said = login.await.unwrap();
            assert!(said.starts_with("OK"), "{said}");
        }
        assert_eq!(server.records(), 1);
        for proxy in &proxies {
            let said = log_in(proxy.at("IMAP-0"), "app@example.com", PASSWORD)
                .await
                .1;
            assert!(said.starts_with("OK"), "{said}");
            let said = log_in(proxy.at("IMAP-0"), "app@example.com", "other")
                .await
                .1;
            assert!(said.starts_with("NO [AUTHENTICATIONFAILED]"), "{said}");
        }
        // What is in the store is the same as what each of them knows.
        let [one, two, three] = proxies;
        for proxy in [one, two, three] {
            let proxy = proxy.restart().await;
            let said = log_in(proxy.at("IMAP-0"), "app@example.com", PASSWORD)
                .await
                .1;
            assert!(said.starts_with("OK"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_starts_later_needs_no_consent() {
    for server in Server::each("a_replica_that_starts_later_needs_no_consent") {
        let provider = Provider::start().await;
        let start = || plan(&provider, 1).stored_at(&server.url()).start();
        let first = start();
        authorise(&first, &name(0)).await;
        let second = start();
        let begin = Instant::now();
        let said = log_in(second.at("IMAP-0"), &name(0), PASSWORD).await.1;
        assert!(said.starts_with("OK"), "{said}");
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "it waited for a lease"
        );
        assert_eq!(provider.world.register.requests().len(), 1);
    }
}
