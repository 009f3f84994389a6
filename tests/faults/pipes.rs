//! Whoever reads the log does not read, or is gone.

use std::io::Read as _;
use std::process::Stdio;

use super::dialogue::converse;
use super::machine::written;
use super::program::Program;
use super::support::client::{Client, PATIENCE};
use super::support::daemon::{Plan, free_port, read};
use super::support::provider::Provider;
use super::{USER, until};

/// Starts the program with its outputs going to `out`, at ports that are known without a log.
async fn started(
    out: impl Fn() -> Stdio,
) -> (
    Provider,
    Plan,
    Program,
    [(&'static str, std::net::SocketAddr); 3],
) {
    let provider = Provider::start().await;
    let at = [("IMAP", "IMAP-0"), ("POP", "POP-0"), ("SMTP", "SMTP-0")]
        .map(|(name, section)| (name, section, free_port()));
    let mut plan = Plan::bare(&provider.world.authority).app(&provider, USER);
    for ((name, _, port), server) in at.iter().zip([provider.imap, provider.pop, provider.smtp]) {
        plan = plan.service(&format!("{name}-{port}"), server, "");
    }
    let (home, config) = written(&plan);
    let arguments = [
        "--config-file",
        &config,
        "--log-file",
        "mail.log",
        "--debug",
    ];
    let mut command = Program::command(&home, &[], &arguments);
    command.stdout(out()).stderr(out());
    let program = Program::launch(command);
    let log = home.join("mail.log");
    until(|| log.exists() && read(&log).contains("Initialised emailproxy")).await;
    let at = at.map(|(_, section, port)| (section, ([127, 0, 0, 1], port).into()));
    (provider, plan, program, at)
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_holds_up_no_session_and_its_lost_lines_are_counted() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (_provider, plan, program, at) = started(|| writer.try_clone().unwrap().into()).await;
    drop(writer);
    let (home, _) = written(&plan);
    let log = home.join("mail.log");
    // More lines than pipe and queue take.
    while std::fs::metadata(&log).unwrap().len() < 2 * 1024 * 1024 {
        let crowd: Vec<_> = (0..50)
            .map(|_| {
                let at = at[0].1;
                tokio::spawn(async move {
                    let mut client = Client::plain(at).await;
                    client.line().await;
                    for n in 0..15 {
                        client.say(&format!("{n} NOOP")).await;
                        client.line().await;
                    }
                })
            })
            .collect();
        for one in crowd {
            one.await.unwrap();
        }
    }
    for (section, at) in at {
        let heard = converse(section, at, USER).await;
        assert!(heard.is_in() && heard.goodbye, "{section}: {heard:?}");
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    until(|| read(&log).contains("standard output did not take log lines in time")).await;
    program.signal("TERM").await;
    assert_eq!(program.end().await.code, Some(0));
    let text = reading.join().unwrap();
    assert!(
        text.contains("lines are missing there"),
        "it is said where they are missing too"
    );
    assert!(text.contains("Stopped"));
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_does_not_keep_the_program_from_ending() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let (_provider, plan, program, at) = started(|| writer.try_clone().unwrap().into()).await;
    let (home, _) = written(&plan);
    let log = home.join("mail.log");
    while std::fs::metadata(&log).unwrap().len() < 128 * 1024 {
        assert!(converse("IMAP-0", at[0].1, USER).await.goodbye);
    }
    program.signal("TERM").await;
    // Nobody reads on: what waits there is given up after a moment.
    let ended = tokio::time::timeout(PATIENCE, program.end()).await.unwrap();
    assert_eq!(ended.code, Some(0));
}

#[tokio::test]
async fn a_pipe_whose_reader_is_gone_ends_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (_provider, plan, program, at) = started(|| writer.try_clone().unwrap().into()).await;
    drop((reader, writer));
    let (home, _) = written(&plan);
    let log = home.join("mail.log");
    for (section, at) in at {
        let heard = converse(section, at, USER).await;
        assert!(heard.is_in() && heard.goodbye, "{section}: {heard:?}");
    }
    until(|| read(&log).contains("could not write log lines to standard output: Broken pipe"))
        .await;
    program.signal("TERM").await;
    assert_eq!(program.end().await.code, Some(0));
}
