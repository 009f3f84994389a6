//! SMTP as far as a load needs it: every mail is accepted and forgotten.

use std::io;

use crate::wire::Wire;

/// Answers one client until it leaves.
pub(crate) async fn talk(mut wire: Wire, _: String) -> io::Result<()> {
    wire.say("220 localhost ESMTP").await?;
    loop {
        let line = wire.line().await?;
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                wire.send(
                    b"250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH XOAUTH2\r\n",
                )
                .await?;
            }
            "AUTH" => {
                if words.nth(1).is_none() {
                    wire.say("334 ").await?;
                    wire.line().await?;
                }
                wire.say("235 2.7.0 logged in").await?;
            }
            "DATA" => {
                wire.say("354 go on").await?;
                let size = wire.skip_to_dot().await?;
                wire.say(&format!("250 2.0.0 {size} bytes")).await?;
            }
            "QUIT" => {
                wire.say("221 2.0.0 bye").await?;
                return wire.part().await;
            }
            _ => wire.say("250 2.0.0 fine").await?,
        }
    }
}
