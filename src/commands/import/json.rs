//! JSON files: tokens of sasl-xoauth2, of `mutt_oauth2.py` and of oama, and the settings of sasl-xoauth2.
//!
//! Pure: text in, what it says out. Told apart by the keys each program writes.

use serde_json::{Map, Value};

use super::found::Found;
use crate::providers;
use crate::secret::Secret;

/// What sasl-xoauth2 asks where its files do not say otherwise.
const USUAL_OF_SASL: &str = "https://accounts.google.com/o/oauth2/token";

/// The application that settings and tokens of sasl-xoauth2 share.
const SASL: &str = "sasl-xoauth2";

/// Reads one object; nothing where it is none of these.
pub(super) fn read(fields: &Map<String, Value>) -> Option<(&'static str, Found)> {
    let has = |key: &str| fields.contains_key(key);
    let holds_token = has("refresh_token") || has("access_token");
    if has("registration") || has("authflow") {
        return Some(("a token file of mutt_oauth2.py", mutt(fields)));
    }
    if holds_token && (has("service") || has("exp_date")) {
        return Some(("credentials of oama", oama(fields)));
    }
    if holds_token {
        return Some(("a token file of sasl-xoauth2", sasl_token(fields)));
    }
    if has("client_id") {
        return Some(("settings of sasl-xoauth2", sasl_settings(fields)));
    }
    None
}

/// Returns a text, if it is one and says something.
fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    let text = fields.get(key)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn secret(fields: &Map<String, Value>, key: &str) -> Option<Secret<String>> {
    text(fields, key).map(Secret::new)
}

/// A token file may say anything of its settings otherwise, for itself alone.
fn sasl_token(fields: &Map<String, Value>) -> Found {
    let mut found = Found {
        account: text(fields, "user"),
        refresh_token: secret(fields, "refresh_token"),
        ..sasl_settings(fields)
    };
    found.is_template = false;
    found
}

fn sasl_settings(fields: &Map<String, Value>) -> Found {
    let mut left = Vec::new();
    if text(fields, "proxy").is_some() {
        left.push(
            "the HTTP proxy of sasl-xoauth2; set `proxy` in [emailproxy] if it is still wanted"
                .to_owned(),
        );
    }
    if text(fields, "ca_bundle_file").is_some() || text(fields, "ca_certs_dir").is_some() {
        left.push("the certificates of sasl-xoauth2; set `ca_file` in [emailproxy] if they are still wanted".to_owned());
    }
    if fields.get("use_client_credentials") == Some(&Value::Bool(true)) {
        left.push(
            "client credentials; register this account with `emailproxy register --oauth2-flow client_credentials`"
                .to_owned(),
        );
    }
    Found {
        application: Some(SASL.to_owned()),
        is_template: true,
        token_url: text(fields, "token_endpoint"),
        scope: text(fields, "scope"),
        client_id: text(fields, "client_id"),
        client_secret: secret(fields, "client_secret"),
        left,
        ..Found::default()
    }
}

/// Where sasl-xoauth2 would ask for tokens of such an account.
pub(super) fn usual_endpoint(found: &Found) -> Option<String> {
    (found.application.as_deref() == Some(SASL)).then(|| USUAL_OF_SASL.to_owned())
}

fn mutt(fields: &Map<String, Value>) -> Found {
    let registration = text(fields, "registration");
    let mut left = Vec::new();
    let provider = registration.as_deref().and_then(providers::named);
    if let (Some(name), None) = (&registration, provider) {
        left.push(format!(
            "the endpoints of the registration `{}`, which stand in the script and not in this file",
            crate::said::Said::new(name)
        ));
    }
    let client_id = text(fields, "client_id");
    if client_id.is_none() {
        left.push(
            "client_id and client_secret, which stand in the script and not in this file; give them with --client-id and --client-secret-file"
                .to_owned(),
        );
    }
    Found {
        account: text(fields, "email"),
        provider,
        tenant: text(fields, "tenant").or_else(|| {
            // The script signs people in wherever their account is.
            (registration.as_deref() == Some("microsoft")).then(|| "common".to_owned())
        }),
        permission_url: text(fields, "authorize_endpoint"),
        token_url: text(fields, "token_endpoint"),
        scope: text(fields, "scope"),
        redirect_uri: text(fields, "redirect_uri"),
        client_id,
        client_secret: secret(fields, "client_secret"),
        refresh_token: secret(fields, "refresh_token"),
        left,
        ..Found::default()
    }
}

fn oama(fields: &Map<String, Value>) -> Found {
    let service = text(fields, "service");
    Found {
        account: text(fields, "email"),
        provider: service.as_deref().and_then(providers::named),
        application: service.map(|service| format!("oama {service}")),
        scope: text(fields, "scope"),
        refresh_token: secret(fields, "refresh_token"),
        ..Found::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<(&'static str, Found)> {
        let Value::Object(fields) = serde_json::from_str(text).unwrap() else {
            return None;
        };
        read(&fields)
    }

    fn revealed(secret: Option<&Secret<String>>) -> Option<&str> {
        secret.map(|secret| secret.reveal().as_str())
    }

    #[test]
    fn each_program_is_known_by_its_keys() {
        for (text, kind) in [
            (
                r#"{"access_token":"a","expiry":"1700000000","refresh_token":"r"}"#,
                Some("a token file of sasl-xoauth2"),
            ),
            (
                r#"{"client_id":"i","client_secret":"s"}"#,
                Some("settings of sasl-xoauth2"),
            ),
            (
                r#"{"registration":"google","authflow":"authcode","email":"a@b"}"#,
                Some("a token file of mutt_oauth2.py"),
            ),
            (
                r#"{"service":"google","email":"a@b","access_token":"a","refresh_token":"r","exp_date":"x"}"#,
                Some("credentials of oama"),
            ),
            (r#"{"shoe":"size"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read_text(text).map(|found| found.0), kind, "{text}");
        }
    }

    #[test]
    fn tokens_of_sasl_xoauth2_say_what_differs() {
        let (_, found) = read_text(
            r#"{"access_token":"a","expiry":"0","refresh_token":"r","user":"u@example.org",
                "client_id":"own","token_endpoint":"https://t.example/token","proxy":"http://p:1"}"#,
        )
        .unwrap();
        assert_eq!(found.account.as_deref(), Some("u@example.org"));
        assert_eq!(revealed(found.refresh_token.as_ref()), Some("r"));
        assert_eq!(found.client_id.as_deref(), Some("own"));
        assert_eq!(found.token_url.as_deref(), Some("https://t.example/token"));
        assert!(!found.is_template && found.left[0].contains("proxy"));
        let (_, bare) = read_text(r#"{"refresh_token":"r","expiry":1}"#).unwrap();
        assert_eq!(usual_endpoint(&bare).as_deref(), Some(USUAL_OF_SASL));
        let (_, settings) =
            read_text(r#"{"client_id":"i","client_secret":"s","token_endpoint":""}"#).unwrap();
        assert!(settings.is_template && settings.token_url.is_none());
        assert_eq!(revealed(settings.client_secret.as_ref()), Some("s"));
    }

    #[test]
    fn tokens_of_mutt_name_a_registration() {
        let (_, found) = read_text(
            r#"{"registration":"microsoft","authflow":"devicecode","email":"u@example.org",
                "access_token":"a","access_token_expiration":"2026-01-01T00:00:00","refresh_token":"r"}"#,
        )
        .unwrap();
        assert_eq!(found.provider.unwrap().name, "microsoft365");
        assert_eq!(found.tenant.as_deref(), Some("common"));
        assert_eq!(found.account.as_deref(), Some("u@example.org"));
        assert!(found.left[0].contains("--client-id"));
        let (_, full) = read_text(
            r#"{"registration":"google","authflow":"authcode","email":"u@gmail.com",
                "refresh_token":"r","client_id":"i","client_secret":"s"}"#,
        )
        .unwrap();
        assert_eq!(full.provider.unwrap().name, "gmail");
        assert!(full.left.is_empty() && full.tenant.is_none());
        let (_, other) =
            read_text(r#"{"registration":"mine","email":"u@b","client_id":"i"}"#).unwrap();
        assert!(other.provider.is_none() && other.left[0].contains("`mine`"));
    }

    #[test]
    fn wrong_types_are_as_good_as_nothing() {
        let (_, found) =
            read_text(r#"{"registration":7,"email":["x"],"refresh_token":null,"client_id":{}}"#)
                .unwrap();
        assert!(
            found.account.is_none() && found.refresh_token.is_none() && found.client_id.is_none()
        );
    }
}
