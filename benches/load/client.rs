//! A mail program: how it gets in by each way there is, and what it asks then.
//!
//! A server that says anything but yes is an error, with what it said.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::wire::Wire;

/// How to get in.
#[derive(Clone)]
pub(crate) struct Door {
    /// Where to connect to.
    pub(crate) at: SocketAddr,
    /// With which TLS, if any.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// What is shown there.
    pub(crate) key: Key,
}

/// What proves a user.
#[derive(Clone)]
pub(crate) enum Key {
    /// A password.
    Password(String),
    /// An access token.
    Token(String),
}

impl Door {
    /// Connects and hears nothing yet.
    pub(crate) async fn connect(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Wire::new(stream));
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = TlsConnector::from(Arc::clone(tls));
        Ok(Wire::new(tls.connect(name, stream).await?))
    }

    /// Logs in by IMAP.
    pub(crate) async fn imap(&self, user: &str) -> io::Result<Wire> {
        let mut wire = self.connect().await?;
        expect(wire.line().await?, "* OK")?;
        let login = match &self.key {
            Key::Password(password) => format!("LOGIN {user} \"{password}\""),
            Key::Token(token) => format!("AUTHENTICATE XOAUTH2 {}", xoauth2(user, token)),
        };
        command(&mut wire, &login).await?;
        Ok(wire)
    }

    /// Logs in by POP.
    pub(crate) async fn pop(&self, user: &str) -> io::Result<Wire> {
        let mut wire = self.connect().await?;
        expect(wire.line().await?, "+OK")?;
        match &self.key {
            Key::Password(password) => {
                ask(&mut wire, &format!("USER {user}"), "+OK").await?;
                ask(&mut wire, &format!("PASS {password}"), "+OK").await?;
            }
            Key::Token(token) => {
                ask(&mut wire, "AUTH XOAUTH2", "+").await?;
                ask(&mut wire, &xoauth2(user, token), "+OK").await?;
            }
        }
        Ok(wire)
    }

    /// Logs in by SMTP.
    pub(crate) async fn smtp(&self, user: &str) -> io::Result<Wire> {
        let mut wire = self.connect().await?;
        expect(wire.line().await?, "220 ")?;
        wire.say("EHLO load").await?;
        while !expect(wire.line().await?, "250")?.starts_with("250 ") {}
        match &self.key {
            Key::Password(password) => {
                let plain = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
                ask(&mut wire, &format!("AUTH PLAIN {plain}"), "235").await?;
            }
            Key::Token(token) => {
                ask(&mut wire, "AUTH XOAUTH2", "334").await?;
                ask(&mut wire, &xoauth2(user, token), "235").await?;
            }
        }
        Ok(wire)
    }
}

/// Words a token for a server, as all providers take it.
fn xoauth2(user: &str, token: &str) -> String {
    BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

/// Says an IMAP command and waits for its yes.
pub(crate) async fn command(wire: &mut Wire, words: &str) -> io::Result<()> {
    wire.say(&format!("a {words}")).await?;
    completed(wire).await
}

/// Waits for the yes to an IMAP command.
pub(crate) async fn completed(wire: &mut Wire) -> io::Result<()> {
    loop {
        let line = wire.line().await?;
        if !line.starts_with('*') || line.starts_with("* BYE [") {
            return expect(line, "a OK").map(drop);
        }
    }
}

/// Leaves by IMAP.
pub(crate) async fn log_out(mut wire: Wire) -> io::Result<()> {
    command(&mut wire, "LOGOUT").await?;
    wire.part().await
}

/// Says a line and waits for an answer that begins so.
pub(crate) async fn ask(wire: &mut Wire, line: &str, yes: &str) -> io::Result<()> {
    wire.say(line).await?;
    expect(wire.line().await?, yes).map(drop)
}

fn expect(line: String, yes: &str) -> io::Result<String> {
    if line.starts_with(yes) {
        return Ok(line);
    }
    Err(io::Error::other(format!("the server says: {line}")))
}
