//! What a person is told after a registration: what to put into the mail program, what to enter at the provider, what
//! to do next.

use std::path::Path;

use super::plan::Plan;
use crate::config::{GrantKind, Protocol};
use crate::providers::Redirect;

/// Words the whole advice.
pub(super) fn text(file: &Path, plan: &Plan, changed: bool) -> String {
    let shown = file.display();
    let mut lines = vec![if changed {
        format!("Wrote {shown}.")
    } else {
        format!("{shown} says all that already; nothing was changed.")
    }];
    lines.push(String::new());
    lines.extend(mail_program(plan));
    lines.push(String::new());
    lines.extend(at_the_provider(plan));
    lines.push(String::new());
    lines.extend(next(&shown.to_string(), plan));
    lines.join("\n")
}

/// What to put into the mail program.
fn mail_program(plan: &Plan) -> Vec<String> {
    let host = match plan.local_address.as_deref() {
        None | Some("localhost" | "127.0.0.1" | "::1") => "localhost (127.0.0.1)",
        Some(_) => "this machine's name",
    };
    let mut lines = vec!["Put into the mail program:".to_owned()];
    for service in &plan.services {
        let purpose = match service.protocol {
            Protocol::Imap => "incoming mail, IMAP",
            Protocol::Pop => "incoming mail, POP3",
            Protocol::Smtp => "outgoing mail, SMTP",
        };
        lines.push(format!(
            "  {purpose}: server {host}, port {}, connection security: none, authentication: normal password",
            service.port
        ));
    }
    let user = if plan.is_catch_all() {
        "the full mail address".to_owned()
    } else {
        plan.account.clone()
    };
    lines.push(format!("  user name: {user}"));
    lines.push(
        "  password: one of your own choice, the same for incoming and outgoing mail; it does not go to the provider, it \
         protects the tokens kept here"
            .into(),
    );
    lines
}

/// What to enter at the provider.
fn at_the_provider(plan: &Plan) -> Vec<String> {
    let title = plan
        .provider
        .map_or("the provider", |provider| provider.title);
    let mut lines = vec![format!("At {title}:")];
    match (plan.grant, plan.provider) {
        (GrantKind::AuthorizationCode, provider) => {
            if let Some(provider) = provider {
                lines.push(format!("  {}", provider.registration));
            }
            let uri = plan.redirect_uri.as_ref().map_or("", |(uri, _)| uri.as_str());
            let loopback_is_free = provider.is_some_and(|p| p.redirect == Redirect::LoopbackAnyPort);
            if !(loopback_is_free && uri.starts_with("http://localhost")) {
                lines.push(format!("  Enter exactly this redirect URI: {uri}"));
            }
            let listens = plan.keys.iter().any(|(key, _)| *key == "redirect_listen_address");
            if uri.starts_with("https://") && !listens {
                lines.push(
                    "  Nothing here speaks https: either let a reverse proxy pass that address on and name its target by \
                     --redirect-listen-address, or run `emailproxy authorize` with --external-auth and paste the \
                     address the browser ends at"
                        .into(),
                );
            }
        }
        (GrantKind::Device, Some(provider)) if provider.tenant.is_some() => lines.push(
            "  Set \"Allow public client flows\" to Yes (Authentication page of the app registration) and give it the \
             delegated permissions IMAP.AccessAsUser.All, POP.AccessAsUser.All, SMTP.Send and offline_access"
                .into(),
        ),
        (GrantKind::ServiceAccount, _) => lines.push(
            "  In the Admin console, under Security, API controls, Domain-wide delegation, allow the service account's \
             client id (a number, in the key file) exactly the scopes of oauth2_scope"
                .into(),
        ),
        (GrantKind::ManagedIdentity, _) => lines.push(
            "  Give the machine an identity, assign it the Exchange Online roles IMAP.AccessAsApp, POP.AccessAsApp and \
             SMTP.SendAsApp (by PowerShell or Graph), register its service principal in Exchange Online \
             (New-ServicePrincipal) and give it the mailboxes (Add-MailboxPermission)"
                .into(),
        ),
        (GrantKind::ClientCredentials, Some(provider)) if provider.tenant.is_some() => lines.push(
            "  Give the application the permissions IMAP.AccessAsApp, POP.AccessAsApp and SMTP.SendAsApp with admin \
             consent, register its service principal in Exchange Online (New-ServicePrincipal) and give it the \
             mailboxes (Add-MailboxPermission)"
                .into(),
        ),
        _ => lines.push("  The application must be registered for this grant and these scopes.".into()),
    }
    let planned = |wanted: &str| plan.keys.iter().any(|(key, _)| *key == wanted);
    if planned("jwt_certificate_path") {
        lines.push("  Give the application the certificate (not its key); the log warns 30 days before it expires".into());
    }
    if planned("client_assertion_file") {
        lines.push(
            "  Let the application trust whoever writes the assertion's file: a federated credential with its issuer and \
             subject"
                .into(),
        );
    }
    lines
}

/// What to do next.
fn next(file: &str, plan: &Plan) -> Vec<String> {
    let file = if file.contains(char::is_whitespace) {
        format!("'{file}'")
    } else {
        file.to_owned()
    };
    let mut lines = vec![
        "Next:".to_owned(),
        format!("  emailproxy run --config-file {file}"),
    ];
    let account = if plan.is_catch_all() {
        "ADDRESS"
    } else {
        &plan.account
    };
    match plan.grant {
        GrantKind::AuthorizationCode => lines.push(format!(
            "  then log in with the mail program and visit the address that appears in the log, or run\n  emailproxy \
             authorize {account} --config-file {file}"
        )),
        GrantKind::Device => lines.push(format!(
            "  then log in with the mail program and enter the code that appears in the log, or run\n  emailproxy \
             authorize {account} --config-file {file}"
        )),
        _ => lines.push("  then log in with the mail program; nobody needs to consent".into()),
    }
    let alone = matches!(
        plan.grant,
        GrantKind::ClientCredentials | GrantKind::ServiceAccount | GrantKind::ManagedIdentity
    );
    if plan.is_catch_all() && alone {
        lines.push(
            "  Note: the application opens every mailbox it was given; the first password used for an address becomes \
             that address's password here"
                .into(),
        );
    }
    lines
}
