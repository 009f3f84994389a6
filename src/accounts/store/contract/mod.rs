//! What every store promises, tried on each kind with its real server, or with what others wrote in its place.

use std::time::Duration;

use super::backend::{Backend, Change, Kept, LEASE, Swapped};
use super::{Place, Reach, Record};
use std::sync::Arc;

mod clouds;
mod databases;
#[allow(dead_code, reason = "the tests of whole proxies use the rest")]
#[path = "../../../../tests/stores/servers.rs"]
mod servers;
#[allow(dead_code, reason = "the tests of whole proxies use the rest")]
#[path = "../../../../tests/stores/vault.rs"]
mod vault;

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
    reached(address, &Reach::default())
}

fn reached(address: &str, reach: &Reach) -> Arc<dyn Backend> {
    Place::parse(address).unwrap().open(reach).unwrap().0
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
