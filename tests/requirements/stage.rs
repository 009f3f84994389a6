//! A proxy whose mail servers play what they are told, and the honest words from which they depart.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::scene::{SECTIONS, USER, call, is_welcome, log_in};
use crate::support::daemon::{Plan, Proxy};
use crate::support::logs::Logs;
use crate::support::provider::{Provider, Shape};
use crate::upstream::{Move, Upstream, say};

/// A proxy, and one server a protocol that plays what it is told.
pub(crate) struct Stage {
    pub(crate) provider: Provider,
    pub(crate) proxy: Proxy,
    pub(crate) servers: Vec<Upstream>,
    starttls: bool,
}

impl Stage {
    /// Sets the stage with servers that were honest once: their offers are known, and no stranger asks for them now.
    pub(crate) async fn set(starttls: bool) -> Self {
        let provider = Provider::build(Shape { starttls }).await;
        let mut servers = Vec::new();
        let mut plan = Plan::bare(&provider.world.authority);
        for section in SECTIONS {
            let server = Upstream::start(Vec::new()).await;
            let more = format!("server_starttls = {starttls}");
            plan = plan.service(section, server.address, &more);
            servers.push(server);
        }
        let proxy = plan.app(&provider, USER).start();
        let stage = Self {
            provider,
            proxy,
            servers,
            starttls,
        };
        stage.honest().await;
        stage
    }

    /// Has every server be honest, which lets everybody in.
    pub(crate) async fn honest(&self) {
        for (section, server) in SECTIONS.into_iter().zip(&self.servers) {
            server.turn([self.opening(section), yes(section)].concat());
            let mut client = call(&self.proxy, section).await;
            let said = log_in(&mut client, section).await;
            assert!(is_welcome(&said), "{section}: {said}");
        }
    }

    /// What comes before any greeting: TLS, where it comes first.
    pub(crate) fn opening(&self, section: &str) -> Vec<Move> {
        let tls = Move::Tls(self.provider.world.authority.server());
        if !self.starttls {
            return [vec![tls], greeting(section)].concat();
        }
        let upgrade = match section {
            "IMAP-0" => vec![say("* OK hi\r\n"), Move::Hear, say("TAG OK go\r\n"), tls],
            "POP-0" => vec![say("+OK hi\r\n"), Move::Hear, say("+OK go\r\n"), tls],
            _ => [greeting(section), vec![Move::Hear, say("220 go\r\n"), tls]].concat(),
        };
        [upgrade, greeting_inside(section)].concat()
    }

    /// Plays one server's moves to one login, and returns what the client hears and the log says.
    pub(crate) async fn play(&self, section: &str, moves: Vec<Move>) -> (String, String) {
        let at = SECTIONS.iter().position(|name| *name == section).unwrap();
        self.servers[at].turn(moves);
        let logs = Logs::catch();
        let mut client = call(&self.proxy, section).await;
        let said = log_in(&mut client, section).await;
        (said, logs.text())
    }

    pub(crate) fn heard(&self, section: &str) -> String {
        let at = SECTIONS.iter().position(|name| *name == section).unwrap();
        self.servers[at].heard()
    }
}

/// The words up to the login of a server inside TLS.
pub(crate) fn greeting(section: &str) -> Vec<Move> {
    match section {
        "IMAP-0" => vec![say(
            "* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] hi\r\n",
        )],
        "POP-0" => vec![
            say("+OK hi\r\n"),
            Move::Offer(b"+OK\r\nSASL XOAUTH2\r\n.\r\n".to_vec()),
        ],
        _ => vec![
            say("220 hi\r\n"),
            Move::Hear,
            say("250-me\r\n250-STARTTLS\r\n250 AUTH XOAUTH2\r\n"),
        ],
    }
}

/// The same behind STARTTLS, where nobody greets again.
pub(crate) fn greeting_inside(section: &str) -> Vec<Move> {
    match section {
        "IMAP-0" => vec![Move::Offer(
            b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR\r\nTAG OK\r\n".to_vec(),
        )],
        _ => greeting(section)[1..].to_vec(),
    }
}

/// Hears the token, as the protocol brings it.
pub(crate) fn token(section: &str) -> Vec<Move> {
    match section {
        "IMAP-0" => vec![Move::Hear],
        "POP-0" => vec![Move::Hear, say("+ \r\n"), Move::Hear],
        _ => vec![Move::Hear, say("334 \r\n"), Move::Hear],
    }
}

pub(crate) fn welcome(section: &str) -> &'static str {
    match section {
        "IMAP-0" => "TAG OK in\r\n",
        "POP-0" => "+OK in\r\n",
        _ => "235 2.7.0 in\r\n",
    }
}

pub(crate) fn yes(section: &str) -> Vec<Move> {
    [token(section), vec![say(welcome(section))]].concat()
}

/// Returns whether anything that was heard could be a token, in any wrapping the mechanisms have.
pub(crate) fn holds_token(heard: &str) -> bool {
    heard.lines().any(|line| {
        let last = line.trim().rsplit(' ').next().unwrap_or_default();
        let decoded = BASE64_STANDARD.decode(last).unwrap_or_default();
        String::from_utf8_lossy(&decoded).contains("Bearer")
    }) || heard.contains("Bearer")
}
