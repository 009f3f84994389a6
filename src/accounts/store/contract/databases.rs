//! Redis and `PostgreSQL`.

use std::sync::Arc;

use super::super::Reach;
use super::super::backend::Swapped;
use super::{
    U, change, comes_back, ends_leases, keeps_records, lends, lets_one_be_first, open, put, reached,
};

use super::servers::{Postgres, Redis, is_here};

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
    for block in include_str!("../../../../docs/FLEET.md")
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

/// An authority, and a certificate of 127.0.0.1 that it signed; returns trust in it, the chain and the key as PEM.
fn authority() -> (Reach, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let reach = Reach {
        tls: Some(Arc::new(tls)),
        proxy: None,
    };
    (reach, certificate.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    if !is_here("certificates_are_checked", "redis-server")
        || !is_here("certificates_are_checked", "postgres")
    {
        return;
    }
    let (trusting, certificate, key) = authority();
    let (distrusting, ..) = authority();
    let redis = Redis::start_with_tls(&certificate, &key);
    let postgres = Postgres::start_with_tls(&certificate, &key);
    let mut stores = Vec::new();
    for at in [
        redis.tls_url(),
        format!("{}?sslmode=require", postgres.url()),
    ] {
        let store = reached(&at, &trusting);
        let (account, provider) = ("tls@example.org", "sealed");
        put(&store, account, 0, provider).await;
        stores.push(store);
        let why = reached(&at, &distrusting).fetch(account).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
    }
    let seen = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'emailproxy'";
    assert_eq!(postgres.psql(seen).unwrap(), "t");
}
