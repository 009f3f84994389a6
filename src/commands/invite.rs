//! How a person is invited to sign in: the address, a device code with its QR code and the time it is good, and the
//! question whether somebody else's sign-in is meant, and what is typed in answer.
//!
//! Begins no consent and decides nothing.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::say;
use crate::accounts::{Accounts, Outcome, Pending, UserCode};

/// The longest text that is drawn, in bytes: beyond it the picture fits no screen.
const MOST: usize = 300;

/// An invitation on a terminal or in a pipe, with a countdown while a device code is good.
pub(super) struct Invitation {
    account: String,
    code: Option<UserCode>,
    terminal: bool,
    /// Whether the last line on the terminal is the countdown.
    drawn: bool,
    /// The minutes last told where there is no terminal.
    told: Option<u64>,
}

impl Invitation {
    /// Shows what is to be done. `listen` is whether the browser's return is heard here.
    pub(super) fn show(account: &str, url: &str, listen: bool, code: Option<UserCode>) -> Self {
        let mut invitation = Self {
            account: account.to_owned(),
            code,
            terminal: std::io::stdout().is_terminal(),
            drawn: false,
            told: None,
        };
        say(&format!(
            "Please visit the following URL to authenticate account {account}: {url}"
        ));
        if let Some(code) = &invitation.code {
            say(&format!("Visit {} and use code {}", code.url, code.code));
            for line in qr_code(url, invitation.terminal) {
                say(&line);
            }
            say("then come back here: this goes on by itself");
        } else if listen {
            say(
                "then come back here; if the browser ends on a page that cannot be shown, paste its address here",
            );
        } else {
            say(
                "then paste the address of the page the browser ends on here (it may be an error page)",
            );
        }
        invitation.tick();
        invitation
    }

    /// Shows the time that is left: every second on a terminal, on one line; every minute elsewhere.
    #[expect(clippy::print_stdout, reason = "a line that is rewritten has no end")]
    pub(super) fn tick(&mut self) {
        let Some(code) = &self.code else { return };
        let left = code.until.saturating_duration_since(Instant::now());
        if self.terminal {
            print!("\r\u{1b}[Kcode {}: {} left ", code.code, clock(left));
            // A terminal that is gone ends the command anyhow.
            drop(std::io::stdout().flush());
            self.drawn = true;
            return;
        }
        let minutes = left.as_secs().div_ceil(60);
        if self.told.replace(minutes) != Some(minutes) {
            say(&format!(
                "account {}: code {} at {}, {minutes} min left",
                self.account, code.code, code.url
            ));
        }
    }

    /// Makes room for other lines.
    #[expect(clippy::print_stdout, reason = "a line that is rewritten has no end")]
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            print!("\r\u{1b}[K");
            drop(std::io::stdout().flush());
        }
    }
}

/// Asks whether somebody else's sign-in is meant.
pub(super) fn ask_whether_meant(account: &str, signed_in: &str) {
    say(&format!(
        "{signed_in} signed in for the account {account}. That is right for a shared mailbox or an alias. Nothing is stored \
         until you say so (or put `sign_in_as = {signed_in}` into the account's section)."
    ));
    say(&format!(
        "Use {signed_in} for {account}? Type y for yes, n to sign in again:"
    ));
}

/// Reads the answer to that.
pub(super) fn read_yes_or_no(line: &str) -> Option<bool> {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}

/// Takes a line typed at the proxy's own terminal: a yes or no to what was last asked there, else a pasted address.
pub(super) async fn take_line(accounts: &Arc<Accounts>, asked: &mut Option<String>, line: &str) {
    let outcome = match (asked.take(), read_yes_or_no(line)) {
        (Some(confirm), Some(yes)) => Ok(accounts.confirm(&confirm, yes).await),
        _ => accounts.finish_pasted(line).await,
    };
    match outcome {
        Ok(Outcome::Authorised { account }) => tracing::info!("account {account} is authorised"),
        Ok(Outcome::Failed { account, why }) => {
            tracing::warn!("account {account} is not authorised: {why}");
        }
        Ok(Outcome::Differs {
            account,
            signed_in,
            confirm,
        }) => {
            ask_whether_meant(&account, signed_in.as_str());
            *asked = Some(confirm);
        }
        // The log has the new address.
        Ok(Outcome::Again(_)) => {}
        Ok(Outcome::Unknown) => {
            tracing::warn!("the pasted address belongs to no sign-in that is waiting");
        }
        Err(why) => tracing::warn!("the pasted text cannot be used: {why}"),
    }
}

/// Puts the address of each new device code into the log as a QR code, as long as there are accounts.
pub(super) async fn log_qr_codes(mut pending: watch::Receiver<Vec<Pending>>) {
    let mut seen: HashSet<String> = HashSet::new();
    loop {
        let now = pending.borrow_and_update().clone();
        let codes: Vec<_> = now.iter().filter(|one| one.code.is_some()).collect();
        seen.retain(|url| codes.iter().any(|one| one.url == *url));
        for one in codes {
            if seen.insert(one.url.clone()) {
                for line in qr_code(&one.url, false) {
                    tracing::info!("{line}");
                }
            }
        }
        if pending.changed().await.is_err() {
            return;
        }
    }
}

/// Draws a text as a QR code, two modules a character, in a quiet zone; nothing if it is too long for a screen.
///
/// With `colours` it is black on white whatever the terminal's colours are; without, the light modules are drawn, as fits
/// a dark screen. Readers take either.
fn qr_code(text: &str, colours: bool) -> Vec<String> {
    if text.len() > MOST {
        return Vec::new();
    }
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return Vec::new();
    };
    let (dark, light) = if colours {
        (Dense1x2::Dark, Dense1x2::Light)
    } else {
        (Dense1x2::Light, Dense1x2::Dark)
    };
    let picture = code
        .render::<Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .quiet_zone(true)
        .build();
    let line = |line: &str| {
        if colours {
            format!("\u{1b}[38;5;16;48;5;231m{line}\u{1b}[0m")
        } else {
            line.to_owned()
        }
    };
    picture.lines().map(line).collect()
}

/// Words a time as minutes and seconds.
fn clock(left: Duration) -> String {
    // Up to the next second, so that the countdown ends at 0:00 and begins with the whole time.
    let seconds = left.as_millis().div_ceil(1_000);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_worded_as_a_clock() {
        let clock = |millis| clock(Duration::from_millis(millis));
        assert_eq!(clock(900_000), "15:00");
        assert_eq!(clock(899_001), "15:00");
        assert_eq!(clock(61_000), "1:01");
        assert_eq!(clock(0), "0:00");
    }

    #[test]
    fn a_qr_code_is_square_and_has_its_quiet_zone() {
        let lines = qr_code("https://login.example/device?user_code=ABCD-EFGH", false);
        let width = lines[0].chars().count();
        // Version 3 has 29 modules, and 4 of quiet zone on each side.
        assert_eq!(width, 37);
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(lines[0].chars().all(|c| c == '\u{2588}'), "{}", lines[0]);
        assert!(qr_code(&"x".repeat(301), false).is_empty());
    }

    #[test]
    fn only_a_clear_answer_counts() {
        assert_eq!(read_yes_or_no(" Y "), Some(true));
        assert_eq!(read_yes_or_no("no"), Some(false));
        assert_eq!(read_yes_or_no("http://localhost/?code=y"), None);
    }
}
