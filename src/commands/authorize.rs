//! `emailproxy authorize`: sign an account in, through the running proxy or alone.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::Instant;

use super::invite::{Invitation, ask_whether_meant, read_yes_or_no};
use super::run::reach_out;
use super::{AuthorizeArgs, complain, pasted_lines, runtime, say, store_place};
use crate::accounts::{Accounts, Caller, Doubt, Outcome, Pending, Setup, UserCode};
use crate::control::{Ask, Conversation, Tell, reach};
use crate::secret::{Password, Secret};

pub(super) fn authorize(args: &AuthorizeArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.find()?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        match reach(&path).await {
            Some(proxy) => through(proxy, &args.account).await,
            None => alone(args).await,
        }
    });
    // A thread that still reads the terminal must not keep the process.
    runtime.shutdown_background();
    done
}

/// Has the running proxy ask for the consent.
async fn through(mut proxy: Conversation, account: &str) -> anyhow::Result<ExitCode> {
    proxy
        .ask(&Ask::Authorize {
            account: account.to_owned(),
        })
        .await?;
    let mut typed = pasted_lines();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut shown: Option<Invitation> = None;
    let mut doubt: Option<String> = None;
    loop {
        tokio::select! {
            told = proxy.hear() => {
                let told = told?.ok_or_else(|| anyhow!("the proxy hung up"))?;
                if let Some(shown) = &mut shown {
                    shown.clear();
                }
                match told {
                    Tell::Visit { url, listen, code, code_url, seconds } => {
                        let code = code.zip(code_url).zip(seconds);
                        let code = code.map(|((code, url), left)| UserCode {
                            code,
                            url,
                            until: Instant::now() + Duration::from_secs(left),
                        });
                        doubt = None;
                        shown = Some(Invitation::show(account, &url, listen, code));
                    }
                    Tell::Confirm { signed_in } => {
                        shown = None;
                        ask_whether_meant(account, &signed_in);
                        doubt = Some(signed_in);
                    }
                    Tell::Remark { text } => complain(&text),
                    Tell::Done { text } => {
                        say(&text);
                        return Ok(ExitCode::SUCCESS);
                    }
                    Tell::Failed { text } => {
                        complain(&text);
                        return Ok(ExitCode::FAILURE);
                    }
                    Tell::Line { .. } | Tell::Status(_) | Tell::Passwords { .. } | Tell::Token { .. } => {}
                }
            }
            Some(line) = typed.recv() => match (&doubt, read_yes_or_no(&line)) {
                (Some(_), Some(yes)) => proxy.ask(&Ask::Confirm { yes }).await?,
                (Some(who), None) => ask_whether_meant(account, who),
                (None, _) => proxy.ask(&Ask::Paste { url: line }).await?,
            },
            _ = second.tick() => if let Some(shown) = &mut shown {
                shown.tick();
            },
        }
    }
}

/// Asks for the consent without a running proxy. The mail password is needed, because it seals the tokens.
async fn alone(args: &AuthorizeArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.read()?;
    let store = store_place(args.cache_store.as_deref(), &config)?;
    let account = &args.account;
    say(&format!(
        "no proxy runs with {}, so the tokens are fetched now and sealed for it",
        config.path.display()
    ));
    let password = ask_password(account)?;
    crate::wire::tls::choose_crypto();
    let (_, endpoint, reach) = reach_out(&config)?;
    let setup = Setup {
        store,
        reach,
        external_auth: args.external_auth,
    };
    let accounts = Accounts::open(Arc::new(config), endpoint, setup).map_err(|why| anyhow!(why))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let callbacks = tokio::spawn(crate::web::serve(Arc::clone(&accounts), None, async move {
        drop(stopped.await);
    }));
    let mut pending = accounts.pending();
    let mut typed = pasted_lines();
    let login = Arc::clone(&accounts);
    let owner = Caller::OWNER;
    let mut admitted = std::pin::pin!(login.token(account, &password, &owner));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut asked: Option<Pending> = None;
    let mut shown: Option<Invitation> = None;
    let done = loop {
        tokio::select! {
            admitted = &mut admitted => break admitted,
            Ok(()) = pending.changed() => {
                let now = pending.borrow_and_update().iter().find(|one| one.account == *account).cloned();
                if let Some(now) = now
                    && asked.as_ref() != Some(&now)
                {
                    if let Some(shown) = &mut shown {
                        shown.clear();
                    }
                    shown = invite(&now);
                    asked = Some(now);
                }
            }
            Some(line) = typed.recv() => {
                let doubt = asked.as_ref().and_then(|asked| asked.doubt.as_ref());
                take_line(&accounts, account, doubt, &line).await;
            }
            _ = second.tick() => if let Some(shown) = &mut shown {
                shown.tick();
            },
        }
    };
    if let Some(shown) = &mut shown {
        shown.clear();
    }
    let done = match done {
        Ok(_) => {
            say(&format!(
                "account {account} is authorised; mail programs log in with this password"
            ));
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            complain(&refusal.to_string());
            ExitCode::FAILURE
        }
    };
    // The browser is still to be told what came of it.
    drop(stop);
    drop(callbacks.await);
    accounts.close(super::run::DRAIN).await;
    Ok(done)
}

/// Shows what is to be done next.
fn invite(asked: &Pending) -> Option<Invitation> {
    if let Some(doubt) = &asked.doubt {
        ask_whether_meant(&asked.account, doubt.signed_in.as_str());
        return None;
    }
    Some(Invitation::show(
        &asked.account,
        &asked.url,
        asked.listen,
        asked.code.clone(),
    ))
}

/// Takes a typed line: a yes or no where that was asked, else a pasted address. What comes of it is shown as it happens.
async fn take_line(accounts: &Arc<Accounts>, account: &str, doubt: Option<&Doubt>, line: &str) {
    let outcome = match (doubt, read_yes_or_no(line)) {
        (Some(doubt), Some(yes)) => accounts.confirm(&doubt.confirm, yes).await,
        (Some(doubt), None) => return ask_whether_meant(account, doubt.signed_in.as_str()),
        (None, _) => match accounts.finish_pasted(line).await {
            Ok(outcome) => outcome,
            Err(why) => return complain(&why),
        },
    };
    if outcome == Outcome::Unknown {
        complain("this belongs to no sign-in that is waiting");
    }
}

fn ask_password(account: &str) -> anyhow::Result<Password> {
    let prompt = format!("mail password for {account} (as the mail program will send it)");
    let given = if std::io::stdin().is_terminal() {
        dialoguer::Password::new()
            .with_prompt(prompt)
            .interact()
            .context("no password was typed")?
    } else {
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .context("no password on standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    anyhow::ensure!(!given.is_empty(), "an empty password cannot seal tokens");
    Ok(Secret::new(given.into_bytes()))
}
