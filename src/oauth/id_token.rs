//! Who signed in, as an ID token says it (OpenID Connect Core section 2).
//!
//! The token comes straight from the token endpoint over TLS and authorises nothing, so its signature is not checked.
