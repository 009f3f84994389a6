//! The store key: accounts that are open from start, and keys that do not fit.

use super::tokens::{authorised, past_its_end};
use super::*;

const KEY: &str = "store_key = file:store.key";

fn key_file(house: &House) -> std::path::PathBuf {
    house.home.path().join("store.key")
}

/// A house whose one account has logged in with `pw` while there was a store key.
async fn keyed() -> House {
    let house = House::with(KEY, USUAL);
    let login = house.wait("code@example.org", "pw");
    house.urls(1).await;
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    login.await.unwrap().unwrap();
    house
}

#[tokio::test(start_paused = true)]
async fn accounts_are_open_from_start_but_passwords_are_proven_all_the_same() {
    let house = keyed().await;
    assert_eq!(
        house.on_disk()["accounts"]["code@example.org"]["wraps"][1]["by"],
        "store"
    );
    let house = house.restart().await;
    let account = house.accounts.known("code@example.org").unwrap();
    assert!(account.state().is_unlocked());
    assert_eq!(account.state().refresh.as_ref().unwrap().reveal(), "r1");
    assert_eq!(house.state("code@example.org").state, "authorised");
    let guess = house.log_in("code@example.org", "pW").await;
    assert_eq!(guess.unwrap_err(), wrong());
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "one");
    past_its_end(&house, "one").await;
    house.fake.grants("two", 3_600, Some("r2"));
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "two");
    let house = house.restart().await;
    let account = house.accounts.known("code@example.org").unwrap();
    assert_eq!(account.state().refresh.as_ref().unwrap().reveal(), "r2");
}

#[tokio::test(start_paused = true)]
async fn accounts_that_were_there_before_the_key_are_open_after_their_next_login() {
    let house = authorised("r1", 3_600).await;
    let config = config(house.home.path(), KEY, USUAL);
    let house = house.restart_with(config).await;
    assert_eq!(
        house.state("code@example.org").state,
        "locked until the next login"
    );
    house.log_in("code@example.org", "pw").await.unwrap();
    let house = house.restart().await;
    assert_eq!(house.state("code@example.org").state, "authorised");
}

#[tokio::test(start_paused = true)]
async fn without_the_option_the_stores_wraps_go_at_the_next_write() {
    let house = keyed().await;
    let config = config(house.home.path(), "", USUAL);
    let house = house.restart_with(config).await;
    assert_eq!(
        house.state("code@example.org").state,
        "locked until the next login"
    );
    let (log, _guard) = Log::begin();
    house.log_in("code@example.org", "pw").await.unwrap();
    let wraps = house.on_disk()["accounts"]["code@example.org"]["wraps"].clone();
    assert_eq!(wraps.as_array().unwrap().len(), 1);
    assert_eq!(wraps[0]["by"], "password");
    assert!(
        log.text().contains("no longer open to a store key"),
        "{}",
        log.text()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_key_is_never_replaced_silently() {
    let house = keyed().await;
    let config = Arc::clone(&house.accounts.world().config);
    let before = house.on_disk();
    std::fs::rename(key_file(&house), house.home.path().join("away")).unwrap();
    let House {
        home,
        fake,
        accounts,
    } = house;
    accounts.close(Duration::from_secs(5)).await;
    let waiting = Arc::downgrade(&accounts);
    drop(accounts);
    while waiting.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
    let error = open(home.path(), Arc::clone(&config), &fake).unwrap_err();
    assert!(error.contains("bring that key back"), "{error}");
    assert!(!home.path().join("store.key").exists());
    // Another key, made by hand: the account is named, keeps its tokens, and opens by its password.
    std::fs::write(home.path().join("store.key"), [9; 32]).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(
        home.path().join("store.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let (log, _guard) = Log::begin();
    let accounts = open(home.path(), config, &fake).unwrap();
    let house = House {
        home,
        fake,
        accounts,
    };
    assert!(
        log.text().contains("stay locked until their next login"),
        "{}",
        log.text()
    );
    assert!(log.text().contains("code@example.org"), "{}", log.text());
    assert_eq!(house.on_disk(), before);
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "one");
    let house = house.restart().await;
    assert_eq!(house.state("code@example.org").state, "authorised");
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_nobody_waited_for_is_sealed_at_once() {
    let house = House::with(KEY, USUAL);
    house.accounts.begin("code@example.org").await.unwrap();
    house.fake.grants("one", 3_600, Some("r1"));
    house.answers("s0", "c0").await;
    assert_eq!(house.state("code@example.org").state, "authorised");
    let house = house.restart().await;
    assert_eq!(house.state("code@example.org").state, "authorised");
    // The first password joins the key that is there.
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "one");
    let guess = house.log_in("code@example.org", "other").await;
    assert_eq!(guess.unwrap_err(), wrong());
    let house = house.restart().await;
    assert_eq!(house.log_in("code@example.org", "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked(), ["code c0 s3cret"]);
}

const SHARED: &str = "[@example.org]\ntoken_url = https://idp.example/token\noauth2_flow = client_credentials\noauth2_scope = mail\n# keep\nclient_id = app\nclient_secret = s3cret\n";

#[tokio::test(start_paused = true)]
async fn a_shared_client_secret_is_closed_with_the_store_key() {
    let options = "allow_catch_all_accounts = True\nencrypt_client_secret_on_first_use = True\nstore_key = file:store.key";
    let house = House::with(options, SHARED);
    let path = house.home.path().join("emailproxy.ini");
    let (log, _guard) = Log::begin();
    for user in ["a@example.org", "b@example.org"] {
        house.fake.grants("one", 3_600, None);
        house.log_in(user, "pw").await.unwrap();
    }
    while !log.text().contains("the store key opens it") {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        log.text().matches("client secret").count(),
        1,
        "{}",
        log.text()
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(
        text.contains("# keep\nclient_id = app\nclient_secret_encrypted = store:"),
        "{text}"
    );
    // Read anew, it is the same secret.
    let config = Arc::new(Config::parse(&path, text.as_bytes()).unwrap());
    let house = house.restart_with(config).await;
    house.fake.grants("two", 3_600, None);
    house.log_in("c@example.org", "pw").await.unwrap();
    house.accounts.close(Duration::from_secs(5)).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(house.fake.asked(), ["client s3cret"; 3]);
    // It goes to no other endpoint.
    let other = text.replace(
        "https://idp.example/token",
        "https://elsewhere.example/token",
    );
    let config = Arc::new(Config::parse(&path, other.as_bytes()).unwrap());
    let house = house.restart_with(config).await;
    let refusal = house.log_in("d@example.org", "pw").await.unwrap_err();
    assert!(
        refusal.to_string().contains("not opened by the store key"),
        "{refusal}"
    );
    assert_eq!(house.fake.asked().len(), 3);
}
