//! `emailproxy authorize`: sign an account in, through the running proxy or alone.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::run::reach_out;
use super::{AuthorizeArgs, complain, pasted_lines, runtime, say, store_place};
use crate::accounts::{Accounts, Caller, Outcome, Setup};
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
    let mut pasted = pasted_lines();
    loop {
        tokio::select! {
            told = proxy.hear() => match told?.ok_or_else(|| anyhow!("the proxy hung up"))? {
                Tell::Visit { url, listen } => invite(account, &url, listen),
                Tell::Remark { text } => complain(&text),
                Tell::Done { text } => {
                    say(&text);
                    return Ok(ExitCode::SUCCESS);
                }
                Tell::Failed { text } => {
                    complain(&text);
                    return Ok(ExitCode::FAILURE);
                }
                Tell::Line { .. } | Tell::Status { .. } | Tell::Passwords { .. } => {}
            },
            Some(url) = pasted.recv() => proxy.ask(&Ask::Paste { url }).await?,
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
    let callbacks = tokio::spawn(crate::web::serve_callbacks(
        Arc::clone(&accounts),
        async move { drop(stopped.await) },
    ));
    let mut pending = accounts.pending();
    let mut pasted = pasted_lines();
    let login = Arc::clone(&accounts);
    let owner = Caller::OWNER;
    let mut admitted = std::pin::pin!(login.token(account, &password, &owner));
    let mut shown = None;
    let done = loop {
        tokio::select! {
            admitted = &mut admitted => break match admitted {
                Ok(_) => {
                    say(&format!("account {account} is authorised; mail programs log in with this password"));
                    ExitCode::SUCCESS
                }
                Err(refusal) => {
                    complain(&refusal.to_string());
                    ExitCode::FAILURE
                }
            },
            Ok(()) = pending.changed() => {
                let asked = pending.borrow_and_update().iter().find(|one| one.account == *account).cloned();
                if let Some(asked) = asked
                    && shown.as_ref() != Some(&asked.url)
                {
                    invite(account, &asked.url, asked.listen);
                    shown = Some(asked.url);
                }
            }
            Some(url) = pasted.recv() => match accounts.finish_pasted(&url).await {
                Ok(Outcome::Unknown) => complain("this address belongs to no sign-in that is waiting"),
                Ok(
                    Outcome::Authorised { .. } | Outcome::Failed { .. } | Outcome::Differs { .. },
                ) => {}
                Err(why) => complain(&why),
            },
        }
    };
    // The browser is still to be told what came of it.
    drop(stop);
    drop(callbacks.await);
    accounts.close(super::run::DRAIN).await;
    Ok(done)
}

fn invite(account: &str, url: &str, listen: bool) {
    say(&format!(
        "Please visit the following URL to authenticate account {account}: {url}"
    ));
    if listen {
        say(
            "then come back here; if the browser ends on a page that cannot be shown, paste its address here",
        );
    } else {
        say(
            "then paste the address of the page the browser ends on here (it may be an error page)",
        );
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
