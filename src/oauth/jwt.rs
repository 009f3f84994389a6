//! JSON Web Tokens signed with an RSA key (RFC 7515, RFC 7519), and what passes for one.
//!
//! Knows neither files nor what the claims mean.

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::secret::Secret;

/// A private RSA key of at least 2048 bits.
pub(super) struct RsaKey {
    key: EncodingKey,
    public: Vec<u8>,
}

impl RsaKey {
    /// Reads the first private key in a PEM text, PKCS#8 or PKCS#1, whatever stands around it.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            if pem.windows(9).any(|word| word == b"ENCRYPTED") {
                "the private key is encrypted; write it without a pass phrase (`openssl pkey -in KEY -out PLAIN`)"
            } else {
                "there is no private key in PEM form in it"
            }
        })?;
        let no_rsa = "the private key is no RSA key of at least 2048 bits, which is what signs here; keys on elliptic \
                      curves are not accepted";
        let key = Secret::new(key);
        let (pair, encoding) = match key.reveal() {
            PrivateKeyDer::Pkcs1(der) => (
                RsaKeyPair::from_der(der.secret_pkcs1_der()),
                Ok(EncodingKey::from_rsa_der(der.secret_pkcs1_der())),
            ),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // The signing library takes this form as PEM only, and as the first block of it.
                let mut alone = String::with_capacity(der.len() * 2);
                alone.push_str("-----BEGIN PRIVATE KEY-----\n");
                BASE64_STANDARD.encode_string(der, &mut alone);
                alone.push_str("\n-----END PRIVATE KEY-----\n");
                let alone = Secret::new(alone);
                (
                    RsaKeyPair::from_pkcs8(der),
                    EncodingKey::from_rsa_pem(alone.reveal().as_bytes()),
                )
            }
            _ => return Err(no_rsa),
        };
        let pair = pair.map_err(|_| no_rsa)?;
        Ok(Self {
            key: encoding.map_err(|_| no_rsa)?,
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    /// Returns the public half as `RSAPublicKey` (RFC 8017 appendix A.1.1), DER.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs claims.
    pub(super) fn sign(
        &self,
        header: &Header,
        claims: &Value,
    ) -> Result<Secret<String>, &'static str> {
        jsonwebtoken::encode(header, claims, &self.key)
            .map(Secret::new)
            .map_err(|_| "the private key does not sign")
    }
}

/// Returns whether a text has a signed token's form: header, claims and signature in base64url.
pub(super) fn looks_like_one(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let reads = |part: &&str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let header = parts.first().and_then(reads);
    let header = header.and_then(|header| serde_json::from_slice::<Value>(&header).ok());
    parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && reads(part).is_some())
        && header.is_some_and(|header| header.is_object())
}
