//! What the requirements' tests share: one user, three protocols, and how each of them logs in and says no.

use crate::support::client::{Client, plain_response};
use crate::support::daemon::{Plan, Proxy};
use crate::support::provider::Provider;

pub(crate) const USER: &str = "demo@example.com";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const SECTIONS: [&str; 3] = ["IMAP-0", "POP-0", "SMTP-0"];

/// Starts an honest provider and a proxy in front of it.
pub(crate) async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider).app(&provider, USER).start();
    (provider, proxy)
}

/// Words a login that needs no answer in between.
pub(crate) fn login(section: &str) -> String {
    login_as(section, USER, PASSWORD)
}

/// Words a login of somebody.
pub(crate) fn login_as(section: &str, user: &str, password: &str) -> String {
    match section {
        "IMAP-0" => format!("x LOGIN {user} \"{password}\"\r\n"),
        "POP-0" => format!("USER {user}\r\nPASS {password}\r\n"),
        _ => format!("AUTH PLAIN {}\r\n", plain_response(user, password)),
    }
}

/// Connects and hears the greeting.
pub(crate) async fn call(proxy: &Proxy, section: &str) -> Client {
    let mut client = Client::plain(proxy.at(section)).await;
    client.line().await;
    client
}

/// Logs in, and returns what came of it.
pub(crate) async fn log_in(client: &mut Client, section: &str) -> String {
    client.send(login(section)).await;
    verdict(client, section).await
}

/// Hears what came of a login.
pub(crate) async fn verdict(client: &mut Client, section: &str) -> String {
    match section {
        "IMAP-0" => client.until_tagged("x").await.pop().unwrap(),
        "POP-0" => match client.line().await {
            ok if ok.starts_with("+OK") => client.line().await,
            no => no,
        },
        _ => client.smtp_reply().await.pop().unwrap(),
    }
}

pub(crate) fn is_welcome(said: &str) -> bool {
    ["OK", "+OK", "235"]
        .iter()
        .any(|begin| said.starts_with(begin))
}

/// Returns whether a client is told to come back later, in the words of its protocol.
pub(crate) fn is_for_now(said: &str) -> bool {
    ["NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "]
        .iter()
        .any(|begin| said.starts_with(begin))
}

/// Returns whether a line says no in the words of a protocol, whatever tag or star stands before it.
pub(crate) fn is_no(section: &str, line: &str) -> bool {
    match section {
        "IMAP-0" => {
            let verdict = line.split(' ').nth(1).unwrap_or_default();
            ["NO", "BAD", "BYE"].contains(&verdict)
        }
        "POP-0" => line.starts_with("-ERR"),
        _ => line.starts_with('5') || line.starts_with('4'),
    }
}

/// Sends all of it at once, ends its direction, and returns everything that comes back behind the greeting.
pub(crate) async fn all_at_once(proxy: &Proxy, section: &str, bytes: impl AsRef<[u8]>) -> String {
    let mut client = call(proxy, section).await;
    // It may be shown out before all is said.
    client.try_send(bytes.as_ref()).await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}
