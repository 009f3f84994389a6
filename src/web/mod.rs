//! The browser's side: hearing a person come back from the provider's consent page, and the page that shows how things
//! are.
//!
//! Knows no tokens: what the browser brought is handed to whoever keeps the accounts, whose outcome is shown.

mod bind;
mod callback;
mod confirm;
mod conversation;
mod exchange;
mod head;
mod home;
mod listener;
mod page;
mod pages;
mod place;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

pub use bind::{PageSockets, bind_page};
pub use home::Home;
pub use listener::Callbacks;
pub use page::Page;

use crate::accounts::{Accounts, Answer, Outcome};

/// Takes what a browser brought back and says what came of it.
pub type Finish =
    Arc<dyn Fn(Answer) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Takes a person's yes or no to who signed in, and says what came of it.
pub type Confirm =
    Arc<dyn Fn(String, bool) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Who takes what browsers bring.
#[derive(Clone)]
pub struct Ears {
    /// Takes the return from a provider.
    pub finish: Finish,
    /// Takes the answer to who signed in.
    pub confirm: Confirm,
}

/// Listens for browsers coming back wherever a pending consent wants it, and shows the page at its sockets, until `stop`.
///
/// Never fails: where an address cannot be had, the log says what to do instead.
pub async fn serve(
    accounts: Arc<Accounts>,
    page: Option<(Arc<Page>, PageSockets)>,
    stop: impl Future<Output = ()>,
) {
    let pending = accounts.pending();
    let for_answers = Arc::clone(&accounts);
    let ears = Ears {
        finish: Arc::new(move |answer| {
            let accounts = Arc::clone(&for_answers);
            Box::pin(async move { accounts.finish(answer).await })
        }),
        confirm: Arc::new(move |confirm, yes| {
            let accounts = Arc::clone(&accounts);
            Box::pin(async move { accounts.confirm(&confirm, yes).await })
        }),
    };
    let callbacks = Callbacks::new(pending, ears);
    let callbacks = match page {
        Some((page, sockets)) => callbacks.with_page(page, sockets),
        None => callbacks,
    };
    callbacks.serve(stop).await;
}
