//! What large mails cost, in each direction and protocol.

use std::time::{Duration, Instant};

use super::short::{mail, quit};
use super::{Way, part};
use crate::client::{command, completed, log_out};
use crate::proxy::account;

/// The size of a large mail, in MiB.
const MAIL: usize = 32;

/// How many of them are moved: 1 GiB.
const MAILS: usize = 32;

/// Processor seconds per GiB by FETCH.
pub(super) async fn fetch_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let (cpu, mails, _) = fetch(way, effort).await?;
    Ok(per_gib(cpu, mails))
}

/// MiB per second by FETCH.
pub(super) async fn fetch_rate(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let (_, mails, time) = fetch(way, effort).await?;
    Ok((mails * MAIL) as f64 / time.as_secs_f64())
}

async fn fetch(way: &Way, effort: f64) -> anyhow::Result<(Duration, usize, Duration)> {
    let mails = part(MAILS, effort);
    let mut wire = way.imap.imap(&account(0)).await?;
    let (cpu, begun) = (way.meter.cpu()?, Instant::now());
    for _ in 0..mails {
        wire.say(&format!("a FETCH {} BODY[]", MAIL * 1024)).await?;
        wire.line().await?;
        wire.skip(MAIL * 1024 * 1024).await?;
        // What follows the literal is the end of the response's own line.
        wire.line().await?;
        completed(&mut wire).await?;
    }
    let spent = (way.meter.cpu_since(cpu)?, mails, begun.elapsed());
    log_out(wire).await?;
    Ok(spent)
}

/// Processor seconds per GiB by APPEND.
pub(super) async fn append_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let mails = part(MAILS, effort);
    let mut wire = way.imap.imap(&account(0)).await?;
    let cpu = way.meter.cpu()?;
    for _ in 0..mails {
        let size = MAIL * 1024 * 1024;
        wire.send_body(&format!("a APPEND Sent {{{size}+}}\r\n"), size, "\r\n")
            .await?;
        completed(&mut wire).await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    command(&mut wire, "NOOP").await?;
    log_out(wire).await?;
    Ok(per_gib(cpu, mails))
}

/// Processor seconds per GiB by RETR.
pub(super) async fn retr_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let mails = part(MAILS, effort);
    let mut wire = way.pop.pop(&account(0)).await?;
    let cpu = way.meter.cpu()?;
    for _ in 0..mails {
        wire.say(&format!("RETR {}", MAIL * 1024)).await?;
        wire.line().await?;
        wire.skip_to_dot().await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    quit(wire).await?;
    Ok(per_gib(cpu, mails))
}

/// Processor seconds per GiB by DATA.
pub(super) async fn data_cpu(way: &Way, effort: f64) -> anyhow::Result<f64> {
    let mails = part(MAILS, effort);
    let mut wire = way.smtp.smtp(&account(0)).await?;
    let cpu = way.meter.cpu()?;
    for _ in 0..mails {
        mail(&mut wire, MAIL * 1024 * 1024).await?;
    }
    let cpu = way.meter.cpu_since(cpu)?;
    quit(wire).await?;
    Ok(per_gib(cpu, mails))
}

fn per_gib(cpu: Duration, mails: usize) -> f64 {
    cpu.as_secs_f64() * 1024.0 / (mails * MAIL) as f64
}
