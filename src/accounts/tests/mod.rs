//! Accounts as a whole, with a source of tokens that answers from a list.

mod ahead;
mod challenges;
mod clocks;
mod confirmations;
mod consents;
mod devices;
mod entrust;
mod first;
mod interleavings;
mod keys;
#[cfg(unix)]
mod kills;
mod lend;
mod model;
mod named;
mod passwords;
mod predecessor;
mod reload;
mod renewals;
mod several;
mod tokens;

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::source::{Asking, Source};
use super::vault::Cost;
use super::{AccountState, Accounts, Answer, Caller, Reach, Setup, locked};
use crate::config::{AccountSettings, Config, GrantKind};
use crate::oauth::{DeviceCode, Error, Grant, Question, SignedIn, Tokens};
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;
use crate::secret::{AccessToken, Password, Secret};

/// A provider that answers what the test put into its list, when the test lets it.
#[derive(Debug)]
struct Fake {
    answers: Mutex<VecDeque<Result<Tokens, Error>>>,
    asked: Mutex<Vec<String>>,
    questions: AtomicUsize,
    gate: Semaphore,
}

impl Source for Fake {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a> {
        let secret = secret.map_or("-", |secret| secret.reveal());
        let what = match grant {
            Grant::Code { code, .. } => format!("code {}", code.reveal()),
            Grant::Refresh(token) => format!("refresh {}", token.reveal()),
            Grant::ClientCredentials => "client".into(),
            Grant::Password(password) => format!("password {}", password.reveal()),
            Grant::Device(code) => format!("device {}", code.reveal()),
            Grant::ServiceAccount => "service".into(),
            Grant::ManagedIdentity => "machine".into(),
        };
        locked(&self.asked).push(format!("{} {what} {secret}", account.token_url));
        Box::pin(async {
            self.gate.acquire().await.unwrap().forget();
            self.gate.add_permits(1);
            let answer = locked(&self.answers).pop_front();
            answer.unwrap_or_else(|| Err(Error::Denied(Said::new("no answer was prepared"))))
        })
    }

    fn question<'a>(
        &'a self,
        account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        let n = self.questions.fetch_add(1, Ordering::SeqCst);
        let device = (account.grant == GrantKind::Device).then(|| DeviceCode {
            code: Secret::new(format!("d{n}")),
            user_code: format!("CODE-{n}"),
            verification_url: "https://idp.example/device".into(),
            good_for: Duration::from_secs(900),
            interval: Duration::from_secs(5),
        });
        let way = if device.is_some() { "device" } else { "auth" };
        let question = Question {
            url: format!("https://idp.example/{way}?state=s{n}"),
            state: format!("s{n}"),
            redirect_uri: account.redirect_uri.clone(),
            device,
            ..Question::default()
        };
        Box::pin(async { Ok(question) })
    }
}

impl Fake {
    /// Puts a good answer into the list.
    fn grants(&self, access: &str, life: u64, refresh: Option<&str>) {
        locked(&self.answers).push_back(Ok(Tokens {
            access: AccessToken::parse(access).unwrap(),
            lifetime: Duration::from_secs(life),
            refresh: refresh.map(Secret::from),
            signed_in: None,
        }));
    }

    /// Puts a good answer into the list, with who signed in for it.
    fn grants_to(&self, access: &str, life: u64, who: &str) {
        self.grants(access, life, Some("r1"));
        if let Some(Ok(tokens)) = locked(&self.answers).back_mut() {
            tokens.signed_in = Some(SignedIn {
                name: who.into(),
                names: vec![who.into()],
                ..SignedIn::default()
            });
        }
    }

    /// Puts a bad answer into the list.
    fn fails(&self, error: Error) {
        locked(&self.answers).push_back(Err(error));
    }

    /// Lists the requests so far, without the token URL where it is the usual one.
    fn asked(&self) -> Vec<String> {
        let usual = "https://idp.example/token ";
        let asked = locked(&self.asked);
        asked.iter().map(|a| a.replace(usual, "")).collect()
    }

    /// Holds all answers back until [`Self::go_on`].
    fn hold(&self) {
        self.gate.forget_permits(1);
    }

    fn go_on(&self) {
        self.gate.add_permits(1);
    }
}

const DEAD: fn() -> Error = || Error::GrantDead(Said::new("invalid_grant; revoked"));
const DOWN: fn() -> Error = || Error::Unavailable(Said::new("no answer"));

/// The accounts that most tests use.
const USUAL: &str = "
[code@example.org]
permission_url = https://idp.example/auth
token_url = https://idp.example/token
oauth2_scope = mail
redirect_uri = http://localhost:8825
client_id = app
client_secret = s3cret

[app@example.org]
token_url = https://idp.example/token
oauth2_flow = client_credentials
oauth2_scope = mail
client_id = app
client_secret = s3cret

[ropc@example.org]
token_url = https://idp.example/token
oauth2_flow = password
oauth2_scope = mail
client_id = app

[bare@example.org]
token_url = https://idp.example/token
oauth2_flow = client_credentials
oauth2_scope = mail
client_id = app

[half@example.org]
token_url = https://idp.example/token
";

/// A proxy's accounts in a home of their own.
struct House {
    home: tempfile::TempDir,
    fake: Arc<Fake>,
    accounts: Arc<Accounts>,
}

impl House {
    fn new() -> Self {
        Self::with("", USUAL)
    }

    fn with(options: &str, sections: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), options, sections);
        Self::at(home, config)
    }

    fn at(home: tempfile::TempDir, config: Arc<Config>) -> Self {
        let fake = Arc::new(Fake {
            answers: Mutex::default(),
            asked: Mutex::default(),
            questions: AtomicUsize::new(0),
            gate: Semaphore::new(1),
        });
        let accounts = open(home.path(), config, &fake).unwrap();
        Self {
            home,
            fake,
            accounts,
        }
    }

    /// Starts the proxy anew on the same home.
    async fn restart(self) -> Self {
        let config = Arc::clone(&self.accounts.world().config);
        self.restart_with(config).await
    }

    async fn restart_with(self, config: Arc<Config>) -> Self {
        let Self {
            home,
            fake,
            accounts,
        } = self;
        accounts.close(Duration::from_secs(5)).await;
        // The background lets go at its next turn.
        let waiting = Arc::downgrade(&accounts);
        drop(accounts);
        while waiting.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        let accounts = open(home.path(), config, &fake).unwrap();
        Self {
            home,
            fake,
            accounts,
        }
    }

    async fn log_in(&self, user: &str, password: &str) -> Result<String, Refusal> {
        let admitted = self
            .accounts
            .token(user, &Password::from(password), &Caller::OWNER)
            .await?;
        assert_eq!(admitted.user, user);
        Ok(admitted.token.reveal().to_owned())
    }

    /// Lets a login wait in a task of its own.
    fn wait(&self, user: &str, password: &str) -> tokio::task::JoinHandle<Result<String, Refusal>> {
        let (accounts, user, password) = (
            Arc::clone(&self.accounts),
            user.to_owned(),
            Password::from(password),
        );
        tokio::spawn(async move {
            let admitted = accounts.token(&user, &password, &Caller::OWNER).await?;
            Ok(admitted.token.reveal().to_owned())
        })
    }

    /// Waits until as many consents are asked for, and lists their addresses.
    async fn urls(&self, count: usize) -> Vec<String> {
        let mut pending = self.accounts.pending();
        let list = pending.wait_for(|list| list.len() == count).await.unwrap();
        list.iter().map(|pending| pending.url.clone()).collect()
    }

    async fn answers(&self, state: &str, code: &str) -> super::Outcome {
        self.accounts
            .finish(Answer {
                state: state.into(),
                code: Some(Secret::from(code)),
                ..Answer::default()
            })
            .await
    }

    fn state(&self, user: &str) -> AccountState {
        let list = self.accounts.snapshot();
        list.into_iter().find(|a| a.account == user).unwrap()
    }

    fn has_nothing_at_rest(&self) -> bool {
        std::fs::read(self.home.path().join("tokens.json")).is_ok_and(|bytes| bytes.is_empty())
    }

    fn on_disk(&self) -> serde_json::Value {
        let text = std::fs::read(self.home.path().join("tokens.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

fn config(home: &Path, options: &str, sections: &str) -> Arc<Config> {
    let text = format!(
        "[emailproxy]\n{options}\n[IMAP-2993]\nserver_address = imap.example\nserver_port = 993\n{sections}"
    );
    let path = home.join("emailproxy.ini");
    std::fs::write(&path, &text).unwrap();
    Arc::new(Config::parse(&path, text.as_bytes()).unwrap())
}

fn open(home: &Path, config: Arc<Config>, fake: &Arc<Fake>) -> Result<Arc<Accounts>, String> {
    let setup = Setup {
        store: home.join("tokens.json").into(),
        reach: Reach::default(),
        external_auth: false,
    };
    let source: Arc<dyn Source> = Arc::clone(fake) as _;
    Accounts::open_with(config, source, setup, Cost::CHEAP)
}

fn wrong() -> Refusal {
    Refusal::NotAdmitted(NotAdmitted::WrongPassword)
}

/// What is logged while it lives, on this thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(super) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        // With a single subscriber, `tracing` asks only the thread that comes by a line first whether anybody cares.
        static SECOND: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(locked(&self.0).clone()).unwrap()
    }
}
