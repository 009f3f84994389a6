//! For the fuzzer alone: what endpoints send, judged as if it had come over the network. No other program is built with
//! this.

use oauth2::HttpResponse;
use oauth2::http::{HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::answer::{self, Asked};
use super::id_token::{self, Expected};
use super::quiet::Quiet;
use super::{DeviceCode, Error, SignedIn, Tokens, asking, device, discovery};
use crate::said::Said;

/// An answer that came over the network.
#[derive(Clone, Debug)]
pub struct Came<'a> {
    /// The status.
    pub status: u16,
    /// Headers; those that are none are left out.
    pub headers: Vec<(&'static str, &'a [u8])>,
    /// The body.
    pub body: Vec<u8>,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The form that was sent.
    pub form: &'a [u8],
    /// Whether what was handed in can die.
    pub mortal: bool,
    /// Whether a device code was polled with.
    pub polling: bool,
}

impl Came<'_> {
    fn answer(self) -> HttpResponse {
        let mut answer = HttpResponse::new(self.body);
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                let name = HeaderName::from_static(name);
                answer.headers_mut().append(name, value);
            }
        }
        answer
    }
}

impl Question<'_> {
    fn asked(self) -> Asked {
        Asked {
            key: "token_url",
            mortal: self.mortal,
            polling: self.polling,
            quiet: Quiet::of_form(self.form),
        }
    }
}

/// Judges the answer to a token request.
pub fn tokens(came: Came<'_>, question: Question<'_>) -> Result<Tokens, Error> {
    super::skew::notice(came.clone().answer().headers());
    asking::read(&answer::straighten(&came.answer(), &question.asked())?)
}

/// Judges the answer to a request for a device code: the code and the address to show.
pub fn device_code(
    came: Came<'_>,
    question: Question<'_>,
) -> Result<Result<(DeviceCode, String), String>, Error> {
    let asked = question.asked();
    let object = answer::object(&came.answer(), &asked)?;
    let code = device::read_code(&object, &asked.quiet).map(|code| {
        let way = device::shortest_way(&object, &code.verification_url);
        (code, way)
    });
    Ok(code)
}

/// Reads an issuer's document: its endpoints for consent, tokens and device codes.
pub fn document(configured: &str, body: &[u8]) -> Option<Result<[Option<String>; 3], String>> {
    let url = Url::parse(configured).ok()?;
    let object = answer::read_object(body)?;
    let read = discovery::read(configured, &url, &object);
    Some(read.map(|known| [known.authorize, known.token, known.device]))
}

/// Reads an ID token that has to be for `client_id` and from `issuer`.
pub fn id_token(token: &str, client_id: &str, issuer: &str) -> Result<Option<SignedIn>, Said> {
    let Some(claims) = id_token::read(token) else {
        return Ok(None);
    };
    let expected = Expected {
        client_id,
        issuer: Some(issuer),
        answered_by: None,
    };
    id_token::prove(&claims, &expected)
}
