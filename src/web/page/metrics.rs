//! What is counted, in Prometheus' text format 0.0.4, named by its conventions.
//!
//! Pure. Accounts are named here, because who may read this was named by the owner (`metrics_from`).

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::accounts::Standing;
use crate::control::Overview;
use crate::meter::{BOUNDS, Lane, Login, Meters, Request};

/// How many accounts are told one by one: each costs its reader a few series for good.
const MOST_ACCOUNTS: usize = 1_000;

/// A text in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Adds one value.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = escaped(text);
            let before = if at == 0 { '{' } else { ',' };
            self.0.push_str(&format!("{before}{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push_str(&format!(" {value}\n"));
    }
}

/// Writes everything down.
pub(super) fn write(meters: &Meters, overview: &Overview) -> String {
    let mut text = Text::default();
    counted(&mut text, meters);
    measured(&mut text, overview);
    of_accounts(&mut text, overview);
    text.0
}

/// What only grows.
fn counted(text: &mut Text, meters: &Meters) {
    let name = "emailproxy_logins_total";
    text.metric(name, "counter", "Logins of mail programs, by outcome.");
    for lane in Lane::ALL {
        for how in Login::ALL {
            let labels = [("protocol", lane.as_str()), ("outcome", how.as_str())];
            text.value(name, &labels, meters.logins(lane, how));
        }
    }
    let name = "emailproxy_token_requests_total";
    text.metric(
        name,
        "counter",
        "Requests to token endpoints for refreshed or first tokens, by outcome.",
    );
    for how in Request::ALL {
        text.value(name, &[("outcome", how.as_str())], meters.requests(how));
    }
    let name = "emailproxy_token_wait_seconds";
    text.metric(
        name,
        "histogram",
        "Time from a login's password to its token, waiting for a person included.",
    );
    let times = meters.times();
    let bucket = format!("{name}_bucket");
    for (bound, count) in BOUNDS.iter().zip(&times.within) {
        text.value(&bucket, &[("le", &seconds(*bound))], count);
    }
    text.value(&bucket, &[("le", "+Inf")], times.count);
    text.value(&format!("{name}_sum"), &[], times.sum.as_secs_f64());
    text.value(&format!("{name}_count"), &[], times.count);
    let name = "emailproxy_client_connections_total";
    text.metric(name, "counter", "Connections of mail programs.");
    for lane in Lane::ALL {
        let labels = [("protocol", lane.as_str())];
        text.value(name, &labels, meters.connections(lane));
    }
    let name = "emailproxy_relayed_bytes_total";
    text.metric(
        name,
        "counter",
        "Bytes relayed by sessions that have ended, by direction.",
    );
    for lane in Lane::ALL {
        let (sent, received) = meters.bytes(lane);
        for (direction, bytes) in [("to_server", sent), ("to_client", received)] {
            let labels = [("protocol", lane.as_str()), ("direction", direction)];
            text.value(name, &labels, bytes);
        }
    }
}

/// How things are.
fn measured(text: &mut Text, overview: &Overview) {
    let name = "emailproxy_client_connections";
    text.metric(name, "gauge", "Open connections of mail programs.");
    text.value(name, &[], overview.connections);
    let name = "emailproxy_services";
    text.metric(name, "gauge", "Listening services.");
    text.value(name, &[], overview.services.len());
    let name = "emailproxy_build_info";
    text.metric(name, "gauge", "The program's version, as a label.");
    text.value(name, &[("version", &overview.version)], 1);
    let name = "process_start_time_seconds";
    text.metric(name, "gauge", "When the process began, in Unix time.");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map(|now| now.as_secs()).unwrap_or_default();
    text.value(name, &[], now.saturating_sub(overview.uptime));
}

/// The accounts: how many stand how, and the first thousand one by one.
fn of_accounts(text: &mut Text, overview: &Overview) {
    let mut standing: BTreeMap<&str, u64> = BTreeMap::new();
    for all in [
        Standing::Ready,
        Standing::Locked,
        Standing::Unsealed,
        Standing::Waiting,
        Standing::NeedsSignIn,
        Standing::Incomplete,
    ] {
        standing.insert(word(all), 0);
    }
    for account in &overview.accounts {
        *standing.entry(word(account.standing)).or_default() += 1;
    }
    let name = "emailproxy_accounts";
    text.metric(name, "gauge", "Accounts, by how they stand.");
    for (word, count) in standing {
        text.value(name, &[("standing", word)], count);
    }
    let shown = || overview.accounts.iter().take(MOST_ACCOUNTS);
    let mut gauge =
        |name: &str, help: &str, of: &dyn Fn(&crate::accounts::AccountState) -> Option<u64>| {
            text.metric(name, "gauge", help);
            for account in shown() {
                if let Some(value) = of(account) {
                    text.value(name, &[("account", &account.account)], value);
                }
            }
        };
    gauge(
        "emailproxy_account_usable",
        "Whether an account can let mail programs in without a person.",
        &|account| Some(account.standing.is_usable().into()),
    );
    gauge(
        "emailproxy_account_failing",
        "Whether the last thing that happened to an account is a failure.",
        &|account| Some(account.last_error.is_some().into()),
    );
    gauge(
        "emailproxy_account_token_age_seconds",
        "Age of an account's access token.",
        &|account| account.token_age,
    );
    gauge(
        "emailproxy_account_token_expires_seconds",
        "How long an account's access token is still good.",
        &|account| account.expires_in,
    );
    gauge(
        "emailproxy_account_connections",
        "Open connections of an account.",
        &|account| u64::try_from(account.connections).ok(),
    );
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Ready => "ready",
        Standing::Locked => "locked",
        Standing::Unsealed => "unsealed",
        Standing::Waiting => "waiting",
        Standing::NeedsSignIn => "needs_sign_in",
        Standing::Incomplete => "incomplete",
    }
}

/// Words milliseconds as seconds.
fn seconds(millis: u64) -> String {
    let (whole, rest) = (millis / 1_000, millis % 1_000);
    if rest == 0 {
        return whole.to_string();
    }
    let rest = format!("{rest:03}");
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

/// Escapes a label's text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::AccountState;

    #[test]
    fn every_metric_has_its_help_and_names_are_escaped() {
        let meters = Meters::default();
        meters.login(Lane::Imap, Login::Success);
        meters.token_took(std::time::Duration::from_millis(20));
        let overview = Overview {
            accounts: vec![AccountState {
                account: "a\"b\\c\nd".into(),
                token_age: Some(60),
                ..AccountState::default()
            }],
            ..Overview::default()
        };
        let text = write(&meters, &overview);
        for line in [
            r#"emailproxy_logins_total{protocol="imap",outcome="success"} 1"#,
            r#"emailproxy_token_wait_seconds_bucket{le="0.005"} 0"#,
            r#"emailproxy_token_wait_seconds_bucket{le="0.025"} 1"#,
            r#"emailproxy_token_wait_seconds_bucket{le="600"} 1"#,
            r#"emailproxy_token_wait_seconds_bucket{le="+Inf"} 1"#,
            "emailproxy_token_wait_seconds_sum 0.02",
            r#"emailproxy_account_token_age_seconds{account="a\"b\\c\nd"} 60"#,
            r#"emailproxy_accounts{standing="ready"} 1"#,
            r#"emailproxy_accounts{standing="waiting"} 0"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            let help = |name: &str| text.contains(&format!("# HELP {name} "));
            assert!(help(name) || help(base), "{name}");
        }
    }
}
