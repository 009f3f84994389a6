//! Refresh tokens go into the store: through the proxy that runs with it, or alone.
//!
//! Knows neither whose files they came from nor how they are closed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{ImportArgs, password};
use crate::accounts::{Accounts, Setup};
use crate::commands::run::{DRAIN, reach_out};
use crate::commands::{complain, read_config, say, store_place};
use crate::control::{Ask, Overview, Spoken, Tell, reach};
use crate::said::Said;
use crate::secret::{Password, Secret};

/// How long a running proxy may take to read its file again.
const RELOAD_TIME: Duration = Duration::from_secs(10);

/// How often it is asked whether it has.
const GLANCE: Duration = Duration::from_millis(50);

/// Refresh tokens, with the accounts they are of.
type Tokens = Vec<(String, Secret<String>)>;

/// Puts refresh tokens into the store; a running proxy reads its file again before that.
pub(super) async fn take(tokens: Tokens, args: &ImportArgs) -> anyhow::Result<()> {
    let config = read_config(&args.config_file)?;
    let keyed = config.options.store_key.is_some();
    if let Some(pid) = running(&args.config_file).await? {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.context("the running proxy has no process id")?;
        kill_process(pid, Signal::HUP)
            .context("could not have the running proxy read its file again")?;
        say("the running proxy reads its file again");
        for (account, token) in tokens {
            know(&args.config_file, &account).await?;
            let password = password(&account, keyed, args)?;
            report(&account, hand_over(&account, &token, password, args).await?);
        }
        return Ok(());
    }
    if tokens.is_empty() {
        return Ok(());
    }
    let store = store_place(args.cache_store.as_deref(), &config)?;
    crate::wire::tls::choose_crypto();
    let (_, endpoint, reach) = reach_out(&config)?;
    let setup = Setup {
        store,
        reach,
        external_auth: true,
    };
    let accounts = Accounts::open(Arc::new(config), endpoint, setup).map_err(|why| anyhow!(why))?;
    for (account, token) in tokens {
        let password = password(&account, keyed, args)?;
        let entrusting = accounts.entrust(&account, token, password.as_ref(), args.force);
        report(&account, entrusting.await);
    }
    accounts.close(DRAIN).await;
    Ok(())
}

/// Returns the process that runs with this file, if one does.
async fn running(file: &Path) -> anyhow::Result<Option<u32>> {
    let Some(mut proxy) = reach(file).await else {
        return Ok(None);
    };
    proxy.ask(&Ask::Status).await?;
    match proxy.hear().await? {
        Some(Tell::Status(told)) => Ok(Some(told.pid)),
        _ => bail!("the proxy gave another answer than asked for"),
    }
}

/// Waits until the running proxy knows an account.
async fn know(file: &Path, account: &str) -> anyhow::Result<()> {
    let until = Instant::now() + RELOAD_TIME;
    while Instant::now() < until {
        let mut proxy = reach(file)
            .await
            .context("the proxy has stopped meanwhile")?;
        proxy.ask(&Ask::Status).await?;
        if let Some(Tell::Status(Overview { accounts, .. })) = proxy.hear().await?
            && accounts.iter().any(|known| known.account == account)
        {
            return Ok(());
        }
        sleep(GLANCE).await;
    }
    bail!(
        "the running proxy does not take account {} up; `emailproxy logs` says why",
        Said::new(account)
    )
}

/// Hands a token to the running proxy.
async fn hand_over(
    account: &str,
    token: &Secret<String>,
    password: Option<Password>,
    args: &ImportArgs,
) -> anyhow::Result<Result<(), String>> {
    let password = match password {
        Some(password) => {
            let text =
                std::str::from_utf8(password.reveal()).context("the password is no UTF-8")?;
            Some(Spoken::from(text))
        }
        None => None,
    };
    let mut proxy = reach(&args.config_file)
        .await
        .context("the proxy has stopped meanwhile; try again")?;
    proxy
        .ask(&Ask::Entrust {
            account: account.to_owned(),
            token: Spoken::new(token.clone()),
            password,
            force: args.force,
        })
        .await?;
    match proxy.hear().await? {
        Some(Tell::Done { .. }) => Ok(Ok(())),
        Some(Tell::Failed { text }) => Ok(Err(text)),
        _ => bail!("the proxy gave another answer than asked for"),
    }
}

/// Says what came of one token.
fn report(account: &str, done: Result<(), String>) {
    let shown = Said::new(account);
    match done {
        Ok(()) => say(&format!(
            "the refresh token of account {shown} is in the store; let the other program use its own no longer, because \
             a provider may take the older one of the two for stolen"
        )),
        Err(why) => complain(&format!(
            "the refresh token was not taken over: {why}; import again, or sign in with `emailproxy authorize {shown}`"
        )),
    }
}
