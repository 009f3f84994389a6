//! A configuration file: refused with reasons, or proven; then every account it may have.
#![no_main]

use std::path::Path;

use emailproxy::config::{Config, Protocol};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let path = Path::new("/nowhere/emailproxy.ini");
    let config = match Config::parse(path, content) {
        Ok(config) => config,
        Err(complaints) => {
            assert!(!complaints.is_empty());
            let lines = content.iter().filter(|byte| b"\r\n".contains(byte)).count() + 1;
            for complaint in complaints {
                assert!(complaint.line <= lines, "{complaint}");
                assert!(
                    !complaint.to_string().contains(['\n', '\r', '\u{1b}']),
                    "{complaint}"
                );
            }
            return;
        }
    };
    for service in &config.services {
        assert!(!service.local_addresses.is_empty());
        assert!(!service.server.host.is_empty());
    }
    let text = String::from_utf8_lossy(content);
    let named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    for user in named.chain(["user@example.org", "@", ""]) {
        if let Ok(settings) = config.account(user) {
            assert_eq!(settings.name, user);
            for service in &config.services {
                let server = Config::upstream(service, &settings);
                assert!(!server.host.is_empty() && server.port > 0);
                assert!(matches!(
                    service.protocol,
                    Protocol::Imap | Protocol::Pop | Protocol::Smtp
                ));
            }
        }
    }
});
