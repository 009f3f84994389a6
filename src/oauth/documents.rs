//! Issuers' discovery documents: fetched when somebody needs one, kept for a day, used for a week where the issuer
//! does not answer.
//!
//! One request at a time for an issuer, however many wait for it, and none right behind one that failed. Does not know
//! what the documents are for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oauth2::HttpResponse;
use tokio::time::Instant;
use url::Url;

use super::Error;
use super::answer::{self, Asked};
use super::asking::{Asking, address};
use super::discovery::{self, Metadata};
use super::post::Request;
use super::quiet::Quiet;
use crate::said::Said;

/// How long a document is good.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one is used where no newer one comes.
const USED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long nobody is asked again after a failure, where there is no document at all.
const PAUSE: Duration = Duration::from_secs(10);

/// The same where an old document serves meanwhile: nobody waits for this.
const LONG_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The documents of all issuers.
#[derive(Debug, Default)]
pub(super) struct Documents(Mutex<HashMap<String, Arc<Shelf>>>);

/// One issuer's document. Whoever fetches it holds the lock meanwhile, so that all others wait for the same request.
type Shelf = tokio::sync::Mutex<Kept>;

/// What is known of an issuer.
#[derive(Debug, Default)]
struct Kept {
    /// The last good document, and when it came.
    good: Option<(Instant, Arc<Metadata>)>,
    /// The last failure since then, and when it was.
    failed: Option<(Instant, Error)>,
}

impl Documents {
    /// Returns an issuer's document, fetched by `asking` if need be.
    pub(super) async fn of(
        &self,
        issuer: &str,
        asking: &Asking<'_>,
    ) -> Result<Arc<Metadata>, Error> {
        let url = address("issuer", issuer)?;
        let ours = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(url.to_string()).or_default())
        };
        let mut kept = ours.lock().await;
        if let Some(answer) = kept.answer() {
            return answer;
        }
        let fetched = tokio::time::timeout(asking.whole, fetch(issuer, &url, asking)).await;
        let late = format!("no answer within {} s", asking.whole.as_secs_f32());
        match fetched.unwrap_or_else(|_| Err(failed(issuer, &late))) {
            Ok(metadata) => {
                if metadata.lacks_s256 {
                    tracing::info!(
                        "the issuer {url} does not list S256 among its PKCE methods; should its sign-in page refuse, set \
                         `use_pkce = False` for its accounts"
                    );
                }
                let metadata = Arc::new(metadata);
                kept.good = Some((Instant::now(), Arc::clone(&metadata)));
                kept.failed = None;
                Ok(metadata)
            }
            Err(error) => {
                if kept.usable().is_some() {
                    tracing::warn!("{error}; what it said before is used meanwhile");
                }
                kept.failed = Some((Instant::now(), error.clone()));
                kept.usable().ok_or(error)
            }
        }
    }
}

impl Kept {
    /// Returns what can be said without asking.
    fn answer(&self) -> Option<Result<Arc<Metadata>, Error>> {
        if let Some((came, metadata)) = &self.good
            && came.elapsed() < GOOD_FOR
        {
            return Some(Ok(Arc::clone(metadata)));
        }
        let (when, error) = self.failed.as_ref()?;
        match self.usable() {
            Some(old) => (when.elapsed() < LONG_PAUSE).then_some(Ok(old)),
            None => (when.elapsed() < PAUSE).then(|| Err(error.clone())),
        }
    }

    /// Returns the last good document while it is not too old to be used at all.
    fn usable(&self) -> Option<Arc<Metadata>> {
        let (came, metadata) = self.good.as_ref()?;
        (came.elapsed() < USED_FOR).then(|| Arc::clone(metadata))
    }
}

/// Looks for an issuer's document in every place it may be.
async fn fetch(issuer: &str, url: &Url, asking: &Asking<'_>) -> Result<Metadata, Error> {
    let asked = Asked {
        key: "issuer",
        ..Asked::default()
    };
    let mut noes: Vec<String> = Vec::new();
    for place in discovery::places(url) {
        let request = Request {
            url: &place,
            form: None,
            headers: &[],
            once: false,
            direct: false,
            key: asked.key,
        };
        let answer = asking.send(&request, &Quiet::default()).await;
        let answer = answer.map_err(|error| failed(issuer, &error.to_string()))?;
        match answer::object(&answer, &asked) {
            Ok(document) => {
                return discovery::read(issuer, url, &document).map_err(|fault| {
                    let why = format!("{place}: {fault}");
                    Error::Misconfigured(failed(issuer, &why).to_string())
                });
            }
            Err(error) if is_in_trouble(&answer) => {
                return Err(failed(issuer, &format!("{place}: {error}")));
            }
            Err(error) => noes.push(format!("{}: {error}", place.path())),
        }
    }
    let why = format!(
        "{}; if it has no discovery document, write `permission_url` and `token_url` instead",
        noes.join("; ")
    );
    Err(failed(issuer, &why))
}

/// Returns whether a server has troubles of its own, so that it need not be asked in other ways.
fn is_in_trouble(answer: &HttpResponse) -> bool {
    answer.status().is_server_error() || answer.status().as_u16() == 429
}

/// Words a failure: what was asked, and what came.
fn failed(issuer: &str, why: &str) -> Error {
    Error::Unavailable(Said::new(format!(
        "could not learn the endpoints of the issuer {} (`issuer`): {why}",
        Said::from(issuer).short()
    )))
}
