//! The pictures of docs/PERFORMANCE.md.

use std::path::Path;

use super::memory::Curves;
use super::sheet::Row;
use super::{OURS, Way, middle, short, svg};

/// How many programs log in at once, one point of the curve each.
const AT_ONCE: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Who is drawn, in this order.
const ORDER: [&str; 6] = ["direct", OURS, "nginx", "stunnel", "HAProxy", "predecessor"];

/// Draws what a login costs.
pub(super) fn logins(home: &Path, one: &Row, eight: &Row) -> std::io::Result<()> {
    let groups: Vec<_> = ORDER
        .into_iter()
        .filter_map(|name| Some((name, vec![one.middle(name)?, eight.middle(name)?])))
        .collect();
    let title = "Processor time of a login, in ms: one at a time, eight at once";
    let picture = svg::bars(title, &["one", "eight"], &groups);
    std::fs::write(home.join("logins.svg"), picture)
}

/// Draws memory against connections.
pub(super) fn memory(home: &Path, curves: &Curves) -> std::io::Result<()> {
    let curves: Vec<_> = curves
        .iter()
        .map(|(name, points)| {
            let points = points
                .iter()
                .map(|(open, kib)| (*open as f64, *kib as f64 / 1024.0));
            (*name, points.collect())
        })
        .collect();
    let title = "Memory resident with idle sessions";
    let picture = svg::curves(title, ["idle sessions", "MiB"], false, &curves);
    std::fs::write(home.join("memory.svg"), picture)
}

/// Measures and draws throughput against connections, leaving out who needs seconds for a login.
pub(super) async fn throughput(
    home: &Path,
    ways: &[Way],
    rounds: usize,
    effort: f64,
) -> anyhow::Result<()> {
    let ways: Vec<_> = ways.iter().filter(|way| way.share >= 1.0).collect();
    let mut curves: Vec<_> = ways.iter().map(|way| (way.name, Vec::new())).collect();
    for at_once in AT_ONCE {
        let mut taken = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for (way, taken) in ways.iter().zip(&mut taken) {
                taken.push(short::login_rate(way, effort, at_once).await?);
            }
        }
        for ((_, curve), taken) in curves.iter_mut().zip(taken) {
            curve.push((at_once as f64, middle(taken)));
        }
    }
    let title = "Logins per second";
    let across = "connections at once";
    let picture = svg::curves(title, [across, "logins per second"], true, &curves);
    std::fs::write(home.join("throughput.svg"), picture)?;
    Ok(())
}
