//! A mail program with a new password, where the owner wants it accepted by a sign-in
//! (`delete_account_token_on_password_error = True`): nothing changes until somebody says yes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

mod support;

use support::daemon::{Plan, Proxy, free_port, visit};
use support::logs::Logs;
use support::provider::Provider;

const USER: &str = "person@example.com";

async fn ready(option: &str) -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .option(option)
        .person(&provider, USER, free_port())
        .start();
    let person = proxy.say_yes();
    assert!(log_in(&proxy, "old").await.starts_with("OK"));
    person.await.unwrap();
    (provider, proxy)
}

/// Logs in on a connection of its own and returns the reply.
async fn log_in(proxy: &Proxy, password: &str) -> String {
    let mut client = proxy.imap().await;
    let said = client.imap(&format!("LOGIN {USER} {password}")).await;
    said.last().unwrap().clone()
}

#[tokio::test]
async fn a_sign_in_makes_the_new_password_good_and_ends_the_old_one() {
    let logs = Logs::catch();
    let (provider, proxy) = ready("delete_account_token_on_password_error = True").await;
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} new")).await;
    let url = proxy.asked().await;
    assert!(
        logs.hold("the mail program at 127.0.0.1 on IMAP-0 sent a new password"),
        "{}",
        logs.text()
    );
    // Until then the old one goes on, and so do its tokens.
    assert!(log_in(&proxy, "old").await.starts_with("OK"));
    assert!(visit(&url).await.contains("succeeded"));
    let said = client.until_tagged("x").await;
    assert!(said.last().unwrap().starts_with("OK"), "{said:?}");
    let proxy = proxy.restart().await;
    assert!(log_in(&proxy, "new").await.starts_with("OK"));
    // The old one would ask for another sign-in now, which nobody gives.
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} old")).await;
    proxy.asked().await;
    assert_eq!(provider.world.register.visits().len(), 2);
}

#[tokio::test]
async fn without_the_owners_wish_a_wrong_password_is_only_wrong() {
    let (provider, proxy) = ready("").await;
    let requests = provider.world.register.requests().len();
    assert!(log_in(&proxy, "new").await.starts_with("NO"));
    assert!(proxy.daemon.accounts.pending().borrow().is_empty());
    assert!(log_in(&proxy, "old").await.starts_with("OK"));
    assert_eq!(provider.world.register.requests().len(), requests);
}
