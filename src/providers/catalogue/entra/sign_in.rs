//! Sign-ins that have ended or were never complete: a person's move.

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

use super::entries;
use crate::providers::catalogue::{Class, Entry, Meaning};

/// What a person has to sign in again for.
const fn again(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::ReAuthorise,
        temporary: false,
        cause,
        remedy,
    }
}

const ENDED: Meaning = again(
    "the sign-in is no longer valid",
    "sign in again: emailproxy authorize {account}; if that does not last, check that oauth2_scope names this application's own mail scopes and offline_access",
);
const REVOKED: Meaning = again(
    "the password was changed or the session revoked, which ends the tokens",
    "sign in again: emailproxy authorize {account}",
);
const UNUSED: Meaning = again(
    "the refresh token was not used for too long (Entra ends it after 90 days)",
    "sign in again: emailproxy authorize {account}; while emailproxy runs it keeps the new one alive",
);
const TOO_OLD: Meaning = again(
    "the organisation's sign-in frequency has passed (Conditional Access)",
    "sign in again: emailproxy authorize {account}; for a longer time ask the administrator: Entra admin centre > Conditional Access > the policy > Session > Sign-in frequency",
);
const SINGLE_PAGE: Meaning = again(
    "the redirect address is registered as a single-page application, whose refresh tokens end after 24 hours",
    "Entra admin centre > App registrations > {client_id} > Authentication: put the redirect URI under Mobile and desktop applications instead, then emailproxy authorize {account}",
);
const CODE_USED: Meaning = again(
    "the authorisation code was used before, as happens when a page is loaded twice",
    "sign in again: emailproxy authorize {account}",
);
const CODE_LATE: Meaning = again(
    "nobody approved the device code in time, or another code was typed",
    "ask for a new code and approve that: emailproxy authorize {account}",
);
const SECOND_FACTOR: Meaning = again(
    "the provider wants a second factor",
    "sign in again in a browser and pass it: emailproxy authorize {account}; with oauth2_flow = password this can never work, use authorization_code or device",
);
const PASSWORD: Meaning = again(
    "the provider does not take this user name and password",
    "enter the provider's own password in the mail program (oauth2_flow = password hands it in), or sign in in a browser with oauth2_flow = authorization_code",
);
const PASSWORD_EXPIRED: Meaning = again(
    "the password at the provider has expired",
    "set a new one at https://aka.ms/sspr, then sign in again: emailproxy authorize {account}",
);
const CONSENT: Meaning = again(
    "nobody has consented to these permissions for this application yet",
    "sign in again and accept them: emailproxy authorize {account}; for client credentials an administrator consents at https://login.microsoftonline.com/{tenant}/adminconsent?client_id={client_id}",
);
const DECLINED: Meaning = again(
    "the sign-in was declined",
    "sign in again and accept the permissions: emailproxy authorize {account}",
);
const INTERRUPTED: Meaning = again(
    "the sign-in needs an answer in the browser",
    "sign in again and follow it to its end: emailproxy authorize {account}",
);

pub(super) const ENTRIES: &[Entry] = entries! {
    ENDED {
        70000 "invalid_grant" "Provided grant is invalid or malformed."
        50089 "invalid_grant" "Authentication failed due to flow token expired."
        50139 "invalid_grant" "Session is invalid due to missing an external refresh token."
        50085 "invalid_grant" "Refresh token needs social IDP login. Have user try signing-in again with username -password."
    }
    REVOKED {
        50132 "invalid_grant" "The session is not valid due to the following reasons: password expiration or recent password change."
        50133 "invalid_grant" "The session is not valid due to password expiration or recent password change."
        50173 "invalid_grant" "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password."
    }
    UNUSED {
        70008 "invalid_grant" "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."
        700082 "invalid_grant" "The refresh token has expired due to inactivity. The token was issued on 2026-05-01T08:00:00.0000000Z and was inactive for 90.00:00:00."
    }
    TOO_OLD {
        70043 "invalid_grant" "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The token was issued on 2026-11-01T08:00:00Z and the maximum allowed lifetime for this request is 86400."
    }
    SINGLE_PAGE {
        700084 "invalid_grant" "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which cannot be extended. It is now expired."
    }
    CODE_USED {
        54005 "invalid_grant" "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."
    }
    CODE_LATE {
        70018 "bad_verification_code" "Invalid verification code due to User typing in wrong user code for device code flow."
        70019 "expired_token" "Verification code expired."
        90119 "invalid_request" "The user code is null or empty."
        90120 "invalid_request" "The request was already authorized or declined."
    }
    SECOND_FACTOR {
        50072 "interaction_required" "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'."
        50074 "interaction_required" "Strong Authentication is required."
        50076 "invalid_grant" "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'."
        50078 "interaction_required" "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'."
        50079 "interaction_required" "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication."
        50097 "interaction_required" "Device authentication is required."
        50125 "interaction_required" "Sign-in was interrupted because of a password reset or password registration entry."
        50158 "interaction_required" "External security challenge not satisfied."
        53004 "interaction_required" "User needs to complete Multi-factor authentication registration process before accessing this content."
    }
    PASSWORD {
        50126 "invalid_grant" "Error validating credentials due to invalid username or password."
        50056 "invalid_grant" "Invalid or null password: password does not exist in the directory for this user."
        50064 "invalid_grant" "Credential validation failed."
    }
    PASSWORD_EXPIRED {
        50055 "invalid_grant" "The password is expired."
        50135 "interaction_required" "Password change is required due to account risk."
        50144 "invalid_grant" "The user's Active Directory password has expired."
    }
    CONSENT {
        65001 "invalid_grant" "The user or administrator has not consented to use the application with ID '00001111-aaaa-2222-bbbb-3333cccc4444' named 'emailproxy'. Send an interactive authorization request for this user and resource."
        90008 "consent_required" "The user or administrator has not consented to use the application. It requires access to Microsoft Entra ID by specifying the sign-in and read user profile permission."
    }
    DECLINED {
        65004 "access_denied" "User declined to consent to access the app."
        50199 "interaction_required" "For security reasons, user confirmation is required for this request."
    }
    INTERRUPTED {
        700020 "interaction_required" "The access grant requires interaction."
        16001 "interaction_required" "The account that was chosen is not available any more."
        50058 "login_required" "A silent sign-in request was sent but no user is signed in."
        50140 "interaction_required" "This error occurred due to 'Keep me signed in' interrupt when the user was signing-in."
        51006 "interaction_required" "Force reauthentication due to insufficient authentication."
    }
};
