//! `emailproxy status`: the running proxy's services and accounts.

use std::process::ExitCode;

use super::{StatusArgs, complain, runtime, say};
use crate::accounts::AccountState;
use crate::control::{Ask, Tell, reach};

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.find()?;
    runtime()?.block_on(async {
        let Some(mut proxy) = reach(&config).await else {
            complain(&format!(
                "no proxy of yours runs with {}; start it with `emailproxy run`",
                config.display()
            ));
            return Ok(ExitCode::FAILURE);
        };
        proxy.ask(&Ask::Status).await?;
        let Some(told) = proxy.hear().await? else {
            anyhow::bail!("the proxy hung up without an answer")
        };
        if args.json {
            say(&serde_json::to_string_pretty(&told)?);
            return Ok(ExitCode::SUCCESS);
        }
        let Tell::Status {
            services,
            accounts,
            version,
            pid,
        } = told
        else {
            anyhow::bail!("the proxy gave another answer than asked for");
        };
        say(&format!(
            "emailproxy {version} is running (process {pid}) with {}",
            config.display()
        ));
        for service in services {
            say(&format!(
                "  {:<12} {} -> {}",
                service.section,
                service.addresses.join(", "),
                service.server
            ));
        }
        if accounts.is_empty() {
            say("no account has been used yet");
        }
        for state in accounts {
            say(&format!(
                "  {:<32} {} ({})",
                state.account, state.state, state.grant
            ));
            say(&format!("      {}", keys_of(&state)));
            if let Some(seconds) = state.expires_in {
                say(&format!("      access token good for {} min", seconds / 60));
            }
            if let Some(url) = state.url {
                say(&format!("      visit {url}"));
            }
            if let Some(code) = state.code {
                say(&format!("      and use code {code}"));
            }
            if let Some(error) = state.last_error {
                say(&format!("      last error: {error}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Says which passwords open an account, and whether it needs one.
fn keys_of(state: &AccountState) -> String {
    let passwords = match state.passwords {
        0 => "no local password yet".to_owned(),
        1 => "1 local password".to_owned(),
        many => format!("{many} local passwords"),
    };
    let renewal = if state.unattended {
        "renewed unattended from the start, by the store key"
    } else {
        "renewed unattended from the first login after a start"
    };
    format!("{passwords}; {renewal}")
}
