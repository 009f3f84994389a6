//! Accounts that may not, and policies that forbid: an administrator's move, or that of whoever signed in as somebody
//! else.

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

use super::entries;
use crate::providers::catalogue::{Class, Entry, Meaning};

/// What an administrator of the tenant has to change.
const fn administrator(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::AskAdministrator,
        temporary: false,
        cause,
        remedy,
    }
}

const WRONG_PERSON: Meaning = Meaning {
    class: Class::FixConfiguration,
    temporary: false,
    cause: "whoever signed in has no account in this tenant",
    remedy: "sign in with the account that {account} belongs to, in a private browser window: emailproxy authorize {account}; else check the tenant in token_url and permission_url (personal accounts: consumers)",
};
const LOCKED: Meaning = administrator(
    "the account is locked after too many wrong passwords, or the sign-in came from an address that Entra distrusts",
    "wait and sign in again, or ask the administrator to look it up: Entra admin centre > Monitoring & health > Sign-in logs, code 50053",
);
const DISABLED: Meaning = administrator(
    "the account is disabled",
    "ask the administrator: Entra admin centre > Users > {account} > Edit properties > Account enabled",
);
const NOT_ASSIGNED: Meaning = administrator(
    "the application is open to assigned users only, and this user is not",
    "ask the administrator: Entra admin centre > Enterprise applications > {client_id} > Users and groups: add {account} (or Properties > Assignment required: No)",
);
const CONDITIONAL_ACCESS: Meaning = administrator(
    "a Conditional Access policy is in the way",
    "ask the administrator to look the sign-in up (Entra admin centre > Monitoring & health > Sign-in logs > Conditional Access) and to let the application {client_id} or this machine through; where only device codes are blocked, use oauth2_flow = authorization_code",
);
const RISK: Meaning = administrator(
    "Entra holds the account to be at risk",
    "ask the administrator: Entra admin centre > ID Protection > Risky users > {account}; then sign in again: emailproxy authorize {account}",
);
const SECURITY_DEFAULTS: Meaning = administrator(
    "the tenant's security defaults are in the way",
    "ask the administrator: Entra admin centre > Overview > Properties > Manage security defaults; and use oauth2_flow = authorization_code rather than password",
);
const OTHER_TENANTS: Meaning = administrator(
    "one of the tenants does not let its users, or those of others, across",
    "ask the administrator: Entra admin centre > External Identities > Cross-tenant access settings, or the tenant restrictions of the network's proxy",
);
const ADMIN_CONSENT: Meaning = administrator(
    "an administrator must consent to the application's permissions",
    "ask the administrator to open https://login.microsoftonline.com/{tenant}/adminconsent?client_id={client_id} (or Entra admin centre > App registrations > {client_id} > API permissions > Grant admin consent)",
);
const FEDERATION: Meaning = administrator(
    "the organisation's own sign-in server, to which Entra hands sign-ins over, does not play along",
    "ask the administrator of that server (ADFS or another identity provider); the case id finds the sign-in in Entra's Sign-in logs",
);
const ON_PREMISES: Meaning = administrator(
    "the organisation's own directory, which checks its passwords, refuses or fails",
    "ask the administrator: Entra Connect, pass-through authentication agents and Active Directory",
);

pub(super) const ENTRIES: &[Entry] = entries! {
    WRONG_PERSON {
        16000 "interaction_required" "User account '{EmailHidden}' from identity provider 'live.com' does not exist in tenant 'Contoso' and cannot access the application in that tenant. The account needs to be added as an external user in the tenant first."
        16003 "access_denied" "The user has not been explicitly added to the tenant."
        50014 "access_denied" "The user's redemption is in a pending state; the user account does not exist in the directory."
        50020 "invalid_grant" "User account '{EmailHidden}' from identity provider 'live.com' does not exist in tenant 'Contoso' and cannot access the application 'emailproxy' in that tenant."
        50034 "invalid_grant" "The user account {EmailHidden} does not exist in the contoso.com directory. To sign into this application, the account must be added to the directory."
        500208 "access_denied" "The domain is not a valid login domain for the account type."
        50143 "invalid_grant" "Session mismatch - Session is invalid because user tenant does not match the domain hint due to different resource."
        50197 "access_denied" "Conflicting identities: the user could not be found."
        51004 "access_denied" "The user account does not exist in the directory."
        90072 "access_denied" "User account '{EmailHidden}' from identity provider 'live.com' does not exist in tenant 'Contoso'. Sign out and sign in again with a different Microsoft Entra user account."
    }
    LOCKED {
        50053 "invalid_grant" "The account is locked, you've tried to sign in too many times with an incorrect user ID or password."
    }
    DISABLED {
        50057 "invalid_grant" "The user account is disabled."
    }
    NOT_ASSIGNED {
        50105 "access_denied" "Your administrator has configured the application emailproxy ('00001111-aaaa-2222-bbbb-3333cccc4444') to block users unless they are specifically granted ('assigned') access to the application."
    }
    CONDITIONAL_ACCESS {
        50005 "access_denied" "User tried to log in to a device from a platform that's currently not supported through Conditional Access policy."
        50127 "interaction_required" "User needs to install a broker application to gain access to this content."
        50129 "interaction_required" "Device is not workplace joined - Workplace join is required to register the device."
        50131 "access_denied" "Device is not in required device state. Conditional Access policy requires a compliant device, or the request was blocked due to suspicious activity."
        50155 "access_denied" "Device authentication failed for this user."
        50187 "access_denied" "Device information was not provided; the service failed to perform device authentication."
        53000 "access_denied" "Your device is required to be managed to access this resource."
        53001 "access_denied" "Device is not in required device state: domain_joined."
        53002 "access_denied" "The application used is not an approved app for Conditional Access."
        53003 "invalid_grant" "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
        530032 "access_denied" "The tenant admin has configured a security policy that blocks this request."
    }
    RISK {
        53010 "access_denied" "Cannot configure multi-factor authentication methods because the organization requires this information to be set from specific locations or devices."
        53011 "access_denied" "User blocked due to risk on home tenant."
        530034 "access_denied" "A delegated administrator was blocked from accessing the tenant due to account risk in their home tenant."
    }
    SECURITY_DEFAULTS {
        530035 "access_denied" "Access has been blocked by security defaults. This is due to the request using legacy auth or being deemed unsafe by security defaults policies."
    }
    OTHER_TENANTS {
        50002 "access_denied" "Sign-in failed due to restricted proxy access on tenant."
        500021 "access_denied" "Access to 'Contoso' tenant is denied."
        500022 "access_denied" "Access to 'Contoso' tenant is denied by the Restrict-Access-To-Tenants header."
        500212 "access_denied" "The user's administrator has set an outbound access policy that does not allow access to the resource tenant."
        500213 "access_denied" "The resource tenant's cross-tenant access policy does not allow this user to access this tenant."
    }
    ADMIN_CONSENT {
        650056 "access_denied" "Misconfigured application. The client has not listed any permissions for 'Office 365 Exchange Online' in the requested permissions in the client's application registration, or the admin has not consented in the tenant."
        65005 "access_denied" "The app required resource access list does not contain apps discoverable by the resource."
        90093 "access_denied" "The calling principal does not have permission: Graph returned with a forbidden error code for the request."
        90094 "access_denied" "Administrator consent is required: emailproxy needs permission to access resources in your organization that only an admin can grant."
        90095 "access_denied" "Admin consent is required; a request for approval can be sent to the administrator."
        90099 "access_denied" "The application has not been authorized in the tenant 'Contoso'."
    }
    FEDERATION {
        20001 "invalid_request" "There is an issue with your federated Identity Provider. Contact your IDP to resolve this issue."
        20012 "invalid_request" "The federated identity provider's WS-Federation message is invalid."
        20033 "invalid_request" "The federation metadata holds an invalid tenant name."
        40008 "invalid_request" "There was an unexpected, non-retryable error from the federated Identity Provider."
        40009 "invalid_request" "The federated Identity Provider refused to redeem its refresh token."
        40015 "invalid_request" "The federated Identity Provider refused to redeem its authorization code."
        50008 "invalid_request" "SAML token is invalid; SAML assertion is missing or misconfigured in the token."
        50107 "invalid_request" "The requested federation realm object does not exist."
        90123 "access_denied" "The token cannot be issued because the identity or claim issuance provider denied the request."
    }
    ON_PREMISES {
        80007 "invalid_request" "The Authentication Agent is unable to validate user's password."
        80010 "invalid_request" "The Authentication Agent is unable to decrypt password."
        80012 "invalid_request" "The users attempted to log on outside of the allowed hours (this is specified in AD)."
        80013 "invalid_request" "The authentication attempt could not be completed due to time skew between the machine running the authentication agent and AD."
    }
};
