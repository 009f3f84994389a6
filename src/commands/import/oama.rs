//! The settings of oama: YAML with one entry a service.
//!
//! Pure. Its accounts and tokens are kept elsewhere, in a keyring or behind `GnuPG`.

use yaml_rust2::{Yaml, YamlLoader};

use super::found::Found;
use crate::providers;
use crate::said::Said;
use crate::secret::Secret;

/// What people leave in the file that they never filled in.
const PLACEHOLDERS: [&str; 2] = ["application-CLIENT", "EDIT-ME"];

/// Reads the services; nothing where the text is no such file.
pub(super) fn read(text: &str) -> Option<Vec<Found>> {
    let documents = YamlLoader::load_from_str(text).ok()?;
    let services = documents.first()?["services"].as_hash()?;
    let mut all = Vec::new();
    for (name, service) in services {
        let (Some(name), Some(_)) = (name.as_str(), service.as_hash()) else {
            continue;
        };
        all.push(one(name, service));
    }
    (!all.is_empty()).then_some(all)
}

fn one(name: &str, service: &Yaml) -> Found {
    let said = |key: &str| {
        let text = service[key].as_str()?.trim();
        let filled = !PLACEHOLDERS.iter().any(|words| text.contains(words));
        // A folded scope may hold line ends.
        (!text.is_empty() && filled).then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let mut left = Vec::new();
    for key in ["client_id_cmd", "client_secret_cmd"] {
        if !service[key].is_badvalue() {
            let what = key.trim_end_matches("_cmd");
            left.push(format!(
                "the {what} of oama's service {}, which a command tells; give it with {}",
                Said::new(name),
                if what == "client_id" {
                    "--client-id"
                } else {
                    "--client-secret-file"
                }
            ));
        }
    }
    Found {
        application: Some(format!("oama {name}")),
        is_template: true,
        provider: providers::named(name),
        tenant: said("tenant"),
        permission_url: said("auth_endpoint"),
        token_url: said("token_endpoint"),
        scope: said("auth_scope"),
        redirect_uri: said("redirect_uri"),
        client_id: said("client_id"),
        client_secret: said("client_secret").map(Secret::new),
        left,
        ..Found::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_taken_with_what_they_say() {
        let all = read(
            "encryption:\n  tag: GPG\n  contents: me\nservices:\n  microsoft:\n    client_id: abc\n    \
             client_secret: s3cret\n    tenant: contoso.example\n    auth_scope: https://o.example/IMAP\n      \
             https://o.example/SMTP\n      offline_access\n  google:\n    client_id: application-CLIENT-ID\n    \
             client_secret_cmd: pass show google\n",
        )
        .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].application.as_deref(), Some("oama microsoft"));
        assert_eq!(all[0].provider.unwrap().name, "microsoft365");
        assert_eq!(all[0].tenant.as_deref(), Some("contoso.example"));
        assert_eq!(
            all[0].scope.as_deref(),
            Some("https://o.example/IMAP https://o.example/SMTP offline_access")
        );
        assert_eq!(all[0].client_secret.as_ref().unwrap().reveal(), "s3cret");
        assert_eq!(all[1].client_id, None);
        assert!(all[1].left[0].contains("--client-secret-file"));
    }

    #[test]
    fn other_texts_are_not_taken() {
        for text in [
            "",
            "a",
            "services: 7",
            "services:\n  x: y\n",
            "[a]\nb = c\n",
            "{",
            "a: [b",
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }
}
