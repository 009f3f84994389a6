//! `emailproxy run`: from the command line to a running proxy, and what signals tell it until it stops.
//!
//! Knows what is started in which order, not how connections are served.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::run::{DRAIN, Daemon, Launch};
use super::{
    LogFormat, RunArgs, invite, logging, pasted_lines, process, read_config, runtime, store_place,
};
use crate::config::Config;
use crate::control::{self, Office, Recent};

/// Runs the proxy until it is told to stop.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.find()?;
    let config = read_config(&path)?;
    let store = store_place(args.cache_store.as_deref(), &config)?;
    let recent = Recent::default();
    let logging = logging::begin(
        args.log_format,
        args.log_file.as_deref(),
        args.debug,
        &recent,
    )?;
    let version = env!("CARGO_PKG_VERSION");
    let mode = if args.debug { " in debug mode" } else { "" };
    info!(
        "Initialising emailproxy (version {version}){mode} from config file {}",
        path.display()
    );
    info!("tokens are kept in {store}");
    if args.cache_store.is_some() && store.holds_password() {
        warn!(
            "every user of this machine can read the password in --cache-store; put the address into the configuration file, as cache_store, or the password into a file: password_file=PATH in the address"
        );
    }
    if args.no_gui {
        info!("--no-gui changes nothing: there is no graphical interface");
    }
    if args.local_server_auth && !args.external_auth {
        info!("--local-server-auth changes nothing: the browser's return is heard here by default");
    }
    let (asked, room) = (config.options.max_connections, process::room());
    if room < asked {
        info!(
            "the limit of open files leaves room for {room} connections instead of max_connections = {asked}; raise it (LimitNOFILE= in a systemd unit, `ulimit -n`)"
        );
    }
    let external_auth = args.external_auth && !args.local_server_auth;
    let draws = args.log_format == LogFormat::Text;
    let launch = Launch {
        config,
        store,
        external_auth,
        drain: DRAIN,
    };
    let runtime = runtime()?;
    let done = runtime.block_on(attend(launch, path, recent, logging, draws));
    // A thread that still reads the terminal must not keep the process.
    runtime.shutdown_background();
    done
}

async fn attend(
    launch: Launch,
    path: PathBuf,
    recent: Recent,
    mut logging: logging::Logging,
    draws: bool,
) -> anyhow::Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut user = signal(SignalKind::user_defined1())?;
    let external_auth = launch.external_auth;
    warn_of(&launch.config);
    let mut daemon = Daemon::start(launch).context("could not start")?;
    if draws {
        tokio::spawn(invite::log_qr_codes(daemon.accounts.pending()));
    }
    let office = Office {
        accounts: Arc::clone(&daemon.accounts),
        services: daemon.services(),
        recent,
    };
    let control = match control::listen(&path) {
        Ok((socket, place)) => {
            tracing::debug!("commands are heard at {}", place.display());
            Some((
                tokio::spawn(control::serve(socket, place.clone(), office)),
                place,
            ))
        }
        Err(why) => {
            warn!("`emailproxy logs`, `status` and `authorize` cannot reach this proxy: {why}");
            None
        }
    };
    info!(
        "Initialised emailproxy - listening for authentication requests. Connect your email client to begin"
    );
    notify(&[NotifyState::Ready, NotifyState::Status("listening")]);
    let mut pasted = if external_auth {
        pasted_lines()
    } else {
        mpsc::channel(1).1
    };
    let mut asked = None;
    loop {
        tokio::select! {
            _ = hang_up.recv() => reload(&mut daemon, &path),
            _ = user.recv() => logging.toggle_debug(),
            Some(text) = pasted.recv() => invite::take_line(&daemon.accounts, &mut asked, &text).await,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = quit.recv() => break,
        }
    }
    info!("Stopping emailproxy; a second signal stops it at once");
    notify(&[NotifyState::Stopping]);
    tokio::select! {
        () = daemon.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
    if let Some((task, place)) = control {
        task.abort();
        // Nothing is lost if somebody else removed it first.
        drop(std::fs::remove_file(place));
    }
    info!("Stopped");
    Ok(ExitCode::SUCCESS)
}

fn reload(daemon: &mut Daemon, path: &Path) {
    match Config::read(path) {
        Ok(config) => {
            warn_of(&config);
            match daemon.reload(config) {
                Ok(()) => info!("Reloaded {}", path.display()),
                Err(error) => warn!(
                    "{} was not reloaded, everything stays as it was: {error:#}",
                    path.display()
                ),
            }
        }
        Err(complaints) => {
            for complaint in &complaints {
                warn!("{complaint}");
            }
            warn!(
                "{} was not reloaded, everything stays as it was",
                path.display()
            );
        }
    }
}

fn warn_of(config: &Config) {
    for complaint in &config.warnings {
        warn!("{complaint}");
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager nobody is there to be told.
    drop(sd_notify::notify(states));
}
