//! What Exchange Online's servers say: submission, behind its login, IMAP and POP, High Volume Email.
//!
//! From learn.microsoft.com/exchange (authenticated SMTP submission, SMTP submission improvements, authenticating IMAP, POP
//! and SMTP by OAuth, High Volume Email) and transcripts that were seen. Exchange Server on premises says much the same.

use super::{By, Chapter, Class, Entry, Meaning, Sign};

/// Makes entries of refusals that share a meaning: for whose token, what they hold, what they say.
macro_rules! entries {
    ($($means:ident { $($by:ident [$($says:literal),+] $text:literal)* })*) => {
        &[$($(Entry {
            sign: Sign::Server { says: &[$($says),+], by: By::$by },
            said: $text,
            means: &$means,
        },)*)*]
    };
}
pub(super) use entries;

/// A meaning that does not pass by itself.
pub(super) const fn lasting(class: Class, cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class,
        temporary: false,
        cause,
        remedy,
    }
}

/// A meaning that passes by itself.
pub(super) const fn passing(cause: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        class: Class::RetryLater,
        temporary: true,
        cause,
        remedy,
    }
}

const SUBMISSION_OFF: Meaning = lasting(
    Class::AskAdministrator,
    "SMTP AUTH is switched off for the whole tenant, which holds for OAuth2 too",
    "ask the administrator to run in Exchange Online PowerShell: Set-CASMailbox -Identity {account} -SmtpClientAuthenticationDisabled $false (for this mailbox alone; for all: Set-TransportConfig -SmtpClientAuthenticationDisabled $false)",
);
const MAILBOX_OFF: Meaning = lasting(
    Class::AskAdministrator,
    "SMTP AUTH is switched off for this mailbox, which holds for OAuth2 too",
    "ask the administrator to run in Exchange Online PowerShell: Set-CASMailbox -Identity {account} -SmtpClientAuthenticationDisabled $false",
);
const BASIC: Meaning = lasting(
    Class::FixConfiguration,
    "the server saw a password login rather than a token, or the mailbox is a personal one that another server serves",
    "check server_address (personal accounts: smtp-mail.outlook.com; work or school: smtp.office365.com) and that nothing between emailproxy and {server} logs in by itself",
);
const DEFAULTS: Meaning = lasting(
    Class::AskAdministrator,
    "the tenant's security defaults lock this user out of SMTP AUTH",
    "ask the administrator: Entra admin centre > Overview > Properties > Manage security defaults, or a Conditional Access policy in their place",
);
const CRITERIA: Meaning = lasting(
    Class::AskAdministrator,
    "a policy of the tenant (Conditional Access, a protocol switched off) refuses this login",
    "ask the administrator to look it up: Entra admin centre > Monitoring & health > Sign-in logs of {account}, client app Authenticated SMTP; and Get-CASMailbox -Identity {account}",
);
const CREDENTIALS: Meaning = lasting(
    Class::ReAuthorise,
    "the server holds the credentials for wrong",
    "sign in again: emailproxy authorize {account}",
);
const FEDERATION: Meaning = Meaning {
    class: Class::AskAdministrator,
    temporary: true,
    cause: "the organisation's own sign-in server (ADFS) could not be reached by Exchange",
    remedy: "try later; if it lasts, ask the administrator of ADFS (it must answer over HTTPS with TLS 1.2)",
};
const APPLICATION: Meaning = lasting(
    Class::AskAdministrator,
    "Exchange knows no rights of this application in the mailbox, or the token lacks the permission",
    "in Exchange Online PowerShell: New-ServicePrincipal -AppId {client_id} -ObjectId <object id of the ENTERPRISE application>; Add-MailboxPermission -Identity {account} -User <the same object id> -AccessRights FullAccess; in Entra: application permissions IMAP.AccessAsApp, POP.AccessAsApp, SMTP.SendAsApp of Office 365 Exchange Online, with admin consent",
);
const PERSON_SMTP: Meaning = lasting(
    Class::FixConfiguration,
    "the token is not for this mailbox or this service: another person signed in, SMTP.Send is missing, the mailbox is shared, or SMTP AUTH is off",
    "check that {account} itself signed in (for a shared mailbox the delegate, with sign_in_as or smtp_user) and that oauth2_scope has https://outlook.office.com/SMTP.Send; then Set-CASMailbox -Identity {account} -SmtpClientAuthenticationDisabled $false",
);
const NO_AUTH: Meaning = lasting(
    Class::FixConfiguration,
    "mail was sent without a login",
    "switch authentication on in the mail program: user name {account} and a password",
);
const MECHANISM: Meaning = lasting(
    Class::FixConfiguration,
    "the server does not take tokens here",
    "check server_address, server_port and server_starttls: tokens are taken inside TLS only, at smtp.office365.com on port 587 with STARTTLS",
);
const CANNOT_OPEN: Meaning = Meaning {
    class: Class::AskAdministrator,
    temporary: true,
    cause: "the login was good, but Exchange does not let the application open the mailbox",
    remedy: "in Exchange Online PowerShell: Add-MailboxPermission -Identity {account} -User <object id of the service principal> -AccessRights FullAccess",
};
const BUSY: Meaning = passing(
    "the mailbox has more submissions at once than Exchange allows (3)",
    "let the mail program send fewer at once: Postfix smtp_destination_concurrency_limit = 3, or max_connections_per_account = 3 in [emailproxy]",
);
const BUSY_SERVER: Meaning = passing(
    "the server has a fault of its own or too much to do",
    "nothing has to be done but to try later",
);

pub(super) const SUBMISSION: Chapter = Chapter {
    title: "Exchange Online: submission (SMTP)",
    entries: entries! {
        SUBMISSION_OFF {
            Anybody ["smtpclientauthentication is disabled for the tenant"] "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]"
        }
        MAILBOX_OFF {
            Anybody ["smtpclientauthentication is disabled"] "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information."
        }
        BASIC {
            Anybody ["basic authentication is disabled"] "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [LO2P265CA0001.GBRP265.PROD.OUTLOOK.COM]"
            Anybody ["5.7.30"] "550 5.7.30 Basic authentication is not supported for Client Submission."
        }
        DEFAULTS {
            Anybody ["security defaults policy"] "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator."
        }
        CREDENTIALS {
            Anybody ["5.7.139", "user credentials were incorrect"] "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."
        }
        FEDERATION {
            Anybody ["federated sts"] "535 5.7.139 Authentication unsuccessful, federated STS service was unreachable."
        }
        CRITERIA {
            Anybody ["5.7.139"] "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator."
        }
        APPLICATION {
            Application ["5.7.3", "authentication unsuccessful"] "535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2026-11-24T10:00:00.000Z 08DCE8B62813AB2B]"
        }
        PERSON_SMTP {
            Person ["5.7.3", "authentication unsuccessful"] "535 5.7.3 Authentication unsuccessful [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-24T10:00:00.000Z 08DCE8B62813AB2B]"
        }
        NO_AUTH {
            Anybody ["5.7.57"] "530 5.7.57 Client not authenticated to send mail. [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]"
        }
        MECHANISM {
            Anybody ["5.7.4", "unrecognized authentication type"] "504 5.7.4 Unrecognized authentication type [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]"
        }
        CANNOT_OPEN {
            Anybody ["mailbox logon failure"] "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to process message due to a transient exception with message Cannot open mailbox."
        }
        BUSY {
            Anybody ["sender thread limit exceeded"] "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"
            Anybody ["concurrent connections limit exceeded"] "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=AM0PR01.eurprd01.prod.exchangelabs.com]"
        }
        BUSY_SERVER {
            Anybody ["4.7.0", "temporary authentication failure"] "454 4.7.0 Temporary authentication failure"
            Anybody ["4.3.2", "service not available"] "421 4.3.2 Service not available"
            Anybody ["4.4.2"] "421 4.4.2 Message submission rate for this client has exceeded the configured limit"
        }
    },
};

const SEND_AS: Meaning = lasting(
    Class::AskAdministrator,
    "the account may not send with this sender's address",
    "let the mail program send as {account}, or ask the administrator to run: Add-RecipientPermission <sender> -Trustee {account} -AccessRights SendAs",
);
const QUOTA: Meaning = passing(
    "the mailbox has sent to as many recipients as Exchange allows in 24 hours (10,000)",
    "nothing helps but to wait; for more use High Volume Email or a mail service",
);
const FULL: Meaning = lasting(
    Class::FixConfiguration,
    "the mailbox is full, because Exchange keeps a copy of each sent mail in Sent Items",
    "empty it, or give it a retention policy for Sent Items",
);
const RESTRICTED: Meaning = lasting(
    Class::AskAdministrator,
    "Exchange has blocked the sender for outgoing spam",
    "ask the administrator: security.microsoft.com/restrictedentities > {account} > Unblock",
);

pub(super) const BEHIND_LOGIN: Chapter = Chapter {
    title: "Exchange Online: refusals behind the login, which reach the mail program as they are",
    entries: entries! {
        SEND_AS {
            Anybody ["5.7.60"] "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
            Anybody ["sendasdenied"] "554 5.2.252 SendAsDenied; user@contoso.com not allowed to send as shared@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message."
        }
        QUOTA {
            Anybody ["submissionquotaexceeded"] "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception."
        }
        FULL {
            Anybody ["5.2.2", "mailbox full"] "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded"
        }
        RESTRICTED {
            Anybody ["5.1.8"] "550 5.1.8 Access denied, bad outbound sender"
        }
    },
};

const PERSON: Meaning = lasting(
    Class::FixConfiguration,
    "the token is not for this mailbox or this service: another person signed in, a scope is missing, or the protocol is switched off",
    "check that {account} itself signed in (emailproxy authorize {account}), that oauth2_scope has https://outlook.office.com/IMAP.AccessAsUser.All or POP.AccessAsUser.All, and that the protocol is on: Set-CASMailbox -Identity {account} -ImapEnabled $true -PopEnabled $true; for a shared mailbox the person needs FullAccess",
);
const NOT_CONNECTED: Meaning = lasting(
    Class::AskAdministrator,
    "the login was good, but whoever signed in may not open this mailbox",
    "sign in as {account} itself: emailproxy authorize {account}; or give whoever signs in the right: Add-MailboxPermission -Identity {account} -User <who signed in, or object id of the service principal> -AccessRights FullAccess",
);
const PROTOCOL_OFF: Meaning = lasting(
    Class::AskAdministrator,
    "IMAP or POP is switched off for this mailbox",
    "ask the administrator to run in Exchange Online PowerShell: Set-CASMailbox -Identity {account} -ImapEnabled $true -PopEnabled $true",
);
const ENDED: Meaning = passing(
    "the session ended because its token did",
    "nothing has to be done, the mail program connects again and gets a new one",
);
const THROTTLED: Meaning = passing(
    "Exchange slows this mailbox down because too much was asked of it",
    "wait, and let the mail program look for mail less often and over fewer connections (max_connections_per_account in [emailproxy])",
);
const PASSWORD: Meaning = lasting(
    Class::FixConfiguration,
    "the server saw a password login rather than a token",
    "check that nothing between emailproxy and {server} logs in by itself",
);

pub(super) const MAILBOX: Chapter = Chapter {
    title: "Exchange Online: IMAP and POP",
    entries: entries! {
        PROTOCOL_OFF {
            Anybody ["noadrecipient"] "NO AUTHENTICATE failed. [Error='NoADRecipient' AuthResultFromPopImapEnd=8]"
        }
        NOT_CONNECTED {
            Anybody ["authenticated but not connected"] "BAD User is authenticated but not connected."
            Anybody ["logondenied"] "NO AUTHENTICATE failed. [Error=LogonDenied]"
        }
        ENDED {
            Anybody ["accesstokenexpired"] "NO Session invalidated - AccessTokenExpired"
        }
        THROTTLED {
            Anybody ["request is throttled"] "BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds"
        }
        APPLICATION {
            Application ["authenticate failed"] "NO AUTHENTICATE failed."
            Application ["logon failure"] "-ERR Logon failure: unknown user name or bad password."
            Application ["unknown user name or bad password"] "-ERR Authentication failure: unknown user name or bad password."
        }
        PERSON {
            Person ["authenticate failed"] "NO AUTHENTICATE failed."
            Person ["logon failure"] "-ERR Logon failure: unknown user name or bad password."
            Person ["unknown user name or bad password"] "-ERR Authentication failure: unknown user name or bad password."
        }
        PASSWORD {
            Anybody ["login failed."] "NO LOGIN failed."
        }
    },
};

const HVE_SOON: Meaning = passing(
    "the token would end too soon for High Volume Email",
    "nothing has to be done, a newer one is fetched; if it lasts, check that server_address is one that emailproxy knows for High Volume Email (smtp.hve.mx.microsoft)",
);
const HVE_FORM: Meaning = lasting(
    Class::FixConfiguration,
    "High Volume Email could not read the login",
    "check that the account's name ({account}) is the address of the HVE account and nothing else",
);
const HVE_PERMISSION: Meaning = lasting(
    Class::FixConfiguration,
    "the token has the wrong permission for High Volume Email",
    "Entra admin centre > App registrations > {client_id} > API permissions > Office 365 Exchange Online > Mail.Send, with admin consent, and oauth2_scope = https://outlook.office.com/.default",
);
const HVE_APPLICATION: Meaning = lasting(
    Class::AskAdministrator,
    "the application is not on the list of the High Volume Email account",
    "in Exchange Online PowerShell: Add-HVEAppAccess -Identity {account} -AppIds {client_id}",
);

pub(super) const HIGH_VOLUME: Chapter = Chapter {
    title: "Exchange Online: High Volume Email",
    entries: entries! {
        HVE_SOON {
            Anybody ["5.5.127"] "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon"
            Anybody ["5.7.142"] "535 5.7.142 Token will expire soon"
            Anybody ["5.7.143"] "535 5.7.143 Expired token"
        }
        HVE_FORM {
            Anybody ["5.5.121"] "501 5.5.121 Invalid XOAUTH2 auth data"
            Anybody ["5.5.122"] "501 5.5.122 Invalid XOAUTH2 auth data"
            Anybody ["5.5.123"] "501 5.5.123 Invalid XOAUTH2 auth data"
            Anybody ["5.5.124"] "501 5.5.124 Invalid XOAUTH2 auth data"
            Anybody ["5.5.125"] "501 5.5.125 Invalid XOAUTH2 auth data"
            Anybody ["5.5.126"] "501 5.5.126 Invalid XOAUTH2 auth data"
        }
        HVE_PERMISSION {
            Anybody ["5.7.144"] "535 5.7.144 XOAUTH2 authentication failed. Invalid API permission"
        }
        HVE_APPLICATION {
            Anybody ["5.7.240"] "550 5.7.240 The application is not allowed for use with this High Volume Email account"
        }
    },
};
