//! The answer to the page that asks whether somebody else's sign-in is meant: two buttons of a form, taken once.
//!
//! Only our own page may send it, with the one-time value that stands in it. What a yes does is not known here.

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use url::form_urlencoded;

use super::Confirm;
use super::callback::show_when_done;
use super::exchange::Asked;
use super::pages::page;
use super::place::{Place, is_loopback, split_authority};

/// Answers a form that was sent to a place where returns are expected.
pub(super) async fn answer(
    asked: &Asked,
    places: &[Place],
    confirm: &Confirm,
    way: Option<&str>,
) -> Response<String> {
    if !is_from_our_page(&asked.parts, places) {
        return page(
            StatusCode::FORBIDDEN,
            "Not from this page",
            &[
                "This answer was sent by another page than emailproxy's own, and was not taken."
                    .to_owned(),
            ],
        );
    }
    match take(asked) {
        Ok((value, yes)) => show_when_done(confirm(value, yes), way).await,
        Err(status) => page(
            status,
            "This is no answer to a question of emailproxy",
            &["Nothing was changed.".to_owned()],
        ),
    }
}

/// Returns whether no other page can have sent this. What sends neither header is no browser of today; the one-time value
/// has to do for it.
fn is_from_our_page(request: &Parts, places: &[Place]) -> bool {
    let all = |name| request.headers.get_all(name).iter();
    let same_site = all("sec-fetch-site").all(|value| value == "same-origin");
    same_site && all("origin").all(|origin| is_our_origin(origin, request, places))
}

/// Returns whether an origin is the one the request went to, or the name of a redirect address, where a reverse proxy
/// changed the request's own.
fn is_our_origin(origin: &HeaderValue, request: &Parts, places: &[Place]) -> bool {
    let Some((_, authority)) = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };
    let host = request.headers.get(header::HOST);
    if host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return true;
    }
    split_authority(authority).is_some_and(|(name, _)| {
        !is_loopback(&name) && places.iter().any(|place| place.names.contains(&name))
    })
}

/// Reads the form, where it is one.
fn take(asked: &Asked) -> Result<(String, bool), StatusCode> {
    if !asked.is_form() {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    read(&asked.body).ok_or(StatusCode::BAD_REQUEST)
}

/// Reads the one-time value and the button that was pressed.
fn read(form: &[u8]) -> Option<(String, bool)> {
    let (mut value, mut yes) = (None, None);
    for (key, text) in form_urlencoded::parse(form) {
        match key.as_ref() {
            "confirm" if value.is_none() => value = Some(text.into_owned()),
            "answer" if yes.is_none() => {
                yes = Some(match text.as_ref() {
                    "yes" => true,
                    "no" => false,
                    _ => return None,
                });
            }
            _ => return None,
        }
    }
    let value = value.filter(|value| !value.is_empty())?;
    Some((value, yes?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_whole_or_not_at_all() {
        let is = |form: &str| read(form.as_bytes());
        assert_eq!(is("confirm=a-b_c&answer=yes"), Some(("a-b_c".into(), true)));
        assert_eq!(is("answer=no&confirm=x"), Some(("x".into(), false)));
        for bad in [
            "",
            "confirm=x",
            "answer=yes",
            "confirm=&answer=yes",
            "confirm=x&answer=maybe",
            "confirm=x&answer=no&answer=yes",
            "confirm=x&confirm=y&answer=yes",
            "confirm=x&answer=yes&more=1",
        ] {
            assert_eq!(is(bad), None, "{bad}");
        }
    }
}
