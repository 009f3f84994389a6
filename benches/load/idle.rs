//! The load that is held: as many mail programs in IDLE as there may be, all come at once, while others log in and out.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::client::{Door, command, completed, log_out};
use crate::process::Meter;
use crate::proxy::account;
use crate::stage::Stage;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How many connections beyond the idle ones may be open.
const MARGIN: usize = 400;

/// What load is held.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many sessions are idle. Each takes two descriptors of the proxy, and one here and at the provider.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) sessions: usize,
    /// How many others log in each second.
    #[arg(long, default_value_t = 50)]
    pub(crate) logins: usize,
    /// How long they do.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// How long nothing happens before, while processor time is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) rest: u64,
    /// Over how many accounts all this is spread.
    #[arg(long, default_value_t = 20)]
    pub(crate) accounts: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sessions: 2_000,
            logins: 50,
            seconds: 30,
            rest: 10,
            accounts: 20,
        }
    }
}

/// What holding it was like.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// How many sessions were opened, all at once.
    pub(crate) opened: usize,
    /// How long that took until the last was idle.
    opening: Duration,
    /// What it cost the proxy.
    opening_cpu: Duration,
    /// What resting cost the proxy, for each second.
    pub(crate) resting_cpu: Duration,
    /// What logging in and out went well, and how long the logins took, in order of length.
    pub(crate) logins: Vec<Duration>,
    /// What that cost the proxy.
    logins_cpu: Duration,
    /// How many idle sessions answered at the end.
    pub(crate) answered: usize,
    /// What went wrong.
    pub(crate) failures: Failures,
    /// The proxy's memory in KiB: before, with all sessions idle, then every 10 s of the load, and after.
    pub(crate) memory: Vec<u64>,
}

/// What went wrong: how often, and the first few of the reasons.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// How often.
    pub(crate) count: usize,
    reasons: Vec<String>,
}

impl Failures {
    fn note(&mut self, doing: &str, error: &impl fmt::Display) {
        self.count += 1;
        let reason = format!("{doing}: {error}");
        if self.reasons.len() < 5 && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// Holds the load and prints what it was like.
pub(crate) async fn report(options: Options) -> anyhow::Result<()> {
    let stage = Stage::set(0).await?;
    let held = hold(&stage, options).await?;
    println!("{options:?}\n{held}");
    let loud: Vec<_> = stage.log().lines().filter_map(loud).take(5).collect();
    if !loud.is_empty() {
        println!("the proxy's log:\n{}", loud.join("\n"));
    }
    anyhow::ensure!(held.failures.count == 0, "the load was not held");
    Ok(())
}

/// Returns a line of the log that speaks of trouble.
fn loud(line: &str) -> Option<String> {
    let loud = [" WARN ", " ERROR "].iter().any(|word| line.contains(word));
    loud.then(|| line.to_owned())
}

/// Holds the load.
pub(crate) async fn hold(stage: &Stage, options: Options) -> anyhow::Result<Held> {
    let proxy = stage.proxy(options.accounts, options.sessions + MARGIN)?;
    let (door, meter) = (Stage::proxied(proxy.imap), proxy.meter());
    // First passwords and tokens, which cost once what a login must not cost again.
    for number in 0..options.accounts {
        log_out(door.imap(&account(number)).await?).await?;
    }
    let mut held = Held::default();
    held.memory.push(meter.resident()?);

    let (cpu, begun) = (meter.cpu()?, Instant::now());
    let mut coming = JoinSet::new();
    for number in 0..options.sessions {
        let (door, user) = (door.clone(), account(number % options.accounts));
        coming.spawn(async move {
            let mut wire = door.imap(&user).await?;
            command_idle(&mut wire).await?;
            io::Result::Ok(wire)
        });
    }
    let mut idle = Vec::new();
    while let Some(came) = coming.join_next().await {
        match came? {
            Ok(wire) => idle.push(wire),
            Err(error) => held.failures.note("opening", &error),
        }
    }
    held.opened = idle.len();
    held.opening = begun.elapsed();
    held.opening_cpu = meter.cpu_since(cpu)?;

    sleep(Duration::from_millis(500)).await;
    held.memory.push(meter.resident()?);
    let cpu = meter.cpu()?;
    let seconds = u32::try_from(options.rest)?;
    sleep(Duration::from_secs(options.rest)).await;
    held.resting_cpu = (meter.cpu_since(cpu)?) / seconds.max(1);

    let cpu = meter.cpu()?;
    come_and_go(&door, meter, options, &mut held).await?;
    held.logins_cpu = meter.cpu_since(cpu)?;

    let mut asked = JoinSet::new();
    for mut wire in idle {
        asked.spawn(async move {
            wire.say("DONE").await?;
            completed(&mut wire).await?;
            command(&mut wire, "NOOP").await?;
            log_out(wire).await
        });
    }
    while let Some(answered) = asked.join_next().await {
        match answered? {
            Ok(()) => held.answered += 1,
            Err(error) => held.failures.note("an idle session at the end", &error),
        }
    }
    held.memory.push(meter.resident()?);
    proxy.end().await?;
    Ok(held)
}

async fn command_idle(wire: &mut crate::wire::Wire) -> io::Result<()> {
    crate::client::ask(wire, "a IDLE", "+").await
}

/// Has mail programs come, ask and go at a steady rate, however slow the answers are.
async fn come_and_go(
    door: &Door,
    meter: Meter,
    options: Options,
    held: &mut Held,
) -> anyhow::Result<()> {
    if options.logins == 0 {
        return Ok(());
    }
    let mut due = interval(Duration::from_secs(1) / u32::try_from(options.logins)?);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut look = interval(LOOK);
    let mut visits = JoinSet::new();
    let mut left = options.logins * usize::try_from(options.seconds)?;
    while left > 0 || !visits.is_empty() {
        tokio::select! {
            _ = due.tick(), if left > 0 => {
                left -= 1;
                let (door, user) = (door.clone(), account(left % options.accounts));
                visits.spawn(async move {
                    let begun = Instant::now();
                    let mut wire = door.imap(&user).await?;
                    let took = begun.elapsed();
                    command(&mut wire, "NOOP").await?;
                    log_out(wire).await?;
                    io::Result::Ok(took)
                });
            }
            Some(visit) = visits.join_next() => match visit? {
                Ok(took) => held.logins.push(took),
                Err(error) => held.failures.note("logging in", &error),
            },
            _ = look.tick() => held.memory.push(meter.resident()?),
        }
    }
    held.logins.sort_unstable();
    Ok(())
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let each = |time: Duration, count: usize| ms(time) / count.max(1) as f64;
        let kib = |at: Option<&u64>| at.copied().unwrap_or_default();
        let percentile = |part: usize| {
            let at = self.logins.len().saturating_sub(1) * part / 100;
            self.logins.get(at).copied().unwrap_or_default()
        };
        let (opened, logins) = (self.opened, self.logins.len());
        let before = kib(self.memory.first());
        let idle = kib(self.memory.get(1));
        let loaded = self.memory.get(2..).unwrap_or_default();
        let loaded = loaded.split_last().map_or(loaded, |(_, loaded)| loaded);
        writeln!(
            f,
            "opened at once      {opened} sessions in {:.1} s, {:.2} ms of processor time each",
            self.opening.as_secs_f64(),
            each(self.opening_cpu, opened),
        )?;
        writeln!(
            f,
            "all idle            {:.2} ms of processor time a second; {:.1} KiB a session",
            ms(self.resting_cpu),
            idle.saturating_sub(before) as f64 / opened.max(1) as f64,
        )?;
        writeln!(
            f,
            "logins beside that  {logins}, {:.2} ms of processor time each; p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            each(self.logins_cpu, logins),
            ms(percentile(50)),
            ms(percentile(99)),
            ms(percentile(100)),
        )?;
        writeln!(f, "answered at the end {} sessions", self.answered)?;
        writeln!(
            f,
            "memory in KiB       {before} before, {idle} with all idle; under load {} first, {} last, {} most; {} at the end",
            kib(loaded.first()),
            kib(loaded.last()),
            kib(loaded.iter().max()),
            kib(self.memory.last()),
        )?;
        write!(f, "failures            {}", self.failures.count)?;
        for reason in &self.failures.reasons {
            write!(f, "\n  {reason}")?;
        }
        Ok(())
    }
}
