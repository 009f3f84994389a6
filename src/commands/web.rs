//! `emailproxy web`: the way to the running proxy's page, by a link that is good once.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::{WebArgs, complain, runtime, say};
use crate::control::{reach, read_link};

/// What opens an address in the desktop's browser, in the order in which it is looked for.
const OPENERS: [&str; 3] = ["xdg-open", "gio", "open"];

pub(super) fn web(args: &WebArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.find()?;
    if runtime()?.block_on(reach(&config)).is_none() {
        complain(&format!(
            "no proxy of yours runs with {}; start it with `emailproxy run`",
            config.display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    let Some(link) = read_link(&config) else {
        complain(
            "the proxy that runs has no page: `web = off`, or its address was taken by another program; its log says which",
        );
        return Ok(ExitCode::FAILURE);
    };
    // On its own line, so that it can be cut out.
    say(&link.url);
    if args.open || (is_desktop() && !args.print) {
        if open(&link.html) {
            complain("opened in your browser; the link is good once");
        } else {
            complain("no browser could be opened; visit the address above, once");
            return Ok(if args.open {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
    } else if std::io::stdout().is_terminal() {
        complain("visit this address in a browser on this machine; it is good once");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns whether somebody sits before a desktop.
fn is_desktop() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && (set("DISPLAY") || set("WAYLAND_DISPLAY"))
}

/// Opens the file that leads to the page in the desktop's browser.
fn open(file: &Path) -> bool {
    OPENERS.iter().any(|opener| {
        let mut command = Command::new(opener);
        if *opener == "gio" {
            command.arg("open");
        }
        command.arg(file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
