//! Microsoft's clouds. One identity platform, several mail hosts.
//!
//! Facts from Microsoft's pages on authenticating IMAP, POP and SMTP by OAuth and on national clouds.

use std::time::Duration;

use super::{Provider, Redirect, Server};

/// What all of Microsoft's clouds share.
const ENTRA: Provider = Provider {
    tenant: Some("organizations"),
    wants_offline_access: true,
    redirect: Redirect::LoopbackAnyPort,
    // learn.microsoft.com/entra/identity-platform/refresh-tokens
    idle_days: Some(90),
    // For IMAP and POP a delegate gives the shared mailbox's name, for SMTP their own (and `MAIL FROM` the mailbox's).
    smtp_wants_signed_in_user: true,
    registration: "Entra admin centre, App registrations: add the platform \"Mobile and desktop applications\" (\"Web\" if \
                   you use a client secret) with the redirect URI http://localhost (the port is not compared) and the \
                   delegated permissions IMAP.AccessAsUser.All, POP.AccessAsUser.All, SMTP.Send and offline_access",
    ..Provider::PLAIN
};

/// Microsoft 365 for work and school, worldwide and GCC.
const MICROSOFT_365: Provider = Provider {
    name: "microsoft365",
    title: "Microsoft 365 (work or school)",
    aliases: &["office365", "o365", "exchange-online", "microsoft", "gcc"],
    endpoint_hosts: &["login.microsoftonline.com", "login.windows.net"],
    authorize: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
    token: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    issuer: Some("https://login.microsoftonline.com/{tenant}/v2.0"),
    device: Some("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode"),
    imap: Some(Server::implicit("outlook.office365.com", 993)),
    pop: Some(Server::implicit("outlook.office365.com", 995)),
    smtp: Some(Server::starttls("smtp.office365.com", 587)),
    other_servers: &["smtp-legacy.office365.com"],
    scope_imap: "https://outlook.office.com/IMAP.AccessAsUser.All",
    scope_pop: "https://outlook.office.com/POP.AccessAsUser.All",
    scope_smtp: "https://outlook.office.com/SMTP.Send",
    scope_app_only: Some("https://outlook.office365.com/.default"),
    ..ENTRA
};

/// A cloud of the US government: same login, other mail hosts.
const US_GOVERNMENT: Provider = Provider {
    endpoint_hosts: &["login.microsoftonline.us"],
    authorize: "https://login.microsoftonline.us/{tenant}/oauth2/v2.0/authorize",
    token: "https://login.microsoftonline.us/{tenant}/oauth2/v2.0/token",
    issuer: Some("https://login.microsoftonline.us/{tenant}/v2.0"),
    device: Some("https://login.microsoftonline.us/{tenant}/oauth2/v2.0/devicecode"),
    scope_imap: "https://outlook.office365.us/IMAP.AccessAsUser.All",
    scope_pop: "https://outlook.office365.us/POP.AccessAsUser.All",
    scope_smtp: "https://outlook.office365.us/SMTP.Send",
    scope_app_only: Some("https://outlook.office365.us/.default"),
    ..ENTRA
};

/// All of them; [`MICROSOFT_365`] first, as it stands for its login host.
pub(super) const PROVIDERS: &[Provider] = &[
    MICROSOFT_365,
    Provider {
        name: "outlook",
        title: "Outlook.com (personal: outlook.com, hotmail.com, live.com, msn.com)",
        aliases: &["outlook.com", "hotmail", "live"],
        tenant: Some("consumers"),
        smtp: Some(Server::starttls("smtp-mail.outlook.com", 587)),
        other_servers: &["imap-mail.outlook.com", "pop-mail.outlook.com"],
        scope_app_only: None,
        ..MICROSOFT_365
    },
    Provider {
        name: "microsoft365-hve",
        title: "Microsoft 365 High Volume Email (internal recipients)",
        aliases: &["hve"],
        imap: None,
        pop: None,
        smtp: Some(Server::starttls("smtp.hve.mx.microsoft", 587)),
        other_servers: &["smtp-hve.office365.com"],
        scope_imap: "",
        scope_pop: "",
        scope_smtp: "https://outlook.office.com/Mail.Send",
        scope_app_only: Some("https://outlook.office.com/.default"),
        // It answers "Token will expire soon" to tokens that have little left.
        least_margin: Some(Duration::from_secs(20 * 60)),
        registration: "Entra admin centre, App registrations: give the application the permission Office 365 Exchange \
                       Online > Mail.Send, then allow it for the account (Add-HVEAppAccess)",
        ..MICROSOFT_365
    },
    Provider {
        name: "microsoft365-gcc-high",
        title: "Microsoft 365 GCC High",
        aliases: &["gcc-high"],
        imap: Some(Server::implicit("outlook.office365.us", 993)),
        pop: Some(Server::implicit("outlook.office365.us", 995)),
        smtp: Some(Server::starttls("outlook.office365.us", 587)),
        ..US_GOVERNMENT
    },
    Provider {
        name: "microsoft365-dod",
        title: "Microsoft 365 DoD",
        aliases: &["dod"],
        imap: Some(Server::implicit("outlook-dod.office365.us", 993)),
        pop: Some(Server::implicit("outlook-dod.office365.us", 995)),
        smtp: Some(Server::starttls("outlook-dod.office365.us", 587)),
        ..US_GOVERNMENT
    },
    Provider {
        name: "microsoft365-china",
        title: "Microsoft 365 operated by 21Vianet",
        aliases: &["21vianet"],
        endpoint_hosts: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        authorize: "https://login.partner.microsoftonline.cn/{tenant}/oauth2/v2.0/authorize",
        token: "https://login.partner.microsoftonline.cn/{tenant}/oauth2/v2.0/token",
        issuer: Some("https://login.partner.microsoftonline.cn/{tenant}/v2.0"),
        device: Some("https://login.partner.microsoftonline.cn/{tenant}/oauth2/v2.0/devicecode"),
        imap: Some(Server::implicit("partner.outlook.cn", 993)),
        pop: Some(Server::implicit("partner.outlook.cn", 995)),
        smtp: Some(Server::starttls("smtp.partner.outlook.cn", 587)),
        scope_imap: "https://partner.outlook.cn/IMAP.AccessAsUser.All",
        scope_pop: "https://partner.outlook.cn/POP.AccessAsUser.All",
        scope_smtp: "https://partner.outlook.cn/SMTP.Send",
        scope_app_only: Some("https://partner.outlook.cn/.default"),
        ..ENTRA
    },
];
