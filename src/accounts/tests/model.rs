//! A provider as two kinds of real ones are, with a memory of what it gave to whom, and a judge of those who ask it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::locked;
use super::super::source::{Asking, Source};
use crate::config::AccountSettings;
use crate::oauth::{Error, Grant, Question, Tokens};
use crate::said::Said;
use crate::secret::{AccessToken, Secret};

/// What becomes of a spent refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is honoured until its successor is used.
    Lenient,
    /// Whoever shows it once more loses everything (RFC 9700 section 4.14.2).
    Strict,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is answered, with a new refresh token.
    Rotate,
    /// It is answered, and the refresh token stays.
    Keep,
    /// It is answered late: milliseconds.
    Slow(u64),
    /// The endpoint is away.
    Down,
    /// A policy is in the way.
    Denied,
    /// The endpoint wants to be left in peace: seconds.
    Throttled(u64),
    /// It is carried out, but its answer is lost behind so many milliseconds.
    Lost(u64),
}

/// The provider.
#[derive(Debug)]
pub(super) struct Model {
    kind: Kind,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What time it really is, and since when by the clock of the process that runs.
    time: Duration,
    since: Option<Instant>,
    /// How long access tokens live.
    life: Duration,
    fates: VecDeque<Fate>,
    serial: u64,
    /// The refresh tokens that are honoured, and what each came of.
    honoured: BTreeMap<String, BTreeSet<u64>>,
    parents: HashMap<u64, u64>,
    /// Access tokens, with whose they are and when they end.
    access: HashMap<String, (String, Duration)>,
    /// Refresh tokens whose successor reached the process that runs.
    spent: BTreeSet<u64>,
    /// When answers came home; to write them down takes no time by this clock.
    home: Vec<Instant>,
    in_flight: BTreeSet<String>,
    /// Logins under way, and the last request, of each account.
    waiting: HashMap<String, usize>,
    last: HashMap<String, Instant>,
    /// How many consents were asked for, how many were given, and how many answers never came home.
    questions: usize,
    given: usize,
    lost: usize,
    offences: Vec<String>,
}

impl Model {
    pub(super) fn new(kind: Kind, life: Duration) -> Arc<Self> {
        let inner = Inner {
            life,
            ..Inner::default()
        };
        Arc::new(Self {
            kind,
            inner: Mutex::new(inner),
        })
    }

    /// A process begins: nothing is under way, and it knows what rests on disk.
    pub(super) fn begin(&self) {
        let mut inner = locked(&self.inner);
        inner.since = Some(Instant::now());
        inner.spent.clear();
        inner.waiting.clear();
        inner.last.clear();
    }

    /// The process ends now: what came home this very moment may not have been written down, and counts as lost.
    pub(super) fn cut_off(&self) {
        let mut inner = locked(&self.inner);
        let now = Instant::now();
        inner.lost += inner.home.iter().filter(|at| **at == now).count();
        inner.home.clear();
    }

    /// The process has ended.
    pub(super) fn end(&self) {
        let mut inner = locked(&self.inner);
        inner.time = inner.now();
        inner.since = None;
    }

    /// Lets real time go on that no process' clock sees.
    pub(super) fn sleep(&self, time: Duration) {
        locked(&self.inner).time += time;
    }

    /// Decides what becomes of one of the next requests.
    pub(super) fn fate(&self, fate: Fate) {
        locked(&self.inner).fates.push_back(fate);
    }

    /// From now on all goes well.
    pub(super) fn calm(&self) {
        locked(&self.inner).fates.clear();
    }

    /// Counts a login in until the answer is dropped.
    pub(super) fn login(self: &Arc<Self>, account: &str) -> Waiting {
        *locked(&self.inner)
            .waiting
            .entry(account.into())
            .or_default() += 1;
        Waiting {
            model: Arc::clone(self),
            account: account.into(),
        }
    }

    /// Judges a token that a login got.
    pub(super) fn judge(&self, account: &str, token: &str) {
        let mut inner = locked(&self.inner);
        let offence = match inner.access.get(token) {
            None => format!("{account} got {token}, which nobody gave out"),
            Some((owner, _)) if owner != account => format!("{account} got {token} of {owner}"),
            Some((_, end)) if *end <= inner.now() => {
                let over = inner.now().saturating_sub(*end);
                format!("{account} got {token}, which ended {over:?} ago")
            }
            Some(_) => return,
        };
        inner.offences.push(offence);
    }

    /// Notes what must not be.
    pub(super) fn offence(&self, what: String) {
        locked(&self.inner).offences.push(what);
    }

    /// Lists what was not as it should be.
    pub(super) fn offences(&self) -> Vec<String> {
        locked(&self.inner).offences.clone()
    }

    /// Returns how many consents were asked for, how many were given, and how many answers never came home.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let inner = locked(&self.inner);
        (inner.questions, inner.given, inner.lost)
    }

    /// A request arrives.
    fn arrive(&self, account: &str, grant: &Grant) -> Fate {
        let mut inner = locked(&self.inner);
        if !inner.in_flight.insert(account.to_owned()) {
            inner
                .offences
                .push(format!("two requests of {account} at once"));
        }
        let now = Instant::now();
        let background = inner.waiting.get(account).copied().unwrap_or_default() == 0;
        let last = inner.last.insert(account.to_owned(), now);
        if let Some(last) = last.filter(|last| background && now - *last < Duration::from_secs(30))
        {
            let pause = now - last;
            inner.offences.push(format!(
                "{account} asked again after {pause:?}, and nobody waited"
            ));
        }
        if let Grant::Refresh(token) = grant
            && inner.spent.contains(&number(token))
        {
            let token = token.reveal();
            inner.offences.push(format!(
                "{account} showed {token}, knowing that it is spent"
            ));
        }
        inner.fates.pop_front().unwrap_or(Fate::Rotate)
    }

    /// Carries a request out.
    fn carry_out(&self, account: &str, grant: &Grant, rotate: bool) -> Result<Tokens, Error> {
        let mut inner = locked(&self.inner);
        let mut refresh = None;
        if let Grant::Refresh(token) = grant {
            let shown = number(token);
            let honoured = inner.honoured.entry(account.to_owned()).or_default();
            if !honoured.contains(&shown) {
                if self.kind == Kind::Strict {
                    honoured.clear();
                }
                return Err(Error::GrantDead(Said::new("invalid_grant")));
            }
            // Its use is the end of what it came of.
            if let Some(parent) = inner.parents.get(&shown).copied() {
                inner
                    .honoured
                    .entry(account.to_owned())
                    .or_default()
                    .remove(&parent);
            }
            if rotate {
                let fresh = inner.next();
                let honoured = inner.honoured.entry(account.to_owned()).or_default();
                if self.kind == Kind::Strict {
                    honoured.remove(&shown);
                }
                honoured.insert(fresh);
                inner.parents.insert(fresh, shown);
                refresh = Some(fresh);
            }
        }
        if matches!(grant, Grant::Code { .. }) {
            inner.given += 1;
            let fresh = inner.next();
            inner
                .honoured
                .insert(account.to_owned(), BTreeSet::from([fresh]));
            refresh = Some(fresh);
        }
        let token = format!("a{}", inner.next());
        let end = inner.now() + inner.life;
        inner
            .access
            .insert(token.clone(), (account.to_owned(), end));
        Ok(Tokens {
            access: AccessToken::parse(&token).unwrap(),
            lifetime: inner.life,
            refresh: refresh.map(|number| Secret::new(format!("r{number}"))),
            signed_in: None,
        })
    }

    async fn answer(&self, account: &str, grant: &Grant) -> Result<Tokens, Error> {
        let fate = self.arrive(account, grant);
        let mut request = Request {
            model: self,
            account,
            carried_out: false,
        };
        // The way there takes its time, so that a process may end on it.
        sleep(Duration::from_millis(5)).await;
        match fate {
            Fate::Down => return Err(Error::Unavailable(Said::new("no answer"))),
            Fate::Denied => return Err(Error::Denied(Said::new("AADSTS53003"))),
            Fate::Throttled(seconds) => {
                let (said, wait) = (Said::new("HTTP 429"), Duration::from_secs(seconds));
                return Err(Error::Throttled { said, wait });
            }
            Fate::Slow(millis) => sleep(Duration::from_millis(millis)).await,
            Fate::Rotate | Fate::Keep | Fate::Lost(_) => {}
        }
        let answer = self.carry_out(account, grant, !matches!(fate, Fate::Keep));
        request.carried_out = answer.is_ok();
        // And so does the way back.
        sleep(Duration::from_millis(5)).await;
        if let Fate::Lost(millis) = fate {
            sleep(Duration::from_millis(millis)).await;
            return Err(Error::Unavailable(Said::new("the connection was dropped")));
        }
        request.carried_out = false;
        if let (
            Grant::Refresh(token),
            Ok(Tokens {
                refresh: Some(_), ..
            }),
        ) = (grant, &answer)
        {
            let mut inner = locked(&self.inner);
            inner.spent.insert(number(token));
            inner.home.push(Instant::now());
        }
        answer
    }
}

impl Inner {
    fn now(&self) -> Duration {
        self.time + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

fn number(token: &Secret<String>) -> u64 {
    token.reveal().trim_start_matches('r').parse().unwrap()
}

/// A request on its way; how it ends is noted even if its process does.
struct Request<'a> {
    model: &'a Model,
    account: &'a str,
    carried_out: bool,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut inner = locked(&self.model.inner);
        inner.in_flight.remove(self.account);
        inner.lost += usize::from(self.carried_out);
    }
}

/// A login under way.
pub(super) struct Waiting {
    model: Arc<Model>,
    account: String,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(count) = locked(&self.model.inner).waiting.get_mut(&self.account) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Source for Model {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
        grant: &'a Grant,
    ) -> Asking<'a> {
        Box::pin(self.answer(&account.name, grant))
    }

    fn question<'a>(
        &'a self,
        account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        let mut inner = locked(&self.inner);
        inner.questions += 1;
        let state = format!("s{}", inner.next());
        let question = Question {
            url: format!("https://idp.example/auth?state={state}"),
            state,
            redirect_uri: account.redirect_uri.clone(),
            ..Question::default()
        };
        Box::pin(async { Ok(question) })
    }
}
