//! For the fuzzer alone: accounts whose tokens rest in memory and come from a list, with passwords that cost little.
//! No other program is built with this.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::source::{Asking, Source};
use super::store::backend::{All, Backend, Change, Doing, Kept, Swapped};
use super::store::{Lease, Store};
use super::vault::Cost;
use super::{Accounts, Reach, Setup, locked};
use crate::config::{AccountSettings, Config};
use crate::oauth::{Error, Grant, Question, Tokens};
use crate::secret::Secret;

pub use super::store::fuzzing::{import_cache, read_store, read_torn};

/// Answers each request for a token.
pub type Answers = Box<dyn Fn() -> Result<Tokens, Error> + Send + Sync>;

/// Opens accounts that get their tokens from `answers`. Consent is asked for and never given.
pub fn open(config: Arc<Config>, answers: Answers) -> Result<Arc<Accounts>, String> {
    let store = Store::with(Arc::<Memory>::default(), All::new());
    let setup = Setup {
        store: PathBuf::from("in memory").into(),
        reach: Reach::default(),
        external_auth: true,
    };
    Accounts::open_on(store, config, Arc::new(Listed(answers)), setup, Cost::CHEAP)
}

struct Listed(Answers);

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listed")
    }
}

impl Source for Listed {
    fn ask<'a>(
        &'a self,
        _account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
        _grant: &'a Grant,
    ) -> Asking<'a> {
        Box::pin(async { (self.0)() })
    }

    fn question<'a>(
        &'a self,
        _account: &'a AccountSettings,
        _secret: Option<&'a Secret<String>>,
    ) -> Asking<'a, Question> {
        let question = Question {
            url: "https://idp.example/auth?state=s".into(),
            state: "s".into(),
            ..Question::default()
        };
        Box::pin(async { Ok(question) })
    }
}

/// A store that forgets.
#[derive(Debug, Default)]
struct Memory(Mutex<All>);

impl Backend for Memory {
    fn name(&self) -> String {
        "memory".into()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn load(&self) -> Doing<'_, All> {
        let all = locked(&self.0).clone();
        Box::pin(async { Ok(all) })
    }

    fn fetch<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Kept>> {
        let kept = locked(&self.0).get(account).cloned();
        Box::pin(async { Ok(kept) })
    }

    fn revisions(&self) -> Doing<'_, BTreeMap<String, u64>> {
        let all = locked(&self.0);
        let revisions = all
            .iter()
            .map(|(name, kept)| (name.clone(), kept.revision))
            .collect();
        Box::pin(async { Ok(revisions) })
    }

    fn swap(&self, changes: Vec<Change>) -> Doing<'_, Vec<Swapped>> {
        let mut all = locked(&self.0);
        let swapped = changes.into_iter().map(|change| {
            let revision = change.expected + 1;
            let record = change.record;
            all.insert(change.account, Kept { record, revision });
            Swapped::Done(revision)
        });
        let swapped = swapped.collect();
        Box::pin(async { Ok(swapped) })
    }

    fn lease<'a>(&'a self, account: &'a str) -> Doing<'a, Option<Lease>> {
        let lease = Lease {
            account: account.to_owned(),
            holder: String::new(),
            lock: None,
        };
        Box::pin(async { Ok(Some(lease)) })
    }

    fn release(&self, _lease: Lease) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
