//! `emailproxy import`: other programs' accounts and tokens, taken over and then used.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use emailproxy::config::Config;
use program::{Ended, Program};
use support::client::Client;
use support::daemon::{Plan, redirected};
use support::provider::{CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};

#[path = "support/program.rs"]
mod program;
mod support;

const USER: &str = "person@example.com";
const PASSWORD: &str = "any-password-you-like";

/// An empty home for a configuration that is yet to be written.
fn home() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("emailproxy.ini");
    (dir, file)
}

async fn import(dir: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut all = vec!["import", "--config-file", "emailproxy.ini"];
    all.extend(arguments);
    Program::done(dir, &all, input).await
}

fn put(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn store(dir: &Path) -> String {
    fs::read_to_string(dir.join("emailproxy.tokens.json")).unwrap()
}

#[tokio::test]
async fn tokens_and_settings_of_sasl_xoauth2_make_one_account() {
    let (dir, file) = home();
    let settings = r#"{"client_id": "our-app", "client_secret": "its-secret", "log_to_syslog_on_failure": "no",
        "token_endpoint": "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"}"#;
    put(dir.path(), "sasl-xoauth2.conf", settings);
    let token = r#"{"access_token": "at", "expiry": "1700000000", "refresh_token": "rt-secret"}"#;
    put(dir.path(), USER, token);
    let done = import(
        dir.path(),
        &[
            "sasl-xoauth2.conf",
            USER,
            "--account",
            USER,
            "--password-stdin",
        ],
        &format!("{PASSWORD}\n"),
    )
    .await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    for secret in ["its-secret", "rt-secret", PASSWORD] {
        assert!(!done.printed.contains(secret), "{}", done.printed);
        assert!(!store(dir.path()).contains(secret));
    }
    let config = Config::read(&file).unwrap();
    let account = config.account(USER).unwrap();
    assert_eq!(account.client_id, "our-app");
    assert_eq!(
        account.client_secret.as_ref().unwrap().reveal(),
        "its-secret"
    );
    assert_eq!(
        account.permission_url.as_deref(),
        Some("https://login.microsoftonline.com/contoso.example/oauth2/v2.0/authorize")
    );
    assert!(account.scope.contains("SMTP.Send"), "{}", account.scope);
    assert_eq!(config.services.len(), 2);
    assert!(store(dir.path()).contains("refresh_token"));
    // The source is left as it was.
    assert_eq!(fs::read_to_string(dir.path().join(USER)).unwrap(), token);

    // Once more: nothing new to write, and the token is not replaced unasked.
    let before = fs::read_to_string(&file).unwrap();
    let again = import(
        dir.path(),
        &[
            "sasl-xoauth2.conf",
            USER,
            "--account",
            USER,
            "--password-stdin",
        ],
        &format!("{PASSWORD}\n"),
    )
    .await;
    assert_eq!(again.code, Some(0), "{}", again.printed);
    assert!(again.printed.contains("--force"), "{}", again.printed);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[tokio::test]
async fn a_decrypted_token_of_mutt_comes_by_standard_input() {
    let (dir, file) = home();
    fs::write(&file, "# mine\n[emailproxy]\nstore_key = file:store.key\n").unwrap();
    let token = r#"{"registration": "google", "authflow": "localhostauthcode", "email": "person@gmail.example",
        "access_token": "at", "access_token_expiration": "2026-01-01T00:00:00", "refresh_token": "rt"}"#;
    let without = import(dir.path(), &["-"], token).await;
    assert_eq!(without.code, Some(1), "{}", without.printed);
    assert!(
        without.printed.contains("--client-id"),
        "{}",
        without.printed
    );
    put(dir.path(), "secret", "its-secret\n");
    let done = import(
        dir.path(),
        &[
            "-",
            "--client-id",
            "our-app",
            "--client-secret-file",
            "secret",
        ],
        token,
    )
    .await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    let account = Config::read(&file)
        .unwrap()
        .account("person@gmail.example")
        .unwrap();
    assert_eq!(account.scope, "https://mail.google.com/");
    assert_eq!(
        account.client_secret.as_ref().unwrap().reveal(),
        "its-secret"
    );
    assert!(fs::read_to_string(&file).unwrap().starts_with("# mine\n"));
    assert!(store(dir.path()).contains("person@gmail.example"));

    let armoured = import(dir.path(), &["-"], "-----BEGIN PGP MESSAGE-----\n").await;
    assert_eq!(armoured.code, Some(1));
    assert!(armoured.printed.contains("gpg -d"), "{}", armoured.printed);
}

#[tokio::test]
async fn settings_of_pizauth_and_oama_are_taken_and_the_rest_is_named() {
    let (dir, file) = home();
    put(
        dir.path(),
        "pizauth.conf",
        r#"
        auth_notify_cmd = "notify-send hello"; // told elsewhere
        account "office" {
            auth_uri = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize";
            token_uri = "https://login.microsoftonline.com/common/oauth2/v2.0/token";
            client_id = "one";
            scopes = ["https://outlook.office365.com/IMAP.AccessAsUser.All", "offline_access"];
            auth_uri_fields = { "login_hint": "one@example.org" };
        }
        account "two@gmail.example" {
            auth_uri = "https://accounts.google.com/o/oauth2/auth";
            token_uri = "https://oauth2.googleapis.com/token";
            client_id = "two"; client_secret = "secret-two";
            scopes = ["https://mail.google.com/"];
        }
        account "nobody" { token_uri = "https://oauth2.googleapis.com/token"; client_id = "three"; }
        "#,
    );
    let done = import(dir.path(), &["pizauth.conf"], "").await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    for words in ["no mail address", "emailproxy authorize one@example.org"] {
        assert!(done.printed.contains(words), "{words}: {}", done.printed);
    }
    assert!(!done.printed.contains("secret-two"));
    let config = Config::read(&file).unwrap();
    assert_eq!(config.account("one@example.org").unwrap().client_id, "one");
    let two = config.account("two@gmail.example").unwrap();
    assert_eq!(two.client_secret.as_ref().unwrap().reveal(), "secret-two");
    // The ports stand for the first one's servers, so that the second names its own.
    assert_eq!(two.imap_server.as_ref().unwrap().host, "imap.gmail.com");

    put(
        dir.path(),
        "config.yaml",
        "encryption:\n  tag: KEYRING\nservices:\n  google:\n    client_id: four\n    client_secret_cmd: pass show google\n",
    );
    let shown = r#"{"access_token": "at", "email": "four@gmail.example", "service": "google", "refresh_token": "rt4",
        "scope": "https://mail.google.com/", "token_type": "Bearer", "expires_in": 3599, "exp_date": "2026-01-01T00:00:00"}"#;
    put(dir.path(), "shown.json", shown);
    let done = import(
        dir.path(),
        &["config.yaml", "shown.json", "--password-stdin"],
        &format!("{PASSWORD}\n"),
    )
    .await;
    assert_eq!(done.code, Some(0), "{}", done.printed);
    assert!(
        done.printed.contains("which a command tells"),
        "{}",
        done.printed
    );
    let config = Config::read(&file).unwrap();
    assert_eq!(
        config.account("four@gmail.example").unwrap().client_id,
        "four"
    );
}

#[tokio::test]
async fn nothing_is_overwritten_without_force() {
    let (dir, file) = home();
    let token = |id: &str| {
        format!(
            r#"{{"user": "{USER}", "client_id": "{id}", "refresh_token": "rt", "expiry": "0"}}"#
        )
    };
    put(dir.path(), "one", &token("one"));
    put(dir.path(), "two", &token("two"));
    let first = import(dir.path(), &["one", "--password-stdin"], "pw\n").await;
    assert_eq!(first.code, Some(0), "{}", first.printed);
    let before = fs::read_to_string(&file).unwrap();
    let refused = import(dir.path(), &["two", "--password-stdin"], "pw\n").await;
    assert_eq!(refused.code, Some(1), "{}", refused.printed);
    assert!(refused.printed.contains("client_id"), "{}", refused.printed);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let forced = import(dir.path(), &["two", "--force", "--password-stdin"], "pw\n").await;
    assert_eq!(forced.code, Some(0), "{}", forced.printed);
    assert_eq!(
        Config::read(&file)
            .unwrap()
            .account(USER)
            .unwrap()
            .client_id,
        "two"
    );

    let nonsense = import(dir.path(), &["emailproxy.ini"], "").await;
    assert_eq!(nonsense.code, Some(1));
    assert!(
        nonsense.printed.contains("no file of sasl-xoauth2"),
        "{}",
        nonsense.printed
    );
    let missing = import(dir.path(), &["nowhere"], "").await;
    assert_eq!(missing.code, Some(1));
}

/// Words a token file for the provider.
fn token_file(provider: &Provider, refresh: &str) -> String {
    format!(
        r#"{{"user": "{USER}", "client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}", "scope": "{SCOPE}",
            "token_endpoint": "{}", "refresh_token": "{refresh}", "access_token": "old", "expiry": "0"}}"#,
        provider.token_url()
    )
}

#[tokio::test]
async fn an_imported_token_gets_mail_whether_a_proxy_runs_or_not() {
    for runs in [false, true] {
        let provider = Provider::start().await;
        let plan = Plan::for_provider(&provider).person(&provider, USER, 1);
        let refresh = signed_in(&provider).await;
        let file = plan.write();
        let home = file.parent().unwrap();
        fs::create_dir_all(home.join("run")).unwrap();
        fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        put(home, "token", &token_file(&provider, &refresh));
        let path = file.display().to_string();
        let start = || Program::start(home, &["run", "--debug", "--config-file", &path]);
        let mut proxy = runs.then(start);
        if let Some(proxy) = &mut proxy {
            proxy.says("Initialised emailproxy").await;
        }
        let words = format!("{PASSWORD}\n");
        let done = import(home, &["token", "--password-stdin"], &words).await;
        assert_eq!(done.code, Some(0), "{}", done.printed);
        assert!(done.printed.contains("is in the store"), "{}", done.printed);
        assert!(!done.printed.contains(&refresh));

        let mut proxy = proxy.unwrap_or_else(start);
        let mut client = Client::plain(proxy.listens("IMAP").await).await;
        client.line().await;
        let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
        assert_eq!(provider.world.register.count("refresh_token"), 1);
        drop(client);
        proxy.signal("TERM").await;
        let ended = proxy.end().await;
        for secret in [refresh.as_str(), PASSWORD] {
            assert!(!ended.printed.contains(secret), "{}", ended.printed);
        }
    }
}

/// Signs in at the provider as another program would, and returns the refresh token.
async fn signed_in(provider: &Provider) -> String {
    let redirect = "http://localhost:1";
    let mut url = url::Url::parse(&provider.permission_url()).unwrap();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", CLIENT_ID)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", SCOPE)
        .append_pair("state", "s")
        .append_pair("login_hint", USER);
    let back = url::Url::parse(&redirected(url.as_str()).await).unwrap();
    let code = back
        .query_pairs()
        .find(|(key, _)| key == "code")
        .unwrap()
        .1
        .into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
    ];
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = browser
        .post(provider.token_url())
        .form(&form)
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["refresh_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}
