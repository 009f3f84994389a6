//! Everybody but Microsoft.
//!
//! Facts from the providers' own pages where they have them, else from what mail clients in use today send.

use super::{Provider, Redirect, Server};

/// Yahoo's mail platform, which AOL and AT&T share.
const YAHOO: Provider = Provider {
    name: "yahoo",
    title: "Yahoo Mail",
    aliases: &["ymail"],
    endpoint_hosts: &["api.login.yahoo.com"],
    authorize: "https://api.login.yahoo.com/oauth2/request_auth",
    token: "https://api.login.yahoo.com/oauth2/get_token",
    issuer: Some("https://api.login.yahoo.com"),
    imap: Some(Server::implicit("imap.mail.yahoo.com", 993)),
    pop: Some(Server::implicit("pop.mail.yahoo.com", 995)),
    smtp: Some(Server::implicit("smtp.mail.yahoo.com", 465)),
    other_servers: &["export.imap.mail.yahoo.com"],
    scope_imap: "mail-w",
    scope_pop: "mail-w",
    scope_smtp: "mail-w",
    redirect: Redirect::HttpsOnly,
    registration: "the mail scope is only given to applications that were approved by a form; the redirect URI must be \
                   https and match exactly",
    ..Provider::PLAIN
};

/// All of them.
pub(super) const PROVIDERS: &[Provider] = &[
    Provider {
        name: "gmail",
        title: "Gmail and Google Workspace",
        aliases: &["google", "googlemail", "workspace"],
        endpoint_hosts: &[
            "accounts.google.com",
            "oauth2.googleapis.com",
            "www.googleapis.com",
        ],
        authorize: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        issuer: Some("https://accounts.google.com"),
        // No device endpoint: it gives no mail scopes.
        imap: Some(Server::implicit("imap.gmail.com", 993)),
        pop: Some(Server::implicit("pop.gmail.com", 995)),
        smtp: Some(Server::implicit("smtp.gmail.com", 465)),
        other_servers: &[
            "smtp-relay.gmail.com",
            "imap.googlemail.com",
            "smtp.googlemail.com",
        ],
        scope_imap: "https://mail.google.com/",
        scope_pop: "https://mail.google.com/",
        scope_smtp: "https://mail.google.com/",
        // A second consent brings a refresh token only with both.
        extra_authorize_params: &[("access_type", "offline"), ("prompt", "consent")],
        needs_secret: true,
        redirect: Redirect::LoopbackAnyPort,
        // Six months, by developers.google.com/identity/protocols/oauth2.
        idle_days: Some(180),
        registration: "Google Cloud console, Credentials: create an OAuth client ID of type \"Desktop app\" (loopback \
                       redirects need not be entered); publish the consent screen, because refresh tokens of apps in \
                       testing die after 7 days",
        ..Provider::PLAIN
    },
    Provider {
        name: "fastmail",
        title: "Fastmail",
        endpoint_hosts: &["api.fastmail.com"],
        authorize: "https://api.fastmail.com/oauth/authorize",
        token: "https://api.fastmail.com/oauth/refresh",
        issuer: Some("https://api.fastmail.com"),
        imap: Some(Server::implicit("imap.fastmail.com", 993)),
        pop: Some(Server::implicit("pop.fastmail.com", 995)),
        smtp: Some(Server::implicit("smtp.fastmail.com", 465)),
        scope_imap: "https://www.fastmail.com/dev/protocol-imap",
        scope_pop: "https://www.fastmail.com/dev/protocol-pop",
        scope_smtp: "https://www.fastmail.com/dev/protocol-smtp",
        registration: "Fastmail registers applications by hand on request; PKCE is required",
        ..Provider::PLAIN
    },
    YAHOO,
    Provider {
        name: "att",
        title: "AT&T Mail (att.net, bellsouth.net, sbcglobal.net)",
        aliases: &[],
        imap: Some(Server::implicit("imap.mail.att.net", 993)),
        pop: Some(Server::implicit("inbound.att.net", 995)),
        smtp: Some(Server::implicit("smtp.mail.att.net", 465)),
        other_servers: &["outbound.att.net"],
        ..YAHOO
    },
    Provider {
        name: "aol",
        title: "AOL Mail",
        aliases: &[],
        endpoint_hosts: &["api.login.aol.com"],
        authorize: "https://api.login.aol.com/oauth2/request_auth",
        token: "https://api.login.aol.com/oauth2/get_token",
        issuer: None,
        imap: Some(Server::implicit("imap.aol.com", 993)),
        pop: Some(Server::implicit("pop.aol.com", 995)),
        smtp: Some(Server::implicit("smtp.aol.com", 465)),
        other_servers: &[],
        ..YAHOO
    },
    Provider {
        name: "yandex",
        title: "Yandex Mail",
        endpoint_hosts: &["oauth.yandex.com", "oauth.yandex.ru"],
        authorize: "https://oauth.yandex.com/authorize",
        token: "https://oauth.yandex.com/token",
        imap: Some(Server::implicit("imap.yandex.com", 993)),
        smtp: Some(Server::implicit("smtp.yandex.com", 465)),
        other_servers: &["imap.yandex.ru", "smtp.yandex.ru"],
        scope_imap: "mail:imap_full",
        scope_smtp: "mail:smtp",
        registration: "register at oauth.yandex.com with mail:imap_full and mail:smtp; IMAP must also be switched on in \
                       the mailbox's settings; POP by OAuth2 is not documented",
        ..Provider::PLAIN
    },
    Provider {
        name: "mailru",
        title: "Mail.ru (mail.ru, inbox.ru, list.ru, bk.ru)",
        aliases: &["mail.ru"],
        endpoint_hosts: &["o2.mail.ru"],
        authorize: "https://o2.mail.ru/login",
        token: "https://o2.mail.ru/token",
        imap: Some(Server::implicit("imap.mail.ru", 993)),
        pop: Some(Server::implicit("pop.mail.ru", 995)),
        smtp: Some(Server::implicit("smtp.mail.ru", 465)),
        scope_imap: "mail.imap",
        scope_pop: "mail.imap",
        scope_smtp: "mail.imap",
        pkce: false,
        needs_secret: true,
        registration: "register at o2.mail.ru; a secret is needed, PKCE is not understood",
        ..Provider::PLAIN
    },
    Provider {
        name: "seznam",
        title: "Seznam Email",
        endpoint_hosts: &["login.seznam.cz"],
        authorize: "https://login.seznam.cz/api/v1/oauth/auth",
        token: "https://login.seznam.cz/api/v1/oauth/token",
        issuer: Some("https://login.seznam.cz"),
        imap: Some(Server::implicit("imap.seznam.cz", 993)),
        pop: Some(Server::implicit("pop3.seznam.cz", 995)),
        smtp: Some(Server::implicit("smtp.seznam.cz", 465)),
        scope_imap: "identity calendar email",
        scope_pop: "identity calendar email",
        scope_smtp: "identity calendar email",
        registration: "register an application with Seznam; the redirect URI must match exactly",
        ..Provider::PLAIN
    },
    Provider {
        name: "comcast",
        title: "Xfinity (mailboxes are moving to Yahoo: try yahoo first)",
        aliases: &["xfinity"],
        endpoint_hosts: &["oauth.xfinity.com"],
        authorize: "https://oauth.xfinity.com/oauth/authorize",
        token: "https://oauth.xfinity.com/oauth/token",
        imap: Some(Server::implicit("imap.comcast.net", 993)),
        pop: Some(Server::implicit("mail.comcast.net", 995)),
        smtp: Some(Server::implicit("smtp.comcast.net", 465)),
        scope_imap: "https://email.comcast.net/ profile openid",
        scope_pop: "https://email.comcast.net/ profile openid",
        scope_smtp: "https://email.comcast.net/ profile openid",
        registration: "ask Xfinity for an application; the redirect URI must match exactly",
        ..Provider::PLAIN
    },
];
