//! Everything a test needs around the program: a certificate authority, the OAuth2 server, Dovecot and Postfix.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::ca::Ca;
use crate::dovecot::Dovecot;
use crate::installed;
use crate::oidc::{Manners, Oidc};
use crate::ports;
use crate::postfix::Postfix;

/// The servers of one test. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: those who ask before those who answer.
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Dovecot,
    pub(crate) oidc: Oidc,
    pub(crate) ca: Ca,
    folder: TempDir,
}

impl Stage {
    /// Starts the servers, if they and the further `programs` of the test are installed.
    pub(crate) async fn set(test: &str, programs: &[&str], manners: Manners) -> Option<Self> {
        Self::delivering_to(None, test, programs, manners).await
    }

    /// Starts the servers as [`Stage::set`] does; Postfix delivers to this LMTP port, or to Dovecot.
    pub(crate) async fn delivering_to(
        lmtp: Option<u16>,
        test: &str,
        programs: &[&str],
        manners: Manners,
    ) -> Option<Self> {
        let needed = [installed::SERVERS, programs].concat();
        if !installed::all(test, &needed) {
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("emailproxy-real-")
            .tempdir()
            .unwrap();
        // The mail servers work under users of their own and must find their way in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ca = Ca::found(folder.path());
        let oidc = Oidc::start(folder.path(), manners).await;
        let relay = ports::free();
        let dovecot = Dovecot::start(folder.path(), &ca, &oidc, relay).await;
        let lmtp = lmtp.unwrap_or(dovecot.lmtp);
        let postfix = Postfix::submission(folder.path(), &ca, dovecot.auth, lmtp, relay).await;
        Some(Self {
            postfix,
            dovecot,
            oidc,
            ca,
            folder,
        })
    }

    /// Returns a folder for the files of the test, gone with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
