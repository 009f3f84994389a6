//! What short exchanges cost: logins, submissions, single commands.

use std::io;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Way, middle, part};
use crate::client::{ask, command, log_out};
use crate::proxy::account;
use crate::wire::Wire;

/// The size of a mail, in bytes.
const MAIL: usize = 4 * 1024;

/// How many logins show what one costs.
const LOGINS: usize = 2_000;

/// Logs in once by each protocol.
pub(super) async fn warm_up(way: &Way) -> anyhow::Result<()> {
    log_out(way.imap.imap(&account(0)).await?).await?;
    quit(way.pop.pop(&account(0)).await?).await?;
    submit(way).await?;
    Ok(())
}

/// Processor time of a login, in ms, with so many at once.
pub(super) async fn login_cpu(way: &Way, effort: f64, at_once: usize) -> anyhow::Result<f64> {
    let (cpu, count, _) = log_in(way, effort, at_once).await?;
    Ok(cpu.as_secs_f64() * 1e3 / count as f64)
}

/// Logins per second with so many at once.
pub(super) async fn login_rate(way: &Way, effort: f64, at_once: usize) -> anyhow::Result<f64> {
    let (_, count, time) = log_in(way, effort, at_once).await?;
    Ok(count as f64 / time.as_secs_f64())
}

/// Processor time and middle time of so many logins, one at once, both in ms.
pub(super) async fn login_cost(way: &Way, count: usize) -> anyhow::Result<(f64, f64)> {
    let mut times = Vec::with_capacity(count);
    let cpu = way.meter.cpu()?;
    for _ in 0..count {
        let begun = Instant::now();
        let wire = way.imap.imap(&account(0)).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        log_out(wire).await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    Ok((cpu.as_secs_f64() * 1e3 / count as f64, middle(times)))
}

/// Logs in and out again and again; returns processor time, count and time.
async fn log_in(
    way: &Way,
    effort: f64,
    at_once: usize,
) -> anyhow::Result<(Duration, usize, Duration)> {
    let each = part(LOGINS, effort * way.share).div_ceil(at_once);
    let (cpu, begun) = (way.meter.cpu()?, Instant::now());
    let mut programs = JoinSet::new();
    for _ in 0..at_once {
        let door = way.imap.clone();
        programs.spawn(async move {
            for _ in 0..each {
                log_out(door.imap(&account(0)).await?).await?;
            }
            io::Result::Ok(())
        });
    }
    while let Some(done) = programs.join_next().await {
        done??;
    }
    Ok((way.meter.cpu_since(cpu)?, each * at_once, begun.elapsed()))
}

/// Processor time of a submission, from connecting to QUIT, in ms.
pub(super) async fn submission_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let count = part(LOGINS, effort * way.share);
    let cpu = way.meter.cpu()?;
    for _ in 0..count {
        submit(way).await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    Ok(cpu.as_secs_f64() * 1e3 / count as f64)
}

async fn submit(way: &Way) -> io::Result<()> {
    let mut wire = way.smtp.smtp(&account(0)).await?;
    mail(&mut wire, MAIL).await?;
    quit(wire).await
}

/// Mails per second in one connection.
pub(super) async fn mail_rate(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let count = part(5_000, effort);
    let mut wire = way.smtp.smtp(&account(0)).await?;
    let begun = Instant::now();
    for _ in 0..count {
        mail(&mut wire, MAIL).await?;
    }
    let time = begun.elapsed();
    quit(wire).await?;
    Ok(count as f64 / time.as_secs_f64())
}

/// Sends one mail of so many bytes.
pub(super) async fn mail(wire: &mut Wire, size: usize) -> io::Result<()> {
    ask(wire, "MAIL FROM:<user0@example.com>", "250").await?;
    ask(wire, "RCPT TO:<other@example.com>", "250").await?;
    ask(wire, "DATA", "354").await?;
    wire.send_body("", size, "\r\n.\r\n").await?;
    let line = wire.line().await?;
    if line.starts_with("250") {
        return Ok(());
    }
    Err(io::Error::other(format!("the server says: {line}")))
}

/// Leaves by POP or SMTP.
pub(super) async fn quit(mut wire: Wire) -> io::Result<()> {
    wire.say("QUIT").await?;
    wire.line().await?;
    wire.part().await
}

/// The middle time of a round trip, in microseconds.
pub(super) async fn noop_time(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let mut wire = way.imap.imap(&account(0)).await?;
    let mut times = Vec::new();
    for _ in 0..part(20_000, effort) {
        let begun = Instant::now();
        command(&mut wire, "NOOP").await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    log_out(wire).await?;
    Ok(middle(times))
}

/// Processor time of a round trip, in microseconds.
pub(super) async fn noop_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let count = part(20_000, effort);
    let mut wire = way.imap.imap(&account(0)).await?;
    let cpu = way.meter.cpu()?;
    for _ in 0..count {
        command(&mut wire, "NOOP").await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    log_out(wire).await?;
    Ok(cpu.as_secs_f64() * 1e6 / count as f64)
}
