//! What the page shows: accounts and services at a glance, one account's sign-in, the last log lines.
//!
//! The templates escape all that is put in. Knows no requests.

use askama::Template;
use http::{Response, StatusCode};
use url::form_urlencoded;

use super::{POLICY, Page, qr};
use crate::accounts::{AccountState, Pending, Standing};
use crate::control::{Overview, words};
use crate::said::Said;
use crate::web::pages::{self, Policy, with_headers};

/// How many log lines a page begins with.
const LINES: usize = 200;

/// The page with everything.
#[derive(Template)]
#[template(path = "page.html")]
struct Whole<'p> {
    part: Part<'p>,
    log: Vec<String>,
}

/// What of it is shown anew when something changed.
#[derive(Template)]
#[template(path = "part.html")]
struct Part<'p> {
    about: String,
    summary: String,
    urgent: bool,
    accounts: Vec<View<'p>>,
    overview: &'p Overview,
    value: String,
}

/// One account's sign-in.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'p> {
    name: Said,
    account: Option<View<'p>>,
    pending: Option<&'p Pending>,
    /// How long its code is still good, in seconds, and in words.
    left: Option<(u64, String)>,
    drawn: bool,
    query: String,
    complaint: Option<Said>,
    value: String,
}

/// An account as it is shown.
struct View<'p> {
    state: &'p AccountState,
    name: Said,
    query: String,
    badge: &'static str,
    mood: &'static str,
    facts: Vec<String>,
    error: Option<Said>,
    /// What the button says, where a person signs in.
    button: Option<&'static str>,
}

impl<'p> View<'p> {
    fn of(state: &'p AccountState) -> Self {
        let by_person = state.is_signed_in_by_person();
        let failing = state.last_error.is_some();
        let (badge, mood) = match state.standing {
            Standing::Waiting if state.signed_in.is_some() => ("Your answer is needed", "act"),
            Standing::Waiting => ("Waiting for sign-in", "act"),
            Standing::NeedsSignIn => ("Sign-in needed", "act"),
            Standing::Incomplete => ("Not set up", "bad"),
            _ if failing => ("Failing", "bad"),
            Standing::Unsealed => ("Signed in, not yet saved", "soft"),
            Standing::Locked => ("Locked", "soft"),
            Standing::Ready if state.expires_in.is_some() || state.state == "authorised" => {
                ("Signed in", "good")
            }
            Standing::Ready => ("Ready", "good"),
        };
        let button = match state.standing {
            _ if !by_person => None,
            Standing::Incomplete => None,
            Standing::Waiting if state.signed_in.is_some() => Some("Answer"),
            Standing::Waiting => Some("Continue sign-in"),
            Standing::NeedsSignIn => Some("Sign in"),
            Standing::Ready | Standing::Locked | Standing::Unsealed => Some("Sign in again"),
        };
        let explained = match state.standing {
            Standing::Locked | Standing::Unsealed => Some(sentence(&state.state)),
            Standing::Ready if state.expires_in.is_none() && state.state != "authorised" => {
                Some(sentence(&state.state))
            }
            _ => None,
        };
        let facts = explained
            .into_iter()
            .chain(words::token(state).map(|text| sentence(&text)))
            .chain(words::use_of(state).map(|text| sentence(&text)));
        Self {
            state,
            name: Said::new(&state.account),
            query: query(&state.account),
            badge,
            mood,
            facts: facts.collect(),
            error: state.failure().map(Said::new),
            button,
        }
    }

    /// Returns whether somebody should do something.
    fn is_urgent(&self) -> bool {
        self.mood == "act"
    }

    /// Returns what its grant is called among people.
    fn grant(&self) -> &str {
        match self.state.grant.as_str() {
            "authorization_code" => "sign-in in the browser",
            "device" => "sign-in with a code",
            "client_credentials" => "the application's own access",
            "password" => "password at the provider",
            "service_account" => "service account",
            "managed_identity" => "managed identity",
            other => other,
        }
    }

    /// Returns in which order accounts are shown: those first that wait for somebody.
    fn rank(&self) -> (u8, &str) {
        let rank = match (self.state.standing, self.mood) {
            (Standing::Waiting, _) => 0,
            (Standing::NeedsSignIn, _) => 1,
            (_, "bad") => 2,
            (Standing::Unsealed, _) => 3,
            _ => 4,
        };
        (rank, &self.state.account)
    }
}

impl Page {
    /// Shows everything.
    pub(super) fn accounts_page(&self, cookie: &str) -> Response<String> {
        let overview = self.office.overview();
        let (lines, _) = self.office.recent.lines();
        let log = lines.iter().skip(lines.len().saturating_sub(LINES));
        let whole = Whole {
            part: self.part(&overview, cookie),
            log: log.map(ToString::to_string).collect(),
        };
        shown(StatusCode::OK, whole.render())
    }

    /// Shows what of it changes.
    pub(super) fn accounts_part(&self, cookie: &str) -> Response<String> {
        let overview = self.office.overview();
        shown(StatusCode::OK, self.part(&overview, cookie).render())
    }

    fn part<'p>(&self, overview: &'p Overview, cookie: &str) -> Part<'p> {
        let mut accounts: Vec<View<'_>> = overview.accounts.iter().map(View::of).collect();
        accounts.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let urgent = accounts.iter().filter(|view| view.is_urgent()).count();
        let failing = accounts.iter().filter(|view| view.mood == "bad").count();
        let summary = match (urgent, failing, accounts.len()) {
            (0, 0, 0) => "No account has been used yet.".to_owned(),
            (0, 0, 1) => "The account is well.".to_owned(),
            (0, 0, all) => format!("All {all} accounts are well."),
            (0, failing, _) => format!("{} failing.", words::count(failing, "account")),
            (1, _, _) => "1 account needs you.".to_owned(),
            (urgent, _, _) => format!("{urgent} accounts need you."),
        };
        Part {
            about: format!(
                "Version {}, up {}, {}",
                overview.version,
                words::duration(overview.uptime),
                words::count(overview.connections, "connection")
            ),
            summary,
            urgent: urgent > 0,
            accounts,
            overview,
            value: self.access.value(cookie).unwrap_or_default(),
        }
    }

    /// Shows one account's sign-in, with a complaint about what was tried.
    pub(super) fn sign_in_page(
        &self,
        cookie: &str,
        name: &str,
        complaint: Option<&str>,
    ) -> Response<String> {
        let overview = self.office.overview();
        let pending = self.pending_of(name);
        let account = overview.accounts.iter().find(|one| one.account == name);
        if account.is_none() && pending.is_none() && complaint.is_none() {
            return pages::page_with_link(
                StatusCode::NOT_FOUND,
                "No such account",
                &[],
                Some(("./", "To all accounts")),
            );
        }
        let code = pending.as_ref().and_then(|pending| pending.code.as_ref());
        let left = code.map(|code| {
            let left = code
                .until
                .saturating_duration_since(tokio::time::Instant::now());
            (left.as_secs(), words::duration(left.as_secs()))
        });
        let page = SignIn {
            name: Said::new(name),
            account: account.map(View::of),
            drawn: code.is_some() && self.code_of(name).is_some(),
            pending: pending.as_ref(),
            left,
            query: query(name),
            complaint: complaint.map(Said::new),
            value: self.access.value(cookie).unwrap_or_default(),
        };
        shown(StatusCode::OK, page.render())
    }

    /// Draws the address of an account's device code.
    pub(super) fn code_picture(&self, name: &str) -> Response<String> {
        match self.code_of(name) {
            Some(svg) => with_headers(StatusCode::OK, "image/svg+xml", Policy::Shows(POLICY), svg),
            None => pages::page(StatusCode::NOT_FOUND, "Nothing here", &[]),
        }
    }

    fn code_of(&self, name: &str) -> Option<String> {
        let pending = self.pending_of(name)?;
        pending.code.as_ref()?;
        qr::draw(&pending.url)
    }

    fn pending_of(&self, name: &str) -> Option<Pending> {
        let pending = self.office.accounts.pending();
        let all = pending.borrow();
        all.iter().find(|one| one.account == name).cloned()
    }
}

/// Makes the answer that shows a page with forms.
fn shown(status: StatusCode, html: askama::Result<String>) -> Response<String> {
    // A page of texts can always be rendered.
    let html = html.unwrap_or_default();
    with_headers(
        status,
        "text/html; charset=utf-8",
        Policy::Asks(POLICY),
        html,
    )
}

/// Words an account as a query.
fn query(account: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("account", account).finish()
}

/// Begins a text with a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
