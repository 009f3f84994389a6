//! Device codes: polled at the provider's pace until they are approved, refused or over, whether or not anybody waits.

use super::*;
use crate::accounts::Outcome;

const USER: &str = "device@example.org";

const DEVICE: &str = "
[device@example.org]
permission_url = https://idp.example/devicecode
token_url = https://idp.example/token
oauth2_flow = device
oauth2_scope = mail
client_id = app
";

const WAITS: fn() -> Error = || Error::Pending;

fn house() -> House {
    House::with("", DEVICE)
}

/// Waits until so many polls were sent.
async fn polled(house: &House, count: usize) {
    while house.fake.asked().len() < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_approved_code_lets_all_waiting_logins_in() {
    let (log, _guard) = Log::begin();
    let house = house();
    for _ in 0..3 {
        house.fake.fails(WAITS());
    }
    house.fake.grants("one", 3_600, Some("r1"));
    let begin = tokio::time::Instant::now();
    let logins: Vec<_> = (0..5).map(|_| house.wait(USER, "pw")).collect();
    assert_eq!(house.urls(1).await, ["https://idp.example/device?state=s0"]);
    let shown = house.accounts.pending().borrow()[0].clone();
    assert!(!shown.listen);
    let code = shown.code.unwrap();
    assert_eq!(
        (code.code.as_str(), code.url.as_str()),
        ("CODE-0", "https://idp.example/device")
    );
    let state = house.state(USER);
    assert_eq!(state.state, "waiting for consent");
    assert_eq!(state.code.as_deref(), Some("CODE-0"));
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap(), "one");
    }
    // Three polls in vain and a good one, five seconds apart.
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert_eq!(house.fake.asked(), vec!["device d0 -"; 4]);
    assert!(house.urls(0).await.is_empty());
    let text = log.text();
    for line in [
        "Please visit the following URL to authenticate account device@example.org: https://idp.example/device?state=s0\n",
        "Visit https://idp.example/device and use code CODE-0",
        "Authorisation request received for device@example.org (device code mode)\n",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
    }
    assert!(!text.contains("d0 "), "the device code is a secret: {text}");
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn slow_down_and_outages_stretch_the_pace() {
    let house = house();
    let begin = tokio::time::Instant::now();
    house.fake.fails(Error::SlowDown);
    house.fake.fails(DOWN());
    // Also where it names a time, however long.
    house.fake.fails(Error::Throttled {
        said: Said::new("HTTP 503"),
        wait: Duration::MAX,
    });
    house.fake.fails(WAITS());
    house.fake.grants("one", 3_600, None);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    // 5; then slower: 10; twice as long after each outage: 20, 40; and back to 10.
    assert_eq!(begin.elapsed().as_secs(), 5 + 10 + 20 + 40 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_nobody_approves_ends_in_words_and_a_waiting_login_gets_a_new_one() {
    let (log, _guard) = Log::begin();
    let house = House::with("authorisation_timeout = 1200", DEVICE);
    for _ in 0..240 {
        house.fake.fails(WAITS());
    }
    let begin = tokio::time::Instant::now();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    let mut pending = house.accounts.pending();
    let second =
        |list: &Vec<crate::accounts::Pending>| list.iter().any(|one| one.url.ends_with("s1"));
    pending.wait_for(second).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 900);
    let error = house.state(USER).last_error.unwrap();
    assert!(error.contains("not approved in time"), "{error}");
    let refusal = login.await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::ConsentTimedOut { waited: 1_200 });
    assert_eq!(begin.elapsed().as_secs(), 1_200, "its own patience");
    let text = log.text();
    for line in [
        "account device@example.org: code CODE-0 at https://idp.example/device, 5 minutes left\n",
        "account device@example.org: code CODE-0 at https://idp.example/device, 1 minute left\n",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
    }
    assert_eq!(text.matches(" left\n").count(), 2, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_code_stays_good_when_nobody_waits_any_more() {
    let house = house();
    let login = house.wait(USER, "pw");
    house.urls(1).await;
    login.abort();
    for _ in 0..10 {
        house.fake.fails(WAITS());
    }
    house.fake.grants("one", 3_600, Some("r1"));
    house.urls(0).await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_denied_code_is_refused_for_all() {
    let house = house();
    house.fake.fails(WAITS());
    let why = Said::new("access_denied; no");
    house.fake.fails(Error::Denied(why.clone()));
    let logins: Vec<_> = (0..3).map(|_| house.wait(USER, "pw")).collect();
    for login in logins {
        assert_eq!(
            login.await.unwrap().unwrap_err(),
            Refusal::ConsentRefused(why.clone())
        );
    }
    assert!(house.urls(0).await.is_empty());
    let error = house.state(USER).last_error.unwrap();
    assert!(error.contains("access_denied"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_provider_calls_dead_makes_room_for_a_new_one() {
    let house = house();
    house.fake.fails(WAITS());
    house.fake.fails(DEAD());
    house.fake.grants("one", 3_600, None);
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "one");
    assert_eq!(
        house.fake.asked(),
        ["device d0 -", "device d0 -", "device d1 -"]
    );
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_polls_and_waits_for_none_of_them() {
    let house = house();
    house.accounts.begin(USER).await.unwrap();
    let begin = tokio::time::Instant::now();
    house.accounts.close(Duration::from_secs(5)).await;
    assert_eq!(begin.elapsed().as_secs(), 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(house.fake.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_approval_on_its_way_is_not_lost_when_the_proxy_closes() {
    let house = tokens_first(house()).await;
    house.accounts.begin(USER).await.unwrap();
    house.fake.hold();
    polled(&house, 2).await;
    house.fake.grants("late", 3_600, Some("r2"));
    let accounts = Arc::clone(&house.accounts);
    let closing = tokio::spawn(async move { accounts.close(Duration::from_secs(5)).await });
    tokio::task::yield_now().await;
    house.fake.go_on();
    closing.await.unwrap();
    let house = house.restart().await;
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "late");
}

/// Lets a login through, so that a password is there to seal with.
async fn tokens_first(house: House) -> House {
    house.fake.grants("early", 3_600, Some("r1"));
    assert_eq!(house.log_in(USER, "pw").await.unwrap(), "early");
    house
}

#[tokio::test(start_paused = true)]
async fn new_settings_end_the_polls() {
    let house = house();
    house.accounts.begin(USER).await.unwrap();
    let other = DEVICE.replace("client_id = app", "client_id = other");
    let config = config(house.home.path(), "", &other);
    let source: Arc<dyn Source> = Arc::clone(&house.fake) as _;
    house.accounts.reload_with(&config, source);
    assert!(house.urls(0).await.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(house.fake.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_a_browser_brings_answers_for_a_device_code() {
    let house = house();
    house.accounts.begin(USER).await.unwrap();
    assert_eq!(house.answers("s0", "c").await, Outcome::Unknown);
    assert_eq!(house.urls(1).await.len(), 1);
}
