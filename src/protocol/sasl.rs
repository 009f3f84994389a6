//! SASL messages: PLAIN and LOGIN in, XOAUTH2 and OAUTHBEARER out.
