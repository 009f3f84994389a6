//! `emailproxy import`: accounts and tokens of other programs, as far as they carry over.
//!
//! Files become what was found in them, that becomes an account's section as `register` would write it, and its refresh
//! token goes into the store. The files themselves are left as they are.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use self::found::Found;
use super::password::read_line;
use super::register::{self, RegisterArgs};
use super::{complain, runtime, say};
use crate::config::Config;
use crate::providers;
use crate::said::Said;
use crate::secret::{Password, Secret};

mod found;
mod json;
mod kind;
mod oama;
mod pizauth;
mod tokens;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What `import` is told.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Taken are token files and settings of sasl-xoauth2, token files of mutt_oauth2.py (decrypted: `gpg -d \
                  FILE | emailproxy import -`), settings and shown credentials of oama (`oama show ADDRESS | emailproxy \
                  import -`) and settings of pizauth. Name files that belong together in one command."
)]
pub(super) struct ImportArgs {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The mail address, where the file does not name one
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,

    /// The provider, where its endpoints do not tell
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// The application's id, where the file does not hold it
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,

    /// A file with the application's secret, where the imported file does not hold it
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,

    /// Change what the configuration says otherwise, and put these tokens in the place of others
    #[arg(long)]
    force: bool,

    /// Read the mail password that is to close the tokens from a line of standard input, one line an account; not needed
    /// where there is a store key
    #[arg(long)]
    password_stdin: bool,

    /// The configuration file to write or add to
    #[arg(
        long,
        value_name = "FILE",
        env = "EMAILPROXY_CONFIG_FILE",
        default_value = "emailproxy.ini"
    )]
    config_file: PathBuf,

    /// Where tokens are kept, if not at the default place
    #[arg(long, value_name = "PLACE")]
    cache_store: Option<String>,
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    if args.password_stdin && args.files.iter().any(|file| file == Path::new("-")) {
        bail!("standard input cannot be both a file and the mail password");
    }
    let mut all = Vec::new();
    for file in &args.files {
        let text = read(file)?;
        match kind::read(&text) {
            Ok((kind, found)) => {
                say(&format!("{}: {kind}", file.display()));
                all.extend(found);
            }
            Err(why) => complain(&format!("{}: {why}", file.display())),
        }
    }
    let mut tokens = Vec::new();
    let mut entered = 0_usize;
    for found in accounts(all, args) {
        match enter(found, args) {
            Ok((account, token)) => {
                entered += 1;
                tokens.extend(token.map(|token| (account, token)));
            }
            Err(why) => complain(&format!("{why:#}")),
        }
    }
    if entered == 0 {
        complain("nothing could be taken over");
        return Ok(ExitCode::FAILURE);
    }
    let runtime = runtime()?;
    let done = runtime.block_on(tokens::take(tokens, args));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// Reads a file whole.
fn read(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let reading = || format!("could not read {}", file.display());
    let mut bytes = Zeroizing::new(Vec::new());
    if file == Path::new("-") {
        let stdin = std::io::stdin().lock();
        stdin
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .with_context(reading)?;
    } else {
        let opened = std::fs::File::open(file).with_context(reading)?;
        opened
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .with_context(reading)?;
    }
    if bytes.len() as u64 > LARGEST {
        bail!(
            "{} is larger than 1 MiB, which no such file is",
            file.display()
        );
    }
    Ok(bytes)
}

/// Completes what was found of each account with the settings of its application and with what the flags say.
fn accounts(all: Vec<Found>, args: &ImportArgs) -> Vec<Found> {
    let (templates, mut accounts): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|found| found.is_template);
    for found in &mut accounts {
        let mut fitting = templates.iter();
        let template = fitting.find(|template| template.application == found.application);
        if let Some(template) = template {
            found.complete_with(template);
        }
    }
    if accounts.is_empty() {
        // Settings alone are worth taking over where somebody says whose they are.
        match (&args.account, <[Found; 1]>::try_from(templates)) {
            (Some(_), Ok([only])) => accounts.push(only),
            (_, Ok(_)) => {
                complain("these settings name no account; say whose they are with --account");
            }
            (_, Err(several)) if !several.is_empty() => complain(
                "these settings are of several services and name no account; import one service's tokens together with them",
            ),
            (_, Err(_)) => {}
        }
    }
    if let Some(account) = &args.account {
        if let [only] = accounts.as_mut_slice() {
            only.account = Some(account.clone());
        } else {
            accounts.retain(|found| {
                found
                    .account
                    .as_deref()
                    .is_none_or(|known| known == account)
            });
            let mut nameless = accounts.iter_mut().filter(|found| found.account.is_none());
            if let Some(first) = nameless.next() {
                first.account = Some(account.clone());
            }
        }
    }
    accounts
}

/// Writes one account into the configuration; returns its name, and its refresh token where there is one.
fn enter(mut found: Found, args: &ImportArgs) -> anyhow::Result<(String, Option<Secret<String>>)> {
    let origin = found.application.clone().unwrap_or_default();
    let Some(account) = found.account.clone() else {
        bail!(
            "an account{} has no mail address; say which with --account",
            if origin.is_empty() {
                String::new()
            } else {
                format!(" ({})", Said::new(&origin))
            }
        );
    };
    if let Some(name) = &args.provider {
        let known = providers::named(name);
        found.provider = Some(known.with_context(|| {
            format!(
                "--provider: nothing is known by the name {}",
                Said::new(name)
            )
        })?);
    }
    if found.token_url.is_none() && found.provider.is_none() {
        found.token_url = json::usual_endpoint(&found);
    }
    found.recognise();
    if args.client_id.is_some() {
        found.client_id.clone_from(&args.client_id);
    }
    let shown = Said::new(&account);
    if found.client_id.is_none() {
        tell_left(&found);
        bail!("account {shown}: no client_id was found; give it with --client-id");
    }
    let registering = RegisterArgs {
        config_file: args.config_file.clone(),
        force: args.force,
        account: Some(account.clone()),
        provider: found.provider.map(|known| known.name.to_owned()),
        tenant: found.tenant.clone(),
        oauth2_permission_url: found.permission_url.clone(),
        oauth2_token_url: found.token_url.clone(),
        oauth2_scope: found.scope.clone(),
        oauth2_client_id: found.client_id.clone(),
        oauth2_client_secret_file: args.client_secret_file.clone(),
        redirect_uri: found.redirect_uri.clone(),
        secret_asked: found
            .client_secret
            .clone()
            .filter(|_| args.client_secret_file.is_none()),
        ..RegisterArgs::default()
    };
    match register::enter(&registering) {
        Ok(true) => say(&format!(
            "account {shown} is in {}",
            args.config_file.display()
        )),
        Ok(false) => say(&format!(
            "account {shown} was in {} already",
            args.config_file.display()
        )),
        Err(_) if fits(&found, &account, &args.config_file) => say(&format!(
            "account {shown} is in {} already, for the same application",
            args.config_file.display()
        )),
        Err(why) if found.provider.is_none() => bail!(
            "account {shown}: {why:#}. Its provider is not known here: write it with `emailproxy register --account \
             {shown} --imap-server-address ...` first, then its tokens can be imported"
        ),
        Err(why) => bail!("account {shown}: {why:#}"),
    }
    tell_left(&found);
    if found.refresh_token.is_none() {
        say(&format!(
            "no refresh token came with account {shown}: sign in with `emailproxy authorize {shown}`"
        ));
    }
    Ok((account, found.refresh_token))
}

/// Returns whether the configuration has the account already, for the same application and endpoint.
fn fits(found: &Found, account: &str, file: &Path) -> bool {
    let known = Config::read(file)
        .ok()
        .and_then(|config| config.account(account).ok());
    known.is_some_and(|known| {
        let same =
            |theirs: &Option<String>, ours: &str| theirs.as_deref().is_none_or(|it| it == ours);
        same(&found.client_id, &known.client_id) && same(&found.token_url, &known.token_url)
    })
}

fn tell_left(found: &Found) {
    for what in &found.left {
        complain(&format!("not taken over: {what}"));
    }
}

/// Finds the password that is to close an account's token, where one is needed.
fn password(account: &str, keyed: bool, args: &ImportArgs) -> anyhow::Result<Option<Password>> {
    if args.password_stdin {
        let line = read_line("the mail password")?;
        return Ok(Some(Secret::new(line.reveal().as_bytes().to_vec())));
    }
    if keyed || !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let typed = dialoguer::Password::new()
        .with_prompt(format!(
            "mail password for {account} (as the mail program will send it)"
        ))
        .interact()
        .context("no password was typed")?;
    Ok(Some(Secret::new(typed.into_bytes())))
}
