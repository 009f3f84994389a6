//! A token for a command that asked: lent without a password, or proven by one.
//!
//! Knows accounts, not what becomes of the token.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Spoken, Tell};
use crate::accounts::{Accounts, Admitted, Caller};
use crate::config::Protocol;
use crate::refusal::{NotAdmitted, Refusal};
use crate::said::Said;
use crate::secret::Password;

/// What a token is for: an account may have another name at each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Reading by IMAP.
    Imap,
    /// Reading by POP.
    Pop,
    /// Sending by SMTP.
    Smtp,
}

impl FromStr for Use {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word.to_ascii_lowercase().as_str() {
            "imap" => Ok(Self::Imap),
            "pop" => Ok(Self::Pop),
            "smtp" => Ok(Self::Smtp),
            _ => Err("say imap, pop or smtp"),
        }
    }
}

impl From<Use> for Protocol {
    fn from(wanted: Use) -> Self {
        match wanted {
            Use::Imap => Self::Imap,
            Use::Pop => Self::Pop,
            Use::Smtp => Self::Smtp,
        }
    }
}

/// Finds a token. Where a person would have to sign in first, the answer says so at once.
pub async fn lend(
    accounts: &Arc<Accounts>,
    account: &str,
    password: Option<&Password>,
    wanted: Use,
) -> Tell {
    let found = match password {
        None => accounts.lend(account).await,
        Some(password) => {
            let owner = Caller::OWNER;
            let mut pending = accounts.pending();
            let asked = pending.wait_for(|all| all.iter().any(|one| one.account == account));
            tokio::select! {
                biased;
                found = accounts.token(account, password, &owner) => found,
                Ok(asked) = asked => {
                    let url = asked.iter().find(|one| one.account == account).map(|one| one.url.clone());
                    return Tell::Visit {
                        url: url.unwrap_or_default(),
                        listen: true,
                        code: None,
                        code_url: None,
                        seconds: None,
                    };
                }
            }
        }
    };
    match found {
        Ok(admitted) => told(accounts, account, &admitted, wanted),
        Err(refusal) => Tell::Failed {
            text: words(account, &refusal),
        },
    }
}

fn told(accounts: &Accounts, account: &str, admitted: &Admitted, wanted: Use) -> Tell {
    let left = accounts.time_left(account, &admitted.token);
    Tell::Token {
        user: accounts.identity(admitted, wanted.into()),
        token: Spoken::from(admitted.token.reveal()),
        expires_in: left.map(|left| left.as_secs()),
    }
}

/// Words a refusal for the owner, who may know more than a stranger at a mail port.
fn words(account: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotAdmitted(NotAdmitted::UnknownAccount) => format!(
            "there is no account {}; accounts are sections of the configuration file, see `emailproxy config`",
            Said::new(account)
        ),
        other => other.to_string(),
    }
}
