//! The pretend OAuth2 endpoints: authorization code with PKCE, refresh with rotation, client credentials, passwords,
//! service accounts.
//!
//! Strict where providers are strict: wrong clients, redirects, verifiers, used codes, dead refresh tokens and two proofs
//! at once are refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::journal::Voice;
use super::trust::Trust;
use super::{CLIENT_ID, CLIENT_SECRET, World, machine, openid};

/// The name of a service account's grant (RFC 7523 section 2.1).
const SERVICE_ACCOUNT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The name of an application's assertion (RFC 7523 section 2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The name of the device grant (RFC 8628 section 3.4).
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub type Fields = HashMap<String, String>;

/// Who holds which code and token.
#[derive(Default)]
pub struct Register {
    codes: Mutex<HashMap<String, Fields>>,
    access: Mutex<HashMap<String, Access>>,
    refresh: Mutex<HashMap<String, Refresh>>,
    requests: Mutex<Vec<Fields>>,
    visits: Mutex<Vec<Fields>>,
    passwords: Mutex<Fields>,
    /// Whose signatures are believed.
    pub trust: Trust,
}

struct Access {
    /// Whose mailbox it opens; `None` opens any, as an application's own token does.
    user: Option<String>,
    until: Instant,
}

struct Refresh {
    user: String,
    used: bool,
}

impl Register {
    /// Returns whether a token opens a mailbox now.
    pub fn opens(&self, token: &str, user: &str) -> bool {
        let access = self.access.lock().unwrap();
        access.get(token).is_some_and(|access| {
            access.until > Instant::now()
                && access.user.as_deref().is_none_or(|owner| owner == user)
        })
    }

    /// Returns the forms that the token endpoint was sent, in order, failed ones included.
    pub fn requests(&self) -> Vec<Fields> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns how many requests for a grant the token endpoint has seen.
    pub fn count(&self, grant: &str) -> usize {
        self.requests()
            .iter()
            .filter(|form| form.get("grant_type").is_some_and(|seen| seen == grant))
            .count()
    }

    /// Returns the queries that the authorization endpoint was visited with.
    pub fn visits(&self) -> Vec<Fields> {
        self.visits.lock().unwrap().clone()
    }

    /// Ends every access token, as a provider does when a session is revoked.
    pub fn end_access(&self) {
        self.access.lock().unwrap().clear();
    }

    /// Kills every refresh token.
    pub fn revoke(&self) {
        self.refresh.lock().unwrap().clear();
    }

    /// Gives a user a password, or a new one.
    pub fn set_password(&self, user: &str, password: &str) {
        let mut passwords = self.passwords.lock().unwrap();
        passwords.insert(user.to_owned(), password.to_owned());
    }

    /// Notes what an endpoint was sent.
    pub(super) fn note(&self, fields: Fields) {
        self.requests.lock().unwrap().push(fields);
    }

    /// Believes a token, for one mailbox or for any.
    pub fn admit(&self, token: String, user: Option<String>, lifetime: Duration) {
        // A little longer than promised, as providers allow for clocks that differ.
        let until = Instant::now() + lifetime + Duration::from_secs(300);
        self.access
            .lock()
            .unwrap()
            .insert(token, Access { user, until });
    }
}

/// Starts the endpoints.
pub async fn serve(world: Arc<World>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/metadata/identity/oauth2/token", get(machine::token))
        .merge(openid::routes())
        .with_state(world);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, task)
}

/// The page where a person would sign in; here everybody is signed in already and says yes.
async fn authorize(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(query): Query<Fields>,
) -> Response {
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    let register = &world.register;
    register.visits.lock().unwrap().push(query.clone());
    let redirect = field("redirect_uri");
    world.journal.note(
        "OAuth2",
        Voice::Client,
        format!("GET /authorize for {}", field("login_hint")),
    );
    if field("client_id") != CLIENT_ID
        || field("response_type") != "code"
        || field("scope").is_empty()
        || redirect.is_empty()
    {
        return (StatusCode::BAD_REQUEST, "this application is not known").into_response();
    }
    let mut answer = vec![("state", field("state"))];
    if let Some((error, description)) = world.knob(|knobs| knobs.consent_error) {
        answer.push(("error", error.to_owned()));
        answer.push(("error_description", description.to_owned()));
    } else {
        let code = random(32);
        register.codes.lock().unwrap().insert(code.clone(), query);
        answer.push(("code", code));
    }
    openid::sign_answer(&world, &headers, &mut answer);
    let to = url::Url::parse_with_params(&redirect, answer).unwrap();
    world.journal.note(
        "OAuth2",
        Voice::Server,
        format!("302, back to {redirect} with a code"),
    );
    Redirect::to(to.as_str()).into_response()
}

async fn token(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Form(form): Form<Fields>,
) -> Response {
    let grant = form.get("grant_type").cloned().unwrap_or_default();
    world.register.requests.lock().unwrap().push(form.clone());
    world.journal.note(
        "OAuth2",
        Voice::Client,
        format!("POST /token grant_type={grant}"),
    );
    let delay = world.knob(|knobs| knobs.token_delay);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut fault = None;
    world.turn(|knobs| fault = knobs.token_faults.pop_front());
    if let Some(fault) = fault {
        world
            .journal
            .note("OAuth2", Voice::Server, format!("{} (fault)", fault.status));
        let status = StatusCode::from_u16(fault.status).unwrap();
        return (
            status,
            [(header::CONTENT_TYPE, fault.content_type)],
            fault.body,
        )
            .into_response();
    }
    match judge(&world, &headers, &form, &grant) {
        Ok(answer) => {
            world
                .journal
                .note("OAuth2", Voice::Server, "200, an access token");
            axum_json(StatusCode::OK, &answer)
        }
        Err((error, description)) => {
            world
                .journal
                .note("OAuth2", Voice::Server, format!("400, {error}"));
            let answer = serde_json::json!({"error": error, "error_description": description});
            axum_json(StatusCode::BAD_REQUEST, &answer)
        }
    }
}

fn axum_json(status: StatusCode, value: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, value.to_string()).into_response()
}

pub type No = (&'static str, &'static str);

fn judge(
    world: &World,
    headers: &HeaderMap,
    form: &Fields,
    grant: &str,
) -> Result<serde_json::Value, No> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let here = format!("http://{}/token", host.unwrap_or_default());
    // A service account's assertion proves itself.
    let secret_ok =
        grant != SERVICE_ACCOUNT && prove_client(&world.register, headers, form, &here)?;
    let user = match grant {
        SERVICE_ACCOUNT => Some(world.register.trust.service(field("assertion"), &here)?),
        "password" => Some(log_in(&world.register, form)?),
        "authorization_code" => {
            let asked_for = redeem(&world.register, form)?;
            Some(
                world
                    .knob(|knobs| knobs.signs_in.clone())
                    .unwrap_or(asked_for),
            )
        }
        "refresh_token" => Some(renew(world, field("refresh_token"))?),
        DEVICE => Some(openid::poll(world, form)?),
        "client_credentials" if !secret_ok => {
            return Err(("invalid_client", "an application must prove itself"));
        }
        "client_credentials" if field("scope").is_empty() => {
            return Err(("invalid_scope", "a scope is needed"));
        }
        "client_credentials" => None,
        _ => return Err(("unsupported_grant_type", "not this one")),
    };
    let knobs = world.knob(Clone::clone);
    let access = random(knobs.token_length);
    let lifetime = Duration::from_secs(knobs.lifetime.unwrap_or(3600));
    world.register.admit(access.clone(), user.clone(), lifetime);
    let mut answer = serde_json::json!({"access_token": access});
    if !knobs.untyped {
        answer["token_type"] = "Bearer".into();
    }
    if let Some(seconds) = knobs.lifetime {
        answer["expires_in"] = if knobs.lifetime_as_text {
            seconds.to_string().into()
        } else {
            seconds.into()
        };
    }
    if let Some(user) = user
        && (matches!(grant, "authorization_code" | DEVICE) || knobs.rotate)
        && grant != SERVICE_ACCOUNT
    {
        let refresh = random(64);
        answer["refresh_token"] = refresh.clone().into();
        if let Some(token) = openid::id_token(world, headers) {
            answer["id_token"] = token.into();
        }
        let entry = Refresh { user, used: false };
        world
            .register
            .refresh
            .lock()
            .unwrap()
            .insert(refresh, entry);
    }
    Ok(answer)
}

/// Checks who asks; true where a secret proved it. A public client needs none.
fn prove_client(
    register: &Register,
    headers: &HeaderMap,
    form: &Fields,
    here: &str,
) -> Result<bool, No> {
    if let Some(assertion) = form.get("client_assertion") {
        if form.contains_key("client_secret") || headers.contains_key(header::AUTHORIZATION) {
            return Err(("invalid_request", "one proof is enough"));
        }
        if form
            .get("client_assertion_type")
            .is_none_or(|kind| kind != ASSERTION)
        {
            return Err(("invalid_request", "an assertion of another kind"));
        }
        if form.get("client_id").is_none_or(|id| id != CLIENT_ID) {
            return Err(("invalid_client", "this application is not known"));
        }
        register.trust.application(assertion, here)?;
        return Ok(true);
    }
    let basic = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| BASE64_STANDARD.decode(value).ok())
        .and_then(|value| String::from_utf8(value).ok());
    let (id, secret) = if let Some(basic) = basic {
        let (id, secret) = basic
            .split_once(':')
            .ok_or(("invalid_client", "malformed"))?;
        // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        let plain = |text: &str| {
            percent_encoding::percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        (plain(id), Some(plain(secret)))
    } else {
        let id = form.get("client_id").cloned().unwrap_or_default();
        (id, form.get("client_secret").cloned())
    };
    if id != CLIENT_ID {
        return Err(("invalid_client", "this application is not known"));
    }
    match secret {
        Some(secret) if secret == CLIENT_SECRET => Ok(true),
        Some(_) => Err(("invalid_client", "the secret is wrong")),
        None => Ok(false),
    }
}

/// Checks a user's own password; the scope or, in older endpoints, the resource says what the token is for.
fn log_in(register: &Register, form: &Fields) -> Result<String, No> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if field("scope").is_empty() == field("resource").is_empty() {
        return Err(("invalid_request", "either a scope or a resource is needed"));
    }
    let passwords = register.passwords.lock().unwrap();
    let user = field("username");
    if passwords
        .get(user)
        .is_none_or(|known| known != field("password"))
    {
        return Err((
            "invalid_grant",
            "AADSTS50126: Invalid username or password.",
        ));
    }
    Ok(user.to_owned())
}

/// Redeems a code, once, and returns whose it is.
fn redeem(register: &Register, form: &Fields) -> Result<String, No> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let asked = register
        .codes
        .lock()
        .unwrap()
        .remove(field("code"))
        .ok_or(("invalid_grant", "this code is unknown or used"))?;
    if asked.get("redirect_uri").map(String::as_str) != Some(field("redirect_uri")) {
        return Err((
            "invalid_grant",
            "the code was asked for with another redirect",
        ));
    }
    if let Some(wanted) = asked.get("code_challenge") {
        let hash = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
        let s256 = asked
            .get("code_challenge_method")
            .is_some_and(|method| method == "S256");
        if !s256 || &BASE64_URL_SAFE_NO_PAD.encode(hash) != wanted {
            return Err(("invalid_grant", "the PKCE verifier does not fit"));
        }
    } else if form.contains_key("code_verifier") {
        return Err(("invalid_grant", "a PKCE verifier that nobody asked for"));
    }
    Ok(asked.get("login_hint").cloned().unwrap_or_default())
}

/// Accepts a refresh token. One that was rotated away kills all its kin when it comes back.
fn renew(world: &World, token: &str) -> Result<String, No> {
    let mut refresh = world.register.refresh.lock().unwrap();
    let dead = ("invalid_grant", "this refresh token is dead");
    let entry = refresh.get_mut(token).ok_or(dead)?;
    let user = entry.user.clone();
    if entry.used {
        refresh.retain(|_, other| other.user != user);
        return Err(dead);
    }
    entry.used = world.knob(|knobs| knobs.rotate);
    Ok(user)
}

/// Makes a text that nobody can guess, of a given length.
pub(super) fn random(length: usize) -> String {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    let mut text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(length);
    text
}
