//! IMAP as far as a load needs it. The number of a message is its size in KiB; XTLS tells how the connection is encrypted.

use std::io;

use crate::wire::Wire;

const OFFER: &str = "IMAP4rev1 SASL-IR LITERAL+ IDLE AUTH=XOAUTH2";

/// Answers one client until it leaves.
pub(crate) async fn talk(mut wire: Wire, tls: String) -> io::Result<()> {
    wire.say(&format!("* OK [CAPABILITY {OFFER}] ready"))
        .await?;
    loop {
        let line = wire.line().await?;
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "CAPABILITY" => wire.say(&format!("* CAPABILITY {OFFER}")).await?,
            "AUTHENTICATE" if words.nth(1).is_none() => {
                wire.say("+ ").await?;
                wire.line().await?;
            }
            "XTLS" => wire.say(&format!("* {tls}")).await?,
            "SELECT" => wire.say("* 1 EXISTS").await?,
            "IDLE" => {
                wire.say("+ idling").await?;
                wire.line().await?;
            }
            "FETCH" => {
                let kib: usize = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
                let (size, seq) = (kib * 1024, kib);
                let before = format!("* {seq} FETCH (BODY[] {{{size}}}\r\n");
                let after = format!(")\r\n{tag} OK fetched\r\n");
                wire.send_body(&before, size, &after).await?;
                continue;
            }
            "APPEND" => {
                let count = line.rsplit('{').next().unwrap_or_default();
                let waits = !count.contains('+');
                let count = count.trim_end_matches(['}', '+']).parse().unwrap_or(0);
                if waits {
                    wire.say("+ go on").await?;
                }
                wire.skip(count).await?;
                wire.line().await?;
            }
            "LOGOUT" => {
                wire.send(format!("* BYE\r\n{tag} OK bye\r\n").as_bytes())
                    .await?;
                return wire.part().await;
            }
            _ => {}
        }
        wire.say(&format!("{tag} OK {verb} done")).await?;
    }
}
