//! What a person can do about the commonest errors of token endpoints.
//!
//! Data only; what an error means for tokens is in `verdict`. The numbers are Microsoft Entra's AADSTS codes
//! (learn.microsoft.com/entra/identity-platform/reference-error-codes), the words those of RFC 6749 section 5.2 and
//! `OpenID` Connect Core section 3.1.2.6, those of the device grant RFC 8628 section 3.5's and Entra's own
//! (learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code).

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

/// Returns what to do about an AADSTS code.
pub(super) fn entra_advice(code: u32) -> Option<&'static str> {
    Some(match code {
        7000215 | 70002 => {
            "put the client secret's Value, not its ID, into `client_secret`, exactly as the portal showed it"
        }
        7000222 => {
            "the client secret has expired: make a new one in the app registration and put it into `client_secret`"
        }
        700016 | 70001 | 700011 => {
            "check `client_id` and the tenant in `token_url`: this tenant does not know the application"
        }
        7000229 => {
            "the tenant has no enterprise application for this `client_id`: give admin consent there first"
        }
        90002 => "check the tenant in `token_url` and `permission_url`: there is none of this name",
        90038 => "the tenant lives in another national cloud: use that cloud's login host",
        50011 => {
            "register exactly this `redirect_uri` at the application (platform: mobile and desktop)"
        }
        700211 | 700212 | 700213 | 700229 => {
            "check issuer, subject and audience of the application's federated credential against the token in `client_assertion_file`"
        }
        7000218 => {
            "add `client_secret` or a certificate, or set `Allow public client flows` to Yes in the app registration"
        }
        700025 => "remove `client_secret`: the application is registered as a public client",
        65001 => {
            "sign in again and accept the permissions; for client credentials an administrator must consent"
        }
        65004 => "the sign-in was declined: sign in again and accept the permissions",
        90094 | 90095 | 650056 => "an administrator must consent to the application's permissions",
        53003 | 53000 | 53001 | 53011 | 530032 | 50131 => {
            "a Conditional Access policy is in the way: ask the administrator to allow this application or machine"
        }
        530035 => "the tenant's security defaults are in the way: ask the administrator",
        50105 => "ask the administrator to assign the user to the enterprise application",
        50053 => "the account is locked: wait, or ask the administrator",
        50057 => "the account is disabled: ask the administrator",
        50020 | 50034 | 500208 | 51004 | 16000 => {
            "the account is not in this tenant: check who signed in and the tenant in `token_url`"
        }
        50194 | 50059 => "put the tenant's own id into `token_url` instead of `common`",
        700022 | 700023 | 70011 | 28002 => {
            "check `oauth2_scope`: all scopes must belong to one resource and be spelt exactly"
        }
        901002 => "remove `oauth2_resource`: this endpoint takes `oauth2_scope`",
        50076 | 50079 | 50074 | 50072 | 50158 => {
            "the provider wants a second factor: sign in again in a browser"
        }
        50012 | 700024 => {
            "check this machine's clock, and that the certificate in use is the one uploaded to the application"
        }
        700027 | 700030 => {
            "check that the certificate in use is the one uploaded to the application, and has not expired"
        }
        70043 => {
            "the organisation's sign-in frequency has passed: sign in again, or ask the administrator for a longer one"
        }
        90055 | 50196 => "too many requests: nothing needs to be done but to wait",
        50173 | 50132 | 50133 => "the password was changed or the session revoked: sign in again",
        700082 | 70008 => "the refresh token was not used for too long: sign in again",
        700084 => {
            "register the redirect address as mobile and desktop application, not as single-page application"
        }
        700005 => "use the same tenant in `permission_url` and `token_url`",
        54005 => "the authorisation code was used before: sign in again",
        _ => return None,
    })
}

/// Returns what to do about an error without an AADSTS code, from its word and description.
pub(super) fn advice(error: &str, description: &str) -> Option<&'static str> {
    let says = |words: &str| description.contains(words);
    Some(match error {
        "invalid_grant" if says("expired or revoked") => {
            "sign in again; at Google, if this comes back every 7 days, the consent screen is still in Testing: publish it"
        }
        "invalid_grant" if says("Invalid email or User ID") => {
            "the organisation has no user of this name: check the account's name, or name the user in `sign_in_as`"
        }
        "invalid_grant" if says("reasonable timeframe") => "this machine's clock is wrong: set it",
        "invalid_grant" if says("invalid_rapt") => {
            "the organisation's session length has passed: sign in again, or ask the administrator to trust the application"
        }
        "expired_token" | "code_expired" => {
            "nobody approved the code in time: ask for a new one and approve that"
        }
        "bad_verification_code" => {
            "the provider does not know this device code any more: ask for a new one"
        }
        "authorization_declined" => "whoever was asked said no: sign in again and approve it",
        "access_denied" if description.is_empty() => {
            "whoever was asked said no, or the provider's policy did: sign in again and approve it"
        }
        "invalid_client" | "deleted_client" | "disabled_client" => {
            "check `client_id` and `client_secret`"
        }
        "unauthorized_client" if says("access tokens using this method") => {
            "in Google's Admin console, allow the service account's client id exactly these scopes (domain-wide delegation)"
        }
        "unauthorized_client" => {
            "check `client_id`, and that the application may use this grant and these scopes"
        }
        "invalid_scope" => "check `oauth2_scope`",
        "redirect_uri_mismatch" => "register exactly this `redirect_uri` at the provider",
        "unsupported_grant_type" => "check `oauth2_flow`: the provider does not offer this grant",
        _ => return None,
    })
}
