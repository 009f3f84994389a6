//! `emailproxy status`: the running proxy's services and accounts.

use std::process::ExitCode;

use super::{StatusArgs, complain, runtime, say};
use crate::accounts::AccountState;
use crate::control::{Ask, Overview, Tell, reach, words};

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
        let Tell::Status(told) = told else {
            anyhow::bail!("the proxy gave another answer than asked for");
        };
        show(&told, &config.display().to_string());
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows everything, a few lines each.
fn show(told: &Overview, config: &str) {
    say(&format!(
        "emailproxy {} is running (process {}, {}, {}) with {config}",
        told.version,
        told.pid,
        words::duration(told.uptime),
        words::count(told.connections, "connection"),
    ));
    for service in &told.services {
        say(&format!(
            "  {:<12} {} -> {}",
            service.section,
            service.addresses.join(", "),
            service.server
        ));
    }
    if told.accounts.is_empty() {
        say("no account has been used yet");
    }
    for state in &told.accounts {
        show_account(state);
    }
}

fn show_account(state: &AccountState) {
    say(&format!(
        "  {:<32} {} ({})",
        state.account, state.state, state.grant
    ));
    say(&format!("      {}", keys_of(state)));
    for line in words::token(state).into_iter().chain(words::use_of(state)) {
        say(&format!("      {line}"));
    }
    if let Some(url) = &state.url {
        say(&format!("      visit {url}"));
    }
    if let Some(code) = &state.code {
        say(&format!("      and use code {code}"));
    }
    tell_failure(state);
}

/// Says what failed last, why, and what to do about it.
fn tell_failure(state: &AccountState) {
    let Some(error) = &state.last_error else {
        return;
    };
    say(&format!("      last error: {error}"));
    if let (Some(class), Some(cause), Some(remedy)) = (state.class, &state.cause, &state.remedy)
        && !error.contains(remedy)
    {
        say(&format!("      cause: {cause}"));
        say(&format!("      remedy ({}): {remedy}", class.as_str()));
    }
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
