//! What a local password is good for: its name, and the services and networks it may come from.
//!
//! Knows neither passwords nor keys. The terms are bound to the password's wrap in the store, so that nobody widens them
//! by editing it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Caller;
use crate::config::IpNet;

/// What the password without a name is called.
pub(super) const DEFAULT_NAME: &str = "default";

/// What one password is good for. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Its name; none for the one that a mail program's first login or `emailproxy password` without `--name` set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The services, as section names or protocols (`imap`, `pop`, `smtp`); all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) services: Vec<String>,
    /// The networks; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) from: Vec<String>,
    /// When it was set, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<u64>,
}

impl Terms {
    /// The terms of a password that is good for everything, set now.
    pub(super) fn unlimited() -> Self {
        Self {
            created: now(),
            ..Self::default()
        }
    }

    /// Returns the name as people see it.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(DEFAULT_NAME)
    }

    /// Returns whether a login from there may use it. The owner at the command line always may.
    pub(super) fn allow(&self, caller: &Caller) -> bool {
        if *caller == Caller::OWNER {
            return true;
        }
        let protocol = caller.service.split('-').next().unwrap_or_default();
        let service = self.services.is_empty()
            || self.services.iter().any(|allowed| {
                allowed.eq_ignore_ascii_case(protocol) || *allowed == caller.service
            });
        let network = self.from.is_empty()
            || caller.address.is_some_and(|address| {
                let address = address.to_canonical();
                let mut networks = self.from.iter().filter_map(|text| text.parse().ok());
                networks.any(|network: IpNet| network.contains(&address))
            });
        service && network
    }
}

/// The time by the clock on the wall, in Unix seconds.
pub(super) fn now() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(service: &str, address: &str) -> Caller {
        Caller {
            service: service.into(),
            address: Some(address.parse().unwrap()),
        }
    }

    #[test]
    fn services_and_networks_both_have_to_fit() {
        let terms = Terms {
            services: vec!["imap".into(), "SMTP-2465".into()],
            from: vec!["10.0.0.0/8".into(), "fd00::/8".into()],
            ..Terms::default()
        };
        for (service, address, fits) in [
            ("IMAP-2993", "10.1.2.3", true),
            ("IMAP-1993", "fd00::7", true),
            ("IMAP-1993", "::ffff:10.1.2.3", true),
            ("SMTP-2465", "10.1.2.3", true),
            ("SMTP-2587", "10.1.2.3", false),
            ("POP-2995", "10.1.2.3", false),
            ("IMAP-2993", "127.0.0.1", false),
            ("IMAP-2993", "fe80::7", false),
        ] {
            assert_eq!(
                terms.allow(&caller(service, address)),
                fits,
                "{service} {address}"
            );
        }
        assert!(terms.allow(&Caller::OWNER));
        assert!(Terms::default().allow(&caller("POP-1", "192.0.2.1")));
        let unreadable = Terms {
            from: vec!["everywhere".into()],
            ..Terms::default()
        };
        assert!(!unreadable.allow(&caller("POP-1", "192.0.2.1")));
    }
}
