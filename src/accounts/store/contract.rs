//! What every store promises, tried on each kind with its real server.

use std::time::Duration;

use super::backend::{Backend, Change, Kept, LEASE, Swapped};
use super::{Place, Reach, Record};
use std::sync::Arc;

#[allow(dead_code, reason = "the tests of whole proxies use the rest")]
#[path = "../../../tests/stores/servers.rs"]
mod servers;

use servers::{Postgres, Redis, is_here};

const U: &str = "ünder_score%*@example.org";

fn record(provider: &str) -> Record {
    Record {
        provider: provider.into(),
        ..Record::default()
    }
}

fn change(account: &str, expected: u64, provider: &str) -> Change {
    Change {
        account: account.into(),
        expected,
        record: record(provider),
    }
}

fn open(address: &str) -> Arc<dyn Backend> {
    let place = Place::parse(address).unwrap();
    place.open(&Reach::default()).unwrap().0
}

/// Writes one record and returns the revision it got.
async fn put(store: &Arc<dyn Backend>, account: &str, expected: u64, provider: &str) -> u64 {
    let swapped = store
        .swap(vec![change(account, expected, provider)])
        .await
        .unwrap();
    match swapped.as_slice() {
        [Swapped::Done(revision)] => *revision,
        other => panic!("{other:?}"),
    }
}

/// Records and revisions: the first writer wins, and the other sees what is there.
async fn keeps_records(address: &str) {
    let (one, two) = (open(address), open(address));
    assert!(one.is_shared());
    assert_eq!(one.fetch(U).await, Ok(None));
    assert!(one.load().await.unwrap().is_empty());
    assert!(one.revisions().await.unwrap().is_empty());
    let first = put(&one, U, 0, "first").await;
    assert!(first > 0);
    let kept = |provider, revision| Kept {
        record: record(provider),
        revision,
    };
    assert_eq!(two.fetch(U).await, Ok(Some(kept("first", first))));
    let second = put(&two, U, first, "second").await;
    assert!(second > first);
    let swapped = one.swap(vec![
        change(U, first, "late"),
        change("new@example.org", 0, "new"),
        change("gone@example.org", 7, "gone"),
    ]);
    let swapped = swapped.await.unwrap();
    assert_eq!(swapped[0], Swapped::Conflict(Some(kept("second", second))));
    assert!(matches!(swapped[1], Swapped::Done(_)), "{swapped:?}");
    assert_eq!(swapped[2], Swapped::Conflict(None));
    let swapped = two.swap(vec![change(U, 0, "late")]).await.unwrap();
    assert_eq!(swapped, [Swapped::Conflict(Some(kept("second", second)))]);
    let all = two.load().await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[U], kept("second", second));
    let revisions = one.revisions().await.unwrap();
    assert_eq!(revisions[U], second);
    assert_eq!(
        revisions["new@example.org"],
        all["new@example.org"].revision
    );
    // The same again is known as the same: its answer may have been lost.
    let swapped = two.swap(vec![change(U, first, "second")]).await.unwrap();
    assert_eq!(swapped, [Swapped::Done(second)]);
}

/// Of many who change one record at once, one is first.
async fn lets_one_be_first(address: &str) {
    let known = put(&open(address), "race@example.org", 0, "start").await;
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = open(address);
        racers.spawn(async move {
            let wish = change("race@example.org", known, &format!("racer {n}"));
            (n, store.swap(vec![wish]).await.unwrap().remove(0))
        });
    }
    let ends = racers.join_all().await;
    let first: Vec<_> = ends
        .iter()
        .filter(|(_, end)| matches!(end, Swapped::Done(_)))
        .collect();
    assert_eq!(first.len(), 1, "{ends:?}");
    let kept = open(address)
        .fetch("race@example.org")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.record, record(&format!("racer {}", first[0].0)));
}

/// Leases: one holder at a time, given back only by their holder.
async fn lends(address: &str) {
    let (one, two) = (open(address), open(address));
    let lease = one.lease(U).await.unwrap().unwrap();
    assert!(two.lease(U).await.unwrap().is_none());
    assert!(two.lease("other@example.org").await.unwrap().is_some());
    let mut stranger = open(address)
        .lease("third@example.org")
        .await
        .unwrap()
        .unwrap();
    stranger.account = U.into();
    two.release(stranger).await.unwrap();
    assert!(two.lease(U).await.unwrap().is_none());
    one.release(lease).await.unwrap();
    let lease = two.lease(U).await.unwrap().unwrap();
    assert!(one.lease(U).await.unwrap().is_none());
    two.release(lease).await.unwrap();
}

/// A lease whose holder never comes back ends by itself, and not before.
async fn ends_leases(address: &str) {
    let begin = std::time::Instant::now();
    let lost = open(address).lease(U).await.unwrap().unwrap();
    let two = open(address);
    let next = loop {
        if let Some(lease) = two.lease(U).await.unwrap() {
            break lease;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // Servers count in ms, and their clock began a moment before ours.
    assert!(
        begin.elapsed() + Duration::from_millis(50) > LEASE,
        "{:?}",
        begin.elapsed()
    );
    two.release(lost).await.unwrap();
    assert!(two.lease(U).await.unwrap().is_none());
    two.release(next).await.unwrap();
}

/// Waits until a store that was away answers again.
async fn comes_back(store: &Arc<dyn Backend>) {
    while store.revisions().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_what_every_store_keeps() {
    if !is_here("redis_keeps_what_every_store_keeps", "redis-server") {
        return;
    }
    let redis = Redis::start();
    let at = format!("{}/1?prefix=mail:", redis.url());
    keeps_records(&at).await;
    lets_one_be_first(&at).await;
    lends(&at).await;
    ends_leases(&at).await;
    assert_eq!(
        redis.ask("DBSIZE").unwrap(),
        ":0",
        "it was told to use database 1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_away_come_back_empty_and_want_a_password() {
    if !is_here("redis_may_be_away", "redis-server") {
        return;
    }
    let mut redis = Redis::start();
    let store = open(&redis.url());
    let known = put(&store, U, 0, "one").await;
    redis.end();
    let why = store.fetch(U).await.unwrap_err();
    assert!(
        why.contains(&format!("Redis at 127.0.0.1:{}", redis.port)),
        "{why}"
    );
    redis.begin();
    comes_back(&store).await;
    let swapped = store.swap(vec![change(U, known, "two")]).await.unwrap();
    assert_eq!(swapped, [Swapped::Conflict(None)]);
    // A revision is never given twice, not even by a Redis that lost all it knew.
    assert!(put(&store, U, 0, "two").await > known);
    // A connection that died unnoticed is no failure.
    redis.ask("CLIENT KILL TYPE normal").unwrap();
    store.fetch(U).await.unwrap().unwrap();
    redis.ask("CONFIG SET requirepass hunter2").unwrap();
    let why = open(&redis.url()).fetch(U).await.unwrap_err();
    assert!(why.contains("password"), "{why}");
    let wrong = redis.url().replace("redis://", "redis://:hunter3@");
    let why = open(&wrong).fetch(U).await.unwrap_err();
    assert!(!why.contains("hunter3"), "{why}");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let by_file = format!("{}?password_file={}", redis.url(), file.display());
    open(&by_file).fetch(U).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_every_store_keeps() {
    if !is_here("postgres_keeps_what_every_store_keeps", "postgres") {
        return;
    }
    let postgres = Postgres::start();
    keeps_records(&postgres.url()).await;
    lets_one_be_first(&postgres.url()).await;
    lends(&postgres.url()).await;
    ends_leases(&postgres.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_away_and_allow_little() {
    if !is_here("postgres_may_be_away_and_allow_little", "postgres") {
        return;
    }
    let mut postgres = Postgres::start();
    let store = open(&postgres.url());
    let known = put(&store, U, 0, "one").await;
    postgres.end();
    let why = store.fetch(U).await.unwrap_err();
    assert!(why.contains("PostgreSQL at 127.0.0.1"), "{why}");
    postgres.begin();
    comes_back(&store).await;
    put(&store, U, known, "two").await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'emailproxy'";
    assert_eq!(postgres.psql(kill).unwrap(), "1");
    store.fetch(U).await.unwrap().unwrap();
    // Somebody who may not make tables says so, and gets by with what docs/FLEET.md grants.
    postgres.psql("CREATE ROLE poor LOGIN").unwrap();
    postgres.psql("CREATE SCHEMA mail").unwrap();
    postgres.psql("GRANT USAGE ON SCHEMA mail TO poor").unwrap();
    let poor = format!("{}?schema=mail", postgres.url().replace("mail@", "poor@"));
    let why = open(&poor).fetch(U).await.unwrap_err();
    assert!(why.contains("docs/FLEET.md"), "{why}");
    for block in include_str!("../../../docs/FLEET.md")
        .split("```sql\n")
        .skip(1)
    {
        let (statements, _) = block.split_once("```").unwrap();
        let statements = statements.replace("emailproxy_", "mail.emailproxy_");
        let statements = statements.replace("TO emailproxy", "TO poor");
        postgres
            .psql(&statements)
            .unwrap_or_else(|| panic!("{statements}"));
    }
    keeps_records(&poor).await;
    lends(&poor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_once_however_many_come_at_once() {
    if !is_here("tables_are_made_once", "postgres") {
        return;
    }
    let postgres = Postgres::start();
    let mut first = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = open(&postgres.url());
        first.spawn(async move { put(&store, &format!("u{n}"), 0, "x").await });
    }
    first.join_all().await;
    assert_eq!(open(&postgres.url()).load().await.unwrap().len(), 12);
}
