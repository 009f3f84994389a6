//! The tenant in the endpoints' addresses, the scope, and the form of a request.

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

use super::entries;
use crate::providers::catalogue::{Class, Entry, Meaning};

/// What has to change in the file.
const fn file(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::FixConfiguration,
        temporary: false,
        cause,
        remedy,
    }
}

const NO_TENANT: Meaning = file(
    "there is no tenant of this name",
    "check the tenant ({tenant}) in token_url and permission_url: Entra admin centre > Overview > Tenant ID; tenants of national clouds have other login hosts",
);
const OTHER_CLOUD: Meaning = file(
    "the tenant lives in another national cloud",
    "use that cloud's login host in token_url and permission_url: login.microsoftonline.us (US government) or login.partner.microsoftonline.cn (21Vianet)",
);
const NOT_COMMON: Meaning = file(
    "this does not work with common, organizations or consumers in the addresses",
    "put the tenant's own id into token_url and permission_url in their place: Entra admin centre > Overview > Tenant ID",
);
const WORK_ONLY: Meaning = file(
    "the application is registered for work or school accounts only",
    "put the tenant's id or organizations into token_url and permission_url, or change Entra admin centre > App registrations > {client_id} > Authentication > Supported account types",
);
const PERSONAL_ONLY: Meaning = file(
    "the application is registered for personal accounts only",
    "put consumers into token_url and permission_url, or change Entra admin centre > App registrations > {client_id} > Authentication > Supported account types",
);
const SCOPE: Meaning = file(
    "a scope is not valid",
    "check oauth2_scope letter by letter, such as https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access; for client credentials https://outlook.office365.com/.default and nothing else",
);
const ONE_RESOURCE: Meaning = file(
    "the scopes belong to more than one resource, or to none",
    "keep in oauth2_scope only scopes that begin with https://outlook.office.com/, and offline_access; those of Graph or outlook.office365.com cannot stand beside them",
);
const RESOURCE: Meaning = file(
    "the tenant or the application does not have Exchange Online among its resources",
    "check the host in oauth2_scope and the tenant's Exchange Online licence, and add Entra admin centre > App registrations > {client_id} > API permissions > APIs my organization uses > Office 365 Exchange Online",
);
const OLD_WORD: Meaning = file(
    "this endpoint takes scopes, not a resource",
    "remove oauth2_resource and set oauth2_scope",
);
const OLD_ENDPOINT: Meaning = file(
    "this needs version 2.0 of the endpoints",
    "let token_url end in /oauth2/v2.0/token and permission_url in /oauth2/v2.0/authorize",
);
const MALFORMED: Meaning = file(
    "the request lacks something, or something in it is malformed",
    "look for stray blanks and quotes in the account's section (client_id, client_secret, oauth2_scope, token_url); the provider's words name the parameter",
);

pub(super) const ENTRIES: &[Entry] = entries! {
    NO_TENANT {
        90002 "invalid_request" "Tenant 'contoso.onmicrosoft.example' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        90051 "invalid_request" "The national cloud identifier contains an invalid cloud identifier."
    }
    OTHER_CLOUD {
        90038 "invalid_request" "The specified tenant 'contoso.us' belongs to the National Cloud 'MicrosoftOnline.US'. Current cloud instance 'MicrosoftOnline.COM' does not federate with it."
        900382 "invalid_request" "Confidential Client is not supported in Cross Cloud request."
        900432 "invalid_request" "Confidential Client is not supported in Cross Cloud request for this tenant."
        90043 "invalid_request" "National cloud authorization code redirection: the feature is disabled."
        1000104 "invalid_request" "Resource cloud is not allowed on identity tenant."
    }
    NOT_COMMON {
        50059 "invalid_request" "No tenant-identifying information found in either the request or implied by any provided credentials."
        50128 "invalid_request" "Invalid domain name - No tenant-identifying information found in either the request or implied by any provided credentials."
        50194 "invalid_request" "Application '00001111-aaaa-2222-bbbb-3333cccc4444'(emailproxy) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such applications created after '10/15/2018'."
        90019 "invalid_request" "Microsoft Entra ID was unable to determine the tenant identifier from the request."
        90124 "invalid_request" "Resource is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."
        90126 "invalid_request" "The user type is not supported on this endpoint. The system cannot infer the user's tenant from the user name."
        90130 "invalid_request" "Application is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."
        9001023 "invalid_grant" "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."
    }
    WORK_ONLY {
        9002332 "unauthorized_client" "Application '00001111-aaaa-2222-bbbb-3333cccc4444'(emailproxy) is configured for use by Microsoft Entra users only. Please do not use the /consumers endpoint to serve this request."
    }
    PERSONAL_ONLY {
        9002331 "invalid_request" "Application is configured for use by Microsoft Account users only. Please use the /consumers endpoint to serve this request."
        9002346 "invalid_request" "Application is configured for use by Microsoft Account users only. Please use the /consumers endpoint to serve this request."
    }
    SCOPE {
        28002 "invalid_scope" "Provided value for the input parameter scope is not valid when requesting an access token."
        28003 "invalid_scope" "Provided value for the input parameter scope cannot be empty when requesting an access token using the provided authorization code."
        70011 "invalid_scope" "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope https://graph.microsoft.com/SMTP.Send is not valid."
        1002012 "invalid_scope" "The provided value for scope https://outlook.office.com/SMTP.Send is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
    }
    ONE_RESOURCE {
        700022 "invalid_scope" "The provided value for the input parameter scope is not valid because it contains more than one resource."
        700023 "invalid_scope" "The provided value for the input parameter scope is not valid when requesting an access token."
    }
    RESOURCE {
        50001 "invalid_resource" "The resource is disabled or does not exist."
        500011 "invalid_resource" "The resource principal named https://graph.microsoft.com/SMTP.Send was not found in the tenant named Contoso."
        650052 "invalid_resource" "The app needs access to a service (\"https://outlook.office365.com\") that your organization \"Contoso\" has not subscribed to or enabled."
        650054 "invalid_resource" "The application asked for permissions to access a resource that has been removed or is no longer available."
        650057 "invalid_resource" "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration."
        90009 "invalid_resource" "The application is requesting a token for itself."
    }
    OLD_WORD {
        901002 "invalid_request" "The 'resource' request parameter is not supported."
    }
    OLD_ENDPOINT {
        90027 "invalid_request" "We are unable to issue tokens from this API version on the MSA tenant."
    }
    MALFORMED {
        900144 "invalid_request" "The request body must contain the following parameter: 'grant_type'."
        9002313 "invalid_request" "Invalid request. Request is malformed or invalid."
        90004 "invalid_request" "The request is not properly formatted."
        90005 "invalid_request" "Unable to complete the request. The request is not valid because the identifier and login hint cannot be used together."
        90013 "invalid_request" "Invalid input received from the user."
        90014 "invalid_request" "The required field 'scope' is missing from the credential. Ensure that you have all the necessary parameters for the login request."
        90015 "invalid_request" "Requested query string is too long."
        90023 "invalid_request" "The authentication service request is not valid."
        90100 "invalid_request" "The 'login_hint' parameter is empty or not valid."
        90101 "invalid_request" "The supplied data is not a valid email address."
        90121 "invalid_request" "Invalid empty request."
    }
};
