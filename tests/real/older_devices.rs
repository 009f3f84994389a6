//! A device that knows nothing newer than TLS 1.0, behind the terminator that docs/SECURITY.md shows.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::daemon::Daemon;
use crate::installed;
use crate::log;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// The terminator's configuration in docs/SECURITY.md.
fn documented() -> String {
    let page = include_str!("../../docs/SECURITY.md");
    let (_, from_block) = page
        .split_once("```ini\n; stunnel.conf")
        .expect("the page shows a stunnel.conf");
    let (block, _) = from_block.split_once("```").expect("the block ends");
    block.to_owned()
}

#[tokio::test]
async fn a_device_with_tls_1_0_gets_in_through_a_terminator_and_is_known_by_its_address() {
    let needed = ["stunnel4", "openssl"];
    let Some(stage) = Stage::set("older_devices", &needed, Manners::default()).await else {
        return;
    };
    let service = Service::imap(stage.dovecot.imaps).behind("127.0.0.1");
    let services = [service.clone()];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    let front = ports::free();
    let text = documented()
        .replace("192.0.2.7:993", &format!("127.0.0.1:{front}"))
        .replace("127.0.0.1:2993", &format!("127.0.0.1:{}", service.port()))
        .replace(
            "/etc/stunnel/mail.pem",
            &stage.ca.certificate.display().to_string(),
        )
        .replace("/etc/stunnel/mail.key", &stage.ca.key.display().to_string());
    let file = stage.folder().join("stunnel.conf");
    fs::write(&file, format!("foreground = yes\npid =\n{text}")).unwrap();
    let mut stunnel = installed::command("stunnel4");
    stunnel.arg(&file);
    let _stunnel = Daemon::start("stunnel", &stunnel, &stage.folder().join("stunnel.log"));
    log::until_listening("stunnel", &[front]).await;

    let mut device = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-tls1",
            "-cipher",
            "DEFAULT@SECLEVEL=0",
        ])
        .args(["-bind", "127.0.0.3:0"])
        .args(["-connect", &format!("127.0.0.1:{front}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let quoted = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
    let commands = format!("a LOGIN {USER} \"{quoted}\"\r\nb SELECT INBOX\r\nc LOGOUT\r\n");
    let mut input = device.stdin.take().unwrap();
    input.write_all(commands.as_bytes()).unwrap();
    let done = tokio::task::spawn_blocking(move || device.wait_with_output()).await;
    drop(input);
    let done = done.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        said.contains("b OK") && said.contains("c OK"),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let arrived = |line: &str| {
        line.contains("Accepting new connection from 127.0.0.3:")
            .then_some(())
    };
    proxy
        .printed()
        .find("the device's own address", arrived)
        .await;
    proxy.stop();
}
