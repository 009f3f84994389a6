//! What a configuration file says about what proves an application, and `register` writing it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;
use std::process::Command;

use emailproxy::config::{AccountSettings, AssertionAlgorithm, Config, GrantKind};
use tempfile::TempDir;

const SERVICE: &str = "[IMAP-0]\nserver_address = imap.example.org\nserver_port = 993\n";

/// An account with the client credentials grant and `more`, which begins in line 9.
fn application(more: &str) -> String {
    format!(
        "{SERVICE}[u@e.org]\ntoken_url = https://t.example/token\nclient_id = id\noauth2_scope = mail\n\
         oauth2_flow = client_credentials\n{more}"
    )
}

/// A folder with the files that the tests name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["app.pem", "app.key", "token", "key.json"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    folder
}

fn parse(folder: &TempDir, text: &str) -> Config {
    let path = folder.path().join("emailproxy.ini");
    Config::parse(&path, text.as_bytes()).unwrap_or_else(|complaints| panic!("{complaints:#?}"))
}

fn account(folder: &TempDir, text: &str) -> AccountSettings {
    parse(folder, text).account("u@e.org").unwrap()
}

fn warnings(folder: &TempDir, text: &str) -> Vec<(usize, String)> {
    let config = parse(folder, text);
    config
        .warnings
        .into_iter()
        .map(|warning| (warning.line, warning.text))
        .collect()
}

#[test]
fn an_assertion_goes_before_a_secret_and_a_file_before_a_certificate() {
    let folder = folder();
    let pair = "jwt_certificate_path = app.pem\njwt_key_path = app.key\n";
    let certified = account(&folder, &application(&format!("client_secret = s\n{pair}")));
    assert_eq!(certified.client_secret, None);
    assert_eq!(certified.assertion_algorithm, AssertionAlgorithm::Ps256);
    let certificate = certified.assertion_certificate.unwrap();
    assert_eq!(certificate.key, folder.path().join("app.key"));

    // A sealed secret beside it needs no password to be opened.
    let more = format!("client_secret_encrypted = gAAAAA\njwt_algorithm = rs256\n{pair}");
    let sealed = account(&folder, &application(&more));
    assert_eq!(sealed.cached.client_secret_encrypted, None);
    assert_eq!(sealed.assertion_algorithm, AssertionAlgorithm::Rs256);

    let more = format!("client_secret = s\nclient_assertion_file = token\n{pair}");
    let filed = account(&folder, &application(&more));
    assert_eq!(filed.assertion_file, Some(folder.path().join("token")));
    let said = warnings(&folder, &application(&more));
    assert_eq!(
        said,
        [
            (9, "client_secret has no effect beside client_assertion_file; remove one of the two".into()),
            (11, "jwt_certificate_path has no effect beside client_assertion_file; remove one of the two".into()),
        ]
    );
    // Half a pair proves nothing.
    let half = account(
        &folder,
        &application("client_secret = s\njwt_key_path = app.key\n"),
    );
    assert!(half.client_secret.is_some() && half.assertion_certificate.is_none());
}

#[test]
fn what_others_lend_is_put_aside_in_silence() {
    let folder = folder();
    let text = format!(
        "{}[@e.org]\nclient_secret = lent\n[emailproxy]\nallow_catch_all_accounts = True\n",
        application("client_assertion_file = token\n")
    );
    assert!(
        warnings(&folder, &text).is_empty(),
        "{:?}",
        warnings(&folder, &text)
    );
    assert_eq!(account(&folder, &text).client_secret, None);
}

#[test]
fn files_that_are_not_there_and_half_pairs_are_warned_about_once() {
    let folder = folder();
    let lent =
        "jwt_certificate_path = gone.pem\njwt_key_path = app.key\nclient_assertion_file = gone\n";
    let text = format!(
        "{SERVICE}[@]\ntoken_url = https://t.example\nclient_id = id\noauth2_scope = s\noauth2_flow = client_credentials\n{lent}\
         [u@e.org]\n[v@e.org]\n[emailproxy]\nallow_catch_all_accounts = True\n"
    );
    let said = warnings(&folder, &text);
    let lines: Vec<usize> = said.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [9, 9, 11], "{said:#?}");
    assert!(
        said[1]
            .1
            .starts_with("jwt_certificate_path: could not read the file `gone.pem`")
    );
    assert!(
        said[2]
            .1
            .starts_with("client_assertion_file: could not read the file `gone`")
    );
    let said = warnings(
        &folder,
        &application("client_secret = s\njwt_certificate_path = app.pem\n"),
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].1.contains("only work together"), "{said:?}");
}

#[test]
fn an_algorithm_that_nobody_knows_is_refused_with_its_line() {
    let path = Path::new("test.ini");
    let text = application("jwt_algorithm = HS256\n");
    let found = Config::parse(path, text.as_bytes()).expect_err("a complaint");
    assert_eq!(
        found[0].to_string(),
        "test.ini:9: jwt_algorithm: `HS256` is neither PS256 nor RS256"
    );
}

#[test]
fn a_service_account_says_where_its_key_is() {
    let folder = folder();
    let text = |id: &str, more: &str| {
        format!(
            "{SERVICE}[u@e.org]\noauth2_flow = service_account\noauth2_scope = s\nclient_id = {id}\n{more}"
        )
    };
    let named = account(&folder, &text("file", "client_secret = key.json\n"));
    let path = folder.path().join("key.json");
    assert_eq!(
        named.client_secret.unwrap().reveal(),
        path.to_str().unwrap()
    );
    assert_eq!(named.token_url, "");
    let pasted = text(
        "key",
        "client_secret = {\n  \"type\": \"service_account\"\n  }\n",
    );
    assert!(
        account(&folder, &pasted)
            .client_secret
            .unwrap()
            .reveal()
            .starts_with("{\n\"type\"")
    );
    assert!(warnings(&folder, &pasted).is_empty());

    let wrong = text("123.apps", "client_secret = key.json\n");
    let why = parse(&folder, &wrong).account("u@e.org").unwrap_err();
    let why = why.to_string();
    assert!(why.contains("`file`") && why.contains("line 4"), "{why}");
    let said = warnings(&folder, &text("file", ""));
    assert_eq!((said.len(), said[0].0), (1, 7), "{said:?}");
    assert!(said[0].1.contains("there is none"), "{said:?}");
    // A key where its file should be named is not shown.
    let said = warnings(&folder, &text("file", "client_secret = {hunter2}\n"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].1.contains("could not be read") && !said[0].1.contains("hunter2"),
        "{said:?}"
    );
}

#[test]
fn a_machines_identity_needs_no_application_and_may_be_anywhere() {
    let folder = folder();
    let text = |more: &str| format!("{SERVICE}[u@e.org]\noauth2_flow = managed_identity\n{more}");
    let bare = account(
        &folder,
        &text("oauth2_resource = https://outlook.office365.com\n"),
    );
    assert_eq!(
        (bare.grant, bare.client_id.as_str()),
        (GrantKind::ManagedIdentity, "")
    );
    let elsewhere = text("oauth2_scope = s\ntoken_url = http://10.0.0.7:8080/token\n");
    assert_eq!(
        account(&folder, &elsewhere).token_url,
        "http://10.0.0.7:8080/token"
    );
    // What others lend is nothing that a password has to open.
    let lent = text("oauth2_scope = s\nclient_secret_encrypted = gAAAAA\n");
    assert_eq!(account(&folder, &lent).cached.client_secret_encrypted, None);
    for (more, words) in [
        ("", "oauth2_scope"),
        (
            "oauth2_scope = s\ntoken_url = ftp://10.0.0.7/\n",
            "http:// or https://",
        ),
    ] {
        let why = parse(&folder, &text(more))
            .account("u@e.org")
            .unwrap_err()
            .to_string();
        assert!(why.contains(words), "{why}");
    }
    // Everybody else's secrets stay on this machine or inside TLS.
    let plain = application("").replace("https://t.example", "http://t.example");
    assert!(parse(&folder, &plain).account("u@e.org").is_err());
}

/// Runs `emailproxy register` for one account at Microsoft, or at Google, and returns whether it worked and what it said.
fn register(folder: &TempDir, provider: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_emailproxy"))
        .args(["register", "--provider", provider, "--account", "u@e.org"])
        .args(args)
        .current_dir(folder.path())
        .env_remove("EMAILPROXY_CONFIG_FILE")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn registered(provider: &str, args: &[&str]) -> (TempDir, AccountSettings, String) {
    let folder = folder();
    let (ok, said) = register(&folder, provider, args);
    assert!(ok, "{said}");
    let config = Config::read(&folder.path().join("emailproxy.ini")).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let settings = config.account("u@e.org").unwrap();
    (folder, settings, said)
}

#[test]
fn register_writes_every_grant_that_needs_nobody() {
    let app = [
        "--oauth2-flow",
        "client_credentials",
        "--tenant",
        "e.org",
        "--oauth2-client-id",
        "id",
    ];
    let pair = [
        "--jwt-certificate-path",
        "app.pem",
        "--jwt-key-path",
        "app.key",
    ];
    let certificate = [&app[..], &pair, &["--jwt-algorithm", "RS256"]].concat();
    let (folder, settings, said) = registered("microsoft365", &certificate);
    assert!(settings.assertion_certificate.is_some());
    assert_eq!(settings.assertion_algorithm, AssertionAlgorithm::Rs256);
    assert!(said.contains("30 days"), "{said}");
    // Another proof contradicts it; it takes its place where that is meant.
    let file = [&app[..], &["--client-assertion-file", "token"]].concat();
    let secret = [&app[..], &["--oauth2-client-secret", "s"]].concat();
    let (ok, said) = register(&folder, "microsoft365", &secret);
    assert!(
        !ok && said.contains("jwt_certificate_path in [u@e.org]"),
        "{said}"
    );
    let (ok, said) = register(
        &folder,
        "microsoft365",
        &[&secret[..], &["--force"]].concat(),
    );
    assert!(ok, "{said}");
    let (ok, said) = register(&folder, "microsoft365", &file);
    assert!(!ok && said.contains("client_secret in [u@e.org]"), "{said}");

    let (_, settings, said) = registered("microsoft365", &file);
    assert!(settings.assertion_file.is_some());
    assert!(said.contains("federated credential"), "{said}");

    let machine = ["--oauth2-flow", "managed_identity"];
    let (_, settings, said) = registered("microsoft365", &machine);
    assert_eq!(settings.grant, GrantKind::ManagedIdentity);
    assert_eq!(
        (settings.token_url.as_str(), settings.client_id.as_str()),
        ("", "")
    );
    assert_eq!(settings.scope, "https://outlook.office365.com/.default");
    assert!(said.contains("nobody needs to consent"), "{said}");

    let service = [
        "--oauth2-flow",
        "service_account",
        "--service-account-key-file",
        "key.json",
    ];
    let (_, settings, said) = registered("gmail", &service);
    assert_eq!(settings.grant, GrantKind::ServiceAccount);
    assert_eq!(
        (settings.client_id.as_str(), settings.scope.as_str()),
        ("file", "https://mail.google.com/")
    );
    assert!(
        settings
            .client_secret
            .unwrap()
            .reveal()
            .ends_with("key.json")
    );
    assert!(said.contains("Domain-wide delegation"), "{said}");
}

#[test]
fn register_refuses_proofs_that_contradict_each_other() {
    let app = [
        "--oauth2-flow",
        "client_credentials",
        "--tenant",
        "e.org",
        "--oauth2-client-id",
        "id",
    ];
    let with = |more: &[&'static str]| [&app[..], more].concat();
    for (args, words) in [
        (with(&[]), "--client-assertion-file"),
        (with(&["--jwt-key-path", "app.key"]), "only work together"),
        (
            with(&[
                "--client-assertion-file",
                "token",
                "--oauth2-client-secret",
                "s",
            ]),
            "one of them is enough",
        ),
        (
            with(&[
                "--client-assertion-file",
                "token",
                "--jwt-algorithm",
                "none",
            ]),
            "PS256 or RS256",
        ),
        (
            vec!["--oauth2-flow", "service_account"],
            "--service-account-key-file",
        ),
        (
            vec!["--service-account-key-file", "key.json"],
            "belongs to --oauth2-flow service_account",
        ),
    ] {
        let folder = folder();
        let (ok, said) = register(&folder, "microsoft365", &args);
        assert!(!ok && said.contains(words), "{args:?}: {said}");
        assert!(!folder.path().join("emailproxy.ini").exists());
    }
}

#[test]
fn config_shows_machines_what_proves_each_application() {
    let folder = folder();
    let text = format!(
        "{}[m@e.org]\noauth2_flow = managed_identity\noauth2_scope = s\n",
        application("client_assertion_file = token\n")
    );
    let path = folder.path().join("emailproxy.ini");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_emailproxy"))
        .args(["config", "--json", "--config-file"])
        .arg(&path)
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["accounts"][0]["client_auth"], "assertion_file");
    assert_eq!(shown["accounts"][1]["client_auth"], "managed_identity");
}
