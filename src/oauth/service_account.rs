//! Google service accounts: a JWT in a user's name, signed with the account's key, is the grant (RFC 7523 section 2.1).
