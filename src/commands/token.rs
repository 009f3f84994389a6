//! `emailproxy token`: a fresh access token for programs that speak XOAUTH2 or OAUTHBEARER to the provider themselves.
//!
//! Nothing but what was asked for goes to standard output, because that is what such programs read.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::password::read_line;
use super::run::{DRAIN, reach_out};
use super::{Where, complain, runtime, say, store_place};
use crate::accounts::{Accounts, Setup};
use crate::control::{Ask, Spoken, Tell, Use, lend, reach};
use crate::protocol::Identity;
use crate::protocol::sasl::Mechanism;
use crate::secret::{AccessToken, Password};

#[derive(Args, Clone, Debug)]
pub(super) struct TokenArgs {
    /// The account, as a mail program would name it
    account: String,

    /// Print the whole XOAUTH2 message in base64 rather than the token
    #[arg(long, conflicts_with_all = ["oauthbearer", "json"])]
    xoauth2: bool,

    /// Print the whole OAUTHBEARER message (RFC 7628) in base64 rather than the token
    #[arg(long, requires_all = ["host", "port"], conflicts_with = "json")]
    oauthbearer: bool,

    /// The server the OAUTHBEARER message is for
    #[arg(long, value_name = "HOST", requires = "oauthbearer")]
    host: Option<String>,

    /// Its port
    #[arg(long, value_name = "PORT", requires = "oauthbearer")]
    port: Option<u16>,

    /// Print a JSON object: the token, how many seconds it is good, and the user name to log in with
    #[arg(long)]
    json: bool,

    /// What the token is for: an account may have another user name at each server
    #[arg(long = "for", value_name = "PROTOCOL", default_value = "imap")]
    wanted: Use,

    /// Read the account's mail password from the first line of standard input; needed only where the account is locked
    #[arg(long)]
    password_stdin: bool,

    #[command(flatten)]
    config: Where,

    /// Where tokens are kept, if not at the default place; needed only while no proxy runs
    #[arg(long, value_name = "PLACE")]
    cache_store: Option<String>,
}

/// A token as `--json` shows it.
#[derive(Serialize)]
struct Shown<'a> {
    token: &'a Spoken,
    expires_in: Option<u64>,
    user: &'a str,
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.find()?;
    let password = if args.password_stdin {
        Some(Spoken::new(read_line("the mail password")?))
    } else {
        None
    };
    let runtime = runtime()?;
    let told = runtime.block_on(async {
        let Some(mut proxy) = reach(&path).await else {
            return alone(args, password.map(|word| word.password())).await;
        };
        proxy
            .ask(&Ask::Token {
                account: args.account.clone(),
                password,
                wanted: args.wanted,
            })
            .await?;
        let told = proxy.hear().await?;
        told.context("the proxy hung up without an answer")
    });
    runtime.shutdown_background();
    match told? {
        Tell::Token {
            token,
            user,
            expires_in,
        } => {
            say(&worded(args, &token, &user, expires_in)?);
            Ok(ExitCode::SUCCESS)
        }
        Tell::Failed { text } => {
            complain(&text);
            Ok(ExitCode::FAILURE)
        }
        Tell::Visit { url, .. } => {
            complain(&format!(
                "account {} waits for somebody to sign in at {url}",
                args.account
            ));
            Ok(ExitCode::FAILURE)
        }
        _ => bail!("the proxy gave another answer than asked for"),
    }
}

/// Finds the token without a running proxy.
async fn alone(args: &TokenArgs, password: Option<Password>) -> anyhow::Result<Tell> {
    let config = args.config.read()?;
    if password.is_none() && config.options.store_key.is_none() {
        bail!(
            "no proxy of yours runs with {}; start it with `emailproxy run`, or give the mail password on standard input with --password-stdin",
            config.path.display()
        );
    }
    let store = store_place(args.cache_store.as_deref(), &config)?;
    crate::wire::tls::choose_crypto();
    let (_, endpoint, reach) = reach_out(&config)?;
    let setup = Setup {
        store,
        reach,
        // Nobody is asked to sign in from here.
        external_auth: true,
    };
    let accounts = Accounts::open(Arc::new(config), endpoint, setup).map_err(|why| anyhow!(why))?;
    let told = lend(&accounts, &args.account, password.as_ref(), args.wanted).await;
    accounts.close(DRAIN).await;
    Ok(match told {
        // Whoever signed in there would find nobody who hears of it.
        Tell::Visit { .. } => Tell::Failed {
            text: format!(
                "nobody has signed in for account {user} yet; run `emailproxy authorize {user}`",
                user = args.account
            ),
        },
        other => other,
    })
}

/// Words what was asked for.
fn worded(
    args: &TokenArgs,
    token: &Spoken,
    user: &str,
    expires_in: Option<u64>,
) -> anyhow::Result<Zeroizing<String>> {
    if args.json {
        let shown = Shown {
            token,
            expires_in,
            user,
        };
        return Ok(Zeroizing::new(serde_json::to_string(&shown)?));
    }
    if !args.xoauth2 && !args.oauthbearer {
        return Ok(Zeroizing::new(token.reveal().to_owned()));
    }
    let token = AccessToken::parse(token.reveal()).map_err(|why| anyhow!(why))?;
    let identity = Identity {
        user,
        token: &token,
        host: args.host.as_deref().unwrap_or_default(),
        port: args.port.unwrap_or_default(),
    };
    let mechanism = if args.xoauth2 {
        Mechanism::Xoauth2
    } else {
        Mechanism::Oauthbearer
    };
    let message = mechanism.message(&identity).map_err(|why| anyhow!(why.0))?;
    Ok(Zeroizing::new(message.reveal().to_owned()))
}
