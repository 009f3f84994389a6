//! `emailproxy register`: an account and its services into a configuration file.
//!
//! The flags become a proven plan, the plan becomes changes to the file's text, the new text is proven, and only then
//! is it written.

mod advice;
mod apply;
mod ask;
mod credentials;
mod plan;
mod servers;

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use self::plan::Plan;
use super::{complain, say};
use crate::config::{Config, durable};
use crate::secret::Secret;

/// The longest client secret read from a file, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// What `register` is told.
#[expect(clippy::doc_markdown, reason = "these lines are the help text")]
#[derive(clap::Args, Clone, Debug, Default)]
#[command(
    after_help = "Without --account the settings hold for every mail address ([@] with allow_catch_all_accounts = \
                  True).\n\nExamples:\n  emailproxy register --provider microsoft365 --account me@example.com \
                  --oauth2-client-id ID\n  emailproxy register --provider gmail --account me@gmail.com \
                  --oauth2-client-id ID --oauth2-client-secret-file secret.txt\n\nWithout any flag on a terminal it \
                  asks."
)]
pub struct RegisterArgs {
    /// The configuration file to write or add to
    #[arg(
        long,
        value_name = "FILE",
        env = "EMAILPROXY_CONFIG_FILE",
        default_value = "emailproxy.ini"
    )]
    pub config_file: PathBuf,

    /// Change what the file already says otherwise; without this nothing is overwritten
    #[arg(long)]
    pub force: bool,

    /// The mail address the settings hold for, or @domain for a whole domain; without it, every address
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,

    /// Where servers, endpoints and scopes come from: microsoft365, outlook, gmail, fastmail, yahoo, aol, yandex, mailru
    /// and others
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// Microsoft's tenant: its id or domain
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,

    /// The provider's IMAP server
    #[arg(long, value_name = "HOST")]
    pub imap_server_address: Option<String>,
    /// Its port [usually 993]
    #[arg(long, value_name = "PORT")]
    pub imap_server_port: Option<String>,
    /// TLS begins by STARTTLS there
    #[arg(long, value_name = "True|False", num_args = 0..=1, default_missing_value = "True")]
    pub imap_server_starttls: Option<String>,
    /// The local port for IMAP [usually 2993]
    #[arg(long, value_name = "PORT")]
    pub imap_local_port: Option<String>,

    /// The provider's POP server
    #[arg(long, value_name = "HOST")]
    pub pop_server_address: Option<String>,
    /// Its port [usually 995]
    #[arg(long, value_name = "PORT")]
    pub pop_server_port: Option<String>,
    /// TLS begins by STLS there
    #[arg(long, value_name = "True|False", num_args = 0..=1, default_missing_value = "True")]
    pub pop_server_starttls: Option<String>,
    /// The local port for POP [usually 2995]
    #[arg(long, value_name = "PORT")]
    pub pop_local_port: Option<String>,

    /// The provider's submission server
    #[arg(long, value_name = "HOST")]
    pub smtp_server_address: Option<String>,
    /// Its port [usually 587 with STARTTLS, else 465]
    #[arg(long, value_name = "PORT")]
    pub smtp_server_port: Option<String>,
    /// TLS begins by STARTTLS there
    #[arg(long, value_name = "True|False", num_args = 0..=1, default_missing_value = "True")]
    pub smtp_server_starttls: Option<String>,
    /// The local port for SMTP [usually 2465]
    #[arg(long, value_name = "PORT")]
    pub smtp_local_port: Option<String>,

    /// The local address new services listen on [without it: 127.0.0.1 and ::1]
    #[arg(long, value_name = "ADDRESS")]
    pub local_address: Option<String>,

    /// Where a person gives consent (the authorization endpoint)
    #[arg(long, value_name = "URL")]
    pub oauth2_permission_url: Option<String>,
    /// Where tokens are fetched (the token endpoint)
    #[arg(long, value_name = "URL")]
    pub oauth2_token_url: Option<String>,
    /// The scopes, separated by blanks
    #[arg(long, value_name = "SCOPES")]
    pub oauth2_scope: Option<String>,
    /// The resource that older endpoints and managed identities want in the scopes' place
    #[arg(long, value_name = "RESOURCE")]
    pub oauth2_resource: Option<String>,
    /// authorization_code, client_credentials, device, password, service_account or managed_identity
    #[arg(long, value_name = "FLOW")]
    pub oauth2_flow: Option<String>,
    /// The application's id at the provider
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub oauth2_client_id: Option<String>,
    /// The application's secret; others on this machine can see it in the process list, better use
    /// --oauth2-client-secret-file. `-` reads it from standard input
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
    pub oauth2_client_secret: Option<Secret<String>>,
    /// A file with the application's secret; `-` reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "oauth2_client_secret")]
    pub oauth2_client_secret_file: Option<PathBuf>,

    /// The application's certificate, PEM, in the secret's place; with --jwt-key-path
    #[arg(long, value_name = "FILE")]
    pub jwt_certificate_path: Option<String>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    pub jwt_key_path: Option<String>,
    /// How it signs: PS256 or RS256 [usually PS256]
    #[arg(long, value_name = "ALGORITHM")]
    pub jwt_algorithm: Option<String>,
    /// A file with a signed token that somebody else writes, in the secret's place (workload identity)
    #[arg(long, value_name = "FILE")]
    pub client_assertion_file: Option<String>,
    /// The JSON key file of a Google service account, for --oauth2-flow service_account
    #[arg(long, value_name = "FILE", conflicts_with = "oauth2_client_id")]
    pub service_account_key_file: Option<String>,

    /// The redirect URI as entered at the provider [usually http://localhost:8825]
    #[arg(long, value_name = "URL")]
    pub redirect_uri: Option<String>,
    /// Where the browser's return is heard if not at the redirect URI itself, for example behind a reverse proxy
    #[arg(long, value_name = "URL")]
    pub redirect_listen_address: Option<String>,

    /// A secret that a person typed when asked.
    #[arg(skip)]
    pub secret_asked: Option<Secret<String>>,

    /// What is left of copied commands: blanks behind a backslash.
    #[arg(hide = true)]
    pub rest: Vec<String>,
}

/// Does what was asked, and says what to do next.
pub fn run(args: &RegisterArgs) -> anyhow::Result<ExitCode> {
    let mut args = args.clone();
    if args.rest.iter().any(|rest| !rest.trim().is_empty()) {
        bail!("an argument belongs to no flag; values with blanks in them need quotes");
    }
    if args.says_nothing() {
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            bail!(
                "say at least --provider (or servers and endpoints) and --oauth2-client-id; `emailproxy register --help` \
                 lists all flags"
            );
        }
        args = ask::ask(args)?;
    }
    if args
        .oauth2_client_secret
        .as_ref()
        .is_some_and(|secret| secret.reveal().trim() != "-")
    {
        complain(
            "the client secret on the command line could be seen by others on this machine and may be in the shell's \
             history; --oauth2-client-secret-file keeps it out of both",
        );
    }
    let secret = args.secret()?;
    let plan = match Plan::of(&args, secret) {
        Ok(plan) => plan,
        Err(reason) if !args.rest.is_empty() => bail!(
            "{reason} (the command has blank arguments: a backslash at a line's end must be the line's last character, \
             else the command ends there)"
        ),
        Err(reason) => bail!(reason),
    };
    let changed = write(&args.config_file, &plan, args.force)?;
    for note in &plan.notes {
        complain(note);
    }
    say(&advice::text(&args.config_file, &plan, changed));
    Ok(ExitCode::SUCCESS)
}

/// Writes what another program's settings come to, without advice. Returns whether the file changed.
pub(super) fn enter(args: &RegisterArgs) -> anyhow::Result<bool> {
    let plan = Plan::of(args, args.secret()?).map_err(anyhow::Error::msg)?;
    let changed = write(&args.config_file, &plan, args.force)?;
    for note in &plan.notes {
        complain(note);
    }
    Ok(changed)
}

/// Brings the plan into the file. Returns whether the file changed.
fn write(path: &Path, plan: &Plan, force: bool) -> anyhow::Result<bool> {
    let shown = path.display();
    let old = match std::fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("could not read {shown}")),
    };
    let new =
        apply::apply(&old, plan, force).map_err(|reason| anyhow::anyhow!("{shown}: {reason}"))?;
    if let Err(complaints) = Config::parse(path, new.as_bytes()) {
        for complaint in &complaints {
            complain(&complaint.to_string());
        }
        bail!("{shown} would not work after the change (see above); nothing was written");
    }
    if new == old {
        return Ok(false);
    }
    durable::write(path, new.as_bytes(), durable::Mode::Private).map_err(anyhow::Error::msg)?;
    Ok(true)
}

impl RegisterArgs {
    /// Returns whether nothing but the file and --force was said.
    fn says_nothing(&self) -> bool {
        let said = [
            &self.account,
            &self.provider,
            &self.tenant,
            &self.imap_server_address,
            &self.imap_server_port,
            &self.imap_server_starttls,
            &self.imap_local_port,
            &self.pop_server_address,
            &self.pop_server_port,
            &self.pop_server_starttls,
            &self.pop_local_port,
            &self.smtp_server_address,
            &self.smtp_server_port,
            &self.smtp_server_starttls,
            &self.smtp_local_port,
            &self.local_address,
            &self.oauth2_permission_url,
            &self.oauth2_token_url,
            &self.oauth2_scope,
            &self.oauth2_resource,
            &self.oauth2_flow,
            &self.oauth2_client_id,
            &self.jwt_certificate_path,
            &self.jwt_key_path,
            &self.jwt_algorithm,
            &self.client_assertion_file,
            &self.service_account_key_file,
            &self.redirect_uri,
            &self.redirect_listen_address,
        ];
        said.iter().all(|said| said.is_none())
            && self.oauth2_client_secret.is_none()
            && self.oauth2_client_secret_file.is_none()
            && self.rest.is_empty()
    }

    /// Reads the client secret from wherever it is said to be.
    fn secret(&self) -> anyhow::Result<Option<Secret<String>>> {
        if let Some(secret) = &self.secret_asked {
            return Ok(Some(secret.clone()));
        }
        let file = self.oauth2_client_secret_file.as_deref();
        let said = self.oauth2_client_secret.as_ref();
        let said = said.map(|secret| secret.reveal().trim());
        let mut text = Secret::new(String::new());
        match (said, file) {
            (Some("-"), _) => text = read(std::io::stdin().lock())?,
            (Some(said), _) => text = Secret::from(said),
            (None, Some(file)) if file == Path::new("-") => text = read(std::io::stdin().lock())?,
            (None, Some(file)) => {
                let reading =
                    || format!("could not read the client secret from {}", file.display());
                text =
                    read(std::fs::File::open(file).with_context(reading)?).with_context(reading)?;
            }
            (None, None) => {}
        }
        let given = said.is_some() || file.is_some();
        let trimmed = text.reveal().trim();
        if trimmed.is_empty() && file.is_some() {
            bail!("the client secret's file is empty");
        }
        Ok((given && !trimmed.is_empty()).then(|| Secret::from(trimmed)))
    }
}

/// Reads a secret, bounded.
fn read(from: impl std::io::Read) -> anyhow::Result<Secret<String>> {
    let mut text = String::new();
    from.take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}
