//! A fake Vault with the secrets engine KV version 2 at `secret`, made from Vault's API documentation.
//!
//! It knows reading, writing with `cas`, listing, deleting, and two ways to log in; nothing more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it keeps.
#[derive(Debug, Default)]
struct Inside {
    token: String,
    logins: usize,
    /// By path: the newest version's number, and what it holds unless it was deleted.
    secrets: BTreeMap<String, (u64, Option<Value>)>,
}

/// A running fake.
#[derive(Debug)]
pub(crate) struct FakeVault {
    at: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    task: JoinHandle<()>,
}

impl Drop for FakeVault {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeVault {
    /// Starts one that believes `token`.
    pub(crate) async fn start(token: &str) -> Self {
        let inside = Arc::new(Mutex::new(Inside {
            token: token.into(),
            ..Inside::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inside));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, inside, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Ends the token there is; from now on another one is believed.
    pub(crate) fn renew(&self, token: &str) {
        self.inside.lock().unwrap().token = token.into();
    }

    /// Returns how often somebody logged in.
    pub(crate) fn logins(&self) -> usize {
        self.inside.lock().unwrap().logins
    }

    /// Deletes the newest version of a secret, as `vault kv delete` does.
    pub(crate) fn delete(&self, path: &str) {
        self.inside.lock().unwrap().secrets.get_mut(path).unwrap().1 = None;
    }
}

async fn answer(
    State(inside): State<Arc<Mutex<Inside>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inside = inside.lock().unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().strip_prefix("/v1/").unwrap_or_default();
    if let Some(way) = path.strip_prefix("auth/") {
        let good = match way {
            "approle/login" => body == json!({"role_id": "the-role", "secret_id": "the-secret"}),
            "kubernetes/login" => body == json!({"role": "mail", "jwt": "eyJ.jwt"}),
            _ => false,
        };
        if !good {
            return say(400, &json!({"errors": ["invalid role or secret ID"]}));
        }
        inside.logins += 1;
        return say(
            200,
            &json!({"auth": {"client_token": inside.token, "lease_duration": 60}}),
        );
    }
    if headers
        .get("x-vault-token")
        .is_none_or(|token| token != inside.token.as_str())
    {
        return say(403, &json!({"errors": ["permission denied"]}));
    }
    if let Some(folder) = path.strip_prefix("secret/metadata/") {
        assert_eq!(uri.query(), Some("list=true"));
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let names = inside
            .secrets
            .keys()
            .filter_map(|path| path.strip_prefix(&folder));
        let keys: Vec<&str> = names.collect();
        return if keys.is_empty() {
            say(404, &json!({"errors": []}))
        } else {
            say(200, &json!({"data": {"keys": keys}}))
        };
    }
    let Some(path) = path.strip_prefix("secret/data/") else {
        return say(404, &json!({"errors": ["no handler for route"]}));
    };
    let newest = inside.secrets.get(path).map_or(0, |(number, _)| *number);
    if method == Method::POST {
        if body["options"]["cas"].as_u64() != Some(newest) {
            let text = "check-and-set parameter did not match the current version";
            return say(400, &json!({"errors": [text]}));
        }
        let data = body["data"].clone();
        inside
            .secrets
            .insert(path.to_owned(), (newest + 1, Some(data)));
        return say(200, &json!({"data": {"version": newest + 1}}));
    }
    match inside.secrets.get(path) {
        None => say(404, &json!({"errors": []})),
        Some((number, None)) => {
            let metadata = json!({"version": number, "deletion_time": "2026-01-01T00:00:00Z"});
            say(404, &json!({"data": {"data": null, "metadata": metadata}}))
        }
        Some((number, Some(data))) => {
            let metadata = json!({"version": number, "deletion_time": ""});
            say(200, &json!({"data": {"data": data, "metadata": metadata}}))
        }
    }
}

fn say(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        [("content-type", "application/json")],
        body.to_string(),
    )
        .into_response()
}
