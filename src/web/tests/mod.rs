//! What the tests of this room share: pretend accounts, and a browser of raw bytes.

mod browser;
mod confirming;
mod listening;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::{Callbacks, Confirm, Ears, Finish};
use crate::accounts::{Answer, Outcome, Pending};
use crate::said::Said;

/// A consent for `account`, heard at a port of the system's choice.
fn consent(account: &str, redirect_uri: &str) -> Pending {
    Pending {
        account: account.into(),
        url: format!("https://idp.example/authorize?login_hint={account}"),
        redirect_uri: Some(redirect_uri.into()),
        redirect_listen_address: Some("127.0.0.1:0".into()),
        listen: true,
        code: None,
        doubt: None,
    }
}

/// Accounts that remember what they were told, and the callbacks that serve them.
struct Desk {
    pending: watch::Sender<Vec<Pending>>,
    bound: watch::Receiver<Vec<SocketAddr>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// What was confirmed, and how.
    confirmed: Arc<Mutex<Vec<(String, bool)>>>,
    /// How many returns were handed over.
    begun: watch::Receiver<usize>,
    /// How many of them have an outcome.
    ended: watch::Receiver<usize>,
    /// Lets outcomes out; plenty unless a test takes them away.
    gate: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Desk {
    /// Starts with these consents. A state `for-U` authorises U, `no-U` fails for U, `else-U` is somebody
    /// else's, others are unknown.
    fn open(pending: Vec<Pending>, shape: impl FnOnce(Callbacks) -> Callbacks) -> Self {
        let (sender, receiver) = watch::channel(pending);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(1_000));
        let (ears, latch) = (Arc::clone(&answers), Arc::clone(&gate));
        let ((starts, begun), (ends, ended)) = (watch::channel(0), watch::channel(0));
        let finish: Finish = Arc::new(move |answer: Answer| {
            let (ears, latch) = (Arc::clone(&ears), Arc::clone(&latch));
            let ends = ends.clone();
            starts.send_modify(|count| *count += 1);
            Box::pin(async move {
                latch.acquire().await.unwrap().forget();
                let outcome = if let Some(account) = answer.state.strip_prefix("for-") {
                    Outcome::Authorised {
                        account: account.into(),
                    }
                } else if let Some(account) = answer.state.strip_prefix("no-") {
                    Outcome::Failed {
                        account: account.into(),
                        why: answer
                            .error_description
                            .clone()
                            .unwrap_or_else(|| Said::from("no")),
                    }
                } else if let Some(account) = answer.state.strip_prefix("else-") {
                    Outcome::Differs {
                        account: account.into(),
                        signed_in: Said::from("<me>@example.org"),
                        confirm: "once".into(),
                    }
                } else {
                    Outcome::Unknown
                };
                ears.lock().unwrap().push(answer);
                ends.send_modify(|count| *count += 1);
                outcome
            })
        });
        let confirmed = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&confirmed);
        let confirm: Confirm = Arc::new(move |value: String, yes| {
            let known = value == "once";
            heard.lock().unwrap().push((value, yes));
            Box::pin(async move {
                match (known, yes) {
                    (true, true) => Outcome::Authorised {
                        account: "u".into(),
                    },
                    (true, false) => Outcome::Again(Box::new(consent("u", "http://localhost"))),
                    (false, _) => Outcome::Unknown,
                }
            })
        });
        let callbacks = shape(Callbacks::new(receiver, Ears { finish, confirm }));
        let bound = callbacks.bound();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(callbacks.serve(async move {
            drop(stopped.await);
        }));
        Self {
            pending: sender,
            bound,
            answers,
            confirmed,
            begun,
            ended,
            gate,
            stop,
            served,
        }
    }

    /// Waits until something is listened at, and returns the IPv4 address.
    async fn address(&mut self) -> SocketAddr {
        let bound = self.bound.wait_for(|bound| !bound.is_empty()).await;
        let bound = bound.unwrap();
        *bound.iter().find(|address| address.is_ipv4()).unwrap()
    }

    /// Waits until nothing is listened at.
    async fn closed(&mut self) {
        self.bound.wait_for(Vec::is_empty).await.unwrap();
    }

    /// The states that came back so far.
    fn states(&self) -> Vec<String> {
        let answers = self.answers.lock().unwrap();
        answers.iter().map(|answer| answer.state.clone()).collect()
    }
}

/// Sends a request with these lines and returns all that comes back.
async fn visit(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
    // The other side may have heard enough before the end.
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Visits a target as a browser on this machine does.
async fn get(address: SocketAddr, target: &str) -> String {
    visit(
        address,
        &format!("GET {target} HTTP/1.1\nHost: localhost:{}", address.port()),
    )
    .await
}
