//! What proves the application: its id, and a certificate, a file or a service account's key in a secret's place.
//!
//! Pure: whether the files are there is looked at when the file is proven.

use super::RegisterArgs;
use super::plan::text;
use crate::config::GrantKind;
use crate::secret::Secret;

/// What is to stand in the file of it.
pub(super) struct Credentials {
    /// The application's id; none where a machine is its own.
    pub(super) client_id: Option<String>,
    /// Keys that stand in a secret's place.
    pub(super) keys: Vec<(&'static str, String)>,
    /// A service account's key file: the configuration file names it where others have a secret.
    pub(super) key_file: Option<Secret<String>>,
}

impl Credentials {
    /// Proves the flags.
    pub(super) fn of(args: &RegisterArgs, grant: GrantKind) -> Result<Self, String> {
        let key_file = text(
            args.service_account_key_file.as_ref(),
            "--service-account-key-file",
        )?;
        if key_file.is_some() && grant != GrantKind::ServiceAccount {
            return Err(
                "--service-account-key-file belongs to --oauth2-flow service_account".into(),
            );
        }
        let client_id = text(args.oauth2_client_id.as_ref(), "--oauth2-client-id")?;
        let client_id = match (grant, client_id) {
            (GrantKind::ServiceAccount, None) if key_file.is_some() => Some("file".to_owned()),
            (GrantKind::ServiceAccount, Some(id)) if id == "file" => Some(id),
            (GrantKind::ServiceAccount, _) => {
                return Err(
                    "--service-account-key-file must name the service account's JSON key file"
                        .into(),
                );
            }
            (GrantKind::ManagedIdentity, id) => id,
            (_, Some(id)) => Some(id),
            (_, None) => {
                return Err(
                    "--oauth2-client-id must name the application registered at the provider"
                        .into(),
                );
            }
        };
        if client_id
            .as_ref()
            .is_some_and(|id| id.contains(char::is_whitespace))
        {
            return Err("--oauth2-client-id has blanks in it; an application's id has none".into());
        }
        Ok(Self {
            client_id,
            keys: assertion(args)?,
            key_file: key_file.map(Secret::new),
        })
    }
}

/// Reads what makes or holds an assertion.
fn assertion(args: &RegisterArgs) -> Result<Vec<(&'static str, String)>, String> {
    let certificate = text(args.jwt_certificate_path.as_ref(), "--jwt-certificate-path")?;
    let key = text(args.jwt_key_path.as_ref(), "--jwt-key-path")?;
    let algorithm = text(args.jwt_algorithm.as_ref(), "--jwt-algorithm")?;
    let file = text(
        args.client_assertion_file.as_ref(),
        "--client-assertion-file",
    )?;
    if certificate.is_some() != key.is_some() {
        return Err(
            "--jwt-certificate-path and --jwt-key-path only work together; both may name one file"
                .into(),
        );
    }
    if file.is_some() && certificate.is_some() {
        return Err(
            "--client-assertion-file and --jwt-certificate-path: one of them is enough".into(),
        );
    }
    let secret = args.oauth2_client_secret.is_some() || args.oauth2_client_secret_file.is_some();
    if secret && (file.is_some() || certificate.is_some()) {
        return Err(
            "a client secret and a certificate or assertion file: one of them is enough".into(),
        );
    }
    let known = |algorithm: &String| ["PS256", "RS256"].contains(&algorithm.as_str());
    if !algorithm.as_ref().is_none_or(known) {
        return Err("--jwt-algorithm must be PS256 or RS256".into());
    }
    Ok([
        ("jwt_certificate_path", certificate),
        ("jwt_key_path", key),
        ("jwt_algorithm", algorithm),
        ("client_assertion_file", file),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect())
}
