//! Asks a person for what `register` needs, in the order they will have it at hand.

use anyhow::Context as _;
use dialoguer::{Input, Password, Select};

use super::RegisterArgs;
use crate::providers::{self, Provider};
use crate::secret::Secret;

/// Asks, and returns the answers as if they had been flags.
pub(super) fn ask(mut args: RegisterArgs) -> anyhow::Result<RegisterArgs> {
    let known: Vec<&Provider> = providers::all().collect();
    let mut titles: Vec<&str> = known.iter().map(|provider| provider.title).collect();
    titles.push("another provider");
    let chosen = Select::new()
        .with_prompt("Who keeps the mail")
        .items(&titles)
        .default(0)
        .interact()
        .context("nothing was chosen")?;
    let provider = known.get(chosen).copied();
    args.account = line("Mail address (empty: every address)", true)?;
    if let Some(provider) = provider {
        args.provider = Some(provider.name.to_owned());
    } else {
        args.imap_server_address = line("IMAP server (empty: none)", true)?;
        args.smtp_server_address = line("SMTP server (empty: none)", true)?;
        args.oauth2_permission_url = line(
            "Authorization endpoint (empty: no consent is asked for)",
            true,
        )?;
        args.oauth2_token_url = line("Token endpoint", false)?;
        args.oauth2_scope = line("Scopes", false)?;
    }
    let app_only = provider.map_or(args.oauth2_permission_url.is_none(), |provider| {
        provider.scope_app_only.is_some()
    });
    if app_only && flow(provider.is_some())? {
        args.oauth2_flow = Some("client_credentials".to_owned());
    }
    if provider.is_some_and(|provider| provider.tenant.is_some()) {
        args.tenant = line("Tenant, id or domain (empty: any)", true)?;
    }
    args.oauth2_client_id = line("Client id of your application", false)?;
    let secret = Password::new()
        .with_prompt("Client secret (empty: none)")
        .allow_empty_password(true)
        .interact()
        .context("no client secret was given")?;
    args.secret_asked = (!secret.is_empty()).then(|| Secret::new(secret));
    Ok(args)
}

/// Asks whether the application stands for itself, where a person could consent as well.
fn flow(choice: bool) -> anyhow::Result<bool> {
    if !choice {
        return Ok(true);
    }
    let chosen = Select::new()
        .with_prompt("How tokens are got")
        .items([
            "a person signs in with the browser (authorization code)",
            "the application by itself (client credentials)",
        ])
        .default(0)
        .interact()
        .context("nothing was chosen")?;
    Ok(chosen == 1)
}

/// Asks for a line.
fn line(prompt: &str, may_be_empty: bool) -> anyhow::Result<Option<String>> {
    let said: String = Input::new()
        .with_prompt(prompt)
        .allow_empty(may_be_empty)
        .interact_text()
        .with_context(|| format!("no answer to: {prompt}"))?;
    Ok((!said.trim().is_empty()).then_some(said))
}
