//! `emailproxy register` and `emailproxy config`, run as a person runs them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use emailproxy::config::ini::Ini;
use emailproxy::config::{Config, GrantKind};

/// An empty folder in which commands run.
struct Desk(tempfile::TempDir);

/// What a command said and did.
struct Done {
    ok: bool,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("emailproxy.ini")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn config(&self) -> Config {
        Config::read(&self.file()).unwrap()
    }

    fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut child = Command::new(env!("CARGO_BIN_EXE_emailproxy"))
            .args(args)
            .current_dir(self.0.path())
            .env_remove("EMAILPROXY_CONFIG_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses early reads nothing.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Done {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    fn register(&self, args: &[&str]) -> Done {
        self.run(&[&["register"], args].concat())
    }
}

const OFFICE: [&str; 20] = [
    "--imap-server-address",
    "outlook.office365.com",
    "--imap-server-port",
    "993",
    "--smtp-server-address",
    "smtp.office365.com",
    "--smtp-server-port",
    "587",
    "--oauth2-token-url",
    "https://login.microsoftonline.com/example.org/oauth2/v2.0/token",
    "--oauth2-permission-url",
    "https://login.microsoftonline.com/example.org/oauth2/v2.0/authorize",
    "--oauth2-scope",
    "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
    "--oauth2-flow",
    "authorization_code",
    "--oauth2-client-id",
    "an-id",
    "--oauth2-client-secret",
    "a-secret",
];

#[test]
fn a_command_copied_from_a_guide_makes_a_file_for_every_address() {
    let desk = Desk::new();
    let args = [
        &OFFICE[..],
        &["--smtp-server-starttls", " ", "--force", " "],
    ]
    .concat();
    let done = desk.register(&args);
    assert!(done.ok, "{}", done.err);
    let config = desk.config();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.options.allow_catch_all_accounts);
    let services: Vec<_> = config
        .services
        .iter()
        .map(|s| (s.section.as_str(), s.server.to_string(), s.server.starttls))
        .collect();
    assert_eq!(
        services,
        [
            ("IMAP-2993", "outlook.office365.com:993".into(), false),
            ("SMTP-2465", "smtp.office365.com:587".into(), true),
        ]
    );
    let anyone = config.account("anyone@example.org").unwrap();
    assert_eq!(anyone.section, "@");
    assert_eq!(anyone.grant, GrantKind::AuthorizationCode);
    assert_eq!(
        anyone.redirect_uri.as_deref(),
        Some("http://localhost:8825")
    );
    assert_eq!(anyone.client_secret.unwrap().reveal(), "a-secret");
    assert!(done.err.contains("could be seen by others"), "{}", done.err);
    for told in [
        "port 2993",
        "port 2465",
        "the full mail address",
        "http://localhost",
        "emailproxy run",
    ] {
        assert!(done.out.contains(told), "{told}: {}", done.out);
    }
    assert!(!done.out.contains("a-secret") && !done.err.contains("a-secret"));
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    let bits = |desk: &Desk| fs::metadata(desk.file()).unwrap().permissions().mode() & 0o777;
    assert!(desk.register(&OFFICE).ok);
    assert_eq!(bits(&desk), 0o600);
    fs::set_permissions(desk.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let more = [
        "--provider",
        "gmail",
        "--account",
        "a@b.example",
        "--oauth2-client-id",
        "x",
    ];
    assert!(desk.register(&more).ok);
    assert_eq!(bits(&desk), 0o600);
}

#[test]
fn the_flag_for_starttls_comes_bare_or_with_a_value() {
    for (value, starttls) in [
        (&["--smtp-server-starttls"][..], true),
        (&["--smtp-server-starttls", "True"][..], true),
        (&["--smtp-server-starttls", " false "][..], false),
        (&[][..], true),
    ] {
        let desk = Desk::new();
        let done = desk.register(&[&OFFICE[..], value].concat());
        assert!(done.ok, "{}", done.err);
        assert_eq!(
            desk.config().services[1].server.starttls,
            starttls,
            "{value:?}"
        );
    }
}

#[test]
fn a_provider_needs_no_more_than_a_name_and_an_id() {
    let desk = Desk::new();
    let done = desk.register(&[
        "--provider",
        "office365",
        "--account",
        " me@example.org ",
        "--tenant",
        "example.org",
        "--oauth2-client-id",
        " an-id ",
    ]);
    assert!(done.ok, "{}", done.err);
    let config = desk.config();
    assert!(!config.options.allow_catch_all_accounts);
    assert_eq!(config.services.len(), 2);
    let me = config.account("me@example.org").unwrap();
    assert_eq!(me.client_id, "an-id");
    assert_eq!(
        me.token_url,
        "https://login.microsoftonline.com/example.org/oauth2/v2.0/token"
    );
    assert_eq!(
        me.scope,
        "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access"
    );
    assert!(
        done.out.contains("user name: me@example.org"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("authorize me@example.org"),
        "{}",
        done.out
    );
}

#[test]
fn client_credentials_take_the_applications_scope_and_ask_nobody() {
    let desk = Desk::new();
    let flags = [
        "register",
        "--provider",
        "microsoft365",
        "--account",
        "@example.org",
        "--oauth2-flow",
        "client_credentials",
        "--oauth2-client-id",
        "an-id",
        "--oauth2-client-secret-file",
        "-",
    ];
    let refused = desk.run_with(&flags, "a-secret\n");
    assert!(
        !refused.ok && refused.err.contains("--tenant"),
        "{}",
        refused.err
    );
    assert!(!desk.file().exists());
    let done = desk.run_with(
        &[&flags[..], &["--tenant", "example.org"]].concat(),
        "a-secret\n",
    );
    assert!(done.ok, "{}", done.err);
    assert!(!done.err.contains("seen by others"), "{}", done.err);
    let settings = desk.config().account("x@example.org").unwrap();
    assert_eq!(settings.section, "@example.org");
    assert_eq!(settings.grant, GrantKind::ClientCredentials);
    assert_eq!(settings.scope, "https://outlook.office365.com/.default");
    assert_eq!(settings.redirect_uri, None);
    assert_eq!(settings.client_secret.unwrap().reveal(), "a-secret");
}

#[test]
fn a_permission_url_outweighs_the_flow_and_that_is_said() {
    let desk = Desk::new();
    let mut args = OFFICE;
    args[15] = "client_credentials";
    let done = desk.register(&args);
    assert!(done.ok, "{}", done.err);
    assert!(
        done.err.contains("authorization_code is used"),
        "{}",
        done.err
    );
    let settings = desk.config().account("x@example.org").unwrap();
    assert_eq!(settings.grant, GrantKind::AuthorizationCode);
}

#[test]
fn a_reverse_proxy_can_stand_before_the_redirect() {
    let desk = Desk::new();
    let uri = "https://vault.example/email-oauth2-proxy-authorize/";
    let args = [&OFFICE[..], &["--redirect-uri", uri]].concat();
    let done = desk.register(&args);
    assert!(done.ok, "{}", done.err);
    assert!(
        done.out.contains(uri) && done.out.contains("reverse proxy"),
        "{}",
        done.out
    );
    let more = ["--redirect-listen-address", "0.0.0.0:8080"];
    let done = desk.register(&[&args[..], &more].concat());
    assert!(done.ok, "{}", done.err);
    let settings = desk.config().account("x@example.org").unwrap();
    assert_eq!(settings.redirect_uri.as_deref(), Some(uri));
    assert_eq!(
        settings.redirect_listen_address.as_deref(),
        Some("http://0.0.0.0:8080")
    );
}

#[test]
fn nothing_is_overwritten_unless_forced_and_comments_stay() {
    let desk = Desk::new();
    let old = "; mine\n[@]\n# the old one\nclient_id = old\nuse_pkce = False\n\n\
               [IMAP-2993]\nserver_address = outlook.office365.com\nserver_port = 993\n# end\n";
    fs::write(desk.file(), old).unwrap();
    let refused = desk.register(&OFFICE);
    assert!(!refused.ok);
    assert!(refused.err.contains("client_id in [@]"), "{}", refused.err);
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(desk.text(), old);

    let done = desk.register(&[&OFFICE[..], &["--force"]].concat());
    assert!(done.ok, "{}", done.err);
    let new = desk.text();
    assert!(
        new.starts_with("; mine\n[@]\n# the old one\nclient_id = an-id\nuse_pkce = False\n"),
        "{new}"
    );
    assert!(
        new.contains(
            "[IMAP-2993]\nserver_address = outlook.office365.com\nserver_port = 993\n# end\n"
        ),
        "{new}"
    );
    assert!(desk.config().account("a@b.example").unwrap().pkce == Some(false));

    let again = desk.register(&OFFICE);
    assert!(
        again.ok && again.out.contains("nothing was changed"),
        "{}",
        again.out
    );
    assert_eq!(desk.text(), new);
}

#[test]
fn a_second_provider_on_the_same_ports_gets_servers_of_its_own() {
    let desk = Desk::new();
    assert!(desk.register(&OFFICE).ok);
    let done = desk.register(&[
        "--provider",
        "gmail",
        "--account",
        "me@gmail.example",
        "--oauth2-client-id",
        "google-id",
    ]);
    assert!(done.ok, "{}", done.err);
    let config = desk.config();
    let me = config.account("me@gmail.example").unwrap();
    let leads_to: Vec<String> = config
        .services
        .iter()
        .map(|service| Config::upstream(service, &me).to_string())
        .collect();
    assert_eq!(leads_to, ["imap.gmail.com:993", "smtp.gmail.com:465"]);
    // The other application's secret is not lent to this one.
    assert!(me.client_secret.is_none());
    let other = config.account("x@example.org").unwrap();
    assert_eq!(other.client_secret.unwrap().reveal(), "a-secret");
}

#[test]
fn an_account_without_consent_inherits_no_permission_url() {
    let desk = Desk::new();
    assert!(desk.register(&OFFICE).ok);
    let robot = [
        "register",
        "--provider",
        "microsoft365",
        "--tenant",
        "example.org",
        "--account",
        "robot@example.org",
        "--oauth2-flow",
        "client_credentials",
        "--oauth2-client-id",
        "robot",
        "--oauth2-client-secret",
        "-",
    ];
    let done = desk.run_with(&robot, "robot-secret\n");
    assert!(done.ok, "{}", done.err);
    let settings = desk.config().account("robot@example.org").unwrap();
    assert_eq!(settings.grant, GrantKind::ClientCredentials);
}

#[test]
fn nonsense_is_refused_with_its_reason_and_leaves_no_file() {
    let with = |flag: &'static str, value: &'static str| {
        let mut args = OFFICE.to_vec();
        match args.iter().position(|known| *known == flag) {
            Some(at) => args[at + 1] = value,
            None => args.extend([flag, value]),
        }
        args
    };
    for (args, reason) in [
        (with("--imap-server-port", "99999"), "--imap-server-port"),
        (
            with("--imap-server-address", "https://outlook.office365.com"),
            "--imap-server-address",
        ),
        (
            with("--smtp-server-starttls", "maybe"),
            "--smtp-server-starttls",
        ),
        (
            with("--oauth2-token-url", "http://login.example/token"),
            "https://",
        ),
        (
            with("--oauth2-token-url", "login.example/token"),
            "--oauth2-token-url",
        ),
        (with("--oauth2-flow", "implicit"), "client_credentials"),
        (with("--oauth2-client-id", "a b"), "--oauth2-client-id"),
        (with("--oauth2-client-id", "  "), "--oauth2-client-id"),
        (
            with("--oauth2-scope", "a\nclient_id = evil"),
            "--oauth2-scope",
        ),
        (with("--account", "nobody"), "--account"),
        (with("--account", "a@b\n[@]"), "--account"),
        (with("--provider", "gmial"), "did you mean gmail?"),
        (with("--tenant", "a/b"), "--tenant"),
        (with("--smtp-local-port", "2993"), "2993"),
        (with("--local-address", "everywhere"), "--local-address"),
        (with("--redirect-uri", "localhost"), "--redirect-uri"),
        (with("--redirect-listen-address", "https://x"), "TLS"),
        (vec!["--provider", "gmail"], "--oauth2-client-id"),
        (vec!["--oauth2-client-id", "x"], "--provider"),
        (vec!["--provider", "gmail", "stray"], "belongs to no flag"),
        (vec!["--provider", "gmail", " "], "backslash"),
        (vec![], "--provider"),
    ] {
        let desk = Desk::new();
        let done = desk.register(&args);
        assert!(!done.ok, "{args:?}");
        assert!(done.err.contains(reason), "{args:?}: {}", done.err);
        assert!(!desk.file().exists(), "{args:?}");
    }
}

#[test]
fn a_broken_file_is_not_touched() {
    let desk = Desk::new();
    fs::write(desk.file(), "[a]\nb = 1\n}\n").unwrap();
    let done = desk.register(&OFFICE);
    assert!(!done.ok && done.err.contains("line 3"), "{}", done.err);
    assert_eq!(desk.text(), "[a]\nb = 1\n}\n");
}

#[test]
fn config_shows_machines_what_the_file_comes_to() {
    let desk = Desk::new();
    assert!(
        desk.register(&[&OFFICE[..], &["--smtp-server-starttls"]].concat())
            .ok
    );
    let done = desk.run(&["config", "--json"]);
    assert!(done.ok, "{}", done.err);
    assert!(!done.out.contains("a-secret"));
    let shown: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        shown["services"][1],
        serde_json::json!({
            "section": "SMTP-2465",
            "protocol": "smtp",
            "port": 2465,
            "local_address": "127.0.0.1, ::1",
            "local_tls": "none",
            "server_address": "smtp.office365.com",
            "server_port": 587,
            "server_tls": "starttls",
        })
    );
    let account = &shown["accounts"][0];
    assert_eq!(account["name"], "@");
    assert_eq!(account["grant"], "authorization_code");
    assert_eq!(account["pkce"], true);
    assert_eq!(account["client_auth"], "secret");
    assert_eq!(account["settings"]["client_secret"], "***");
    assert_eq!(account["settings"]["client_id"], "an-id");
    assert_eq!(shown["options"]["authorisation_timeout"], 600);
    assert_eq!(shown["warnings"], serde_json::json!([]));

    let single = desk.run(&["config", "--json", "--account", "x@example.org"]);
    let shown: serde_json::Value = serde_json::from_str(&single.out).unwrap();
    assert_eq!(shown["accounts"][0]["name"], "x@example.org");
    assert_eq!(
        shown["accounts"][0]["servers"][1]["server_address"],
        "smtp.office365.com"
    );
}

#[test]
fn config_shows_people_where_each_value_is_from() {
    let desk = Desk::new();
    assert!(desk.register(&OFFICE).ok);
    let line = desk
        .text()
        .lines()
        .position(|line| line == "client_id = an-id")
        .unwrap()
        + 1;
    let done = desk.run(&["config", "--account", "x@example.org"]);
    assert!(done.ok, "{}", done.err);
    assert!(
        done.out
            .contains(&format!("client_id = an-id   ([@] line {line})")),
        "{}",
        done.out
    );
    assert!(done.out.contains("client_secret = ***"), "{}", done.out);
    assert!(!done.out.contains("a-secret"));
    let all = desk.run(&["config"]);
    assert!(
        all.out
            .contains("[IMAP-2993] (line 3): 127.0.0.1, ::1 port 2993"),
        "{}",
        all.out
    );
}

#[test]
fn config_complains_of_what_cannot_work_and_of_whom_nobody_knows() {
    let desk = Desk::new();
    fs::write(
        desk.file(),
        "[IMAP-1]\nserver_port = x\n[SMTP-2]\nserver_address = a\n",
    )
    .unwrap();
    let done = desk.run(&["config", "--json"]);
    assert!(!done.ok && done.out.is_empty(), "{}", done.out);
    for place in [
        "emailproxy.ini:1:",
        "emailproxy.ini:2:",
        "emailproxy.ini:3:",
    ] {
        assert!(done.err.contains(place), "{place}: {}", done.err);
    }
    let desk = Desk::new();
    let args = [
        "--provider",
        "gmail",
        "--account",
        "a@b.example",
        "--oauth2-client-id",
        "x",
    ];
    assert!(desk.register(&args).ok);
    let done = desk.run(&["config", "--account", "stranger@b.example"]);
    assert!(
        !done.ok && done.err.contains("no section fits"),
        "{}",
        done.err
    );
}

#[test]
fn the_example_is_what_register_writes() {
    let desk = Desk::new();
    let done = desk.register(&["--provider", "microsoft365", "--oauth2-client-id", "id"]);
    assert!(done.ok, "{}", done.err);
    let listing = |text: &str| {
        let mut listing = Ini::parse(text).unwrap().listing();
        for (_, keys) in &mut listing {
            keys.sort();
        }
        listing
    };
    let example = include_str!("../emailproxy.example.ini");
    let example = example.replace("*** your client id ***", "id");
    assert_eq!(listing(&desk.text()), listing(&example));
}
