//! Keys and certificates made on the spot, and a reader of what was signed with them.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Certificate;

/// Making RSA keys is slow: two serve all tests.
pub(super) static KEY: LazyLock<KeyPair> = LazyLock::new(rsa);
pub(super) static OTHER: LazyLock<KeyPair> = LazyLock::new(rsa);

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()
}

/// A certificate for a key: PEM and DER, valid from and until so many days from now.
pub(super) fn certificate(key: &KeyPair, from: i64, until: i64) -> (String, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let at = |days: i64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seconds = now.as_secs().saturating_add_signed(days * 86_400);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    let issued = params.self_signed(key).unwrap();
    (issued.pem(), issued.der().to_vec())
}

/// Wraps a key as PKCS#1: what is inside the 26 bytes that PKCS#8 puts before a key of 2048 bits.
pub(super) fn pkcs1(key: &KeyPair) -> String {
    let body = base64::prelude::BASE64_STANDARD.encode(&key.serialize_der()[26..]);
    format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n")
}

/// Files in a directory of their own.
pub(super) struct Files {
    dir: TempDir,
}

impl Files {
    pub(super) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A certificate that is good for a year, and its key.
    pub(super) fn usual(&self) -> Certificate {
        Certificate {
            certificate: self.write("app.pem", certificate(&KEY, -1, 365).0),
            key: self.write("app.key", KEY.serialize_pem()),
        }
    }
}

/// Checks a token's signature and returns its header and claims.
pub(super) fn verified(token: &str, key: &KeyPair, algorithm: Algorithm) -> (Value, Value) {
    let key = DecodingKey::from_rsa_der(key.der_bytes());
    let mut validation = Validation::new(algorithm);
    validation.validate_aud = false;
    let read = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    (
        serde_json::from_slice(&header.unwrap()).unwrap(),
        read.claims,
    )
}
