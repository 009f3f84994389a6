//! A store that goes away, comes back, and may have forgotten everything.

use std::time::Duration;

use super::servers::{Redis, is_here};
use super::support::provider::Provider;
use super::{PASSWORD, Server, authorise, log_in, name, plan};

/// How long a login may wait before it is refused for now: each call to the store is bounded to 5 s.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_is_away_ends_nothing_and_comes_back_without_a_restart() {
    let test = "a_store_that_is_away_ends_nothing_and_comes_back_without_a_restart";
    for mut server in Server::each(test) {
        let provider = Provider::start().await;
        let start = || plan(&provider, 2).stored_at(&server.url()).start();
        let (one, two) = (start(), start());
        let mut session = authorise(&one, &name(0)).await;
        authorise(&one, &name(1)).await;
        server.end();
        let said = session.imap("NOOP").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
        // What the proxy has in memory is good as long as it lasts.
        for n in 0..2 {
            let said = log_in(one.at("IMAP-0"), &name(n), PASSWORD).await.1;
            assert!(said.starts_with("OK"), "{said}");
        }
        // One that has never heard of the account cannot tell who may in, and says so: for now.
        let first = name(0);
        let refused = tokio::time::timeout(SOON, log_in(two.at("IMAP-0"), &first, PASSWORD));
        let (mut client, said) = refused.await.unwrap();
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{said}");
        assert!(
            two.daemon.accounts.pending().borrow().is_empty(),
            "nobody is asked for consent"
        );
        server.begin();
        // PostgreSQL kept what it had; an empty Redis hears it again from the proxy that knows.
        while server.records() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let again = async {
            loop {
                let said = client.imap(&format!("LOGIN {} {PASSWORD}", name(0))).await;
                let said = said.last().unwrap().clone();
                if said.starts_with("OK") {
                    return;
                }
                assert!(said.starts_with("NO [UNAVAILABLE]"), "{said}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(SOON, again).await.unwrap();
        assert_eq!(provider.world.register.count("authorization_code"), 2);
        let said = session.imap("NOOP").await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_starts_while_its_store_is_away() {
    for mut server in Server::each("a_proxy_starts_while_its_store_is_away") {
        let provider = Provider::start().await;
        let at = server.url();
        server.end();
        let proxy = plan(&provider, 1).stored_at(&at).start();
        let (mut client, said) = log_in(proxy.at("IMAP-0"), "app@example.com", PASSWORD).await;
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{said}");
        assert!(
            !said.contains("postgres://") && !said.contains("redis://"),
            "{said}"
        );
        server.begin();
        let again = async {
            loop {
                let said = client
                    .imap(&format!("LOGIN app@example.com {PASSWORD}"))
                    .await;
                if said.last().unwrap().starts_with("OK") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(SOON, again).await.unwrap();
        assert_eq!(server.records(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_comes_back_with_an_old_copy_is_brought_up_to_date() {
    let test = "a_redis_that_comes_back_with_an_old_copy_is_brought_up_to_date";
    if !is_here(test, "redis-server") {
        return;
    }
    let redis = Redis::start();
    let provider = Provider::start().await;
    let start = || plan(&provider, 1).stored_at(&redis.url()).start();
    let (one, two) = (start(), start());
    provider.world.turn(|knobs| knobs.lifetime = Some(1));
    authorise(&one, &name(0)).await;
    for hash in ["revisions", "records"] {
        let copied = redis.ask(&format!("COPY emailproxy:{hash} old:{hash}"));
        assert_eq!(copied.unwrap(), ":1");
    }
    // The refresh token in the copy is spent.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let said = log_in(one.at("IMAP-0"), &name(0), PASSWORD).await.1;
    assert!(said.starts_with("OK"), "{said}");
    let revision = format!("HGET emailproxy:revisions {}", name(0));
    let newest: u64 = number(&redis, &revision);
    for hash in ["revisions", "records"] {
        redis
            .ask(&format!("RENAME old:{hash} emailproxy:{hash}"))
            .unwrap();
    }
    assert!(number(&redis, &revision) < newest);
    while number(&redis, &revision) <= newest {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = log_in(two.at("IMAP-0"), &name(0), PASSWORD).await.1;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(provider.world.register.count("authorization_code"), 1);
}

/// Asks Redis for a number.
fn number(redis: &Redis, question: &str) -> u64 {
    redis.ask(question).unwrap().parse().unwrap()
}
