//! Outages and limits at Entra: nobody's move.

use super::entries;
use crate::providers::catalogue::{Class, Entry, Meaning};

/// What passes.
const fn passes(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::RetryLater,
        temporary: true,
        cause,
        remedy,
    }
}

const OUTAGE: Meaning = passes(
    "Entra has a fault of its own at the moment",
    "nothing has to be done, it is asked again at the next login; if it lasts, see https://status.cloud.microsoft and give the case id to Microsoft's support",
);
const LIMIT: Meaning = passes(
    "Entra was asked too often",
    "nothing needs to be done but to wait; if it lasts, look for other programs that use the same application",
);
const LOOP: Meaning = passes(
    "the same token was asked for too often in a short time",
    "nothing needs to be done but to wait some minutes; if it comes back, look for a second emailproxy with the same account",
);
const REGION: Meaning = passes(
    "the device code was approved in another region than it was asked for in",
    "ask for a new code: emailproxy authorize {account}, and approve it from the same region",
);
const PENDING: Meaning = passes(
    "nobody has approved the device code yet",
    "visit the address in the log and type the code in",
);
const DIRECTORY: Meaning = passes(
    "the organisation's own directory, which checks its passwords, did not answer",
    "try later; if it lasts, ask the administrator: Entra Connect, pass-through authentication agents",
);

pub(super) const ENTRIES: &[Entry] = entries! {
    OUTAGE {
        40010 "temporarily_unavailable" "There was a retryable error from the federated Identity Provider."
        50000 "server_error" "There was an error issuing a token or an issue with our sign-in service."
        50033 "temporarily_unavailable" "A transient error has occurred. Please try again."
        50087 "temporarily_unavailable" "A transient error has occurred during strong authentication. Please try again."
        50088 "temporarily_unavailable" "Limit on telecom MFA calls reached. Please try again in a few minutes."
        50166 "temporarily_unavailable" "Failed to send the request to the claims provider."
        70012 "temporarily_unavailable" "A server error occurred while authenticating an MSA (consumer) user. Try again."
        90006 "temporarily_unavailable" "The service is temporarily unavailable."
        90012 "temporarily_unavailable" "The request has timed out."
        90024 "temporarily_unavailable" "Request budget exceeded - A transient error has occurred. Try again."
        90033 "temporarily_unavailable" "A transient error has occurred. Please try again. The Microsoft Online Directory Service is not available."
        90090 "temporarily_unavailable" "The service is temporarily unavailable: a retryable error from Graph."
        90091 "temporarily_unavailable" "The Graph service is unreachable."
    }
    LIMIT {
        90055 "temporarily_unavailable" "There are too many incoming requests. The tenant is throttled."
    }
    LOOP {
        50196 "invalid_grant" "The server terminated an operation because it encountered a client request loop. Please contact your app vendor."
    }
    REGION {
        50134 "invalid_grant" "Wrong data center. To authorize a request that was initiated by an app in the OAuth 2.0 device flow, the authorizing party must be in the same data center where the original request resides."
    }
    PENDING {
        70016 "authorization_pending" "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
    }
    DIRECTORY {
        80001 "temporarily_unavailable" "The Authentication Agent is unable to connect to Active Directory."
        80002 "temporarily_unavailable" "The Authentication Agent's password validation request timed out."
        80005 "temporarily_unavailable" "An unknown error occurred while processing the response from the Authentication Agent. Retry the request."
        80014 "temporarily_unavailable" "The Authentication Agent's validation request responded after maximum elapsed time exceeded."
    }
};
