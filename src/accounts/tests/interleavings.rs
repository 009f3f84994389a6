//! Logins, answers, rotations, crashes and clocks in any order: what holds in all of them.
//!
//! A process is a runtime with a paused clock of its own; to drop it is to kill the process at whatever it awaits.
//! Cases are drawn from a fixed seed.

use std::time::SystemTime;

use proptest::prelude::*;
use proptest::test_runner::{Config as Rules, RngAlgorithm, TestRng, TestRunner};
use tokio::task::JoinHandle;

use super::super::clock::pretended::Wall;
use super::model::{Fate, Kind, Model};
use super::*;

const CASES: u32 = 40;

/// Accounts with consent, and one without.
const NAMES: [&str; 3] = ["code@example.org", "more@example.org", "app@example.org"];

/// How many of them need consent.
const WITH_CONSENT: usize = 2;

const SECTIONS: &str = "
[more@example.org]
permission_url = https://idp.example/auth
token_url = https://idp.example/token
oauth2_scope = mail
redirect_uri = http://localhost:8825
client_id = app
client_secret = s3cret
";

const DAY: Duration = Duration::from_secs(86_400);

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody logs in, with the right password or not, and goes on waiting.
    Login { who: usize, right: bool },
    /// Somebody's server refuses the token of a login that just went through.
    Refuse { who: usize },
    /// The next request comes to this.
    Fate(Fate),
    /// Time passes: milliseconds.
    Pass(u64),
    /// Whoever is asked for consent gives it.
    Consent,
    /// The configuration is read again.
    Reload,
    /// The machine sleeps, in seconds: the clock on the wall goes on, its own does not.
    Sleep(u64),
    /// The clock on the wall is set by so many days.
    SetClock(i64),
    /// The process is killed so many turns of its tasks later.
    Kill(usize),
    /// It is stopped in good order.
    Stop,
}

/// What happens, and to whom.
#[derive(Clone, Debug)]
struct Case {
    kind: Kind,
    life: u64,
    events: Vec<Event>,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Rotate),
        1 => Just(Fate::Keep),
        2 => (0..9_000_u64).prop_map(Fate::Slow),
        2 => Just(Fate::Down),
        1 => Just(Fate::Denied),
        1 => (1..1_000_u64).prop_map(Fate::Throttled),
        4 => (0..9_000_u64).prop_map(Fate::Lost),
    ]
}

fn events(kind: Kind) -> impl Strategy<Value = Event> {
    // A machine that sleeps under a clock that was set back cannot know for how long: it does one or the other.
    let clock = match kind {
        Kind::Lenient => prop_oneof![(1..20_000_u64).prop_map(Event::Sleep)].boxed(),
        Kind::Strict => prop_oneof![
            Just(Event::SetClock(1)),
            Just(Event::SetClock(-1)),
            Just(Event::SetClock(365)),
            Just(Event::SetClock(-365)),
        ]
        .boxed(),
    };
    let who = 0..NAMES.len();
    prop_oneof![
        10 => (who.clone(), prop::bool::weighted(0.85)).prop_map(|(who, right)| Event::Login { who, right }),
        2 => who.prop_map(|who| Event::Refuse { who }),
        6 => fates().prop_map(Event::Fate),
        4 => (0..40_u64).prop_map(Event::Pass),
        3 => (5_000..40_000_u64).prop_map(Event::Pass),
        3 => (0..100_000_u64).prop_map(Event::Pass),
        1 => (0..1_200_000_u64).prop_map(Event::Pass),
        1 => Just(Event::Consent),
        1 => Just(Event::Reload),
        1 => clock,
        2 => (0..60_usize).prop_map(Event::Kill),
        1 => Just(Event::Stop),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![Just(Kind::Lenient), Just(Kind::Strict)];
    let life = prop_oneof![3 => Just(10_u64), 3 => Just(90), 2 => Just(3_600)];
    (kind, life).prop_flat_map(|(kind, life)| {
        prop::collection::vec(events(kind), 5..60).prop_map(move |events| Case {
            kind,
            life,
            events,
        })
    })
}

/// A process at work.
struct Process {
    accounts: Arc<Accounts>,
    model: Arc<Model>,
    logins: Vec<JoinHandle<()>>,
}

impl Process {
    fn start(home: &Path, config: &Arc<Config>, model: &Arc<Model>) -> Self {
        model.begin();
        let setup = Setup {
            store: home.join("tokens.json").into(),
            reach: Reach::default(),
            external_auth: false,
        };
        let source: Arc<dyn Source> = Arc::clone(model) as _;
        let accounts = Accounts::open_with(Arc::clone(config), source, setup, Cost::CHEAP).unwrap();
        Self {
            accounts,
            model: Arc::clone(model),
            logins: Vec::new(),
        }
    }

    fn log_in(&mut self, who: usize, right: bool, refused: bool) {
        let (accounts, model) = (Arc::clone(&self.accounts), Arc::clone(&self.model));
        self.logins.push(tokio::spawn(async move {
            let name = NAMES[who];
            let _waiting = model.login(name);
            let password = Password::from(if right { "pw" } else { "wrong" });
            match accounts.token(name, &password, &Caller::OWNER).await {
                Ok(_) if !right => model.offence(format!("{name} got in with a wrong password")),
                Ok(admitted) => {
                    model.judge(name, admitted.token.reveal());
                    if !refused {
                        return;
                    }
                    let no = Refusal::ServerRefused {
                        server: "imap.example:993".into(),
                        said: Said::new("AUTHENTICATE failed."),
                    };
                    let renewed = accounts.renew(&admitted, &password, &no).await;
                    if let Ok(Some(renewed)) = renewed {
                        model.judge(name, renewed.token.reveal());
                        if renewed.token.reveal() == admitted.token.reveal() {
                            model.offence(format!("{name} got the refused token once more"));
                        }
                    }
                }
                Err(_) => {}
            }
        }));
    }

    /// Gives every consent that is asked for.
    async fn consent(&self) {
        let pending = self.accounts.pending().borrow().clone();
        for pending in pending {
            let state = pending.url.rsplit('=').next().unwrap().to_owned();
            let answer = Answer {
                state,
                code: Some(Secret::from("code")),
                ..Answer::default()
            };
            self.accounts.finish(answer).await;
        }
    }

    /// Lets all that waits end, with a person at hand and a provider at peace.
    async fn settle(&mut self) {
        self.model.calm();
        for _ in 0..3_000 {
            if self.logins.iter().all(JoinHandle::is_finished) {
                for login in self.logins.drain(..) {
                    login.await.unwrap();
                }
                return;
            }
            self.consent().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.model.offence("a login never ends".into());
    }
}

/// What time it is on the wall.
fn set(wall: &Wall, model: &Model, event: &Event) {
    match event {
        Event::Sleep(seconds) => {
            let time = Duration::from_secs(*seconds);
            model.sleep(time);
            wall.forward(time);
        }
        Event::SetClock(days) => {
            let by = DAY * u32::try_from(days.unsigned_abs()).unwrap();
            if *days > 0 {
                wall.forward(by);
            } else {
                wall.back(by);
            }
        }
        _ => {}
    }
}

/// Lets a process live through events until it is killed or stopped; returns how many it saw.
async fn live(process: &mut Process, wall: &Wall, events: &[Event]) -> usize {
    for (seen, event) in events.iter().enumerate() {
        match event {
            Event::Login { who, right } => process.log_in(*who, *right, false),
            Event::Refuse { who } => process.log_in(*who, true, true),
            Event::Fate(fate) => process.model.fate(*fate),
            Event::Pass(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
            Event::Consent => process.consent().await,
            Event::Reload => {
                let config = Arc::clone(&process.accounts.world().config);
                let source: Arc<dyn Source> = Arc::clone(&process.model) as _;
                process.accounts.reload_with(&config, source);
            }
            Event::Sleep(_) | Event::SetClock(_) => set(wall, &process.model, event),
            Event::Kill(turns) => {
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
                return seen + 1;
            }
            Event::Stop => {
                process.accounts.close(Duration::from_secs(30)).await;
                return seen + 1;
            }
        }
    }
    events.len()
}

/// Runs one process and returns what the clock on the wall says at its end.
fn run<T>(
    time: SystemTime,
    model: &Arc<Model>,
    work: impl AsyncFnOnce(&Wall) -> T,
) -> (T, SystemTime) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let done = runtime.block_on(async {
        let wall = Wall::at(time);
        let done = work(&wall).await;
        model.cut_off();
        (done, super::super::clock::now())
    });
    // Here the process dies: its tasks end where they are.
    drop(runtime);
    model.end();
    done
}

fn play(case: &Case) -> Result<(), String> {
    let home = tempfile::tempdir().unwrap();
    let config = config(home.path(), "", &format!("{USUAL}{SECTIONS}"));
    let model = Model::new(case.kind, Duration::from_secs(case.life));
    let time = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    // Everybody is authorised once.
    let ((), mut time) = run(time, &model, async |_| {
        let mut process = Process::start(home.path(), &config, &model);
        for who in 0..NAMES.len() {
            process.log_in(who, true, false);
        }
        process.settle().await;
        process.accounts.close(Duration::from_secs(30)).await;
    });
    let mut events = case.events.as_slice();
    while !events.is_empty() {
        let seen;
        (seen, time) = run(time, &model, async |wall| {
            let mut process = Process::start(home.path(), &config, &model);
            live(&mut process, wall, events).await
        });
        events = events.get(seen..).unwrap_or_default();
    }
    run(time, &model, async |_| {
        let mut process = Process::start(home.path(), &config, &model);
        model.calm();
        for who in 0..NAMES.len() {
            process.log_in(who, true, false);
        }
        process.settle().await;
        process.accounts.close(Duration::from_secs(30)).await;
    });
    let mut offences = model.offences();
    let (questions, given, lost) = model.counts();
    match case.kind {
        // An authorisation once given is never lost.
        Kind::Lenient if questions > WITH_CONSENT => {
            offences.push(format!("{questions} consents were asked for"));
        }
        // A lost answer costs one consent at worst.
        Kind::Strict if given > WITH_CONSENT + lost => {
            offences.push(format!(
                "{given} consents were given, but only {lost} answers lost"
            ));
        }
        _ => {}
    }
    if offences.is_empty() {
        return Ok(());
    }
    Err(offences.join("; "))
}

#[test]
fn whatever_happens_in_whatever_order_tokens_are_neither_lost_nor_stale() {
    let rules = Rules {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Rules::default()
    };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(rules, seed);
    let done = runner.run(&cases(), |case| play(&case).map_err(TestCaseError::fail));
    if let Err(failed) = done {
        panic!("{failed}");
    }
}
