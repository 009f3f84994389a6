//! The application's proof without a secret: a JWT signed with its certificate's key, or one that somebody else wrote
//! into a file (RFC 7523 section 2.2).
//!
//! Knows nothing of what is asked for with it.
