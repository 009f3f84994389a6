//! Dovecot: IMAP, POP3, submission and LMTP with its own configuration, accepting OAuth2 logins only.
//!
//! It asks the OAuth2 server about every token. A person's token opens the mailbox of its subject; the application's
//! token opens any mailbox, as application permissions do at large providers.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::ca::Ca;
use crate::daemon::Daemon;
use crate::installed;
use crate::log::{Log, until, until_listening};
use crate::oidc::Oidc;
use crate::ports;

/// The user and group `mail` have this number on Debian; mailboxes belong to them.
const MAIL: u32 = 8;

/// The running Dovecot and its ports: `*s` speak TLS from the first byte, the others by STARTTLS or STLS.
#[derive(Debug)]
pub(crate) struct Dovecot {
    daemon: Daemon,
    log: Log,
    mail: PathBuf,
    pub(crate) imap: u16,
    pub(crate) imaps: u16,
    pub(crate) pop: u16,
    pub(crate) pops: u16,
    pub(crate) submission: u16,
    pub(crate) submissions: u16,
    /// Plain LMTP for Postfix.
    pub(crate) lmtp: u16,
    /// The authentication service for Postfix.
    pub(crate) auth: u16,
}

impl Dovecot {
    /// Starts it; `relay` is the port to which its submission service passes mail on.
    pub(crate) async fn start(folder: &Path, ca: &Ca, oidc: &Oidc, relay: u16) -> Self {
        let folder = folder.join("dovecot");
        let mail = folder.join("mail");
        fs::create_dir_all(&mail).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&mail, Some(MAIL), Some(MAIL)).unwrap();

        let ports: [u16; 8] = std::array::from_fn(|_| ports::free());
        let [imap, imaps, pop, pops, submission, submissions, lmtp, auth] = ports;
        let person = introspection(oidc, "username_attribute = sub\n");
        // A constant format makes any user name match: who has this scope may open every mailbox.
        let anybody =
            "scope = mail.anybody\nusername_attribute = active\nusername_format = anybody\n";
        let application = introspection(oidc, anybody);
        fs::write(folder.join("person.conf"), person).unwrap();
        fs::write(folder.join("application.conf"), application).unwrap();

        let listener = |service: &str, plain: &str, plain_port: u16, tls_port: u16| {
            format!(
                "service {service}-login {{\n\
                 service_count = 0\n\
                 inet_listener {plain} {{\n port = {plain_port}\n }}\n\
                 inet_listener {plain}s {{\n port = {tls_port}\n ssl = yes\n }}\n\
                 }}\n"
            )
        };
        let passdb = |name: &str| {
            format!(
                "passdb {{\n driver = oauth2\n mechanisms = xoauth2 oauthbearer\n args = {}/{name}.conf\n}}\n",
                folder.display()
            )
        };
        let configuration = format!(
            "base_dir = {home}/run\n\
             state_dir = {home}/state\n\
             log_path = {home}/log\n\
             protocols = imap pop3 submission lmtp\n\
             listen = 127.0.0.1\n\
             ssl = yes\n\
             ssl_cert = <{certificate}\n\
             ssl_key = <{key}\n\
             disable_plaintext_auth = yes\n\
             auth_mechanisms = xoauth2 oauthbearer\n\
             auth_verbose = yes\n\
             auth_failure_delay = 0\n\
             first_valid_uid = {MAIL}\n\
             mail_location = maildir:{home}/mail/%u\n\
             mail_max_userip_connections = 0\n\
             submission_relay_host = 127.0.0.1\n\
             submission_relay_port = {relay}\n\
             submission_max_mail_size = 64M\n\
             {person}{application}\
             userdb {{\n driver = static\n args = uid=mail gid=mail home={home}/mail/%u allow_all_users=yes\n}}\n\
             service anvil {{\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\n\
             service auth {{\n inet_listener {{\n port = {auth}\n }}\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n port = {lmtp}\n }}\n}}\n\
             {imap_login}{pop_login}{submission_login}",
            home = folder.display(),
            certificate = ca.certificate.display(),
            key = ca.key.display(),
            person = passdb("person"),
            application = passdb("application"),
            imap_login = listener("imap", "imap", imap, imaps),
            pop_login = listener("pop3", "pop3", pop, pops),
            submission_login = listener("submission", "submission", submission, submissions),
        );
        let file = folder.join("dovecot.conf");
        fs::write(&file, configuration).unwrap();

        let mut command = installed::command("dovecot");
        command.arg("-F").arg("-c").arg(&file);
        let daemon = Daemon::start("dovecot", &command, &folder.join("printed"));
        until_listening("dovecot", &ports).await;
        Self {
            daemon,
            log: Log::at(&folder.join("log")),
            mail,
            imap,
            imaps,
            pop,
            pops,
            submission,
            submissions,
            lmtp,
            auth,
        }
    }

    /// Waits until a mailbox holds so many messages and returns them.
    pub(crate) async fn mailbox(&self, user: &str, count: usize) -> Vec<String> {
        let what = format!("{count} messages in the mailbox of {user}");
        until(&what, || {
            let found: Vec<String> = ["new", "cur"]
                .iter()
                .filter_map(|part| fs::read_dir(self.mail.join(user).join(part)).ok())
                .flatten()
                .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
                .collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- dovecot logged:\n{}", self.log.tail());
        }
        self.daemon.stop();
    }
}

/// Returns how Dovecot asks the OAuth2 server about a token.
fn introspection(oidc: &Oidc, whose: &str) -> String {
    format!(
        "introspection_mode = post\n\
         introspection_url = http://mail-server:mail-server-secret@127.0.0.1:{}/token/introspection\n\
         active_attribute = active\n\
         active_value = true\n\
         {whose}",
        oidc.port
    )
}
