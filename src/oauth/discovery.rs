//! An issuer's discovery document (OpenID Connect Discovery 1.0, RFC 8414): endpoints, and how they want to be asked.
//!
//! Knows nothing of accounts but the `issuer` they name.
