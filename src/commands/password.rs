//! `emailproxy password`: the passwords with which mail programs log in here, set through the running proxy or alone.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::rand;
use clap::Args;
use zeroize::Zeroizing;

use super::run::{DRAIN, reach_out};
use super::{Where, complain, runtime, say, store_place};
use crate::accounts::{Accounts, LocalPassword, Setup};
use crate::control::{Ask, Spoken, Tell, Wish, grant, reach};
use crate::secret::Secret;

/// What generated passwords are made of: 32 characters that nobody takes for each other.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// How many of them: 120 bits.
const LENGTH: usize = 24;

/// The longest line taken from standard input, in bytes.
const LONGEST: u64 = 4_096;

#[derive(Args, Clone, Debug)]
pub(super) struct PasswordArgs {
    /// The account, as the mail program names it
    account: String,

    /// Give the password a name, one for each device, so that it can be removed alone. Without it the password is the
    /// `default` one, which also a mail program's first login sets
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The password is good for this service only: imap, pop, smtp or a section such as IMAP-2993; may be repeated
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,

    /// The password is good from this network only, such as 192.168.1.0/24; may be repeated
    #[arg(long, value_name = "NETWORK")]
    from: Vec<String>,

    /// Make up a password and print it
    #[arg(long)]
    generate: bool,

    /// List the account's passwords (not what they are)
    #[arg(long, conflicts_with_all = ["name", "service", "from", "generate", "remove"])]
    list: bool,

    /// Remove the password of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "service", "from", "generate"])]
    remove: Option<String>,

    /// With --remove: also the last password, and the tokens with it
    #[arg(long, requires = "remove")]
    force: bool,

    /// Read a password that is good already from the first line of standard input, the new one from the next; needed
    /// only where the account is locked
    #[arg(long)]
    current_password_stdin: bool,

    #[command(flatten)]
    config: Where,

    /// Where tokens are kept, if not at the default place; needed only while no proxy runs
    #[arg(long, value_name = "PLACE")]
    cache_store: Option<String>,
}

pub(super) fn password(args: &PasswordArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let path = args.config.find()?;
        let alone = if reach(&path).await.is_some() {
            None
        } else {
            Some(open(args)?)
        };
        let done = see_to(args, &path, alone.as_ref()).await;
        if let Some(accounts) = alone {
            accounts.close(DRAIN).await;
        }
        done
    });
    runtime.shutdown_background();
    done
}

/// Opens the store, because no proxy runs.
fn open(args: &PasswordArgs) -> anyhow::Result<Arc<Accounts>> {
    let config = args.config.read()?;
    let store = store_place(args.cache_store.as_deref(), &config)?;
    crate::wire::tls::choose_crypto();
    let (_, endpoint, reach) = reach_out(&config)?;
    let setup = Setup {
        store,
        reach,
        external_auth: true,
    };
    Accounts::open(Arc::new(config), endpoint, setup).map_err(|why| anyhow!(why))
}

/// Does what the command line says.
async fn see_to(
    args: &PasswordArgs,
    path: &std::path::Path,
    alone: Option<&Arc<Accounts>>,
) -> anyhow::Result<ExitCode> {
    let ask = async |wish| {
        if let Some(accounts) = alone {
            return Ok(grant(accounts, &args.account, wish).await);
        }
        let mut proxy = reach(path)
            .await
            .context("the proxy has stopped meanwhile; try again")?;
        let account = args.account.clone();
        proxy.ask(&Ask::Password { account, wish }).await?;
        let told = proxy.hear().await?;
        told.context("the proxy hung up without an answer")
    };
    if let Some(name) = &args.remove {
        let wish = Wish::Remove {
            name: name.clone(),
            force: args.force,
        };
        return report(&ask(wish).await?, &[]);
    }
    let (passwords, locked) = match ask(Wish::List).await? {
        Tell::Passwords { passwords, locked } => (passwords, locked),
        other => return report(&other, &[]),
    };
    if args.list {
        return report(&Tell::Passwords { passwords, locked }, &[]);
    }
    let current = current(args, locked)?;
    let (password, shown) = if args.generate {
        let made = made_up()?;
        (made.clone(), vec![made])
    } else {
        (read_new(args)?, Vec::new())
    };
    let wish = Wish::Set {
        name: args.name.clone(),
        services: args.service.clone(),
        from: args.from.clone(),
        password: Spoken::new(password),
        current: current.map(Spoken::new),
    };
    report(&ask(wish).await?, &shown)
}

/// Tells what came of it. A password that was made up is alone on standard output.
fn report(told: &Tell, made_up: &[Secret<String>]) -> anyhow::Result<ExitCode> {
    match told {
        Tell::Done { text } => {
            if made_up.is_empty() {
                say(text);
            } else {
                complain(text);
            }
            for password in made_up {
                say(password.reveal());
            }
            Ok(ExitCode::SUCCESS)
        }
        Tell::Failed { text } => {
            complain(text);
            Ok(ExitCode::FAILURE)
        }
        Tell::Passwords { passwords, .. } => {
            if passwords.is_empty() {
                say("no password yet: the first login sets it");
            }
            for password in passwords {
                say(&line(password));
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("the proxy gave another answer than asked for"),
    }
}

/// Words one password of the list.
fn line(password: &LocalPassword) -> String {
    let some = |list: &[String], all: &str| {
        if list.is_empty() {
            all.to_owned()
        } else {
            list.join(", ")
        }
    };
    format!(
        "{:<20} {:<12} for {}, from {}",
        password.name,
        password
            .created
            .map_or_else(|| "set earlier".to_owned(), date),
        some(&password.services, "every service"),
        some(&password.from, "everywhere")
    )
}

/// Words a Unix time as a day (UTC).
fn date(seconds: u64) -> String {
    // Civil from days, with years that begin in March, so that the leap day is the last of its year.
    let days = i64::try_from(seconds / 86_400).unwrap_or_default() + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads a password that is good already, where one is needed.
fn current(args: &PasswordArgs, locked: bool) -> anyhow::Result<Option<Secret<String>>> {
    if args.current_password_stdin {
        return read_line("the current password").map(Some);
    }
    if !locked {
        return Ok(None);
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "account {} is locked, so a password that is good already is needed: put it on the first line of standard input and say --current-password-stdin; or log in with a mail program first; with store_key in the configuration this is never needed",
            args.account
        );
    }
    let prompt = format!("a password of {} that is good already", args.account);
    let typed = dialoguer::Password::new()
        .with_prompt(prompt)
        .interact()
        .context("no password was typed")?;
    Ok(Some(Secret::new(typed)))
}

/// Reads the new password: twice from a terminal, else from one line.
fn read_new(args: &PasswordArgs) -> anyhow::Result<Secret<String>> {
    if !std::io::stdin().is_terminal() {
        return read_line("the new password");
    }
    let typed = dialoguer::Password::new()
        .with_prompt(format!("new password for {}", args.account))
        .with_confirmation(
            "once more",
            "these are two different passwords; once more from the beginning",
        )
        .interact()
        .context("no password was typed")?;
    Ok(Secret::new(typed))
}

/// Reads one line of standard input.
pub(super) fn read_line(what: &str) -> anyhow::Result<Secret<String>> {
    let mut line = Zeroizing::new(String::with_capacity(4_096));
    let stdin = std::io::stdin().lock();
    // The rest stays where it is, for the next line.
    let mut limited = std::io::Read::take(stdin, LONGEST);
    limited
        .read_line(&mut line)
        .with_context(|| format!("could not read {what} from standard input"))?;
    let text = line.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("{what} is missing on standard input");
    }
    Ok(Secret::from(text))
}

/// Makes a password up.
fn made_up() -> anyhow::Result<Secret<String>> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| anyhow!("the system gives no random numbers"))?;
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    Ok(Secret::new(bytes.iter().filter_map(letter).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn made_up_passwords_are_long_and_plain() {
        let (one, other) = (made_up().unwrap(), made_up().unwrap());
        assert_eq!(one.reveal().len(), LENGTH);
        assert!(one.reveal().bytes().all(|byte| LETTERS.contains(&byte)));
        assert_ne!(one, other);
    }
}
