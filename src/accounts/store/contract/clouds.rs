//! AWS Secrets Manager, played by moto, and Vault, played by a fake made from its API documentation.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};

use super::super::aws::AwsStore;
use super::super::backend::{Backend, Swapped};
use super::super::contact::Contact;
use super::super::{Reach, Record, aws_http, http};
use super::{U, change, ends_leases, keeps_records, lends, lets_one_be_first, open, put};

use super::servers::{Moto, is_here};
use super::vault::FakeVault;

fn client(moto: &Moto) -> Client {
    let carrier = http::Carrier::new(&Reach::default()).unwrap();
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_http::over(carrier))
        .credentials_provider(Credentials::new("id", "key", None, None, "test"))
        .region(Region::new("eu-west-1"))
        .endpoint_url(moto.url());
    Client::from_conf(config.build())
}

fn store(moto: &Moto) -> Arc<dyn Backend> {
    Contact::with(AwsStore::by(client(moto), "mail/tokens").unwrap())
}

/// Counts the versions of the secret that AWS still has.
async fn versions(client: &Client) -> usize {
    let list = client
        .list_secret_version_ids()
        .secret_id("mail/tokens")
        .include_deprecated(true);
    list.send().await.unwrap().versions().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_keeps_what_must_last() {
    if !is_here("aws_keeps_what_must_last", "moto_server") {
        return;
    }
    let moto = Moto::start();
    let client = client(&moto);
    let one = store(&moto);
    assert!(!one.is_shared());
    assert_eq!(one.fetch(U).await, Ok(None));
    let first = put(&one, U, 0, "first").await;
    assert_eq!(versions(&client).await, 1, "the secret was made");
    let second = put(&one, U, first, "second").await;
    assert_eq!(versions(&client).await, 2);
    // A new access token alone is no reason to write.
    let mut with_access = change(U, second, "second");
    with_access
        .record
        .sealed
        .insert("access_token".into(), "x".into());
    let swapped = one.swap(vec![with_access.clone()]).await.unwrap();
    assert_eq!(swapped, [Swapped::Done(second + 1)]);
    assert_eq!(
        one.fetch(U).await.unwrap().unwrap().record,
        with_access.record
    );
    assert_eq!(versions(&client).await, 2);
    let swapped = one.swap(vec![change(U, 99, "late")]).await.unwrap();
    assert!(
        matches!(swapped[0], Swapped::Conflict(Some(_))),
        "{swapped:?}"
    );
    // The next process finds what must last.
    let two = store(&moto);
    let kept = two.load().await.unwrap();
    assert_eq!(kept[U].record.provider, "second");
    // Somebody else's hand is noticed before it is written over.
    put(&two, "new@example.org", 0, "theirs").await;
    let swapped = one
        .swap(vec![change("new@example.org", 0, "ours")])
        .await
        .unwrap();
    assert!(
        matches!(&swapped[0], Swapped::Conflict(Some(kept)) if kept.record.provider == "theirs")
    );
    assert_eq!(
        one.fetch(U).await.unwrap().unwrap().record,
        with_access.record
    );
    let giant = "x".repeat(70_000);
    let why = one
        .swap(vec![change("big@example.org", 0, &giant)])
        .await
        .unwrap_err();
    assert!(why.contains("65536"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_takes_over_what_the_predecessor_kept() {
    if !is_here("aws_takes_over_what_the_predecessor_kept", "moto_server") {
        return;
    }
    let moto = Moto::start();
    let client = client(&moto);
    let old = r#"{"u@example.org": {"token_salt": "AAECAwQFBgcICQoLDA0ODw==", "token_iterations": "1200000", "refresh_token": "gAAAAAb"}}"#;
    let made = client
        .create_secret()
        .name("mail/tokens")
        .secret_string(old)
        .send()
        .await;
    made.unwrap();
    let one = store(&moto);
    let all = one.load().await.unwrap();
    let carried = all["u@example.org"].record.predecessor.clone().unwrap();
    assert_eq!(carried.refresh_token.as_deref(), Some("gAAAAAb"));
    put(&one, "v@example.org", 0, "ours").await;
    put(&one, "w@example.org", 0, "ours").await;
    let two = store(&moto).load().await.unwrap();
    assert_eq!(two.len(), 3);
    assert_eq!(two["u@example.org"].record, all["u@example.org"].record);
    let labelled = client.get_secret_value().secret_id("mail/tokens");
    let labelled = labelled
        .version_stage("EMAIL-OAUTH2-PROXY")
        .send()
        .await
        .unwrap();
    assert_eq!(labelled.secret_string().unwrap(), old);
    assert_ne!(two["v@example.org"].record, Record::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_keeps_what_every_store_keeps() {
    let fake = FakeVault::start("hvs.token").await;
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "hvs.token\n").unwrap();
    let at = format!(
        "vault:{}/secret/team/mail?token_file={}",
        fake.url(),
        token.display()
    );
    keeps_records(&at).await;
    lets_one_be_first(&at).await;
    lends(&at).await;
    // What somebody deleted is written again.
    let store = open(&at);
    let gone = put(&store, "gone@example.org", 0, "one").await;
    fake.delete("team/mail/tokens/676f6e65406578616d706c652e6f7267");
    assert_eq!(store.fetch("gone@example.org").await, Ok(None));
    let gone = put(&store, "gone@example.org", gone, "two").await;
    fake.delete("team/mail/tokens/676f6e65406578616d706c652e6f7267");
    assert!(put(&store, "gone@example.org", 0, "three").await > gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn vaults_leases_end_by_themselves() {
    let fake = FakeVault::start("hvs.token").await;
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "hvs.token").unwrap();
    ends_leases(&format!(
        "vault:{}/secret/mail?token_file={}",
        fake.url(),
        token.display()
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_is_logged_in_to_again_when_a_token_ends() {
    let fake = FakeVault::start("first").await;
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (role, secret) = (file("role", "the-role\n"), file("secret", "the-secret\n"));
    let at = format!(
        "vault:{}/secret/mail?role_id_file={role}&secret_id_file={secret}",
        fake.url()
    );
    let store = open(&at);
    let first = put(&store, U, 0, "one").await;
    fake.renew("second");
    put(&store, U, first, "two").await;
    assert_eq!(fake.logins(), 2);
    file("secret", "another");
    fake.renew("third");
    let why = store.fetch(U).await.unwrap_err();
    assert!(why.contains("log in") && !why.contains("another"), "{why}");
    let jwt = file("jwt", "eyJ.jwt");
    let at = format!(
        "vault:{}/secret/mail?kubernetes_role=mail&jwt_file={jwt}",
        fake.url()
    );
    assert_eq!(
        open(&at).fetch(U).await.unwrap().unwrap().record.provider,
        "two"
    );
    let wrong = file("token", "stale");
    let at = format!("vault:{}/secret/mail?token_file={wrong}", fake.url());
    let why = open(&at).fetch(U).await.unwrap_err();
    assert!(
        why.contains("permission denied") && !why.contains("stale"),
        "{why}"
    );
}
