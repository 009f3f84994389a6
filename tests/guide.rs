//! The way an administrator's guide leads: register, look at the configuration, run, log in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::{Path, PathBuf};

use program::Program;
use support::client::{Client, plain_response};
use support::daemon::{Plan, free_port, read, visit};
use support::provider::{CLIENT_ID, CLIENT_SECRET, Provider, SCOPE};

#[path = "support/program.rs"]
mod program;
mod support;

const USERS: [&str; 2] = ["ann@example.com", "bob@example.com"];

/// A machine on which nothing is configured yet; its plan keeps the folder and the provider's root certificate.
struct Machine {
    provider: Provider,
    _plan: Plan,
    home: PathBuf,
    file: String,
}

impl Machine {
    async fn new() -> Self {
        let provider = Provider::start().await;
        let plan = Plan::bare(&provider.world.authority);
        let home = plan.write().parent().unwrap().to_owned();
        let file = home.join("guide.ini").display().to_string();
        Self {
            provider,
            _plan: plan,
            home,
            file,
        }
    }

    /// Registers with the guide's flags, an asked-for consent or not, and returns what was said.
    async fn register(&self, flow: &str, consent: bool) -> String {
        let (imap, smtp) = (self.provider.imap, self.provider.smtp);
        let text = |value: &dyn ToString| value.to_string();
        let mut flags = vec![
            ("--config-file", self.file.clone()),
            ("--imap-server-address", text(&imap.ip())),
            ("--imap-server-port", text(&imap.port())),
            ("--imap-local-port", text(&free_port())),
            ("--smtp-server-address", text(&smtp.ip())),
            ("--smtp-server-port", text(&smtp.port())),
            ("--smtp-local-port", text(&free_port())),
            ("--oauth2-token-url", self.provider.token_url()),
            ("--oauth2-scope", SCOPE.to_owned()),
            ("--oauth2-flow", flow.to_owned()),
            ("--oauth2-client-id", CLIENT_ID.to_owned()),
            ("--oauth2-client-secret", CLIENT_SECRET.to_owned()),
        ];
        if consent {
            flags.push(("--oauth2-permission-url", self.provider.permission_url()));
            let uri = format!("http://localhost:{}", free_port());
            flags.push(("--redirect-uri", uri));
        }
        let mut arguments = vec!["register"];
        for (flag, value) in &flags {
            arguments.extend([*flag, value.as_str()]);
        }
        // What a copied line end leaves behind.
        arguments.extend(["--force", " "]);
        let done = Program::done(&self.home, &arguments, "").await;
        assert_eq!(done.code, Some(0), "{}", done.printed);
        // The provider's certificate is nobody's here, so its root is named by hand. The options stand last.
        let root = self.home.join("ca.pem");
        let text = read(Path::new(&self.file));
        let text = format!("{}\nca_file = {}\n", text.trim_end(), root.display());
        std::fs::write(&self.file, text).unwrap();
        done.printed
    }

    /// Returns the grant that the configuration comes to for an address.
    async fn grant(&self, user: &str) -> String {
        let arguments = ["config", "--json", "--account", user, "--config-file"];
        let done = Program::done(&self.home, &[&arguments[..], &[&self.file]].concat(), "").await;
        assert_eq!(done.code, Some(0), "{}", done.printed);
        let json: serde_json::Value = serde_json::from_str(&done.printed).unwrap();
        assert_eq!(json["warnings"], serde_json::json!([]));
        json["accounts"][0]["grant"].as_str().unwrap().to_owned()
    }

    /// Starts the proxy as an old unit file does; everybody logs in by IMAP and SMTP, consenting where asked. Returns
    /// what the proxy printed.
    async fn run(&self, consent: bool) -> String {
        let arguments = ["--no-gui", "--local-server-auth", "--config-file"];
        let mut proxy = Program::start(&self.home, &[&arguments[..], &[&self.file]].concat());
        let (imap, smtp) = (proxy.listens("IMAP").await, proxy.listens("SMTP").await);
        for user in USERS {
            let mut client = Client::plain(imap).await;
            client.line().await;
            client
                .say(&format!("x LOGIN {user} \"pw of {user}\""))
                .await;
            if consent {
                let words =
                    format!("Please visit the following URL to authenticate account {user}: ");
                let url = proxy.says(&words).await;
                assert!(visit(&url).await.contains("succeeded"));
            }
            let said = client.until_tagged("x").await.pop().unwrap();
            assert!(said.starts_with("OK"), "{said}");

            let mut client = Client::plain(smtp).await;
            client.line().await;
            client.smtp("EHLO client.example.org").await;
            let response = plain_response(user, &format!("pw of {user}"));
            let said = client.ask(&format!("AUTH PLAIN {response}")).await;
            assert!(said.starts_with("235"), "{said}");
        }
        proxy.signal("TERM").await;
        let ended = proxy.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.printed);
        ended.printed
    }
}

#[tokio::test]
async fn an_application_opens_every_mailbox() {
    let machine = Machine::new().await;
    machine.register("client_credentials", false).await;
    assert_eq!(machine.grant(USERS[0]).await, "client_credentials");
    let printed = machine.run(false).await;
    assert!(!printed.contains("Please visit"), "{printed}");
    let count = machine.provider.world.register.count("client_credentials");
    assert_eq!(count, USERS.len());
}

#[tokio::test]
async fn each_person_consents_once() {
    let machine = Machine::new().await;
    machine.register("authorization_code", true).await;
    assert_eq!(machine.grant(USERS[0]).await, "authorization_code");
    machine.run(true).await;
    let register = &machine.provider.world.register;
    assert_eq!(register.count("authorization_code"), USERS.len());
    machine.run(false).await;
    assert_eq!(register.requests().len(), USERS.len());
}

#[tokio::test]
async fn a_permission_url_outweighs_client_credentials_and_the_log_says_why() {
    let machine = Machine::new().await;
    let said = machine.register("client_credentials", true).await;
    assert!(
        said.contains("authorization_code is used and not client_credentials"),
        "{said}"
    );
    assert_eq!(machine.grant(USERS[0]).await, "authorization_code");
    let printed = machine.run(true).await;
    let why =
        "uses the authorization_code grant: permission_url is set, which outweighs oauth2_flow";
    assert!(printed.contains(why), "{printed}");
    let register = &machine.provider.world.register;
    assert_eq!(register.count("client_credentials"), 0);
}
