//! What a person can type. The only room that prints.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio::sync::mpsc;

use crate::accounts::Place;
use crate::config::Config;

mod attend;
mod authorize;
mod import;
mod invite;
mod logging;
mod logs;
mod notices;
mod password;
mod process;
pub mod register;
pub mod run;
mod sandbox;
pub mod show_config;
mod status;
mod token;
mod web;

/// The program's command line.
#[derive(Debug, Parser)]
#[command(
    name = "emailproxy",
    version,
    about = "Lets mail programs that know only user and password work with providers that accept only OAuth2",
    long_about = "emailproxy listens on local SMTP, IMAP and POP3 ports, takes the plain user + password login of a \
                  mail program, obtains or refreshes the OAuth2 token of that account, logs in at the provider with \
                  XOAUTH2 or OAUTHBEARER, and then relays.\n\nWithout a command the proxy runs (`emailproxy run`).",
    after_help = "Begin with `emailproxy register`, which writes a configuration file; then `emailproxy run`.",
    args_conflicts_with_subcommands = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Run(RunArgs),
    /// Write an account and its services into a configuration file
    Register(Box<register::RegisterArgs>),
    /// Take accounts and tokens over from sasl-xoauth2, mutt, oama or pizauth
    Import(Box<import::ImportArgs>),
    /// Sign an account in: show the address to visit and wait for the consent
    Authorize(AuthorizeArgs),
    /// Set, list and remove the passwords with which mail programs log in here
    Password(password::PasswordArgs),
    /// Print a fresh access token for a program that logs in at the provider itself
    Token(token::TokenArgs),
    /// Show the running proxy's last log lines
    Logs(LogsArgs),
    /// Show the running proxy's services and accounts
    Status(StatusArgs),
    /// Show the way to the running proxy's page, or open it: accounts at a glance, a button to sign in, the log
    Web(WebArgs),
    /// Show what the configuration file comes to, and where each value is from
    Config(show_config::ConfigArgs),
    /// Run the notice command for a running proxy, which starts this itself
    #[command(name = notices::COMMAND, hide = true)]
    SpawnNotices,
}

/// Which configuration file is meant.
#[derive(Args, Clone, Debug, Default)]
struct Where {
    /// The configuration file; otherwise ./emailproxy.ini, ./emailproxy.config, the user's configuration directory and
    /// /etc/emailproxy/ are looked through
    #[arg(long, value_name = "FILE", env = "EMAILPROXY_CONFIG_FILE")]
    config_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct RunArgs {
    #[command(flatten)]
    config: Where,

    /// Where tokens are kept: a file, redis[s]://..., postgres://..., aws:... or vault:https://... (docs/FLEET.md). By default
    /// what the file says as `cache_store`, else emailproxy.tokens.json in the directory of `STATE_DIRECTORY` or beside the
    /// configuration file. A cache file of email-oauth2-proxy is taken over and kept with the ending .bak
    #[arg(long, value_name = "PLACE")]
    cache_store: Option<String>,

    /// Write the log to this file too, beginning a new one at 32 MiB and keeping the last ten
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Log each step (never credentials or tokens); SIGUSR1 switches this on and off while running
    #[arg(long)]
    debug: bool,

    /// Do not listen for the browser's return after a consent: the final address is pasted here or into `emailproxy
    /// authorize`
    #[arg(long)]
    external_auth: bool,

    /// Listen for the browser's return; this is the default here, and the flag wins over --external-auth
    #[arg(long)]
    local_server_auth: bool,

    /// Accepted for old unit files; there never is a graphical interface
    #[arg(long)]
    no_gui: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
struct AuthorizeArgs {
    /// The account, as the mail program names it
    account: String,

    #[command(flatten)]
    config: Where,

    /// Where tokens are kept, if not at the default place; needed only while no proxy runs
    #[arg(long, value_name = "PLACE")]
    cache_store: Option<String>,

    /// Do not listen for the browser's return: paste the final address
    #[arg(long)]
    external_auth: bool,
}

#[derive(Args, Clone, Debug)]
struct LogsArgs {
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    config: Where,
}

#[derive(Args, Clone, Debug)]
struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: Where,
}

#[derive(Args, Clone, Debug)]
struct WebArgs {
    /// Open it in the desktop's browser; by default this is done on a terminal of a desktop
    #[arg(long)]
    open: bool,

    /// Print the link only
    #[arg(long, conflicts_with = "open")]
    print: bool,

    #[command(flatten)]
    config: Where,
}

/// Runs the program: reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    process::prepare();
    std::panic::set_hook(Box::new(mourn));
    let line = CommandLine::parse();
    let done = match line.command.unwrap_or(Command::Run(line.run)) {
        Command::Run(args) => attend::run(&args),
        Command::Register(args) => register::run(&args),
        Command::Authorize(args) => authorize::authorize(&args),
        Command::Password(args) => password::password(&args),
        Command::Import(args) => import::import(&args),
        Command::Token(args) => token::token(&args),
        Command::Logs(args) => logs::logs(&args),
        Command::Status(args) => status::status(&args),
        Command::Web(args) => web::web(&args),
        Command::Config(args) => show_config::run(&args),
        Command::SpawnNotices => notices::serve(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells of a fault of ours where it happened.
fn mourn(fault: &std::panic::PanicHookInfo<'_>) {
    let at = fault.location().map(ToString::to_string);
    let text = fault_told(&at.unwrap_or_default(), fault.payload());
    if tracing::event_enabled!(tracing::Level::ERROR) {
        tracing::error!("{text}");
    } else {
        complain(&text);
    }
}

/// Words a fault of ours. What was said there is told only where it is our own literal text: words put together at that
/// moment could hold anything, a password too.
fn fault_told(at: &str, said: &dyn std::any::Any) -> String {
    let said = said.downcast_ref::<&'static str>();
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    format!("emailproxy broke down at {at}{said}; please report this")
}

impl Where {
    /// Finds the configuration file.
    fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(given) = &self.config_file {
            return Ok(given.clone());
        }
        let places = usual_places();
        if let Some(found) = places.iter().find(|place| place.is_file()) {
            return Ok(found.clone());
        }
        let listed: Vec<String> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        anyhow::bail!(
            "no configuration file found; looked for {}. Write one with `emailproxy register`, or name it with \
             --config-file",
            listed.join(", ")
        )
    }

    /// Finds and reads the configuration file; complaints are printed, all of them.
    fn read(&self) -> anyhow::Result<Config> {
        let path = self.find()?;
        read_config(&path)
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = vec![
        PathBuf::from("emailproxy.ini"),
        PathBuf::from("emailproxy.config"),
    ];
    let own = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    for directory in own
        .into_iter()
        .map(|own| own.join("emailproxy"))
        .chain([PathBuf::from("/etc/emailproxy")])
    {
        places.push(directory.join("emailproxy.ini"));
        places.push(directory.join("emailproxy.config"));
    }
    places
}

fn read_config(path: &Path) -> anyhow::Result<Config> {
    Config::read(path).map_err(|complaints| {
        for complaint in &complaints {
            complain(&complaint.to_string());
        }
        anyhow::anyhow!(
            "{} cannot be used like this; nothing was started",
            path.display()
        )
    })
}

/// Returns where tokens are kept: as the command line says, else the file, else `STATE_DIRECTORY`, else beside the file.
fn store_place(given: Option<&str>, config: &Config) -> anyhow::Result<Place> {
    if let Some(given) = given {
        let place = Place::parse(given).map_err(|why| anyhow::anyhow!("--cache-store: {why}"))?;
        if place.holds_password() {
            anyhow::bail!(
                "--cache-store has a password in it, which every user of this machine can read there; put the address into the configuration file, as cache_store, or the password into a file: password_file=PATH in the address"
            );
        }
        return Ok(place);
    }
    if let Some(said) = &config.options.cache_store {
        return Place::parse(said.reveal()).map_err(|why| anyhow::anyhow!("cache_store: {why}"));
    }
    if let Some(state) = std::env::var_os("STATE_DIRECTORY").filter(|state| !state.is_empty()) {
        return Ok(Path::new(&state).join("emailproxy.tokens.json").into());
    }
    let config = &config.path;
    let whole = config
        .canonicalize()
        .with_context(|| format!("could not find {}", config.display()))?;
    let beside = whole.parent().unwrap_or(Path::new("/"));
    Ok(beside.join("emailproxy.tokens.json").into())
}

/// How many threads there are at most for work that blocks: slow password checks (two at once), files.
const BLOCKING: usize = 64;

/// How long they are kept without work: while the system gives no new threads, those that are there do it.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts the runtime on which everything waits.
/// Makes a runtime with a worker for each two cores. A relay's work is half the kernel's, and as much is done by who speaks at
/// both its ends: more workers spend more on waking each other than they give (docs/PERFORMANCE.md).
/// `TOKIO_WORKER_THREADS` says otherwise.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads((cores / 2).max(1));
    }
    let runtime = builder
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(KEPT)
        .build()
        .context("could not start the runtime")?;
    // The first is begun while there is room for one.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

#[expect(clippy::print_stderr, reason = "this is where commands talk to people")]
fn complain(text: &str) {
    eprintln!("emailproxy: {text}");
}

#[expect(clippy::print_stdout, reason = "this is where commands talk to people")]
fn say(text: &str) {
    println!("{text}");
}

/// Hears the lines that a person pastes into the terminal; blank ones are left out.
fn pasted_lines() -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && send.blocking_send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn r21_a_fault_tells_its_place_and_nothing_of_what_was_at_hand() {
        let told = fault_told("src/x.rs:1:2", &"attempt to add with overflow");
        assert!(told.contains("src/x.rs:1:2: attempt to add"), "{told}");
        let told = fault_told("src/x.rs:1:2", &format!("byte 3 of `{}`", "hunter2"));
        assert!(
            told.contains("src/x.rs:1:2;") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn flags_without_a_command_mean_run() {
        let line = CommandLine::parse_from([
            "emailproxy",
            "--no-gui",
            "--config-file",
            "x",
            "--external-auth",
        ]);
        assert!(line.command.is_none());
        assert!(line.run.no_gui && line.run.external_auth);
        assert_eq!(line.run.config.config_file.as_deref(), Some(Path::new("x")));
    }
}
