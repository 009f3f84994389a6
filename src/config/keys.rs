//! The names a configuration file may use, by the kind of section they belong to.
//!
//! Knows no values. A new key is added here first: spelling advice, masking and the tests of the example file follow.

/// The section of the proxy's own options.
pub const OPTIONS_SECTION: &str = "emailproxy";

/// The keys of `[emailproxy]`.
pub const OPTION_KEYS: &[&str] = &[
    "allow_catch_all_accounts",
    "delete_account_token_on_password_error",
    "encrypt_client_secret_on_first_use",
    "use_login_password_as_client_credentials_secret",
    "ca_file",
    "proxy",
    "authorisation_timeout",
    "cache_store",
    "store_key",
    "first_use_from",
    "max_connections",
    "max_connections_per_account",
    "early_dial",
    "sandbox",
    "notify_command",
    "web",
    "base_url",
    "web_password",
    "metrics_from",
];

/// The keys of service sections.
pub const SERVICE_KEYS: &[&str] = &[
    "server_address",
    "server_port",
    "server_starttls",
    "local_address",
    "local_certificate_path",
    "local_key_path",
    "local_starttls",
    "local_client_ca_path",
    "local_tls_minimum",
    "proxy_protocol_from",
    "allow_from",
];

/// The keys of account sections that people write.
pub const ACCOUNT_KEYS: &[&str] = &[
    "permission_url",
    "token_url",
    "oauth2_scope",
    "oauth2_resource",
    "oauth2_flow",
    "redirect_uri",
    "redirect_listen_address",
    "client_id",
    "client_secret",
    "use_pkce",
    "jwt_certificate_path",
    "jwt_key_path",
    "jwt_algorithm",
    "client_assertion_file",
    "issuer",
    "sign_in_as",
    "imap_server",
    "pop_server",
    "smtp_server",
    "imap_user",
    "pop_user",
    "smtp_user",
    "allow_from",
];

/// The keys of account sections that the predecessor writes.
pub const CACHED_KEYS: &[&str] = &[
    "token_salt",
    "token_iterations",
    "access_token",
    "access_token_expiry",
    "refresh_token",
    "client_secret_encrypted",
    "last_activity",
];

/// Other spellings in circulation, with the key they stand for.
pub const OTHER_SPELLINGS: &[(&str, &str)] = &[
    ("starttls", "server_starttls"),
    ("redirect_list_address", "redirect_listen_address"),
    ("authorization_timeout", "authorisation_timeout"),
];

/// Keys that hold text for the reader.
const FREE_TEXT: &[&str] = &[
    "comment",
    "comments",
    "description",
    "documentation",
    "example",
    "examples",
    "format",
    "info",
    "note",
    "notes",
    "warning",
];

/// Keys whose values are never shown.
const SECRETS: &[&str] = &[
    "access_token",
    "cache_store",
    "client_secret",
    "client_secret_encrypted",
    "proxy",
    "refresh_token",
    "web_password",
];

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[emailproxy]`.
    Options,
    /// `[IMAP-n]`, `[POP-n]`, `[SMTP-n]`.
    Service,
    /// A name with `@`.
    Account,
}

impl Kind {
    /// Returns the words for it in a message.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Options => "the section [emailproxy]",
            Self::Service => "a service section such as [SMTP-2465]",
            Self::Account => "an account section such as [user@example.com]",
        }
    }
}

/// Returns whether a key's value must not be shown.
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// Returns whether a key holds text for the reader.
pub(super) fn is_free_text(key: &str) -> bool {
    FREE_TEXT.contains(&key)
}

/// Returns the key that another spelling stands for, or the key itself.
pub(super) fn usual_spelling(key: &str) -> &str {
    let known = OTHER_SPELLINGS.iter().find(|(other, _)| *other == key);
    known.map_or(key, |(_, usual)| usual)
}

/// Returns whether a key has a meaning in sections of this kind. `allow_from` has one in two.
pub(super) fn belongs(key: &str, kind: Kind) -> bool {
    home(key) == Some(kind) || of(kind).any(|known| known == key)
}

/// Returns the kind of section a key belongs to; of several, the one with fewer of them.
pub(super) fn home(key: &str) -> Option<Kind> {
    let key = usual_spelling(key);
    if ACCOUNT_KEYS.contains(&key) || CACHED_KEYS.contains(&key) {
        Some(Kind::Account)
    } else if SERVICE_KEYS.contains(&key) || key == "plugins" {
        Some(Kind::Service)
    } else if OPTION_KEYS.contains(&key) {
        Some(Kind::Options)
    } else {
        None
    }
}

/// Returns every key of a kind of section.
pub(super) fn of(kind: Kind) -> impl Iterator<Item = &'static str> {
    let (written, cached): (&[&str], &[&str]) = match kind {
        Kind::Options => (OPTION_KEYS, &[]),
        Kind::Service => (SERVICE_KEYS, &[]),
        Kind::Account => (ACCOUNT_KEYS, CACHED_KEYS),
    };
    written.iter().chain(cached).copied()
}

/// Returns the known name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.7;
    let rated = known.into_iter().map(|known| {
        let nearness = strsim::normalized_damerau_levenshtein(&name.to_lowercase(), known);
        (nearness, known)
    });
    rated
        .filter(|(nearness, _)| *nearness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_lead_to_the_right_ones() {
        let known = || of(Kind::Account);
        assert_eq!(nearest("client_secrt", known()), Some("client_secret"));
        assert_eq!(nearest("oauth_scope", known()), Some("oauth2_scope"));
        assert_eq!(nearest("Token_URL", known()), Some("token_url"));
        assert_eq!(nearest("shoe_size", known()), None);
    }

    #[test]
    fn every_key_has_a_home() {
        for kind in [Kind::Options, Kind::Service, Kind::Account] {
            for key in of(kind) {
                assert!(belongs(key, kind), "{key}");
            }
            for key in of(kind).filter(|key| *key != "allow_from") {
                assert_eq!(home(key), Some(kind), "{key}");
            }
        }
        assert_eq!(home("starttls"), Some(Kind::Service));
        assert_eq!(home("documentation"), None);
    }
}
