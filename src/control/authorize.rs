//! A consent that a command asked for: what is to be done, what a person pastes or confirms, and how it ends.

use std::io;

use tokio::sync::watch;
use tokio::time::Instant;

use super::serve::Answering;
use super::{Ask, Office, Tell};
use crate::accounts::{Outcome, Pending};

impl Answering {
    /// Begins a consent, or joins the one that is pending, and stays until it ends.
    pub(super) async fn authorize(&mut self, office: &Office, account: &str) -> io::Result<()> {
        let mut pending = office.accounts.pending();
        let mut asked = match office.accounts.begin(account).await {
            Ok(asked) => asked,
            Err(refusal) => {
                let text = refusal.to_string();
                return self.tell(&Tell::Failed { text }).await;
            }
        };
        self.tell(&words(&asked)).await?;
        loop {
            let remark = tokio::select! {
                now = changed(&mut pending, &asked) => match now {
                    None => return self.tell_end(office, account).await,
                    Some(now) => {
                        asked = now;
                        self.tell(&words(&asked)).await?;
                        continue;
                    }
                },
                said = self.hear() => match said? {
                    None => return Ok(()),
                    Some(Ask::Paste { url }) => match office.accounts.finish_pasted(&url).await {
                        Ok(Outcome::Unknown) => "this address belongs to no sign-in that is waiting".to_owned(),
                        Ok(_) => continue,
                        Err(text) => text,
                    },
                    Some(Ask::Confirm { yes }) => {
                        let confirm = asked.doubt.as_ref().map(|doubt| doubt.confirm.as_str());
                        match office.accounts.confirm(confirm.unwrap_or_default(), yes).await {
                            Outcome::Unknown => "nothing waits for a yes or no".to_owned(),
                            Outcome::Again(anew) => {
                                asked = *anew;
                                self.tell(&words(&asked)).await?;
                                continue;
                            }
                            _ => continue,
                        }
                    }
                    Some(_) => "only an address can be pasted here".to_owned(),
                },
            };
            self.tell(&Tell::Remark { text: remark }).await?;
        }
    }

    /// Tells how the consent ended.
    async fn tell_end(&mut self, office: &Office, account: &str) -> io::Result<()> {
        let all = office.accounts.snapshot();
        let now = all.into_iter().find(|state| state.account == account);
        let told = match now.and_then(|state| state.failure()) {
            Some(text) => Tell::Failed { text },
            None => Tell::Done {
                text: format!("account {account} is authorised"),
            },
        };
        self.tell(&told).await
    }
}

/// Words what is to be done next.
fn words(asked: &Pending) -> Tell {
    if let Some(doubt) = &asked.doubt {
        return Tell::Confirm {
            signed_in: doubt.signed_in.to_string(),
        };
    }
    let code = asked.code.as_ref();
    let left = code.map(|code| code.until.saturating_duration_since(Instant::now()));
    Tell::Visit {
        url: asked.url.clone(),
        listen: asked.listen,
        code: code.map(|code| code.code.clone()),
        code_url: code.map(|code| code.url.clone()),
        seconds: left.map(|left| left.as_secs()),
    }
}

/// Waits until the consent is another or no longer waited for, and returns it as it is then.
async fn changed(pending: &mut watch::Receiver<Vec<Pending>>, asked: &Pending) -> Option<Pending> {
    let same = |one: &&Pending| one.account == asked.account && one.url == asked.url;
    let news = pending
        .wait_for(|all| all.iter().find(same).is_none_or(|one| one != asked))
        .await;
    // A sender that is gone means that nothing is waited for any more.
    let now = news.ok()?;
    now.iter().find(same).cloned()
}
