//! What a configuration file comes to: services, accounts, inheritance, complaints.
#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::net::IpAddr;
use std::path::Path;

use emailproxy::config::ini::Ini;
use emailproxy::config::keys;
use emailproxy::config::{
    AccountError, AccountSettings, Complaint, Config, GrantKind, LocalTls, Protocol, Upstream,
};

fn parse(text: &str) -> Config {
    Config::parse(Path::new("test.ini"), text.as_bytes()).unwrap_or_else(|complaints| {
        panic!("{complaints:#?}");
    })
}

fn complaints(text: impl AsRef<[u8]>) -> Vec<Complaint> {
    Config::parse(Path::new("test.ini"), text.as_ref()).expect_err("a complaint")
}

/// A smallest service and then `rest`, which begins in line 4.
fn with_service(rest: &str) -> String {
    format!("[IMAP-0]\nserver_address = imap.example.org\nserver_port = 993\n{rest}")
}

fn account(rest: &str, user: &str) -> AccountSettings {
    parse(&with_service(rest)).account(user).unwrap()
}

fn warnings(rest: &str) -> Vec<String> {
    let config = parse(&with_service(rest));
    config.warnings.iter().map(ToString::to_string).collect()
}

const BASICS: &str = "token_url = https://t.example/token\nclient_id = id\noauth2_scope = mail\n";

fn fixture() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/office.ini");
    let bytes = std::fs::read(&path).unwrap();
    Config::parse(&path, &bytes).unwrap()
}

#[test]
fn a_file_of_the_predecessors_shape_is_understood() {
    let config = fixture();
    let services: Vec<_> = config
        .services
        .iter()
        .map(|s| (s.section.as_str(), s.server.to_string(), s.server.starttls))
        .collect();
    assert_eq!(
        services,
        [
            ("IMAP-1993", "outlook.office365.com:993".into(), false),
            ("POP-1995", "outlook.office365.com:995".into(), false),
            ("SMTP-1587", "smtp.office365.com:587".into(), true),
            ("IMAP-2993", "imap.gmail.com:993".into(), false),
            ("SMTP-2465", "smtp.gmail.com:465".into(), false),
        ]
    );
    let grants: Vec<_> = config
        .account_sections()
        .iter()
        .map(|name| config.account(name).map(|settings| settings.grant).ok())
        .collect();
    assert_eq!(
        grants,
        [
            Some(GrantKind::AuthorizationCode),
            Some(GrantKind::ClientCredentials),
            Some(GrantKind::AuthorizationCode),
            Some(GrantKind::ServiceAccount),
            Some(GrantKind::Device),
            None,
        ]
    );
    let secret = config.account("first.last@office.example").unwrap();
    assert_eq!(secret.client_secret.unwrap().reveal(), "a;b#c %(d)s");
    let key = config.account("service@workspace.example").unwrap();
    let key = key.client_secret.unwrap().reveal().clone();
    assert!(key.starts_with("{\n\"type\": \"service_account\",\n\n\"private_key\""));
    let cached = config.account("someone@gmail.example").unwrap();
    assert_eq!(cached.client_id, "google-id");
    assert_eq!(cached.cached.token_iterations, Some(870_000));
    assert_eq!(cached.cached.access_token_expiry, Some(1_700_000_000));
    assert_eq!(
        cached.cached.refresh_token.as_deref(),
        Some("gAAAAAcached-refresh")
    );
}

#[test]
fn prose_makes_no_noise_and_the_unfinished_is_named() {
    let config = fixture();
    let said: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("logins as unfinished@office.example will be refused"));
    assert!(said[0].ends_with("still holds a placeholder for token_url, client_id"));
}

#[test]
fn services_hear_both_loopbacks_unless_told_otherwise() {
    let config = parse(
        "[IMAP-1]\nserver_address = h\nserver_port = 993\n\
         [POP-2]\nserver_address = h\nserver_port = 995\nlocal_address = ::\n\
         [SMTP-3]\nserver_address = h\nserver_port = 465\nlocal_address = localhost\n",
    );
    let loopbacks: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(config.services[0].local_addresses, loopbacks);
    assert_eq!(config.services[0].local_address, None);
    let any: IpAddr = "::".parse().unwrap();
    assert_eq!(config.services[1].local_addresses, [any]);
    assert_eq!(config.services[1].local_address.as_deref(), Some("::"));
    assert_eq!(config.services[2].local_addresses, loopbacks);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert_eq!(config.warnings[0].line, 7);
    assert!(config.warnings[0].text.contains("without TLS"));
}

#[test]
fn starttls_is_known_under_both_names_in_all_protocols() {
    for word in ["IMAP", "POP", "SMTP"] {
        for key in ["server_starttls", "starttls"] {
            let text = format!("[{word}-7]\nserver_address = h\nserver_port = 5000\n{key} = yes\n");
            let service = &parse(&text).services[0];
            assert!(service.server.starttls, "{text}");
            assert_eq!(service.protocol.word(), word);
        }
    }
    let both =
        "[SMTP-7]\nserver_address = h\nserver_port = 465\nserver_starttls = no\nstarttls = yes\n";
    assert!(!parse(both).services[0].server.starttls);
}

#[test]
fn local_certificates_are_found_beside_the_file_and_make_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emailproxy.ini");
    for name in ["cert.pem", "key.pem"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let text = |extra: &str| {
        format!(
            "[IMAP-1]\nserver_address = h\nserver_port = 993\nlocal_certificate_path = cert.pem\n{extra}"
        )
    };
    let implicit = text("local_key_path = key.pem\n");
    let config = Config::parse(&path, implicit.as_bytes()).unwrap();
    let LocalTls::Implicit(certificate) = &config.services[0].local_tls else {
        panic!("{:?}", config.services[0]);
    };
    assert_eq!(certificate.key, folder.path().join("key.pem"));
    let starttls = text("local_key_path = key.pem\nlocal_starttls = True\n");
    let config = Config::parse(&path, starttls.as_bytes()).unwrap();
    assert!(matches!(
        config.services[0].local_tls,
        LocalTls::StartTls(_)
    ));
    for (broken, line) in [
        (text(""), 4),
        (text("local_key_path = gone.pem\n"), 5),
        (text("local_key_path = \"key.pem\"\n"), 5),
    ] {
        let found = Config::parse(&path, broken.as_bytes()).expect_err("a complaint");
        assert_eq!(found[0].line, line, "{found:?}");
    }
}

#[test]
fn values_are_inherited_in_the_predecessors_order() {
    let rest = "[emailproxy]\nallow_catch_all_accounts = True\n\
        [DEFAULT]\nredirect_uri = http://default.example\noauth2_scope = default\n\
        [@]\ntoken_url = https://any.example/t\nclient_id = any\ntoken_salt = any-salt\noauth2_flow = client_credentials\n\
        access_token = any-token\nrefresh_token = any-refresh\n\
        [@example.org]\nclient_id = domain\n\
        [u@example.org]\nclient_secret = own\noauth2_scope = own\n\
        [e@example.org]\nclient_id =\n";
    let config = parse(&with_service(rest));
    let own = config.account("u@example.org").unwrap();
    assert_eq!(own.section, "u@example.org");
    assert_eq!(own.client_id, "domain");
    assert_eq!(own.scope, "own");
    assert_eq!(own.token_url, "https://any.example/t");
    assert_eq!(own.redirect_uri.as_deref(), Some("http://default.example"));
    assert_eq!(own.cached.token_salt.as_deref(), Some("any-salt"));
    assert_eq!(own.cached.access_token, None);
    assert_eq!(own.cached.refresh_token, None);

    let domain = config.account("other@example.org").unwrap();
    assert_eq!(domain.section, "@example.org");
    assert_eq!(domain.name, "other@example.org");
    assert_eq!(
        (domain.client_id.as_str(), domain.scope.as_str()),
        ("domain", "default")
    );
    let any = config.account("x@elsewhere.example").unwrap();
    assert_eq!((any.section.as_str(), any.client_id.as_str()), ("@", "any"));
    assert_eq!(config.account("plain").unwrap().section, "@");

    // An empty value is found, and counts as absent.
    let empty = config.account("e@example.org").unwrap_err();
    assert!(empty.to_string().contains("client_id"), "{empty}");
    // A catch-all section is nobody's mailbox.
    for nobody in ["@example.org", "@", ""] {
        assert_eq!(config.account(nobody).unwrap_err(), AccountError::Unknown);
    }
}

#[test]
fn user_names_match_exactly_and_only_account_sections() {
    let rest = format!(
        "[u@example.org]\n{BASICS}oauth2_flow = client_credentials\n[emailproxy]\n[DEFAULT]\n{BASICS}"
    );
    let config = parse(&with_service(&rest));
    assert!(config.account("u@example.org").is_ok());
    for stranger in [
        "U@example.org",
        "u@example.org ",
        "emailproxy",
        "IMAP-0",
        "DEFAULT",
        "v@example.org",
    ] {
        assert_eq!(
            config.account(stranger).unwrap_err(),
            AccountError::Unknown,
            "{stranger}"
        );
    }
}

#[test]
fn a_permission_url_outweighs_the_flow_except_device() {
    let url = "permission_url = https://p.example/auth\n";
    let grant = |extra: &str| {
        let text = with_service(&format!("[u@e.org]\n{BASICS}{extra}"));
        let settings = parse(&text).account("u@e.org");
        settings.map(|settings| (settings.grant, settings.grant_reason))
    };
    for (extra, kind) in [
        (url.to_owned(), GrantKind::AuthorizationCode),
        (
            format!("{url}oauth2_flow = client_credentials\n"),
            GrantKind::AuthorizationCode,
        ),
        (
            format!("{url}oauth2_flow = password\n"),
            GrantKind::AuthorizationCode,
        ),
        (
            format!("{url}oauth2_flow = nonsense\n"),
            GrantKind::AuthorizationCode,
        ),
        (format!("{url}oauth2_flow = device\n"), GrantKind::Device),
        (
            "oauth2_flow = client_credentials\n".into(),
            GrantKind::ClientCredentials,
        ),
        (
            "permission_url =\noauth2_flow = password\n".into(),
            GrantKind::Password,
        ),
        (
            "oauth2_flow = managed_identity\n".into(),
            GrantKind::ManagedIdentity,
        ),
    ] {
        assert_eq!(grant(&extra).unwrap().0, kind, "{extra}");
    }
    assert!(
        grant(&format!("{url}oauth2_flow = password\n"))
            .unwrap()
            .1
            .contains("outweighs")
    );
    for extra in [
        "",
        "oauth2_flow = device\n",
        "oauth2_flow = authorization_code\n",
    ] {
        assert!(
            matches!(grant(extra), Err(AccountError::Incomplete(_))),
            "{extra}"
        );
    }
    let near = grant("oauth2_flow = client_credential\n").unwrap_err();
    assert!(
        near.to_string()
            .contains("did you mean client_credentials?"),
        "{near}"
    );
}

#[test]
fn what_an_account_lacks_is_named_with_section_and_line() {
    let text = with_service("[u@e.org]\noauth2_flow = client_credentials\n");
    let why = parse(&text).account("u@e.org").unwrap_err();
    assert_eq!(
        why.to_string(),
        "the section [u@e.org] (line 4) has no value for token_url, client_id, oauth2_scope"
    );
    // The resource takes the scope's place with the password grant alone.
    let without = "[u@e.org]\ntoken_url = https://t.example\nclient_id = id\noauth2_resource = r\n";
    let password = account(&format!("{without}oauth2_flow = password\n"), "u@e.org");
    assert_eq!(password.resource.as_deref(), Some("r"));
    let other = with_service(&format!("{without}oauth2_flow = client_credentials\n"));
    assert!(parse(&other).account("u@e.org").is_err());
}

#[test]
fn pkce_is_on_unless_switched_off() {
    let url = "permission_url = https://p.example\n";
    for (said, pkce) in [
        ("", None),
        ("use_pkce = False\n", Some(false)),
        ("use_pkce = on\n", Some(true)),
        ("use_pkce =\n", None),
    ] {
        let rest = format!("[u@e.org]\n{BASICS}{url}{said}");
        assert_eq!(account(&rest, "u@e.org").pkce, pkce, "{said}");
    }
    let wrong = complaints(with_service("[u@e.org]\nuse_pkce = maybe\n"));
    assert_eq!(wrong[1].line, 5, "{wrong:?}");
}

#[test]
fn the_listen_address_is_known_under_its_misspelling() {
    let rest = format!(
        "[u@e.org]\n{BASICS}oauth2_flow = password\nredirect_list_address = http://0.0.0.0:80\n"
    );
    assert_eq!(
        account(&rest, "u@e.org").redirect_listen_address.as_deref(),
        Some("http://0.0.0.0:80")
    );
    assert_eq!(warnings(&rest), Vec::<String>::new());
}

#[test]
fn accounts_may_name_servers_of_their_own() {
    let rest = format!(
        "[@]\nimap_server = imap.any.example:993\n\
         [u@e.org]\n{BASICS}oauth2_flow = password\nimap_server = imap.own.example:143/starttls\n\
         [v@e.org]\n{BASICS}oauth2_flow = password\nimap_server = imap.own.example:143/starttls\n\
         [w@e.org]\n{BASICS}oauth2_flow = password\nsmtp_server = [::1]:25\n\
         [emailproxy]\nallow_catch_all_accounts = yes\n"
    );
    let config = parse(&with_service(&rest));
    let service = &config.services[0];
    assert_eq!(service.protocol, Protocol::Imap);
    let upstream =
        |user: &str| Config::upstream(service, &config.account(user).unwrap()).to_string();
    assert_eq!(upstream("u@e.org"), "imap.own.example:143");
    assert_eq!(upstream("w@e.org"), "imap.any.example:993");
    let server = |host: &str, port, starttls| Upstream {
        host: host.into(),
        port,
        starttls,
    };
    assert_eq!(
        config.upstreams(service),
        [
            server("imap.example.org", 993, false),
            server("imap.any.example", 993, false),
            server("imap.own.example", 143, true),
        ]
    );
    let wrong = complaints(with_service("[u@e.org]\nimap_server = imap.own.example\n"));
    assert!(
        wrong
            .iter()
            .any(|c| c.line == 5 && c.text.contains("host:port")),
        "{wrong:?}"
    );
}

#[test]
fn options_have_their_defaults_and_their_limits() {
    let config = parse(&with_service(""));
    assert!(!config.options.allow_catch_all_accounts);
    assert_eq!(config.options.authorisation_timeout.as_secs(), 600);
    let text = "[emailproxy]\nauthorization_timeout = 30\nproxy = socks5://u:hunter2@p:1080\nencrypt_client_secret_on_first_use = ON\n";
    let config = parse(&with_service(text));
    assert_eq!(config.options.authorisation_timeout.as_secs(), 30);
    assert!(config.options.encrypt_client_secret_on_first_use);
    assert!(
        !format!("{config:?}").contains("hunter2@p:1080\")"),
        "the options print their secrets"
    );
    for wrong in [
        "authorisation_timeout = 0",
        "authorisation_timeout = 10 minutes",
        "proxy = ftp://u:hunter2@p",
        "ca_file = /nowhere/ca.pem",
        "allow_catch_all_accounts = perhaps",
    ] {
        let found = complaints(with_service(&format!("[emailproxy]\n{wrong}\n")));
        assert_eq!((found.len(), found[0].line), (1, 5), "{found:?}");
        assert!(!found[0].text.contains("hunter2"));
    }
}

#[test]
fn everything_wrong_comes_at_once_with_its_line() {
    let found = complaints(
        "[IMAP-1993]\nserver_address = https://imap.example.org\nserver_port = 993 ; tls\n\
         [SMTP-99999]\nserver_address = a\nserver_port = 1\n\
         [POP-1995]\nserver_starttls = maybe\n\
         [emailproxy]\nallow_catch_all_acounts = True\nproxy = x\n",
    );
    let lines: Vec<usize> = found.iter().map(|complaint| complaint.line).collect();
    assert_eq!(lines, [2, 3, 4, 7, 7, 8, 10, 11], "{found:#?}");
    assert!(
        found[6]
            .text
            .contains("did you mean `allow_catch_all_accounts`?")
    );
    assert!(found[1].to_string().starts_with("test.ini:3: server_port:"));
}

#[test]
fn a_broken_grammar_is_told_without_the_content() {
    let found = complaints("[a@b]\nclient_secret = {\n}\nclient_secret = hunter2\n[a@b]\n");
    let lines: Vec<usize> = found.iter().map(|complaint| complaint.line).collect();
    assert_eq!(lines, [3, 4, 5]);
    assert!(!format!("{found:?}").contains("hunter2"));
    // The last line of a key that was pasted without indentation has an `=` and looks like a setting.
    let pasted = warnings("[a@b]\nclient_secret = -\nq83rT/hunter2hunter2hunter2hunter2==\n");
    assert!(
        !pasted.is_empty() && !format!("{pasted:?}").contains("hunter2"),
        "{pasted:?}"
    );
    let latin = complaints(b"[IMAP-1]\nserver_address = h\xe4\n");
    assert_eq!((latin.len(), latin[0].line), (1, 2));
    assert!(latin[0].text.contains("UTF-8"));
    assert!(!complaints("").is_empty());
}

#[test]
fn a_file_without_services_says_so_and_what_was_perhaps_meant() {
    let found = complaints("[imap-1993]\nserver_address = h\nserver_port = 993\n");
    assert_eq!(found.len(), 2);
    assert!(found[0].text.contains("names no service"));
    assert!(found[1].text.contains("did you mean [IMAP-1993]?"));
}

#[test]
fn services_on_one_address_and_port_are_refused() {
    let service = |name: &str, address: &str| {
        format!("[{name}]\nserver_address = h\nserver_port = 993\nlocal_address = {address}\n")
    };
    for (a, b, collide) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("localhost", "::1", true),
        ("::", "127.0.0.1", true),
        ("0.0.0.0", "127.0.0.1", true),
        ("0.0.0.0", "::1", false),
        ("127.0.0.1", "::1", false),
    ] {
        let text = service("IMAP-7", a) + &service("SMTP-7", b);
        let found = Config::parse(Path::new("test.ini"), text.as_bytes());
        assert_eq!(found.is_err(), collide, "{a} {b}: {found:?}");
    }
    parse(&(service("IMAP-0", "::1") + &service("SMTP-0", "::1")));
}

#[test]
fn misspelt_and_misplaced_names_are_warned_about() {
    let said = warnings(
        "[imap 1993]\n[Office]\nserver_address = h\n[Someone]\nclient_id = x\n[Prose]\nanything = goes\n\
         [u@e.org]\npermision_url = x\nserver_port = 1\ntoken_url = https://t\nclient_id = \"x\"\noauth2_scope = s\noauth2_flow = password\n\
         [@e.org]\nclient_id = x\n",
    );
    let expected = [
        ("test.ini:4:", "did you mean [IMAP-1993]?"),
        ("test.ini:5:", "a service's name is like IMAP-2993"),
        ("test.ini:7:", "an account's name has an @"),
        ("test.ini:12:", "did you mean `permission_url`?"),
        ("test.ini:13:", "it belongs into a service section"),
        ("test.ini:15:", "the quotes around `client_id`"),
        ("test.ini:18:", "allow_catch_all_accounts is not True"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (text, (place, words)) in said.iter().zip(expected) {
        assert!(text.starts_with(place) && text.contains(words), "{text}");
    }
}

#[test]
fn origins_tell_section_and_line() {
    let rest = format!(
        "[DEFAULT]\nredirect_uri = http://localhost\n[u@e.org]\n{BASICS}oauth2_flow = password\n"
    );
    let config = parse(&with_service(&rest));
    let places: Vec<_> = config
        .origins("u@e.org")
        .into_iter()
        .map(|(key, found)| (key, found.section, found.line))
        .collect();
    assert_eq!(
        places,
        [
            ("token_url", "u@e.org", 7),
            ("oauth2_scope", "u@e.org", 9),
            ("oauth2_flow", "u@e.org", 10),
            ("redirect_uri", "DEFAULT", 5),
            ("client_id", "u@e.org", 8),
        ]
    );
    assert!(config.origins("stranger").is_empty());
}

#[cfg(unix)]
#[test]
fn secrets_that_everybody_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emailproxy.ini");
    std::fs::write(
        &path,
        with_service("[@]\nclient_secret = x\n[emailproxy]\nallow_catch_all_accounts = 1\n"),
    )
    .unwrap();
    let warnings = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::read(&path).unwrap().warnings.len()
    };
    assert_eq!((warnings(0o644), warnings(0o640)), (1, 0));
}

#[test]
fn ten_thousand_accounts_load_and_are_found() {
    let mut text = with_service("");
    for n in 0..10_000 {
        text.push_str(&format!("[user{n}@example.org]\n{BASICS}oauth2_flow = client_credentials\nclient_secret = s{n}\n"));
    }
    let begin = std::time::Instant::now();
    let config = parse(&text);
    let loading = begin.elapsed();
    assert_eq!(config.account_sections().len(), 10_000);
    let settings = config.account("user9999@example.org").unwrap();
    assert_eq!(settings.client_secret.unwrap().reveal(), "s9999");
    // Unoptimised and on a busy machine; what is caught is a square law.
    assert!(loading.as_secs() < 10, "{loading:?}");
    println!("10,000 accounts in {loading:?}");
}

const EXAMPLE: &str = include_str!("../emailproxy.example.ini");

/// The example with every option that is commented out in force.
fn enabled_example() -> String {
    let is_option = |line: &str| {
        let Some(rest) = line.strip_prefix('#') else {
            return false;
        };
        let name = rest.split('=').next().unwrap_or_default().trim_end();
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        rest.starts_with('[') || (rest.contains('=') && !name.is_empty() && name.chars().all(word))
    };
    let lines = EXAMPLE.lines().map(|line| {
        let line = if is_option(line) { &line[1..] } else { line };
        format!("{line}\n")
    });
    lines.collect()
}

#[test]
fn the_example_works_as_shipped_but_for_its_placeholder() {
    let config = Config::parse(Path::new("emailproxy.ini"), EXAMPLE.as_bytes()).unwrap();
    let said: Vec<String> = config.warnings.iter().map(|w| w.text.clone()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`client_id` still holds a placeholder"));
    let ready = EXAMPLE.replace("*** your client id ***", "an-id");
    let config = Config::parse(Path::new("emailproxy.ini"), ready.as_bytes()).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let anyone = config.account("anyone@example.org").unwrap();
    assert_eq!(anyone.grant, GrantKind::AuthorizationCode);
}

#[test]
fn the_example_works_with_every_option_in_force() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "cert.pem",
        "key.pem",
        "ca.pem",
        "clients.pem",
        "application.pem",
        "application.key",
        "azure-identity-token",
        "service-account.json",
    ] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let path = folder.path().join("emailproxy.ini");
    let text = enabled_example().replace("*** your client id ***", "an-id");
    let config = Config::parse(&path, text.as_bytes()).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.services.len(), 3);
    for (user, grant) in [
        ("me@gmail.example", GrantKind::AuthorizationCode),
        ("anyone@example.com", GrantKind::ClientCredentials),
        ("anyone@example.net", GrantKind::ClientCredentials),
        ("anyone@example.edu", GrantKind::ClientCredentials),
        ("anyone@machine.example", GrantKind::ManagedIdentity),
        ("anyone@workspace.example", GrantKind::ServiceAccount),
        ("old@example.net", GrantKind::Password),
        ("anyone@example.org", GrantKind::AuthorizationCode),
    ] {
        assert_eq!(config.account(user).unwrap().grant, grant, "{user}");
    }
}

#[test]
fn the_example_and_the_manual_know_every_option() {
    let manual = include_str!("../docs/CONFIGURATION.md");
    let ini = Ini::parse(&enabled_example()).unwrap();
    let sections = ini.sections().iter();
    let used: Vec<&str> = sections
        .flat_map(|section| &section.keys)
        .map(|key| key.name.as_str())
        .collect();
    for key in [keys::OPTION_KEYS, keys::SERVICE_KEYS, keys::ACCOUNT_KEYS].concat() {
        assert!(used.contains(&key), "{key} is missing in the example");
        assert!(
            manual.contains(&format!("`{key}`")),
            "{key} is missing in the manual"
        );
    }
    for key in keys::CACHED_KEYS {
        assert!(
            manual.contains(&format!("`{key}`")),
            "{key} is missing in the manual"
        );
    }
    for (other, _) in keys::OTHER_SPELLINGS {
        assert!(
            manual.contains(&format!("`{other}`")),
            "{other} is missing in the manual"
        );
    }
}

#[test]
fn cached_values_that_make_no_sense_are_named() {
    let config = parse(
        "[IMAP-1]\nserver_address = h\nserver_port = 993\n\
         [u@e.example]\ntoken_url = https://h/t\noauth2_scope = s\noauth2_flow = client_credentials\nclient_id = c\n\
         client_secret = plain\nclient_secret_encrypted = gAAAAA\ntoken_iterations = many\n\
         access_token_expiry = 1e9\n",
    );
    let said: Vec<String> = config.warnings.iter().map(|w| w.text.clone()).collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0].contains("no effect beside client_secret"));
    assert!(said[1].starts_with("token_iterations: `many`"));
    assert!(said[2].starts_with("access_token_expiry: `1e9`"));
    let account = config.account("u@e.example").unwrap();
    assert_eq!(account.client_secret.unwrap().reveal(), "plain");
    assert_eq!(account.cached.client_secret_encrypted, None);
}
