//! Accounts that come from the predecessor: nobody has to authorise anything again.

use super::*;

const USER: &str = "u@example.org";
const T100K: &str = "gAAAAABlU_EAEBESExQVFhcYGRobHB0eHwDe3mnh4OtPD6RMNXLWXykcWg-o9uTts6fyjkO5KgtzboRPDEG3jb6PEONZNk9MsgWTbguyS0UIYNW2If4qlT8=";
const PLAIN: &str = "ya29.access-token-VALUE";

fn section(name: &str, more: &str) -> String {
    format!(
        "[{name}]\npermission_url = https://idp.example/auth\ntoken_url = https://idp.example/token\noauth2_scope = mail\nclient_id = app\nredirect_uri = http://localhost:8825\n{more}\n"
    )
}

fn cached(extra: &str) -> String {
    let values = format!(
        "token_salt = AAECAwQFBgcICQoLDA0ODw==\ntoken_iterations = 100000\nrefresh_token = {T100K}\n{extra}"
    );
    section(USER, &values)
}

#[tokio::test(start_paused = true)]
async fn tokens_in_the_configuration_file_move_into_the_store() {
    let house = House::with("", &cached("client_secret = s3cret"));
    let file = std::fs::read(house.home.path().join("emailproxy.ini")).unwrap();
    assert_eq!(house.state(USER).state, "locked until the next login");
    assert_eq!(house.log_in(USER, "pW").await.unwrap_err(), wrong());
    house.fake.grants("one", 60, Some("r2"));
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked(), [format!("refresh {PLAIN} s3cret")]);
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pW").await.unwrap_err(), wrong());
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(100)).await;
    house.fake.grants("two", 60, None);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked()[1], "refresh r2 s3cret");
    assert_eq!(
        std::fs::read(house.home.path().join("emailproxy.ini")).unwrap(),
        file
    );
}

#[tokio::test(start_paused = true)]
async fn a_cached_access_token_is_used_until_it_ends() {
    let soon = std::time::SystemTime::now() + Duration::from_secs(3_000);
    let soon = soon
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let sections = cached(&format!(
        "access_token = {T100K}\naccess_token_expiry = {soon}"
    ));
    let house = House::with("", &sections);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), PLAIN);
    assert!(house.fake.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_client_secret_is_opened_by_the_login_password() {
    let sections = cached(&format!("client_secret_encrypted = {T100K}"));
    let mut house = House::with("", &sections);
    let refusal = house.accounts.begin(USER).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Misconfigured(_)), "{refusal}");
    for round in 0..2 {
        house.fake.grants("one", 0, None);
        house.log_in(USER, "pw").await.unwrap();
        assert_eq!(
            house.fake.asked()[round],
            format!("refresh {PLAIN} {PLAIN}")
        );
        house = house.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_salt_alone_is_nothing_to_prove() {
    let house = House::with("", &section(USER, "token_salt = AAECAwQFBgcICQoLDA0ODw=="));
    assert_eq!(house.state(USER).state, "needs consent");
    let login = house.wait(USER, "anything");
    house.urls(1).await;
    login.abort();
}

#[tokio::test(start_paused = true)]
async fn a_cache_file_is_imported_and_wins_over_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let config = config(home.path(), "", &cached("").replace(T100K, "gAAAAAstale"));
    let cache = format!(
        "[{USER}]\ntoken_salt = AAECAwQFBgcICQoLDA0ODw==\ntoken_iterations = 100000\nrefresh_token = {T100K}\nclient_secret_encrypted = {T100K}\n"
    );
    std::fs::write(home.path().join("tokens.json"), &cache).unwrap();
    let mut house = House::at(home, config);
    assert_eq!(house.state(USER).state, "locked until the next login");
    let kept = std::fs::read_to_string(house.home.path().join("tokens.json.bak")).unwrap();
    assert_eq!(kept, cache);
    for round in 0..2 {
        assert_eq!(house.log_in(USER, "pW").await.unwrap_err(), wrong());
        house.fake.grants("one", 0, None);
        house.log_in(USER, "pw").await.unwrap();
        assert_eq!(
            house.fake.asked()[round],
            format!("refresh {PLAIN} {PLAIN}")
        );
        house = house.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_client_secret_is_encrypted_in_place_where_the_owner_wants_it() {
    let (log, _guard) = Log::begin();
    let sections = "# mine\n[app@example.org]\ntoken_url = https://idp.example/token\noauth2_flow = client_credentials\noauth2_scope = mail\n# the secret\nclient_secret = s3cret\nclient_id = app\n";
    let house = House::with("encrypt_client_secret_on_first_use = True", sections);
    let path = house.home.path().join("emailproxy.ini");
    house.fake.fails(DOWN());
    house.log_in("app@example.org", "pw").await.unwrap_err();
    let before = std::fs::read_to_string(&path).unwrap();
    assert!(before.contains("client_secret = s3cret"));
    house.fake.grants("one", 0, None);
    house.log_in("app@example.org", "pw").await.unwrap();
    let done = "client secret of account app@example.org now stands encrypted";
    while !log.text().contains(done) {
        tokio::task::yield_now().await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(
        text.contains("# mine\n[app@example.org]") && text.contains("# the secret"),
        "{text}"
    );
    assert!(
        text.contains("client_secret_encrypted = gAAAAA") && text.contains("token_salt = "),
        "{text}"
    );
    // The new file is enough for a restart, and the old password is still the one.
    let config = Arc::new(Config::read(&path).unwrap());
    let house = house.restart_with(config).await;
    assert_eq!(
        house.log_in("app@example.org", "pW").await.unwrap_err(),
        wrong()
    );
    house.fake.grants("two", 0, None);
    house.log_in("app@example.org", "pw").await.unwrap();
    assert_eq!(house.fake.asked(), ["client s3cret"; 3]);
    // So is it for somebody who has lost the store.
    let home = tempfile::tempdir().unwrap();
    let again = House::at(home, Arc::new(Config::read(&path).unwrap()));
    again.fake.grants("three", 0, None);
    assert_eq!(
        again.log_in("app@example.org", "pW").await.unwrap_err(),
        wrong()
    );
    again.log_in("app@example.org", "pw").await.unwrap();
    assert_eq!(again.fake.asked(), ["client s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_secret_that_cannot_be_moved_is_spoken_of_once() {
    let (log, _guard) = Log::begin();
    let sections = "[DEFAULT]\nclient_secret = s3cret\n[app@example.org]\ntoken_url = https://idp.example/token\noauth2_flow = client_credentials\noauth2_scope = mail\nclient_id = app\n";
    let house = House::with("encrypt_client_secret_on_first_use = True", sections);
    let before = std::fs::read(house.home.path().join("emailproxy.ini")).unwrap();
    house.fake.grants("one", 3_600, None);
    for _ in 0..3 {
        house.log_in("app@example.org", "pw").await.unwrap();
    }
    while !log.text().contains("stays in plain text") {
        tokio::task::yield_now().await;
    }
    house.accounts.close(Duration::from_secs(5)).await;
    assert_eq!(log.text().matches("stays in plain text").count(), 1);
    assert_eq!(
        std::fs::read(house.home.path().join("emailproxy.ini")).unwrap(),
        before
    );
}
