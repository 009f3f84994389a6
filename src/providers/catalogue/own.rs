//! What emailproxy itself refuses, and why: the words of `refusal::Refusal`.

use super::{Chapter, Class, Entry, Meaning, Sign};

/// A meaning that does not pass by itself.
const fn lasting(class: Class, cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class,
        temporary: false,
        cause,
        remedy,
    }
}

/// A meaning that passes by itself.
const fn passing(class: Class, cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class,
        temporary: true,
        cause,
        remedy,
    }
}

/// The client sent an empty password.
pub const NO_PASSWORD: Meaning = lasting(
    Class::LocalPassword,
    "no password was sent",
    "set one in the mail client (any password will do at the first login)",
);

/// No section fits the user name.
pub const UNKNOWN_ACCOUNT: Meaning = lasting(
    Class::FixConfiguration,
    "no account section fits this user name",
    "add a section [USER] or use allow_catch_all_accounts",
);

/// The password does not open the account.
pub const WRONG_PASSWORD: Meaning = lasting(
    Class::LocalPassword,
    "the password does not open this account's stored tokens",
    "enter in the mail program the password that was used first, or set a new one with emailproxy password <account>",
);

/// The account's section lacks something.
pub const INCOMPLETE: Meaning = lasting(
    Class::FixConfiguration,
    "the account's section is incomplete",
    "add what the log names; emailproxy config shows what is read from the file",
);

/// Nobody gave consent in time.
pub const CONSENT_TIMED_OUT: Meaning = passing(
    Class::ReAuthorise,
    "nobody authorised the account in time",
    "log in again and visit the newest sign-in address in the log",
);

/// The sign-in came to nothing, and the catalogue does not know why.
pub const CONSENT_REFUSED: Meaning = lasting(
    Class::ReAuthorise,
    "the sign-in came to nothing",
    "sign in again: emailproxy authorize {account}",
);

/// The token endpoint said no, and the catalogue does not know why.
pub const TOKEN_REFUSED: Meaning = lasting(
    Class::FixConfiguration,
    "the provider gives this application no token for this account",
    "compare the account's section with the application's registration; the provider's own words say more",
);

/// The token endpoint is out of reach or makes no sense.
pub const TOKEN_UNAVAILABLE: Meaning = passing(
    Class::RetryLater,
    "the token endpoint cannot be used at the moment",
    "nothing has to be done if it passes; if it lasts, check token_url, this machine's network and the proxy option",
);

/// A mail server said no, and the catalogue does not know why.
pub const SERVER_REFUSED: Meaning = lasting(
    Class::FixConfiguration,
    "the mail server does not take the token",
    "check that {account} itself signed in and that oauth2_scope names the mail scopes; the server's own words say more",
);

/// A mail server said later.
pub const SERVER_BUSY: Meaning = passing(
    Class::RetryLater,
    "the mail server has too much to do or a fault of its own",
    "nothing has to be done but to try later",
);

/// A mail server is out of reach.
pub const SERVER_UNAVAILABLE: Meaning = passing(
    Class::RetryLater,
    "the mail server cannot be reached",
    "nothing has to be done if it passes; if it lasts, check server_address, server_port and this machine's network",
);

/// A mail server breaks its protocol.
pub const SERVER_MISBEHAVED: Meaning = passing(
    Class::FixConfiguration,
    "what answers there does not speak as a mail server should",
    "check server_address, server_port and server_starttls",
);

/// The configuration or the store stands in the way.
pub const MISCONFIGURED: Meaning = lasting(
    Class::FixConfiguration,
    "the configuration or the token store stands in the way",
    "follow what the log says; emailproxy config shows what is read from the file",
);

/// A limit of this proxy is reached.
pub const BUSY: Meaning = passing(
    Class::RetryLater,
    "a limit of this proxy or of its machine is reached",
    "close connections, or raise the limit that the log names",
);

/// The proxy is going down.
pub const SHUTTING_DOWN: Meaning = passing(
    Class::RetryLater,
    "emailproxy is shutting down",
    "start it again",
);

/// A first password came from where none may come from.
pub const FIRST_PASSWORD: Meaning = lasting(
    Class::LocalPassword,
    "the account has no local password yet, and a first one may not come from there",
    "set one with emailproxy password {account}, log in from this machine first, or allow that network with first_use_from in [emailproxy]",
);

/// Somebody else signed in than the account's name says.
pub const SOMEBODY_ELSE: Meaning = lasting(
    Class::ReAuthorise,
    "somebody signed in under another name than the account's, and nobody confirmed that it is meant",
    "sign in again as {account} in a private browser window: emailproxy authorize {account}; if the other name is meant, put it into sign_in_as",
);

/// The sign-in's address or code was not used in time.
pub const SIGN_IN_LAPSED: Meaning = passing(
    Class::ReAuthorise,
    "nobody signed in while the address or code was good",
    "ask for a new one: emailproxy authorize {account}, or log in again",
);

/// Makes an entry of our own.
const fn entry(said: &'static str, means: &'static Meaning) -> Entry {
    Entry {
        sign: Sign::Own,
        said,
        means,
    }
}

/// What each of them says to a mail program or in the log.
pub(super) const CHAPTER: Chapter = Chapter {
    title: "emailproxy itself",
    entries: &[
        entry("no password was sent", &NO_PASSWORD),
        entry("no account section fits this user name", &UNKNOWN_ACCOUNT),
        entry(
            "the password does not open this account's stored tokens",
            &WRONG_PASSWORD,
        ),
        entry("the account's section is incomplete", &INCOMPLETE),
        entry("nobody authorised the account within", &CONSENT_TIMED_OUT),
        entry("the authorisation failed", &CONSENT_REFUSED),
        entry("the token endpoint refused", &TOKEN_REFUSED),
        entry("the token endpoint is not available", &TOKEN_UNAVAILABLE),
        entry("refused the login", &SERVER_REFUSED),
        entry("cannot log in just now", &SERVER_BUSY),
        entry("could not connect to", &SERVER_UNAVAILABLE),
        entry("does not speak as expected", &SERVER_MISBEHAVED),
        entry(
            "the account names no endpoint that could be asked",
            &MISCONFIGURED,
        ),
        entry(
            "the account has as many connections as it may (max_connections_per_account)",
            &BUSY,
        ),
        entry("emailproxy is shutting down", &SHUTTING_DOWN),
    ],
};
