//! One request of a browser: is it a return from a consent, for which, and what is it told.
//! What a page's buttons send is `confirm`'s.
//!
//! Everything that is no proper return is refused without disturbing a consent. Knows no sockets.

use std::net::SocketAddr;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use url::form_urlencoded;

use super::exchange::Asked;
use super::home::Home;
use super::pages::{Choice, page, page_with_choice, page_with_link};
use super::place::{Place, is_loopback, split_authority};
use super::{Ears, confirm};
use crate::accounts::{Answer, Outcome};
use crate::said::Said;
use crate::secret::Secret;

/// The most parameters of a return; providers send half a dozen.
const MAX_PARAMETERS: usize = 100;

/// What the link says that leads to the page with all accounts.
const TO_THE_PAGE: &str = "To all accounts";

/// Answers one request that reached `local`; `places` are where returns are expected there.
pub(super) async fn answer(
    asked: &Asked,
    places: &[Place],
    local: SocketAddr,
    ears: &Ears,
    way: Option<&str>,
) -> Response<String> {
    if !is_for_us(&asked.parts, places, local, None) {
        return not_this_name();
    }
    answer_return(asked, places, ears, way).await
}

/// Refuses what asks for us by a name that is not ours.
pub(super) fn not_this_name() -> Response<String> {
    page(
        StatusCode::FORBIDDEN,
        "Not this name",
        &[
            "emailproxy answers only under the name of its redirect address, or of its `base_url`."
                .to_owned(),
            "If a reverse proxy stands in front, let it pass the Host header on unchanged."
                .to_owned(),
        ],
    )
}

/// Answers what may be a return; `way` leads to the page, where there is one.
pub(super) async fn answer_return(
    asked: &Asked,
    places: &[Place],
    ears: &Ears,
    way: Option<&str>,
) -> Response<String> {
    let request = &asked.parts;
    let here = |place: &&Place| place.paths.iter().any(|path| path == request.uri.path());
    let expected: Vec<&Place> = places.iter().filter(here).collect();
    if expected.is_empty() {
        return page(StatusCode::NOT_FOUND, "Nothing here", &[]);
    }
    if request.method == Method::POST {
        return confirm::answer(asked, places, &ears.confirm, way).await;
    }
    if request.method != Method::GET {
        let mut refused = page(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and POST are answered",
            &[],
        );
        let allowed = HeaderValue::from_static("GET, POST");
        refused.headers_mut().insert(header::ALLOW, allowed);
        return refused;
    }
    let brought = match read(request.uri.query().unwrap_or_default()) {
        Ok(brought) => Answer {
            came_to: Some(expected.iter().map(|place| place.account.clone()).collect()),
            ..brought
        },
        Err(why) => {
            return page(
                StatusCode::BAD_REQUEST,
                "This is no answer of a provider",
                &[
                    why.to_owned(),
                    "Sign in by the address in emailproxy's log, or run `emailproxy authorize ACCOUNT`."
                        .to_owned(),
                ],
            );
        }
    };
    // To the end: the code is good for one use, so a closed browser must not stop its redemption.
    show_when_done((ears.finish)(brought), way).await
}

/// Does what a browser asked for, even if it is closed meanwhile, and shows what came of it.
pub(super) async fn show_when_done(
    doing: impl Future<Output = Outcome> + Send + 'static,
    way: Option<&str>,
) -> Response<String> {
    match tokio::spawn(doing).await {
        Ok(outcome) => show(&outcome, way),
        Err(_) => page(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong",
            &["See emailproxy's log.".to_owned()],
        ),
    }
}

/// Returns whether the request names a host and port by which we may be called, lest a foreign page reaches us through a
/// name that it made point here.
pub(super) fn is_for_us(
    request: &Parts,
    places: &[Place],
    local: SocketAddr,
    home: Option<&Home>,
) -> bool {
    let host = request.headers.get(header::HOST);
    let Some((host, port)) = host.and_then(|host| split_authority(host.to_str().ok()?)) else {
        return false;
    };
    // What a request says in its first line goes before the header; here they have to agree.
    let same = match request.uri.authority() {
        Some(other) => {
            split_authority(other.as_str()).is_some_and(|other| other == (host.clone(), port))
        }
        None => true,
    };
    let known = is_loopback(&host)
        || host.parse() == Ok(local.ip().to_canonical())
        || places.iter().any(|place| place.names.contains(&host));
    let known_port =
        |port| port == local.port() || places.iter().any(|place| place.ports.contains(&port));
    let at_home = home.is_some_and(|home| home.is_named(&host, port));
    same && (at_home || known && port.is_none_or(known_port))
}

/// Reads what the provider sent along; every value is decoded once.
fn read(query: &str) -> Result<Answer, &'static str> {
    let mut seen = Vec::new();
    let mut answer = Answer::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&key) {
            return Err("A parameter is given twice.");
        }
        if seen.len() >= MAX_PARAMETERS {
            return Err("It has more parameters than any answer.");
        }
        let text = value.into_owned();
        match key.as_ref() {
            "state" => answer.state = text,
            "code" => answer.code = Some(Secret::new(text)),
            "error" => answer.error = Some(Said::from(text.as_str())),
            "error_description" => answer.error_description = Some(Said::from(text.as_str())),
            "iss" => answer.issuer = Some(text),
            _ => {}
        }
        seen.push(key);
    }
    if answer.state.is_empty() {
        return Err("The address lacks the `state` that belongs to a sign-in.");
    }
    let code = answer
        .code
        .as_ref()
        .filter(|code| !code.reveal().is_empty());
    if code.is_none() && answer.error.is_none() {
        return Err("The address holds neither a `code` nor an `error`.");
    }
    Ok(answer)
}

/// Makes the page for what came of a return; `way` leads to the page with all accounts, where there is one.
fn show(outcome: &Outcome, way: Option<&str>) -> Response<String> {
    let page = |status, headline, lines: &[String]| {
        page_with_link(status, headline, lines, way.map(|way| (way, TO_THE_PAGE)))
    };
    match outcome {
        Outcome::Authorised { account } => page(
            StatusCode::OK,
            "Sign-in succeeded",
            &[
                format!("The account {} is authorised.", Said::from(account.as_str())),
                "You can close this window; the mail program goes on by itself.".to_owned(),
            ],
        ),
        Outcome::Failed { account, why } => page(
            StatusCode::BAD_REQUEST,
            "Sign-in failed",
            &[
                format!(
                    "Signing in the account {} failed because: {}",
                    Said::from(account.as_str()),
                    why
                ),
                match way {
                    Some(_) => "To try again, sign in on emailproxy's page, or let the mail program log in again.",
                    None => "emailproxy's log has the full reason. To try again, let the mail program log in again.",
                }
                .to_owned(),
            ],
        ),
        Outcome::Differs {
            account,
            signed_in,
            confirm,
        } => {
            let (who, account) = (signed_in.short(), Said::from(account.as_str()));
            page_with_choice(
                StatusCode::CONFLICT,
                "Somebody else signed in",
                &[
                    format!("You signed in as {who}, for the mail account {account}."),
                    "That is right for a shared mailbox or an alias, and wrong if the browser was still signed in as \
                     somebody else. Nothing is stored until you say so, within ten minutes."
                        .to_owned(),
                ],
                &Choice {
                    confirm: confirm.clone(),
                    yes: format!("Yes, use {who} for {account}"),
                    no: "No, sign in again".to_owned(),
                },
            )
        }
        Outcome::Again(pending) => page_with_link(
            StatusCode::OK,
            "Nothing was stored",
            &[
                format!(
                    "Sign in again for the account {}; sign the other one out first, or use a private window, if the \
                     provider does not ask who you are.",
                    Said::from(pending.account.as_str())
                ),
            ],
            Some((&pending.url, "Sign in again")),
        ),
        Outcome::Unknown => unknown(way),
    }
}

/// Refuses a return that belongs to no sign-in.
pub(super) fn unknown(way: Option<&str>) -> Response<String> {
    let advice = match way {
        Some(_) => "Begin again on emailproxy's page, or let the mail program log in again.",
        None => "Let the mail program log in again and use the newest address in emailproxy's log.",
    };
    page_with_link(
        StatusCode::BAD_REQUEST,
        "This sign-in is not known",
        &[
            "It was used already, is too old, or did not begin here.".to_owned(),
            advice.to_owned(),
        ],
        way.map(|way| (way, TO_THE_PAGE)),
    )
}
