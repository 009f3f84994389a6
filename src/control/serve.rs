//! The answering side of the control socket.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::place::judge;
use super::{Ask, MAX_LINE, Office, Tell, candidates, grant, lend};

/// How long an asking side may take to say what it wants, and to take an answer.
const ASK_TIME: Duration = Duration::from_secs(10);

/// How many commands may ask at once.
const MAX_ASKING: usize = 32;

/// The control socket of a configuration file, bound at the first place that can be had. Dropping it takes it away.
///
/// It needs no runtime, so that it is there before the process gives up its rights.
#[derive(Debug)]
pub struct Socket {
    listener: net::UnixListener,
    place: PathBuf,
    passed_over: Vec<String>,
}

impl Socket {
    /// Binds it. The error is for a person.
    pub fn bind(config: &Path) -> Result<Self, String> {
        let mut failures = Vec::new();
        let mut passed_over = Vec::new();
        for place in candidates(config) {
            let bound = bind(&place).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            match bound {
                Ok(listener) => {
                    return Ok(Self {
                        listener,
                        place,
                        passed_over,
                    });
                }
                Err(error) => {
                    let why = format!("{}: {error}", place.display());
                    if error.raw_os_error().is_none()
                        && error.kind() == io::ErrorKind::PermissionDenied
                    {
                        passed_over.push(why.clone());
                    }
                    failures.push(why);
                }
            }
        }
        Err(failures.join("; "))
    }

    /// Returns the places that would have come first but are open to others, each with the reason: their owner should
    /// hear of it.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Returns where it is.
    pub fn place(&self) -> &Path {
        &self.place
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nothing is lost if somebody else removed it first.
        drop(fs::remove_file(&self.place));
    }
}

fn bind(place: &Path) -> io::Result<net::UnixListener> {
    let parent = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    match fs::DirBuilder::new().mode(0o700).create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => judge(parent)?,
    }
    let listener = match net::UnixListener::bind(place) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if net::UnixStream::connect(place).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another emailproxy runs with this file",
                ));
            }
            // Left behind by a process that was killed.
            fs::remove_file(place)?;
            net::UnixListener::bind(place)?
        }
        other => other?,
    };
    // Until then others might connect; who they are is asked of each.
    fs::set_permissions(place, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers commands until dropped.
pub async fn serve(socket: Socket, office: Office) {
    let listener = socket.listener.try_clone().and_then(UnixListener::from_std);
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "no command can reach this proxy");
            return;
        }
    };
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if asking.len() < MAX_ASKING && is_owner(&stream) => {
                    asking.spawn(answer(stream, office.clone()));
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "could not accept a command");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            Some(_) = asking.join_next() => {}
        }
    }
}

/// Returns whether it is this user or root that asks.
fn is_owner(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    let known = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
    if !known {
        warn!(
            uid = peer.uid(),
            "a stranger asked at the control socket and was turned away"
        );
    }
    known
}

async fn answer(stream: UnixStream, office: Office) {
    let (hears, speaks) = stream.into_split();
    let mut desk = Answering {
        hears: BufReader::new(hears),
        speaks,
    };
    if let Err(error) = desk.answer(&office).await {
        debug!(%error, "a command hung up");
    }
}

/// One command's conversation.
pub(super) struct Answering {
    hears: BufReader<OwnedReadHalf>,
    speaks: OwnedWriteHalf,
}

impl Answering {
    async fn answer(&mut self, office: &Office) -> io::Result<()> {
        let asked = timeout(ASK_TIME, self.hear())
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        match asked {
            None => Ok(()),
            Some(Ask::Status) => self.tell(&Tell::Status(office.overview())).await,
            Some(Ask::Logs { follow }) => self.logs(office, follow).await,
            Some(Ask::Authorize { account }) => self.authorize(office, &account).await,
            Some(Ask::Password { account, wish }) => {
                let told = grant(&office.accounts, &account, wish).await;
                self.tell(&told).await
            }
            Some(Ask::Entrust {
                account,
                token,
                password,
                force,
            }) => {
                let password = password.map(|spoken| spoken.password());
                let accounts = &office.accounts;
                let entrusting =
                    accounts.entrust(&account, token.secret(), password.as_ref(), force);
                let told = match entrusting.await {
                    Ok(()) => Tell::Done {
                        text: format!("the token of account {account} is in the store"),
                    },
                    Err(text) => Tell::Failed { text },
                };
                self.tell(&told).await
            }
            Some(Ask::Token {
                account,
                password,
                wanted,
            }) => {
                let password = password.map(|spoken| spoken.password());
                let told = lend(&office.accounts, &account, password.as_ref(), wanted).await;
                self.tell(&told).await
            }
            Some(Ask::Paste { .. } | Ask::Confirm { .. }) => {
                self.tell(&Tell::Failed {
                    text: "nothing was asked that this could answer".into(),
                })
                .await
            }
        }
    }

    async fn logs(&mut self, office: &Office, follow: bool) -> io::Result<()> {
        let (lines, mut news) = office.recent.lines();
        for line in lines {
            self.tell(&Tell::Line {
                text: line.to_string(),
            })
            .await?;
        }
        if !follow {
            return Ok(());
        }
        loop {
            let text = tokio::select! {
                line = news.recv() => match line {
                    Ok(line) => line.to_string(),
                    Err(RecvError::Lagged(missed)) => format!("({missed} lines were missed)"),
                    Err(RecvError::Closed) => return Ok(()),
                },
                // Whatever it says, or its hang-up, ends the request.
                _ = self.hears.fill_buf() => return Ok(()),
            };
            self.tell(&Tell::Line { text }).await?;
        }
    }

    /// Hears what comes next; `None` once the other side has hung up.
    pub(super) async fn hear(&mut self) -> io::Result<Option<Ask>> {
        // It may hold a password. With room for all of it no copy of a part is left behind.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let mut limited = (&mut self.hears).take(MAX_LINE as u64);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let asked = serde_json::from_slice(&line);
        // What it says about the line could repeat a part of it.
        let asked = asked.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no request"));
        asked.map(Some)
    }

    /// Tells something.
    pub(super) async fn tell(&mut self, tell: &Tell) -> io::Result<()> {
        // It may hold a token. With room for all of it no copy of a part is left behind.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        serde_json::to_writer(&mut *line, tell)?;
        line.push(b'\n');
        timeout(ASK_TIME, self.speaks.write_all(&line))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }
}
