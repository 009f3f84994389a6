//! Several proxies over one store: a store in memory, whose service can be away, lose everything and keep leases.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;

use super::super::store::Store;
use super::super::store::backend::{All, Backend, Change, Doing, Kept, LEASE, Lease, Swapped};
use super::*;

const CODE: &str = "code@example.org";

/// A store that several proxies of one test share.
#[derive(Debug, Default)]
struct Shelf {
    all: Mutex<All>,
    /// Grows with each write.
    revision: AtomicUsize,
    leases: Mutex<HashMap<String, (String, Instant)>>,
    holders: AtomicUsize,
    away: AtomicBool,
    /// Whether writing fails, though all else goes well.
    full: AtomicBool,
}

impl Shelf {
    fn ask<T>(&self, answer: impl FnOnce() -> T) -> Result<T, String> {
        if self.away.load(Ordering::SeqCst) {
            return Err("could not reach the shelf: it is away".into());
        }
        Ok(answer())
    }

    fn kept(&self, account: &str) -> Kept {
        locked(&self.all)[account].clone()
    }
}

impl Backend for Arc<Shelf> {
    fn name(&self) -> String {
        "the shelf".into()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Doing<'_, All> {
        Box::pin(async { self.ask(|| locked(&self.all).clone()) })
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        Box::pin(async move { self.ask(|| locked(&self.all).get(account).cloned()) })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        Box::pin(async {
            let revision = |(name, kept): (&String, &Kept)| (name.clone(), kept.revision);
            self.ask(|| locked(&self.all).iter().map(revision).collect())
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        Box::pin(async move {
            if self.full.load(Ordering::SeqCst) {
                return Err("could not write to the shelf: it is full".into());
            }
            self.ask(|| {
                let mut all = locked(&self.all);
                let mut swap = |change: Change| {
                    let now = all.get(&change.account);
                    if now.map_or(0, |kept| kept.revision) != change.expected {
                        return Swapped::Conflict(now.cloned());
                    }
                    let revision = self.revision.fetch_add(1, Ordering::SeqCst) as u64 + 1;
                    let record = change.record;
                    all.insert(change.account, Kept { record, revision });
                    Swapped::Done(revision)
                };
                changes.into_iter().map(&mut swap).collect()
            })
        })
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            self.ask(|| {
                let mut leases = locked(&self.leases);
                let held = leases.get(account);
                if held.is_some_and(|(_, until)| *until > Instant::now()) {
                    return None;
                }
                let holder = self.holders.fetch_add(1, Ordering::SeqCst).to_string();
                leases.insert(account.into(), (holder.clone(), Instant::now() + LEASE));
                Some(Lease {
                    account: account.into(),
                    holder,
                    lock: None,
                })
            })
        })
    }

    fn release(&self, lease: Lease) -> Doing<'_, ()> {
        Box::pin(async move {
            self.ask(|| {
                let mut leases = locked(&self.leases);
                if leases
                    .get(&lease.account)
                    .is_some_and(|(holder, _)| *holder == lease.holder)
                {
                    leases.remove(&lease.account);
                }
            })
        })
    }
}

/// A provider that rotates refresh tokens and takes each of them once: an account whose token comes twice is lost.
#[derive(Debug, Default)]
struct Strict {
    /// The number of the refresh token that counts, by account.
    now: Mutex<HashMap<String, usize>>,
    lost: Mutex<Vec<String>>,
    asked: AtomicUsize,
    life: AtomicUsize,
}

impl Source for Strict {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut now = locked(&self.now);
            let number = now.entry(account.name.clone()).or_default();
            if let Grant::Refresh(token) = grant
                && *token.reveal() != format!("r{number}")
            {
                locked(&self.lost).push(format!("{} by {}", account.name, token.reveal()));
                return Err(DEAD());
            }
            *number += 1;
            Ok(Tokens {
                access: AccessToken::parse(&format!("t{number}")).unwrap(),
                lifetime: Duration::from_secs(self.life.load(Ordering::SeqCst) as u64),
                refresh: Some(Secret::from(format!("r{number}").as_str())),
                signed_in: None,
            })
        })
    }

    fn question<'a>(
        &'a self,
        _account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        Box::pin(async { Err(DOWN()) })
    }
}

/// Several proxies.
struct Street {
    _home: tempfile::TempDir,
    shelf: Arc<Shelf>,
    houses: Vec<Arc<Accounts>>,
}

impl Street {
    fn new(proxies: usize, source: &Arc<dyn Source>, sections: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "", sections);
        let mut street = Self {
            _home: home,
            shelf: Arc::default(),
            houses: Vec::new(),
        };
        for _ in 0..proxies {
            street.open(&config, source);
        }
        street
    }

    fn open(&mut self, config: &Arc<Config>, source: &Arc<dyn Source>) {
        let shelf = Arc::new(Arc::clone(&self.shelf));
        let setup = Setup {
            store: Path::new("of no use").into(),
            reach: Reach::default(),
            external_auth: true,
        };
        let accounts = Accounts::open_on(
            Store::with(shelf, All::new()),
            Arc::clone(config),
            Arc::clone(source),
            setup,
            Cost::CHEAP,
        );
        self.houses.push(accounts.unwrap());
    }

    async fn log_in(&self, at: usize, user: &str, password: &str) -> Result<String, Refusal> {
        log_in(&self.houses[at], user, password).await
    }
}

async fn log_in(at: &Arc<Accounts>, user: &str, password: &str) -> Result<String, Refusal> {
    let admitted = at
        .token(user, &Password::from(password), &Caller::OWNER)
        .await?;
    Ok(admitted.token.reveal().to_owned())
}

fn fake() -> Arc<Fake> {
    Arc::new(Fake {
        answers: Mutex::default(),
        asked: Mutex::default(),
        questions: AtomicUsize::new(0),
        gate: Semaphore::new(1),
    })
}

/// Two proxies and an account that signed in at the first, with token `one` and refresh token `r1`.
async fn two(life: u64) -> (Street, Arc<Fake>) {
    let fake = fake();
    let source: Arc<dyn Source> = Arc::clone(&fake) as _;
    let street = Street::new(2, &source, USUAL);
    sign_in(&street.houses[0], &fake, "one", life, "r1").await;
    (street, fake)
}

async fn sign_in(at: &Arc<Accounts>, fake: &Fake, access: &str, life: u64, refresh: &str) {
    let accounts = Arc::clone(at);
    let login = tokio::spawn(async move { log_in(&accounts, CODE, "pw").await });
    let mut pending = at.pending();
    let list = pending
        .wait_for(|list| list.len() == 1)
        .await
        .unwrap()
        .clone();
    fake.grants(access, life, Some(refresh));
    let (_, state) = list[0].url.split_once("state=").unwrap();
    let answer = Answer {
        state: state.into(),
        code: Some(Secret::from("c")),
        ..Answer::default()
    };
    at.finish(answer).await;
    assert_eq!(login.await.unwrap().unwrap(), access);
}

async fn pass(seconds: u64) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn words(refusal: &Refusal) -> String {
    assert!(matches!(refusal, Refusal::TokenUnavailable(_)), "{refusal}");
    refusal.to_string()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_logins_of_twenty_accounts_on_three_proxies_make_twenty_requests() {
    let _wall = super::super::clock::pretended::Wall::set();
    let strict = Arc::new(Strict::default());
    strict.life.store(60, Ordering::SeqCst);
    let source: Arc<dyn Source> = Arc::clone(&strict) as _;
    let sections: Vec<String> = (0..20)
        .map(|n| {
            format!("[u{n}@example.org]\ntoken_url = https://idp.example/token\noauth2_flow = password\noauth2_scope = mail\nclient_id = app\n")
        })
        .collect();
    let sections = sections.concat();
    let street = Street::new(3, &source, &sections);
    let user = |n: usize| format!("u{}@example.org", n % 20);
    for round in 1..=4_usize {
        let logins: Vec<_> = (0..200)
            .map(|n| {
                let accounts = Arc::clone(&street.houses[n % 3]);
                tokio::spawn(async move { log_in(&accounts, &user(n), "pw").await })
            })
            .collect();
        for login in logins {
            assert_eq!(login.await.unwrap().unwrap(), format!("t{round}"));
        }
        assert_eq!(strict.asked.load(Ordering::SeqCst), 20 * round);
        tokio::time::advance(Duration::from_secs(100)).await;
    }
    assert!(
        locked(&strict.lost).is_empty(),
        "{:?}",
        locked(&strict.lost)
    );
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_died_delays_a_login_by_less_than_its_lease() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(60).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    let shelf = Arc::clone(&street.shelf);
    shelf.lease(CODE).await.unwrap().unwrap();
    let from = Instant::now();
    fake.grants("two", 60, Some("r2"));
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "two");
    assert!(
        from.elapsed() < LEASE + Duration::from_secs(1),
        "{:?}",
        from.elapsed()
    );
    assert_eq!(fake.asked()[1..], ["refresh r1 s3cret"]);
    // The other one hears of it before it would ask.
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "two");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_costs_nobody_a_living_token_and_nothing_is_spent_without_it() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(60).await;
    street.shelf.away.store(true, Ordering::SeqCst);
    // Served from memory; within its margin, too, and without asking the provider.
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(45)).await;
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(30)).await;
    let refusal = street.log_in(0, CODE, "pw").await.unwrap_err();
    assert!(words(&refusal).contains("the shelf"), "{refusal}");
    // A proxy that has never seen the account knows nothing of its passwords either.
    let refusal = street.log_in(1, CODE, "other").await.unwrap_err();
    assert!(words(&refusal).contains("the shelf"), "{refusal}");
    assert_eq!(fake.asked().len(), 1);
    street.shelf.away.store(false, Ordering::SeqCst);
    fake.grants("two", 60, Some("r2"));
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "two");
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "two");
    let refusal = street.log_in(1, CODE, "other").await.unwrap_err();
    assert_eq!(refusal, wrong());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_the_store_did_not_take_are_written_when_it_does() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(60).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    street.shelf.full.store(true, Ordering::SeqCst);
    fake.grants("two", 60, Some("r2"));
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "two");
    let before = street.shelf.kept(CODE);
    street.shelf.full.store(false, Ordering::SeqCst);
    while street.shelf.kept(CODE) == before {
        pass(1).await;
    }
    tokio::time::advance(Duration::from_secs(100)).await;
    fake.grants("three", 60, Some("r3"));
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "three");
    assert_eq!(fake.asked()[2..], ["refresh r2 s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_empty_is_filled_again() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(3_600).await;
    let before = street.shelf.kept(CODE).record;
    locked(&street.shelf.all).clear();
    pass(20).await;
    assert_eq!(street.shelf.kept(CODE).record, before);
    // Nor does a proxy start from nothing whose store is lost in the moment it asks.
    locked(&street.shelf.all).clear();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    fake.grants("two", 3_600, Some("r2"));
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "two");
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "two");
    assert_eq!(fake.asked()[1..], ["refresh r1 s3cret"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_is_known_within_fifteen_seconds() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(3_600).await;
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "one");
    // The first one takes the password away and sets another.
    set_password(&street.houses[0], "new", false).await;
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap_err(), wrong());
    pass(16).await;
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap_err(), wrong());
    assert_eq!(street.log_in(1, CODE, "new").await.unwrap(), "one");
    assert_eq!(fake.asked().len(), 1);
}

/// Sets a password beside the others, or in their place.
async fn set_password(at: &Arc<Accounts>, password: &str, beside: bool) {
    use super::super::lock::Lock;
    use super::super::terms::Terms;
    use super::super::vault::Derived;
    let account = at.known(CODE).unwrap();
    {
        let mut state = account.state();
        let Lock::Open { key, wraps } = &mut state.lock else {
            panic!("locked")
        };
        let derived = Derived::of(&Password::from(password), &[], Cost::CHEAP).unwrap();
        let wrap = key.wrap(CODE, &derived, Terms::unlimited()).unwrap();
        if !beside {
            wraps.clear();
        }
        wraps.push(wrap);
        at.shelve(&account, &mut state);
    }
    at.make_last(CODE).await;
}

#[tokio::test(start_paused = true)]
async fn a_password_set_here_and_a_token_renewed_there_are_both_kept() {
    let _wall = super::super::clock::pretended::Wall::set();
    let (street, fake) = two(60).await;
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(100)).await;
    // The second renews; the first has not heard of it when it sets a password.
    fake.grants("two", 3_600, Some("r2"));
    assert_eq!(street.log_in(1, CODE, "pw").await.unwrap(), "two");
    set_password(&street.houses[0], "more", true).await;
    // And the second has not heard of that when its token is renewed.
    assert_eq!(street.log_in(0, CODE, "more").await.unwrap(), "two");
    let account = street.houses[1].known(CODE).unwrap();
    {
        let mut state = account.state();
        state.take_in(&Tokens {
            access: AccessToken::parse("three").unwrap(),
            lifetime: Duration::from_secs(3_600),
            refresh: Some(Secret::from("r3")),
            signed_in: None,
        });
        street.houses[1].shelve(&account, &mut state);
    }
    assert!(street.houses[1].make_last(CODE).await);
    assert_eq!(street.log_in(1, CODE, "more").await.unwrap(), "three");
    pass(16).await;
    assert_eq!(street.log_in(0, CODE, "pw").await.unwrap(), "three");
    assert_eq!(street.log_in(0, CODE, "more").await.unwrap(), "three");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_first_passwords_the_first_in_the_store_counts() {
    let fake = fake();
    let source: Arc<dyn Source> = Arc::clone(&fake) as _;
    let street = Street::new(2, &source, USUAL);
    let app = "app@example.org";
    fake.hold();
    let logins: Vec<_> = ["one", "two"]
        .into_iter()
        .enumerate()
        .map(|(at, password)| {
            let accounts = Arc::clone(&street.houses[at]);
            tokio::spawn(async move { log_in(&accounts, app, password).await })
        })
        .collect();
    while fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    fake.grants("a", 3_600, None);
    fake.grants("b", 3_600, None);
    fake.go_on();
    let mut good = 0;
    for login in logins {
        match login.await.unwrap() {
            Ok(_) => good += 1,
            Err(refusal) => assert_eq!(refusal, wrong()),
        }
    }
    assert_eq!(good, 1);
    assert_eq!(fake.asked().len(), 1);
}
