//! The page from end to end: who is let in, what it shows, and signing in from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "this is a test"
)]

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod command;
mod signing_in;
mod telling;

use std::net::SocketAddr;

use support::client::Client;
use support::daemon::{Plan, Proxy, free_port};
use support::provider::Provider;

pub(crate) const USER: &str = "person@example.com";
pub(crate) const PASSWORD: &str = "secret";

/// Whose answers everybody may read, and whose only the owner.
pub(crate) const EVERY_HEADER: [&str; 6] = [
    "content-security-policy: default-src 'none';",
    "frame-ancestors 'none'",
    "x-content-type-options: nosniff",
    "cache-control: no-store",
    "x-frame-options: DENY",
    "connection: close",
];

pub(crate) async fn ready() -> (Provider, Proxy) {
    let provider = Provider::start().await;
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, free_port())
        .page()
        .start();
    (provider, proxy)
}

pub(crate) async fn log_in(proxy: &Proxy) -> Client {
    let mut client = proxy.imap().await;
    client.say(&format!("x LOGIN {USER} {PASSWORD}")).await;
    client
}

pub(crate) async fn welcomed(mut client: Client) {
    let said = client.until_tagged("x").await.pop().unwrap();
    assert!(said.starts_with("OK"), "{said}");
}

pub(crate) fn at(proxy: &Proxy) -> SocketAddr {
    proxy.daemon.page.as_ref().unwrap().address()
}

/// Returns where the page sends the browser that is to sign in.
pub(crate) fn provider_of(page: &str) -> String {
    let rest = page.split_once("content=\"0;url=").expect(page).1;
    let url = rest.split_once('"').unwrap().0;
    url.replace("&#38;", "&").replace("&amp;", "&")
}
