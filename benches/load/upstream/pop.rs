//! POP as far as a load needs it. The number of a message is its size in KiB.

use std::io;

use crate::wire::Wire;

/// Answers one client until it leaves.
pub(crate) async fn talk(mut wire: Wire, _: String) -> io::Result<()> {
    wire.say("+OK ready").await?;
    loop {
        let line = wire.line().await?;
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "CAPA" => {
                wire.send(b"+OK\r\nSASL XOAUTH2\r\nUIDL\r\n.\r\n").await?;
            }
            "AUTH" => {
                if words.nth(1).is_none() {
                    wire.say("+ ").await?;
                    wire.line().await?;
                }
                wire.say("+OK logged in").await?;
            }
            "RETR" => {
                let kib: usize = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
                wire.send_body("+OK\r\n", kib * 1024, "\r\n.\r\n").await?;
            }
            "QUIT" => {
                wire.say("+OK bye").await?;
                return wire.part().await;
            }
            _ => wire.say("+OK").await?,
        }
    }
}
