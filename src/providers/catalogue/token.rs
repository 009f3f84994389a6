//! What token and authorization endpoints say in words rather than numbers: Google, Yahoo, others, and the standards'.
//!
//! From RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5, RFC 8707 section 2, `OpenID` Connect Core section
//! 3.1.2.6, developers.google.com/identity/protocols/oauth2, developer.yahoo.com/oauth2/guide/errors and answers that were
//! seen.

use super::{Chapter, Class, Entry, Meaning, Sign};

/// Makes entries of errors that share a meaning: the word, what the description must hold, what it says.
macro_rules! entries {
    ($($means:ident { $($error:literal $says:literal $text:literal)* })*) => {
        &[$($(Entry {
            sign: Sign::Word { error: $error, says: $says },
            said: $text,
            means: &$means,
        },)*)*]
    };
}

/// A meaning that does not pass by itself.
const fn meaning(class: Class, cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class,
        temporary: false,
        cause,
        remedy,
    }
}

const REVOKED: Meaning = meaning(
    Class::ReAuthorise,
    "the refresh token has expired or was revoked (Google also does that after a change of password, after six months unused, and after 7 days while the consent screen is in Testing)",
    "sign in again: emailproxy authorize {account}; if this comes back every 7 days, publish the application: Google Cloud console > Google Auth Platform > Audience > Publish app",
);
const NOT_OURS: Meaning = meaning(
    Class::ReAuthorise,
    "the refresh token belongs to another application, or is not whole",
    "sign in again: emailproxy authorize {account}; and check that client_id ({client_id}) was not changed",
);
const SESSION: Meaning = meaning(
    Class::ReAuthorise,
    "the organisation's session length has passed",
    "sign in again: emailproxy authorize {account}; or ask the administrator to trust the application {client_id}: Google Admin console > Security > API controls > App access control",
);
const CODE: Meaning = meaning(
    Class::ReAuthorise,
    "the authorisation code was cut, used before or too old",
    "sign in again: emailproxy authorize {account}; where the address is pasted, paste all of it",
);
const CLOCK: Meaning = meaning(
    Class::FixConfiguration,
    "this machine's clock is wrong",
    "set it, and keep it set by NTP",
);
const NO_USER: Meaning = meaning(
    Class::FixConfiguration,
    "the organisation has no user of this name",
    "check the account's name ({account}), or name the user in sign_in_as",
);
const NO_SERVICE_ACCOUNT: Meaning = meaning(
    Class::FixConfiguration,
    "the service account is gone, or its key was deleted",
    "make a new key and put it into client_secret: Google Cloud console > IAM & Admin > Service Accounts > Keys",
);
const DELEGATION: Meaning = meaning(
    Class::AskAdministrator,
    "the service account may not act for this user with these scopes (domain-wide delegation)",
    "in Google's Admin console > Security > API controls > Domain-wide delegation, allow the service account's client id exactly the scopes of oauth2_scope",
);
const GOOGLE_CLIENT: Meaning = meaning(
    Class::FixConfiguration,
    "Google does not know this application, or its secret is another",
    "check client_id ({client_id}) and client_secret against Google Cloud console > Google Auth Platform > Clients, or make a new client of type Desktop app there",
);
const GOOGLE_DEVICE: Meaning = meaning(
    Class::FixConfiguration,
    "Google does not give mail scopes to device codes",
    "use oauth2_flow = authorization_code; without a browser on this machine: emailproxy authorize {account} --external-auth and paste the address",
);
const GOOGLE_POLICY: Meaning = meaning(
    Class::AskAdministrator,
    "the Workspace administrator has not allowed this application",
    "ask the administrator: Google Admin console > Security > API controls > App access control: trust {client_id}",
);
const GOOGLE_INTERNAL: Meaning = meaning(
    Class::FixConfiguration,
    "the application is for users of its own Workspace organisation only",
    "sign in with a user of that organisation, or set Google Cloud console > Google Auth Platform > Audience to External",
);
const EMBEDDED: Meaning = meaning(
    Class::ReAuthorise,
    "Google does not let people sign in inside other programs",
    "open the address in a browser of its own: emailproxy authorize {account}",
);
const TOO_OFTEN: Meaning = Meaning {
    class: Class::RetryLater,
    temporary: true,
    cause: "the provider was asked too often",
    remedy: "nothing needs to be done but to wait",
};

pub(super) const GOOGLE: Chapter = Chapter {
    title: "Google: tokens and sign-ins",
    entries: entries! {
        REVOKED {
            "invalid_grant" "expired or revoked" "Token has been expired or revoked."
            "invalid_grant" "has been deleted" "Account has been deleted."
        }
        NOT_OURS {
            "invalid_grant" "bad request" "Bad Request"
        }
        SESSION {
            "invalid_grant" "invalid_rapt" "reauth related error (invalid_rapt)"
        }
        CODE {
            "invalid_grant" "malformed auth code" "Malformed auth code."
        }
        CLOCK {
            "invalid_grant" "reasonable timeframe" "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
        }
        NO_USER {
            "invalid_grant" "invalid email or user id" "Invalid email or User ID"
        }
        NO_SERVICE_ACCOUNT {
            "invalid_grant" "account not found" "Invalid grant: account not found"
            "invalid_grant" "invalid jwt signature" "Invalid JWT Signature."
        }
        DELEGATION {
            "unauthorized_client" "access tokens using this method" "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
        }
        GOOGLE_CLIENT {
            "invalid_client" "oauth client was not found" "The OAuth client was not found."
            "invalid_client" "provided client secret is invalid" "The provided client secret is invalid."
            "deleted_client" "" "The OAuth client was deleted."
            "disabled_client" "" "The OAuth client was disabled."
        }
        GOOGLE_DEVICE {
            "invalid_scope" "device flow" "Invalid device flow scope: https://mail.google.com/"
        }
        GOOGLE_POLICY {
            "admin_policy_enforced" "" "This app is blocked by the organisation's administrator."
        }
        GOOGLE_INTERNAL {
            "org_internal" "" "emailproxy is restricted to users within its organization."
        }
        EMBEDDED {
            "disallowed_useragent" "" "This user agent is not permitted to make an OAuth authorization request to Google."
        }
        TOO_OFTEN {
            "rate_limit_exceeded" "" "Quota exceeded."
        }
    },
};

const YAHOO_GRANT: Meaning = meaning(
    Class::ReAuthorise,
    "Yahoo does not take the refresh token or code any more",
    "sign in again: emailproxy authorize {account}",
);
const YAHOO_CLIENT: Meaning = meaning(
    Class::FixConfiguration,
    "Yahoo does not know this application, or its secret is another",
    "check client_id ({client_id}) and client_secret against developer.yahoo.com/apps",
);
const YAHOO_REDIRECT: Meaning = meaning(
    Class::FixConfiguration,
    "the redirect address is not the one registered",
    "put the https address registered at developer.yahoo.com/apps into redirect_uri, letter by letter",
);
const YAHOO_SCOPE: Meaning = meaning(
    Class::FixConfiguration,
    "the application may not use mail scopes, which Yahoo gives on request only",
    "ask Yahoo for access (Yahoo Mail API Access form) with oauth2_scope = mail-w, or use an app password with the provider directly",
);
const YAHOO_PERSON: Meaning = meaning(
    Class::ReAuthorise,
    "whoever signed in has not allowed this application, or may not",
    "sign in again and accept: emailproxy authorize {account}",
);
const YAHOO_REQUEST: Meaning = meaning(
    Class::FixConfiguration,
    "Yahoo did not understand the request",
    "check that token_url is https://api.login.yahoo.com/oauth2/get_token and permission_url https://api.login.yahoo.com/oauth2/request_auth, and look for stray blanks in the account's section",
);

pub(super) const YAHOO: Chapter = Chapter {
    title: "Yahoo and AOL: tokens and sign-ins",
    entries: entries! {
        YAHOO_GRANT {
            "INVALID_REFRESH_TOKEN" "" "Failed to decode/encode refresh token"
            "INVALID_GRANT" "" "An invalid or expired token was provided"
            "TOKEN_EXPIRED" "" "The provided refresh token has expired"
            "INVALID_AUTHORIZATION_CODE" "" "The authorization code is invalid"
        }
        YAHOO_CLIENT {
            "INVALID_CLIENT" "" "An invalid Client ID was provided"
            "INVALID_CLIENT_SECRET" "" "An invalid Client Secret was provided"
            "INVALID_CONSUMER_KEY" "" "The consumer key is invalid"
            "DELETED_CONSUMER_KEY" "" "The consumer key was deleted"
            "DISABLED_CONSUMER_KEY" "" "The consumer key was disabled"
        }
        YAHOO_REDIRECT {
            "INVALID_REDIRECT_URI" "" "The redirect_uri does not match the one provided with the original authorization request"
            "UNSUPPORTED_REDIRECT_URI" "" "The redirect_uri is not supported for this request type"
            "INVALID_CALLBACK" "" "The redirect_uri provided uses an unsupported port or does not match the Client ID"
            "INVALID_CALLBACK_URL" "" "The callback URL is invalid"
            "BAD_REDIRECT_URI" "" "The redirect_uri is bad"
        }
        YAHOO_SCOPE {
            "INVALID_SCOPE" "" "An invalid scope was provided"
            "invalid_scope" "mail-w" "The scope mail-w is not allowed for this application"
        }
        YAHOO_PERSON {
            "ACCOUNT_NOT_AUTHORIZED" "" "The user has not authorized the requesting Client ID"
            "UNDERAGE_USER" "" "The user who must authorize access is a minor and cannot authorize access"
        }
        YAHOO_REQUEST {
            "INVALID_REQUEST" "" "An invalid request parameter was provided"
            "UNSUPPORTED_GRANT_TYPE" "" "The provided grant_type is not supported"
            "UNSUPPORTED_OVER_HTTP" "" "OAuth 2.0 only supports calls over HTTPS"
            "PARAMETER_ABSENT" "" "A required parameter is missing from the request"
            "PARAMETER_REJECTED" "" "A provided parameter is too long"
            "INVALID_PARAM" "" "A provided request parameter is invalid"
            "INVALID_INPUT" "" "The value for client_id cannot be empty"
            "ERROR_HANDLING_REQUEST" "" "Error handling request"
        }
    },
};

const RESOURCE: Meaning = meaning(
    Class::FixConfiguration,
    "the provider wants to be told which service the token is for, or does not know the one named (RFC 8707)",
    "set oauth2_resource; at Fastmail https://api.fastmail.com/jmap/session for applications that registered themselves",
);
const YANDEX_CODE: Meaning = meaning(
    Class::ReAuthorise,
    "the authorisation code was used before or is too old (Yandex ends it after 10 minutes)",
    "sign in again: emailproxy authorize {account}",
);
const YANDEX_SCOPE: Meaning = meaning(
    Class::FixConfiguration,
    "the application was not registered with the scopes that were asked for",
    "tick mail:imap_full and mail:smtp for the application at oauth.yandex.com, and sign in again: emailproxy authorize {account}",
);

pub(super) const OTHERS: Chapter = Chapter {
    title: "Fastmail, Yandex: tokens and sign-ins",
    entries: entries! {
        RESOURCE {
            "invalid_target" "" "The requested resource is invalid, missing, unknown, or malformed."
        }
        YANDEX_CODE {
            "invalid_grant" "code has expired" "Code has expired"
        }
        YANDEX_SCOPE {
            "unauthorized_client" "rejected" "Your application has been rejected or is awaiting moderation"
        }
    },
};

const SIGN_IN: Meaning = meaning(
    Class::ReAuthorise,
    "the provider wants a person to sign in",
    "sign in again: emailproxy authorize {account}",
);
const CODE_LATE: Meaning = meaning(
    Class::ReAuthorise,
    "nobody approved the device code in time",
    "ask for a new one and approve that: emailproxy authorize {account}",
);
const CODE_UNKNOWN: Meaning = meaning(
    Class::ReAuthorise,
    "the provider does not know this device code any more",
    "ask for a new one and approve that: emailproxy authorize {account}",
);
const SAID_NO: Meaning = meaning(
    Class::ReAuthorise,
    "whoever was asked said no, or the provider's policy did",
    "sign in again and approve it: emailproxy authorize {account}",
);
const CLIENT: Meaning = meaning(
    Class::FixConfiguration,
    "the provider does not know this application, or what proves it is wrong",
    "check client_id ({client_id}) and client_secret against the application's registration",
);
const NOT_ALLOWED: Meaning = meaning(
    Class::FixConfiguration,
    "the application may not use this grant or these scopes",
    "check client_id ({client_id}), and that its registration allows this oauth2_flow and oauth2_scope",
);
const SCOPE: Meaning = meaning(
    Class::FixConfiguration,
    "the provider does not know a scope, or does not give it to this application",
    "check oauth2_scope letter by letter against the provider's documentation",
);
const REDIRECT: Meaning = meaning(
    Class::FixConfiguration,
    "the redirect address is not registered for the application",
    "register exactly this redirect_uri at the provider",
);
const GRANT: Meaning = meaning(
    Class::FixConfiguration,
    "the provider does not offer this grant",
    "check oauth2_flow, token_url and permission_url",
);
const REQUEST: Meaning = meaning(
    Class::FixConfiguration,
    "the provider did not understand the request",
    "check the account's section; the provider's own words name what is wrong with it",
);
const OUTAGE: Meaning = Meaning {
    class: Class::RetryLater,
    temporary: true,
    cause: "the provider has a fault of its own at the moment",
    remedy: "nothing has to be done, it is asked again at the next login",
};
const PENDING: Meaning = Meaning {
    class: Class::RetryLater,
    temporary: true,
    cause: "nobody has approved the device code yet",
    remedy: "visit the address in the log and type the code in",
};

pub(super) const STANDARD: Chapter = Chapter {
    title: "Every provider: tokens and sign-ins",
    entries: entries! {
        SIGN_IN {
            "invalid_grant" "" "The provided authorization grant or refresh token is invalid, expired, revoked or was issued to another client."
            "interaction_required" "" "The authorization server requires end-user interaction of some form to proceed."
            "login_required" "" "The authorization server requires end-user authentication."
            "consent_required" "" "The authorization server requires end-user consent."
            "account_selection_required" "" "The end-user is required to select a session at the authorization server."
        }
        CODE_LATE {
            "expired_token" "" "The device code has expired."
            "code_expired" "" "The code has expired."
        }
        CODE_UNKNOWN {
            "bad_verification_code" "" "The device code was not recognised."
        }
        SAID_NO {
            "access_denied" "" "The resource owner or authorization server denied the request."
            "authorization_declined" "" "The end user denied the authorization request."
        }
        CLIENT {
            "invalid_client" "" "Client authentication failed."
        }
        NOT_ALLOWED {
            "unauthorized_client" "" "The authenticated client is not authorized to use this authorization grant type."
        }
        SCOPE {
            "invalid_scope" "" "The requested scope is invalid, unknown, or malformed."
            "invalid_resource" "" "The target resource is invalid because it does not exist or cannot be found."
        }
        REDIRECT {
            "redirect_uri_mismatch" "" "The redirect URI in the request does not match the ones authorized for the OAuth client."
            "invalid_redirect_uri" "" "The redirect URI is not registered."
        }
        GRANT {
            "unsupported_grant_type" "" "The authorization grant type is not supported by the authorization server."
            "unsupported_response_type" "" "The authorization server does not support obtaining an authorization code using this method."
        }
        REQUEST {
            "invalid_request" "" "The request is missing a required parameter, includes an unsupported parameter value, or is otherwise malformed."
        }
        OUTAGE {
            "temporarily_unavailable" "" "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance."
            "server_error" "" "The authorization server encountered an unexpected condition."
        }
        PENDING {
            "authorization_pending" "" "The authorization request is still pending."
            "slow_down" "" "Polling too often."
        }
    },
};
