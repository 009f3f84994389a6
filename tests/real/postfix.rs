//! Postfix: as submission server that accepts XOAUTH2 only, and as the smarthost client of somebody's network.
//!
//! Each has its own configuration, queue and data folder beside whatever the machine runs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ca::Ca;
use crate::daemon::Daemon;
use crate::installed;
use crate::log::{Log, until_listening};
use crate::ports;

/// The daemons every Postfix runs, beside those that listen.
const MASTER: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix.
#[derive(Debug)]
pub(crate) struct Postfix {
    daemon: Daemon,
    name: &'static str,
    folder: PathBuf,
    log: Log,
    /// Submission with STARTTLS and XOAUTH2.
    pub(crate) submission: u16,
    /// Submission with TLS from the first byte and XOAUTH2.
    pub(crate) submissions: u16,
}

impl Postfix {
    /// Starts a submission server that asks Dovecot's authentication service at `auth`, takes mail from Dovecot without
    /// login at `relay`, and delivers everything for example.com to Dovecot at `lmtp`.
    pub(crate) async fn submission(
        folder: &Path,
        ca: &Ca,
        auth: u16,
        lmtp: u16,
        relay: u16,
    ) -> Self {
        let (submission, submissions) = (ports::free(), ports::free());
        let settings = format!(
            "virtual_mailbox_domains = example.com\n\
             virtual_transport = lmtp:inet:127.0.0.1:{lmtp}\n\
             smtpd_tls_cert_file = {}\n\
             smtpd_tls_key_file = {}\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_auth_only = yes\n\
             smtpd_sasl_type = dovecot\n\
             smtpd_sasl_path = inet:127.0.0.1:{auth}\n\
             smtpd_sasl_mechanism_filter = xoauth2\n\
             smtpd_relay_restrictions = reject\n",
            ca.certificate.display(),
            ca.key.display(),
        );
        let login = "-o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject";
        let listeners = format!(
            "127.0.0.1:{submission} inet n - n - - smtpd {login}\n\
             127.0.0.1:{submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {login}\n\
             127.0.0.1:{relay} inet n - n - - smtpd -o smtpd_relay_restrictions=permit_mynetworks,reject\n"
        );
        let postfix = Self::start(
            "postfix",
            &folder.join("postfix"),
            &settings,
            &listeners,
            [submission, submissions],
        );
        until_listening("postfix", &[submission, submissions, relay]).await;
        postfix
    }

    /// Starts a Postfix that sends everything through the smarthost at `relay` with a user's login.
    pub(crate) async fn smarthost_client(
        folder: &Path,
        relay: u16,
        user: &str,
        password: &str,
    ) -> Self {
        let folder = folder.join("smarthost");
        fs::create_dir_all(&folder).unwrap();
        let passwords = folder.join("sasl_passwd");
        fs::write(
            &passwords,
            format!("[127.0.0.1]:{relay} {user}:{password}\n"),
        )
        .unwrap();
        fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = format!(
            "relayhost = [127.0.0.1]:{relay}\n\
             smtp_sasl_auth_enable = yes\n\
             smtp_sasl_password_maps = texthash:{}\n\
             smtp_sasl_security_options = noanonymous\n\
             smtp_tls_security_level = may\n",
            passwords.display(),
        );
        let port = ports::free();
        let listeners = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
        let postfix = Self::start(
            "postfix (smarthost)",
            &folder,
            &settings,
            &listeners,
            [port, port],
        );
        until_listening("postfix (smarthost)", &[port]).await;
        postfix
    }

    fn start(
        name: &'static str,
        folder: &Path,
        settings: &str,
        listeners: &str,
        ports: [u16; 2],
    ) -> Self {
        for part in ["etc", "queue", "data"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let status = Command::new("chown")
            .arg("postfix")
            .arg(folder.join("data"))
            .status();
        assert!(
            status.unwrap().success(),
            "could not give Postfix its data folder"
        );
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {home}/queue\n\
             data_directory = {home}/data\n\
             maillog_file = {home}/log\n\
             maillog_file_prefixes = {home}\n\
             myhostname = relay.example.net\n\
             mydestination =\n\
             mynetworks = 127.0.0.0/8\n\
             inet_interfaces = loopback-only\n\
             inet_protocols = ipv4\n\
             alias_maps =\n\
             alias_database =\n\
             local_recipient_maps =\n\
             smtp_dns_support_level = disabled\n\
             smtp_host_lookup = native\n\
             lmtp_host_lookup = native\n\
             message_size_limit = 60000000\n\
             mailbox_size_limit = 0\n\
             in_flow_delay = 0\n\
             queue_minfree = 0\n\
             enable_long_queue_ids = yes\n\
             local_header_rewrite_clients =\n\
             disable_mime_output_conversion = yes\n\
             smtpd_error_sleep_time = 0\n\
             smtpd_client_connection_count_limit = 0\n\
             minimal_backoff_time = 1\n\
             queue_run_delay = 1\n\
             {settings}",
            home = folder.display(),
        );
        fs::write(folder.join("etc/main.cf"), main).unwrap();
        fs::write(folder.join("etc/master.cf"), format!("{listeners}{MASTER}")).unwrap();
        // Makes the queue's folders with the owners they must have.
        let mut command = installed::command("postfix");
        command.arg("-c").arg(folder.join("etc"));
        let output = command
            .args(["post-install", "create-missing"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "could not lay out Postfix's queue: {output:?}"
        );
        Self {
            daemon: master(name, folder),
            name,
            folder: folder.to_owned(),
            log: Log::at(&folder.join("log")),
            submission: ports[0],
            submissions: ports[1],
        }
    }

    /// Ends it in the middle of everything it does.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Ends it as an administrator does, which cuts whoever is connected.
    pub(crate) fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts it again on the same queue and the same ports.
    pub(crate) async fn start_again(&mut self) {
        self.daemon = master(self.name, &self.folder);
        until_listening(self.name, &[self.submission, self.submissions]).await;
    }

    /// Returns how many mails wait in its queue, those not counted that it has not yet said yes to.
    pub(crate) fn waiting(&self) -> usize {
        let queues = ["incoming", "active", "deferred"];
        let all = queues.map(|queue| complete(&self.folder.join("queue").join(queue)));
        all.iter().sum()
    }

    /// Returns Postfix's own log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Returns the folder with `main.cf`.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("etc")
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- postfix logged:\n{}", self.log.tail());
        }
        self.daemon.stop();
    }
}

/// Starts the daemon that starts all others.
fn master(name: &'static str, folder: &Path) -> Daemon {
    // `postfix start-fg` would leave a shell between us and the daemon.
    let mut command = Command::new(daemon_folder().join("master"));
    command.arg("-c").arg(folder.join("etc")).arg("-d");
    Daemon::start(name, &command, &folder.join("printed"))
}

/// Counts the mails in a part of the queue: files whose owner may execute them, which is how Postfix marks those that
/// are whole.
fn complete(queue: &Path) -> usize {
    let entries = fs::read_dir(queue).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => complete(&entry.path()),
        Ok(found) => usize::from(found.mode() & 0o100 != 0),
        // It has moved on in the meantime.
        Err(_) => 0,
    };
    entries.map(count).sum()
}

/// Returns where Postfix keeps its daemons.
fn daemon_folder() -> PathBuf {
    let output = installed::command("postconf")
        .args(["-dh", "daemon_directory"])
        .output()
        .unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
