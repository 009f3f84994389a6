//! Whose signatures the pretend provider believes: applications by their certificates, service accounts and outside
//! issuers by their names.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::CLIENT_ID;

/// What the provider says to a proof it does not believe.
type No = (&'static str, &'static str);

/// Whom an outside issuer's token is for, as Entra wants it.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// A key, and what was made with it.
pub struct Signer {
    key: KeyPair,
}

impl Signer {
    /// Makes an RSA key; slow.
    pub fn new() -> Self {
        Self {
            key: KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
        }
    }

    /// Returns the private key, PEM (PKCS#8).
    pub fn pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Makes a certificate that ends in so many days (before now where negative): PEM, and its SHA-256 thumbprint.
    pub fn certificate(&self, days: i64) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let at = |days: i64| {
            let seconds = now().saturating_add_signed(days * 86_400) + 60;
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
        };
        (params.not_before, params.not_after) = (at(-400), at(days));
        let issued = params.self_signed(&self.key).unwrap();
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, issued.der()));
        (issued.pem(), thumbprint)
    }

    /// Writes a token as an outside issuer would, for an application known there as `subject`.
    pub fn outside_token(&self, issuer: &str, subject: &str) -> String {
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(self.pem().as_bytes()).unwrap();
        let claims = json!({"iss": issuer, "sub": subject, "aud": EXCHANGE, "iat": now(), "exp": now() + 3600, "jti": random()});
        let header = jsonwebtoken::Header::new(Algorithm::RS256);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }
}

/// Who is believed, by name: a certificate's thumbprint, a service account, an outside issuer.
#[derive(Default)]
pub struct Trust {
    keys: Mutex<HashMap<String, DecodingKey>>,
    seen: Mutex<HashSet<String>>,
}

impl Trust {
    /// Believes a key under a name from now on.
    pub fn believe(&self, name: &str, signer: &Signer) {
        let key = DecodingKey::from_rsa_der(signer.key.der_bytes());
        self.keys.lock().unwrap().insert(name.to_owned(), key);
    }

    /// Believes it no longer.
    pub fn forget(&self, name: &str) {
        self.keys.lock().unwrap().remove(name);
    }

    /// Checks an application's assertion.
    pub fn application(&self, assertion: &str, here: &str) -> Result<(), No> {
        let header = part(assertion, 0).ok_or(("invalid_client", "no token"))?;
        let claims = part(assertion, 1).ok_or(("invalid_client", "no claims"))?;
        if let Some(thumbprint) = header["x5t#S256"].as_str() {
            let algorithms = [Algorithm::PS256, Algorithm::RS256];
            let claims = self.verify(assertion, thumbprint, &algorithms, here)?;
            let number = |key: &str| claims[key].as_u64().unwrap_or_default();
            if claims["iss"] != CLIENT_ID || claims["sub"] != CLIENT_ID {
                return Err(("invalid_client", "an assertion of another application"));
            }
            if number("exp") > number("nbf") + 600 {
                return Err(("invalid_client", "the assertion lives too long"));
            }
            let id = claims["jti"].as_str().unwrap_or_default().to_owned();
            if id.is_empty() || !self.seen.lock().unwrap().insert(id) {
                return Err(("invalid_client", "the assertion was used before"));
            }
            return Ok(());
        }
        let issuer = claims["iss"].as_str().unwrap_or_default();
        self.verify(assertion, issuer, &[Algorithm::RS256], EXCHANGE)?;
        Ok(())
    }

    /// Checks a service account's assertion and returns in whose name it asks.
    pub fn service(&self, assertion: &str, here: &str) -> Result<String, No> {
        let claims = part(assertion, 1).ok_or(("invalid_grant", "no token"))?;
        let issuer = claims["iss"].as_str().unwrap_or_default();
        let claims = self
            .verify(assertion, issuer, &[Algorithm::RS256], here)
            .map_err(|(_, why)| ("invalid_grant", why))?;
        if claims["scope"].as_str().unwrap_or_default().is_empty() {
            return Err(("invalid_scope", "a scope is needed"));
        }
        claims["sub"]
            .as_str()
            .map(str::to_owned)
            .ok_or(("invalid_grant", "in nobody's name"))
    }

    fn verify(
        &self,
        token: &str,
        name: &str,
        algorithms: &[Algorithm],
        audience: &str,
    ) -> Result<Value, No> {
        let keys = self.keys.lock().unwrap();
        let key = keys
            .get(name)
            .ok_or(("invalid_client", "nobody knows this key"))?;
        let alg = jsonwebtoken::decode_header(token).map(|header| header.alg);
        let alg = alg.ok().filter(|alg| algorithms.contains(alg));
        let mut validation = Validation::new(alg.ok_or(("invalid_client", "signed otherwise"))?);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let read = jsonwebtoken::decode::<Value>(token, key, &validation);
        read.map(|read| read.claims)
            .map_err(|_| ("invalid_client", "the assertion does not hold"))
    }
}

/// Reads one part of a token, unchecked.
fn part(token: &str, number: usize) -> Option<Value> {
    let part = token.split('.').nth(number)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn random() -> String {
    let mut dice = [0; 8];
    aws_lc_rs::rand::fill(&mut dice).unwrap();
    u64::from_be_bytes(dice).to_string()
}
