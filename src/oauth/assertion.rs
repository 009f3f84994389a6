//! The application's proof without a secret: a JWT signed with its certificate's key, or one that somebody else wrote
//! into a file (RFC 7523 section 2.2).
//!
//! Files are read for each proof, so that a renewed certificate or token is used from then on. Knows nothing of what is
//! asked for with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::code::random_text;
use super::jwt::{self, RsaKey};
use super::{Error, file};
use crate::config::{AccountSettings, AssertionAlgorithm, Certificate};
use crate::secret::Secret;

/// How long after files that do not go together they are read once more.
const RENEWAL: Duration = Duration::from_secs(1);

/// The longest assertion read from a file, in bytes.
const MAX_ASSERTION: u64 = 16 * 1024;

/// The longest certificate or key file read, in bytes.
const MAX_PEM: u64 = 256 * 1024;

/// How long an assertion is good, in seconds. Entra takes at most 10 minutes.
const LIFE: u64 = 300;

/// How many days before its end a certificate is warned about.
const NOTICE_DAYS: i64 = 30;

/// How long nothing more is said about the same certificate.
const QUIET: Duration = Duration::from_secs(86_400);

const DAY: i64 = 86_400;

/// Which certificates were warned about, and when.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<HashMap<String, Instant>>);

impl Notices {
    /// Returns whether it is time to speak of a certificate, and notes that it is spoken of.
    pub(super) fn is_due(&self, thumbprint: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < QUIET);
        if said.contains_key(thumbprint) {
            return false;
        }
        said.insert(thumbprint.to_owned(), Instant::now());
        true
    }
}

/// Makes or reads the assertion that proves the account's application; nothing where it uses none.
pub(super) async fn of(
    account: &AccountSettings,
    notices: &Notices,
) -> Result<Option<Secret<String>>, Error> {
    let fault = |why: String| Error::Misconfigured(format!("[{}] {why}", account.section));
    if let Some(path) = &account.assertion_file {
        let fault = |why| fault(format!("client_assertion_file {}: {why}", path.display()));
        let content = file::read(path, MAX_ASSERTION).await.map_err(fault)?;
        return written(&content).map(Some).map_err(fault);
    }
    let Some(files) = &account.assertion_certificate else {
        return Ok(None);
    };
    let signer = match Signer::read(files).await {
        Ok(signer) => signer,
        // A renewal writes two files, and between the two they do not go together.
        Err(_) => {
            tokio::time::sleep(RENEWAL).await;
            Signer::read(files).await.map_err(fault)?
        }
    };
    let now = seconds_since_1970();
    let notice = signer.judge_time(files, now).map_err(fault)?;
    if let Some(notice) = notice
        && notices.is_due(&signer.sha256)
    {
        tracing::warn!("{notice}");
    }
    signer.sign(account, now).map(Some).map_err(fault)
}

/// Takes the assertion that somebody else wrote.
fn written(content: &Secret<Vec<u8>>) -> Result<Secret<String>, String> {
    let text = std::str::from_utf8(content.reveal()).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !jwt::looks_like_one(text) {
        return Err(
            "there is no signed token in it (three parts of base64url with dots between)"
                .to_owned(),
        );
    }
    Ok(Secret::from(text))
}

/// A certificate and its key.
pub(super) struct Signer {
    key: RsaKey,
    sha256: String,
    sha1: String,
    /// When the certificate begins and ends to be valid: Unix seconds, and a date for people.
    begins: (i64, String),
    ends: (i64, String),
}

impl Signer {
    /// Reads both files, which may be one.
    pub(super) async fn read(files: &Certificate) -> Result<Self, String> {
        let named = |key: &str, path: &Path| {
            let name = format!("{key} {}", path.display());
            move |why: String| format!("{name}: {why}")
        };
        let (of_certificate, of_key) = (
            named("jwt_certificate_path", &files.certificate),
            named("jwt_key_path", &files.key),
        );
        let content = file::read(&files.certificate, MAX_PEM).await;
        let chain = content.map_err(&of_certificate)?;
        let content = file::read(&files.key, MAX_PEM).await;
        let key = content.map_err(&of_key)?;
        let key = RsaKey::from_pem(key.reveal()).map_err(|why| of_key(why.to_owned()))?;
        let der = CertificateDer::from_pem_slice(chain.reveal())
            .map_err(|_| of_certificate("there is no certificate in PEM form in it".to_owned()))?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| of_certificate("its certificate cannot be read".to_owned()))?;
        if certificate.public_key().subject_public_key.as_ref() != key.public() {
            return Err(of_key(format!(
                "this key does not belong to the certificate {}; a chain begins with the certificate of the key",
                files.certificate.display()
            )));
        }
        let time = |time: ASN1Time| (time.timestamp(), time.to_string());
        Ok(Self {
            key,
            sha256: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)),
            sha1: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der)),
            begins: time(certificate.validity().not_before),
            ends: time(certificate.validity().not_after),
        })
    }

    /// Refuses a certificate outside its time, and words a warning for one that is near its end.
    pub(super) fn judge_time(
        &self,
        files: &Certificate,
        now: u64,
    ) -> Result<Option<String>, String> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let file = files.certificate.display();
        let (begins, first) = &self.begins;
        if now < *begins {
            return Err(format!(
                "the certificate {file} is valid from {first} on only; check this machine's clock"
            ));
        }
        let (ends, last) = &self.ends;
        let left = ends.saturating_sub(now);
        let remedy = "make a new one, give it to the application at the provider and put it in this file's place (no \
                      restart is needed)";
        if left <= 0 {
            return Err(format!(
                "the certificate {file} expired on {last}; {remedy}"
            ));
        }
        Ok(match left / DAY {
            0 => Some(format!(
                "the certificate {file} expires within a day, on {last}; {remedy}"
            )),
            days if days < NOTICE_DAYS => Some(format!(
                "the certificate {file} expires in {days} days, on {last}; {remedy}"
            )),
            _ => None,
        })
    }

    /// Signs an assertion in the application's name, for its token endpoint.
    fn sign(&self, account: &AccountSettings, now: u64) -> Result<Secret<String>, String> {
        let mut header = match account.assertion_algorithm {
            AssertionAlgorithm::Ps256 => Header::new(Algorithm::PS256),
            // Whoever wants the older signature may know certificates by the older thumbprint alone: that one only finds
            // the certificate, nothing rests on it.
            AssertionAlgorithm::Rs256 => Header {
                x5t: Some(self.sha1.clone()),
                ..Header::new(Algorithm::RS256)
            },
        };
        header.x5t_s256 = Some(self.sha256.clone());
        let id = random_text::<16>().map_err(|error| error.to_string())?;
        let claims = json!({
            "aud": account.token_url,
            "iss": account.client_id,
            "sub": account.client_id,
            "jti": id,
            "nbf": now,
            "iat": now,
            "exp": now + LIFE,
        });
        let signed = self.key.sign(&header, &claims);
        signed.map_err(str::to_owned)
    }
}

/// Returns the time on the wall.
pub(super) fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
