//! What the mail servers of Google and of everybody else say; last of all the codes of the standards.
//!
//! From developers.google.com/workspace/gmail/imap, support.google.com/a/answer/3726730, RFC 3206, RFC 4954 section 6, RFC
//! 5530 section 3 and transcripts that were seen.

use super::exchange::{entries, lasting, passing};
use super::{By, Chapter, Class, Entry, Meaning, Sign};

const CREDENTIALS: Meaning = lasting(
    Class::ReAuthorise,
    "Gmail does not take the token for this mailbox: another person signed in, or the scope https://mail.google.com/ was not given",
    "set oauth2_scope = https://mail.google.com/ and sign in as {account}, with all boxes ticked: emailproxy authorize {account}; a service account needs that scope in Domain-wide delegation",
);
const APP_PASSWORD: Meaning = lasting(
    Class::FixConfiguration,
    "Gmail saw a password login rather than a token",
    "check that nothing between emailproxy and {server} logs in by itself",
);
const WEB_LOGIN: Meaning = lasting(
    Class::ReAuthorise,
    "Google wants the owner of the account to confirm something in a browser",
    "log in as {account} at https://mail.google.com and follow what it says, then try again",
);
const LOGIN_RATE: Meaning = passing(
    "Gmail had too many logins of this account",
    "wait some minutes, and let mail programs keep their connections instead of logging in for each mail",
);
const CONNECTIONS: Meaning = passing(
    "the account has as many connections as Gmail allows (15)",
    "close mail programs, or set max_connections_per_account = 10 in [emailproxy]",
);
const BANDWIDTH: Meaning = passing(
    "the account has moved as much mail as Google allows in a day",
    "wait up to 24 hours, and let the mail program fetch less",
);
const DAILY: Meaning = passing(
    "the account has sent as much as Google allows in 24 hours",
    "wait up to 24 hours; for more use the Workspace SMTP relay",
);
const LATER: Meaning = passing(
    "the server has a fault of its own or too much to do",
    "nothing has to be done but to try later",
);
const RECIPIENTS: Meaning = Meaning {
    class: Class::FixConfiguration,
    temporary: true,
    cause: "the mail has more recipients than Gmail takes at once (100)",
    remedy: "let the mail program send it in parts: Postfix smtp_destination_recipient_limit = 100",
};
const IMAP_OFF: Meaning = lasting(
    Class::AskAdministrator,
    "IMAP or POP is switched off for the account",
    "switch it on: Gmail > Settings > Forwarding and POP/IMAP; in Workspace the administrator: Google Admin console > Apps > Gmail > End user access",
);
const SESSION: Meaning = passing(
    "the session ended because its token did",
    "nothing has to be done, the mail program connects again and gets a new one",
);

pub(super) const GOOGLE: Chapter = Chapter {
    title: "Gmail: IMAP, POP and submission",
    entries: entries! {
        APP_PASSWORD {
            Anybody ["application-specific password required"] "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor"
            Anybody ["5.7.9"] "534 5.7.9 Please log in with a password of the application"
        }
        WEB_LOGIN {
            Anybody ["web browser"] "NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)"
            Anybody ["5.7.14"] "534-5.7.14 Please log in through another way and\n534 5.7.14 then try again. https://support.google.com/mail/answer/78754"
        }
        LOGIN_RATE {
            Anybody ["too many login attempts"] "454 4.7.0 Too many login attempts, please try again later. https://support.google.com/mail/answer/7126229"
            Anybody ["exceeded command or bandwidth limits"] "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)"
        }
        CONNECTIONS {
            Anybody ["too many simultaneous connections"] "NO [ALERT] Too many simultaneous connections. (Failure)"
        }
        BANDWIDTH {
            Anybody ["bandwidth limit"] "NO [ALERT] Account exceeded its bandwidth limit. (Failure)"
        }
        DAILY {
            Anybody ["daily sending quota"] "550 5.4.5 Daily sending quota exceeded. https://support.google.com/a/answer/166852"
            Anybody ["daily user sending limit"] "550 5.4.5 Daily user sending limit exceeded. https://support.google.com/a/answer/166852"
        }
        LATER {
            Anybody ["4.3.0"] "421 4.3.0 Temporary System Problem. Try again later."
            Anybody ["temporary system problem"] "454 4.7.0 Cannot authenticate due to a temporary system problem. Try again later."
            Anybody ["4.7.0", "try again later"] "421 4.7.0 Try again later, closing connection."
            Anybody ["4.4.5"] "421 4.4.5 Server busy, try again later."
        }
        RECIPIENTS {
            Anybody ["4.5.3", "too many recipients"] "452 4.5.3 Your message has too many recipients."
        }
        IMAP_OFF {
            Anybody ["is not enabled for imap"] "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)"
            Anybody ["is not enabled for pop"] "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access."
        }
        SESSION {
            Anybody ["session expired, please login again"] "NO Session expired, please login again."
        }
        CREDENTIALS {
            Anybody ["username and password not accepted"] "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials"
            Anybody ["invalid credentials (failure)"] "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
        }
    },
};

const YAHOO_CREDENTIALS: Meaning = lasting(
    Class::ReAuthorise,
    "Yahoo does not take the token for this mailbox: another person signed in, or the application has no mail scope",
    "set oauth2_scope = mail-w and sign in as {account}: emailproxy authorize {account}",
);
const OWN_PASSWORD: Meaning = lasting(
    Class::FixConfiguration,
    "the server does not take the token, or wants a password",
    "check that oauth2_scope names this protocol's mail scope (Fastmail: https://www.fastmail.com/dev/protocol-imap and the like) and sign in as {account}: emailproxy authorize {account}",
);
const NO_MECHANISM: Meaning = lasting(
    Class::FixConfiguration,
    "the server does not know this way of showing a token",
    "check server_address: the server must take XOAUTH2 or OAUTHBEARER, else the provider's app password is the way, without emailproxy",
);
const PROTOCOL_OFF: Meaning = lasting(
    Class::FixConfiguration,
    "the protocol is switched off in the mailbox's settings",
    "switch IMAP and POP on in the settings of {account} at the provider's web mail",
);
const REFUSED: Meaning = lasting(
    Class::ReAuthorise,
    "the server does not take the token for this mailbox",
    "check that {account} itself signed in and that oauth2_scope names the mail scopes, then sign in again: emailproxy authorize {account}",
);
const FORBIDDEN: Meaning = lasting(
    Class::AskAdministrator,
    "the server knows who logs in, but does not let them in",
    "ask the administrator of {server} whether {account} may use this protocol",
);
const LINE: Meaning = lasting(
    Class::FixConfiguration,
    "the server does not take lines as long as this token",
    "ask the provider for a shorter token (fewer scopes), or the administrator of {server} for a longer AUTH line (RFC 4954: 12,288 bytes)",
);
const WEAK: Meaning = lasting(
    Class::FixConfiguration,
    "the server wants TLS before a login",
    "check server_port and server_starttls",
);
const IN_USE: Meaning = passing(
    "the mailbox is in use by another connection",
    "close other mail programs with this account, or wait",
);

pub(super) const OTHERS: Chapter = Chapter {
    title: "Every other mail server: IMAP, POP and submission",
    entries: entries! {
        PROTOCOL_OFF {
            Anybody ["or imap is disabled"] "NO [AUTHENTICATIONFAILED] AUTHENTICATE invalid credentials or IMAP is disabled"
            Anybody ["does not have access rights to this service"] "535 5.7.8 Error: authentication failed: This user does not have access rights to this service"
        }
        YAHOO_CREDENTIALS {
            Anybody ["authenticate invalid credentials"] "NO [AUTHENTICATIONFAILED] AUTHENTICATE Invalid credentials"
            Anybody ["5.7.0", "auth005"] "535 5.7.0 (#AUTH005) Too many bad auth attempts."
        }
        LATER {
            Anybody ["server error - please try again later"] "NO [UNAVAILABLE] AUTHENTICATE Server error - Please try again later"
            Anybody ["4.7.0"] "450 4.7.0 Please come back in a minute"
            Anybody ["[unavailable]"] "NO [UNAVAILABLE] Temporary authentication failure."
            Anybody ["[sys/temp]"] "-ERR [SYS/TEMP] Temporary authentication failure"
            Anybody ["[serverbug]"] "NO [SERVERBUG] This should not happen"
        }
        CONNECTIONS_ELSEWHERE {
            Anybody ["[limit]"] "NO [LIMIT] Maximum number of connections from user+IP exceeded"
            Anybody ["too many"] "421 4.7.1 Too many connections from this account"
        }
        IN_USE {
            Anybody ["[inuse]"] "NO [INUSE] Mailbox in use"
            Anybody ["[in-use]"] "-ERR [IN-USE] Do you have another POP session running?"
            Anybody ["[login-delay]"] "-ERR [LOGIN-DELAY] minimum time between mail checks violation"
        }
        OWN_PASSWORD {
            Anybody ["incorrect username or password"] "NO Incorrect username or password."
            Anybody ["incorrect authentication data"] "535 5.7.0 Incorrect authentication data"
        }
        NO_MECHANISM {
            Anybody ["unsupported authentication mechanism"] "NO [CANNOT] Unsupported authentication mechanism."
            Anybody ["authenticate command syntax error"] "BAD AUTHENTICATE Command syntax error."
            Anybody ["5.5.4"] "504 5.5.4 Unrecognized authentication type"
        }
        LINE {
            Anybody ["5.5.2", "line too long"] "500 5.5.2 Line too long"
            Anybody ["5.5.6"] "500 5.5.6 Authentication exchange line is too long"
        }
        WEAK {
            Anybody ["[privacyrequired]"] "NO [PRIVACYREQUIRED] TLS is wanted first"
            Anybody ["5.7.0", "starttls"] "530 5.7.0 Must issue a STARTTLS command first"
            Anybody ["5.7.11"] "538 5.7.11 Encryption required for requested authentication mechanism"
        }
        FORBIDDEN {
            Anybody ["[authorizationfailed]"] "NO [AUTHORIZATIONFAILED] Authorization failed"
            Anybody ["[contactadmin]"] "NO [CONTACTADMIN] The account is suspended"
            Anybody ["[sys/perm]"] "-ERR [SYS/PERM] The account is suspended"
            Anybody ["5.7.1"] "550 5.7.1 Access denied"
        }
        REFUSED {
            Anybody ["[expired]"] "NO [EXPIRED] That token isn't valid any more"
            Anybody ["[authenticationfailed]"] "NO [AUTHENTICATIONFAILED] Authentication failed."
            Anybody ["[auth]"] "-ERR [AUTH] Authentication failed."
            Anybody ["5.7.8"] "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"
        }
    },
};

const CONNECTIONS_ELSEWHERE: Meaning = passing(
    "the account has as many connections as the server allows",
    "close mail programs, or set max_connections_per_account in [emailproxy] to fewer",
);
