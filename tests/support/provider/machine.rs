//! The pretend provider's metadata service, as a machine in Azure has it: plain HTTP, no secret, numbers as texts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::World;
use super::journal::Voice;
use super::oauth::random;

/// Answers a question for a token.
pub async fn token(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut noted = query.clone();
    noted.insert("grant_type".into(), "managed_identity".into());
    world.register.note(noted);
    world.journal.note(
        "OAuth2",
        Voice::Client,
        "GET /metadata/identity/oauth2/token",
    );
    let mut fault = None;
    world.turn(|knobs| fault = knobs.token_faults.pop_front());
    if let Some(fault) = fault {
        let status = StatusCode::from_u16(fault.status).unwrap();
        return (status, fault.body).into_response();
    }
    let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let asked = headers.get("metadata").is_some_and(|value| value == "true")
        && field("api-version") == "2018-02-01"
        && !field("resource").is_empty();
    if !asked {
        let no = json!({"error": "invalid_request", "error_description": "Required metadata header not specified"});
        return (StatusCode::BAD_REQUEST, no.to_string()).into_response();
    }
    let access = random(1_200);
    let life = 86_399;
    world
        .register
        .admit(access.clone(), None, Duration::from_secs(life));
    let answer = json!({
        "access_token": access,
        "client_id": "5e29463d",
        "expires_in": life.to_string(),
        "resource": field("resource"),
        "token_type": "Bearer",
    });
    answer.to_string().into_response()
}
