//! The owner-only socket by which commands ask the running proxy.
//!
//! One request a connection, one JSON object a line. Who may connect is decided by the socket's directory (0700) and by
//! the peer's user id: the owner and root. Knows what may be asked, not how it is printed.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::accounts::{Accounts, LocalPassword, NewPassword};

mod ask;
mod authorize;
mod lend;
mod link;
mod overview;
mod place;
mod recent;
mod serve;
mod spoken;
pub mod words;

pub use ask::Conversation;
pub use lend::{Use, lend};
pub use link::{Link, LinkFile, read_link};
pub use overview::{Live, Office, Overview, ServiceState};
pub use place::candidates;
pub use recent::Recent;
pub use serve::{Socket, serve};
pub use spoken::Spoken;

/// The longest line of a request, in bytes, and of an answer with a secret in it.
const MAX_LINE: usize = 64 * 1024;

/// The longest answer, in bytes: thousands of accounts.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// What a command may ask.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// How things are.
    Status,
    /// The last log lines, and where `follow` is set also those to come.
    Logs {
        /// Whether to go on until the asking side hangs up.
        follow: bool,
    },
    /// Begin a consent for an account and tell how it ends.
    Authorize {
        /// The account.
        account: String,
    },
    /// Take the final address of a consent, as a person pasted it. Only behind [`Ask::Authorize`].
    Paste {
        /// The address.
        url: String,
    },
    /// Say whether the sign-in of somebody else is meant. Only behind [`Tell::Confirm`].
    Confirm {
        /// Whether it is.
        yes: bool,
    },
    /// See to the local passwords of an account.
    Password {
        /// The account.
        account: String,
        /// What is to be done.
        wish: Wish,
    },
    /// Take over a refresh token that another program obtained.
    Entrust {
        /// The account.
        account: String,
        /// The token.
        token: Spoken,
        /// The account's mail password, where one is needed to close the token.
        password: Option<Spoken>,
        /// Whether a token that is there already is replaced.
        force: bool,
    },
    /// Lend a token.
    Token {
        /// The account.
        account: String,
        /// Its mail password, where it is locked.
        password: Option<Spoken>,
        /// What the token is for.
        wanted: Use,
    },
}

/// What may be wanted of an account's local passwords.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// List them.
    List,
    /// Set one.
    Set {
        /// Its name; none for the unnamed one.
        name: Option<String>,
        /// The services it is to be good for.
        services: Vec<String>,
        /// The networks it is to be good from.
        from: Vec<String>,
        /// The password.
        password: Spoken,
        /// One that is good already, where the account is locked.
        current: Option<Spoken>,
    },
    /// Remove one.
    Remove {
        /// Its name.
        name: String,
        /// Whether also the last one, and the tokens with it.
        force: bool,
    },
}

/// What the proxy answers.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tell {
    /// How things are.
    Status(Overview),
    /// A log line.
    Line {
        /// Its text.
        text: String,
    },
    /// The address to visit for a consent.
    Visit {
        /// The address.
        url: String,
        /// Whether the proxy hears the browser's return itself.
        listen: bool,
        /// What to type in there, in the device grant.
        #[serde(default)]
        code: Option<String>,
        /// Where to type it in; `url` may already hold the code.
        #[serde(default)]
        code_url: Option<String>,
        /// How many seconds the code is still good.
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// Somebody else signed in than the account's own name says: [`Ask::Confirm`] is waited for.
    Confirm {
        /// Who signed in.
        signed_in: String,
    },
    /// A token.
    Token {
        /// The user name to log in with.
        user: String,
        /// The token.
        token: Spoken,
        /// How many seconds it is still good, where that is known.
        expires_in: Option<u64>,
    },
    /// The local passwords of an account.
    Passwords {
        /// Each of them.
        passwords: Vec<LocalPassword>,
        /// Whether setting one needs one that is good already.
        locked: bool,
    },
    /// A remark to a request that goes on.
    Remark {
        /// Its text.
        text: String,
    },
    /// The request is done.
    Done {
        /// What came of it.
        text: String,
    },
    /// The request failed.
    Failed {
        /// Why.
        text: String,
    },
}

/// Does what is wanted of an account's local passwords.
pub async fn grant(accounts: &Arc<Accounts>, account: &str, wish: Wish) -> Tell {
    let done = match wish {
        Wish::List => {
            return match accounts.passwords(account).await {
                Ok(known) => Tell::Passwords {
                    passwords: known.all,
                    locked: known.locked,
                },
                Err(text) => Tell::Failed { text },
            };
        }
        Wish::Set {
            name,
            services,
            from,
            password,
            current,
        } => {
            let new = NewPassword {
                name,
                services,
                from,
                password: password.password(),
                current: current.map(|current| current.password()),
            };
            accounts.set_password(account, new).await
        }
        Wish::Remove { name, force } => accounts.remove_password(account, &name, force).await,
    };
    match done {
        Ok(text) => Tell::Done { text },
        Err(text) => Tell::Failed { text },
    }
}

/// Connects to the proxy that runs with this configuration file, if one does.
pub async fn reach(config: &Path) -> Option<Conversation> {
    for place in candidates(config) {
        if let Ok(conversation) = Conversation::begin(&place).await {
            return Some(conversation);
        }
    }
    None
}
