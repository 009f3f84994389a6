//! Mail submitted to Postfix: what a client was told is accepted arrives, once, as it was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chaos::{Relay, Temper};
use crate::dice::Dice;
use crate::figures::{Table, Usage, mebibytes};
use crate::oidc::Manners;
use crate::outbox::Outbox;
use crate::postfix::Postfix;
use crate::proxy::{Proxy, Service};
use crate::sender::{Setback, Verdict};
use crate::sink::{Book, Sink};
use crate::stage::Stage;
use crate::tally::Tally;
use crate::{USER, amount};

/// How long Postfix may deliver nothing while mail waits in its queue.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often its queue is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Cuts on the way from the clients to the proxy, at bytes of mail.
const OUTSIDE: Temper = Temper {
    one_in: 16,
    reach: (60_000, 1_500),
};

/// Cuts on the way from the proxy to Postfix, at bytes of TLS.
const INSIDE: Temper = Temper {
    one_in: 16,
    reach: (60_000, 6_000),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_mail_arrives_once_and_unchanged() {
    let mails = amount("LOAD_SUBMISSIONS", 1_000);
    let clients = amount("LOAD_CLIENTS", 16);
    let seed = amount("LOAD_SEED", 20_261_124);
    let sink = Sink::start(seed).await;
    let test = "every_accepted_mail_arrives_once_and_unchanged";
    let set = Stage::delivering_to(Some(sink.port), test, &[], Manners::default());
    let Some(stage) = set.await else {
        return;
    };
    let postfix = [stage.postfix.submission, stage.postfix.submissions];
    let (proxy, ports) = before(&stage, postfix).await;

    let outbox = Outbox::new(seed, mails);
    let begun = Instant::now();
    let early = async {
        outbox.has_sent(mails / 5).await;
        Usage::of(proxy.id())
    };
    let (early, ()) = tokio::join!(early, outbox.empty(clients, &ports));
    let took = begun.elapsed();
    let late = Usage::of(proxy.id());
    delivered(&stage.postfix, &sink.book).await;

    let setbacks = outbox.setbacks();
    assert!(setbacks.is_empty(), "{setbacks:?}");
    let complaints = sink.book.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let verdicts = outbox.verdicts();
    let setback = verdicts
        .iter()
        .find(|(_, verdict)| !matches!(verdict, Verdict::Accepted(_)));
    assert!(setback.is_none(), "{setback:?}");
    let tally = Tally::draw_up(&verdicts, &sink.book.arrivals());
    tally.assert_kept(mails);
    assert_eq!(tally.redelivered, 0, "{tally:?}");
    late.assert_flat_since(&early);
    table("submissions to Postfix", &outbox, &tally, took, clients)
        .row("memory of the proxy after a fifth", mebibytes(early.memory))
        .row("memory at the end", mebibytes(late.memory))
        .row("memory at most", mebibytes(late.peak))
        .row(
            "processor time of the proxy",
            format!("{:.1} s", late.seconds),
        )
        .publish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_where_ways_are_cut_and_servers_killed() {
    let mails = amount("LOAD_CUT_SUBMISSIONS", 300);
    let kills = amount("LOAD_KILLS", 4);
    let clients = amount("LOAD_CLIENTS", 16);
    let seed = amount("LOAD_SEED", 20_261_124);
    let sink = Sink::start(seed).await;
    let test = "nothing_accepted_is_lost_where_ways_are_cut_and_servers_killed";
    let set = Stage::delivering_to(Some(sink.port), test, &[], Manners::default());
    let Some(mut stage) = set.await else {
        return;
    };
    let dice = |whose| Dice::new(seed, u64::MAX / 2 - whose);
    let inside = [
        Relay::start(stage.postfix.submission, INSIDE, dice(1)).await,
        Relay::start(stage.postfix.submissions, INSIDE, dice(2)).await,
    ];
    let (proxy, ports) = before(&stage, [inside[0].port, inside[1].port]).await;
    let outside = [
        Relay::start(ports[0], OUTSIDE, dice(3)).await,
        Relay::start(ports[1], OUTSIDE, dice(4)).await,
    ];

    let outbox = Outbox::new(seed, mails);
    let begun = Instant::now();
    let doors = [outside[0].port, outside[1].port];
    let sending = outbox.empty(clients, &doors);
    let trouble = async {
        let mut dice = dice(5);
        let mut early = Usage::of(proxy.id());
        for nth in 1..=kills {
            outbox.has_sent(mails * nth / (kills + 1)).await;
            if nth <= kills.div_ceil(5) {
                early = Usage::of(proxy.id());
            }
            // The first three are one of each kind.
            let kind = if nth > 3 {
                dice.between(1, 3)
            } else {
                usize::try_from(nth).unwrap()
            };
            match kind {
                1 => {
                    stage.postfix.kill();
                    stage.postfix.start_again().await;
                }
                2 => {
                    stage.postfix.stop();
                    stage.postfix.start_again().await;
                }
                _ => dice.pick(&inside).fail_until_noticed(3).await,
            }
        }
        early
    };
    let mut early = None;
    {
        tokio::pin!(sending);
        tokio::select! {
            seen = trouble => early = Some(seen),
            // The clients are done, or one of them broke down, in the middle of the last trouble.
            () = &mut sending => {}
        }
        if early.is_some() {
            sending.await;
        }
    }
    let took = begun.elapsed();
    let late = Usage::of(proxy.id());
    delivered(&stage.postfix, &sink.book).await;

    let complaints = sink.book.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let tally = Tally::draw_up(&outbox.verdicts(), &sink.book.arrivals());
    tally.assert_kept(mails);
    let counts = |relays: &[Relay; 2]| {
        let [one, other] = relays.each_ref().map(Relay::counts);
        (one.0 + other.0, one.1 + other.1)
    };
    let (outer, inner) = (counts(&outside), counts(&inside));
    assert!(outer.1 > 0 && inner.1 > 0, "nothing was ever cut");
    let setbacks = outbox.setbacks();
    let refusals: Vec<&String> = setbacks.iter().filter_map(Setback::refusal).collect();
    // A fault on the way must never be taken for a wrong password.
    let for_good = refusals.iter().find(|text| !text.starts_with('4'));
    assert!(for_good.is_none(), "{for_good:?}");
    let mut table = table(
        "submissions over broken ways",
        &outbox,
        &tally,
        took,
        clients,
    )
    .row("troubles (Postfix killed, stopped, out of reach)", kills)
    .row(
        "connections to the proxy, of them cut",
        format!("{}, {}", outer.0, outer.1),
    )
    .row(
        "connections to Postfix, of them cut",
        format!("{}, {}", inner.0, inner.1),
    )
    .row("logins refused for now", refusals.len())
    .row("attempts refused or cut", tally.unanswered)
    .row(
        "cut ones that arrived all the same, once",
        tally.arrived_unanswered,
    )
    .row(
        "delivered twice by the killed Postfix itself",
        tally.redelivered,
    );
    if let Some(early) = early {
        late.assert_flat_since(&early);
        table = table.row("memory of the proxy after a fifth", mebibytes(early.memory));
    }
    table
        .row("memory at the end", mebibytes(late.memory))
        .row(
            "processor time of the proxy",
            format!("{:.1} s", late.seconds),
        )
        .publish();
}

/// Starts the proxy before two ports of Postfix, the first with STARTTLS; returns its ports in the same order.
async fn before(stage: &Stage, postfix: [u16; 2]) -> (Proxy, [u16; 2]) {
    let services = [
        Service::smtp(postfix[0]).starttls(),
        Service::smtp(postfix[1]),
    ];
    let account = stage.oidc.application(USER);
    let proxy = Proxy::start_quietly(stage, "", &services, &account).await;
    (proxy, services.map(|service| service.port()))
}

/// Waits until Postfix has delivered all that it accepted.
async fn delivered(postfix: &Postfix, book: &Book) {
    let count = book.count();
    let mut last = (*count.borrow(), Instant::now());
    loop {
        let waiting = postfix.waiting();
        if waiting == 0 {
            return;
        }
        let now = *count.borrow();
        if now != last.0 {
            last = (now, Instant::now());
        }
        assert!(
            last.1.elapsed() < PATIENCE,
            "{waiting} mails wait and none is delivered"
        );
        tokio::time::sleep(GLANCE).await;
    }
}

/// Begins the table of a run.
fn table(title: &str, outbox: &Arc<Outbox>, tally: &Tally, took: Duration, clients: u64) -> Table {
    let (sessions, bytes) = outbox.counts();
    let arrived = u128::try_from(tally.arrived).unwrap();
    let rate = arrived * 1_000 / took.as_millis().max(1);
    Table::new(title)
        .row("mails accepted and arrived once, unchanged", tally.arrived)
        .row(
            "lost, duplicated, changed",
            format!("{}, {}, 0", tally.lost, tally.duplicated),
        )
        .row("bytes of mail", format!("{} MiB", bytes / 1024 / 1024))
        .row(
            "sessions, clients at once",
            format!("{sessions}, {clients}"),
        )
        .row(
            "time",
            format!("{:.0} s ({rate} mails a second)", took.as_secs_f64()),
        )
}
