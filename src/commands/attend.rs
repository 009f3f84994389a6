//! `emailproxy run`: from the command line to a running proxy, and what signals tell it until it stops.
//!
//! Knows what is started in which order, not how connections are served.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::notices::Spawner;
use super::run::{DRAIN, Daemon, Launch};
use super::sandbox::{Needs, Sandbox};
use super::{
    LogFormat, RunArgs, invite, logging, pasted_lines, process, read_config, runtime, store_place,
};
use crate::config::{Config, Options};
use crate::control::{self, LinkFile, Recent, Socket};

/// Runs the proxy until it is told to stop.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.find()?;
    let config = read_config(&path)?;
    let store = store_place(args.cache_store.as_deref(), &config)?;
    let settled = store.settled().map_err(|why| anyhow!(why))?;
    let socket = Socket::bind(&path);
    let command = config.options.notify_command.as_deref();
    let spawner = command.map(Spawner::start).transpose()?;
    // Until here there is one thread, and the sandbox holds for it and for all that it starts.
    let sandbox = Sandbox::enter(&Needs {
        config: &config,
        store: &settled,
        log: args.log_file.as_deref(),
        socket: socket.as_ref().ok().map(Socket::place),
    });
    let recent = Recent::default();
    let log_file = args.log_file.as_deref();
    let logging = logging::begin(args.log_format, log_file, args.debug, &recent)?;
    let version = env!("CARGO_PKG_VERSION");
    let mode = if args.debug { " in debug mode" } else { "" };
    info!(
        "Initialising emailproxy (version {version}){mode} from config file {}",
        path.display()
    );
    info!("tokens are kept in {store}");
    sandbox.tell();
    if log_file.is_some_and(|file| sandbox.is_alone(file)) {
        warn!(
            "--log-file: the sandbox opens no directory that so many programs use, so that the log file can only grow; put it into a directory of its own to have it rotated"
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
        store: settled,
        external_auth,
        drain: DRAIN,
        recent,
    };
    let runtime = runtime()?;
    let started = Started {
        path,
        socket,
        spawner,
        sandbox,
        logging,
        draws,
    };
    let done = runtime.block_on(attend(launch, started));
    // A thread that still reads the terminal must not keep the process.
    runtime.shutdown_background();
    done
}

/// What was there before the first connection.
struct Started {
    /// The configuration file.
    path: PathBuf,
    socket: Result<Socket, String>,
    spawner: Option<Spawner>,
    sandbox: Sandbox,
    logging: logging::Logging,
    /// Whether the log shows QR codes.
    draws: bool,
}

async fn attend(launch: Launch, started: Started) -> anyhow::Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let Started {
        path,
        socket,
        spawner,
        sandbox,
        mut logging,
        draws,
    } = started;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut user = signal(SignalKind::user_defined1())?;
    let external_auth = launch.external_auth;
    let options = launch.config.options.clone();
    warn_of(&launch.config);
    let mut daemon = Daemon::start(launch).context("could not start")?;
    if draws {
        tokio::spawn(invite::log_qr_codes(daemon.accounts.pending()));
    }
    if let Some(spawner) = spawner {
        tokio::spawn(spawner.tell(daemon.accounts.pending()));
    }
    let office = daemon.office();
    let link = link_beside(&daemon, socket.as_ref().ok());
    let control = match socket {
        Ok(socket) => {
            for why in socket.passed_over() {
                warn!("no commands are heard at {why}");
            }
            tracing::debug!("commands are heard at {}", socket.place().display());
            Some(tokio::spawn(control::serve(socket, office)))
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
            _ = hang_up.recv() => reload(&mut daemon, &path, &sandbox, &options),
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
    for task in [control, link].into_iter().flatten() {
        task.abort();
        // With their tasks the socket and the link go.
        drop(task.await);
    }
    info!("Stopped");
    Ok(ExitCode::SUCCESS)
}

/// Keeps the way to the page in a file beside the control socket, as long as the proxy runs.
fn link_beside(daemon: &Daemon, socket: Option<&Socket>) -> Option<JoinHandle<()>> {
    let page = Arc::clone(daemon.page.as_ref()?);
    let Some(socket) = socket else {
        warn!("`emailproxy web` cannot show the way to the page of this proxy");
        return None;
    };
    let file = LinkFile::beside(socket.place());
    Some(tokio::spawn(async move {
        let mut changes = page.link_changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = file.write(&page.link()) {
                warn!("`emailproxy web` cannot show the way to the page of this proxy: {error}");
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// Reads the configuration file again. `first` are the options of the start, of which some hold as long as the process.
fn reload(daemon: &mut Daemon, path: &Path, sandbox: &Sandbox, first: &Options) {
    let outside = sandbox.outside(path);
    if !outside.is_empty() {
        for complaint in outside {
            warn!("{complaint}");
        }
        warn!(
            "{} was not reloaded, everything stays as it was",
            path.display()
        );
        return;
    }
    match Config::read(path) {
        Ok(config) => {
            warn_of(&config);
            let now = &config.options;
            for (key, same) in [
                ("sandbox", now.sandbox == first.sandbox),
                ("notify_command", now.notify_command == first.notify_command),
                ("web", now.web.listen == first.web.listen),
                ("base_url", now.web.base == first.web.base),
            ] {
                if !same {
                    warn!("{key} has changed; the new one is used from the next start");
                }
            }
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
