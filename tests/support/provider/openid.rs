//! The pretend provider's `OpenID` side: a discovery document, device codes that a person approves on a page, ID tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::journal::Voice;
use super::oauth::{Fields, No, random};
use super::{CLIENT_ID, Fault, World};

/// A tenant's id, for issuers that have many.
pub const TENANT: &str = "3f1d7f0a-5a3c-4b47-9d0e-0f6f6f1c2b3a";

/// How the provider behaves as an `OpenID` provider.
#[derive(Clone, Debug, Default)]
pub struct OpenId {
    /// What comes behind the host in the issuer's name; with `common` in it the document names all tenants at once.
    pub path: &'static str,
    /// What stands in the document instead of, or besides, the usual.
    pub document: Option<Value>,
    /// What the document's address answers instead of it.
    pub fault: Option<Fault>,
    /// Who the authorization endpoint says it is (`iss`); nobody unless set. `HERE` stands for the provider's address.
    pub answers_as: Option<String>,
    /// What ID tokens say besides `iss`, `aud` and `sub`; none are given unless set.
    pub claims: Option<Value>,
    /// The `iss` of ID tokens where it is not the issuer's. `HERE` stands for the provider's address.
    pub signs_as: Option<String>,
    /// Whether whoever is asked to approve a device code says no.
    pub declines: bool,
    /// What a poll with a device code is answered next, one error a poll.
    pub poll_errors: Vec<&'static str>,
}

/// Device codes that are out: the user's code, and whether it was approved.
#[derive(Default)]
pub struct Devices {
    all: Mutex<HashMap<String, Device>>,
    documents: Mutex<usize>,
}

#[derive(Clone, Default)]
struct Device {
    user_code: String,
    decided: Option<bool>,
}

impl Devices {
    /// Returns how often the discovery document was fetched.
    pub fn documents(&self) -> usize {
        *self.documents.lock().unwrap()
    }
}

/// The addresses of this side.
pub fn routes() -> Router<Arc<World>> {
    let router = Router::new()
        .route("/devicecode", post(begin))
        .route("/device", get(approve));
    ["", "/common/v2.0", "/realms/mail"]
        .into_iter()
        .fold(router, |router, path| {
            let place = format!("{path}/.well-known/openid-configuration");
            router.route(&place, get(document))
        })
}

/// Returns this provider's address as the client knows it.
fn here(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).unwrap().to_str().unwrap();
    format!("http://{host}")
}

async fn document(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    *world.devices.documents.lock().unwrap() += 1;
    let openid = world.knob(|knobs| knobs.openid.clone());
    world
        .journal
        .note("OAuth2", Voice::Client, "GET the discovery document");
    if let Some(fault) = openid.fault {
        let status = StatusCode::from_u16(fault.status).unwrap();
        let kind = [(header::CONTENT_TYPE, fault.content_type)];
        return (status, kind, fault.body).into_response();
    }
    let here = here(&headers);
    let mut document = json!({
        "issuer": format!("{here}{}", openid.path.replace("common", "{tenantid}")),
        "authorization_endpoint": format!("{here}/authorize"),
        "token_endpoint": format!("{here}/token"),
        "device_authorization_endpoint": format!("{here}/devicecode"),
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    });
    if let Some(Value::Object(more)) = openid.document {
        document.as_object_mut().unwrap().extend(more);
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, document.to_string()).into_response()
}

/// Gives out a device code.
async fn begin(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Form(form): Form<Fields>,
) -> Response {
    if form.get("client_id").map(String::as_str) != Some(CLIENT_ID) || !form.contains_key("scope") {
        let no = json!({"error": "invalid_client", "error_description": "this application is not known"});
        return (StatusCode::UNAUTHORIZED, no.to_string()).into_response();
    }
    let (code, user_code) = (random(40), random(8).to_uppercase());
    let place = format!("{}/device", here(&headers));
    let answer = json!({
        "device_code": code,
        "user_code": user_code,
        "verification_uri": place,
        "verification_uri_complete": format!("{place}?user_code={user_code}"),
        "expires_in": 600,
        "interval": 0,
    });
    let device = Device {
        user_code,
        decided: None,
    };
    world.devices.all.lock().unwrap().insert(code, device);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, answer.to_string()).into_response()
}

/// The page where a person would type the code and say yes.
async fn approve(State(world): State<Arc<World>>, Query(query): Query<Fields>) -> Response {
    let yes = !world.knob(|knobs| knobs.openid.declines);
    let mut all = world.devices.all.lock().unwrap();
    let typed = query.get("user_code");
    match all
        .values_mut()
        .find(|device| Some(&device.user_code) == typed)
    {
        Some(device) => {
            device.decided = Some(yes);
            "thank you, go back to your device".into_response()
        }
        None => (StatusCode::NOT_FOUND, "this code is not known").into_response(),
    }
}

/// Judges a poll; whoever approved is the person that the tests are about.
pub fn poll(world: &World, form: &Fields) -> Result<String, No> {
    let mut next = None;
    world.turn(|knobs| {
        let errors = &mut knobs.openid.poll_errors;
        next = (!errors.is_empty()).then(|| errors.remove(0));
    });
    if let Some(error) = next {
        return Err((error, "as told"));
    }
    let mut all = world.devices.all.lock().unwrap();
    let code = form.get("device_code").cloned().unwrap_or_default();
    let device = all
        .get(&code)
        .ok_or(("expired_token", "this code is unknown or over"))?;
    match device.decided {
        None => Err(("authorization_pending", "nobody has approved it yet")),
        Some(false) => Err(("access_denied", "the person said no")),
        Some(true) => {
            all.remove(&code);
            Ok(world.knob(|knobs| knobs.device_user.clone()))
        }
    }
}

/// Adds who answers to the browser's way back.
pub fn sign_answer(world: &World, headers: &HeaderMap, answer: &mut Vec<(&'static str, String)>) {
    if let Some(issuer) = world.knob(|knobs| knobs.openid.answers_as.clone()) {
        answer.push(("iss", issuer.replace("HERE", &here(headers))));
    }
}

/// Words an ID token, where the provider gives some.
pub fn id_token(world: &World, headers: &HeaderMap) -> Option<String> {
    let openid = world.knob(|knobs| knobs.openid.clone());
    let path = openid.path.replace("common", TENANT);
    let issuer = openid.signs_as.unwrap_or_else(|| format!("HERE{path}"));
    let mut payload = json!({
        "iss": issuer.replace("HERE", &here(headers)),
        "aud": CLIENT_ID,
        "sub": "1",
    });
    let Value::Object(claims) = openid.claims? else {
        return None;
    };
    payload.as_object_mut().unwrap().extend(claims);
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({"alg": "RS256", "kid": "1"});
    Some(format!("{}.{}.c2lnbmF0dXJl", part(&head), part(&payload)))
}
