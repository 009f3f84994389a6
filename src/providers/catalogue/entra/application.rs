//! The application: its id, what proves it, its redirect address and the grants it may use.

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

use super::entries;
use crate::providers::catalogue::{Class, Entry, Meaning};

/// What has to change in the file or the registration.
const fn registration(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::FixConfiguration,
        temporary: false,
        cause,
        remedy,
    }
}

const SECRET: Meaning = registration(
    "the client secret is wrong; most often the secret's ID was copied instead of its Value",
    "put the client secret's Value, not its ID, into client_secret; the portal shows it once, so make a new one: Entra admin centre > App registrations > {client_id} > Certificates & secrets > New client secret",
);
const SECRET_EXPIRED: Meaning = registration(
    "the client secret has expired",
    "make a new one and put its Value into client_secret: Entra admin centre > App registrations > {client_id} > Certificates & secrets > New client secret",
);
const PROOF_WANTED: Meaning = registration(
    "the application is registered as one that proves itself, and did not",
    "Entra admin centre > App registrations > {client_id} > Authentication: set Allow public client flows to Yes and the redirect URI under Mobile and desktop applications; or add client_secret or a certificate",
);
const PUBLIC: Meaning = registration(
    "the application is registered as a public client, which has no secret",
    "remove client_secret, or put the redirect URI under the platform Web: Entra admin centre > App registrations > {client_id} > Authentication",
);
const UNKNOWN: Meaning = registration(
    "this tenant does not know the application",
    "check client_id ({client_id}, as Entra admin centre > App registrations > Overview > Application (client) ID shows it) and the tenant in token_url and permission_url ({tenant})",
);
const DISABLED: Meaning = registration(
    "the application is disabled",
    "use an application of your own: Entra admin centre > App registrations > New registration, its Application (client) ID into client_id; or enable it: Enterprise applications > {client_id} > Properties > Enabled for users to sign-in",
);
const NO_PRINCIPAL: Meaning = registration(
    "the tenant has no enterprise application (service principal) for this application",
    "an administrator opens https://login.microsoftonline.com/{tenant}/adminconsent?client_id={client_id} once, which makes it",
);
const NOT_YOURS: Meaning = registration(
    "the client_id is one of Microsoft's own applications, which others may not use",
    "register an application of your own: Entra admin centre > App registrations > New registration, and put its Application (client) ID into client_id",
);
const CERTIFICATE: Meaning = registration(
    "the certificate that proves the application is not the one uploaded, has expired, or this machine's clock is wrong",
    "check this machine's clock, and that the certificate of jwt_certificate_path is listed in Entra admin centre > App registrations > {client_id} > Certificates & secrets > Certificates",
);
const FEDERATED: Meaning = registration(
    "the token in client_assertion_file does not fit any federated credential of the application",
    "compare its issuer, subject and audience (api://AzureADTokenExchange) with Entra admin centre > App registrations > {client_id} > Certificates & secrets > Federated credentials; case counts",
);
const REDIRECT: Meaning = registration(
    "the redirect address is not registered for the application",
    "Entra admin centre > App registrations > {client_id} > Authentication > Add a platform > Mobile and desktop applications: enter exactly the redirect_uri of the account (http://localhost stands for any port)",
);
const KIND: Meaning = registration(
    "the redirect address is registered as a single-page application",
    "Entra admin centre > App registrations > {client_id} > Authentication: put the redirect URI under Mobile and desktop applications instead",
);
const PKCE: Meaning = registration(
    "the sign-in and the request for its token do not belong together (PKCE)",
    "sign in again: emailproxy authorize {account}; if it comes back, check that permission_url and token_url belong to the same provider and tenant",
);
const GRANT: Meaning = registration(
    "the endpoint or the application does not allow this grant",
    "check oauth2_flow, and that token_url ends in /oauth2/v2.0/token and permission_url in /oauth2/v2.0/authorize",
);
const SAME_TENANT: Meaning = registration(
    "the sign-in and the request for its token went to different tenants",
    "use the same tenant in permission_url and token_url",
);

pub(super) const ENTRIES: &[Entry] = entries! {
    SECRET {
        70002 "invalid_client" "Error validating credentials. The specified client_secret does not match the expected value for this client."
        7000215 "invalid_client" "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '00001111-aaaa-2222-bbbb-3333cccc4444'."
    }
    SECRET_EXPIRED {
        7000222 "invalid_client" "The provided client secret keys for app '00001111-aaaa-2222-bbbb-3333cccc4444' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret"
    }
    PROOF_WANTED {
        7000218 "invalid_client" "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        7000216 "invalid_client" "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    }
    PUBLIC {
        700025 "invalid_client" "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
    }
    UNKNOWN {
        700011 "unauthorized_client" "Application with identifier '00001111-aaaa-2222-bbbb-3333cccc4444' was not found in the directory."
        700016 "unauthorized_client" "Application with identifier '00001111-aaaa-2222-bbbb-3333cccc4444' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."
        70001 "unauthorized_client" "Application with identifier '00001111-aaaa-2222-bbbb-3333cccc4444' was not found in the directory 'contoso.com'."
    }
    DISABLED {
        7000112 "unauthorized_client" "Application '08162f7c-0fd2-4200-a84a-f25a4db0b584'(Thunderbird) is disabled."
        1000031 "unauthorized_client" "Application emailproxy cannot be accessed at this time. Contact your administrator."
    }
    NO_PRINCIPAL {
        7000229 "invalid_client" "The client application '00001111-aaaa-2222-bbbb-3333cccc4444' is missing service principal in the tenant 'Contoso'."
    }
    NOT_YOURS {
        65002 "invalid_request" "Consent between first party application '00001111-aaaa-2222-bbbb-3333cccc4444' and first party resource '00000002-0000-0ff1-ce00-000000000000' must be configured via preauthorization - applications owned and operated by Microsoft must get approval from the API owner before requesting tokens for that API."
    }
    CERTIFICATE {
        50003 "invalid_client" "Sign-in failed due to a missing signing key or certificate."
        50006 "invalid_client" "Signature verification failed because of an invalid signature."
        50012 "invalid_client" "Client assertion contains an invalid signature. [Reason - The key was not found.]"
        50013 "invalid_client" "Assertion is invalid because of various reasons - expired, malformed."
        500133 "invalid_client" "Assertion is not within its valid time range."
        50017 "invalid_client" "Certification validation failed."
        50048 "invalid_client" "Subject mismatches Issuer claim in the client assertion."
        700024 "invalid_client" "Client assertion is not within its valid time range. Current time: 2026-11-24T10:00:00.0000000Z, assertion valid from 2026-11-24T11:00:00.0000000Z, expiry time of assertion 2026-11-24T11:10:00.0000000Z."
        700027 "invalid_client" "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '8A1F']"
        700030 "invalid_client" "Invalid certificate - subject name in certificate is not authorized."
        900384 "invalid_client" "JWT token failed signature validation."
    }
    FEDERATED {
        50027 "invalid_client" "JWT token is invalid or malformed: unexpected issuer."
        700211 "invalid_client" "No matching federated identity record found for presented assertion issuer 'https://token.actions.githubusercontent.com'."
        700212 "invalid_client" "No matching federated identity record found for presented assertion audience 'api://wrong'."
        700213 "invalid_client" "No matching federated identity record found for presented assertion subject 'system:serviceaccount:mail:default'."
        700229 "invalid_client" "Only app-only tokens can be used as Federated Identity Credentials for AAD issuer."
        7002381 "invalid_client" "The federated identity credential is not supported for this type of application."
    }
    REDIRECT {
        50011 "invalid_request" "The redirect URI 'http://localhost:8080/' specified in the request does not match the redirect URIs configured for the application '00001111-aaaa-2222-bbbb-3333cccc4444'."
        70004 "invalid_request" "The app returned an invalid redirect URI."
        900971 "invalid_request" "No reply address provided."
        90102 "invalid_request" "'redirect_uri' value must be a valid absolute URI."
    }
    KIND {
        9002326 "invalid_request" "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type."
        9002327 "invalid_request" "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests."
    }
    PKCE {
        50147 "invalid_request" "Invalid size of Code_Challenge parameter."
        501481 "invalid_request" "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        501491 "invalid_request" "Invalid size of Code_Challenge parameter."
    }
    GRANT {
        70003 "unsupported_grant_type" "The app requested an unsupported grant type."
        70005 "unsupported_response_type" "The app returned an unsupported response type."
        70007 "invalid_request" "The app returned an unsupported value of 'response_mode' when requesting a token."
        700054 "unsupported_response_type" "response_type 'id_token' is not enabled for the application."
        90056 "invalid_request" "Either the request format is wrong or the token endpoint was not asked by POST."
        900561 "invalid_request" "The endpoint only accepts POST requests. Received a GET request."
    }
    SAME_TENANT {
        700005 "invalid_grant" "Provided Authorization Code is intended to use against other tenant, thus rejected."
    }
};
