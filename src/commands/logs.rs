//! `emailproxy logs`: the running proxy's last log lines.

use std::io::Write as _;
use std::process::ExitCode;

use super::{LogsArgs, complain, runtime};
use crate::control::{Ask, Tell, reach};

pub(super) fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.find()?;
    runtime()?.block_on(async {
        let Some(mut proxy) = reach(&config).await else {
            complain(&format!("no proxy of yours runs with {}", config.display()));
            return Ok(ExitCode::FAILURE);
        };
        proxy
            .ask(&Ask::Logs {
                follow: args.follow,
            })
            .await?;
        while let Some(told) = proxy.hear().await? {
            if let Tell::Line { text } = told {
                // Whoever read them has seen enough, as `head` does.
                if writeln!(std::io::stdout(), "{text}").is_err() {
                    break;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
