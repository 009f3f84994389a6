//! Every grant that needs no person, through the whole proxy: a login on a mail port, a token, mail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::json;
use support::client::{Client, mail, plain_response};
use support::daemon::{Plan, Proxy, free_port};
use support::logs::Logs;
use support::provider::{CLIENT_ID, CLIENT_SECRET, Fault, Provider, SCOPE, Signer};
use tempfile::TempDir;

const USER: &str = "demo@example.com";
const PASSWORD: &str = "secret";
const ISSUER: &str = "https://cluster.example";
const SERVICE: &str = "proxy@project.iam.gserviceaccount.example";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// RSA keys are slow to make: two serve all tests.
static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);
static OTHER: LazyLock<Signer> = LazyLock::new(Signer::new);

/// Files of a test, in a directory of their own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file as those do who renew things: at once.
    fn write(&self, name: &str, text: &str) -> String {
        let fresh = self.path("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.path(name)).unwrap();
        self.path(name).display().to_string()
    }

    /// Puts a certificate and its key into place, which the provider believes, and returns the account's lines for them.
    fn certificate(&self, provider: &Provider, signer: &Signer, days: i64) -> String {
        let (pem, thumbprint) = signer.certificate(days);
        provider.world.register.trust.believe(&thumbprint, signer);
        let certificate = self.write("app.pem", &pem);
        let key = self.write("app.key", &signer.pem());
        format!("jwt_certificate_path = {certificate}\njwt_key_path = {key}\n")
    }

    /// Puts a service account's key into place and returns its text.
    fn service_key(&self, signer: &Signer) -> String {
        let key = json!({
            "type": "service_account",
            "private_key_id": "k-1",
            "private_key": signer.pem(),
            "client_email": SERVICE,
            "token_uri": "https://oauth2.googleapis.example/token",
        });
        let text = format!("{key:#}");
        self.write("key.json", &text);
        text
    }
}

/// Words an account section without a secret.
fn account(provider: &Provider, name: &str, flow: &str, more: &str) -> String {
    format!(
        "[{name}]\ntoken_url = {}\noauth2_flow = {flow}\nclient_id = {CLIENT_ID}\n{more}",
        provider.token_url()
    )
}

fn application(provider: &Provider, more: &str) -> String {
    let more = format!("oauth2_scope = {SCOPE}\n{more}");
    account(provider, USER, "client_credentials", &more)
}

/// Logs in on the IMAP port and returns the client and the last word it heard.
async fn log_in(proxy: &Proxy, user: &str, password: &str) -> (Client, String) {
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {user} {password}")).await;
    let last = said.last().unwrap().clone();
    (client, last)
}

async fn succeeds(proxy: &Proxy) {
    let (_client, said) = log_in(proxy, USER, PASSWORD).await;
    assert!(said.starts_with("OK"), "{said}");
}

/// Sends mail by SMTP and reads it by IMAP and POP.
async fn carries_mail(proxy: &Proxy) {
    let letter = mail("without anybody's consent", 2_000);
    let mut smtp = proxy.smtp().await;
    let said = smtp
        .smtp(&format!("AUTH PLAIN {}", plain_response(USER, PASSWORD)))
        .await;
    assert!(said[0].starts_with("235"), "{said:?}");
    let said = smtp.send_mail(USER, &[USER], &letter).await;
    assert!(said.starts_with("250"), "{said}");
    let (mut imap, said) = log_in(proxy, USER, PASSWORD).await;
    assert!(said.starts_with("OK"), "{said}");
    imap.imap("SELECT INBOX").await;
    assert_eq!(imap.imap_body(1).await, letter);
    let mut pop = proxy.pop().await;
    assert!(pop.ask(&format!("USER {USER}")).await.starts_with("+OK"));
    assert!(
        pop.ask(&format!("PASS {PASSWORD}"))
            .await
            .starts_with("+OK")
    );
    assert_eq!(pop.pop_body(1).await, letter);
}

#[tokio::test]
async fn a_certificate_opens_mailboxes_and_shows_its_key_to_nobody() {
    let logs = Logs::catch();
    for algorithm in ["PS256", "RS256"] {
        let (provider, files) = (Provider::start().await, Files::new());
        let pair = files.certificate(&provider, &SIGNER, 100);
        // A secret left beside it is not sent: the provider takes one proof only.
        let more = format!("{pair}jwt_algorithm = {algorithm}\nclient_secret = left-over\n");
        let proxy = Plan::for_provider(&provider)
            .section(&application(&provider, &more))
            .start();
        carries_mail(&proxy).await;
        assert_eq!(provider.world.register.count("client_credentials"), 1);
        let sent = &provider.world.register.requests()[0];
        assert!(!sent.contains_key("client_secret"));
        let key = SIGNER.pem();
        for secret in [
            key.lines().nth(1).unwrap(),
            &sent["client_assertion"],
            "left-over",
        ] {
            assert!(!logs.hold(secret), "a secret was logged");
        }
    }
    assert!(!logs.hold("expires in"), "{}", logs.text());
}

#[tokio::test]
async fn a_renewed_certificate_is_picked_up_and_an_ending_one_warned_about_once() {
    let logs = Logs::catch();
    let (provider, files) = (Provider::start().await, Files::new());
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let pair = files.certificate(&provider, &SIGNER, 12);
    let proxy = Plan::for_provider(&provider)
        .section(&application(&provider, &pair))
        .start();
    succeeds(&proxy).await;
    succeeds(&proxy).await;
    assert_eq!(provider.world.register.count("client_credentials"), 2);
    let warned = logs.text().matches("app.pem expires in 12 days").count();
    assert_eq!(warned, 1, "{}", logs.text());

    let (_, old) = SIGNER.certificate(12);
    files.certificate(&provider, &OTHER, 365);
    provider.world.register.trust.forget(&old);
    succeeds(&proxy).await;
    assert_eq!(logs.text().matches("expires in").count(), 1);
}

#[tokio::test]
async fn a_certificate_that_ended_or_that_has_another_key_is_named_and_nobody_is_asked() {
    let (provider, files) = (Provider::start().await, Files::new());
    let pair = files.certificate(&provider, &SIGNER, -2);
    let proxy = Plan::for_provider(&provider)
        .section(&application(&provider, &pair))
        .start();
    let (mut client, said) = log_in(&proxy, USER, PASSWORD).await;
    assert!(said.starts_with("NO [CONTACTADMIN]"), "{said}");
    assert!(said.contains("app.pem expired on "), "{said}");
    files.write("app.key", &OTHER.pem());
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    let said = said.last().unwrap();
    assert!(said.contains("app.key: this key does not belong"), "{said}");
    assert!(provider.world.register.requests().is_empty());
    // Once both are right, so is the login, on the same connection.
    files.certificate(&provider, &OTHER, 100);
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn a_file_that_others_keep_fresh_proves_the_application() {
    let (provider, files) = (Provider::start().await, Files::new());
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    provider.world.register.trust.believe(ISSUER, &SIGNER);
    let subject = "system:serviceaccount:mail:proxy";
    let first = SIGNER.outside_token(ISSUER, subject);
    let path = files.write("token", &format!("{first}\n"));
    let more = format!("client_assertion_file = {path}\n");
    let proxy = Plan::for_provider(&provider)
        .section(&application(&provider, &more))
        .start();
    carries_mail(&proxy).await;
    let second = SIGNER.outside_token(ISSUER, subject);
    files.write("token", &second);
    succeeds(&proxy).await;
    let sent = provider.world.register.requests();
    assert_eq!(sent[0]["client_assertion"], first);
    assert_eq!(sent.last().unwrap()["client_assertion"], second);

    let asked = sent.len();
    files.write("token", "this is not it");
    let (_, said) = log_in(&proxy, USER, PASSWORD).await;
    assert!(
        said.starts_with("NO") && said.contains("no signed token in it"),
        "{said}"
    );
    assert!(!said.contains("this is not it"), "{said}");
    assert_eq!(provider.world.register.requests().len(), asked);
}

#[tokio::test]
async fn consent_and_renewal_are_proven_by_the_certificate_too() {
    let (provider, files) = (Provider::start().await, Files::new());
    provider.world.turn(|knobs| knobs.lifetime = Some(0));
    let pair = files.certificate(&provider, &SIGNER, 100);
    let person = support::daemon::person(&provider, USER, free_port());
    let person = person.replace(&format!("client_secret = {CLIENT_SECRET}\n"), &pair);
    let proxy = Plan::for_provider(&provider).section(&person).start();
    let page = proxy.say_yes();
    succeeds(&proxy).await;
    page.await.unwrap();
    succeeds(&proxy).await;
    let register = &provider.world.register;
    assert_eq!(register.count("authorization_code"), 1);
    assert!(register.count("refresh_token") >= 1);
    for sent in register.requests() {
        assert!(sent.contains_key("client_assertion") && !sent.contains_key("client_secret"));
    }
}

#[tokio::test]
async fn the_login_password_is_the_providers_own() {
    let logs = Logs::catch();
    let provider = Provider::start().await;
    provider.world.register.set_password(USER, "pä$s-word");
    let secret = format!("client_secret = {CLIENT_SECRET}\n");
    for (aim, text) in [
        (format!("oauth2_scope = {SCOPE}\n"), false),
        // 21Vianet: an older endpoint that wants a resource and writes numbers as text.
        (
            "oauth2_resource = https://partner.outlook.cn\n".to_owned(),
            true,
        ),
    ] {
        provider.world.turn(|knobs| {
            knobs.lifetime_as_text = text;
            knobs.rotate = false;
        });
        let more = format!("{secret}{aim}");
        let section = account(&provider, USER, "password", &more);
        let proxy = Plan::for_provider(&provider).section(&section).start();
        let mut client = proxy.imap().await;
        let plain = plain_response(USER, "wrong");
        let said = client.imap(&format!("AUTHENTICATE PLAIN {plain}")).await;
        assert!(said.last().unwrap().starts_with("NO"), "{said:?}");
        let plain = plain_response(USER, "pä$s-word");
        let said = client.imap(&format!("AUTHENTICATE PLAIN {plain}")).await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");

        let sent = provider.world.register.requests().pop().unwrap();
        assert_eq!(sent["password"], "pä$s-word");
        assert_eq!(sent["username"], USER);
        assert_eq!(sent.contains_key("scope"), !text, "{:?}", sent.keys());
        assert_eq!(sent.contains_key("resource"), text);
        // The token is believed for as long as it lives: nobody is asked again.
        let asked = provider.world.register.requests().len();
        let mut client = proxy.imap().await;
        let said = client.imap(&format!("AUTHENTICATE PLAIN {plain}")).await;
        assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
        assert_eq!(provider.world.register.requests().len(), asked);
    }
    assert!(!logs.hold("pä$s-word"));
}

#[tokio::test]
async fn a_service_account_asks_in_each_users_name() {
    let logs = Logs::catch();
    let files = Files::new();
    let pasted = files.service_key(&SIGNER).replace('\n', "\n    ");
    let file = files.path("key.json").display().to_string();
    for (id, secret) in [("file", &file), ("key", &pasted)] {
        let provider = Provider::start().await;
        provider.world.register.trust.believe(SERVICE, &SIGNER);
        let section = format!(
            "[@example.com]\ntoken_url = {}\noauth2_flow = service_account\noauth2_scope = https://mail.example.com/\n\
             client_id = {id}\nclient_secret = {secret}\n",
            provider.token_url()
        );
        let proxy = Plan::for_provider(&provider)
            .option("allow_catch_all_accounts = True")
            .section(&section)
            .start();
        carries_mail(&proxy).await;
        let (_, said) = log_in(&proxy, "other@example.com", "another").await;
        assert!(said.starts_with("OK"), "{said}");
        assert_eq!(
            provider.world.register.count(JWT_BEARER),
            2,
            "one for each user"
        );
    }
    let key = SIGNER.pem();
    assert!(
        !logs.hold(key.lines().nth(1).unwrap()),
        "the key was logged"
    );

    // A key that Google does not know is told, and what Google says.
    let provider = Provider::start().await;
    let section = format!(
        "[{USER}]\ntoken_url = {}\noauth2_flow = service_account\noauth2_scope = s\nclient_id = file\nclient_secret = {file}\n",
        provider.token_url()
    );
    let proxy = Plan::for_provider(&provider).section(&section).start();
    let (mut client, said) = log_in(&proxy, USER, PASSWORD).await;
    assert!(
        said.starts_with("NO") && said.contains("nobody knows this key"),
        "{said}"
    );
    // The renewed key is read without a restart.
    provider.world.register.trust.believe(SERVICE, &OTHER);
    files.service_key(&OTHER);
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
}

#[tokio::test]
async fn a_service_accounts_token_is_used_for_one_name_only() {
    let (provider, files) = (Provider::start().await, Files::new());
    provider.world.register.trust.believe(SERVICE, &SIGNER);
    files.service_key(&SIGNER);
    let section = format!(
        "[{USER}]\ntoken_url = {}\noauth2_flow = service_account\noauth2_scope = s\nclient_id = file\n\
         client_secret = {}\nsign_in_as = stranger@example.com\n",
        provider.token_url(),
        files.path("key.json").display()
    );
    let proxy = Plan::for_provider(&provider).section(&section).start();
    let (_, said) = log_in(&proxy, USER, PASSWORD).await;
    assert!(
        said.starts_with("NO"),
        "a stranger's token opened the mailbox: {said}"
    );
    let text = std::fs::read_to_string(&proxy.path).unwrap();
    let text = text.replace("sign_in_as = stranger@example.com\n", "");
    std::fs::write(&proxy.path, text).unwrap();
    let proxy = proxy.restart().await;
    succeeds(&proxy).await;
    assert_eq!(provider.world.register.count(JWT_BEARER), 2);
}

#[tokio::test]
async fn a_machine_in_azure_needs_no_secret() {
    let provider = Provider::start().await;
    let section = format!(
        "[{USER}]\noauth2_flow = managed_identity\noauth2_scope = https://mail.example.com/.default\ntoken_url = {}\n",
        provider.machine_url()
    );
    let proxy = Plan::for_provider(&provider).section(&section).start();
    provider.world.turn(|knobs| {
        knobs.token_faults.push_back(Fault::html(410));
        let no = Fault::json(400, "invalid_request", "Identity not found");
        knobs.token_faults.push_back(no);
    });
    let (mut client, said) = log_in(&proxy, USER, PASSWORD).await;
    assert!(said.starts_with("NO [UNAVAILABLE]"), "{said}");
    assert!(said.contains("not ready just now"), "{said}");
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    let said = said.last().unwrap();
    assert!(
        said.starts_with("NO [CONTACTADMIN]") && said.contains("Identity not found"),
        "{said}"
    );
    carries_mail(&proxy).await;
    let sent = provider.world.register.requests();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[2]["resource"], "https://mail.example.com");
    assert!(!sent[2].contains_key("client_id"));
}

#[tokio::test]
async fn hostile_answers_cost_one_request_and_are_told_in_words() {
    let (provider, files) = (Provider::start().await, Files::new());
    let pair = files.certificate(&provider, &SIGNER, 100);
    let proxy = Plan::for_provider(&provider)
        .section(&application(&provider, &pair))
        .start();
    let fault = |status, content_type, body: &str| Fault {
        status,
        content_type,
        body: body.to_owned(),
    };
    for (fault, words) in [
        (
            fault(200, "application/json", &"[".repeat(60_000)),
            "without a JSON answer",
        ),
        (
            fault(200, "application/json", &"x".repeat(100_000)),
            "longer than 65536 bytes",
        ),
        (fault(302, "text/html", ""), "no redirect"),
        (
            fault(
                200,
                "application/json",
                "{\"access_token\":\"a\\r\\n* OK injected\"}",
            ),
            "no bearer token may have",
        ),
        (
            fault(200, "application/json", "{\"access_token\":[\"a\"]}"),
            "holds no access_token",
        ),
    ] {
        let before = provider.world.register.requests().len();
        provider
            .world
            .turn(|knobs| knobs.token_faults = [fault.clone()].into());
        let (_, said) = log_in(&proxy, USER, PASSWORD).await;
        assert!(
            said.starts_with("NO") && said.contains(words),
            "{words}: {said}"
        );
        let after = provider.world.register.requests().len();
        assert_eq!(after, before + 1, "{words}");
    }
    succeeds(&proxy).await;
}
