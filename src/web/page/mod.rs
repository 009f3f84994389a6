//! The page for people, and what is told to machines at the same address: who is let in to what.
//!
//! Without a session only a return from a provider, `/healthz` and `/readyz` are answered, and `/metrics` where the owner
//! allows it. Changes nothing itself: forms are `forms`'.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio::sync::{Semaphore, watch};
use url::form_urlencoded;

use super::Ears;
use super::callback::{answer_return, is_for_us, not_this_name, unknown};
use super::exchange::Asked;
use super::home::Home;
use super::pages::{self, Policy, page_that_goes_on, page_with_password, with_headers};
use super::place::{Place, split_authority};
use crate::config::WebOptions;
use crate::control::Office;
use crate::secret::Secret;
use access::Access;
pub(super) use events::Events;

mod access;
mod events;
mod forms;
mod metrics;
mod qr;
mod views;

/// How many pages may be told what happens at once.
const LISTENERS: usize = 8;

/// What a browser may do with the page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Plain text for machines.
const TEXT: &str = "text/plain; charset=utf-8";

/// The page.
pub struct Page {
    office: Office,
    home: Home,
    options: Mutex<Arc<WebOptions>>,
    access: Access,
    listeners: Arc<Semaphore>,
}

/// What a request is answered with.
pub(super) enum Reply {
    /// A whole answer.
    Whole(Response<String>),
    /// A stream of events.
    Events(Events),
}

impl Page {
    /// Prepares the page that listens at `address`. The error is for a person.
    pub fn new(office: Office, address: SocketAddr, options: &WebOptions) -> Result<Self, String> {
        Ok(Self {
            office,
            home: Home::new(address, options.base.clone()),
            options: Mutex::new(Arc::new(options.clone())),
            access: Access::new()?,
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        })
    }

    /// Returns where it is.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.home.address
    }

    /// Takes over new options; where it is stays as it was at the start.
    pub fn reload(&self, options: &WebOptions) {
        let mut held = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(options.clone());
    }

    /// Returns the link that opens it next; it is good once.
    pub fn link(&self) -> String {
        let key = self.access.key();
        let key = key.borrow();
        format!("{}open?key={}", self.home.url(), key.reveal())
    }

    /// Tells when the link changes.
    pub fn link_changes(&self) -> watch::Receiver<Secret<String>> {
        self.access.key()
    }

    fn options(&self) -> Arc<WebOptions> {
        Arc::clone(&self.options.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers one request that reached `local` from `peer`; `places` are where returns are expected there.
    pub(super) async fn answer(
        &self,
        asked: &Asked,
        places: &[Place],
        local: SocketAddr,
        peer: SocketAddr,
        ears: &Ears,
    ) -> Reply {
        let request = &asked.parts;
        if !is_for_us(request, places, local, Some(&self.home)) {
            return Reply::Whole(not_this_name());
        }
        let path = self.home.inner(request.uri.path()).to_owned();
        let is_expected = |place: &Place| place.paths.iter().any(|one| one == request.uri.path());
        let expected = places.iter().any(is_expected);
        if let Some(answer) = self.return_of(asked, places, expected, &path, ears).await {
            return Reply::Whole(answer);
        }
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        match path.as_str() {
            "/healthz" if reads => return Reply::Whole(text(StatusCode::OK, "ok\n")),
            "/readyz" if reads => return Reply::Whole(self.ready()),
            "/open" => return Reply::Whole(self.open(asked).await),
            _ => {}
        }
        let cookie = self
            .cookie(request)
            .filter(|value| self.access.knows(value));
        if path == "/metrics" && reads && (cookie.is_some() || self.may_measure(request, peer)) {
            let text = metrics::write(self.office.accounts.meters(), &self.office.overview());
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            return Reply::Whole(with_headers(
                StatusCode::OK,
                kind,
                Policy::Shows(POLICY),
                text,
            ));
        }
        let Some(cookie) = cookie else {
            return Reply::Whole(self.closed(request, &path));
        };
        match request.method {
            Method::POST => Reply::Whole(self.take(asked, &path, &cookie, ears).await),
            Method::GET => self.show(request, &path, &cookie),
            _ => Reply::Whole(pages::page(
                StatusCode::METHOD_NOT_ALLOWED,
                "Only GET and POST are answered",
                &[],
            )),
        }
    }

    /// Answers a return from a provider: what carries a state, and what is sent to where returns are expected.
    async fn return_of(
        &self,
        asked: &Asked,
        places: &[Place],
        expected: bool,
        path: &str,
        ears: &Ears,
    ) -> Option<Response<String>> {
        let request = &asked.parts;
        let query = request.uri.query().unwrap_or_default();
        let way = self.home.url();
        let states = request.method == Method::GET
            && form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "state");
        let own = ["/", "/sign-in"].contains(&path);
        let is_return = match request.method {
            // Questions of a return's page are answered to where it came to.
            Method::POST => expected && path != "/sign-in" && path != "/answer",
            _ => states || !own,
        };
        if expected && is_return {
            return Some(answer_return(asked, places, ears, Some(&way)).await);
        }
        (states && path == "/").then(|| unknown(Some(&way)))
    }

    /// Says whether logins can be served. Whoever asks learns nothing else.
    fn ready(&self) -> Response<String> {
        let overview = self.office.overview();
        let mut accounts = overview.accounts.iter();
        let usable = overview.accounts.is_empty() || accounts.any(|one| one.standing.is_usable());
        if overview.services.is_empty() {
            text(StatusCode::SERVICE_UNAVAILABLE, "no service listens\n")
        } else if usable {
            text(StatusCode::OK, "ready\n")
        } else {
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "every account waits for a person\n",
            )
        }
    }

    /// Returns whether `/metrics` may be read from there. What came through a reverse proxy has that one's address, which
    /// says nothing.
    fn may_measure(&self, request: &Parts, peer: SocketAddr) -> bool {
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        let from = peer.ip().to_canonical();
        let options = self.options();
        let mut networks = options.metrics_from.iter();
        !forwarded
            .iter()
            .any(|name| request.headers.contains_key(*name))
            && !self.is_asked_by_base(request)
            && networks.any(|network| network.contains(&from))
    }

    /// Returns whether the request names the host that a reverse proxy is known by.
    fn is_asked_by_base(&self, request: &Parts) -> bool {
        let host = request.headers.get(header::HOST);
        let host = host.and_then(|host| split_authority(host.to_str().ok()?));
        host.is_some_and(|(host, port)| self.home.is_named(&host, port))
    }

    /// Opens a session for a link or a password.
    async fn open(&self, asked: &Asked) -> Response<String> {
        let query = asked.parts.uri.query().unwrap_or_default();
        if asked.parts.method == Method::GET {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let key = pairs.find(|(name, _)| name == "key");
            return match key {
                Some((_, key)) if self.access.spend_key(&key) => self.let_in(&asked.parts),
                _ => self.ask_for_link("This link is not good any more"),
            };
        }
        if asked.parts.method != Method::POST || !self.is_own_form(asked) {
            return foreign();
        }
        let Some(right) = self.options().password.clone() else {
            return foreign();
        };
        let given = forms::read(&asked.body);
        let given = given.as_ref().and_then(|form| form.password.as_ref());
        let given = given.map_or("", |given| given.reveal().as_str());
        match self.access.guess(given, &right).await {
            access::Guess::Right => self.let_in(&asked.parts),
            access::Guess::Wrong => {
                tracing::warn!("a wrong password was sent to the page");
                page_with_password(StatusCode::FORBIDDEN, "Wrong password", &[])
            }
            access::Guess::TooMany => pages::page(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many passwords at once",
                &["Try again in a moment.".to_owned()],
            ),
        }
    }

    /// Begins a session and leads to the clean address.
    fn let_in(&self, request: &Parts) -> Response<String> {
        let Ok(value) = self.access.begin() else {
            return self.ask_for_link("This did not work");
        };
        tracing::info!("a browser has opened the page");
        let (path, secure) = match &self.home.base {
            Some(base) if self.is_asked_by_base(request) => (
                base.path(),
                if base.scheme() == "https" {
                    "; Secure"
                } else {
                    ""
                },
            ),
            _ => ("/", ""),
        };
        let name = self.cookie_name();
        let mut answer = see("./");
        let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        answer
    }

    /// Browsers send a cookie to every port of its host, so that each page's has a name of its own.
    fn cookie_name(&self) -> String {
        format!("emailproxy-{}", self.home.spot.port)
    }

    /// Returns the session's cookie.
    fn cookie(&self, request: &Parts) -> Option<String> {
        let name = self.cookie_name();
        let all = request.headers.get_all(header::COOKIE).iter();
        let pairs = all.filter_map(|header| header.to_str().ok());
        let mut pairs = pairs.flat_map(|header| header.split(';'));
        pairs.find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
    }

    /// Answers whoever has no session.
    fn closed(&self, request: &Parts, path: &str) -> Response<String> {
        let from = request.headers.get("sec-fetch-site");
        if path == "/"
            && request.method == Method::GET
            && from.is_some_and(|from| from == "cross-site" || from == "same-site")
        {
            // The cookie is held back where another site led here. A visit that begins here brings it.
            return page_that_goes_on("One moment", &[], "./");
        }
        self.ask_for_link("This page is its owner's")
    }

    /// Asks for a link, and for the password where there is one.
    fn ask_for_link(&self, headline: &str) -> Response<String> {
        let lines = [
            "Run `emailproxy web` on the machine where emailproxy runs, as its user, and open the link that it prints. A link is good once."
                .to_owned(),
        ];
        match self.options().password {
            Some(_) => page_with_password(StatusCode::FORBIDDEN, headline, &lines),
            None => pages::page_with_link(
                StatusCode::FORBIDDEN,
                headline,
                &lines,
                Some(("./", "I have done so: try again")),
            ),
        }
    }

    /// Shows something to whoever has a session.
    fn show(&self, request: &Parts, path: &str, cookie: &str) -> Reply {
        let account = || {
            let query = request.uri.query().unwrap_or_default();
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, _)| key == "account");
            found.map(|(_, name)| name.into_owned()).unwrap_or_default()
        };
        Reply::Whole(match path {
            "/" => self.accounts_page(cookie),
            "/part" => self.accounts_part(cookie),
            "/sign-in" => self.sign_in_page(cookie, &account(), None),
            "/code.svg" => self.code_picture(&account()),
            "/events" => match Arc::clone(&self.listeners).try_acquire_owned() {
                Ok(seat) => {
                    let (_, lines) = self.office.recent.lines();
                    let pending = self.office.accounts.pending();
                    return Reply::Events(Events {
                        lines,
                        pending,
                        seat,
                    });
                }
                Err(_) => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many pages are open; this one does not follow by itself\n",
                ),
            },
            "/page.css" => asset("text/css; charset=utf-8", include_str!("page.css")),
            "/page.js" => asset("text/javascript; charset=utf-8", include_str!("page.js")),
            "/icon.svg" => asset("image/svg+xml", include_str!("icon.svg")),
            _ => pages::page_with_link(
                StatusCode::NOT_FOUND,
                "Nothing here",
                &[],
                Some(("./", "To all accounts")),
            ),
        })
    }

    /// Returns whether our own page sent a form: its origin is ours, and the browser says so.
    fn is_own_form(&self, asked: &Asked) -> bool {
        let headers = &asked.parts.headers;
        let one = |name: &str| {
            let mut all = headers.get_all(name).iter();
            match (all.next(), all.next()) {
                (Some(value), None) => value.to_str().ok(),
                _ => None,
            }
        };
        let (Some(origin), Some(host)) = (one("origin"), one("host")) else {
            return false;
        };
        let site = headers.get_all("sec-fetch-site").iter();
        let near = origin.eq_ignore_ascii_case(&format!("http://{host}"));
        let base = self.home.base.as_ref();
        let behind = base
            .is_some_and(|base| origin.eq_ignore_ascii_case(&base.origin().ascii_serialization()));
        asked.is_form() && (near || behind) && site.into_iter().all(|site| site == "same-origin")
    }
}

/// Refuses a form that is not our own page's, or not a new one.
fn foreign() -> Response<String> {
    pages::page_with_link(
        StatusCode::FORBIDDEN,
        "This was not taken",
        &[
            "The page it was sent from is another one than emailproxy's own, or was used already. Nothing was changed."
                .to_owned(),
        ],
        Some(("./", "To all accounts")),
    )
}

/// Leads to another address of ours.
fn see(to: &str) -> Response<String> {
    let mut answer = text(StatusCode::SEE_OTHER, "");
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

fn text(status: StatusCode, words: &str) -> Response<String> {
    with_headers(status, TEXT, Policy::Shows(POLICY), words.to_owned())
}

fn asset(kind: &'static str, content: &str) -> Response<String> {
    with_headers(
        StatusCode::OK,
        kind,
        Policy::Shows(POLICY),
        content.to_owned(),
    )
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
