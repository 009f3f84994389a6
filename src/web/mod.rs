//! The browser's side: hearing a person come back from the provider's consent page.
//!
//! Knows no tokens: what the browser brought is handed to whoever keeps the accounts, whose outcome is shown.

mod callback;
mod listener;
mod pages;
mod place;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

pub use listener::Callbacks;

use crate::accounts::{Accounts, Answer, Outcome};

/// Takes what a browser brought back and says what came of it.
pub type Finish =
    Arc<dyn Fn(Answer) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Listens for browsers coming back wherever a pending consent wants it, until `stop`.
///
/// Never fails: where an address cannot be had, the log says what to do instead.
pub async fn serve_callbacks(accounts: Arc<Accounts>, stop: impl Future<Output = ()>) {
    let pending = accounts.pending();
    let finish: Finish = Arc::new(move |answer| {
        let accounts = Arc::clone(&accounts);
        Box::pin(async move { accounts.finish(answer).await })
    });
    Callbacks::new(pending, finish).serve(stop).await;
}
