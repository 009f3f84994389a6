//! The OAuth2 server: oidc-provider from npm, run by `oidc/server.mjs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair};

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::installed;

/// How the OAuth2 server behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How long access tokens live, in seconds.
    pub(crate) access_seconds: u32,
    /// How many characters an access token has.
    pub(crate) token_length: usize,
    /// Whether it is a bare OAuth2 server: no discovery document, no scopes or tokens about identity.
    pub(crate) plain: bool,
    /// Whether it takes secrets in a header alone, and says so in its discovery document.
    pub(crate) basic_only: bool,
    /// How the application signs that has a certificate, if there is one.
    pub(crate) certified: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            access_seconds: 3600,
            token_length: 43,
            plain: false,
            basic_only: false,
            certified: None,
        }
    }
}

/// The running OAuth2 server.
#[derive(Debug)]
pub(crate) struct Oidc {
    daemon: Daemon,
    /// Its port on loopback, plain HTTP.
    pub(crate) port: u16,
    plain: bool,
    folder: PathBuf,
    certified: Option<&'static str>,
}

impl Oidc {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(folder: &Path, manners: Manners) -> Self {
        let settings = json!({
            "accessSeconds": manners.access_seconds,
            "tokenLength": manners.token_length,
            "plain": manners.plain,
            "basicOnly": manners.basic_only,
            "certificate": manners.certified.map(|_| certificate(folder)),
            "algorithm": manners.certified,
        });
        let mut command = installed::command("node");
        command
            .arg("server.mjs")
            .arg(settings.to_string())
            .current_dir(installed::oidc_folder());
        let daemon = Daemon::start("oidc-provider", &command, &folder.join("oidc.log"));
        let port = daemon
            .printed
            .find("oidc-provider's port", |line| event(line)?["port"].as_u64())
            .await;
        Self {
            daemon,
            port: u16::try_from(port).unwrap(),
            plain: manners.plain,
            folder: folder.to_owned(),
            certified: manners.certified,
        }
    }

    /// Returns the address of an endpoint, such as `token`.
    pub(crate) fn url(&self, endpoint: &str) -> String {
        format!("http://localhost:{}/{endpoint}", self.port)
    }

    /// Returns what happened at the token endpoint so far: one object a request.
    pub(crate) fn grants(&self) -> Vec<Value> {
        let text = self.daemon.printed.text();
        text.lines()
            .filter_map(event)
            .filter(|event| event.get("grant").is_some())
            .collect()
    }

    /// Returns how many requests of one grant type the token endpoint has answered, all of them with success.
    pub(crate) fn granted(&self, grant: &str) -> usize {
        let asked: Vec<Value> = self
            .grants()
            .into_iter()
            .filter(|event| event["grant"] == grant)
            .collect();
        for event in &asked {
            assert_eq!(event["status"], 200, "a token request was refused: {event}");
        }
        asked.len()
    }

    /// Returns every token, code, verifier and client secret that went over the token endpoint.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let grants = self.grants();
        let all = grants
            .iter()
            .filter_map(|event| event["secrets"].as_array())
            .flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns the settings of an account that the application's own credentials open.
    pub(crate) fn application(&self, user: &str) -> String {
        format!(
            "[{user}]\n\
             token_url = {}\n\
             oauth2_scope = mail.imap mail.pop mail.smtp mail.anybody\n\
             oauth2_flow = client_credentials\n\
             client_id = application\n\
             client_secret = application-secret\n\n",
            self.url("token"),
        )
    }

    /// Returns the settings of an account that an application with a certificate opens.
    pub(crate) fn certified_application(&self, user: &str) -> String {
        let certificate = self.folder.join("application.pem");
        let section = self.application(user);
        let plain = "client_id = application\nclient_secret = application-secret\n";
        let proof = format!(
            "client_id = certified-application\njwt_certificate_path = {0}\njwt_key_path = {0}\njwt_algorithm = {1}\n",
            certificate.display(),
            self.certified.unwrap()
        );
        assert!(section.contains(plain));
        section.replace(plain, &proof)
    }

    /// Returns the settings of an account of which nothing is known but the issuer and an application.
    pub(crate) fn application_by_issuer(&self, user: &str) -> String {
        format!(
            "[{user}]\n\
             issuer = http://localhost:{}\n\
             oauth2_scope = mail.imap mail.pop mail.smtp mail.anybody\n\
             oauth2_flow = client_credentials\n\
             client_id = basic application\n\
             client_secret = a:colon+plus/and%25percent\n\n",
            self.port
        )
    }

    /// Returns the issuer.
    pub(crate) fn issuer(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Returns the settings of an account of which nothing is known but the issuer and a program; the browser comes back
    /// to `callback` on loopback.
    pub(crate) fn person_by_issuer(&self, user: &str, callback: u16) -> String {
        format!(
            "[{user}]\n\
             issuer = {}\n\
             oauth2_scope = openid offline_access mail.imap mail.pop mail.smtp\n\
             redirect_uri = http://localhost:{callback}\n\
             client_id = mail-program\n\
             client_secret = program+secret/with=odd&signs%20\n\n",
            self.issuer()
        )
    }

    /// Returns the settings of an account whose owner approves a device code; nothing else is known but the issuer.
    pub(crate) fn device(&self, user: &str) -> String {
        format!(
            "[{user}]\n\
             issuer = {}\n\
             oauth2_scope = openid offline_access mail.imap mail.pop mail.smtp\n\
             oauth2_flow = device\n\
             client_id = device-program\n\n",
            self.issuer()
        )
    }

    /// Returns the settings of an account whose owner's password at the provider is handed in.
    pub(crate) fn password_program(&self, user: &str) -> String {
        format!(
            "[{user}]\n\
             token_url = {}\n\
             oauth2_scope = mail.imap mail.pop mail.smtp\n\
             oauth2_flow = password\n\
             client_id = password-program\n\
             client_secret = password-program-secret\n\n",
            self.url("token"),
        )
    }

    /// Returns the settings of an account whose owner must consent; the browser comes back to `callback` on loopback.
    pub(crate) fn person(&self, user: &str, callback: u16) -> String {
        let scope = if self.plain {
            "mail.imap mail.pop mail.smtp"
        } else {
            "openid offline_access mail.imap mail.pop mail.smtp"
        };
        format!(
            "[{user}]\n\
             permission_url = {}\n\
             token_url = {}\n\
             oauth2_scope = {scope}\n\
             redirect_uri = http://localhost:{callback}\n\
             client_id = mail-program\n\
             client_secret = program+secret/with=odd&signs%20\n\n",
            self.url("auth"),
            self.url("token"),
        )
    }
}

/// Makes the application's certificate with its key in one file, and returns the certificate.
fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let day = Duration::from_secs(86_400);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    (params.not_before, params.not_after) = (epoch + now - day, epoch + now + day * 10);
    let pem = params.self_signed(&key).unwrap().pem();
    let both = format!("{}{pem}", key.serialize_pem());
    std::fs::write(folder.join("application.pem"), both).unwrap();
    pem
}

/// Reads one printed line, if it is an event and not a warning.
fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}
